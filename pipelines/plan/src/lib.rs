//! From a checked pipeline to what runs: stages cut at topics, the topics to create with their partitions and configs,
//! groups and transactional ids, state and its changelogs, operator ids that survive edits, and the promise of each path.
//!
//! ```text
//! sources -> functions -> topic  |  topic -> dedupe, windows -> sink topics  |  sink topic -> sink
//!        stage "ingest"          |        stage named after the topic        |  stage of the sink
//! ```
//! A stage is one consumer group whose members are workers; each of its commits is one broker transaction of outputs,
//! changelogs and input offsets (a sink's is its target's own transaction). The names in `names.rs` are a contract: a
//! worker of another version finds its state by them. Never enters: SQL plans, connections, anything that waits.

pub mod build;
pub mod diff;
pub mod explain;
pub mod graph;
pub mod lock;
pub mod names;
pub mod stable_id;
mod topics;

pub use build::plan;
pub use diff::{Change, diff};
pub use explain::explain;
pub use graph::{
    Encoding, Foreign, FunctionPlan, Job, Operator, OperatorInput, Output, Partitioner, Stage, StageKind,
    State,
};
pub use graph::{TopicInput, TopicPlan, TopicRole};
pub use lock::Lock;
pub use stable_id::OperatorId;
