//! The metadata log on this node's disk: the log `__cluster_metadata-0`, the file `quorum-state`, and snapshots; and the
//! quorum core that says what is done with them. Outputs are done in their order, each finished before the next (RA-4);
//! flushes are gathered, so that one serves all that was decided meanwhile. Never enters: what a record means.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use millstream_batch::control::quorum_batch;
use millstream_batch::{
    BatchBuilder, BatchConfig, BatchError, ControlType, Decompressor, RecordRef, batches, header,
};
use millstream_disk::{Disk, DiskError, durable};
use millstream_log::log_dir::LogDir;
use millstream_log::{Log, LogConfig, LogError, LogParams, ReadBound};
use millstream_metadata::features::{METADATA_VERSION, record_version};
use millstream_metadata::{Loader, MetadataImage, Provenance, snapshot};
use millstream_raft::{
    Batch, Election, EpochStart, Input, Output, Quorum, QuorumConfig, Recovered, ReplicaKey, SnapshotId,
};
use millstream_types::limits::BATCH_UNCOMPRESSED_BYTES_MAX;
use millstream_types::topic::CLUSTER_METADATA;
use millstream_types::{Clock, LeaderEpoch, Millis, Offset, TopicPartition, Uuid};
use millstream_wire::Data;
use millstream_wire::record::data::{
    LeaderChangeMessage, QuorumStateData, SnapshotFooterRecord, SnapshotHeaderRecord,
    leader_change_message::Voter,
};
use millstream_wire::record::metadata::MetadataRecord;

