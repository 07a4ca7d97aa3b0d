//! The memory of keys, as a state machine without I/O. A key is *unknown* -> *pending* (its unit waits for a commit) ->
//! *remembered* (committed; the answer is kept) -> *unknown* again, when its time is over or too many are newer. Pending
//! keys are nobody's after a crash; remembered ones are restored from the entries that were committed with the records.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use millstream_connector::StateEntry;
use millstream_types::Millis;
use serde::{Deserialize, Serialize};

use crate::answer::Outcome;
use crate::request::Key;

/// What to do with a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is new: take it in.
    New,
    /// It is waiting for its commit already, as this unit: wait with it.
    Pending(u64),
    /// It was committed: answer this again.
    Repeat(Outcome),
    /// The header's key names another content: refuse it.
    Conflict,
}

/// What is remembered of a key, and stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    /// Version of this shape.
    v: u8,
    /// When it was committed.
    at: Millis,
    /// The content's hash, in hexadecimal.
    content: String,
    #[serde(flatten)]
    outcome: Outcome,
}

/// All keys.
#[derive(Debug, Default)]
pub struct Ledger {
    remember_ms: Millis,
    remember_max: usize,
    pending: HashMap<u128, (u64, u128)>,
    remembered: HashMap<u128, (Millis, u128, Outcome)>,
    /// Oldest first.
    by_age: BTreeSet<(Millis, u128)>,
}

const PREFIX: &str = "idempotency/";

fn stored_key(key: u128) -> Bytes {
    format!("{PREFIX}{key:032x}").into()
}

impl Ledger {
    /// Remembers keys for `remember_ms`, at most `remember_max` of them.
    pub fn new(remember_ms: Millis, remember_max: usize) -> Ledger {
        Ledger { remember_ms, remember_max, ..Ledger::default() }
    }

    /// Takes in what was committed before. The first entry that cannot be read is returned.
    pub fn restore(&mut self, entries: &[StateEntry]) -> Result<(), String> {
        for entry in entries {
            let Some(value) = &entry.value else { continue };
            let text = String::from_utf8_lossy(&entry.key);
            let bad = |why: &str| format!("reading the remembered key {text}: {why}");
            let key = text.strip_prefix(PREFIX).and_then(|hex| u128::from_str_radix(hex, 16).ok());
            let key = key.ok_or_else(|| bad("it is not of this connector"))?;
            let found: Remembered = serde_json::from_slice(value).map_err(|error| bad(&error.to_string()))?;
            if found.v != 1 {
                return Err(bad("it is of a later release"));
            }
            let content =
                u128::from_str_radix(&found.content, 16).map_err(|error| bad(&error.to_string()))?;
            self.by_age.insert((found.at, key));
            self.remembered.insert(key, (found.at, content, found.outcome));
        }
        Ok(())
    }

    /// What to do with a unit that arrives at `now`.
    pub fn admit(&self, key: Key, content: u128, now: Millis) -> Admission {
        let (name, by_header) = match key {
            Key::None => return Admission::New,
            Key::Header(name) => (name, true),
            Key::Fields(name) => (name, false),
        };
        // A record named by its own fields and of another content is not refused here, where nobody would see it: it goes
        // on, and the pipeline's own rule for repeats judges it.
        let other = if by_header { Admission::Conflict } else { Admission::New };
        if let Some((unit, had)) = self.pending.get(&name) {
            return if *had == content { Admission::Pending(*unit) } else { other };
        }
        match self.remembered.get(&name) {
            Some((at, _, _)) if now - at >= self.remember_ms => Admission::New,
            Some((_, had, outcome)) if *had == content => Admission::Repeat(outcome.clone()),
            Some(_) => other,
            None => Admission::New,
        }
    }

    /// A new unit waits for its commit.
    pub fn begin(&mut self, key: Key, content: u128, unit: u64) {
        if let Key::Header(name) | Key::Fields(name) = key {
            self.pending.entry(name).or_insert((unit, content));
        }
    }

    /// A unit is about to be committed: what to store. Nothing changes here until [`Ledger::settled`].
    pub fn entry(&self, key: Key, content: u128, outcome: &Outcome, now: Millis) -> Option<StateEntry> {
        let (Key::Header(name) | Key::Fields(name)) = key else { return None };
        // The first content keeps the name.
        if self
            .remembered
            .get(&name)
            .is_some_and(|(at, had, _)| *had != content && now - at < self.remember_ms)
        {
            return None;
        }
        let value =
            Remembered { v: 1, at: now, content: format!("{content:032x}"), outcome: outcome.clone() };
        let value = serde_json::to_vec(&value).expect("numbers and text");
        Some(StateEntry { key: stored_key(name), value: Some(value.into()) })
    }

