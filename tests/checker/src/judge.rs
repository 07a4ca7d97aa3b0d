//! What several processes were told, held against each other. Works on the whole history at once: an observation of the
//! last line may convict an answer of the first. Never enters: parsing, a reader's own order (`ledger`).

use std::collections::{BTreeMap, HashMap};
use std::io::BufRead;

use crate::anomaly::{Kind, Verdict};
use crate::history::{HistoryError, Line};
use crate::ledger::{Ledger, NO_LINE, Op, Outcome};

/// Judges a history.
///
/// # Errors
/// Where it cannot be read, or a line is not what [`Line`] says. That says nothing about the cluster.
pub fn judge(mut input: impl BufRead) -> Result<Verdict, HistoryError> {
    let mut ledger = Ledger::default();
    let mut text = String::new();
    let mut at = 0;
    loop {
        text.clear();
        if input.read_line(&mut text)? == 0 {
            break;
        }
        at += 1;
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let line: Line<'_> = serde_json::from_str(text)
            .map_err(|error| HistoryError::Line { line: at, reason: error.to_string() })?;
        ledger.take(at, &line)?;
    }
    let visible = offsets_and_values(&mut ledger);
    operations(&mut ledger);
    skips(&mut ledger, &visible);
    groups(&mut ledger, &visible);
    copies(&mut ledger, &visible);
    Ok(ledger.verdict)
}

/// RP-1, and values at more than one place. Returns the offsets of each partition that hold what somebody read at
/// read_committed, sorted, with their values.
fn offsets_and_values(ledger: &mut Ledger) -> Vec<Vec<(i64, u64)>> {
    let mut observations = std::mem::take(&mut ledger.observations);
    observations.sort_unstable();
    observations.dedup_by_key(|seen| (seen.partition, seen.offset, seen.value));
    let mut visible = vec![Vec::new(); ledger.partitions.len()];
    let mut first_line: HashMap<u64, (u32, u32)> = HashMap::new();
    for (i, seen) in observations.iter().enumerate() {
        let name = &ledger.partitions[seen.partition as usize];
        if let Some(before) = i.checked_sub(1).map(|i| observations[i])
            && (before.partition, before.offset) == (seen.partition, seen.offset)
        {
            ledger.verdict.add(Kind::InconsistentOffsets, &[before.line, seen.line], || {
                format!("offset {} of {name} holds {} and {}", seen.offset, before.value, seen.value)
            });
        }
        let Some(write) = ledger.by_value.get(&seen.value) else { continue };
        let write = &mut ledger.writes[*write as usize];
        if write.offset >= 0 || first_line.contains_key(&seen.value) {
            let (line, partition) =
                first_line.get(&seen.value).copied().unwrap_or((seen.line, seen.partition));
            let (there, other) = (write.offset, &ledger.partitions[partition as usize]);
            ledger.verdict.add(Kind::Duplicate, &[line, seen.line], || {
                format!(
                    "value {} lies at offset {there} of {other} and at {} of {name}",
                    seen.value, seen.offset
                )
            });
        } else {
            write.offset = seen.offset;
            first_line.insert(seen.value, (seen.line, seen.partition));
        }
        if write.seen != NO_LINE {
            visible[seen.partition as usize].push((seen.offset, seen.value));
        }
    }
    visible
}

fn lines(op: &Op, more: impl IntoIterator<Item = u32>) -> Vec<u32> {
    [op.invoked, op.ending, op.ended].into_iter().chain(more).filter(|line| *line != NO_LINE).collect()
}

/// What each send and transaction was told, against what was read.
fn operations(ledger: &mut Ledger) {
    let verdict = &mut ledger.verdict;
    for op in &ledger.ops {
        let writes = &ledger.writes[op.writes.clone()];
        let first_seen = writes.iter().map(|write| write.seen).filter(|seen| *seen != NO_LINE).min();
        for write in writes {
            let name = &ledger.partitions[write.partition as usize];
            let value = write.value;
            verdict.visible += u64::from(write.seen != NO_LINE);
            verdict.acknowledged += u64::from(write.acknowledged);
            verdict.indefinite += u64::from(op.outcome == Outcome::Maybe && !write.acknowledged);
            if write.seen != NO_LINE {
                if op.outcome == Outcome::Fail || (op.txn && !op.wants_commit) {
                    let what = if op.txn { "its transaction was aborted" } else { "its send failed" };
                    verdict.add(Kind::AbortedRead, &lines(op, [write.seen]), || {
                        format!("value {value} was read from {name}, and {what}")
                    });
                } else if op.ending > write.seen {
                    verdict.add(Kind::PrecommittedRead, &lines(op, [write.seen]), || {
                        format!("value {value} was read from {name} before its commit was asked for")
                    });
                }
                continue;
            }
            let drained = ledger.drained.get(&write.partition);
            let passed = drained.is_some()
                || (write.offset >= 0
                    && ledger.read_to.get(&write.partition).is_some_and(|to| *to > write.offset));
            let proof = drained.map(|(_, line)| *line);
            let at =
                if write.offset >= 0 { format!("offset {}", write.offset) } else { "some offset".into() };
            match first_seen {
                // A transaction that is seen at all was committed, and all of it is.
                Some(seen) if op.txn && op.outcome != Outcome::Fail && passed => {
                    verdict.add(Kind::TornTransaction, &lines(op, [seen].into_iter().chain(proof)), || {
                        format!(
                            "value {value} ({at} of {name}) is not there, and others of its transaction are"
                        )
                    });
                }
                _ if write.acknowledged && passed => {
                    verdict.add(Kind::LostWrite, &lines(op, proof), || {
                        format!("value {value} was acknowledged at {at} of {name} and is not there")
                    });
                }
                _ if write.acknowledged => {
                    verdict.add(Kind::Unseen, &lines(op, proof), || {
                        format!("value {value} was acknowledged at {at} of {name} and nobody has read it")
                    });
                }
                _ => {}
            }
        }
    }
}

