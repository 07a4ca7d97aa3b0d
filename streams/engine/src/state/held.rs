//! Which key groups have not changed since a snapshot that has them, so that the next one can name what that one has. Pure. Never
//! enters: what a snapshot holds, where it is kept.

use std::collections::BTreeMap;

/// By operator and key group: how often it has changed, and what holds it as of which change.
#[derive(Clone, Debug)]
pub struct Held<T> {
    changes: BTreeMap<String, BTreeMap<u32, u64>>,
    held: BTreeMap<String, BTreeMap<u32, (u64, T)>>,
}

impl<T> Default for Held<T> {
    fn default() -> Held<T> {
        Held { changes: BTreeMap::new(), held: BTreeMap::new() }
    }
}

impl<T> Held<T> {
    /// An operator's rows of a key group have changed.
    pub fn changed(&mut self, operator: &str, group: u32) {
        match self.changes.get_mut(operator) {
            Some(of) => *of.entry(group).or_default() += 1,
            None => drop(self.changes.insert(operator.to_owned(), BTreeMap::from([(group, 1)]))),
        }
    }

    /// A key group has gone, or is not known from here on.
    pub fn forget(&mut self, group: u32) {
        self.held.values_mut().for_each(|of| drop(of.remove(&group)));
        // What was taken of it before is not of what comes back.
        self.changes.values_mut().filter_map(|of| of.get_mut(&group)).for_each(|count| *count += 1);
    }

    /// How often it has changed: to be told to [`Held::holds`] when what is taken now is there.
    pub fn changes(&self, operator: &str, group: u32) -> u64 {
        self.changes.get(operator).and_then(|of| of.get(&group)).copied().unwrap_or(0)
    }

    /// Something holds a key group as it was behind so many changes.
    pub fn holds(&mut self, operator: &str, group: u32, changes: u64, by: T) {
        self.held.entry(operator.to_owned()).or_default().insert(group, (changes, by));
    }

    /// What holds a key group as it is now.
    pub fn of(&self, operator: &str, group: u32) -> Option<&T> {
        let (changes, by) = self.held.get(operator)?.get(&group)?;
        (*changes == self.changes(operator, group)).then_some(by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_group_is_held_until_it_changes() {
        let mut held = Held::default();
        assert_eq!(held.of("sums", 3), None);
        held.changed("sums", 3);
        let then = held.changes("sums", 3);
        // It changes while it is written elsewhere.
        held.changed("sums", 3);
        held.holds("sums", 3, then, "old");
        assert_eq!(held.of("sums", 3), None);
        held.holds("sums", 3, held.changes("sums", 3), "new");
        held.holds("sums", 4, held.changes("sums", 4), "other");
        assert_eq!(
            (held.of("sums", 3), held.of("sums", 4), held.of("others", 3)),
            (Some(&"new"), Some(&"other"), None)
        );
        held.changed("others", 3);
        assert_eq!(held.of("sums", 3), Some(&"new"));
        // Away and back: what was taken before says nothing.
        let before = held.changes("sums", 3);
        held.forget(3);
        held.holds("sums", 3, before, "new");
        assert_eq!((held.of("sums", 3), held.of("sums", 4)), (None, Some(&"other")));
    }
}
