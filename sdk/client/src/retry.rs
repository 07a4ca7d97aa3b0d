//! What a client does about each error code, in one table, and how long it waits between attempts. Never enters: the
//! attempts themselves.

use std::time::Duration;

use millstream_types::{ErrorCode, Rng};

use crate::error::ClientError;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing is wrong.
    Proceed,
    /// Send the same again, after a pause.
    Retry,
    /// The leader or the topic's layout has changed: ask for metadata, then send again.
    RefreshMetadata,
    /// The coordinator has moved: find it again, then send again.
    FindCoordinator,
    /// The position is outside of the log.
    ResetOffset,
    /// Join the group again, as a new member where the id is unknown.
    Rejoin,
    /// The open transaction is lost; the producer works on after an abort.
    AbortTransaction,
    /// Another producer or member has taken this one's place.
    Fenced,
    /// It will not get better.
    Fail,
}

/// What to do about `code`. Every code that Kafka 4.4.0 has is named here; a test checks it.
pub fn action(code: ErrorCode) -> Action {
    named_action(code).unwrap_or(Action::Fail)
}

fn named_action(code: ErrorCode) -> Option<Action> {
    use ErrorCode as E;
    Some(match code {
        E::None => Action::Proceed,
        E::CorruptMessage
        | E::RequestTimedOut
        | E::NotEnoughReplicas
        | E::NotEnoughReplicasAfterAppend
        | E::CoordinatorLoadInProgress
        | E::ConcurrentTransactions
        | E::FetchSessionIdNotFound
        | E::InvalidFetchSessionEpoch
        | E::FetchSessionTopicIdError
        | E::OffsetNotAvailable
        | E::UnstableOffsetCommit
        | E::ThrottlingQuotaExceeded
        | E::UnknownLeaderEpoch
        | E::ShareSessionNotFound
        | E::InvalidShareSessionEpoch
        | E::ShareSessionLimitReached
        | E::OperationNotAttempted => Action::Retry,
        E::UnknownTopicOrPartition
        | E::LeaderNotAvailable
        | E::NotLeaderOrFollower
        | E::ReplicaNotAvailable
        | E::NetworkException
        | E::KafkaStorageError
        | E::FencedLeaderEpoch
        | E::ListenerNotFound
        | E::NotController
        | E::UnknownTopicId
        | E::InconsistentTopicId
        | E::PreferredLeaderNotAvailable
        | E::EligibleLeadersNotAvailable
        | E::ElectionNotNeeded
        | E::NewLeaderElected
        | E::BrokerNotAvailable
        | E::RebootstrapRequired => Action::RefreshMetadata,
        E::CoordinatorNotAvailable | E::NotCoordinator => Action::FindCoordinator,
        E::OffsetOutOfRange | E::OffsetMovedToTieredStorage => Action::ResetOffset,
        E::IllegalGeneration
        | E::UnknownMemberId
        | E::RebalanceInProgress
        | E::MemberIdRequired
        | E::FencedMemberEpoch
        | E::StaleMemberEpoch => Action::Rejoin,
        E::TransactionAbortable
        | E::OutOfOrderSequenceNumber
        | E::UnknownProducerId
        | E::InvalidProducerIdMapping
        | E::InvalidTxnState => Action::AbortTransaction,
        E::InvalidProducerEpoch
        | E::ProducerFenced
        | E::FencedInstanceId
        | E::TransactionCoordinatorFenced => Action::Fenced,
        E::UnknownServerError
        | E::InvalidFetchSize
        | E::MessageTooLarge
        | E::StaleControllerEpoch
        | E::OffsetMetadataTooLarge
        | E::InvalidTopicException
        | E::RecordListTooLarge
        | E::InvalidRequiredAcks
        | E::InconsistentGroupProtocol
        | E::InvalidGroupId
        | E::InvalidSessionTimeout
        | E::InvalidCommitOffsetSize
        | E::TopicAuthorizationFailed
        | E::GroupAuthorizationFailed
        | E::ClusterAuthorizationFailed
        | E::InvalidTimestamp
        | E::UnsupportedSaslMechanism
        | E::IllegalSaslState
        | E::UnsupportedVersion
        | E::TopicAlreadyExists
        | E::InvalidPartitions
        | E::InvalidReplicationFactor
        | E::InvalidReplicaAssignment
        | E::InvalidConfig
        | E::InvalidRequest
        | E::UnsupportedForMessageFormat
        | E::PolicyViolation
        | E::DuplicateSequenceNumber
        | E::InvalidTransactionTimeout
        | E::TransactionalIdAuthorizationFailed
        | E::SecurityDisabled
        | E::LogDirNotFound
        | E::SaslAuthenticationFailed
        | E::ReassignmentInProgress
        | E::DelegationTokenAuthDisabled
        | E::DelegationTokenNotFound
        | E::DelegationTokenOwnerMismatch
        | E::DelegationTokenRequestNotAllowed
        | E::DelegationTokenAuthorizationFailed
        | E::DelegationTokenExpired
        | E::InvalidPrincipalType
        | E::NonEmptyGroup
        | E::GroupIdNotFound
        | E::TopicDeletionDisabled
        | E::UnsupportedCompressionType
        | E::StaleBrokerEpoch
        | E::GroupMaxSizeReached
        | E::NoReassignmentInProgress
        | E::GroupSubscribedToTopic
        | E::InvalidRecord
        | E::ResourceNotFound
        | E::DuplicateResource
        | E::UnacceptableCredential
        | E::InconsistentVoterSet
        | E::InvalidUpdateVersion
        | E::FeatureUpdateFailed
        | E::PrincipalDeserializationFailure
        | E::SnapshotNotFound
        | E::PositionOutOfRange
        | E::DuplicateBrokerRegistration
        | E::BrokerIdNotRegistered
        | E::InconsistentClusterId
        | E::TransactionalIdNotFound
        | E::IneligibleReplica
        | E::UnreleasedInstanceId
        | E::UnsupportedAssignor
        | E::MismatchedEndpointType
        | E::UnsupportedEndpointType
        | E::UnknownControllerId
        | E::UnknownSubscriptionId
        | E::TelemetryTooLarge
        | E::InvalidRegistration
        | E::InvalidRecordState
        | E::FencedStateEpoch
        | E::InvalidVoterKey
        | E::DuplicateVoter
        | E::VoterNotFound
        | E::InvalidRegularExpression
        | E::StreamsInvalidTopology
        | E::StreamsInvalidTopologyEpoch
        | E::StreamsTopologyFenced
        | E::GroupDeletionFailed
        | E::StreamsTopologyDescriptionUpdateFailed
        | E::ControllerIdNotRegistered => Action::Fail,
        _ => return None,
    })
}