/// The first of `sorted` that lies between two offsets, both left out.
fn first_between(sorted: &[(i64, u64)], after: i64, before: i64) -> Option<i64> {
    let next = sorted.partition_point(|(offset, _)| *offset <= after);
    sorted.get(next).map(|(offset, _)| *offset).filter(|offset| *offset < before)
}

/// Records that a reader was not given though it came past them.
fn skips(ledger: &mut Ledger, visible: &[Vec<(i64, u64)>]) {
    for gap in &ledger.gaps {
        let Some(left_out) = first_between(&visible[gap.partition as usize], gap.after, gap.before) else {
            continue;
        };
        let kind = if gap.internal { Kind::InternalPollSkip } else { Kind::PollSkip };
        let name = &ledger.partitions[gap.partition as usize];
        ledger.verdict.add(kind, &[gap.last_line, gap.line], || {
            format!(
                "after offset {} of {name} came {}, and {left_out} between them was read by others",
                gap.after, gap.before
            )
        });
    }
}

/// GR-2: below a group's committed position everything was given to one of its members.
fn groups(ledger: &mut Ledger, visible: &[Vec<(i64, u64)>]) {
    let mut keys: Vec<(u32, u32)> = ledger.of_group.keys().copied().collect();
    keys.sort_unstable();
    for key in keys {
        let Some(of_group) = ledger.of_group.get_mut(&key) else { continue };
        of_group.delivered.sort_unstable();
        let (group, name) = (&ledger.groups[key.0 as usize], &ledger.partitions[key.1 as usize]);
        for (offset, _) in &visible[key.1 as usize] {
            if *offset < of_group.committed && of_group.delivered.binary_search(offset).is_err() {
                ledger.verdict.add(Kind::GroupSkip, &[of_group.commit_line], || {
                    format!(
                        "group {group} committed {} of {name}, and none of its members was given {offset}",
                        of_group.committed
                    )
                });
            }
        }
    }
}

/// TX-2 for positions: copies and the positions committed with them count once, or not at all.
fn copies(ledger: &mut Ledger, visible: &[Vec<(i64, u64)>]) {
    let mut copy_of: HashMap<(u32, u64), u32> = HashMap::new();
    let mut committed: BTreeMap<(u32, u32), (i64, u32)> = BTreeMap::new();
    for copying in &ledger.copying {
        let op = &ledger.ops[copying.op as usize];
        let seen = |write: u32| ledger.writes[write as usize].seen != NO_LINE;
        for (write, of) in copying.copies.iter().filter(|(write, _)| seen(*write)) {
            ledger.verdict.copied += 1;
            if let Some(first) = copy_of.insert((copying.group, *of), *write) {
                let (first, second) = (&ledger.writes[first as usize], &ledger.writes[*write as usize]);
                let more = [ledger.ops[first.op as usize].invoked, first.seen, second.seen];
                ledger.verdict.add(Kind::DuplicateCopy, &lines(op, more), || {
                    format!(
                        "values {} and {} are copies of {of}, and both are there",
                        first.value, second.value
                    )
                });
            }
        }
        if op.outcome == Outcome::Ok || copying.copies.iter().any(|(write, _)| seen(*write)) {
            for (partition, at) in &copying.positions {
                let last = committed.entry((copying.group, *partition)).or_default();
                if *at > last.0 {
                    *last = (*at, op.invoked);
                }
            }
        }
    }
    for ((group, partition), (end, line)) in committed {
        for (offset, value) in visible[partition as usize].iter().take_while(|(offset, _)| *offset < end) {
            if !copy_of.contains_key(&(group, *value)) {
                let name = &ledger.partitions[partition as usize];
                ledger.verdict.add(Kind::LostCopy, &[line], || {
                    format!(
                        "{end} was committed for {name}, and no copy of value {value} at {offset} is there"
                    )
                });
            }
        }
    }
}
