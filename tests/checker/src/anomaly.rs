//! The names of what can be wrong, and the verdict. Never enters: how it is found.

use std::collections::BTreeMap;
use std::fmt;

/// What is wrong. Names are Jepsen's where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A record was acknowledged, others behind it were read, and it is not there (RP-3).
    LostWrite,
    /// A record was acknowledged, and nobody has come as far as to read it.
    Unseen,
    /// A value lies at two offsets.
    Duplicate,
    /// An offset has two values (RP-1).
    InconsistentOffsets,
    /// A record of an aborted transaction, or of a send that failed, was read at read_committed (G1a, TX-1).
    AbortedRead,
    /// A record was read at read_committed before its commit was asked for.
    PrecommittedRead,
    /// A part of a transaction was read, and another part is not there (TX-2).
    TornTransaction,
    /// Within one poll, offsets of a partition do not rise.
    InternalNonmonotonicPoll,
    /// A poll goes back behind the poll before it.
    NonmonotonicPoll,
    /// Within one poll, a record is left out that others have read.
    InternalPollSkip,
    /// Between two polls, a record is left out that others have read.
    PollSkip,
    /// One producer's records of a partition do not lie in the order in which they were sent.
    NonmonotonicSend,
    /// An offset of the log holds neither a record nor a control record, or holds two (LG-1).
    OffsetGap,
    /// A group committed a position behind a record that none of its members was given (GR-2).
    GroupSkip,
    /// Two copies of one record are there, though each was committed with its position.
    DuplicateCopy,
    /// Positions were committed with copies, and the copy of a record before them is not there.
    LostCopy,
    /// A value was read that nobody sent, that was not sent yet, or that was sent to another partition.
    PhantomRead,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 17] = [
        Kind::LostWrite,
        Kind::Unseen,
        Kind::Duplicate,
        Kind::InconsistentOffsets,
        Kind::AbortedRead,
        Kind::PrecommittedRead,
        Kind::TornTransaction,
        Kind::InternalNonmonotonicPoll,
        Kind::NonmonotonicPoll,
        Kind::InternalPollSkip,
        Kind::PollSkip,
        Kind::NonmonotonicSend,
        Kind::OffsetGap,
        Kind::GroupSkip,
        Kind::DuplicateCopy,
        Kind::LostCopy,
        Kind::PhantomRead,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::LostWrite => "lost-write",
            Kind::Unseen => "unseen",
            Kind::Duplicate => "duplicate",
            Kind::InconsistentOffsets => "inconsistent-offsets",
            Kind::AbortedRead => "aborted-read",
            Kind::PrecommittedRead => "precommitted-read",
            Kind::TornTransaction => "torn-transaction",
            Kind::InternalNonmonotonicPoll => "internal-nonmonotonic-poll",
            Kind::NonmonotonicPoll => "nonmonotonic-poll",
            Kind::InternalPollSkip => "internal-poll-skip",
            Kind::PollSkip => "poll-skip",
            Kind::NonmonotonicSend => "nonmonotonic-send",
            Kind::OffsetGap => "offset-gap",
            Kind::GroupSkip => "group-skip",
            Kind::DuplicateCopy => "duplicate-copy",
            Kind::LostCopy => "lost-copy",
            Kind::PhantomRead => "phantom-read",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// What happened, in a sentence.
    pub text: String,
    /// The lines of the history that cannot all be true, from 1 on.
    pub lines: Vec<u32>,
}

/// All of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How many there are.
    pub count: u64,
    /// The first of them.
    pub examples: Vec<Anomaly>,
}

/// How many examples of a kind are kept.
const EXAMPLES_MAX: usize = 10;

/// What the judge says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Lines of the history.
    pub lines: u64,
    /// Operations: sends, transactions, polls, commits.
    pub operations: u64,
    /// Records that were sent.
    pub sent: u64,
    /// Records that were acknowledged, in a committed transaction or outside of any.
    pub acknowledged: u64,
    /// Records that nobody knows of.
    pub indefinite: u64,
    /// Transactions that were committed.
    pub committed: u64,
    /// Transactions that were aborted.
    pub aborted: u64,
    /// Transactions that nobody knows of.
    pub indefinite_transactions: u64,
    /// Records that polls returned, each as often as it was returned.
    pub polled: u64,
    /// Copies that were read at read_committed.
    pub copied: u64,
    /// Different records that were read at read_committed.
    pub visible: u64,
    /// Things done to the cluster.
    pub faults: u64,
    /// What is wrong, by kind.
    pub anomalies: BTreeMap<Kind, Found>,
}

impl Verdict {
    pub(crate) fn add(&mut self, kind: Kind, lines: &[u32], text: impl FnOnce() -> String) {
        let found = self.anomalies.entry(kind).or_default();
        found.count += 1;
        if found.examples.len() < EXAMPLES_MAX {
            let mut lines = lines.to_vec();
            lines.sort_unstable();
            lines.dedup();
            found.examples.push(Anomaly { text: text(), lines });
        }
    }

    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.anomalies.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} lines, {} operations, {} faults; {} records sent: {} acknowledged, {} indefinite; transactions: {} committed, {} aborted, {} indefinite; {} records polled, {} visible, {} of them copies",
            self.lines,
            self.operations,
            self.faults,
            self.sent,
            self.acknowledged,
            self.indefinite,
            self.committed,
            self.aborted,
            self.indefinite_transactions,
            self.polled,
            self.visible,
            self.copied
        )?;
        for (kind, found) in &self.anomalies {
            writeln!(f, "{kind}: {}", found.count)?;
            for anomaly in &found.examples {
                writeln!(f, "  {} (lines {:?})", anomaly.text, anomaly.lines)?;
            }
        }
        let total: u64 = self.anomalies.values().map(|found| found.count).sum();
        write!(f, "{total} anomalies")
    }
}
