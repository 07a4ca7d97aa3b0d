//! Transactions of a producer, in both forms: v2 (KIP-890), where producing and committing offsets join the transaction
//! by themselves and every end raises the epoch, and v1 for clusters that have not switched it on.
//!
//! Legal transitions, and what causes them:
//! - `New -> Ready`: `init_transactions`.
//! - `Ready -> Open`: `begin`.
//! - `Open -> Ending -> Ready`: `commit`, or `abort`.
//! - `Open | Ending -> MustAbort`: a batch or an offset was given up, or the coordinator says so.
//! - `MustAbort -> Ending -> Ready`: `abort`.
//! - any `-> Dead`: another producer with the same transactional id was started (fenced), or an error that no abort heals.
//!
//! Never enters: batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_types::{ErrorCode, TopicPartition};
use millstream_wire::message::add_offsets_to_txn_request::AddOffsetsToTxnRequest;
use millstream_wire::message::add_partitions_to_txn_request::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnTopic,
};
use millstream_wire::message::end_txn_request::EndTxnRequest;
use millstream_wire::message::init_producer_id_request::InitProducerIdRequest;
use millstream_wire::message::txn_offset_commit_request::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use parking_lot::Mutex;

use crate::cluster::{CoordinatorKind, Purpose};
use crate::consumer::{GroupMetadata, OffsetAndMetadata};
use crate::error::{ClientError, Result};
use crate::producer::Inner;
use crate::producer::accumulator::Identity;
use crate::retry::Action;

#[derive(Clone, Debug)]
enum State {
    New,
    Ready,
    Open,
    Ending,
    MustAbort(ClientError),
    Dead(ClientError),
}

struct Txn {
    state: State,
    v2: bool,
    /// Whether the coordinator knows of the open transaction, as far as we can tell.
    touched: bool,
}

/// A producer's transactions.
pub(crate) struct Transaction {
    id: Arc<str>,
    txn: Mutex<Txn>,
}

/// How a transaction is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Commit,
    Abort,
}

impl Transaction {
    pub(crate) fn new(id: &str) -> Transaction {
        Transaction { id: id.into(), txn: Mutex::new(Txn { state: State::New, v2: false, touched: false }) }
    }

    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(crate) fn is_v2(&self) -> bool {
        self.txn.lock().v2
    }

    /// Whether partitions have to be added before records go to them.
    pub(crate) fn adds_partitions(&self) -> bool {
        !self.is_v2()
    }

    /// Whether records may be sent now.
    pub(crate) fn takes_records(&self) -> bool {
        let txn = self.txn.lock();
        matches!(txn.state, State::Open) || matches!(txn.state, State::Ending)
    }

    /// Checks that a record may be sent, and notes that one is.
    pub(crate) fn record(&self) -> Result<()> {
        let mut txn = self.txn.lock();
        txn.check_open()?;
        txn.touched = true;
        Ok(())
    }

    /// Notes a failure.
    pub(crate) fn fail(&self, error: ClientError) {
        let mut txn = self.txn.lock();
        if matches!(txn.state, State::Dead(_)) {
            return;
        }
        txn.state = match error {
            ClientError::Fenced(_) => State::Dead(error),
            ClientError::MustAbort(_) => State::MustAbort(error),
            other => State::MustAbort(ClientError::MustAbort(other.to_string().into())),
        };
    }
}

impl Txn {
    fn check_open(&self) -> Result<()> {
        match &self.state {
            State::Open => Ok(()),
            State::MustAbort(error) | State::Dead(error) => Err(error.clone()),
            State::New => Err(ClientError::state("init_transactions has to be called first")),
            State::Ready => Err(ClientError::state("no transaction is open; call begin_transaction first")),
            State::Ending => Err(ClientError::state("the transaction is ending")),
        }
    }
}

/// What an answer of a coordinator means for the producer.
fn sort(error: ClientError) -> ClientError {
    match error.action() {
        Action::Fenced => ClientError::Fenced(error.to_string().into()),
        Action::AbortTransaction | Action::Rejoin => ClientError::MustAbort(error.to_string().into()),
        _ => error,
    }
}

impl Inner {
    fn txn(&self) -> Result<&Transaction> {
        self.transaction
            .as_ref()
            .ok_or_else(|| ClientError::state("this needs transactional_id, which is not set"))
    }

    fn identity(&self) -> Result<Identity> {
        let identity = self.accumulator.lock().identity();
        identity.ok_or_else(|| ClientError::state("init_transactions has to be called first"))
    }

    /// Notes that the transaction has failed, and drops what was not sent.
    pub(crate) fn fail_transaction(&self, error: ClientError) {
        if let Some(txn) = &self.transaction {
            let error = sort(error);
            txn.fail(error.clone());
            self.drop_unsent(&error);
        }
    }

    pub(crate) async fn init_transactions(&self) -> Result<()> {
        let txn = self.txn()?;
        if !matches!(txn.txn.lock().state, State::New | State::Dead(_)) {
            return Err(ClientError::state("init_transactions was called before"));
        }
        self.init_producer_id(None).await?;
        txn.txn.lock().state = State::Ready;
        Ok(())
    }

