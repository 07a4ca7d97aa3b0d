//! The records of the cluster metadata log.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/metadata.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use super::log_records;

pub mod abort_transaction_record;
pub mod access_control_entry_record;
pub mod begin_transaction_record;
pub mod broker_registration_change_record;
pub mod clear_elr_record;
pub mod client_quota_record;
pub mod config_record;
pub mod delegation_token_record;
pub mod end_transaction_record;
pub mod feature_level_record;
pub mod fence_broker_record;
pub mod no_op_record;
pub mod partition_change_record;
pub mod partition_record;
pub mod producer_ids_record;
pub mod register_broker_record;
pub mod register_controller_record;
pub mod remove_access_control_entry_record;
pub mod remove_delegation_token_record;
pub mod remove_topic_record;
pub mod remove_user_scram_credential_record;
pub mod topic_record;
pub mod unfence_broker_record;
pub mod unregister_broker_record;
pub mod unregister_controller_record;
pub mod user_scram_credential_record;
pub mod zk_migration_state_record;

pub use abort_transaction_record::AbortTransactionRecord;
pub use access_control_entry_record::AccessControlEntryRecord;
pub use begin_transaction_record::BeginTransactionRecord;
pub use broker_registration_change_record::BrokerRegistrationChangeRecord;
pub use clear_elr_record::ClearElrRecord;
pub use client_quota_record::ClientQuotaRecord;
pub use config_record::ConfigRecord;
pub use delegation_token_record::DelegationTokenRecord;
pub use end_transaction_record::EndTransactionRecord;
pub use feature_level_record::FeatureLevelRecord;
pub use fence_broker_record::FenceBrokerRecord;
pub use no_op_record::NoOpRecord;
pub use partition_change_record::PartitionChangeRecord;
pub use partition_record::PartitionRecord;
pub use producer_ids_record::ProducerIdsRecord;
pub use register_broker_record::RegisterBrokerRecord;
pub use register_controller_record::RegisterControllerRecord;
pub use remove_access_control_entry_record::RemoveAccessControlEntryRecord;
pub use remove_delegation_token_record::RemoveDelegationTokenRecord;
pub use remove_topic_record::RemoveTopicRecord;
pub use remove_user_scram_credential_record::RemoveUserScramCredentialRecord;
pub use topic_record::TopicRecord;
pub use unfence_broker_record::UnfenceBrokerRecord;
pub use unregister_broker_record::UnregisterBrokerRecord;
pub use unregister_controller_record::UnregisterControllerRecord;
pub use user_scram_credential_record::UserScramCredentialRecord;
pub use zk_migration_state_record::ZkMigrationStateRecord;

log_records! {
MetadataRecord;
0 RegisterBroker RegisterBrokerRecord 0 4;
1 UnregisterBroker UnregisterBrokerRecord 0 0;
2 Topic TopicRecord 0 0;
3 Partition PartitionRecord 0 2;
4 Config ConfigRecord 0 0;
5 PartitionChange PartitionChangeRecord 0 2;
7 FenceBroker FenceBrokerRecord 0 0;
8 UnfenceBroker UnfenceBrokerRecord 0 0;
9 RemoveTopic RemoveTopicRecord 0 0;
10 DelegationToken DelegationTokenRecord 0 0;
11 UserScramCredential UserScramCredentialRecord 0 0;
12 FeatureLevel FeatureLevelRecord 0 0;
14 ClientQuota ClientQuotaRecord 0 0;
15 ProducerIds ProducerIdsRecord 0 0;
17 BrokerRegistrationChange BrokerRegistrationChangeRecord 0 3;
18 AccessControlEntry AccessControlEntryRecord 0 0;
19 RemoveAccessControlEntry RemoveAccessControlEntryRecord 0 0;
20 NoOp NoOpRecord 0 0;
21 ZkMigrationState ZkMigrationStateRecord 0 0;
22 RemoveUserScramCredential RemoveUserScramCredentialRecord 0 0;
23 BeginTransaction BeginTransactionRecord 0 0;
24 EndTransaction EndTransactionRecord 0 0;
25 AbortTransaction AbortTransactionRecord 0 0;
26 RemoveDelegationToken RemoveDelegationTokenRecord 0 0;
27 RegisterController RegisterControllerRecord 0 0;
28 ClearElr ClearElrRecord 0 0;
29 UnregisterController UnregisterControllerRecord 0 0;
}
