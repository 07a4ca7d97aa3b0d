//! Of rows that take the place of each other: whether what is behind a query finds a row again, when it is replaced and when it is gone.
//! Never enters: who may read such rows at all (`millstream_spec::replaced`).

use millstream_plan::{Encoding, Output, StageKind, TopicInput};
use millstream_spec::ast::{Operator, Sink, Topic};
use millstream_spec::replaced::replaced;
use millstream_spec::{Diagnostic, Spanned, code};

use crate::gone;
use crate::schemas::Columns;
use crate::shapes;

/// A stream whose rows take the place of each other.
struct Rows<'a> {
    stream: &'a str,
    /// Whether they may go.
    go: bool,
    known_by: Option<Vec<String>>,
}

/// The faults of a stage's outputs, or of what a sink reads.
pub(super) fn check(columns: &Columns<'_>, stage: &millstream_plan::Stage, found: &mut Vec<Diagnostic>) {
    match stage.kind {
        StageKind::Ingest => {}
        StageKind::Process => {
            for output in &stage.outputs {
                let Some(rows) = rows_of(columns, output.from.id()) else { continue };
                match output.encoding {
                    Encoding::Records => found.extend(topic(columns, &rows, output)),
                    _ => found.extend(sinks(columns, &rows)),
                }
            }
        }
        StageKind::Sink => {
            let Some(sink) = stage.sink.as_ref().and_then(|id| columns.pipeline.sinks.get(id)) else {
                return;
            };
            let is_topic = |input: &&TopicInput| input.encoding == Encoding::Records;
            for input in stage.inputs.iter().filter(is_topic) {
                let rows = rows_of(columns, &input.stream);
                found.extend(rows.and_then(|rows| table(&rows, sink)));
            }
        }
    }
}

fn rows_of<'a>(columns: &Columns<'_>, stream: &'a str) -> Option<Rows<'a>> {
    let of = replaced(columns.pipeline, stream)?;
    // What is at fault in what makes them is told there.
    let known_by = columns.known_by(stream).ok()?;
    // The one group of all rows is always there.
    let stays = known_by.as_ref().is_some_and(Vec::is_empty);
    Some(Rows { stream, go: of.goes && !stays, known_by })
}

fn sinks(columns: &Columns<'_>, rows: &Rows<'_>) -> Vec<Diagnostic> {
    let reads = |sink: &&Sink| sink.inputs.iter().any(|input| input.value == rows.stream);
    let sinks = columns.pipeline.sinks.values().filter(|sink| sink.upserts).filter(reads);
    sinks.filter_map(|sink| table(rows, sink)).collect()
}

/// A sink that replaces rows, by its key.
fn table(rows: &Rows<'_>, sink: &Sink) -> Option<Diagnostic> {
    let at = sink.config.span("key");
    let key = sink.config.texts("key");
    match &rows.known_by {
        _ if !rows.go || !sink.upserts => None,
        None => Some(unknown(rows, at)),
        Some(known) if same(known, &key) => None,
        Some(known) => {
            let message = format!(
                "rows of {:?} are known by {}, and may go; the sink {:?} would look for them by {}",
                rows.stream,
                known.join(", "),
                sink.id.value,
                names(&key)
            );
            let help = format!("say `key: [{}]`", known.join(", "));
            Some(Diagnostic::new(&code::NEEDS_UPSERT, at, message).help(help))
        }
    }
}

/// A topic, by its records' keys.
fn topic(columns: &Columns<'_>, rows: &Rows<'_>, output: &Output) -> Option<Diagnostic> {
    let pipeline = columns.pipeline;
    let topic = pipeline.topics.values().find(|topic| topic.name.value == output.topic)?;
    let at = topic.key.first().map_or_else(|| shapes::writer(pipeline, output), |key| key.span);
    let Some(known) = &rows.known_by else {
        return rows.go.then(|| unknown(rows, shapes::writer(pipeline, output)));
    };
    let found = |text: String, help: String| Some(Diagnostic::new(&code::NEEDS_UPSERT, at, text).help(help));
    let carries = |op: &Operator| matches!(op, Operator::Topic(op) if op.topic.value == topic.id.value);
    let is_read = pipeline.transforms.values().any(|transform| carries(&transform.op));
    let is_key = match (rows.go, is_read) {
        (true, _) => same(known, &topic.key),
        // One that the key has more of is replaced too, if that follows from the others.
        (false, true) => known.iter().all(|name| is_among(&topic.key, name)),
        // What they are grouped by may follow from the key, for which the file stands.
        (false, false) => true,
    };
    if topic.compacted && !is_key {
        return found(
            format!(
                "rows of {:?} are known by {}, and the topic {:?} is compacted: of it the latest record of each {} stays, which may be that of several rows",
                rows.stream,
                known.join(", "),
                topic.id.value,
                names(&topic.key)
            ),
            "key the topic by what its rows are known by, or take `cleanup: compact` away".to_owned(),
        );
    }
    if topic.key.is_empty() && topic.partitions.value > 1 {
        return found(
            format!(
                "rows of {:?} take the place of each other, and the topic {:?} has {} partitions and no key: one could come before the one whose place it takes",
                rows.stream, topic.id.value, topic.partitions.value
            ),
            format!("key the topic by one of {}, or give it one partition", known.join(", ")),
        );
    }
    if let Some(other) = lost(rows, known, topic) {
        return found(
            format!(
                "rows of {:?} are known by {}, and may go; the topic {:?} is keyed by {other}, which is not known of a row that is gone",
                rows.stream,
                known.join(", "),
                topic.id.value,
            ),
            format!("key the topic by one of {}, or by nothing where it has one partition", known.join(", ")),
        );
    }
    let schema = columns.of(rows.stream).ok().filter(|_| rows.go && !same(known, &topic.key))?;
    let why = gone::check(&schema, known).err()?;
    let message = format!("rows of {:?} may go, and are told by a header as JSON: {why}", rows.stream);
    Some(Diagnostic::new(&code::COLUMN_TYPE, at, message))
}

/// The topic's key, where a row that is gone has none.
fn lost<'a>(rows: &Rows<'_>, known: &[String], topic: &'a Topic) -> Option<&'a str> {
    let keys = topic.key.iter().map(|key| key.value.as_str());
    keys.filter(|_| rows.go).find(|key| !known.iter().any(|name| name == key))
}

fn unknown(rows: &Rows<'_>, at: millstream_spec::Span) -> Diagnostic {
    let message =
        format!("rows of {:?} may go, and what they are known by does not all come out of it", rows.stream);
    let help = "select each column of its GROUP BY, or all that the rows it reads are known by";
    Diagnostic::new(&code::NEEDS_UPSERT, at, message).help(help)
}

fn is_among(key: &[Spanned<String>], name: &str) -> bool {
    key.iter().any(|key| key.value == name)
}

fn same(known: &[String], key: &[Spanned<String>]) -> bool {
    known.len() == key.len() && known.iter().all(|name| is_among(key, name))
}

fn names(key: &[Spanned<String>]) -> String {
    match key {
        [] => "nothing".to_owned(),
        _ => key.iter().map(|key| key.value.as_str()).collect::<Vec<_>>().join(", "),
    }
}