    /// Asks for the producer id, or with `current` for a higher epoch of it.
    async fn init_producer_id(&self, current: Option<Identity>) -> Result<()> {
        let txn = self.txn()?;
        let request = InitProducerIdRequest {
            transactional_id: Some(txn.id.to_string()),
            transaction_timeout_ms: self.config.transaction_timeout.as_millis().min(i32::MAX as u128) as i32,
            producer_id: current.map_or(-1, |identity| identity.id),
            producer_epoch: current.map_or(-1, |identity| identity.epoch),
            ..InitProducerIdRequest::default()
        };
        let identity = self
            .call_transaction(5, &request, |response| {
                ClientError::check("asking for a producer id", response.error_code)?;
                Ok(Identity { id: response.producer_id, epoch: response.producer_epoch })
            })
            .await?;
        // What the cluster has switched on, as its coordinator sees it.
        let within = self.cluster.config().api_timeout;
        let node = self.cluster.coordinator(CoordinatorKind::Transaction, &txn.id, within).await?;
        let conn = self.cluster.conn(node, Purpose::Coordinator).await?;
        let v2 = conn.versions().feature("transaction.version") >= 2
            && conn.version_of::<EndTxnRequest>()? >= 5
            && conn.version_of::<TxnOffsetCommitRequest>()? >= 5;
        self.accumulator.lock().set_identity(identity);
        txn.txn.lock().v2 = v2;
        Ok(())
    }

    async fn call_transaction<R: millstream_wire::Request, T>(
        &self,
        max_version: i16,
        request: &R,
        check: impl FnMut(R::Response) -> Result<T>,
    ) -> Result<T> {
        let txn = self.txn()?;
        let within = self.cluster.config().api_timeout;
        self.cluster
            .call_coordinator(CoordinatorKind::Transaction, &txn.id, within, max_version, request, check)
            .await
            .map_err(|error| {
                let error = sort(error);
                if matches!(error, ClientError::Fenced(_) | ClientError::MustAbort(_)) {
                    txn.fail(error.clone());
                }
                error
            })
    }

    pub(crate) fn begin_transaction(&self) -> Result<()> {
        let mut txn = self.txn()?.txn.lock();
        match &txn.state {
            State::Ready => {
                txn.state = State::Open;
                txn.touched = false;
                Ok(())
            }
            State::Open | State::Ending => Err(ClientError::state("a transaction is open already")),
            _ => txn.check_open(),
        }
    }

