//! `millstream explain`: the plan, then each process stage's operators as the engine runs them, and what workers say of them. Never
//! enters: finding that out (`millstream_worker::describe`).

mod now;

use std::fmt::Write as _;

use millstream_plan::{Job, Stage, StageKind};
use millstream_spec::ast::{Operator, Pipeline, Wasm};
use millstream_spec::scalar::format_duration;
use millstream_worker::describe::{self, OperatorDescription, StageDescription};

use super::{failed, open, planned, refuse_faults, runtime, say, usage};
use crate::args::Explain;
use crate::exit::Failure;
use now::Now;

/// Prints the plan and what the engine makes of it.
pub fn command(options: &Explain) -> Result<(), Failure> {
    let (options, workers) = (&options.plan, &options.worker);
    let runtime = runtime()?;
    let opened = open(&runtime, &options.file, &options.set)?;
    refuse_faults(&opened)?;
    let Some((pipeline, job)) = &opened.parts else { return Err(usage("there is no pipeline".to_owned())) };
    let stages = runtime.block_on(describe::stages(&opened)).map_err(|error| failed(error.to_string()))?;
    let now = runtime.block_on(Now::of(&job.pipeline, workers)).map_err(failed)?;
    let mut text = planned(options, &opened, job)?;
    functions(&mut text, pipeline, job);
    for stage in job.stages.iter().filter(|stage| stage.kind == StageKind::Process) {
        if let Some(described) = stages.get(&stage.id) {
            one_stage(&mut text, stage, described, &now);
        }
    }
    say(&text)
}

/// The functions that SQL calls, and those that records go through before they reach a topic.
fn functions(text: &mut String, pipeline: &Pipeline, job: &Job) {
    for function in pipeline.functions.values() {
        let calls = |operator: &&millstream_plan::Operator| operator.calls.contains(&function.id.value);
        let callers = job.stages.iter().flat_map(|stage| &stage.operators).filter(calls);
        let callers: Vec<&str> = callers.map(|operator| operator.id.name.as_str()).collect();
        let _ = writeln!(text, "\nfunction {}", function.signature());
        module(text, &function.wasm);
        let _ = writeln!(text, "  called by {}", callers.join(", "));
        limits(text, &function.wasm);
    }
    for operator in job.stages.iter().flat_map(|stage| &stage.operators) {
        let Some(Operator::Wasm(wasm)) = pipeline.transforms.get(&operator.id.name).map(|t| &t.op) else {
            continue;
        };
        let lookup: Vec<&str> = wasm.lookup.iter().map(|table| table.value.as_str()).collect();
        let _ = writeln!(text, "\nfunction {}", operator.id.name);
        module(text, wasm);
        if !lookup.is_empty() {
            let _ = writeln!(text, "  looks up {}, whole, in memory", lookup.join(", "));
        }
        if let Some(output) = &wasm.output {
            let _ = writeln!(text, "  gives records of schema {}", output.value);
        }
        limits(text, wasm);
    }
}

fn module(text: &mut String, wasm: &Wasm) {
    let digest = wasm.digest.as_ref().map_or_else(String::new, |digest| format!(", sha256 {digest}"));
    let _ = writeln!(text, "  module {}{digest}", wasm.module.value);
}

fn limits(text: &mut String, wasm: &Wasm) {
    let memory = wasm.memory_bytes >> 20;
    let _ = writeln!(text, "  limits: {memory} MiB of memory, {} units of fuel a call", wasm.fuel);
}

fn one_stage(text: &mut String, stage: &Stage, described: &StageDescription, now: &Now) {
    let _ = writeln!(text, "\noperators of stage {}", stage.id);
    now.stage(text, &stage.id);
    for source in &described.sources {
        if described.sources.len() > 1 {
            let _ = writeln!(text, "  reads {}", source.name);
        }
        let _ = writeln!(text, "  decodes {}", typed(&source.columns));
        let input = stage.inputs.iter().find(|input| input.stream == source.name);
        let watermark = input.and_then(|input| input.watermark.as_ref());
        if let (Some(time), Some(watermark)) = (&source.event_time, watermark) {
            let _ = writeln!(
                text,
                "  watermark of each partition: the greatest {time} less {}; a partition that waits longer than {} holds \
                 nothing back",
                format_duration(watermark.delay_ms),
                format_duration(watermark.idle_ms)
            );
        }
    }
    if described.sources.len() > 1 {
        text.push_str("  what is joined goes by the least watermark of a key group; each row is late by its own topic's\n");
    }
    for operator in &described.operators {
        one_operator(text, stage, operator);
        if let Some(planned) = stage.operators.iter().find(|o| o.id.to_string() == operator.id) {
            now.operator(text, &stage.id, &planned.id.name);
        }
    }
}

fn one_operator(text: &mut String, stage: &Stage, operator: &OperatorDescription) {
    let _ = writeln!(text, "\n  {} <- {}", operator.id, operator.inputs.join(", "));
    if let Some(plan) = &operator.logical_plan {
        text.push_str("    logical plan\n");
        for line in plan.lines() {
            let _ = writeln!(text, "      {line}");
        }
    }
    text.push_str("    runs\n");
    for (at, step) in operator.steps.iter().enumerate() {
        let _ = writeln!(text, "      {}. {step}", at + 1);
    }
    text.push_str(if operator.state.is_empty() { "    state: none\n" } else { "    state\n" });
    for state in &operator.state {
        let groups = stage.key_groups;
        let _ = writeln!(text, "      by {} in each of {groups} key groups", state.key.join(", "));
        let _ = writeln!(text, "      holds {}", state.holds);
        let _ = writeln!(text, "      kept {}", state.kept);
    }
    let planned = stage.operators.iter().find(|o| o.id.to_string() == operator.id);
    let planned = planned.and_then(|o| o.state.as_ref()).filter(|_| !operator.state.is_empty());
    if let Some(state) = planned {
        let (topic, partitions) = (&state.changelog, state.changelog_partitions);
        let _ =
            writeln!(text, "      changelog {topic}, {partitions} partitions, in each commit's transaction");
    }
    if let Some(late) = &operator.late {
        let _ = writeln!(text, "    late: {late}");
    }
    let _ = writeln!(text, "    gives {}", typed(&operator.columns));
}

fn typed(columns: &[(String, String)]) -> String {
    columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect::<Vec<_>>().join(", ")
}
