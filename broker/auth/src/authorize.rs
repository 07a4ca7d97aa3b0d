//! The operation that each API needs, on what kind of resource: one table over every API key, checked to be whole by a
//! test. Everybody may do everything so far; where that ends, what a request names in its body (topics, groups,
//! transactional ids) is to be authorised too, by its handler, with the same operation.

use millstream_wire::ApiKey;

use crate::principal::{Listener, Principal};

/// Kafka's ACL operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Nothing: before anything else.
    None,
    /// Read records, or be a member of a group.
    Read,
    /// Write records.
    Write,
    /// Make.
    Create,
    /// Remove.
    Delete,
    /// Change.
    Alter,
    /// Look at.
    Describe,
    /// What brokers do among themselves.
    ClusterAction,
    /// Look at settings.
    DescribeConfigs,
    /// Change settings.
    AlterConfigs,
    /// Produce with a producer id.
    IdempotentWrite,
}

/// What an operation is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceKind {
    /// Nothing.
    None,
    /// Topics.
    Topic,
    /// Groups.
    Group,
    /// The cluster.
    Cluster,
    /// Transactional ids.
    TransactionalId,
    /// Delegation tokens.
    DelegationToken,
    /// Users.
    User,
}

/// Whether a request may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

/// What an API needs; `None` for a key that this table lacks, which is denied.
pub fn required(api: ApiKey) -> Option<(Operation, ResourceKind)> {
    use ApiKey as A;
    use Operation as O;
    use ResourceKind as R;
    Some(match api {
        A::SaslHandshake | A::ApiVersions | A::SaslAuthenticate => (O::None, R::None),
        A::Produce => (O::Write, R::Topic),
        A::Fetch | A::ShareFetch | A::ShareAcknowledge | A::DeleteShareGroupOffsets => (O::Read, R::Topic),
        A::ListOffsets | A::Metadata | A::OffsetForLeaderEpoch | A::DescribeTopicPartitions => {
            (O::Describe, R::Topic)
        }
        A::DescribeProducers => (O::Read, R::Topic),
        A::OffsetCommit
        | A::JoinGroup
        | A::Heartbeat
        | A::LeaveGroup
        | A::SyncGroup
        | A::TxnOffsetCommit
        | A::ConsumerGroupHeartbeat
        | A::ShareGroupHeartbeat
        | A::AlterShareGroupOffsets
        | A::StreamsGroupHeartbeat
        | A::StreamsGroupTopologyDescriptionUpdate
        | A::AddOffsetsToTxn => (O::Read, R::Group),
        A::OffsetFetch
        | A::DescribeGroups
        | A::ListGroups
        | A::ConsumerGroupDescribe
        | A::ShareGroupDescribe
        | A::StreamsGroupDescribe
        | A::DescribeShareGroupOffsets
        | A::FindCoordinator => (O::Describe, R::Group),
        A::DeleteGroups | A::OffsetDelete => (O::Delete, R::Group),
        A::CreateTopics => (O::Create, R::Topic),
        A::DeleteTopics | A::DeleteRecords => (O::Delete, R::Topic),
        A::CreatePartitions => (O::Alter, R::Topic),
        A::InitProducerId | A::AddPartitionsToTxn | A::EndTxn => (O::Write, R::TransactionalId),
        A::DescribeTransactions | A::ListTransactions => (O::Describe, R::TransactionalId),
        A::DescribeConfigs | A::ListConfigResources => (O::DescribeConfigs, R::Cluster),
        A::AlterConfigs | A::IncrementalAlterConfigs | A::AlterClientQuotas => (O::AlterConfigs, R::Cluster),
        A::DescribeClientQuotas => (O::DescribeConfigs, R::Cluster),
        A::DescribeAcls
        | A::DescribeCluster
        | A::DescribeLogDirs
        | A::ListPartitionReassignments
        | A::DescribeQuorum
        | A::DescribeUserScramCredentials => (O::Describe, R::Cluster),
        A::CreateAcls
        | A::DeleteAcls
        | A::AlterReplicaLogDirs
        | A::ElectLeaders
        | A::AlterPartitionReassignments
        | A::AlterUserScramCredentials
        | A::UpdateFeatures
        | A::UnregisterBroker
        | A::UnregisterController
        | A::AddRaftVoter
        | A::RemoveRaftVoter => (O::Alter, R::Cluster),
        A::CreateDelegationToken => (O::Create, R::User),
        A::RenewDelegationToken | A::ExpireDelegationToken => (O::Alter, R::DelegationToken),
        A::DescribeDelegationToken => (O::Describe, R::DelegationToken),
        A::GetTelemetrySubscriptions | A::PushTelemetry => (O::None, R::None),
        A::WriteTxnMarkers
        | A::Vote
        | A::BeginQuorumEpoch
        | A::EndQuorumEpoch
        | A::AlterPartition
        | A::Envelope
        | A::FetchSnapshot
        | A::BrokerRegistration
        | A::BrokerHeartbeat
        | A::AllocateProducerIds
        | A::ControllerRegistration
        | A::AssignReplicasToDirs
        | A::UpdateRaftVoter
        | A::InitializeShareGroupState
        | A::ReadShareGroupState
        | A::WriteShareGroupState
        | A::DeleteShareGroupState
        | A::ReadShareGroupStateSummary => (O::ClusterAction, R::Cluster),
        _ => return None,
    })
}

/// Whether `principal` may send a request of `api` by `listener` at all. The policy of this version: whoever reaches
/// the listener may do whatever the table has.
pub fn authorize(api: ApiKey, _principal: &Principal, _listener: &Listener) -> Decision {
    if required(api).is_some() { Decision::Allow } else { Decision::Deny }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_api_has_a_row() {
        for api in ApiKey::ALL {
            assert!(required(*api).is_some(), "{} needs a row in the table of operations", api.name());
        }
    }
}
