//! The scripts for sources. Steps: `put SPLIT N` (N new records), `start` (make the source, open what it finds),
//! `read N` (at least N more, as far as so many were put), `drain` (all that were put), `commit` (delta, durable, ack), `commit-no-ack` (durable,
//! then dies), `abort` (the transaction failed: reopen at the committed position), `crash` (dies), `drop-read` (a read
//! that is dropped while it waits), `expect` (each record that was read to here committed once, in order), `expect-all`
//! (each record that was put).

use super::{Case, Need::*};

/// Every source passes these, but for what it cannot do.
pub const SOURCE_CASES: &[Case] = &[
    Case { name: "records come in order", needs: &[], script: "start; put 0 10; drain; commit; expect-all" },
    Case { name: "an empty system gives nothing", needs: &[], script: "start; commit; expect-all" },
    Case {
        name: "records put before the start are read",
        needs: &[Replay],
        script: "put 0 7; start; drain; commit; expect-all",
    },
    Case {
        name: "small reads lose nothing between them",
        needs: &[],
        script: "start; put 0 9; read 1; read 1; commit; read 2; commit; drain; commit; expect-all",
    },
    Case {
        name: "a commit in the middle, then a crash",
        needs: &[],
        script: "start; put 0 10; read 3; commit; read 3; crash; start; drain; commit; expect-all",
    },
    Case {
        name: "a crash before the first commit",
        needs: &[],
        script: "start; put 0 5; read 5; crash; start; drain; commit; expect-all",
    },
    Case {
        name: "a crash between the commit and the ack",
        needs: &[],
        script: "start; put 0 6; read 4; commit-no-ack; start; drain; commit; expect-all",
    },
    Case {
        name: "three crashes between commit and ack",
        needs: &[],
        script: "start; put 0 9; read 2; commit-no-ack; start; read 2; commit-no-ack; start; read 2; commit-no-ack; start; drain; commit; expect-all",
    },
    Case {
        name: "a transaction that fails is read again",
        needs: &[],
        script: "start; put 0 6; read 3; abort; drain; commit; expect-all",
    },
    Case {
        name: "a transaction that fails twice after one that did not",
        needs: &[],
        script: "start; put 0 8; read 3; commit; read 2; abort; read 2; abort; drain; commit; expect-all",
    },
    Case {
        name: "more arrives while reading",
        needs: &[],
        script: "start; put 0 3; drain; commit; put 0 4; drain; commit; put 0 1; drain; commit; expect-all",
    },
    Case {
        name: "more arrives while nobody runs",
        needs: &[Replay],
        script: "start; put 0 3; drain; commit; crash; put 0 4; start; drain; commit; expect-all",
    },
    Case {
        name: "several splits, each in its own order",
        needs: &[ManySplits],
        script: "put 0 5; put 1 6; put 2 7; start; drain; commit; expect-all",
    },
    Case {
        name: "a split that appears later is found",
        needs: &[ManySplits],
        script: "put 0 5; start; drain; commit; put 1 5; drain; commit; expect-all",
    },
    Case {
        name: "splits with commits and crashes between them",
        needs: &[ManySplits],
        script: "put 0 5; put 1 5; start; read 3; commit; put 2 4; read 4; crash; start; drain; commit; expect-all",
    },
    Case {
        name: "a commit of nothing new changes nothing",
        needs: &[],
        script: "start; put 0 4; drain; commit; commit; crash; start; commit; drain; commit; expect-all",
    },
    Case {
        name: "restarts without work change nothing",
        needs: &[],
        script: "start; put 0 4; drain; commit; crash; start; crash; start; crash; start; drain; commit; expect-all",
    },
    Case {
        name: "a read that is dropped while it waits loses nothing",
        needs: &[],
        script: "start; drop-read; put 0 5; drop-read; drain; drop-read; commit; expect-all",
    },
    Case {
        name: "records read but not committed are nobody's",
        needs: &[Replay],
        script: "start; put 0 6; read 2; commit; read 4; expect; crash; start; drain; commit; expect-all",
    },
    Case {
        name: "a zombie's uncommitted reading harms nobody",
        needs: &[Replay, TwoReaders],
        script: "start; put 0 8; read 2; commit; zombie; start; drain; commit; zombie-reads; expect-all",
    },
    Case {
        name: "many records",
        needs: &[],
        script: "start; put 0 300; read 100; commit; read 50; abort; drain; commit; expect-all",
    },
];
