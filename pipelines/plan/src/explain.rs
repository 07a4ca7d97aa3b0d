//! A job as people read it: what `millstream plan` and `millstream explain` print.

use std::fmt::Write;

use millstream_spec::catalog::Delivery;
use millstream_spec::flow::PathDelivery;
use millstream_spec::scalar::format_duration;

use crate::graph::{Encoding, Foreign, Job, OperatorInput, Partitioner, Stage, StageKind};

/// The job as text.
pub fn explain(job: &Job) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "pipeline {}: {} stages, {} topics, a commit at least every {}",
        job.pipeline,
        job.stages.len(),
        job.topics.len(),
        format_duration(job.commit_interval_ms)
    );
    for stage in &job.stages {
        explain_stage(&mut out, job, stage);
    }
    out.push_str("\ntopics\n");
    let width = job.topics.keys().map(String::len).max().unwrap_or(0);
    for topic in job.topics.values() {
        let configs: Vec<String> = topic.configs.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let _ = writeln!(
            out,
            "  {:width$}  {:>4} partitions  {:12}  {}",
            topic.name,
            topic.partitions,
            topic.role.word(),
            configs.join(" ")
        );
    }
    if let Some(topic) = &job.dead_letters {
        let _ = writeln!(out, "  dead letters go to {topic}");
    }
    if let Some((url, is_taken)) = &job.snapshots {
        let _ = match is_taken {
            true => writeln!(out, "  snapshots of state go to {url}, changelogs have what came since"),
            false => writeln!(out, "  snapshots of state are read from {url}, and go into the changelogs"),
        };
    }
    if !job.functions.is_empty() {
        out.push_str("\nfunctions\n");
    }
    for function in job.functions.values() {
        let digest = function.digest.as_ref().map_or_else(String::new, |digest| format!(", sha256 {digest}"));
        let _ = writeln!(out, "  {} by {}{digest}", function.signature, function.module);
    }
    if !job.paths.is_empty() {
        out.push_str("\ndelivery\n");
    }
    for path in &job.paths {
        let mut steps = vec![path.source.as_str()];
        steps.extend(path.via.iter().map(String::as_str));
        steps.push(&path.sink);
        let promise = path.wanted.min(path.kept);
        let why = match &path.limited_by {
            Some((component, why)) if !why.is_empty() => format!(" ({component}: {why})"),
            Some((component, _)) => format!(" ({component})"),
            None => String::new(),
        };
        let _ = writeln!(out, "  {}: {}{why}", steps.join(" -> "), promise.word());
    }
    out
}

fn explain_stage(out: &mut String, job: &Job, stage: &Stage) {
    let kind = match stage.kind {
        StageKind::Ingest => "reads sources",
        StageKind::Process => "processes",
        StageKind::Sink => "writes",
    };
    let _ = writeln!(out, "\nstage {} ({kind})", stage.id);
    // A target that keeps no offsets: what it took is known by the group's alone.
    let repeats = |sink: &String| {
        let limits = |path: &PathDelivery| path.limited_by.as_ref().is_some_and(|(by, _)| by == sink);
        job.paths.iter().any(|path| path.sink == *sink && limits(path))
    };
    let commit = match (stage.broker_transaction, &stage.sink) {
        (true, _) => "one broker transaction",
        (false, Some(sink)) if repeats(sink) => "the group's offsets, behind what the target took",
        (false, _) => "the target's own transaction",
    };
    let _ = writeln!(out, "  group {}, each commit {commit}", stage.group_id);
    if stage.backfill {
        let _ = writeln!(out, "  filled from the beginning of its topics whenever it is edited");
    }
    for source in &stage.sources {
        let _ = writeln!(out, "  reads source {source}");
    }
    for input in &stage.inputs {
        let watermark = input.watermark.as_ref().map_or_else(String::new, |w| {
            format!(
                ", watermark {} - {}, idle after {}",
                w.column.value,
                format_duration(w.delay_ms),
                format_duration(w.idle_ms)
            )
        });
        let foreign = match input.foreign {
            None => "",
            Some(Foreign::ForEver) => ", written by others",
            Some(Foreign::UntilEnd) => ", written by others, to where it ends when the run begins",
        };
        let _ = writeln!(
            out,
            "  reads topic {} ({}){foreign}{watermark}",
            input.topic,
            encoding(job, &input.topic, input.encoding)
        );
    }
    if !stage.tables.is_empty() {
        let follows = |id: &String| match job.followed.get(id) {
            Some(topic) => format!("{id} (follows topic {topic})"),
            None => id.clone(),
        };
        let (asked, read): (Vec<&String>, Vec<&String>) =
            stage.tables.iter().partition(|id| job.asked.contains(*id));
        if !read.is_empty() {
            let tables: Vec<String> = read.into_iter().map(follows).collect();
            let _ = writeln!(out, "  reads tables {}, whole, on each worker", tables.join(", "));
        }
        for id in asked {
            let _ = writeln!(out, "  asks table {id} for the rows of the keys that come, as it is then");
        }
    }
    if stage.kind == StageKind::Process {
        let by = if stage.key().is_empty() {
            "no key".to_owned()
        } else {
            format!("by {}", stage.key().join(", "))
        };
        let _ = writeln!(out, "  {} key groups, {by}", stage.key_groups);
    }
    for operator in &stage.operators {
        let inputs: Vec<&str> = operator.inputs.iter().map(OperatorInput::id).collect();
        let _ = writeln!(out, "  {} {} <- {}", operator.type_name, operator.id, inputs.join(", "));
        if !operator.calls.is_empty() {
            let _ = writeln!(out, "    calls {}", operator.calls.join(", "));
        }
        if let Some(state) = &operator.state {
            let _ = writeln!(
                out,
                "    state by {}, changelog {} ({} partitions)",
                if state.key.is_empty() { "nothing".to_owned() } else { state.key.join(", ") },
                state.changelog,
                state.changelog_partitions
            );
        }
    }
    for output in &stage.outputs {
        let how = match &output.partitioner {
            Partitioner::Key(columns) => format!("keyed by {}", columns.join(", ")),
            Partitioner::KeyGroup => "by key group".to_owned(),
            Partitioner::Sticky => "any partition".to_owned(),
        };
        let _ = writeln!(
            out,
            "  writes {} to topic {} ({}, {how}{})",
            output.from.id(),
            output.topic,
            encoding(job, &output.topic, output.encoding),
            match output.delivery {
                Delivery::AtMostOnce => ", at most once",
                Delivery::AtLeastOnce => ", at least once",
                Delivery::ExactlyOnce => "",
            }
        );
    }
    for from in &stage.discards {
        let _ = writeln!(out, "  counts the rows of {} and forgets them", from.id());
    }
    if let Some(sink) = &stage.sink {
        let _ = writeln!(out, "  writes sink {sink}, with at most {} writers", stage.key_groups);
    }
}

fn encoding<'a>(job: &'a Job, topic: &str, encoding: Encoding) -> &'a str {
    match encoding {
        Encoding::Records => job.topics.get(topic).and_then(|t| t.format.as_deref()).unwrap_or("JSON"),
        Encoding::Arrow => "Arrow",
        Encoding::Internal => "internal",
    }
}
