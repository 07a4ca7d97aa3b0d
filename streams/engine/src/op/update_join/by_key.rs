//! Rows by the key that they are joined on: which rows have a key, and where in its list each is, so that one is taken out
//! without a search. Never enters: what rows hold, and whether they count.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// No row, no list.
pub(super) const NONE: u32 = u32::MAX;

/// The rows of a key.
#[derive(Default)]
struct List {
    key: Box<[u8]>,
    rows: Vec<u32>,
}

/// See the module. Rows are numbers.
#[derive(Default)]
pub(super) struct ByKey {
    lists: Vec<List>,
    /// Lists that hold nothing, to be used again.
    free: Vec<u32>,
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl ByKey {
    fn list_of(&self, key: &[u8]) -> Option<u32> {
        let lists = &self.lists;
        self.numbers.find(self.hasher.hash_one(key), |at| *lists[*at as usize].key == *key).copied()
    }

    /// The rows of a key.
    pub(super) fn of(&self, key: &[u8]) -> &[u32] {
        self.list_of(key).map_or(&[], |list| &self.lists[list as usize].rows)
    }

    /// The key of a list.
    pub(super) fn key(&self, list: u32) -> &[u8] {
        &self.lists[list as usize].key
    }

    /// Adds a row to its key; gives the list, and its place in it.
    pub(super) fn add(&mut self, key: &[u8], row: u32) -> (u32, u32) {
        let list = self.list_of(key).unwrap_or_else(|| self.begin(key));
        let rows = &mut self.lists[list as usize].rows;
        rows.push(row);
        (list, rows.len() as u32 - 1)
    }

    fn begin(&mut self, key: &[u8]) -> u32 {
        let list = self.free.pop().unwrap_or_else(|| {
            self.lists.push(List::default());
            self.lists.len() as u32 - 1
        });
        self.lists[list as usize].key = key.into();
        let (lists, hasher) = (&self.lists, &self.hasher);
        let hash = |at: &u32| hasher.hash_one(&*lists[*at as usize].key);
        self.numbers.insert_unique(hasher.hash_one(key), list, hash);
        list
    }

    /// Takes a row out of its list; gives the row that has its place there now.
    pub(super) fn remove(&mut self, list: u32, at: u32) -> Option<u32> {
        let rows = &mut self.lists[list as usize].rows;
        rows.swap_remove(at as usize);
        if let Some(moved) = rows.get(at as usize) {
            return Some(*moved);
        }
        if rows.is_empty() {
            let key = std::mem::take(&mut self.lists[list as usize]).key;
            if let Ok(found) = self.numbers.find_entry(self.hasher.hash_one(&*key), |known| *known == list) {
                found.remove();
            }
            self.free.push(list);
        }
        None
    }

    /// Bytes in memory, about.
    pub(super) fn size(&self) -> usize {
        let list = |list: &List| 64 + list.key.len() + list.rows.capacity() * 4;
        self.lists.iter().map(list).sum::<usize>() + self.numbers.capacity() * 5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_out_by_their_place_and_empty_lists_go() {
        let mut keys = ByKey::default();
        let places: Vec<(u32, u32)> = (0..4).map(|row| keys.add(b"a", row)).collect();
        assert_eq!(keys.remove(places[1].0, places[1].1), Some(3), "the last has its place");
        assert_eq!(keys.of(b"a"), [0, 3, 2]);
        assert_eq!(keys.remove(places[2].0, 2), None);
        assert_eq!(keys.remove(places[0].0, 0), Some(3));
        assert_eq!(keys.remove(places[0].0, 0), None);
        assert_eq!(keys.of(b"a"), [] as [u32; 0]);
        let (list, _) = keys.add(b"b", 7);
        assert_eq!((list, keys.key(list), keys.of(b"b")), (places[0].0, b"b".as_slice(), [7].as_slice()));
        assert_eq!((keys.of(b"a"), keys.lists.len()), ([].as_slice(), 1), "the list is used again");
    }
}
