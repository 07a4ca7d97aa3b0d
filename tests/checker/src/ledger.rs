//! What a history says, sorted: operations, writes, observations, readers' gaps. Built line by line; what can be judged
//! from a reader's own order alone is judged here. Never enters: what several processes saw (`judge`).

use std::collections::HashMap;

use crate::anomaly::{Kind, Verdict};
use crate::history::{Function, HistoryError, Line, Stage, Stretch};

/// No line: lines count from 1.
pub(crate) const NO_LINE: u32 = 0;

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Committed, acknowledged.
    Ok,
    /// Aborted, never done.
    Fail,
    /// Unknown, or not ended.
    Maybe,
}

/// A send or a transaction.
pub(crate) struct Op {
    pub invoked: u32,
    pub ended: u32,
    /// Where its commit was asked for.
    pub ending: u32,
    pub outcome: Outcome,
    pub txn: bool,
    /// Whether a commit was ever intended.
    pub wants_commit: bool,
    pub writes: std::ops::Range<usize>,
}

/// A record that somebody sent.
pub(crate) struct Write {
    pub value: u64,
    pub partition: u32,
    pub op: u32,
    pub acknowledged: bool,
    /// The lowest offset where it was found; -1 for none.
    pub offset: i64,
    /// The first line where it was read at read_committed.
    pub seen: u32,
}

/// A transaction that copies what a group reads.
pub(crate) struct Copying {
    pub op: u32,
    pub group: u32,
    /// Which write is the copy of which value.
    pub copies: Vec<(u32, u64)>,
    /// Partition and the position that is committed.
    pub positions: Vec<(u32, i64)>,
}

/// A value at an offset, as somebody was told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Observation {
    pub partition: u32,
    pub offset: i64,
    pub value: u64,
    pub line: u32,
}

/// Two records that came one after another, with offsets between them that did not come.
pub(crate) struct Gap {
    pub partition: u32,
    pub after: i64,
    pub before: i64,
    pub line: u32,
    pub last_line: u32,
    pub internal: bool,
}

#[derive(Default)]
struct Reader {
    group: Option<u32>,
    uncommitted: bool,
    /// The offset of the last record of each partition, and its line.
    last: HashMap<u32, (i64, u32)>,
}

/// What a group did with a partition.
#[derive(Default)]
pub(crate) struct GroupPartition {
    pub delivered: Vec<i64>,
    pub committed: i64,
    pub commit_line: u32,
}

/// A history, sorted.
#[derive(Default)]
pub(crate) struct Ledger {
    pub partitions: Vec<String>,
    pub groups: Vec<String>,
    pub ops: Vec<Op>,
    pub writes: Vec<Write>,
    pub by_value: HashMap<u64, u32>,
    pub observations: Vec<Observation>,
    pub gaps: Vec<Gap>,
    /// The highest offset that was read at read_committed, by partition.
    pub read_to: HashMap<u32, i64>,
    /// Where a final reader ended, by partition.
    pub drained: HashMap<u32, (i64, u32)>,
    pub copying: Vec<Copying>,
    pub of_group: HashMap<(u32, u32), GroupPartition>,
    pub verdict: Verdict,
    partition_ids: HashMap<String, u32>,
    group_ids: HashMap<String, u32>,
    open: HashMap<u32, u32>,
    readers: HashMap<u32, Reader>,
    last_sent: HashMap<(u32, u32), (i64, u32)>,
    log_next: HashMap<(u32, u32), (i64, u32)>,
}

fn intern(ids: &mut HashMap<String, u32>, names: &mut Vec<String>, name: &str) -> u32 {
    if let Some(id) = ids.get(name) {
        return *id;
    }
    let id = names.len() as u32;
    names.push(name.to_owned());
    ids.insert(name.to_owned(), id);
    id
}

impl Ledger {
    fn partition(&mut self, name: &str) -> u32 {
        intern(&mut self.partition_ids, &mut self.partitions, name)
    }

