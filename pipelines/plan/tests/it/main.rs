//! Plans as data: testdata/NAME.yaml gives the text in NAME.expected, which is the plan, or why there is none.
//! `UPDATE_EXPECT=1 cargo test -p millstream-plan` writes the expectations anew; the diff is then read by a person.
#![allow(clippy::disallowed_methods, reason = "tests read their data from files")]

mod edits;
mod fuzz;
mod names;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use millstream_plan::{Job, TopicInput, explain, plan};
use millstream_spec::catalog::standard;
use millstream_spec::code::{self, Raiser};
use millstream_spec::{
    Capabilities, Diagnostics, NoReader, Outcome, Pipeline, Policy, Reader, Request, load, render,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn main_job() -> String {
    std::fs::read_to_string(root().join("../examples/store-invoices/pipeline.yaml")).unwrap()
}

fn spec(name: &str, text: &str) -> Outcome {
    spec_by(name, text, &NoReader)
}

fn spec_by(name: &str, text: &str, reader: &dyn Reader) -> Outcome {
    load(&Request {
        file: name,
        text,
        overrides: &[],
        catalog: &standard::catalog(),
        capabilities: &Capabilities::everything(),
        reader,
        policy: &Policy::local(),
    })
}

fn planned(name: &str, text: &str) -> (Pipeline, Result<Job, Diagnostics>, Outcome) {
    let outcome = spec(name, text);
    let shown = render::text(&outcome.diagnostics, &outcome.sources);
    let pipeline = outcome.pipeline.clone().unwrap_or_else(|| panic!("{name} is not for the plan:\n{shown}"));
    let job = plan(&pipeline, &standard::catalog());
    (pipeline, job, outcome)
}

fn job(text: &str) -> Job {
    planned("pipeline.yaml", text).1.unwrap_or_else(|d| panic!("no plan: {d:?}"))
}

#[test]
fn plans_are_as_expected() {
    let folder = root().join("testdata");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.ends_with(".yaml"))
        .collect();
    names.sort();
    let mut texts: Vec<(String, String)> =
        names.into_iter().map(|n| (n.clone(), std::fs::read_to_string(folder.join(n)).unwrap())).collect();
    texts.push(("store-invoices.yaml".to_owned(), main_job()));
    let mut raised: BTreeSet<&str> = BTreeSet::new();
    let mut failures = Vec::new();
    for (name, text) in &texts {
        let (pipeline, result, outcome) = planned(name, text);
        let shown = match &result {
            Ok(job) => {
                check_invariants(&pipeline, job);
                explain(job)
            }
            Err(diagnostics) => {
                raised.extend(diagnostics.items().iter().map(|d| d.code.id));
                render::text(diagnostics, &outcome.sources)
            }
        };
        let path = folder.join(name.replace(".yaml", ".expected"));
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, &shown).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if expected != shown {
            failures.push(format!("{name}\n--- expected\n{expected}\n--- actual\n{shown}"));
        }
    }
    for code in code::ALL.iter().filter(|c| c.raiser == Raiser::Plan && !raised.contains(c.id)) {
        failures.push(format!("no pipeline raises {}", code.id));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// What holds for every plan.
fn check_invariants(pipeline: &Pipeline, job: &Job) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut written: BTreeSet<&str> = BTreeSet::new();
    for stage in &job.stages {
        for input in &stage.inputs {
            let topic = job.topics.get(&input.topic).unwrap_or_else(|| panic!("{} is planned", input.topic));
            let first = matches!(stage.kind, millstream_plan::StageKind::Ingest) || input.foreign.is_some();
            assert!(
                first || written.contains(topic.name.as_str()),
                "{} is written before it is read",
                topic.name
            );
        }
        written.extend(stage.outputs.iter().map(|o| o.topic.as_str()));
        for operator in &stage.operators {
            assert!(seen.insert(&operator.id.name), "{} is in one stage", operator.id);
            if let Some(state) = &operator.state {
                let is_part = |c: &&str| state.key.iter().any(|column| column == c);
                let keyed = !stage.key().is_empty() && stage.key().iter().all(is_part);
                assert!(keyed || stage.key_groups == 1, "PL-3: {}", operator.id);
                let partitions = |topic: &str| job.topics.get(topic).map(|t| t.partitions);
                let same = |input: &TopicInput| partitions(&input.topic) == Some(stage.key_groups);
                assert!(stage.inputs.iter().all(same), "PL-5: {}", operator.id);
                assert!(state.changelog_partitions <= 16 && job.topics.contains_key(&state.changelog));
            }
        }
        assert_eq!(stage.sink.is_some(), stage.kind == millstream_plan::StageKind::Sink, "PL-4");
    }
    // One of type topic is an operator where it keeps where rows lie.
    let is_planned = |t: &&millstream_spec::ast::Transform| {
        t.type_name.value != "topic" || millstream_spec::replaced::divides(pipeline, t)
    };
    let not_topics = pipeline.transforms.values().filter(is_planned).count();
    assert_eq!(seen.len(), not_topics, "every transform is planned once");
    let foreign = pipeline.sinks.values().filter(|s| s.target == millstream_spec::ast::Target::Foreign);
    assert_eq!(job.stages.iter().filter(|s| s.sink.is_some()).count(), foreign.count());
}