    /// Tells the coordinator of partitions that records will go to (v1).
    pub(crate) async fn add_partitions(&self, partitions: &[TopicPartition]) -> Result<()> {
        let (txn, identity) = (self.txn()?, self.identity()?);
        let mut topics: BTreeMap<&Arc<str>, Vec<i32>> = BTreeMap::new();
        for partition in partitions {
            topics.entry(&partition.topic).or_default().push(partition.partition);
        }
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: txn.id.to_string(),
            v3_and_below_producer_id: identity.id,
            v3_and_below_producer_epoch: identity.epoch,
            v3_and_below_topics: topics
                .into_iter()
                .map(|(name, partitions)| AddPartitionsToTxnTopic {
                    name: name.to_string(),
                    partitions,
                    ..AddPartitionsToTxnTopic::default()
                })
                .collect(),
            ..AddPartitionsToTxnRequest::default()
        };
        // Version 4 and later are for brokers among themselves.
        self.call_transaction(3, &request, |response| {
            ClientError::check("adding partitions to the transaction", response.error_code)?;
            let results = response.results_by_topic_v3_and_below;
            let codes = results.iter().flat_map(|t| &t.results_by_partition).map(|p| p.partition_error_code);
            // One fails all; the one at fault says why.
            let mut codes: Vec<i16> = codes.filter(|code| *code != 0).collect();
            codes.sort_by_key(|code| *code == ErrorCode::OperationNotAttempted.code());
            codes
                .first()
                .map_or(Ok(()), |code| ClientError::check("adding partitions to the transaction", *code))
        })
        .await?;
        self.accumulator.lock().added_to_txn(partitions);
        Ok(())
    }

    pub(crate) async fn send_offsets(
        &self,
        offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
        group: &GroupMetadata,
    ) -> Result<()> {
        let (txn, identity) = (self.txn()?, self.identity()?);
        txn.record()?;
        if offsets.is_empty() {
            return Ok(());
        }
        let v2 = txn.is_v2();
        if !v2 {
            let request = AddOffsetsToTxnRequest {
                transactional_id: txn.id.to_string(),
                producer_id: identity.id,
                producer_epoch: identity.epoch,
                group_id: group.group_id.to_string(),
                ..AddOffsetsToTxnRequest::default()
            };
            self.call_transaction(4, &request, |response| {
                ClientError::check("adding offsets to the transaction", response.error_code)
            })
            .await?;
        }
        let mut topics: BTreeMap<&Arc<str>, Vec<TxnOffsetCommitRequestPartition>> = BTreeMap::new();
        for (partition, offset) in offsets {
            topics.entry(&partition.topic).or_default().push(TxnOffsetCommitRequestPartition {
                partition_index: partition.partition,
                committed_offset: offset.offset,
                committed_leader_epoch: offset.leader_epoch,
                committed_metadata: Some(offset.metadata.to_string()),
                ..TxnOffsetCommitRequestPartition::default()
            });
        }
        let request = TxnOffsetCommitRequest {
            transactional_id: txn.id.to_string(),
            group_id: group.group_id.to_string(),
            producer_id: identity.id,
            producer_epoch: identity.epoch,
            generation_id_or_member_epoch: group.epoch,
            member_id: group.member_id.to_string(),
            group_instance_id: group.instance_id.as_deref().map(str::to_owned),
            topics: topics
                .into_iter()
                .map(|(name, partitions)| TxnOffsetCommitRequestTopic {
                    name: name.to_string(),
                    partitions,
                    ..TxnOffsetCommitRequestTopic::default()
                })
                .collect(),
            ..TxnOffsetCommitRequest::default()
        };
        let within = self.cluster.config().api_timeout;
        let max_version = if v2 { 5 } else { 4 };
        self.cluster
            .call_coordinator(
                CoordinatorKind::Group,
                &group.group_id,
                within,
                max_version,
                &request,
                |response| {
                    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
                    let code = partitions.map(|p| p.error_code).find(|code| *code != 0);
                    code.map_or(Ok(()), |code| {
                        ClientError::check("committing offsets in the transaction", code)
                    })
                },
            )
            .await
            .map_err(|error| {
                let error = sort(error);
                txn.fail(error.clone());
                error
            })
    }

    pub(crate) async fn commit_transaction(&self) -> Result<()> {
        let txn = self.txn()?;
        txn.txn.lock().check_open()?;
        // Records first: one that fails turns the commit into an abort.
        self.flush().await;
        {
            let mut txn = txn.txn.lock();
            txn.check_open()?;
            txn.state = State::Ending;
        }
        self.end_transaction(End::Commit).await
    }

    pub(crate) async fn abort_transaction(&self) -> Result<()> {
        let txn = self.txn()?;
        let failed = {
            let mut txn = txn.txn.lock();
            let failed = match &txn.state {
                State::Dead(error) => return Err(error.clone()),
                State::New | State::Ready => txn.check_open().map(|()| false)?,
                State::Open | State::Ending => false,
                State::MustAbort(_) => true,
            };
            // Nothing more is sent, and what fails now is not sent again.
            txn.state = State::MustAbort(ClientError::MustAbort("the transaction is aborted".into()));
            failed
        };
        self.drop_unsent(&ClientError::MustAbort("the transaction was aborted".into()));
        // What is under way has to arrive before the markers do.
        loop {
            let notified = self.progress.notified();
            if !self.accumulator.lock().any_in_flight() {
                break;
            }
            notified.await;
        }
        self.drop_unsent(&ClientError::MustAbort("the transaction was aborted".into()));
        txn.txn.lock().state = State::Ending;
        self.end_transaction(End::Abort).await?;
        // In v2 the end has raised the epoch. In v1 a failed batch leaves gaps in the sequence numbers, which a higher
        // epoch closes (KIP-360).
        if failed && !txn.is_v2() {
            let identity = self.identity()?;
            self.init_producer_id(Some(identity)).await?;
        }
        Ok(())
    }

    async fn end_transaction(&self, end: End) -> Result<()> {
        let (txn, identity) = (self.txn()?, self.identity()?);
        let (touched, v2) = {
            let txn = txn.txn.lock();
            (txn.touched, txn.v2)
        };
        if touched {
            let request = EndTxnRequest {
                transactional_id: txn.id.to_string(),
                producer_id: identity.id,
                producer_epoch: identity.epoch,
                committed: end == End::Commit,
                ..EndTxnRequest::default()
            };
            let what = match end {
                End::Commit => "committing the transaction",
                End::Abort => "aborting the transaction",
            };
            let result = self
                .call_transaction(if v2 { 5 } else { 4 }, &request, |response| {
                    match ErrorCode::from_code(response.error_code) {
                        // v1: records were taken by us but none reached the coordinator, so that it has nothing to end.
                        Some(ErrorCode::InvalidTxnState) if end == End::Abort && !v2 => Ok(identity),
                        _ => {
                            ClientError::check(what, response.error_code)?;
                            Ok(Identity { id: response.producer_id, epoch: response.producer_epoch })
                        }
                    }
                })
                .await;
            let next = match result {
                Ok(next) => next,
                Err(error) => {
                    // The outcome is not known: only an abort, or a commit again, can tell.
                    let mut txn = txn.txn.lock();
                    if matches!(txn.state, State::Ending) {
                        txn.state = State::MustAbort(ClientError::MustAbort(error.to_string().into()));
                    }
                    return Err(error);
                }
            };
            let mut accumulator = self.accumulator.lock();
            if v2 && next.id >= 0 {
                accumulator.set_identity(next);
            } else {
                accumulator.clear_txn();
            }
        }
        let mut txn = txn.txn.lock();
        txn.state = State::Ready;
        txn.touched = false;
        Ok(())
    }
}
