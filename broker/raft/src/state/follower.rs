//! Follower: pulls the log from its leader, one fetch at a time. A fetch says that all before its offset is flushed
//! here, so it goes out only when that is so. Cuts its log where the leader's epochs part from its own, and fetches
//! a snapshot where the leader has no log left.

use millstream_types::{ErrorCode, Millis, NodeId, Offset};

use crate::log_view::SnapshotId;
use crate::message::{Batch, Output, Request, ResponseBody};
use crate::quorum::{Quorum, Sent};
use crate::state::Role;

/// A snapshot on its way.
#[derive(Clone, Debug)]
pub(crate) struct Download {
    id: SnapshotId,
    position: u64,
    /// All pieces are there, and the shell checks it.
    installing: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Follower {
    pub(crate) leader: NodeId,
    /// When the leader is given up, unless it is heard before.
    deadline: Millis,
    /// Whether the leader has answered in this epoch: then it works, and no other is wanted (KIP-996).
    pub(crate) has_fetched: bool,
    /// No fetch before this time.
    fetch_at: Millis,
    download: Option<Download>,
}

impl Follower {
    pub(crate) fn new(now: Millis, leader: NodeId, timeout: Millis) -> Follower {
        Follower { leader, deadline: now + timeout, has_fetched: false, fetch_at: now, download: None }
    }
}

impl Quorum {
    /// What a follower waits for, but the time: an answer, a flush, a snapshot's installation.
    fn waits(&self, state: &Follower) -> bool {
        let installing = state.download.as_ref().is_some_and(|download| download.installing);
        installing
            || !self.sent.is_empty()
            || (state.download.is_none() && self.log.flushed_end < self.log.log_end)
    }

    pub(crate) fn follower_deadline(&self, state: &Follower) -> Millis {
        if self.waits(state) { state.deadline } else { state.deadline.min(state.fetch_at) }
    }

    pub(crate) fn poll_follower(&mut self) {
        let Role::Follower(state) = &self.role else { return };
        if self.now >= state.deadline {
            if self.is_voter() {
                return self.become_prospective();
            }
            return self.become_unattached(self.election.epoch);
        }
        if self.now < state.fetch_at || self.waits(state) {
            return;
        }
        let (leader, download) = (state.leader, state.download.clone());
        if let Some(Download { id, position, .. }) = download {
            let (replica, epoch) = (self.config.me, self.election.epoch);
            let request = Request::FetchSnapshot { replica, epoch, id, position };
            return self.send(leader, Sent::FetchSnapshot, request);
        }
        self.send_fetch(leader, self.config.fetch_max_wait_ms);
    }

    pub(crate) fn send_fetch(&mut self, to: NodeId, max_wait_ms: Millis) {
        let request = Request::Fetch {
            replica: self.config.me,
            epoch: self.election.epoch,
            fetch_offset: self.log.log_end,
            last_fetched_epoch: self.log.last_epoch(),
            high_watermark: self.high_watermark,
            max_wait_ms,
        };
        self.send(to, Sent::Fetch { to }, request);
    }

    pub(crate) fn retry_fetch(&mut self) {
        let at = self.now + self.config.retry_backoff_ms;
        match &mut self.role {
            Role::Follower(state) => state.fetch_at = at,
            Role::Unattached(state) => state.find_leader_at = at,
            _ => {}
        }
    }

    /// The leader was heard.
    fn leader_heard(&mut self) {
        let deadline = self.now + self.config.fetch_timeout_ms;
        if let Role::Follower(state) = &mut self.role {
            state.deadline = deadline;
            state.has_fetched = true;
        }
    }

    pub(crate) fn fetch_answered(&mut self, from: NodeId, error: ErrorCode, body: ResponseBody) {
        let follows = matches!(&self.role, Role::Follower(state) if state.leader == from);
        let ResponseBody::Fetch { high_watermark, diverging, snapshot, batches } = body else {
            return self.retry_fetch();
        };
        if !follows || error != ErrorCode::None {
            return self.retry_fetch();
        }
        self.leader_heard();
        if let Some(end) = diverging {
            let to = self.log.truncation_point(end);
            // A leader that would have us cut what is committed is not one of this log.
            if to < self.high_watermark || to >= self.log.log_end {
                return self.retry_fetch();
            }
            return self.truncate(to);
        }
        if let Some(id) = snapshot {
            if id.end_offset <= self.high_watermark {
                return self.retry_fetch();
            }
            if let Role::Follower(state) = &mut self.role {
                state.download = Some(Download { id, position: 0, installing: false });
            }
            return;
        }
        self.append_fetched(batches);
        self.commit(high_watermark);
    }

    /// Appends what came, as far as it follows on the log. A leader that sends anything else sends it in vain.
    fn append_fetched(&mut self, batches: Vec<Batch>) {
        let mut appended = false;
        for batch in batches {
            let follows = batch.base_offset == self.log.log_end
                && batch.end_offset > batch.base_offset
                && (self.log.last_epoch()..=self.election.epoch).contains(&batch.epoch);
            if !follows {
                break;
            }
            self.log.append(batch.epoch, batch.end_offset);
            self.push(Output::Append(batch));
            appended = true;
        }
        if appended {
            self.flush();
        }
    }

    pub(crate) fn snapshot_answered(&mut self, error: ErrorCode, body: ResponseBody) {
        let ResponseBody::Snapshot { id: got, size, position: at, bytes } = body else {
            return self.abandon_download();
        };
        let Role::Follower(state) = &mut self.role else { return };
        let Some(download) = &mut state.download else { return };
        if error != ErrorCode::None
            || download.id != got
            || download.position != at
            || bytes.is_empty() && at < size
        {
            return self.abandon_download();
        }
        let position = at + bytes.len() as u64;
        let complete = position >= size;
        download.position = position;
        download.installing = complete;
        self.leader_heard();
        self.push(Output::WriteSnapshot { id: got, position: at, bytes });
        if complete {
            self.push(Output::InstallSnapshot { id: got });
        }
    }

    /// Goes back to fetching the log, which tells which snapshot to take.
    fn abandon_download(&mut self) {
        if let Role::Follower(state) = &mut self.role {
            state.download = None;
        }
        self.retry_fetch();
    }

    pub(crate) fn snapshot_installed(&mut self, id: SnapshotId, good: bool) {
        if good && id.end_offset > self.log.log_start {
            let leads = matches!(self.role, Role::Leader(_));
            assert!(
                !leads,
                "RA-3: a leader's log was begun anew at {id:?}: its installation was not reported at once"
            );
            self.drop_flushes();
            self.log.restart(id);
            let before = self.high_watermark;
            self.high_watermark = before.max(id.end_offset);
            if self.high_watermark > before {
                self.push(Output::Committed { high_watermark: self.high_watermark });
            }
        }
        if let Role::Follower(state) = &mut self.role {
            state.download = None;
        }
    }

    /// The leader says that it has stopped: the first that it prefers stands at once, the others later in turn.
    pub(crate) fn leader_ended(&mut self, leader: NodeId, preferred: &[NodeId]) {
        let me = self.config.me.id;
        let place = preferred.iter().position(|id| *id == me).unwrap_or(preferred.len()) as Millis;
        let pause = place * self.config.election_timeout_ms / 2;
        let now = self.now;
        if let Role::Follower(state) = &mut self.role
            && state.leader == leader
        {
            state.has_fetched = false;
            state.deadline = state.deadline.min(now + pause);
        }
    }

    /// The offset up to which this follower's log is flushed (for tests and metrics).
    pub fn flushed_end(&self) -> Offset {
        self.log.flushed_end
    }
}
