//! Watermarks: a promise that event time has passed an instant. Each source partition has its own, the greatest event
//! time seen there less a delay; a stage's is the least of its partitions'. Kafka Streams has one for each task, which
//! the fastest partition pushes ahead of the slow ones, and drops their records as late when a topic is replayed.
//!
//! What raises a partition's watermark:
//! - a record (`PartitionClock::observe`): to its time less the delay, if that is higher. Where the partition has other
//!   writers, the record says how far those have come, and counts for no later time than that: two writers of a replay
//!   that are hours apart then make no row late. The time that it would have counted for is held back until the writers
//!   are known to have come further (`lift`);
//! - a control record of an upstream stage, or a restored state (`raise`);
//! - idleness (`SourceWatermarks::tick`): a partition that has had records, is caught up with its end and has had
//!   nothing new for the idle time follows the least of those that are not idle, so that its windows close. With
//!   bounded input a partition is never idle, only finished: late rows then do not depend on the speed of a run;
//! - the end of bounded input (`finish`): to the end of time, while the run lasts. What is kept is the one from before (SM-5).
//!
//! Nothing lowers one (SM-1). A partition that has never had a record holds nothing back once it is caught up, and
//! keeps no watermark of its own until its first record.

use std::collections::BTreeMap;
use std::fmt;

use millstream_types::Millis;

use crate::key_group::KeyGroup;
use crate::time::{EventTime, SPAN_MS_MAX};

/// All rows with an earlier event time are held to have been read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Watermark(i64);

impl Watermark {
    /// Nothing is promised yet.
    pub const NONE: Watermark = Watermark(i64::MIN);
    /// Bounded input has ended: nothing more will come.
    pub const END: Watermark = Watermark(i64::MAX);

    /// The promise that rows before `time` have been read.
    pub fn at(time: EventTime) -> Watermark {
        Watermark(time)
    }

    /// Whether this promise covers `time`: no row before it will come any more.
    pub fn has_reached(self, time: EventTime) -> bool {
        self.0 >= time
    }

    /// The number that goes into state and control records; [`Watermark::from_raw`] takes it back.
    pub fn to_raw(self) -> i64 {
        self.0
    }

    /// The watermark of a number that [`Watermark::to_raw`] gave.
    pub fn from_raw(raw: i64) -> Watermark {
        Watermark(raw)
    }
}

impl fmt::Debug for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Watermark::NONE => f.write_str("Watermark(none)"),
            Watermark::END => f.write_str("Watermark(end)"),
            Watermark(at) => write!(f, "Watermark({at})"),
        }
    }
}

/// How a source's watermarks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatermarkConfig {
    /// How far rows may be out of order within a partition, in milliseconds of event time.
    pub delay_ms: i64,
    /// After how long without a record a caught-up partition stops holding others back, in milliseconds of the clock
    /// that `now` is read from. `None`: never.
    pub idle_after_ms: Option<i64>,
    /// Whether the input ends. A partition of bounded input never becomes idle; it ends.
    pub bounded: bool,
}

impl WatermarkConfig {
    /// Bounds: delay 0 to a thousand years, idle at least 1 ms.
    pub fn validate(&self) -> Result<(), String> {
        if !(0..=SPAN_MS_MAX).contains(&self.delay_ms) {
            return Err(format!(
                "a watermark delay of {} ms: the bounds are 0 and {SPAN_MS_MAX}",
                self.delay_ms
            ));
        }
        match self.idle_after_ms {
            Some(idle) if idle < 1 => Err(format!("a partition idle after {idle} ms: the least is 1")),
            _ => Ok(()),
        }
    }
}

/// One partition's watermark, raised record by record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionClock {
    watermark: Watermark,
    delay_ms: i64,
    /// The greatest event time of records that counted for an earlier one.
    held: EventTime,
}

impl PartitionClock {
    /// A clock that has seen nothing.
    pub fn new(delay_ms: i64) -> PartitionClock {
        PartitionClock { watermark: Watermark::NONE, delay_ms, held: EventTime::MIN }
    }

