//! The scripts for sinks. `A` and `B` are two owners that do not know of each other. Steps: `open A P…`, `stage A P N`
//! (N records of one row), `stage A P NxM` (N records of M rows), `gap A P N` (N offsets without a row), `commit A [P…]`
//! (what is staged), `fenced A` (a commit that another owner's write must refuse), `close A P…`, `kill A` (dropped
//! without a word), `die A POINT` (a commit that dies there), `again A` (the same commit once more, by an owner that
//! lived on: done or refused), `refuse A P` (a batch with a row that the target refuses: the right row is named),
//! `delete A P N` (the keys of the last N rows), `replace A P N` (the last N rows with a new value), `expect` (readers
//! see exactly the rows below the target's own offsets), `finish P N` (a new owner writes up to offset N, then `expect`).

use super::{Case, Need::*};

/// Every sink passes these, but for what it cannot do. `POINT` stands for each of the sink's crash points in turn.
pub const SINK_CASES: &[Case] = &[
    Case { name: "rows arrive", needs: &[], script: "open A 0; stage A 0 5; commit A; expect; finish 0 5" },
    Case {
        name: "nothing staged, nothing seen",
        needs: &[],
        script: "open A 0; commit A; expect; finish 0 3",
    },
    Case {
        name: "staged rows are not seen",
        needs: &[],
        script: "open A 0; stage A 0 5; expect; kill A; expect; finish 0 5",
    },
    Case {
        name: "a restart goes on where the target stands",
        needs: &[],
        script: "open A 0; stage A 0 5; commit A; kill A; open A 0; stage A 0 5; commit A; expect; finish 0 12",
    },
    Case {
        name: "a crash after staging loses the staging only",
        needs: &[],
        script: "open A 0; stage A 0 3; commit A; stage A 0 4; kill A; expect; finish 0 10",
    },
    Case {
        name: "partitions are committed apart",
        needs: &[],
        script: "open A 0 1; stage A 0 3; stage A 1 4; commit A 0; expect; kill A; finish 0 5; finish 1 6",
    },
    Case {
        name: "partitions are committed together",
        needs: &[],
        script: "open A 0 1 2; stage A 0 3; stage A 1 4; stage A 2 5; commit A; expect; stage A 1 2; commit A; expect; finish 2 9",
    },
    Case {
        name: "records of many rows",
        needs: &[],
        script: "open A 0; stage A 0 3x4; commit A; stage A 0 2x7; stage A 0 1x1; commit A; expect; finish 0 9",
    },
    Case {
        name: "gaps between offsets",
        needs: &[],
        script: "open A 0; stage A 0 2; gap A 0 3; stage A 0 2; gap A 0 1; commit A; expect; kill A; finish 0 12",
    },
    Case {
        name: "a first offset that is not 0",
        needs: &[],
        script: "open A 0; gap A 0 50; stage A 0 2; commit A; expect; kill A; finish 0 60",
    },
    Case {
        name: "two owners at the same offset: one loses",
        needs: &[],
        script: "open A 0; open B 0; stage A 0 5; stage B 0 3; commit B; fenced A; expect; finish 0 9",
    },
    Case {
        name: "two owners of a partition that is new",
        needs: &[],
        script: "open A 0; open B 0; gap B 0 2; stage B 0 3; stage A 0 4; commit A; fenced B; expect; finish 0 9",
    },
    Case {
        name: "a zombie wakes long after",
        needs: &[],
        script: "open A 0; stage A 0 2; commit A; stage A 0 5; open B 0; stage B 0 3; commit B; stage B 0 3; commit B; fenced A; expect; finish 0 12",
    },
    Case {
        name: "a fenced owner that opens again goes on",
        needs: &[],
        script: "open A 0; stage A 0 5; open B 0; stage B 0 3; commit B; fenced A; open A 0; stage A 0 4; commit A; expect; finish 0 9",
    },
    Case {
        name: "a zombie of one partition does not harm another",
        needs: &[],
        script: "open A 0 1; stage A 0 2; stage A 1 2; open B 0; stage B 0 3; commit B; fenced A 0; commit A 1; expect; finish 0 5; finish 1 5",
    },
    Case {
        name: "all or nothing over partitions, or each for itself",
        needs: &[],
        script: "open A 0 1; stage A 0 2; stage A 1 2; open B 1; stage B 1 3; commit B; fenced A; kill A; expect; finish 0 5; finish 1 5",
    },
    Case {
        name: "a revoked partition is let go",
        needs: &[],
        script: "open A 0 1; stage A 0 2; stage A 1 2; close A 0; commit A; open B 0; stage B 0 4; commit B; expect; finish 0 6; finish 1 6",
    },
    Case {
        name: "opening again drops what was staged",
        needs: &[],
        script: "open A 0; stage A 0 3; open A 0; stage A 0 2; commit A; expect; finish 0 4",
    },
    Case {
        name: "many small commits",
        needs: &[],
        script: "open A 0; stage A 0 1; commit A; stage A 0 1; commit A; stage A 0 1; commit A; stage A 0 1; commit A; kill A; expect; finish 0 6",
    },
    Case {
        name: "dies at POINT in the first commit",
        needs: &[],
        script: "open A 0; stage A 0 5; die A POINT; kill A; expect; finish 0 9",
    },
    Case {
        name: "dies at POINT in a later commit of two partitions",
        needs: &[],
        script: "open A 0 1; stage A 0 2; stage A 1 2; commit A; stage A 0 3; stage A 1 4; die A POINT; kill A; expect; finish 0 9; finish 1 9",
    },
    Case {
        name: "dies at POINT, dies again at POINT, then recovers",
        needs: &[],
        script: "open A 0; stage A 0 2; die A POINT; kill A; open A 0; stage A 0 3; die A POINT; kill A; expect; finish 0 9",
    },
    Case {
        name: "stalls at POINT, another takes over, then it wakes",
        needs: &[],
        script: "open A 0; stage A 0 2; commit A; stage A 0 3; die A POINT; open B 0; stage B 0 4; commit B; again A; expect; kill A; finish 0 12",
    },
    Case {
        name: "stalls at POINT, another opens, it wakes first",
        needs: &[],
        script: "open A 0; stage A 0 3; die A POINT; open B 0; again A; kill A; kill B; expect; finish 0 8",
    },
    Case {
        name: "the target refuses a row, and it is named",
        needs: &[RefusesRows],
        script: "open A 0; stage A 0 2; commit A; refuse A 0; expect; open A 0; stage A 0 3; commit A; expect; finish 0 9",
    },
    Case {
        name: "a later row takes an earlier one's place",
        needs: &[Keyed],
        script: "open A 0; stage A 0 4; replace A 0 2; commit A; expect; replace A 0 1; commit A; expect; kill A; finish 0 9",
    },
    Case {
        name: "rows are deleted by key",
        needs: &[Keyed, Deletes],
        script: "open A 0; stage A 0 4; commit A; delete A 0 2; commit A; expect; stage A 0 2; delete A 0 1; commit A; expect; kill A; finish 0 12",
    },
    Case {
        name: "a row goes and comes again within a commit",
        needs: &[Keyed, Deletes],
        script: "open A 0; stage A 0 4; delete A 0 2; replace A 0 2; commit A; expect; replace A 0 1; delete A 0 1; replace A 0 1; replace A 0 1; commit A; expect; kill A; finish 0 14",
    },
    Case {
        name: "a row comes and goes within a commit, and the other way round in the next",
        needs: &[Keyed, Deletes],
        script: "open A 0; stage A 0 3; delete A 0 1; replace A 0 1; delete A 0 1; stage A 0 1; commit A; expect; delete A 0 1; stage A 0 2; replace A 0 2; delete A 0 2; replace A 0 1; commit A; expect; kill A; finish 0 16",
    },
    Case {
        name: "what goes twice, or was never there, is gone",
        needs: &[Keyed, Deletes],
        script: "open A 0; stage A 0 3; delete A 0 1; delete A 0 1; commit A; expect; delete A 0 1; commit A; expect; kill A; finish 0 9",
    },
    Case {
        name: "rows of two partitions come and go in one commit",
        needs: &[Keyed, Deletes],
        script: "open A 0 1; stage A 0 3; stage A 1 3; delete A 1 2; delete A 0 1; replace A 1 1; replace A 0 1; delete A 1 1; commit A; expect; kill A; finish 0 9; finish 1 9",
    },
    Case {
        name: "dies at POINT while rows go and come again",
        needs: &[Keyed, Deletes],
        script: "open A 0; stage A 0 4; commit A; delete A 0 2; replace A 0 1; stage A 0 1; delete A 0 1; die A POINT; kill A; expect; finish 0 12",
    },
];
