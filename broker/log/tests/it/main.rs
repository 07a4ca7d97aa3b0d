//! The log's tests: a world in which batches are easily made, and cases run in it.

mod append;
mod compaction;
mod crash;
mod dirs;
mod faults;
mod retention;
mod world;
