//! How far an operator has fired where bounded input has ended: a mark for each of its sources and key groups, in watermarks.
//!
//! Invariant SM-5: the end of bounded input raises no source's watermark. What an operator has given by it is a mark of that
//! operator, which goes by the greater of its mark and the source's watermark, whatever it decides; no other operator sees it. So a
//! later run's rows are late for what has fired, and in time for all else. A mark is raised only for a partition that has ended: it
//! never changes while rows of that partition may come. Never enters: what fires, changelog records.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use millstream_model::{KeyGroup, Watermark};

/// Marks of key groups, raw, by source.
pub(super) type Pairs = BTreeMap<usize, Vec<(KeyGroup, i64)>>;

/// See the module. Marks only rise.
#[derive(Default)]
pub(super) struct Fired {
    /// By source and key group, raw; nothing of a source that has none.
    marks: BTreeMap<usize, Vec<i64>>,
    /// Those that are in no changelog yet.
    changed: BTreeSet<(usize, u32)>,
}

impl Fired {
    /// The marks of a source, for each key group; nothing where it has none.
    pub(super) fn of(&self, source: usize) -> Option<&[i64]> {
        self.marks.get(&source).map(Vec::as_slice)
    }

    /// Raises a mark, for the next changelog record too.
    pub(super) fn raise(&mut self, key_groups: u32, source: usize, group: KeyGroup, to: i64) {
        if self.take_up(key_groups, source, group, to) {
            self.changed.insert((source, group.0));
        }
    }

    /// Takes up a mark that is in a changelog; whether it is higher than what is known.
    pub(super) fn take_up(&mut self, key_groups: u32, source: usize, group: KeyGroup, to: i64) -> bool {
        if to == Watermark::NONE.to_raw() {
            return false;
        }
        let none = || vec![Watermark::NONE.to_raw(); key_groups as usize];
        let Some(mark) = self.marks.entry(source).or_insert_with(none).get_mut(group.0 as usize) else {
            return false;
        };
        let is_higher = to > *mark;
        *mark = to.max(*mark);
        is_higher
    }

    /// What the operator goes by: the greater of every source's watermarks and its marks.
    pub(super) fn beside<'a>(&self, watermarks: &'a [Vec<i64>]) -> Vec<Cow<'a, [i64]>> {
        let of = |(source, watermarks): (usize, &'a Vec<i64>)| match self.of(source) {
            None => Cow::Borrowed(watermarks.as_slice()),
            Some(marks) => Cow::Owned(super::source::greater(watermarks, marks)),
        };
        watermarks.iter().enumerate().map(of).collect()
    }

    /// The marks that were raised since the last call.
    pub(super) fn take_changed(&mut self) -> Pairs {
        let mut pairs = Pairs::new();
        for (source, group) in std::mem::take(&mut self.changed) {
            pairs.entry(source).or_default().push((KeyGroup(group), self.marks[&source][group as usize]));
        }
        pairs
    }

    /// The marks of some key groups.
    pub(super) fn of_groups(&self, groups: &[KeyGroup]) -> Pairs {
        let of = |marks: &Vec<i64>| -> Vec<(KeyGroup, i64)> {
            let pairs = groups.iter().map(|group| (*group, marks[group.0 as usize]));
            pairs.filter(|(_, mark)| *mark != Watermark::NONE.to_raw()).collect()
        };
        let all = self.marks.iter().map(|(source, marks)| (*source, of(marks)));
        all.filter(|(_, pairs)| !pairs.is_empty()).collect()
    }

    /// Lets go of a key group.
    pub(super) fn forget(&mut self, group: KeyGroup) {
        for marks in self.marks.values_mut() {
            marks[group.0 as usize] = Watermark::NONE.to_raw();
        }
        self.marks.retain(|_, marks| marks.iter().any(|mark| *mark != Watermark::NONE.to_raw()));
        self.changed.retain(|(_, of)| *of != group.0);
    }
}
