//! A sink's entries in the store: creating the next one, finding the newest, carrying out what it promises. Invariant
//! CN-1: entries of one partition form a chain, each beginning where the one before ended, and every entry but the newest
//! has been carried out.

use std::sync::Arc;

use bytes::Bytes;
use millstream_connector::{Context, SinkError};
use millstream_types::{Offset, TopicPartition};

use crate::entry::{self, ENTRY_VERSION, Entry};
use crate::store::{Created, Store};

/// The object that notes an entry from which to list; entries before it are never needed again, and stay as fences.
const FLOOR: &str = "floor";

/// One sink's entries.
pub struct Journal {
    store: Arc<dyn Store>,
    pipeline: Arc<str>,
    component: Arc<str>,
}

impl Journal {
    /// The entries of the sink that `context` names.
    pub fn new(store: Arc<dyn Store>, context: &Context) -> Journal {
        Journal { store, pipeline: Arc::clone(&context.pipeline), component: Arc::clone(&context.component) }
    }

    fn folder(&self, partition: &TopicPartition) -> String {
        entry::folder(&self.pipeline, &self.component, partition)
    }

    /// What the names of files put aside for a partition begin with; the offset of their commit follows.
    pub fn aside(&self, partition: &TopicPartition) -> String {
        format!("{}.{}.{partition}-", self.pipeline, self.component)
    }

    async fn read(&self, partition: &TopicPartition, name: &str) -> Result<Entry, SinkError> {
        let folder = self.folder(partition);
        let found = self.store.read(&folder, name).await?;
        let bytes =
            found.ok_or_else(|| SinkError::transient(format!("reading {folder}/{name}: it is gone")))?;
        let entry: Entry = serde_json::from_slice(&bytes).map_err(|error| {
            SinkError::Setup(format!("reading {folder}/{name}: {error}; it is no commit entry"))
        })?;
        if entry.v > ENTRY_VERSION {
            return Err(SinkError::Setup(format!(
                "reading {folder}/{name}: version {} of a later release",
                entry.v
            )));
        }
        Ok(entry)
    }

    /// Creates an entry; what stands under its name afterwards, which is another owner's where the race was lost.
    pub async fn create(&self, partition: &TopicPartition, entry: &Entry) -> Result<Entry, SinkError> {
        let (folder, name) = (self.folder(partition), entry::name(partition, entry.from_offset));
        let content = Bytes::from(serde_json::to_vec(entry).expect("an entry is plain data"));
        match self.store.create(&folder, &name, content).await? {
            Created::Here => Ok(entry.clone()),
            Created::Before => self.read(partition, &name).await,
        }
    }

    /// Notes where to list from; an older note only makes the list longer.
    pub async fn note_floor(&self, partition: &TopicPartition, from_offset: Offset) -> Result<(), SinkError> {
        let name = entry::name(partition, from_offset);
        self.store.overwrite(&self.folder(partition), FLOOR, name.into()).await
    }

    /// Finds the newest entry, carries out what it promises, and tells the next offset.
    pub async fn recover(&self, partition: &TopicPartition) -> Result<Option<Offset>, SinkError> {
        let folder = self.folder(partition);
        let floor = self.store.read(&folder, FLOOR).await?;
        let floor = floor.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
        let floor = floor.filter(|name| entry::offset_in(partition, name).is_some()).unwrap_or_default();
        let names = self.store.list(&folder, &floor).await?;
        let newest = names.into_iter().rev().find(|name| entry::offset_in(partition, name).is_some());
        // Nothing after the floor: the floor itself is the newest.
        let newest = newest.or_else(|| (!floor.is_empty()).then_some(floor));
        let Some(name) = newest else { return Ok(None) };
        let entry = self.read(partition, &name).await?;
        for file in &entry.files {
            self.store.publish(file).await?;
        }
        // Whatever was put aside for an earlier offset lost its race or was published.
        let prefix = self.aside(partition);
        self.store.sweep(&prefix, &format!("{prefix}{:020}", entry.next_offset)).await?;
        Ok(Some(entry.next_offset))
    }
}
