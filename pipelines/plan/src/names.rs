//! Names as contract: topics, groups and transactional ids by pipeline and component. Changing one loses state.
//!
//! Invariant PL-1: no two pipelines, and no two components of one, get the same name. It holds since component ids have no
//! `-`, pipeline names do not end in one, and lint reserves the suffixes used here as ids.

/// The id of the stage that reads sources.
pub const INGEST: &str = "ingest";

/// The topic that carries an operator's rows to its sinks.
pub fn sink_topic(pipeline: &str, operator: &str) -> String {
    format!("{pipeline}-{operator}")
}

/// The changelog of an operator's state.
pub fn changelog_topic(pipeline: &str, operator: &str) -> String {
    format!("{pipeline}-{operator}-state")
}

/// A stage, or an operator of it, that is filled from the beginning of its topics under this definition.
pub fn filled(id: &str, definition: u32) -> String {
    format!("{id}.{definition:08x}")
}

/// The part of a stage's id that is in the file: all but the definition under which it is filled.
pub fn unfilled(stage: &str) -> &str {
    stage.split_once('.').map_or(stage, |(id, _)| id)
}

/// Where each source has come to, by source and split.
pub fn positions_topic(pipeline: &str) -> String {
    format!("{pipeline}-positions")
}

/// Who reads which split of a source: the owner of the split's partition.
pub fn splits_topic(pipeline: &str) -> String {
    format!("{pipeline}-splits")
}

/// The dead letters of a pipeline that names no topic for them.
pub fn dead_letter_topic(pipeline: &str) -> String {
    format!("{pipeline}-{}", millstream_spec::DEAD_LETTERS)
}

/// The pipeline whose positions topic, or changelog, this is.
pub fn pipeline_of(topic: &str) -> Option<&str> {
    match topic.strip_suffix("-positions") {
        Some(pipeline) => Some(pipeline),
        None => Some(topic.strip_suffix("-state")?.rsplit_once('-')?.0),
    }
}

/// The consumer group of the stage whose worker's transactional id this is, where it is of this pipeline.
pub fn group_of<'a>(pipeline: &str, transactional_id: &'a str) -> Option<&'a str> {
    let rest = transactional_id.strip_prefix(pipeline)?.strip_prefix('-')?;
    let (stage, instance) = rest.split_once('-')?;
    (!stage.is_empty() && !instance.is_empty()).then(|| &transactional_id[..pipeline.len() + 1 + stage.len()])
}

/// The consumer group of a stage: `ingest`, the id of the topic transform that it reads, or the sink's id.
pub fn group_id(pipeline: &str, stage: &str) -> String {
    format!("{pipeline}-{stage}")
}

/// The start of the transactional ids of a stage's workers.
pub fn transactional_id_prefix(pipeline: &str, stage: &str) -> String {
    format!("{pipeline}-{stage}-")
}

/// The transactional id of one worker; `instance` is the worker's own name, kept over restarts, so that a restarted
/// worker aborts what it left open.
pub fn transactional_id(pipeline: &str, stage: &str, instance: &str) -> String {
    format!("{}{instance}", transactional_id_prefix(pipeline, stage))
}

/// The transactional id by which a savepoint is put back: that of no stage, whose name would stand between the dashes.
pub fn restore_transactional_id(pipeline: &str) -> String {
    format!("{pipeline}--restore")
}
