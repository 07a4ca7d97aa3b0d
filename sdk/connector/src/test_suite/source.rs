//! Plays the worker over a source: keeps what would be in the broker (positions, remembered entries, records) and
//! checks that each record that was put comes out once, in its split's order.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context as Poller, Poll, Waker};

use bytes::Bytes;

use super::source_cases::SOURCE_CASES;
use super::{Need, Tally, number, steps};
use crate::{Position, ReadLimit, ReadState, Source, SplitId, SplitReader, StateEntry, async_trait};

/// The foreign system of a source, as the suite sees it.
#[async_trait]
pub trait SourceFixture: Send {
    /// Makes an empty system; the one before is forgotten.
    async fn reset(&mut self);
    /// Whether the system can do this.
    fn can(&self, need: Need) -> bool;
    /// Puts records into a split, in order. Where a peer sends them and waits for the answer, the sending goes on
    /// beside the suite, with retries until it is answered.
    async fn put(&mut self, split: usize, records: Vec<Bytes>);
    /// A new source over the system.
    async fn source(&mut self) -> Box<dyn Source>;
    /// Called at the end of a case, with the source still alive: everything was committed. Panics if a peer is not
    /// answered or sees something else.
    async fn settle(&mut self);
}

/// Runs every case that the system can do; panics at the first that fails.
pub async fn check_source(fixture: &mut dyn SourceFixture) -> Tally {
    let mut tally = Tally::default();
    for case in SOURCE_CASES {
        if !case.needs.iter().all(|need| fixture.can(*need)) {
            tally.left_out += 1;
            continue;
        }
        fixture.reset().await;
        let mut worker = Worker { case: case.name, ..Worker::default() };
        for step in steps(case.script) {
            worker.step(fixture, &step).await;
        }
        fixture.settle().await;
        worker.close().await;
        tally.passed += 1;
    }
    tally
}

#[derive(Default)]
struct Worker {
    case: &'static str,
    put: BTreeMap<usize, usize>,
    // In the broker.
    positions: BTreeMap<SplitId, Position>,
    remembered: BTreeMap<SplitId, BTreeMap<Bytes, Bytes>>,
    committed: Vec<Bytes>,
    // In memory.
    source: Option<Box<dyn Source>>,
    readers: BTreeMap<SplitId, Open>,
    zombies: Vec<Open>,
}

struct Open {
    reader: Box<dyn SplitReader>,
    read: Vec<Bytes>,
    position: Option<Position>,
    state: ReadState,
}

const ROUNDS_MAX: usize = 2_000;

