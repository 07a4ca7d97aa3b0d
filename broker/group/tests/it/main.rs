//! The coordinator against scripts (one line an event, then what it must come to) and against seeded crowds of
//! members whose every step is checked by the invariants.

mod agree;
mod crowd;
mod crowd_classic;
mod image;
mod script;
mod show;
