//! The partitions that a consumer has, where it stands in each, and what is fetched and waits to be polled. Owns:
//! - CL-3: a position only ever moves to what the application was given, was told to seek to, or was committed.
//! - CL-4: what was fetched before a seek, a reset or a new assignment is dropped: every such change has a new number.
//!
//! Never enters: requests.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use millstream_types::{MemoryClaim, TopicPartition};

use super::records::{ConsumerRecords, FetchedBatch, PartitionRecords};
use crate::config::Isolation;
use crate::error::ClientError;

/// What is taken for the expansion of compressed batches before any was seen.
const EXPANSION_AT_FIRST: f64 = 4.0;

/// How a partition gets its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// From the group's committed offset, or else from the reset rule.
    Committed,
    /// From the reset rule: nothing is committed.
    Reset,
    /// From the closer end: this offset was outside of the log.
    OutOfRange(i64),
    /// From the first or last offset, since the application said so.
    Earliest,
    /// See `Earliest`.
    Latest,
}

#[derive(Debug)]
pub(crate) struct PartitionState {
    /// The next offset to give to the application; `None` until it is known.
    pub(crate) position: Option<i64>,
    pub(crate) leader_epoch: i32,
    pub(crate) start: Start,
    fetch_from: i64,
    pub(crate) paused: bool,
    buffered: VecDeque<FetchedBatch>,
    buffered_bytes: usize,
    /// When a fetch last brought something, in numbers of such fetches: a broker fills its answer in the order of the
    /// request, so those that got nothing come first in the next.
    served: u64,
    /// Rises with each change that makes earlier fetches worthless (CL-4).
    number: u64,
    pub(crate) in_fetch: bool,
    /// Whether its position is being looked up.
    pub(crate) in_lookup: bool,
    pub(crate) retry_at: Option<Instant>,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) log_start_offset: i64,
    /// What was committed last.
    pub(crate) committed: Option<i64>,
}

/// A partition to be fetched, and from where.
#[derive(Clone, Debug)]
pub(crate) struct FetchTarget {
    pub(crate) partition: TopicPartition,
    pub(crate) number: u64,
    pub(crate) offset: i64,
    /// Nothing is known to be there: a fetch waits at the broker.
    pub(crate) at_end: bool,
}

/// What a fetch brought for a partition.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) batches: Vec<FetchedBatch>,
    pub(crate) next_fetch: i64,
    pub(crate) high_watermark: i64,
    pub(crate) last_stable_offset: i64,
    pub(crate) log_start_offset: i64,
    /// Not to be fetched again before.
    pub(crate) rest: Option<Instant>,
}

#[derive(Debug)]
pub(crate) struct Positions {
    /// What is buffered.
    memory: MemoryClaim,
    pub(crate) partitions: BTreeMap<TopicPartition, PartitionState>,
    pub(crate) buffered_bytes: usize,
    next_number: u64,
    next_served: u64,
    /// Bytes that a byte of an answer becomes when it is opened, as the last answers had it; 0 before the first.
    expansion: f64,
    /// What the next poll fails with.
    pub(crate) error: Option<ClientError>,
    /// The partition that the last poll ended with: the next one begins behind it.
    last_polled: Option<TopicPartition>,
}

impl Positions {
    pub(crate) fn new(memory: MemoryClaim) -> Positions {
        Positions {
            memory,
            partitions: BTreeMap::new(),
            buffered_bytes: 0,
            next_number: 0,
            next_served: 0,
            expansion: 0.0,
            error: None,
            last_polled: None,
        }
    }

    /// Takes a partition in.
    pub(crate) fn add(&mut self, partition: TopicPartition, start: Start) {
        self.next_number += 1;
        let state = PartitionState {
            position: None,
            leader_epoch: -1,
            start,
            fetch_from: 0,
            paused: false,
            buffered: VecDeque::new(),
            buffered_bytes: 0,
            served: 0,
            number: self.next_number,
            in_fetch: false,
            in_lookup: false,
            retry_at: None,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            committed: None,
        };
        if let Some(old) = self.partitions.insert(partition, state) {
            self.buffered_bytes -= old.buffered_bytes;
            self.memory.set(self.buffered_bytes as u64);
        }
    }

    pub(crate) fn remove(&mut self, partition: &TopicPartition) {
        if let Some(old) = self.partitions.remove(partition) {
            self.buffered_bytes -= old.buffered_bytes;
            self.memory.set(self.buffered_bytes as u64);
        }
    }

    /// Drops what is buffered and makes fetches under way worthless (CL-4).
    fn renew(&mut self, partition: &TopicPartition) -> Option<&mut PartitionState> {
        self.next_number += 1;
        let state = self.partitions.get_mut(partition)?;
        self.buffered_bytes -= state.buffered_bytes;
        self.memory.set(self.buffered_bytes as u64);
        state.buffered.clear();
        state.buffered_bytes = 0;
        state.number = self.next_number;
        state.in_fetch = false;
        state.in_lookup = false;
        state.retry_at = None;
        Some(state)
    }

