//! A lookup table as functions see it: a version and rows. A call sees one version from its start to its end.

use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;

/// A table that the worker fills and functions look into.
#[derive(Debug, Default)]
pub struct Table {
    current: RwLock<Arc<Snapshot>>,
}

/// One version's rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub version: u64,
    rows: HashMap<Bytes, Bytes>,
}

impl Snapshot {
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.rows.get(key)
    }
}

impl Table {
    /// A table of these rows, at version 1. The last of two rows with one key counts.
    pub fn new(rows: impl IntoIterator<Item = (Bytes, Bytes)>) -> Table {
        Table { current: RwLock::new(Arc::new(Snapshot { version: 1, rows: rows.into_iter().collect() })) }
    }

    /// All rows anew. Calls that run keep what they began with.
    pub fn replace(&self, rows: impl IntoIterator<Item = (Bytes, Bytes)>) {
        let rows = rows.into_iter().collect();
        let mut current = self.current.write();
        *current = Arc::new(Snapshot { version: current.version + 1, rows });
    }

    /// Sets or, with no value, removes some rows.
    pub fn update(&self, changes: impl IntoIterator<Item = (Bytes, Option<Bytes>)>) {
        let mut current = self.current.write();
        let snapshot = Arc::make_mut(&mut current);
        snapshot.version += 1;
        for (key, value) in changes {
            match value {
                Some(value) => snapshot.rows.insert(key, value),
                None => snapshot.rows.remove(&key),
            };
        }
    }

    /// The content's version: 0 for a table that was never filled, then rising.
    pub fn version(&self) -> u64 {
        self.current.read().version
    }

    /// A row's value.
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.current.read().get(key).cloned()
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.current.read().clone()
    }
}
