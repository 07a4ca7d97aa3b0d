//! The vocabulary of every other crate: ids, topic names, error codes, limits, the budgets of memory and of CPU that parts
//! share, and the `Clock` and `Rng` traits through which time and chance come in. Logic stays out: this crate changes rarely, and nearly every crate is
//! built again when it does. Never enters: bytes on the wire, files, sockets.

pub mod clock;
pub mod cpu;
pub mod error_code;
pub mod hash;
pub mod ids;
pub mod limits;
pub mod memory;
pub mod random;
pub mod secret;
pub mod topic;

pub use clock::{Clock, Millis};
pub use cpu::CpuBudget;
pub use error_code::ErrorCode;
pub use ids::{LeaderEpoch, NodeId, Offset, ProducerEpoch, ProducerId, Uuid};
pub use memory::{MemoryBudget, MemoryClaim};
pub use random::{Rng, SeededRng};
pub use secret::Secret;
pub use topic::{TopicIdPartition, TopicPartition};