    /// The watermark now: for the record about to be observed, the one that its lateness is judged by.
    #[inline]
    pub fn watermark(&self) -> Watermark {
        self.watermark
    }

    /// Takes note of a record's event time.
    #[inline]
    pub fn observe(&mut self, time: EventTime) {
        self.observe_held(time, EventTime::MAX);
    }

    /// Takes note of a record's event time, which counts as `most` where it is later.
    #[inline]
    pub fn observe_held(&mut self, time: EventTime, most: EventTime) {
        if time > most {
            self.held = self.held.max(time);
        }
        self.raise(Watermark(time.min(most).saturating_sub(self.delay_ms)));
    }

    /// Takes note of records' event times, each as `most` where it is later; adds the watermark before each to `before`, raw.
    pub fn observe_all(&mut self, times: &[EventTime], most: EventTime, before: &mut Vec<i64>) {
        if most < EventTime::MAX {
            self.held = times.iter().copied().filter(|time| *time > most).fold(self.held, EventTime::max);
        }
        let mut at = self.watermark.0;
        before.extend(times.iter().map(|time| {
            let was = at;
            at = at.max((*time).min(most).saturating_sub(self.delay_ms));
            was
        }));
        self.watermark = Watermark(at);
    }

    /// Raises the watermark to `to`, if that is higher (SM-1).
    #[inline]
    pub fn raise(&mut self, to: Watermark) {
        self.watermark = self.watermark.max(to);
    }

    /// Records that were held back count for `level` now, as far as they come to it.
    pub fn lift(&mut self, level: EventTime) {
        self.raise(self.lifted(level));
    }

    fn lifted(&self, level: EventTime) -> Watermark {
        Watermark(self.held.min(level).saturating_sub(self.delay_ms))
    }

    /// Whether [`PartitionClock::lift`] would raise the watermark.
    pub fn can_lift(&self, level: EventTime) -> bool {
        self.lifted(level) > self.watermark
    }

    /// The greatest event time that is still held back, if any.
    pub fn held(&self) -> Option<EventTime> {
        self.can_lift(EventTime::MAX).then_some(self.held)
    }

    /// Takes up what was held back before.
    pub fn hold(&mut self, held: EventTime) {
        self.held = self.held.max(held);
    }
}

#[derive(Clone, Debug)]
struct Partition {
    clock: PartitionClock,
    /// A record was seen, here or by an earlier owner whose state was restored.
    has_record: bool,
    caught_up: bool,
    finished: bool,
    idle: bool,
    last_record_at: Millis,
}

impl Partition {
    /// The watermark that rows and windows are judged by.
    fn watermark(&self) -> Watermark {
        if self.finished { Watermark::END } else { self.clock.watermark() }
    }

    /// Its clock, as what is known of its writers raises it.
    fn lifting(&self, seen: EventTime) -> PartitionClock {
        let held = if self.has_record { self.clock.held } else { seen };
        PartitionClock { held, ..self.clock }
    }

    /// Whether the least watermark has to wait for this partition.
    fn holds_back(&self) -> bool {
        !self.finished && !self.idle && (self.has_record || !self.caught_up)
    }
}

/// The watermarks of all partitions that a worker reads of one source.
#[derive(Clone, Debug)]
pub struct SourceWatermarks {
    config: WatermarkConfig,
    partitions: BTreeMap<KeyGroup, Partition>,
    least: Watermark,
}

impl SourceWatermarks {
    /// No partition yet.
    pub fn new(config: WatermarkConfig) -> SourceWatermarks {
        SourceWatermarks { config, partitions: BTreeMap::new(), least: Watermark::NONE }
    }

    /// Starts to read a partition, whose state held `restored` (else [`Watermark::NONE`]). Assigning a partition again
    /// keeps the higher of the two watermarks.
    pub fn assign(&mut self, partition: KeyGroup, restored: Watermark, now: Millis) {
        let entry = self.partitions.entry(partition).or_insert_with(|| Partition {
            clock: PartitionClock::new(self.config.delay_ms),
            has_record: false,
            caught_up: false,
            finished: false,
            idle: false,
            last_record_at: now,
        });
        entry.clock.raise(restored);
        entry.has_record |= restored > Watermark::NONE;
    }