    /// Moves a position.
    pub(crate) fn seek(&mut self, partition: &TopicPartition, offset: i64, leader_epoch: i32) -> bool {
        let Some(state) = self.renew(partition) else { return false };
        state.position = Some(offset);
        state.fetch_from = offset;
        state.leader_epoch = leader_epoch;
        true
    }

    /// Asks for a position to be looked up.
    pub(crate) fn restart(&mut self, partition: &TopicPartition, start: Start) -> bool {
        let Some(state) = self.renew(partition) else { return false };
        state.position = None;
        state.start = start;
        true
    }

    /// Whether a lookup or fetch that was begun under `number` still counts.
    pub(crate) fn is_current(&self, partition: &TopicPartition, number: u64) -> bool {
        self.partitions.get(partition).is_some_and(|state| state.number == number)
    }

    pub(crate) fn number(&self, partition: &TopicPartition) -> u64 {
        self.partitions.get(partition).map_or(0, |state| state.number)
    }

    /// The partitions that want to be fetched.
    pub(crate) fn fetchable(
        &self,
        now: Instant,
        partition_bytes: usize,
        all_bytes: usize,
        isolation: Isolation,
    ) -> Vec<FetchTarget> {
        let full = self.is_full(all_bytes);
        let mut targets: Vec<(u64, FetchTarget)> = self
            .partitions
            .iter()
            .filter(|(_, state)| {
                state.position.is_some()
                    && !state.paused
                    && !state.in_fetch
                    && state.retry_at.is_none_or(|at| at <= now)
                    && state.buffered_bytes < partition_bytes
                    // When all is full, those that have nothing still go on: none starves.
                    && (!full || state.buffered.is_empty())
            })
            .map(|(partition, state)| {
                let end = match isolation {
                    Isolation::ReadCommitted => state.last_stable_offset,
                    Isolation::ReadUncommitted => state.high_watermark,
                };
                let at_end = end >= 0 && state.fetch_from >= end;
                let (partition, number, offset) = (partition.clone(), state.number, state.fetch_from);
                (state.served, FetchTarget { partition, number, offset, at_end })
            })
            .collect();
        targets.sort_by_key(|(served, _)| *served);
        targets.into_iter().map(|(_, target)| target).collect()
    }

    fn is_full(&self, all_bytes: usize) -> bool {
        self.buffered_bytes >= all_bytes || self.memory.is_short()
    }

    /// How many bytes become `opened` when an answer is opened.
    fn packed(&self, opened: usize) -> usize {
        let expansion = if self.expansion > 0.0 { self.expansion } else { EXPANSION_AT_FIRST };
        (opened as f64 / expansion) as usize
    }

    /// How many bytes an answer may have, so that about `all_bytes` are buffered when it is opened.
    pub(crate) fn room(&self, all_bytes: usize) -> usize {
        self.packed(all_bytes.saturating_sub(self.buffered_bytes))
    }

    /// How many bytes of an answer one partition may have: when all is full, those that have nothing ready share as much again, however
    /// many they are.
    pub(crate) fn share(&self, all_bytes: usize) -> usize {
        if !self.is_full(all_bytes) {
            return usize::MAX;
        }
        let has_nothing = |state: &&PartitionState| !state.paused && state.buffered.is_empty();
        let wanting = self.partitions.values().filter(has_nothing).count();
        self.packed(all_bytes / wanting.max(1))
    }

    /// Notes what an answer of so many bytes became.
    pub(crate) fn opened(&mut self, bytes: usize, became: usize) {
        if bytes >= 1024 {
            let seen = (became as f64 / bytes as f64).max(1.0);
            self.expansion = if self.expansion > 0.0 { self.expansion * 0.7 + seen * 0.3 } else { seen };
        }
    }

    /// Notes that a fetch begins. False where the partition was sought or given up since the target was taken: a fetch that
    /// no longer counts would never be noted as ended.
    pub(crate) fn begin_fetch(&mut self, target: &FetchTarget) -> bool {
        match self.partitions.get_mut(&target.partition) {
            Some(state) if state.number == target.number => {
                state.in_fetch = true;
                true
            }
            _ => false,
        }
    }

    /// Takes in what a fetch brought. Returns whether there is something to poll.
    pub(crate) fn fetched(&mut self, target: &FetchTarget, fetched: Fetched) -> bool {
        if !self.is_current(&target.partition, target.number) {
            return false;
        }
        let Some(state) = self.partitions.get_mut(&target.partition) else { return false };
        state.in_fetch = false;
        state.retry_at = fetched.rest;
        state.fetch_from = fetched.next_fetch;
        state.high_watermark = fetched.high_watermark;
        state.last_stable_offset = fetched.last_stable_offset;
        state.log_start_offset = fetched.log_start_offset;
        let bytes: usize = fetched.batches.iter().map(|batch| batch.payload.len()).sum();
        if !fetched.batches.is_empty() {
            self.next_served += 1;
            state.served = self.next_served;
        }
        state.buffered_bytes += bytes;
        self.buffered_bytes += bytes;
        self.memory.set(self.buffered_bytes as u64);
        state.buffered.extend(fetched.batches);
        !state.buffered.is_empty()
    }