impl ClientError {
    /// What to do about this error.
    pub fn action(&self) -> Action {
        match self {
            ClientError::Broker { code, .. } => action(*code),
            // Where the leader was, nobody answers: another may lead by now.
            ClientError::Connection { .. } | ClientError::Timeout { .. } => Action::RefreshMetadata,
            ClientError::Fenced(_) => Action::Fenced,
            ClientError::MustAbort(_) => Action::AbortTransaction,
            _ => Action::Fail,
        }
    }

    /// Whether the same may be sent again.
    pub fn is_retriable(&self) -> bool {
        matches!(self.action(), Action::Retry | Action::RefreshMetadata | Action::FindCoordinator)
    }
}

/// Pauses between attempts: doubling from `first` to `most`, each a fifth shorter or longer by chance, so that
/// clients that failed together do not come back together.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The first pause (`retry.backoff.ms`).
    pub first: Duration,
    /// The longest pause (`retry.backoff.max.ms`).
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) }
    }
}

impl Backoff {
    /// The pause after `failures` (1 or more) failures in a row.
    pub fn pause(&self, failures: u32, rng: &mut dyn Rng) -> Duration {
        let doubled = self.first.saturating_mul(1u32 << failures.saturating_sub(1).min(20)).min(self.most);
        let permille = 800 + rng.below(401) as u32;
        doubled * permille / 1_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_types::SeededRng;

    #[test]
    fn every_code_has_its_action() {
        for &code in ErrorCode::ALL {
            let action = named_action(code);
            assert!(action.is_some(), "{code} is not in the table");
            // What Kafka calls retriable is never given up at once. The group and election codes have answers of
            // their own.
            if code.is_retriable() {
                assert!(action != Some(Action::Fail), "{code}");
            }
        }
    }

    #[test]
    fn pauses_double_up_to_their_bound() {
        let mut rng = SeededRng::new(3);
        let backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) };
        for (failures, expected) in [(1, 100), (2, 200), (3, 400), (5, 1_000), (60, 1_000)] {
            let mut seen = Vec::new();
            for _ in 0..200 {
                let pause = backoff.pause(failures, &mut rng).as_millis() as u64;
                assert!((expected * 8 / 10..=expected * 12 / 10).contains(&pause), "{failures}: {pause}");
                seen.push(pause);
            }
            assert!(seen.iter().any(|pause| *pause != seen[0]), "there is no jitter");
        }
    }
}
