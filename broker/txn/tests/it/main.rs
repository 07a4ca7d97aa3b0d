//! The coordinator against scripts (one line an event, then what it must come to) and against a seeded crowd of
//! producers whose every step is checked by the invariants.

mod crowd;
mod script;