    /// Takes a line in. `at` is its number.
    pub fn take(&mut self, at: u32, line: &Line<'_>) -> Result<(), HistoryError> {
        let wrong = |reason: String| HistoryError::Line { line: at, reason };
        self.verdict.lines += 1;
        match (line.f, line.stage) {
            (Function::Send | Function::Txn, Stage::Invoke) => self.begin(at, line).map_err(wrong)?,
            (Function::Send | Function::Txn, _) => self.end(at, line).map_err(wrong)?,
            (Function::End, Stage::Invoke) => {
                let Some(op) = self.open.get(&line.process) else {
                    return Err(wrong(format!("process {} has no open transaction", line.process)));
                };
                self.ops[*op as usize].ending = at;
            }
            (Function::Poll, Stage::Ok) => self.poll(at, line),
            (Function::Subscribe, Stage::Ok | Stage::Invoke) => {
                let group = line.group.map(|group| intern(&mut self.group_ids, &mut self.groups, group));
                let reader = Reader { group, uncommitted: line.uncommitted, last: HashMap::new() };
                self.readers.insert(line.process, reader);
            }
            (Function::Assign, Stage::Ok | Stage::Invoke) => {
                let mut last = HashMap::new();
                for (partition, offset) in &line.offsets {
                    last.insert(self.partition(partition), (offset - 1, at));
                }
                let reader = Reader { group: None, uncommitted: line.uncommitted, last };
                self.readers.insert(line.process, reader);
            }
            (Function::Rebalance, _) => {
                for (partition, _) in &line.offsets {
                    let partition = self.partition(partition);
                    if let Some(reader) = self.readers.get_mut(&line.process) {
                        reader.last.remove(&partition);
                    }
                }
            }
            (Function::Commit, Stage::Ok) => self.commit(at, line),
            (Function::Drain, Stage::Ok) => {
                for (partition, end) in &line.offsets {
                    let partition = self.partition(partition);
                    self.moved(at, line.process, partition, *end, false);
                    self.drained.insert(partition, (*end, at));
                }
            }
            (Function::Log, Stage::Ok) => match &line.log {
                Some(stretch) => self.log(at, line.process, stretch),
                None => return Err(wrong("a log line without log".to_owned())),
            },
            (Function::Fault, _) => self.verdict.faults += 1,
            // Begun or failed reads and commits tell nothing.
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, at: u32, line: &Line<'_>) -> Result<(), String> {
        self.verdict.operations += 1;
        let first = self.writes.len();
        let op = self.ops.len() as u32;
        for (partition, value, _) in &line.sends {
            let partition = self.partition(partition);
            if self.by_value.insert(*value, self.writes.len() as u32).is_some() {
                return Err(format!("value {value} is sent a second time; values have to be unique"));
            }
            let (acknowledged, offset) = (false, -1);
            self.writes.push(Write { value: *value, partition, op, acknowledged, offset, seen: NO_LINE });
        }
        self.verdict.sent += line.sends.len() as u64;
        self.ops.push(Op {
            invoked: at,
            ended: NO_LINE,
            ending: NO_LINE,
            outcome: Outcome::Maybe,
            txn: line.f == Function::Txn,
            wants_commit: line.commit != Some(false),
            writes: first..self.writes.len(),
        });
        if let Some(group) = line.group {
            let group = intern(&mut self.group_ids, &mut self.groups, group);
            let write = |(value, of): &(u64, u64)| self.by_value.get(value).map(|write| (*write, *of));
            let copies: Vec<(u32, u64)> = line.copies.iter().filter_map(write).collect();
            let positions = line.offsets.iter().map(|(name, at)| (self.partition(name), *at)).collect();
            self.copying.push(Copying { op, group, copies, positions });
        }
        match self.open.insert(line.process, op) {
            Some(_) => Err(format!("process {} begins before its last operation ended", line.process)),
            None => Ok(()),
        }
    }

    fn end(&mut self, at: u32, line: &Line<'_>) -> Result<(), String> {
        let Some(id) = self.open.remove(&line.process) else {
            return Err(format!("process {} ends what it has not begun", line.process));
        };
        let op = &mut self.ops[id as usize];
        op.ended = at;
        op.outcome = match line.stage {
            Stage::Ok => Outcome::Ok,
            Stage::Fail => Outcome::Fail,
            Stage::Info | Stage::Invoke => Outcome::Maybe,
        };
        let (outcome, txn, writes) = (op.outcome, op.txn, op.writes.clone());
        if txn {
            match outcome {
                Outcome::Ok => self.verdict.committed += 1,
                Outcome::Fail => self.verdict.aborted += 1,
                Outcome::Maybe => self.verdict.indefinite_transactions += 1,
            }
        }
        let mut answered = 0;
        for (partition, value, offset) in &line.sends {
            let Some(write) = self.by_value.get(value).map(|w| *w as usize).filter(|w| writes.contains(w))
            else {
                return Err(format!("value {value} was not sent by this operation"));
            };
            let partition = self.partition(partition);
            self.writes[write].acknowledged = outcome == Outcome::Ok || (!txn && offset.is_some());
            answered += 1;
            if let Some(offset) = offset.filter(|offset| *offset >= 0) {
                self.observations.push(Observation { partition, offset, value: *value, line: at });
                let last = self.last_sent.entry((line.process, partition)).or_insert((-1, at));
                if offset <= last.0 {
                    let (before, lines) = (last.0, [last.1, at]);
                    self.verdict.add(Kind::NonmonotonicSend, &lines, || {
                        format!(
                            "value {value} was sent after the record at offset {before} and lies at {offset}"
                        )
                    });
                }
                *last = (offset, at);
            }
        }
        if outcome == Outcome::Ok && answered != writes.len() {
            return Err(format!("{answered} of {} sends are answered", writes.len()));
        }
        Ok(())
    }

    /// A reader comes to `offset`. Notes what it left out since its last record.
    fn moved(&mut self, at: u32, process: u32, partition: u32, offset: i64, internal: bool) {
        let reader = self.readers.entry(process).or_default();
        let last = reader.last.insert(partition, (offset, at));
        let Some((last, last_line)) = last else { return };
        if offset > last + 1 {
            let (after, before) = (last, offset);
            self.gaps.push(Gap { partition, after, before, line: at, last_line, internal });
        }
    }

    fn poll(&mut self, at: u32, line: &Line<'_>) {
        self.verdict.operations += 1;
        let reader = self.readers.entry(line.process).or_default();
        let (group, uncommitted) = (reader.group, reader.uncommitted);
        for (name, records) in &line.polls {
            let partition = self.partition(name);
            self.verdict.polled += records.len() as u64;
            for (i, (offset, value)) in records.iter().enumerate() {
                let internal = i > 0;
                let last = self.readers.get(&line.process).and_then(|r| r.last.get(&partition)).copied();
                if let Some((last, last_line)) = last.filter(|(last, _)| offset <= last) {
                    let kind = if internal { Kind::InternalNonmonotonicPoll } else { Kind::NonmonotonicPoll };
                    self.verdict.add(kind, &[last_line, at], || {
                        format!(
                            "process {} was at offset {last} of {name} and was given {offset}",
                            line.process
                        )
                    });
                }
                self.moved(at, line.process, partition, *offset, internal);
                self.observations.push(Observation { partition, offset: *offset, value: *value, line: at });
                if !uncommitted {
                    let read_to = self.read_to.entry(partition).or_insert(-1);
                    *read_to = (*offset).max(*read_to);
                    self.seen(at, name, partition, *value);
                }
                if let Some(group) = group {
                    self.of_group.entry((group, partition)).or_default().delivered.push(*offset);
                }
            }
        }
    }

    fn seen(&mut self, at: u32, name: &str, partition: u32, value: u64) {
        let Some(write) = self.by_value.get(&value) else {
            let text = || format!("value {value} was read from {name}, and nobody had sent it");
            return self.verdict.add(Kind::PhantomRead, &[at], text);
        };
        let write = &mut self.writes[*write as usize];
        if write.partition != partition {
            let lines = [self.ops[write.op as usize].invoked, at];
            let other = &self.partitions[write.partition as usize];
            let text = || format!("value {value} was sent to {other} and read from {name}");
            return self.verdict.add(Kind::PhantomRead, &lines, text);
        }
        if write.seen == NO_LINE {
            write.seen = at;
        }
    }

    fn commit(&mut self, at: u32, line: &Line<'_>) {
        self.verdict.operations += 1;
        let Some(group) = self.readers.get(&line.process).and_then(|reader| reader.group) else { return };
        for (partition, offset) in &line.offsets {
            let partition = self.partition(partition);
            let of_group = self.of_group.entry((group, partition)).or_default();
            if *offset > of_group.committed {
                of_group.committed = *offset;
                of_group.commit_line = at;
            }
        }
    }

    fn log(&mut self, at: u32, process: u32, stretch: &Stretch<'_>) {
        let partition = self.partition(stretch.partition);
        let name = stretch.partition;
        if let Some((next, line)) = self.log_next.insert((process, partition), (stretch.next, at))
            && next != stretch.from
        {
            self.verdict.add(Kind::OffsetGap, &[line, at], || {
                format!("the log of {name} was read up to {next} and goes on at {}", stretch.from)
            });
        }
        let records = stretch.records.iter().map(|(offset, _)| *offset);
        let mut offsets: Vec<i64> = records.chain(stretch.control.iter().copied()).collect();
        offsets.sort_unstable();
        let mut expected = stretch.from;
        for offset in offsets.iter().copied().chain([stretch.next]) {
            if offset != expected {
                self.verdict.add(Kind::OffsetGap, &[at], || {
                    format!("offset {expected} of {name} should come next in the log, and {offset} came")
                });
            }
            expected = offset + 1;
        }
        for (offset, value) in &stretch.records {
            self.observations.push(Observation { partition, offset: *offset, value: *value, line: at });
        }
    }
}
