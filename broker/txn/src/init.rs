//! InitProducerId with a transactional id: who the producer is from now on, and the end of what an earlier one left
//! open (TX-3). Sources: KIP-98, KIP-360, KIP-588.

use millstream_types::ids::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID};
use millstream_types::{ErrorCode, Millis, ProducerEpoch, ProducerId};

use crate::coordinator::Coordinator;
use crate::message::{Answer, Input, Outcome, Partitions, Then};
use crate::state::TxnState;
use crate::transaction::Transaction;

/// What is to become of an id that asks for a producer.
enum Verdict {
    /// Refuse.
    Refuse(ErrorCode),
    /// The request was sent again: answer with what it got before.
    Again,
    /// The next epoch, from the one that the client knows or the current one.
    Bump,
    /// A producer id of its own, since epochs are used up.
    NewProducerId,
    /// End what is open, and let the client ask again.
    Fence,
}

impl Coordinator {
    pub(crate) fn init_producer_id(&mut self, now: Millis, id: &str, input: Input) -> Vec<Outcome> {
        let Input::InitProducerId { token, timeout_ms, producer_id, producer_epoch, .. } = input else {
            return Vec::new();
        };
        let refuse = |error| {
            Then::Answer(
                token,
                Answer::ProducerId { error, producer_id: NO_PRODUCER_ID, producer_epoch: NO_PRODUCER_EPOCH },
            )
        };
        if id.is_empty() || (producer_id == NO_PRODUCER_ID) != (producer_epoch == NO_PRODUCER_EPOCH) {
            return vec![self.ordered(id, refuse(ErrorCode::InvalidRequest))];
        }
        if timeout_ms <= 0 || timeout_ms > self.config.timeout_ms_max {
            return vec![self.ordered(id, refuse(ErrorCode::InvalidTransactionTimeout))];
        }
        let found = match self.find(id) {
            Ok(found) => found.cloned(),
            Err(error) => return vec![self.ordered(id, refuse(error))],
        };
        let client = (producer_id != NO_PRODUCER_ID).then_some((producer_id, producer_epoch));
        let verdict = match &found {
            None => Verdict::NewProducerId,
            Some(t) => verdict(t, client),
        };
        let mut t = match verdict {
            Verdict::Refuse(error) => return vec![self.ordered(id, refuse(error))],
            Verdict::Fence => {
                let mut outcomes = self.abort_by_fencing(now, id);
                outcomes.push(self.ordered(id, refuse(ErrorCode::ConcurrentTransactions)));
                return outcomes;
            }
            Verdict::Again => {
                let Some(t) = found else { return Vec::new() };
                let answer = Answer::ProducerId {
                    error: ErrorCode::None,
                    producer_id: t.producer_id,
                    producer_epoch: t.producer_epoch,
                };
                return vec![self.ordered(id, Then::Answer(token, answer))];
            }
            Verdict::NewProducerId => {
                let Some(new) = self.next_producer_id() else {
                    return self.wait_for_producer_ids(input_of(id, input));
                };
                let mut t = found.unwrap_or_else(|| Transaction::new(new, timeout_ms, now));
                if t.producer_id != new {
                    t.previous_producer_id = t.producer_id;
                    t.producer_id = new;
                }
                t.last_producer_epoch = if client.is_some() { t.producer_epoch } else { NO_PRODUCER_EPOCH };
                t.producer_epoch = 0;
                t
            }
            Verdict::Bump => {
                let Some(mut t) = found else { return Vec::new() };
                t.last_producer_epoch = if client.is_some() { t.producer_epoch } else { NO_PRODUCER_EPOCH };
                t.producer_epoch += 1;
                t
            }
        };
        t.timeout_ms = timeout_ms;
        t.partitions = Partitions::new();
        t.start_ms = -1;
        t.become_state(TxnState::Empty, now);
        let answer = Answer::ProducerId {
            error: ErrorCode::None,
            producer_id: t.producer_id,
            producer_epoch: t.producer_epoch,
        };
        vec![self.store(id, t, vec![Then::Answer(token, answer)])]
    }
}

/// The request again, with its id (a producer id was missing; it waits for a block).
fn input_of(id: &str, input: Input) -> Input {
    match input {
        Input::InitProducerId { token, timeout_ms, producer_id, producer_epoch, .. } => {
            Input::InitProducerId {
                token,
                transactional_id: Some(id.to_owned()),
                timeout_ms,
                producer_id,
                producer_epoch,
            }
        }
        other => other,
    }
}

fn verdict(t: &Transaction, client: Option<(ProducerId, ProducerEpoch)>) -> Verdict {
    if t.state.is_preparing() {
        return Verdict::Refuse(ErrorCode::ConcurrentTransactions);
    }
    if let Some((producer_id, producer_epoch)) = client {
        let current = producer_id == t.producer_id && producer_epoch == t.producer_epoch;
        // KIP-360: the request that raised the epoch, or changed the producer id, was sent again.
        let bumped_before = producer_id == t.producer_id
            && producer_epoch == t.last_producer_epoch
            && t.last_producer_epoch != NO_PRODUCER_EPOCH;
        let moved_before = producer_id == t.previous_producer_id && t.producer_epoch == 0;
        if !current {
            return if (bumped_before || moved_before) && t.state == TxnState::Empty {
                Verdict::Again
            } else {
                Verdict::Refuse(ErrorCode::ProducerFenced)
            };
        }
    }
    match t.state {
        TxnState::Ongoing => Verdict::Fence,
        _ if t.epoch_is_exhausted() => Verdict::NewProducerId,
        _ => Verdict::Bump,
    }
}