const QUORUM_STATE: &str = "quorum-state";
/// Records of one batch of a snapshot.
const SNAPSHOT_BATCH_RECORDS: usize = 1_000;
/// The largest file that is read whole: quorum-state, and snapshots.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// A file or batch that cannot be what it should, or a disk that refuses.
#[derive(Debug, thiserror::Error)]
pub enum MetadataLogError {
    /// The log.
    #[error("the metadata log: {0}")]
    Log(#[from] LogError),
    /// The disk.
    #[error("the metadata log: {0}")]
    Disk(#[from] DiskError),
    /// A batch.
    #[error("the metadata log: {0}")]
    Batch(#[from] BatchError),
    /// What was read is damaged, or of a newer version.
    #[error("the metadata log: {0}; restore the directory from a backup, or from another controller")]
    Unreadable(String),
}

fn unreadable(what: impl std::fmt::Display) -> MetadataLogError {
    MetadataLogError::Unreadable(what.to_string())
}

/// Records between two offsets, as they were appended.
struct Uncommitted {
    end: Offset,
    epoch: LeaderEpoch,
    records: Vec<MetadataRecord>,
}

/// What a step came to, for the controller's thread.
pub enum Event {
    /// All before this offset is committed.
    Committed(Offset),
    /// This node leads in this epoch, and may serve.
    Serving(LeaderEpoch),
    /// It does not lead any more.
    Resigned,
    /// The proposal of this id was not appended.
    Refused(u64),
}

/// See the module.
pub struct MetadataLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    log: Log,
    quorum: Quorum,
    clock: Arc<dyn Clock>,
    uncommitted: VecDeque<Uncommitted>,
    /// Records of proposals, until the quorum says where they stand.
    proposed: VecDeque<Vec<MetadataRecord>>,
    tickets: Vec<u64>,
    bytes_since_snapshot: u64,
    snapshot_after: u64,
    events: Vec<Event>,
    /// Where this node's snapshots end, newest last.
    snapshots: Vec<SnapshotId>,
}

fn snapshot_name(id: SnapshotId) -> String {
    format!("{:020}-{:010}.checkpoint", id.end_offset, id.epoch)
}

fn parse_snapshot_name(name: &str) -> Option<SnapshotId> {
    let (offset, epoch) = name.strip_suffix(".checkpoint")?.split_once('-')?;
    Some(SnapshotId { end_offset: offset.parse().ok()?, epoch: epoch.parse().ok()? })
}

impl MetadataLog {
    /// Opens the log in a directory, with the image of the newest snapshot. A new one is made after `snapshot_after` bytes
    /// of log.
    ///
    /// # Errors
    /// A disk that refuses, or files that cannot be read.
    pub fn open(
        dir: &LogDir,
        me: ReplicaKey,
        voters: millstream_raft::VoterSet,
        clock: Arc<dyn Clock>,
        snapshot_after: u64,
    ) -> Result<(MetadataLog, Loader), MetadataLogError> {
        let partition = TopicPartition::new(CLUSTER_METADATA, 0);
        let disk = Arc::clone(dir.disk());
        let mut config = LogConfig::default();
        for (name, value) in [("retention.ms", "-1"), ("retention.bytes", "-1"), ("cleanup.policy", "delete")]
        {
            config.set(name, value).map_err(unreadable)?;
        }
        let checkpoints = dir.checkpoints();
        let mut log = Log::open(LogParams {
            disk: Arc::clone(&disk),
            parent: dir.path().to_owned(),
            partition: partition.clone(),
            topic_id: Uuid::METADATA_TOPIC,
            config: Arc::new(config),
            recovery_point: checkpoints.recovery_points.get(&partition).unwrap_or(0),
            log_start: checkpoints.log_starts.get(&partition).unwrap_or(0),
            // Small, and what everything else rests on: it is always read through.
            clean: false,
            now: clock.wall_ms(),
        })?;
        log.flush()?;
        let path = log.dir().to_owned();
        durable::create_dir(&*disk, &path)?;
        let mut snapshots: Vec<SnapshotId> =
            disk.list(&path)?.iter().filter_map(|e| parse_snapshot_name(&e.name)).collect();
        snapshots.sort();
        let mut loader = Loader::default();
        if let Some(id) = snapshots.last() {
            let records = read_snapshot(&*disk, &path.join(snapshot_name(*id)))?;
            let provenance = Provenance { end_offset: id.end_offset, epoch: id.epoch };
            loader.load_snapshot(provenance, records).map_err(unreadable)?;
            if id.end_offset > log.log_end_offset() {
                log.truncate_fully(id.end_offset, clock.wall_ms())?;
            }
        }
        let election = read_election(&*disk, &path.join(QUORUM_STATE))?;
        let recovered = Recovered {
            election,
            log_start: log.log_start_offset(),
            log_end: log.log_end_offset(),
            epochs: log
                .epochs()
                .entries()
                .iter()
                .map(|e| EpochStart { epoch: e.epoch, start_offset: e.start_offset })
                .collect(),
            snapshot: snapshots.last().copied(),
        };
        let config = QuorumConfig::new(me, voters, crate::clock::seed());
        let quorum = Quorum::new(clock.monotonic_ms(), config, recovered);
        let mut opened = MetadataLog {
            disk,
            dir: path,
            quorum,
            clock,
            uncommitted: VecDeque::new(),
            proposed: VecDeque::new(),
            tickets: Vec::new(),
            bytes_since_snapshot: 0,
            snapshot_after,
            events: Vec::new(),
            snapshots,
            log,
        };
        opened.read_from(loader.image().provenance.end_offset)?;
        Ok((opened, loader))
    }

    /// Reads what the log holds from an offset on; all of it waits to be committed.
    fn read_from(&mut self, from: Offset) -> Result<(), MetadataLogError> {
        let mut at = from.max(self.log.log_start_offset());
        let mut scratch = Decompressor::new(BATCH_UNCOMPRESSED_BYTES_MAX);
        loop {
            let bound =
                ReadBound { bytes_max: 8 << 20, upper_bound: self.log.log_end_offset(), min_one_batch: true };
            let Some(slice) = self.log.read(at, &bound)?.slice else { return Ok(()) };
            let bytes = slice.read()?;
            let before = at;
            for batch in batches(&bytes) {
                let Ok(batch) = batch else { break };
                let header = *batch.header();
                let mut records = Vec::new();
                if !header.attributes.is_control() {
                    for record in batch.records(&mut scratch)? {
                        let value = record?.value.ok_or_else(|| unreadable("a record has no value"))?;
                        let (record, _) =
                            MetadataRecord::decode(Bytes::copy_from_slice(value)).map_err(unreadable)?;
                        records.push(record);
                    }
                }
                if header.next_offset() > from {
                    let epoch = header.partition_leader_epoch;
                    self.bytes_since_snapshot += batch.bytes().len() as u64;
                    self.uncommitted.push_back(Uncommitted { end: header.next_offset(), epoch, records });
                }
                at = header.next_offset();
            }
            if at == before {
                return Ok(());
            }
        }
    }

    /// When something is due.
    pub fn next_deadline(&self) -> Millis {
        self.quorum.next_deadline()
    }

    /// The monotonic clock's time.
    pub fn now(&self) -> Millis {
        self.clock.monotonic_ms()
    }

    /// One past the last record.
    pub fn log_end(&self) -> Offset {
        self.quorum.log_end()
    }

    /// The epoch in which this node leads and may serve.
    pub fn serving(&self) -> Option<LeaderEpoch> {
        self.quorum.serving()
    }

    /// What the steps since the last call came to.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Time has passed.
    ///
    /// # Errors
    /// The disk's; the node can no longer take part.
    pub fn tick(&mut self) -> Result<(), MetadataLogError> {
        self.step(Input::Tick)
    }

    /// Appends records as one batch; they are durable after [`MetadataLog::flush`], and then committed.
    ///
    /// # Errors
    /// As [`MetadataLog::tick`].
    pub fn propose(
        &mut self,
        id: u64,
        records: Vec<MetadataRecord>,
        level: i16,
    ) -> Result<(), MetadataLogError> {
        let epoch = self.quorum.serving().unwrap_or(-1);
        let bytes = batch_of(self.clock.wall_ms(), &records, level)?;
        let count = records.len() as u32;
        self.proposed.push_back(records);
        self.step(Input::Propose { id, epoch, records: count, bytes })?;
        self.proposed.clear();
        Ok(())
    }

    /// Makes everything appended durable, and tells the quorum.
    ///
    /// # Errors
    /// As [`MetadataLog::tick`].
    pub fn flush(&mut self) -> Result<(), MetadataLogError> {
        while !self.tickets.is_empty() {
            let tickets = std::mem::take(&mut self.tickets);
            self.log.flush()?;
            for ticket in tickets {
                self.step(Input::Flushed { ticket })?;
            }
        }
        Ok(())
    }

    /// Gives the committed records below an offset to the loader, batch by batch.
    ///
    /// # Errors
    /// A record that cannot be applied.
    pub fn load_committed(
        &mut self,
        high_watermark: Offset,
        loader: &mut Loader,
        mut each: impl FnMut(&MetadataImage, &millstream_metadata::Changes),
    ) -> Result<(), MetadataLogError> {
        while self.uncommitted.front().is_some_and(|u| u.end <= high_watermark) {
            let Some(next) = self.uncommitted.pop_front() else { break };
            let changes = loader.load(next.end, next.epoch, &next.records).map_err(unreadable)?;
            if let Some(changes) = changes {
                each(loader.image(), &changes);
            }
        }
        Ok(())
    }

    /// Writes a snapshot of the image where the log has grown enough since the last one.
    ///
    /// # Errors
    /// As [`MetadataLog::tick`].
    pub fn snapshot_if_due(&mut self, loader: &Loader) -> Result<(), MetadataLogError> {
        if self.bytes_since_snapshot < self.snapshot_after || loader.in_transaction() {
            return Ok(());
        }
        let image = loader.image();
        let Some(id) = self.quorum.snapshot_id(image.provenance.end_offset) else { return Ok(()) };
        if self.snapshots.last().is_some_and(|last| *last >= id) {
            return Ok(());
        }
        let bytes = snapshot_bytes(self.clock.wall_ms(), id, image)?;
        durable::replace(&*self.disk, &self.dir.join(snapshot_name(id)), &bytes)?;
        self.snapshots.push(id);
        self.bytes_since_snapshot = 0;
        self.step(Input::SnapshotMade { id })
    }

    /// Closes the log.
    ///
    /// # Errors
    /// The disk's.
    pub fn close(&mut self) -> Result<(), MetadataLogError> {
        Ok(self.log.close(self.clock.wall_ms())?)
    }

    fn step(&mut self, input: Input) -> Result<(), MetadataLogError> {
        for output in self.quorum.step(self.clock.monotonic_ms(), input) {
            self.carry_out(output)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, output: Output) -> Result<(), MetadataLogError> {
        let wall = self.clock.wall_ms();
        match output {
            Output::Persist(election) => {
                write_election(&*self.disk, &self.dir.join(QUORUM_STATE), &election)?
            }
            Output::Append(Batch { base_offset, end_offset, epoch, bytes }) => {
                let mut bytes = bytes.to_vec();
                header::set_base_offset(&mut bytes, base_offset);
                header::set_partition_leader_epoch(&mut bytes, epoch);
                self.log.append_as_follower(&bytes, wall)?;
                self.bytes_since_snapshot += bytes.len() as u64;
                let records = self.proposed.pop_front().unwrap_or_default();
                self.uncommitted.push_back(Uncommitted { end: end_offset, epoch, records });
            }
            Output::AppendLeaderChange { base_offset, epoch, voters, granting } => {
                let message = LeaderChangeMessage {
                    leader_id: self.quorum.leader_and_epoch().0.map_or(-1, |n| n.0),
                    voters: voters.iter().map(voter).collect(),
                    granting_voters: granting.iter().map(voter).collect(),
                    ..Default::default()
                };
                // Version 1 names directories, which belongs to kraft.version 1; voters here are static (kraft.version 0).
                let value = message.to_bytes(0).map_err(unreadable)?;
                let bytes = quorum_batch(base_offset, epoch, wall, &[(ControlType::LeaderChange, &value)])?;
                self.log.append_as_follower(&bytes, wall)?;
                self.uncommitted.push_back(Uncommitted { end: base_offset + 1, epoch, records: Vec::new() });
            }
            Output::Flush { ticket, .. } => self.tickets.push(ticket),
            Output::Truncate { to } => {
                self.log.truncate_to(to, wall)?;
                self.uncommitted.retain(|u| u.end <= to);
            }
            Output::Trim { log_start } => self.trim(wall, log_start)?,
            Output::Serving { epoch, .. } => self.events.push(Event::Serving(epoch)),
            Output::Resigned { .. } => self.events.push(Event::Resigned),
            Output::Committed { high_watermark } => self.events.push(Event::Committed(high_watermark)),
            Output::Refused { id, .. } => self.events.push(Event::Refused(id)),
            Output::LeaderChanged { epoch, leader } => {
                tracing::info!(epoch, leader = leader.map_or(-1, |n| n.0), "the metadata quorum's leader");
            }
            // Messages to other members: this version runs quorums of one, which have none.
            Output::Send { .. }
            | Output::Reply { .. }
            | Output::ReplyRecords { .. }
            | Output::ReplySnapshot { .. }
            | Output::WriteSnapshot { .. }
            | Output::InstallSnapshot { .. } => {
                return Err(unreadable("a quorum of one asked for a message to another member"));
            }
        }
        Ok(())
    }

    fn trim(&mut self, wall: Millis, log_start: Offset) -> Result<(), MetadataLogError> {
        let end = self.log.log_end_offset();
        self.log.advance_log_start(log_start.min(end), end)?;
        self.log.apply_retention(wall, end)?;
        self.log.delete_due_files(wall)?;
        // The newest two stay: one may just be being read.
        while self.snapshots.len() > 2 {
            let old = self.snapshots.remove(0);
            self.disk.remove(&self.dir.join(snapshot_name(old)))?;
        }
        Ok(())
    }
}

fn voter(key: &ReplicaKey) -> Voter {
    Voter { voter_id: key.id.0, ..Default::default() }
}

fn batch_of(wall: Millis, records: &[MetadataRecord], level: i16) -> Result<Bytes, MetadataLogError> {
    let mut builder =
        BatchBuilder::new(BatchConfig { batch_bytes_max: i32::MAX as usize, ..Default::default() });
    for record in records {
        let value = record.encode(record_version(record, level)).map_err(unreadable)?;
        builder.append(&RecordRef { timestamp: wall, key: None, value: Some(&value), headers: &[] })?;
    }
    Ok(builder.build()?)
}

fn write_election(disk: &dyn Disk, path: &Path, election: &Election) -> Result<(), DiskError> {
    let data = QuorumStateData::from(election);
    let text = format!(
        "{{\"leaderId\":{},\"leaderEpoch\":{},\"votedId\":{},\"votedDirectoryId\":\"{}\",\"data_version\":1}}",
        data.leader_id, data.leader_epoch, data.voted_id, data.voted_directory_id
    );
    durable::replace(disk, path, text.as_bytes())
}

fn read_election(disk: &dyn Disk, path: &Path) -> Result<Election, MetadataLogError> {
    if disk.lookup(path)?.is_none() {
        return Ok(Election::default());
    }
    let bytes = millstream_disk::disk::read_file(disk, path, FILE_BYTES_MAX)?;
    let json: serde_json::Value = serde_json::from_slice(&bytes).map_err(unreadable)?;
    let number = |key: &str| {
        let value = json.get(key).and_then(serde_json::Value::as_i64).and_then(|n| i32::try_from(n).ok());
        value.ok_or_else(|| unreadable(format!("{QUORUM_STATE} has no number \"{key}\"")))
    };
    let voted = json.get("votedDirectoryId").and_then(|v| v.as_str()).and_then(|v| v.parse().ok());
    let data = QuorumStateData {
        leader_id: number("leaderId")?,
        leader_epoch: number("leaderEpoch")?,
        voted_id: number("votedId")?,
        voted_directory_id: voted.unwrap_or_default(),
        ..Default::default()
    };
    Ok(Election::from(&data))
}

fn snapshot_bytes(wall: Millis, id: SnapshotId, image: &MetadataImage) -> Result<Vec<u8>, MetadataLogError> {
    let level = image.feature(METADATA_VERSION);
    let header_value = SnapshotHeaderRecord { last_contained_log_timestamp: wall, ..Default::default() };
    let header_value = header_value.to_bytes(0).map_err(unreadable)?;
    let mut out = quorum_batch(0, id.epoch, wall, &[(ControlType::SnapshotHeader, &header_value)])?.to_vec();
    let mut at = 1;
    let records: Vec<MetadataRecord> = snapshot::records(image).collect();
    for chunk in records.chunks(SNAPSHOT_BATCH_RECORDS) {
        let mut batch = batch_of(wall, chunk, level)?.to_vec();
        header::set_base_offset(&mut batch, at);
        header::set_partition_leader_epoch(&mut batch, id.epoch);
        out.extend_from_slice(&batch);
        at += chunk.len() as Offset;
    }
    let footer = SnapshotFooterRecord::default().to_bytes(0).map_err(unreadable)?;
    out.extend_from_slice(&quorum_batch(at, id.epoch, wall, &[(ControlType::SnapshotFooter, &footer)])?);
    Ok(out)
}

fn read_snapshot(disk: &dyn Disk, path: &Path) -> Result<Vec<MetadataRecord>, MetadataLogError> {
    let bytes = millstream_disk::disk::read_file(disk, path, FILE_BYTES_MAX)?;
    let mut scratch = Decompressor::new(BATCH_UNCOMPRESSED_BYTES_MAX);
    let mut records = Vec::new();
    let mut complete = false;
    for batch in batches(&bytes) {
        let batch = batch?;
        batch.check_crc()?;
        for record in batch.records(&mut scratch)? {
            let record = record?;
            if batch.header().attributes.is_control() {
                complete = ControlType::from_key(record.key)? == Some(ControlType::SnapshotFooter);
            } else {
                let value = record.value.ok_or_else(|| unreadable("a snapshot's record has no value"))?;
                records.push(MetadataRecord::decode(Bytes::copy_from_slice(value)).map_err(unreadable)?.0);
            }
        }
    }
    if complete {
        Ok(records)
    } else {
        Err(unreadable(format!("the snapshot {} has no end", path.display())))
    }
}