    /// Stops reading a partition: it holds nothing back here any more. What it promised travels with its state.
    pub fn revoke(&mut self, partition: KeyGroup) {
        self.partitions.remove(&partition);
    }

    /// The clock of a partition whose records are about to be read, to observe each of them in order. Reading a record
    /// ends idleness.
    ///
    /// # Panics
    /// If the partition was not assigned.
    pub fn reading(&mut self, partition: KeyGroup, now: Millis) -> &mut PartitionClock {
        let entry = self.partitions.get_mut(&partition);
        let entry =
            entry.unwrap_or_else(|| panic!("SM-1: records of partition {partition}, which is not assigned"));
        assert!(!entry.finished, "SM-1: records of partition {partition} after its end");
        entry.has_record = true;
        entry.idle = false;
        entry.last_record_at = now;
        &mut entry.clock
    }

    /// A control record of the upstream stage: nothing earlier than `to` will come in this partition.
    pub fn raise(&mut self, partition: KeyGroup, to: Watermark) {
        if let Some(entry) = self.partitions.get_mut(&partition) {
            entry.clock.raise(to);
        }
    }

    /// All that writers of the partition have left to write lies at or behind `level`, and all before it has been read: what was held
    /// back for want of that counts. A partition that has had no record has come as far as the furthest of the others.
    pub fn lift(&mut self, partition: KeyGroup, level: EventTime) {
        let seen = self.seen();
        if let Some(entry) = self.partitions.get_mut(&partition) {
            entry.clock.raise(entry.lifting(seen).lifted(level));
        }
    }

    /// The greatest event time of all partitions.
    fn seen(&self) -> EventTime {
        let of = |p: &Partition| p.clock.held.max(p.clock.watermark.0.saturating_add(self.config.delay_ms));
        self.partitions.values().filter(|p| p.has_record).map(of).max().unwrap_or(EventTime::MIN)
    }

    /// Whether [`SourceWatermarks::lift`] would raise a partition's watermark.
    pub fn can_lift(&self, partition: KeyGroup, level: EventTime) -> bool {
        self.partitions.get(&partition).is_some_and(|p| p.lifting(self.seen()).can_lift(level))
    }

    /// The greatest event time of a partition's records that is still held back, if any.
    pub fn held(&self, partition: KeyGroup) -> Option<EventTime> {
        self.partitions.get(&partition)?.clock.held()
    }

    /// Takes up what was held back of a partition before it was assigned here.
    pub fn hold(&mut self, partition: KeyGroup, held: EventTime) {
        if let Some(entry) = self.partitions.get_mut(&partition) {
            entry.clock.hold(held);
            entry.has_record |= held > EventTime::MIN;
        }
    }

    /// Says whether everything that is in the partition has been read. A fetch that returned nothing below the high
    /// watermark says yes; a lag says no, and ends idleness.
    pub fn caught_up(&mut self, partition: KeyGroup, yes: CaughtUp) {
        if let Some(entry) = self.partitions.get_mut(&partition) {
            entry.caught_up = yes == CaughtUp::Yes;
            entry.idle &= entry.caught_up;
        }
    }

    /// Bounded input: this partition was read to its final end.
    pub fn finish(&mut self, partition: KeyGroup) {
        if let Some(entry) = self.partitions.get_mut(&partition) {
            entry.finished = true;
        }
    }

