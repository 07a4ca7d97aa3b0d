//! Ending a transaction: by its producer, by fencing (a time-out, or a new producer of the same id), and what is
//! left when the last marker is written.
//!
//! With version 2 the decision itself raises the epoch (or moves to a new producer id where epochs are used up),
//! so that the answer to EndTxn names the producer of the next transaction, and a request that is sent again is
//! known by the epoch before.

use millstream_types::ids::NO_PRODUCER_ID;
use millstream_types::{ErrorCode, Millis, ProducerEpoch, ProducerId};

use crate::coordinator::{Coordinator, check};
use crate::message::{Answer, Input, Outcome, Partitions, Then, Version};
use crate::state::TxnState;
use crate::transaction::Transaction;

/// What an EndTxn comes to.
enum Verdict {
    /// Answer at once.
    Answer(ErrorCode),
    /// A request sent again whose work is done or under way: answer with the current producer.
    Again,
    /// Decide.
    Decide,
}

impl Coordinator {
    pub(crate) fn end_txn(&mut self, now: Millis, id: &str, input: Input) -> Vec<Outcome> {
        let Input::EndTxn { token, producer_id, producer_epoch, commit, version, .. } = input else {
            return Vec::new();
        };
        let answer = |error, producer: (ProducerId, ProducerEpoch)| {
            Then::Answer(token, Answer::End { error, producer_id: producer.0, producer_epoch: producer.1 })
        };
        let found = self.find(id).and_then(|t| t.cloned().ok_or(ErrorCode::InvalidProducerIdMapping));
        let mut t = match found {
            Ok(t) => t,
            Err(error) => return vec![self.ordered(id, answer(error, (-1, -1)))],
        };
        match verdict(&t, (producer_id, producer_epoch), commit, version) {
            Verdict::Answer(error) => vec![self.ordered(id, answer(error, (-1, -1)))],
            Verdict::Again => {
                let producer = if version == Version::V2 { next_producer(&t) } else { (-1, -1) };
                vec![self.ordered(id, answer(ErrorCode::None, producer))]
            }
            Verdict::Decide => {
                if version == Version::V2 && t.epoch_is_exhausted() {
                    let Some(next) = self.next_producer_id() else {
                        return self.wait_for_producer_ids(Input::EndTxn {
                            token,
                            transactional_id: id.to_owned(),
                            producer_id,
                            producer_epoch,
                            commit,
                            version,
                        });
                    };
                    t.next_producer_id = next;
                }
                decide(&mut t, now, commit, version);
                let producer = if version == Version::V2 { next_producer(&t) } else { (-1, -1) };
                self.decided(now, id, t, Some(answer(ErrorCode::None, producer)))
            }
        }
    }

    /// Aborts an open transaction and fences its producer, whose next request is refused.
    pub(crate) fn abort_by_fencing(&mut self, now: Millis, id: &str) -> Vec<Outcome> {
        let Ok(Some(mut t)) = self.find(id).map(|t| t.cloned()) else { return Vec::new() };
        // The last epoch of all is for fencing alone: `epoch_is_exhausted` keeps it from being given out.
        t.last_producer_epoch = t.producer_epoch;
        t.producer_epoch = t.producer_epoch.saturating_add(1);
        t.unmarked = t.partitions.clone();
        t.become_state(TxnState::PrepareAbort, now);
        self.decided(now, id, t, None)
    }

    /// Stores a decision; markers follow, or the completion where no partition takes part.
    fn decided(&mut self, now: Millis, id: &str, t: Transaction, answer: Option<Then>) -> Vec<Outcome> {
        let mut then: Vec<Then> = answer.into_iter().collect();
        if t.unmarked.is_empty() {
            let done = self.completed(now, t.clone());
            let decision = self.store(id, t, then);
            return vec![decision, self.store(id, done, Vec::new())];
        }
        then.push(Then::WriteMarkers(self.markers(id, &t)));
        vec![self.store(id, t, then)]
    }

    /// The transaction after its last marker.
    pub(crate) fn completed(&self, now: Millis, mut t: Transaction) -> Transaction {
        let next = if t.state == TxnState::PrepareCommit {
            TxnState::CompleteCommit
        } else {
            TxnState::CompleteAbort
        };
        t.become_state(next, now);
        t.partitions.clear();
        t.unmarked.clear();
        if t.next_producer_id != NO_PRODUCER_ID {
            t.previous_producer_id = t.producer_id;
            t.producer_id = t.next_producer_id;
            t.next_producer_id = NO_PRODUCER_ID;
            t.producer_epoch = 0;
        }
        t
    }
}

/// Whom the client is to go on as.
fn next_producer(t: &Transaction) -> (ProducerId, ProducerEpoch) {
    if t.next_producer_id == NO_PRODUCER_ID {
        (t.producer_id, t.producer_epoch)
    } else {
        (t.next_producer_id, 0)
    }
}

fn decide(t: &mut Transaction, now: Millis, commit: bool, version: Version) {
    if version == Version::V2 {
        t.last_producer_epoch = t.producer_epoch;
        t.producer_epoch = t.producer_epoch.saturating_add(1);
    }
    if t.state != TxnState::Ongoing {
        t.partitions = Partitions::new();
        t.start_ms = now;
    }
    t.version = version;
    t.unmarked = t.partitions.clone();
    t.become_state(if commit { TxnState::PrepareCommit } else { TxnState::PrepareAbort }, now);
}

fn verdict(
    t: &Transaction,
    producer: (ProducerId, ProducerEpoch),
    commit: bool,
    version: Version,
) -> Verdict {
    let again = version == Version::V2 && is_sent_again(t, producer);
    if !again && let Err(error) = check(t, producer) {
        return Verdict::Answer(error);
    }
    let asked = if commit { TxnState::PrepareCommit } else { TxnState::PrepareAbort };
    match (t.state, version) {
        (TxnState::Ongoing, _) if again => Verdict::Answer(ErrorCode::ProducerFenced),
        (TxnState::Ongoing, _) => Verdict::Decide,
        // The work goes on; the client tries again until it is complete. That is so for the opposite too, which a
        // version 2 client may ask of its next transaction before the markers of this one are written.
        (state, _) if state.is_preparing() && (state == asked || !again) => {
            Verdict::Answer(ErrorCode::ConcurrentTransactions)
        }
        (TxnState::CompleteCommit, Version::V1) if commit => Verdict::Again,
        (TxnState::CompleteAbort, Version::V1) if !commit => Verdict::Again,
        (TxnState::CompleteCommit, Version::V2) if again && commit => Verdict::Again,
        (TxnState::CompleteAbort, Version::V2) if again && !commit => Verdict::Again,
        // A version 2 client cannot know whether its first write arrived, so it may abort nothing (KIP-890).
        (TxnState::Empty | TxnState::CompleteCommit | TxnState::CompleteAbort, Version::V2)
            if !again && !commit =>
        {
            Verdict::Decide
        }
        _ => Verdict::Answer(ErrorCode::InvalidTxnState),
    }
}

/// Whether the request names the producer as it was before the end that it asks for.
fn is_sent_again(t: &Transaction, producer: (ProducerId, ProducerEpoch)) -> bool {
    let bumped = t.producer_id == producer.0
        && producer.1 >= 0
        && i32::from(t.producer_epoch) == i32::from(producer.1) + 1;
    let moved = t.previous_producer_id == producer.0
        && t.previous_producer_id != NO_PRODUCER_ID
        && t.producer_epoch == 0
        && producer.1 >= ProducerEpoch::MAX - 1;
    bumped || moved
}
