//! Rows by their key: what windows that are joined look their matches up in, and the look-up itself, which tables share. Never
//! enters: what a match means.

use arrow::array::{Array, ArrayRef};
use hashbrown::HashMap;

use super::row_key::RowKeys;

/// No row.
pub(crate) const NONE: u32 = u32::MAX;

/// Gives each row of some columns with each that has the same key here; with none, where none has. `first` has the first row of
/// each key, and `next` says which is the next of the same; a row with a null among the columns equals nothing.
pub(crate) fn meet(
    columns: &[ArrayRef],
    first: &HashMap<Box<[u8]>, u32>,
    next: impl Fn(u32) -> u32,
    mut give: impl FnMut(u32, Option<u32>),
) {
    meet_first(columns, first, |row, head| {
        let Some(mut found) = head else { return give(row, None) };
        while found != NONE {
            give(row, Some(found));
            found = next(found);
        }
    });
}

/// Gives each row of some columns with the first that has the same key here.
pub(crate) fn meet_first(
    columns: &[ArrayRef],
    first: &HashMap<Box<[u8]>, u32>,
    mut give: impl FnMut(u32, Option<u32>),
) {
    let keys = RowKeys::new(columns);
    let mut key = Vec::new();
    for row in 0..columns.first().map_or(0, |column| column.len()) {
        let mut found = None;
        if !keys.any_null(row) {
            keys.write(row, &mut key);
            found = first.get(key.as_slice()).copied();
        }
        give(row as u32, found);
    }
}

/// The first row of each key, and for each row the next of the same key.
pub(crate) struct RowIndex {
    first: HashMap<Box<[u8]>, u32>,
    next: Vec<u32>,
}

impl RowIndex {
    /// Over the columns of a key; a row with a null among them equals nothing.
    pub(crate) fn new(columns: &[ArrayRef]) -> RowIndex {
        let rows = columns.first().map_or(0, |column| column.len());
        let keys = RowKeys::new(columns);
        let mut first: HashMap<Box<[u8]>, u32> = HashMap::with_capacity(rows);
        let mut next = vec![NONE; rows];
        let mut key = Vec::new();
        // From the last row on, so that the matches of a key come out in their order.
        for row in (0..rows).rev().filter(|row| !keys.any_null(*row)) {
            keys.write(row, &mut key);
            match first.get_mut(key.as_slice()) {
                Some(head) => next[row] = std::mem::replace(head, row as u32),
                None => drop(first.insert(key.as_slice().into(), row as u32)),
            }
        }
        RowIndex { first, next }
    }

    /// Gives each row of another side, by its columns, with each here that has the same key; with none, where none has.
    pub(crate) fn meet(&self, columns: &[ArrayRef], give: impl FnMut(u32, Option<u32>)) {
        meet(columns, &self.first, |row| self.next[row as usize], give);
    }

    /// Gives each row of another side with the first here that has the same key; with none, where none has.
    pub(crate) fn meet_first(&self, columns: &[ArrayRef], give: impl FnMut(u32, Option<u32>)) {
        meet_first(columns, &self.first, give);
    }

    /// The rows of a key, by its first.
    pub(crate) fn rows_from(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        std::iter::successors(Some(first), |row| Some(self.next[*row as usize]).filter(|row| *row != NONE))
    }
}
