//! Data on disk, in control records and inside other messages.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/data.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use super::data_records;

pub mod aborted_txn;
pub mod consumer_protocol_assignment;
pub mod consumer_protocol_subscription;
pub mod control_record_type_schema;
pub mod default_principal_data;
pub mod end_txn_marker;
pub mod k_raft_version_record;
pub mod leader_change_message;
pub mod producer_snapshot;
pub mod quorum_state_data;
pub mod snapshot_footer_record;
pub mod snapshot_header_record;
pub mod voters_record;

pub use aborted_txn::AbortedTxn;
pub use consumer_protocol_assignment::ConsumerProtocolAssignment;
pub use consumer_protocol_subscription::ConsumerProtocolSubscription;
pub use control_record_type_schema::ControlRecordTypeSchema;
pub use default_principal_data::DefaultPrincipalData;
pub use end_txn_marker::EndTxnMarker;
pub use k_raft_version_record::KRaftVersionRecord;
pub use leader_change_message::LeaderChangeMessage;
pub use producer_snapshot::ProducerSnapshot;
pub use quorum_state_data::QuorumStateData;
pub use snapshot_footer_record::SnapshotFooterRecord;
pub use snapshot_header_record::SnapshotHeaderRecord;
pub use voters_record::VotersRecord;

data_records! {
AbortedTxn 0 0;
ConsumerProtocolAssignment 0 3;
ConsumerProtocolSubscription 0 3;
ControlRecordTypeSchema 0 0;
DefaultPrincipalData 0 0;
EndTxnMarker 0 0;
KRaftVersionRecord 0 0;
LeaderChangeMessage 0 1;
ProducerSnapshot 1 1;
QuorumStateData 0 1;
SnapshotFooterRecord 0 0;
SnapshotHeaderRecord 0 0;
VotersRecord 0 0;
}
