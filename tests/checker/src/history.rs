//! The format of a history: one JSON object a line, in the order in which things were known. Owns the field names, which
//! recorders and stored histories rely on. Never enters: what a history means.
//!
//! A process does one thing after another: an operation begins with `invoke` and ends with `ok` (it happened), `fail` (it
//! did not and never will) or `info` (nobody knows). After `info` the recorder goes on under a new process number.
//! Empty lines and lines that begin with `#` are left out.

use serde::{Deserialize, Serialize};

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It begins.
    Invoke,
    /// It has happened.
    Ok,
    /// It has not happened and never will.
    Fail,
    /// It may have happened, or happen yet.
    Info,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Function {
    /// Sends records outside of a transaction: `sends`. In an answer each has its own outcome, see [`Sent`].
    Send,
    /// A whole transaction: `sends`, and `commit` with what is intended. `ok`: committed; `fail`: aborted; `info`: unknown.
    /// One that copies says at its `invoke` of which values its sends are `copies`, and the `offsets` of `group` that it
    /// commits with them.
    Txn,
    /// The commit of the open transaction is about to be asked for (`invoke` only). Who reads its records above this
    /// line reads too early.
    End,
    /// Records came back: `polls`. An `ok` needs no `invoke`.
    Poll,
    /// Reads as a member of `group`. Forgets all positions.
    Subscribe,
    /// Reads exactly what `offsets` names, from these offsets on. Forgets all positions.
    Assign,
    /// A rebalance gave or took the partitions that `offsets` names: their positions are forgotten.
    Rebalance,
    /// Commits `offsets` for the group.
    Commit,
    /// This reader has read every partition of `offsets` up to that offset, after all writing ended; all that was
    /// acknowledged has to be there.
    Drain,
    /// A stretch of a partition as it lies in the log, aborted and control records too: `log`.
    Log,
    /// Something was done to the cluster: `note`. Judged as nothing, but shown with what goes wrong after it.
    Fault,
}

/// A record that is sent: partition (`topic-number`), value, offset. In an answer the offset says whether this record was
/// acknowledged where the operation as a whole was not: absent means no, -1 means yes but at an unknown offset.
pub type Sent<'a> = (&'a str, u64, Option<i64>);

/// What came back of one partition: offset and value of each record, in the order in which they came.
pub type Polled<'a> = (&'a str, Vec<(i64, u64)>);

/// A stretch of a partition's log. Every offset in `from..next` is a record or a control record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch<'a> {
    /// Which partition.
    pub partition: &'a str,
    /// The first offset.
    pub from: i64,
    /// The offset behind it.
    pub next: i64,
    /// Offset and value of each record.
    pub records: Vec<(i64, u64)>,
    /// The offset of each control record.
    pub control: Vec<i64>,
}

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line<'a> {
    /// Microseconds since the run began.
    pub time: u64,
    /// Who.
    pub process: u32,
    /// What.
    pub f: Function,
    /// How far.
    #[serde(rename = "type")]
    pub stage: Stage,
    /// Records sent.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub sends: Vec<Sent<'a>>,
    /// Whether the transaction is to be committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<bool>,
    /// Which of `sends` are copies: value, and the value that was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<(u64, u64)>,
    /// Records that came back.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub polls: Vec<Polled<'a>>,
    /// Partition and offset.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub offsets: Vec<(&'a str, i64)>,
    /// The group that is read in.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub group: Option<&'a str>,
    /// Whether the reader sees records of open and aborted transactions (`read_uncommitted`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncommitted: bool,
    /// A part of the log.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Stretch<'a>>,
    /// For people: an error, a fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Line<'_> {
    /// A line that says only who, what and how far.
    pub fn new(time: u64, process: u32, f: Function, stage: Stage) -> Line<'static> {
        Line {
            time,
            process,
            f,
            stage,
            sends: Vec::new(),
            commit: None,
            copies: Vec::new(),
            polls: Vec::new(),
            offsets: Vec::new(),
            group: None,
            uncommitted: false,
            log: None,
            note: None,
        }
    }

    /// The line as text, without its end.
    pub fn to_json(&self) -> String {
        // Numbers, strings and lists of them: nothing that JSON cannot hold.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Why a history cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// It cannot be read.
    #[error("reading the history: {0}")]
    Io(#[from] std::io::Error),
    /// A line is not what it should be.
    #[error("line {line} of the history: {reason}")]
    Line {
        /// Its number, from 1 on.
        line: u32,
        /// What is wrong with it.
        reason: String,
    },
}