    /// A fetch of the partition failed and is to be tried again at `at`.
    pub(crate) fn fetch_failed(&mut self, target: &FetchTarget, at: Instant) {
        if self.is_current(&target.partition, target.number)
            && let Some(state) = self.partitions.get_mut(&target.partition)
        {
            state.in_fetch = false;
            state.retry_at = Some(at);
        }
    }

    /// Takes out about `bytes_max` bytes, each partition in its turn, and moves the positions behind them (CL-3).
    pub(crate) fn take(&mut self, bytes_max: usize) -> ConsumerRecords {
        let mut records = ConsumerRecords::default();
        let mut left = bytes_max;
        let order: Vec<TopicPartition> = match &self.last_polled {
            None => self.partitions.keys().cloned().collect(),
            Some(last) => {
                let behind = self.partitions.keys().filter(|p| *p > last);
                behind.chain(self.partitions.keys().filter(|p| *p <= last)).cloned().collect()
            }
        };
        for partition in order {
            let Some(state) = self.partitions.get_mut(&partition) else { continue };
            if state.paused || state.buffered.is_empty() {
                continue;
            }
            let Some(mut next_offset) = state.position else { continue };
            let mut batches = Vec::new();
            while let Some(batch) = state.buffered.front() {
                let bytes = batch.payload.len();
                if batch.visible && bytes > left && (!batches.is_empty() || !records.partitions.is_empty()) {
                    break;
                }
                let Some(batch) = state.buffered.pop_front() else { break };
                left = left.saturating_sub(bytes);
                state.buffered_bytes -= bytes;
                self.buffered_bytes -= bytes;
                next_offset = batch.next_offset().max(next_offset);
                state.leader_epoch = batch.header.partition_leader_epoch;
                if batch.visible {
                    batches.push(batch);
                }
            }
            state.position = Some(next_offset);
            self.last_polled = Some(partition.clone());
            records.partitions.push(PartitionRecords {
                partition,
                batches,
                next_offset,
                leader_epoch: state.leader_epoch,
                high_watermark: state.high_watermark,
                last_stable_offset: state.last_stable_offset,
            });
            if left == 0 {
                break;
            }
        }
        self.memory.set(self.buffered_bytes as u64);
        records
    }
}

#[cfg(test)]
mod tests {
    use millstream_types::MemoryBudget;

    use super::*;

    #[test]
    fn a_fetch_that_a_seek_overtook_does_not_begin() {
        let partition = TopicPartition::new("topic", 0);
        let mut positions = Positions::new(MemoryBudget::unlimited().claim("fetched"));
        positions.add(partition.clone(), Start::Earliest);
        positions.seek(&partition, 5, -1);
        let now = Instant::now();
        let target = positions.fetchable(now, 1 << 20, 1 << 20, Isolation::ReadUncommitted).remove(0);
        positions.seek(&partition, 7, -1);
        assert!(!positions.begin_fetch(&target));
        // Were it noted as begun, nothing would ever note its end, and the partition would not be fetched again.
        let again = positions.fetchable(now, 1 << 20, 1 << 20, Isolation::ReadUncommitted).remove(0);
        assert_eq!(again.offset, 7);
        assert!(positions.begin_fetch(&again));
        assert!(positions.fetchable(now, 1 << 20, 1 << 20, Isolation::ReadUncommitted).is_empty());
    }

    #[test]
    fn however_many_partitions_there_are_not_much_more_than_all_is_buffered() {
        let mut positions = Positions::new(MemoryBudget::unlimited().claim("fetched"));
        for partition in 0..600 {
            positions.add(TopicPartition::new("topic", partition), Start::Earliest);
            positions.seek(&TopicPartition::new("topic", partition), 0, -1);
        }
        let all = 16 << 20;
        // What comes is as large when it is opened.
        positions.opened(1 << 20, 1 << 20);
        assert_eq!(positions.share(all), usize::MAX, "while there is room, one may take all of it");
        positions.buffered_bytes = all;
        let targets = positions.fetchable(Instant::now(), 1 << 20, all, Isolation::ReadUncommitted);
        assert_eq!(targets.len(), 600, "none starves");
        assert!(positions.share(all) * targets.len() <= all);
        // Those that are paused want nothing: the one that goes on gets what they would.
        for partition in 1..600 {
            positions.partitions.get_mut(&TopicPartition::new("topic", partition)).expect("added").paused =
                true;
        }
        assert_eq!(positions.share(all), all);
    }
}
