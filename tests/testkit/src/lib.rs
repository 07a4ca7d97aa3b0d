//! A broker for tests: [`InProcess`] starts one inside the test's process, [`Process`] starts the program, which can be
//! stopped and killed. Each has a free port and a directory of its own, is ready when the call returns, and is gone
//! when the value is dropped. [`records`] writes and reads whole topics; [`run`] gives a test its runtime and its end.
//! Never enters: what a test expects.

pub mod in_process;
pub mod process;
pub mod records;
pub mod run;

pub use in_process::InProcess;
pub use process::Process;
pub use run::run;

/// Settings that make a broker of a test small and quick: few shards of the internal topics, no waiting for more
/// members.
pub const SMALL: &[&str] = &[
    "offsets.topic.num.partitions=3",
    "transaction.state.log.num.partitions=3",
    "group.initial.rebalance.delay.ms=0",
];
