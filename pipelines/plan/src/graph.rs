//! The job: stages, operators, topics. Plain data; the worker reads the operators' own settings from the spec by id.
//!
//! Never enters: how it is made (`build.rs`) or shown (`explain.rs`).

use std::collections::{BTreeMap, BTreeSet};

use millstream_spec::ast::Watermark;
use millstream_spec::catalog::Delivery;
use millstream_spec::flow::PathDelivery;

use crate::stable_id::OperatorId;

/// What a pipeline becomes.
#[derive(Clone, Debug)]
pub struct Job {
    /// The pipeline's name.
    pub pipeline: String,
    /// The longest time between two commits of a worker, in milliseconds.
    pub commit_interval_ms: u64,
    /// Stages, each after those whose topics it reads.
    pub stages: Vec<Stage>,
    /// Every topic that the job reads or writes, by name.
    pub topics: BTreeMap<String, TopicPlan>,
    /// Functions that queries call, by name.
    pub functions: BTreeMap<String, FunctionPlan>,
    /// The tables that are not read, but asked for the rows of the keys that come.
    pub asked: BTreeSet<String>,
    /// The tables that follow a topic, by id, each with that topic's name.
    pub followed: BTreeMap<String, String>,
    /// The dead-letter topic's name; nothing where bad records are dropped or stop the pipeline.
    pub dead_letters: Option<String>,
    /// Where snapshots of state go, unless into the changelogs; and whether they are taken, or only read.
    pub snapshots: Option<(String, bool)>,
    /// The promise of every path from a source to a sink.
    pub paths: Vec<PathDelivery>,
}

impl Job {
    /// The stage of an id.
    pub fn stage(&self, id: &str) -> Option<&Stage> {
        self.stages.iter().find(|s| s.id == id)
    }

    /// An operator by its id in the file, with its stage.
    pub fn operator(&self, id: &str) -> Option<(&Stage, &Operator)> {
        self.stages.iter().find_map(|s| s.operators.iter().find(|o| o.id.name == id).map(|o| (s, o)))
    }

    /// The topics of a role.
    pub fn topics_of(&self, role: TopicRole) -> impl Iterator<Item = &TopicPlan> {
        self.topics.values().filter(move |t| t.role == role)
    }
}

/// A function that queries call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionPlan {
    /// Its name and types.
    pub signature: String,
    /// Its file.
    pub module: String,
    /// SHA-256 of the file in hexadecimal digits; nothing where it could not be read.
    pub digest: Option<String>,
}

/// What a stage is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StageKind {
    /// Reads sources by splits.
    Ingest,
    /// Reads a topic and computes.
    Process,
    /// Reads topics and writes a foreign system, with its offsets there.
    Sink,
}

/// One consumer group and what each of its members runs.
#[derive(Clone, Debug)]
pub struct Stage {
    /// `ingest`, the id of the topic transform or source that it reads, those ids joined by `+` where it reads several
    /// together, or the sink's id.
    pub id: String,
    /// What it is for.
    pub kind: StageKind,
    /// The consumer group.
    pub group_id: String,
    /// The start of its workers' transactional ids.
    pub transactional_id_prefix: String,
    /// Sources that it reads (ingest only), by id.
    pub sources: Vec<String>,
    /// Topics that it reads: the splits topic for ingest; several where operators join their streams.
    pub inputs: Vec<TopicInput>,
    /// Tables that it looks up or joins, by id; each worker reads them whole.
    pub tables: Vec<String>,
    /// Operators, each after those that it reads.
    pub operators: Vec<Operator>,
    /// Topics that it writes rows to.
    pub outputs: Vec<Output>,
    /// Whose rows are counted and forgotten.
    pub discards: Vec<OperatorInput>,
    /// The sink that it writes (sink stages only), by id.
    pub sink: Option<String>,
    /// How many parts its state has: the partitions of its input, which are the key groups.
    pub key_groups: u32,
    /// Whether it reads its topics from their beginning whenever the definition of one of its operators is another: its id, its group and its
    /// changelogs have that definition in their names.
    pub backfill: bool,
    /// Whether each commit is one transaction of the broker; a sink's is its target's.
    pub broker_transaction: bool,
}

