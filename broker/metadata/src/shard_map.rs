//! A map that is cheap to clone and cheap to change after a clone: 64 ordered maps, each behind an `Arc`. A change
//! copies one of them (a 64th of the whole), and only if a clone still holds it. Never enters: what it maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_types::Uuid;

const SHARDS: usize = 64;

/// A key that says which shard it lies in; equal keys say the same.
pub trait ShardKey: Ord + Clone {
    /// Any number; its low six bits count.
    fn shard(&self) -> usize;
}

impl ShardKey for Uuid {
    /// The high bits, so that a walk over all shards ascends.
    fn shard(&self) -> usize {
        usize::from(self.0[0] >> 2)
    }
}

/// FNV-1a, folded: names differ in their last characters mostly.
pub(crate) fn shard_of_text(text: &str) -> usize {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash ^ (hash >> 32)) as usize
}

impl ShardKey for Arc<str> {
    fn shard(&self) -> usize {
        shard_of_text(self)
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct ShardMap<K, V> {
    shards: Arc<Vec<Arc<BTreeMap<K, V>>>>,
    len: usize,
}

impl<K: ShardKey, V: Clone> Default for ShardMap<K, V> {
    fn default() -> ShardMap<K, V> {
        // All begin as one and the same empty map, which the first change to each leaves behind.
        let empty = Arc::new(BTreeMap::new());
        ShardMap { shards: Arc::new(vec![empty; SHARDS]), len: 0 }
    }
}

impl<K: ShardKey, V: Clone + PartialEq> PartialEq for ShardMap<K, V> {
    fn eq(&self, other: &ShardMap<K, V>) -> bool {
        self.shards == other.shards
    }
}

impl<K: ShardKey, V: Clone> ShardMap<K, V> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of `key`.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.shards[key.shard() % SHARDS].get(key)
    }

    /// All entries, shard by shard, each ascending; for a [`Uuid`] that is ascending over all.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    fn shard_mut(&mut self, key: &K) -> &mut BTreeMap<K, V> {
        Arc::make_mut(&mut Arc::make_mut(&mut self.shards)[key.shard() % SHARDS])
    }

    /// Sets the value of `key`; the old one comes back.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let old = self.shard_mut(&key).insert(key, value);
        self.len += usize::from(old.is_none());
        old
    }

    /// Removes `key`; its value comes back.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.get(key)?;
        let old = self.shard_mut(key).remove(key);
        self.len -= usize::from(old.is_some());
        old
    }

    /// The value of `key`, to change it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.get(key)?;
        self.shard_mut(key).get_mut(key)
    }
}
