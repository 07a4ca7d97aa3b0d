//! What the Streams layer decides: event time, watermarks, windows, lateness, key groups, the algebra of changes, and
//! the contract that user functions keep. Pure: no clock, no I/O, no Arrow; the engine applies these decisions to
//! columns, the worker to whole partitions. Invariants kept here: SM-1 (a watermark never falls), SM-2 (the last
//! row that a window sends for a key is its result over every row that was in time, and it sends none once it has closed; where
//! nothing is sent again, that row is the only one) and, by never looking at how input was cut into batches, SM-3 (a replay from
//! any commit gives the same output).

pub mod changelog;
pub mod function;
pub mod key_group;
pub mod lateness;
pub mod session;
pub mod time;
pub mod watermark;
pub mod window;

pub use changelog::Change;
pub use function::{Bad, Emit, Failure, FunctionError, Header, Message, Outcome, UserFunction};
pub use key_group::KeyGroup;
pub use lateness::{LateRule, LateThen, Verdict};
pub use session::{SessionSpan, Sessions};
pub use time::EventTime;
pub use watermark::{PartitionClock, SourceWatermarks, Watermark, WatermarkConfig};
pub use window::{Window, WindowError, Windows};
