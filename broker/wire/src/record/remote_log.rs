//! The records of the remote log metadata topic.
//!
//! Made by `cargo xtask protocol` from `broker/wire/schema/remote_log.txt`; a change belongs there. Never enters: what
//! any of the fields mean to a broker.

use super::log_records;

pub mod remote_log_segment_metadata_record;
pub mod remote_log_segment_metadata_snapshot_record;
pub mod remote_log_segment_metadata_update_record;
pub mod remote_partition_delete_metadata_record;

pub use remote_log_segment_metadata_record::RemoteLogSegmentMetadataRecord;
pub use remote_log_segment_metadata_snapshot_record::RemoteLogSegmentMetadataSnapshotRecord;
pub use remote_log_segment_metadata_update_record::RemoteLogSegmentMetadataUpdateRecord;
pub use remote_partition_delete_metadata_record::RemotePartitionDeleteMetadataRecord;

log_records! {
RemoteLogRecord;
0 RemoteLogSegmentMetadata RemoteLogSegmentMetadataRecord 0 0;
1 RemoteLogSegmentMetadataUpdate RemoteLogSegmentMetadataUpdateRecord 0 0;
2 RemotePartitionDeleteMetadata RemotePartitionDeleteMetadataRecord 0 0;
3 RemoteLogSegmentMetadataSnapshot RemoteLogSegmentMetadataSnapshotRecord 0 0;
}