    /// A unit was committed at `now`.
    pub fn settled(&mut self, key: Key, content: u128, unit: u64, outcome: Outcome, now: Millis) {
        let (Key::Header(name) | Key::Fields(name)) = key else { return };
        if self.pending.get(&name).is_some_and(|pending| pending.0 == unit) {
            self.pending.remove(&name);
        }
        match self.remembered.get(&name) {
            Some((at, had, _)) if *had != content && now - at < self.remember_ms => return,
            Some((at, _, _)) => drop(self.by_age.remove(&(*at, name))),
            None => {}
        }
        self.by_age.insert((now, name));
        self.remembered.insert(name, (now, content, outcome));
    }

    /// Forgets what is too old, or too many: entries that say so, and how many were forgotten before their time. At most
    /// `limit` at once, so that a commit stays small.
    pub fn forget(&mut self, now: Millis, limit: usize) -> (Vec<StateEntry>, usize) {
        let mut entries = Vec::new();
        let mut early = 0;
        while entries.len() < limit {
            let Some((at, name)) = self.by_age.first().copied() else { break };
            let old = now - at >= self.remember_ms;
            if !old && self.by_age.len() <= self.remember_max {
                break;
            }
            early += usize::from(!old);
            self.by_age.pop_first();
            self.remembered.remove(&name);
            entries.push(StateEntry { key: stored_key(name), value: None });
        }
        (entries, early)
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        self.remembered.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: Key = Key::Header(7);
    const F: Key = Key::Fields(8);

    fn done() -> Outcome {
        Outcome { records: 1, rejected: vec![(0, "bad_total".into())] }
    }

    #[test]
    fn a_key_is_pending_then_remembered_then_forgotten() {
        let mut ledger = Ledger::new(1_000, 10);
        for key in [H, F] {
            assert_eq!(ledger.admit(key, 1, 0), Admission::New);
            ledger.begin(key, 1, 5);
            assert_eq!(ledger.admit(key, 1, 0), Admission::Pending(5));
            ledger.settled(key, 1, 5, done(), 100);
            assert_eq!(ledger.admit(key, 1, 1_099), Admission::Repeat(done()));
            assert_eq!(ledger.admit(key, 1, 1_100), Admission::New);
        }
        assert_eq!(ledger.admit(H, 2, 200), Admission::Conflict);
        assert_eq!(ledger.admit(F, 2, 200), Admission::New);
        assert_eq!(ledger.forget(1_099, 9).0.len(), 0);
        assert_eq!(ledger.forget(1_100, 1).0.len(), 1);
        assert_eq!(ledger.forget(1_100, 9), (vec![StateEntry { key: stored_key(8), value: None }], 0));
        assert_eq!(ledger.len(), 0);
    }

    #[test]
    fn what_was_stored_is_known_again() {
        let mut ledger = Ledger::new(1_000, 10);
        let entry = ledger.entry(H, 1, &done(), 100).unwrap();
        ledger.settled(H, 1, 0, done(), 100);
        assert_eq!(ledger.entry(H, 2, &done(), 200), None, "the first content keeps the name");
        let mut other = Ledger::new(1_000, 10);
        other.restore(std::slice::from_ref(&entry)).unwrap();
        assert_eq!(other.admit(H, 1, 500), Admission::Repeat(done()));
        assert_eq!(ledger.entry(Key::None, 1, &done(), 0), None);
        for bad in [
            StateEntry { key: Bytes::from_static(b"other"), value: Some(Bytes::new()) },
            StateEntry { key: entry.key.clone(), value: Some(Bytes::from_static(b"{}")) },
            StateEntry {
                key: entry.key.clone(),
                value: Some(Bytes::from_static(b"{\"v\":2,\"at\":1,\"content\":\"0\",\"n\":1}")),
            },
        ] {
            assert!(Ledger::new(1, 1).restore(&[bad]).is_err());
        }
    }

    #[test]
    fn too_many_are_forgotten_oldest_first() {
        let mut ledger = Ledger::new(1_000, 2);
        for i in 0..5 {
            ledger.settled(Key::Header(i), 1, 0, done(), i as Millis);
        }
        let (entries, early) = ledger.forget(10, 100);
        assert_eq!((entries.len(), early, ledger.len()), (3, 3, 2));
        assert_eq!(ledger.admit(Key::Header(0), 1, 10), Admission::New);
        assert!(matches!(ledger.admit(Key::Header(4), 1, 10), Admission::Repeat(_)));
    }
}
