//! Framed connections between a Kafka client and a broker: frames read within bounds, answers written as segments
//! from memory or straight from a file (sendfile), a budget in bytes for what is under way, over TCP or inside one
//! process. Never enters: what a request means (`millstream-server`), the layout of messages (`millstream-wire`).

pub mod budget;
pub mod frame;
pub mod listen;
pub mod send;
pub mod stream;

pub use budget::{ByteBudget, BytePermit};
pub use frame::{FrameError, FrameReader};
pub use send::{FileRange, OutSegment, RangeSource};
pub use stream::{Connector, Stream};