impl Worker {
    async fn step(&mut self, fixture: &mut dyn SourceFixture, words: &[&'static str]) {
        match words {
            ["put", split, n] => {
                let (split, n) = (number(split), number(n));
                let from = *self.put.entry(split).or_default();
                self.put.insert(split, from + n);
                let records = (from..from + n).map(|i| record(split, i)).collect();
                fixture.put(split, records).await;
            }
            ["start"] => {
                self.source = Some(fixture.source().await);
                self.discover().await;
            }
            ["read", n] => {
                // A peer's records may come all at once: no more is asked for than there is.
                let put = self.put.values().sum::<usize>() - self.committed.len();
                let goal = (self.in_hand() + number(n)).min(put);
                self.read_until(goal, number(n)).await;
            }
            ["drain"] => {
                let goal = self.put.values().sum::<usize>() - self.committed.len();
                self.read_until(goal, 65_536).await;
            }
            ["commit"] => self.commit(true).await,
            ["commit-no-ack"] => {
                self.commit(false).await;
                self.die();
            }
            ["abort"] => {
                self.readers.clear();
                self.discover().await;
            }
            ["crash"] => self.die(),
            ["zombie"] => {
                self.zombies.extend(std::mem::take(&mut self.readers).into_values());
                self.source = None;
            }
            ["zombie-reads"] => {
                for zombie in &mut self.zombies {
                    let _ = zombie.reader.read(ReadLimit { wait_ms: 0, ..ReadLimit::default() }).await;
                }
            }
            ["drop-read"] => {
                let limit = ReadLimit { wait_ms: 60_000, max_records: 1, ..ReadLimit::default() };
                for open in self.readers.values_mut() {
                    let mut read = pin!(open.reader.read(limit));
                    let poll = read.as_mut().poll(&mut Poller::from_waker(Waker::noop()));
                    if let Poll::Ready(Ok(batch)) = poll {
                        open.read.extend(batch.records.iter().map(|record| record.value.clone()));
                        open.position = Some(batch.next_position);
                    }
                }
            }
            ["expect"] => self.check(),
            ["expect-all"] => {
                self.check();
                let put = self.put.values().sum::<usize>();
                assert_eq!(
                    self.committed.len(),
                    put,
                    "case \"{}\": records committed of those put",
                    self.case
                );
            }
            other => panic!("case \"{}\": no such step: {other:?}", self.case),
        }
    }

    fn in_hand(&self) -> usize {
        self.readers.values().map(|open| open.read.len()).sum()
    }

    fn die(&mut self) {
        self.readers.clear();
        self.source = None;
    }

    async fn discover(&mut self) {
        let source = self.source.as_mut().expect("the script starts the source first");
        let found = source.discover(&self.positions).await.expect("finding the splits");
        for split in found.splits {
            if self.readers.contains_key(&split.id) {
                continue;
            }
            let state = self
                .remembered
                .get(&split.id)
                .into_iter()
                .flatten()
                .map(|(key, value)| StateEntry { key: key.clone(), value: Some(value.clone()) })
                .collect();
            let reader = source.open(&split.id, self.positions.get(&split.id), state).await;
            let reader = reader.unwrap_or_else(|error| panic!("case \"{}\": opening: {error}", self.case));
            let open = Open { reader, read: Vec::new(), position: None, state: ReadState::More };
            self.readers.insert(split.id, open);
        }
    }

    /// Reads until `goal` records are in hand. Bounded: a record that never comes fails the case.
    async fn read_until(&mut self, goal: usize, at_once: usize) {
        let limit = ReadLimit { max_records: at_once, wait_ms: 20, ..ReadLimit::default() };
        for _ in 0..ROUNDS_MAX {
            if self.in_hand() >= goal {
                return;
            }
            self.discover().await;
            for open in self.readers.values_mut() {
                let batch = open.reader.read(limit).await;
                let batch = batch.unwrap_or_else(|error| panic!("case \"{}\": reading: {error}", self.case));
                assert!(batch.faults.is_empty(), "case \"{}\": faults {:?}", self.case, batch.faults);
                open.read.extend(batch.records.iter().map(|record| record.value.clone()));
                open.position = Some(batch.next_position);
                open.state = batch.state;
            }
            if self.in_hand() >= goal {
                return;
            }
        }
        panic!("case \"{}\": {} of {goal} records after {ROUNDS_MAX} rounds", self.case, self.in_hand());
    }

    async fn commit(&mut self, ack: bool) {
        for (id, open) in &mut self.readers {
            let Some(position) = open.position.take() else { continue };
            let delta = open.reader.delta(&position, &[]).expect("asking what to remember");
            let memory = self.remembered.entry(id.clone()).or_default();
            for entry in delta {
                match entry.value {
                    Some(value) => memory.insert(entry.key, value),
                    None => memory.remove(&entry.key),
                };
            }
            self.positions.insert(id.clone(), position.clone());
            self.committed.append(&mut open.read);
            if ack {
                open.reader.ack(&position).await.expect("acking");
            }
        }
    }

    /// Each committed record once, each split's in order.
    fn check(&self) {
        let mut next: BTreeMap<usize, usize> = BTreeMap::new();
        for value in &self.committed {
            let (split, i) = parse(value);
            let expected = next.entry(split).or_default();
            assert_eq!(i, *expected, "case \"{}\": split {split}: the next record", self.case);
            *expected += 1;
        }
    }

    async fn close(&mut self) {
        for open in self.readers.values_mut() {
            open.reader.stop().await;
        }
        self.zombies.clear();
        self.die();
    }
}

fn record(split: usize, i: usize) -> Bytes {
    Bytes::from(format!("{{\"id\":\"{split}-{i}\",\"n\":{i}}}"))
}

fn parse(value: &[u8]) -> (usize, usize) {
    let text = std::str::from_utf8(value).expect("the suite's records are text");
    let id = text.split('"').nth(3).unwrap_or_else(|| panic!("a record that nobody put: {text}"));
    let (split, i) = id.split_once('-').unwrap_or_else(|| panic!("a record that nobody put: {text}"));
    (number(split), number(i))
}