impl Stage {
    /// The columns that put rows in their key groups: of each topic that it reads, those that differ once.
    pub fn key(&self) -> Vec<&str> {
        let mut key: Vec<&str> = Vec::new();
        for column in self.inputs.iter().flat_map(|input| &input.key) {
            if !key.contains(&column.as_str()) {
                key.push(column);
            }
        }
        key
    }
}

/// A topic that a stage reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInput {
    /// The topic's name.
    pub topic: String,
    /// The stream that it carries, by the id of the transform or source behind it.
    pub stream: String,
    /// How its records are written.
    pub encoding: Encoding,
    /// The columns that put a row in its partition; empty where nothing does, or nobody asks.
    pub key: Vec<String>,
    /// Event time, kept for each partition.
    pub watermark: Option<Watermark>,
    /// How far event time may lie ahead of when its record was written, in milliseconds, where anything bounds it.
    pub ahead_ms: Option<u64>,
    /// Where others than the pipeline write it.
    pub foreign: Option<Foreign>,
}

/// How a topic that others write is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// For as long as the pipeline runs.
    ForEver,
    /// To where it ends when the run begins.
    UntilEnd,
}

/// An operator in a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Its id, stable under edits elsewhere.
    pub id: OperatorId,
    /// The word after `type:`.
    pub type_name: String,
    /// What it reads, in the order of the file.
    pub inputs: Vec<OperatorInput>,
    /// The functions that its SQL calls, by name.
    pub calls: Vec<String>,
    /// Its state, where it has some.
    pub state: Option<State>,
}

/// What an operator reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorInput {
    /// A source of the stage, by id.
    Source(String),
    /// A topic that the stage reads, by the id of its topic transform or source.
    Topic(String),
    /// Another operator of the stage, by id.
    Operator(String),
    /// A table, by id.
    Table(String),
}

impl OperatorInput {
    /// The id, whatever it is of.
    pub fn id(&self) -> &str {
        match self {
            OperatorInput::Source(id)
            | OperatorInput::Topic(id)
            | OperatorInput::Operator(id)
            | OperatorInput::Table(id) => id,
        }
    }
}

/// An operator's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The columns that it is kept by.
    pub key: Vec<String>,
    /// The changelog topic.
    pub changelog: String,
    /// The changelog's partitions; records carry their key group, and key group `g` is in partition `g % partitions`.
    pub changelog_partitions: u32,
}

/// Rows that a stage writes to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What writes them, a source or an operator of the stage (or the topic that it reads).
    pub from: OperatorInput,
    /// The topic's name.
    pub topic: String,
    /// How records are written.
    pub encoding: Encoding,
    /// How rows find their partition.
    pub partitioner: Partitioner,
    /// What is promised of each row: by this those that come from a poll go with the commit, before it or after it.
    pub delivery: Delivery,
}

/// How a topic's records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A record for each row, in the format that the topic has: any client can read it.
    Records,
    /// Arrow batches with watermarks beside them.
    Arrow,
    /// Millstream's own records (positions, splits, changelogs).
    Internal,
}

/// How rows find their partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partitioner {
    /// murmur2 of these columns, as Java's client.
    Key(Vec<String>),
    /// The row's key group modulo the partitions: rows of one key stay in order.
    KeyGroup,
    /// Any, changing from batch to batch.
    Sticky,
}

/// What a topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicRole {
    /// Declared in the file.
    Declared,
    /// Rows on their way to sinks.
    Sink,
    /// Changes of an operator's state.
    Changelog,
    /// Where sources have come to.
    Positions,
    /// Who reads which split.
    Splits,
    /// Dead letters of a pipeline that declares no topic for them.
    DeadLetters,
}

impl TopicRole {
    /// In one or two words.
    pub fn word(self) -> &'static str {
        match self {
            TopicRole::Declared => "declared",
            TopicRole::Sink => "to sinks",
            TopicRole::Changelog => "changelog",
            TopicRole::Positions => "positions",
            TopicRole::Splits => "splits",
            TopicRole::DeadLetters => "dead letters",
        }
    }
}

/// A topic to create, or to find as it is written here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: TopicRole,
    /// Its partitions.
    pub partitions: u32,
    /// Its replicas; nothing for the broker's default (-1 in CreateTopics).
    pub replication: Option<u16>,
    /// What the values of its records are written in, in one line; nothing for Millstream's own.
    pub format: Option<String>,
    /// Its configs, by Kafka's names.
    pub configs: BTreeMap<String, String>,
}
