//! From a stage's spec to a stage that runs, with every problem found at once.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use millstream_model::key_group::KEY_GROUPS_MAX;
use millstream_model::time::SPAN_MS_MAX;
use millstream_model::{LateThen, SourceWatermarks, Watermark};

use super::fired::Fired;
use super::source::Source;
use super::{
    Operator, OperatorCounts, OperatorKind, OperatorSpec, Outputs, Running, SourceSpec, Stage, StageSpec,
};
use crate::op::dedupe::Dedupe;
use crate::op::row_key;
use crate::sql::{self, Functions, Keep, Relation, Relations, SqlOptions, SqlProblem};
use crate::state::Owned;
use millstream_format::Decoder;

/// The most streams that a stage reads and a query joins.
const SOURCES_MAX: usize = 16;

/// A problem with a stage's spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageProblem {
    /// The operator's name; `None` for the source and the stage itself.
    pub operator: Option<String>,
    /// Where in its SQL, if it is there.
    pub sql: Option<SqlProblem>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for StageProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.operator {
            Some(operator) => write!(f, "{operator}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for StageProblem {}

/// A stream of the stage while it is built.
#[derive(Clone)]
struct Node {
    name: String,
    schema: SchemaRef,
    /// Still a source's rows, in its columns.
    direct: bool,
    /// The sources whose rows these are, or are made of, rising.
    sources: Vec<usize>,
    /// The column of event time, where rows have it.
    time: Option<String>,
    /// The columns that keep rows in one partition, under the names that they have here; `None` if there is one only. One
    /// that is gone has a name that no column can have, so that no query groups by it.
    partitioned_by: Option<Vec<String>>,
    /// Rows come with a commit, not with rows of the source.
    fired: bool,
    /// Rows of streams that are joined without windows, or what is made of them row by row: none is ever taken back.
    joined: bool,
    /// The columns that a row is known by, where each takes the place of the one before it that has the same.
    latest_by: Option<Vec<String>>,
}

impl Stage {
    /// Makes a stage. Its tables are loaded and its partitions assigned afterwards.
    pub fn build(spec: StageSpec) -> Result<Stage, Vec<StageProblem>> {
        let mut problems = Vec::new();
        check_stage(&spec, &mut problems);
        let functions = Functions::new(&spec.functions).map_err(|text| vec![plain(None, text)])?;
        let source = |(at, source): (usize, &SourceSpec)| Node {
            name: source.name.clone(),
            schema: Arc::clone(&source.schema),
            direct: true,
            sources: vec![at],
            time: source.event_time.clone(),
            partitioned_by: source.partitioned_by.clone(),
            fired: false,
            joined: false,
            latest_by: source.latest_by.clone(),
        };
        let mut nodes: Vec<Node> = spec.sources.iter().enumerate().map(source).collect();
        let mut operators = Vec::new();
        // What reads what is at fault is not looked at: its faults would be those of the first.
        let mut failed: BTreeSet<&str> = BTreeSet::new();
        for operator in &spec.operators {
            if operator.inputs.iter().any(|input| failed.contains(input.as_str())) {
                failed.insert(&operator.name);
                continue;
            }
            match build_operator(operator, &spec, &nodes, &functions) {
                Ok((built, node)) => {
                    operators.push(built);
                    nodes.push(node);
                }
                Err(found) => {
                    failed.insert(&operator.name);
                    problems.extend(found);
                }
            }
        }
        for output in &spec.outputs {
            let known = spec.sources.iter().any(|s| s.name == *output)
                || spec.operators.iter().any(|o| o.name == *output);
            if !known {
                problems.push(plain(None, format!("the stage gives no {output}")));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let sources = 0..spec.sources.len();
        let sources = sources.map(|at| build_source(at, &spec, &mut operators, &nodes));
        let sources = sources.collect::<Result<_, _>>().map_err(|problem| vec![problem])?;
        functions.open();
        Ok(Stage {
            id: spec.id,
            sources,
            batch_rows: spec.batch_rows,
            key_groups: spec.key_groups,
            changelog_partitions: spec.changelog_partitions,
            operators,
            closed: Owned::default(),
            declared_tables: spec.tables.into_keys().collect(),
            lookups: super::lookups::Lookups::default(),
            out: Outputs::default(),
            unfit: Vec::new(),
        })
    }
}

/// A source, which decodes the columns that are read of it: operators that read it find them there.
fn build_source(
    at: usize,
    stage: &StageSpec,
    operators: &mut [Operator],
    nodes: &[Node],
) -> Result<Source, StageProblem> {
    let spec = &stage.sources[at];
    let read = columns_read(at, stage, operators, nodes);
    let decoder = Decoder::new(&spec.format, &spec.schema, &read).and_then(|all| all.freeze(spec.frozen));
    let decoder = decoder.map_err(|e| plain(None, e.to_string()))?;
    let known = spec.latest_by.as_ref().map(|names| {
        let columns = names.iter().map(|name| spec.schema.index_of(name)).collect::<Result<Vec<_>, _>>();
        let known = columns.and_then(|columns| spec.schema.project(&columns));
        let known =
            known.map_err(|e| plain(None, format!("what rows of {} are known by: {e}", spec.name)))?;
        let all: Vec<usize> = (0..known.fields().len()).collect();
        Decoder::json(&known, &all).map_err(|e| plain(None, e.to_string()))
    });
    let mut place = vec![None; spec.schema.fields().len()];
    for (at, column) in read.iter().enumerate() {
        place[*column] = Some(at);
    }
    for operator in operators {
        let Running::Sql { query, .. } = &mut operator.running else { continue };
        for (branch, input) in operator.inputs.iter().enumerate() {
            // Operators that only see the source's rows read them from the decoded columns.
            if nodes[*input].direct && nodes[*input].sources == [at] {
                query.read_from(branch, &place);
            }
        }
    }
    let time = spec.event_time.as_ref().and_then(|name| spec.schema.index_of(name).ok());
    Ok(Source {
        wanted: stage.outputs.contains(&spec.name),
        name: spec.name.as_str().into(),
        schema: decoder.schema(),
        decoder,
        time: time.and_then(|i| place[i]),
        clocks: SourceWatermarks::new(spec.watermark),
        committed: vec![Watermark::NONE.to_raw(); stage.key_groups as usize],
        promised: vec![Watermark::NONE.to_raw(); stage.key_groups as usize],
        followed: vec![Watermark::NONE.to_raw(); stage.key_groups as usize],
        followed_committed: vec![Watermark::NONE.to_raw(); stage.key_groups as usize],
        held_committed: vec![Watermark::NONE.to_raw(); stage.key_groups as usize],
        groups: Vec::new(),
        bounds: Vec::new(),
        gone: Vec::new(),
        known: known.transpose()?,
        offsets: Vec::new(),
        waiting: Vec::new(),
    })
}

fn plain(operator: Option<&str>, message: String) -> StageProblem {
    StageProblem { operator: operator.map(str::to_owned), sql: None, message }
}

fn check_stage(spec: &StageSpec, problems: &mut Vec<StageProblem>) {
    let mut problem = |text: String| problems.push(plain(None, text));
    if !(1..=KEY_GROUPS_MAX).contains(&spec.key_groups) {
        problem(format!("{} key groups: the bounds are 1 and {KEY_GROUPS_MAX}", spec.key_groups));
    }
    if !(1..=spec.key_groups.max(1)).contains(&spec.changelog_partitions) {
        problem(format!(
            "{} changelog partitions: the bounds are 1 and the number of key groups",
            spec.changelog_partitions
        ));
    }
    if !(1..=1_000_000).contains(&spec.batch_rows) {
        problem(format!("batches of {} rows: the bounds are 1 and 1,000,000", spec.batch_rows));
    }
    if !(1..=SOURCES_MAX).contains(&spec.sources.len()) {
        problem(format!("{} streams of topics: the bounds are 1 and {SOURCES_MAX}", spec.sources.len()));
    }
    for source in &spec.sources {
        check_source(source, &mut problem);
    }
    let names = spec.sources.iter().map(|s| &s.name);
    let names = names.chain(spec.operators.iter().map(|o| &o.name)).chain(spec.tables.keys());
    let mut seen = std::collections::BTreeSet::new();
    for name in names.filter(|name| !seen.insert(name.as_str())) {
        problem(format!("two parts of the stage are called {name}"));
    }
}

fn check_source(source: &SourceSpec, problem: &mut impl FnMut(String)) {
    if let Err(text) = source.watermark.validate() {
        problem(text);
    }
    if let Some(name) = &source.event_time {
        match source.schema.field_with_name(name) {
            Ok(field) if sql::is_event_time(field.data_type()) && !field.is_nullable() => {}
            Ok(field) if field.is_nullable() => {
                problem(format!("the event time {name} may be null; declare it required"));
            }
            Ok(field) => problem(format!(
                "the event time {name} is of type {}; it is a timestamp_ms, in UTC",
                field.data_type()
            )),
            Err(_) => {
                problem(format!("the watermark is about column {name}, which {} does not have", source.name))
            }
        }
    }
}

fn build_operator(
    spec: &OperatorSpec,
    stage: &StageSpec,
    nodes: &[Node],
    functions: &Functions,
) -> Result<(Operator, Node), Vec<StageProblem>> {
    let problem = |text: String| vec![plain(Some(&spec.name), text)];
    let streams: Vec<usize> = (0..nodes.len()).filter(|i| spec.inputs.contains(&nodes[*i].name)).collect();
    for name in &spec.inputs {
        if !stage.tables.contains_key(name) && !nodes.iter().any(|n| n.name == *name) {
            return Err(problem(format!("it reads {name}, which is no table and no step before it")));
        }
    }
    let (running, inputs, out) = match &spec.kind {
        OperatorKind::Dedupe { key, within_ms, late_by_ms } => {
            let [input] = streams[..] else {
                return Err(problem(format!(
                    "it reads {} streams of the stage; it can read one",
                    streams.len()
                )));
            };
            let node = &nodes[input];
            if node.fired {
                return Err(problem(format!(
                    "it drops repeats of {}, which windows of the same stage give; publish that to a topic first",
                    node.name
                )));
            }
            if node.latest_by.is_some() {
                return Err(problem(format!(
                    "it drops repeats of {}, whose rows take the place of each other; there are none to drop",
                    node.name
                )));
            }
            let dedupe = build_dedupe(key, *within_ms, late_by_ms.unwrap_or(*within_ms), node);
            let out = Node { name: spec.name.clone(), ..node.clone() };
            (Running::Dedupe(dedupe.map_err(problem)?), vec![input], out)
        }
        OperatorKind::Divide { by } => {
            let [input] = streams[..] else {
                return Err(problem(format!(
                    "it divides {} streams of the stage anew; it can divide one",
                    streams.len()
                )));
            };
            let node = &nodes[input];
            let query = sql::divide(&spec.id, &node.name, &node.schema, node.latest_by.as_deref(), by);
            let query = query.map_err(problem)?;
            let out = Node { partitioned_by: Some(by.clone()), ..behind(&query, &[node], spec) };
            (Running::Sql { query: Box::new(query), late: LateThen::Drop }, vec![input], out)
        }
        OperatorKind::Sql { sql, late, update_ms, keep } => {
            let mut relations = Relations::new();
            for name in &spec.inputs {
                if let Some(table) = stage.tables.get(name) {
                    let (schema, key) = (Arc::clone(&table.schema), table.key.clone());
                    relations.insert(name.clone(), Relation::Table { schema, key });
                }
            }
            for node in streams.iter().map(|at| &nodes[*at]) {
                relations.insert(
                    node.name.clone(),
                    Relation::Stream {
                        schema: Arc::clone(&node.schema),
                        event_time: node.time.clone(),
                        partitioned_by: node.partitioned_by.clone(),
                        latest_by: node.latest_by.clone(),
                    },
                );
            }
            if let Some(Keep::For(span)) = keep.filter(|keep| !keep.is_within(SPAN_MS_MAX)) {
                return Err(problem(format!("keep: {span} ms: the bounds are 1 and {SPAN_MS_MAX}")));
            }
            if let Some(every) = update_ms.filter(|every| !(1..=SPAN_MS_MAX).contains(every)) {
                return Err(problem(format!(
                    "rows sent every {every} ms: the bounds are 1 and {SPAN_MS_MAX}"
                )));
            }
            let options = SqlOptions {
                operator: spec.id.clone(),
                late: late.clone(),
                key_groups: stage.key_groups,
                update_ms: *update_ms,
                keep: *keep,
                functions: functions.clone(),
            };
            let query = sql::compile(sql, &relations, &options).map_err(|found| {
                let problems = found.into_iter().map(|p| StageProblem {
                    operator: Some(spec.name.clone()),
                    message: p.to_string(),
                    sql: Some(p),
                });
                problems.collect::<Vec<_>>()
            })?;
            if query.streams().count() > SOURCES_MAX {
                return Err(problem(format!("it joins more than {SOURCES_MAX} streams")));
            }
            let place = |name: &str| streams.iter().copied().find(|at| nodes[*at].name == name);
            let inputs: Option<Vec<usize>> = query.streams().map(place).collect();
            let inputs = inputs.expect("a query reads streams that it was told of");
            if let Some(unread) = streams.iter().find(|at| !inputs.contains(at)) {
                return Err(problem(format!(
                    "{} is among its inputs, and the query does not read it; take it away, or join it",
                    nodes[*unread].name
                )));
            }
            let read: Vec<&Node> = inputs.iter().map(|at| &nodes[*at]).collect();
            // What windows give comes with a commit, not with a row: rows of it can be filtered and computed with, not more.
            // Of a join of streams groups without windows can be made: they want no event time. Rows that take the place of each
            // other are read by what keeps the latest of them.
            let may_read = |node: &Node| {
                let of_groups = node.joined && query.keeps_groups() || query.reads_latest();
                !node.fired || !query.is_windowed() || of_groups
            };
            if let Some(node) = read.iter().find(|node| !may_read(node)) {
                return Err(problem(format!(
                    "it has windows or functions OVER {0}, or joins it, and {0} comes from windows, functions OVER or a join of the same stage; publish that to a topic first",
                    node.name
                )));
            }
            let out = behind(&query, &read, spec);
            (Running::Sql { query: Box::new(query), late: late.then.clone() }, inputs, out)
        }
    };
    let operator = Operator {
        id: spec.id.clone(),
        name: spec.name.as_str().into(),
        sources: sources_of(inputs.iter().map(|at| &nodes[*at])),
        branches: inputs.iter().map(|at| nodes[*at].sources.clone()).collect(),
        inputs,
        running,
        fired: Fired::default(),
        wanted: stage.outputs.contains(&spec.name),
        counts: OperatorCounts::default(),
    };
    Ok((operator, out))
}

/// What comes out of a query.
fn behind(query: &sql::Query, read: &[&Node], spec: &OperatorSpec) -> Node {
    // Of several streams that are joined, the rows come with a commit, and go through queries without windows.
    let node = read[0];
    let name = |column: &String| node.schema.index_of(column).ok().and_then(|at| query.passes(at));
    let gone = |column: &String| format!("{column} of {}", node.name);
    let kept = |column: &String| name(column).map_or_else(|| gone(column), str::to_owned);
    Node {
        name: spec.name.clone(),
        schema: query.schema(),
        direct: false,
        sources: sources_of(read.iter().copied()),
        // What is joined comes when both of its rows are there: of no window, and by no order of time.
        time: node.time.as_ref().filter(|_| !query.is_windowed()).and_then(name).map(str::to_owned),
        partitioned_by: node.partitioned_by.as_ref().map(|columns| columns.iter().map(kept).collect()),
        fired: read.iter().any(|node| node.fired) || query.is_windowed(),
        latest_by: query.latest_by(),
        joined: query.is_joined() || !query.is_windowed() && read.iter().any(|node| node.joined),
    }
}

fn sources_of<'a>(nodes: impl Iterator<Item = &'a Node>) -> Vec<usize> {
    let mut sources: Vec<usize> = nodes.flat_map(|node| node.sources.iter().copied()).collect();
    sources.sort_unstable();
    sources.dedup();
    sources
}

fn build_dedupe(key: &[String], within_ms: i64, late_by_ms: i64, node: &Node) -> Result<Dedupe, String> {
    if key.is_empty() {
        return Err("it has no key; name the columns that make a row the same".to_owned());
    }
    for (what, span) in [("within", within_ms), ("late", late_by_ms)] {
        if !(0..=SPAN_MS_MAX).contains(&span) {
            return Err(format!("{what}: {span} ms: the bounds are 0 and {SPAN_MS_MAX}"));
        }
    }
    let column = |name: &String| {
        node.schema.index_of(name).map_err(|_| format!("there is no column {name} in {}", node.name))
    };
    let columns: Result<Vec<usize>, String> = key.iter().map(column).collect();
    let Some(time) = &node.time else {
        return Err(format!("{} has no event time, which says how long a key is kept", node.name));
    };
    if let Some(name) = node.partitioned_by.iter().flatten().find(|name| !key.contains(name)) {
        let text = format!("its key lacks {name}, which the input is partitioned by");
        return Err(format!("{text}: repeats could lie in two partitions"));
    }
    // Contents are compared over all columns.
    node.schema.fields().iter().try_for_each(|f| row_key::check_type(f))?;
    Ok(Dedupe::new(columns?, column(time)?, within_ms, late_by_ms, DEDUPE_SEED))
}

/// The seed of the hashes that dedupe keeps. They are in changelogs: it never changes.
const DEDUPE_SEED: u64 = 0x6d69_6c6c_7374_7265;

/// The columns to decode, by rising index: all, where rows leave as they are or are compared whole; else those that
/// queries read, and the event time.
fn columns_read(source: usize, stage: &StageSpec, operators: &[Operator], nodes: &[Node]) -> Vec<usize> {
    let spec = &stage.sources[source];
    let all = 0..spec.schema.fields().len();
    let mut read: Vec<usize> = Vec::new();
    for operator in operators {
        match &operator.running {
            Running::Dedupe(_) if operator.sources.contains(&source) => return all.collect(),
            Running::Dedupe(_) => {}
            Running::Sql { query, .. } => {
                for (reads, input) in query.reads().zip(&operator.inputs) {
                    if nodes[*input].direct && nodes[*input].sources == [source] {
                        read.extend(reads);
                    }
                }
            }
        }
    }
    if stage.outputs.contains(&spec.name) {
        return all.collect();
    }
    read.extend(spec.event_time.as_ref().and_then(|name| index(&spec.schema, name)));
    read.sort_unstable();
    read.dedup();
    read
}

fn index(schema: &Schema, name: &str) -> Option<usize> {
    schema.index_of(name).ok()
}
