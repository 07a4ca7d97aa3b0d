//! What only the plan and the connectors can say about a file's tests: rows that a source cannot bring, topics that
//! nothing writes, points that no stage has. Never enters: running a case.

use millstream_plan::{Job, Stage, StageKind, names};
use millstream_spec::ast::{Given, Operator, Pipeline, Scenario, Target, TestCase};
use millstream_spec::flow::section_of;
use millstream_spec::shape::Section;
use millstream_spec::value::Value;
use millstream_spec::{Diagnostic, Spanned, code};

use super::GONE;
use super::observe::shown;

/// The faults of all tests.
pub fn check(pipeline: &Pipeline, job: &Job) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for case in &pipeline.tests {
        inputs(pipeline, case, &mut found);
        for (id, _) in &case.expect {
            if shown(pipeline, job, &id.value).is_none() {
                let message = format!("nothing in the pipeline writes the rows of {:?}", id.value);
                let help = "name a transform, a sink or a topic that a `topic` transform writes";
                found.push(Diagnostic::new(&code::TEST_UNSEEN, id.span, message).help(help));
            }
        }
        if let Some(scenario) = &case.scenario
            && fail_point(pipeline, job, scenario).is_none()
        {
            let message =
                format!("{:?} is read and written by no stage of its own", scenario.component.value);
            let help = "name a source, a transform that runs, or a sink";
            found.push(Diagnostic::new(&code::TEST_FAIL_AT, scenario.component.span, message).help(help));
        }
    }
    found
}

fn inputs(pipeline: &Pipeline, case: &TestCase, found: &mut Vec<Diagnostic>) {
    for (id, given) in &case.inputs {
        let Given::Rows(rows) = given else { continue };
        let lines = pipeline.sources.get(&id.value).is_some_and(|s| s.type_name.value == "file");
        for row in rows {
            match &row.value {
                Value::Text(text) if lines && text.contains('\n') => {
                    let message = format!("a row of {:?} holds a line break, and it reads lines", id.value);
                    let help =
                        "write each line as a row of its own; a block ends without a line break as `|-`";
                    found.push(Diagnostic::new(&code::TEST_INPUT, row.span, message).help(help));
                }
                Value::Map(columns)
                    if let Some((message, help)) = badly_gone(pipeline, &id.value, columns) =>
                {
                    found.push(Diagnostic::new(&code::TEST_INPUT, row.span, message).help(help));
                }
                Value::Map(columns) if pipeline.tables.contains_key(&id.value) => {
                    found.extend(columns.iter().filter_map(|column| table_cell(row, column)));
                }
                _ => {}
            }
        }
    }
}

/// Of a row of a source whose rows go, which says that one is gone: what is wrong with how it names it, and what to write. Its topic's
/// key names it, and a record without a value has nothing else.
fn badly_gone(pipeline: &Pipeline, source: &str, columns: &[(String, Value)]) -> Option<(String, String)> {
    let read = pipeline.sources.get(source)?.topic.as_ref().filter(|read| read.upsert.is_some())?;
    let topic = pipeline.topics.get(&read.topic.value)?;
    let [(name, known)] = columns else { return None };
    if name != GONE {
        return None;
    }
    let key: Vec<&str> = topic.key.iter().map(|key| key.value.as_str()).collect();
    let form = key.iter().map(|column| format!("{column}: …")).collect::<Vec<_>>().join(", ");
    let help = format!("write `{GONE}: {{ {form} }}`, with the topic's `key` and no other column");
    let of_map = |known: &[(String, Value)]| -> Option<String> {
        let names = |name: &str| known.iter().any(|(column, _)| column == name);
        if let Some(missing) = key.iter().find(|column| !names(column)) {
            return Some(format!("is not named by its topic's key: {missing} is missing"));
        }
        let others = known.iter().map(|(column, _)| column.as_str()).filter(|column| !key.contains(column));
        let others: Vec<&str> = others.collect();
        (!others.is_empty()).then(|| {
            format!("is named by its topic's key alone, and {} would not be looked at", others.join(", "))
        })
    };
    let why = match known {
        Value::Map(known) => of_map(known)?,
        _ => "is not named by its topic's key".to_owned(),
    };
    Some((format!("the row of {source:?} that is gone {why}"), help))
}

fn table_cell(row: &Spanned<Value>, (name, value): &(String, Value)) -> Option<Diagnostic> {
    let nested = matches!(value, Value::List(_) | Value::Map(_));
    nested.then(|| {
        let message =
            format!("the column {name:?} of a table's row is a list or a mapping; a table has plain values");
        Diagnostic::new(&code::TEST_INPUT, row.span, message)
    })
}

/// The point of a stage at which a scenario's worker dies, as `MILLSTREAM_FAIL_AT` names it. A stage that commits by a
/// broker transaction stages its rows by sending them into it.
pub fn fail_point(pipeline: &Pipeline, job: &Job, scenario: &Scenario) -> Option<String> {
    let id = scenario.component.value.as_str();
    let stage = match section_of(pipeline, id)? {
        Section::Sources => reader(job, id).or_else(|| job.stage(names::INGEST))?,
        Section::Sinks => match &pipeline.sinks[id].target {
            Target::Foreign => job.stage(id)?,
            // The stage that gives the rows writes them.
            _ => {
                let input = &pipeline.sinks[id].inputs.first()?.value;
                job.operator(input).map(|(stage, _)| stage).or_else(|| reader(job, input))?
            }
        },
        Section::Tables => return None,
        Section::Transforms => match &pipeline.transforms[id].op {
            Operator::Topic(op) => {
                let topic = &pipeline.topics.get(&op.topic.value)?.name.value;
                let writes = || job.stages.iter().find(|s| s.outputs.iter().any(|o| o.topic == *topic));
                reader(job, id).or_else(writes)?
            }
            _ => job.operator(id)?.0,
        },
    };
    let point = match (scenario.point.as_str(), stage.kind) {
        ("before_stage", StageKind::Ingest | StageKind::Process) => "before_send",
        ("after_stage", StageKind::Ingest | StageKind::Process) => "before_offsets",
        (other, _) => other,
    };
    Some(format!("{}.{point}", stage.id))
}

/// The first stage that computes with a stream that is a topic: the stage of that name, one of several, or one that is filled.
fn reader<'a>(job: &'a Job, stream: &str) -> Option<&'a Stage> {
    let reads = |s: &&Stage| s.kind == StageKind::Process && s.inputs.iter().any(|i| i.stream == stream);
    job.stage(stream).or_else(|| job.stages.iter().find(reads))
}
