//! Where bounded topics end: once a stage has written its last record and committed it, it tells the ends of the topics
//! that it writes, and the stages behind it know that nothing more comes. Told within one process and found out anew by
//! each run, which reads its sources to their end again; so a stage that has not all partitions of its input (another
//! worker has some) tells no ends, and the run then goes on until it is stopped.
//!
//! Invariant WK-3: the ends are asked for after the writer's last commit, so that its markers lie below them.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// The ends that are known.
#[derive(Debug, Default)]
pub struct Ends {
    topics: Mutex<BTreeMap<String, Vec<i64>>>,
}

impl Ends {
    /// Tells the end of each partition of a topic.
    pub fn tell(&self, topic: &str, offsets: Vec<i64>) {
        self.topics.lock().insert(topic.to_owned(), offsets);
    }

    /// The ends of a topic's partitions, once they are known.
    pub fn of(&self, topic: &str) -> Option<Vec<i64>> {
        self.topics.lock().get(topic).cloned()
    }
}
