//! Topics that come, grow and go, as a coordinator sees them.

use std::collections::BTreeMap;

use millstream_group::{TopicView, Topics};
use millstream_types::Uuid;

/// The topics of a cluster.
#[derive(Clone, Default)]
pub struct Image {
    topics: BTreeMap<String, TopicView>,
    made: u64,
}

impl Image {
    /// Makes a topic, or has it grow.
    pub fn set(&mut self, name: &str, partitions: i32) {
        if let Some(topic) = self.topics.get_mut(name) {
            topic.partitions = topic.partitions.max(partitions);
            return;
        }
        self.made += 1;
        let mut id = [0; 16];
        id[8..].copy_from_slice(&self.made.to_be_bytes());
        let view = TopicView { name: name.into(), id: Uuid(id), partitions };
        self.topics.insert(name.to_owned(), view);
    }

    /// Deletes a topic.
    pub fn delete(&mut self, name: &str) {
        self.topics.remove(name);
    }

    /// The name of an id; of a topic that is gone, its number.
    pub fn name(&self, id: Uuid) -> String {
        let known = self.topics.values().find(|t| t.id == id);
        known.map_or_else(|| format!("gone{}", id.0[15]), |t| t.name.to_string())
    }
}

impl Topics for Image {
    fn by_name(&self, name: &str) -> Option<TopicView> {
        self.topics.get(name).cloned()
    }

    fn by_id(&self, id: Uuid) -> Option<TopicView> {
        self.topics.values().find(|t| t.id == id).cloned()
    }

    fn all(&self) -> Vec<TopicView> {
        self.topics.values().cloned().collect()
    }
}
