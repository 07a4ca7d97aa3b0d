//! Recordings that a test replays: their files read, and what cannot be replayed told with its place in them. Never enters:
//! the form of a line and the order of a replay (`millstream_spec::recording`), writing the records to a topic.

use std::collections::BTreeMap;
use std::path::Path;

use millstream_plan::Job;
use millstream_spec::ast::{FormatKind, Given, Pipeline, Recording, Topic};
use millstream_spec::flow::recorded_topic;
use millstream_spec::recording::{self, Record};
use millstream_spec::{Diagnostic, SourceId, SourceMap, Spanned, code};

use crate::error::WorkerError;

/// The faults of all recordings of a file's tests. A file that several tests name is read once, and joins the texts that
/// places point into.
pub fn check(parts: (&Pipeline, &Job), root: &Path, sources: &mut SourceMap) -> Vec<Diagnostic> {
    let (pipeline, job) = parts;
    let mut found = Vec::new();
    let mut known: BTreeMap<&str, Vec<Spanned<Record>>> = BTreeMap::new();
    for (id, given) in pipeline.tests.iter().flat_map(|case| &case.inputs) {
        let Given::Recording(said) = given else { continue };
        let path = said.path.value.as_str();
        let Some(topic) = topic_of(pipeline, &id.value) else { continue };
        found.extend(unreadable(job, id, topic));
        if !known.contains_key(path) {
            let text = match read(root, path) {
                Ok(text) => text,
                Err(why) => {
                    found.push(Diagnostic::new(&code::TEST_RECORDING, said.path.span, why));
                    continue;
                }
            };
            let (records, faults) = recording::parse(sources.add(path, text.as_str()), &text);
            found.extend(faults);
            known.insert(path, records);
        }
        found.extend(known.get(path).and_then(|records| beyond(records, job, topic)));
    }
    found
}

/// The topic, by its name on the broker, and the records that a recording gives it, in the order of the replay.
pub(super) fn load(
    pipeline: &Pipeline,
    job: &Job,
    root: &Path,
    id: &Spanned<String>,
    said: &Recording,
) -> Result<(String, Vec<Record>), WorkerError> {
    let path = &said.path.value;
    let failed = |why: String| WorkerError::Setup(format!("replaying {path} into {:?}: {why}", id.value));
    let topic = topic_of(pipeline, &id.value).ok_or_else(|| failed("it is no topic".to_owned()))?;
    let text = read(root, path).map_err(failed)?;
    let (records, faults) = recording::parse(SourceId::default(), &text);
    let fault = faults.into_iter().next().or_else(|| beyond(&records, job, topic));
    if let Some(fault) = fault {
        // It has changed since it was checked.
        return Err(failed(fault.message));
    }
    let records = recording::replayed(records, said).into_iter().map(|record| record.value);
    Ok((topic.name.value.clone(), records.collect()))
}

fn topic_of<'a>(pipeline: &'a Pipeline, id: &str) -> Option<&'a Topic> {
    recorded_topic(pipeline, id).and_then(|topic| pipeline.topics.get(topic))
}

fn read(root: &Path, path: &str) -> Result<String, String> {
    let doing = |why: String| format!("reading the recording {path}: {why}");
    let file = root.join(path);
    let meta = std::fs::metadata(&file).map_err(|error| doing(error.to_string()))?;
    if !meta.is_file() {
        return Err(doing("it is no file".to_owned()));
    }
    let size = meta.len();
    if size > recording::FILE_BYTES_MAX {
        return Err(doing(format!(
            "it has {size} bytes, and the most is {}; record less, with --max-records, --from and --to",
            recording::FILE_BYTES_MAX
        )));
    }
    std::fs::read_to_string(&file).map_err(|error| doing(error.to_string()))
}

/// A record of a partition that the topic does not have.
fn beyond(records: &[Spanned<Record>], job: &Job, topic: &Topic) -> Option<Diagnostic> {
    let partitions = job.topics.get(&topic.name.value).map_or(1, |t| t.partitions);
    let record = records.iter().find(|record| record.partition as u32 >= partitions)?;
    let message = format!(
        "the record is of partition {}, and the topic {:?} has {partitions}",
        record.partition, topic.id.value
    );
    let help = "give the topic of the pipeline as many partitions as the recorded one";
    Some(Diagnostic::new(&code::TEST_RECORDING, record.span, message).help(help))
}

/// Why records of a topic cannot be read in a test, though the pipeline reads them.
fn unreadable(job: &Job, id: &Spanned<String>, topic: &Topic) -> Option<Diagnostic> {
    let format = &topic.format;
    let kind = format.kind.value;
    let mut outputs = job.stages.iter().flat_map(|stage| &stage.outputs);
    let written = outputs.any(|output| output.topic == topic.name.value);
    let why = match kind {
        FormatKind::Json => return None,
        FormatKind::Avro | FormatKind::Protobuf if format.registry => {
            "name schemas in a registry, and a test asks none"
        }
        // In a test what a pipeline writes is JSON, so that it can be compared.
        _ if written => "are what the pipeline writes itself, which in a test is JSON",
        _ => return None,
    };
    let message =
        format!("a recording of {:?} cannot be replayed: its {} records {why}", id.value, kind.title());
    let help = "give this input rows as JSON";
    Some(Diagnostic::new(&code::TEST_RECORDING, id.span, message).help(help))
}