    /// Lets time pass: finds partitions that have become idle and lets them follow the others. Call it after reading
    /// and before asking for watermarks. `now` is from one monotonic clock.
    pub fn tick(&mut self, now: Millis) {
        if let (Some(idle_after), false) = (self.config.idle_after_ms, self.config.bounded) {
            for entry in self.partitions.values_mut() {
                let waited = now.saturating_sub(entry.last_record_at) >= idle_after;
                entry.idle = entry.idle || (entry.caught_up && waited && !entry.finished);
            }
        }
        let holding = self.partitions.values().filter(|p| p.holds_back()).map(|p| p.watermark()).min();
        let reached = match holding {
            Some(least) => least,
            // Nobody holds anything back. If all have ended, so has the source; if all are idle, whatever the fastest
            // of them promised holds for all, since each has been read to its end.
            None => self.partitions.values().map(|p| p.watermark()).max().unwrap_or(Watermark::NONE),
        };
        let unfinished = self.partitions.values().any(|p| !p.finished);
        let reached =
            if reached == Watermark::END && unfinished { self.fastest_unfinished() } else { reached };
        self.least = reached;
        for entry in self.partitions.values_mut().filter(|p| p.idle && p.has_record) {
            entry.clock.raise(reached);
        }
    }

    /// Whether a partition has been read to its final end while others of the run have none.
    pub fn has_ended_for_ever(&self, partition: KeyGroup) -> bool {
        !self.config.bounded && self.partitions.get(&partition).is_some_and(|p| p.finished)
    }

    /// The assigned partitions that are idle, those too that never had a record.
    pub fn idle(&self) -> impl Iterator<Item = KeyGroup> + '_ {
        self.partitions.iter().filter(|(_, p)| p.idle).map(|(group, _)| *group)
    }

    /// The highest watermark among partitions that have not ended.
    fn fastest_unfinished(&self) -> Watermark {
        let open = self.partitions.values().filter(|p| !p.finished);
        open.map(|p| p.clock.watermark()).max().unwrap_or(Watermark::NONE)
    }

    /// A partition's watermark: what rows and windows of its key group are judged by.
    pub fn of(&self, partition: KeyGroup) -> Watermark {
        self.partitions.get(&partition).map_or(Watermark::NONE, |p| p.watermark())
    }

    /// What a partition's rows and control records alone have promised: its watermark, had its input not ended. State
    /// keeps this one, so that a later run over more input goes on from there.
    pub fn before_end(&self, partition: KeyGroup) -> Watermark {
        self.partitions.get(&partition).map_or(Watermark::NONE, |p| p.clock.watermark())
    }

    /// The least watermark over the partitions that hold it back, as of the last [`SourceWatermarks::tick`]. A partition's
    /// never falls (SM-1); this does when one is assigned that is behind.
    pub fn least(&self) -> Watermark {
        self.least
    }

    /// The assigned partitions that others wait for: not ended, not idle, and not read to the end of nothing.
    pub fn holding(&self) -> impl Iterator<Item = KeyGroup> + '_ {
        self.partitions.iter().filter(|(_, p)| p.holds_back()).map(|(group, _)| *group)
    }

    /// The same, and those that have had no record since they were assigned, until they are idle: nobody knows how far they had come.
    pub fn awaited(&self) -> impl Iterator<Item = KeyGroup> + '_ {
        // Bounded input is never idle, and a partition without records would hold it back to its end.
        let silent = self.config.idle_after_ms.is_some() && !self.config.bounded;
        let is_awaited = move |p: &Partition| p.holds_back() || silent && !p.finished && !p.idle;
        self.partitions.iter().filter(move |(_, p)| is_awaited(p)).map(|(group, _)| *group)
    }

    /// The assigned partitions, in order.
    pub fn partitions(&self) -> impl Iterator<Item = KeyGroup> + '_ {
        self.partitions.keys().copied()
    }

    /// Whether this partition is assigned.
    pub fn has(&self, partition: KeyGroup) -> bool {
        self.partitions.contains_key(&partition)
    }

    /// Whether every assigned partition has ended (and there is at least one).
    pub fn all_finished(&self) -> bool {
        !self.partitions.is_empty() && self.partitions.values().all(|p| p.finished)
    }
}

/// Whether a partition has been read up to its high watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaughtUp {
    /// Nothing is left to read for now.
    Yes,
    /// There is a lag.
    No,
}

#[cfg(test)]
#[path = "watermark_tests.rs"]
mod tests;
