//! The metadata log and the quorum core that says what is done with it, in the order of steps of the server's
//! `metadata_log.rs`: outputs are done in their order, each finished before the next (RA-4). Never enters: what a record
//! means; other members, of which a quorum of one has none.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use millstream_batch::control::quorum_batch;
use millstream_batch::{BatchBuilder, BatchConfig, ControlType, Decompressor, RecordRef, batches, header};
use millstream_disk::{Disk, durable};
use millstream_log::{Log, LogConfig, LogDir, LogParams, ReadBound};
use millstream_metadata::features::{METADATA_VERSION, record_version};
use millstream_metadata::{Changes, Loader, MetadataImage, Provenance, snapshot};
use millstream_raft::{
    Batch, Election, EpochStart, Input, Output, Quorum, QuorumConfig, Recovered, ReplicaKey, SnapshotId,
    VoterSet,
};
use millstream_types::limits::BATCH_UNCOMPRESSED_BYTES_MAX;
use millstream_types::topic::CLUSTER_METADATA;
use millstream_types::{Clock, LeaderEpoch, NodeId, Offset, TopicPartition, Uuid};
use millstream_wire::Data;
use millstream_wire::record::data::{LeaderChangeMessage, SnapshotFooterRecord, SnapshotHeaderRecord};
use millstream_wire::record::metadata::MetadataRecord;

use super::Stopped;
use crate::clock::SimClock;
use crate::plant::Bug;

const QUORUM_STATE: &str = "quorum-state";
/// Small, so that runs of minutes make several.
const SNAPSHOT_AFTER_BYTES: u64 = 3_000;
const FILE_BYTES_MAX: u64 = 1 << 24;

struct Uncommitted {
    end: Offset,
    epoch: LeaderEpoch,
    records: Vec<MetadataRecord>,
}

/// What a step came to.
pub enum Event {
    /// All before this offset is committed.
    Committed(Offset),
    /// This node leads, and may serve.
    Serving,
    /// It does not lead any more.
    Resigned,
}

/// See the module.
pub struct MetadataLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    log: Log,
    quorum: Quorum,
    clock: Arc<SimClock>,
    uncommitted: VecDeque<Uncommitted>,
    proposed: VecDeque<Vec<MetadataRecord>>,
    tickets: Vec<u64>,
    bytes_since_snapshot: u64,
    events: Vec<Event>,
    snapshots: Vec<SnapshotId>,
    plant: Option<Bug>,
    /// Snapshots that were made.
    pub snapshots_made: u64,
}

fn stopped(error: impl std::fmt::Display) -> Stopped {
    Stopped(format!("the metadata log: {error}"))
}

fn snapshot_name(id: SnapshotId) -> String {
    format!("{:020}-{:010}.checkpoint", id.end_offset, id.epoch)
}

fn parse_snapshot_name(name: &str) -> Option<SnapshotId> {
    let (offset, epoch) = name.strip_suffix(".checkpoint")?.split_once('-')?;
    Some(SnapshotId { end_offset: offset.parse().ok()?, epoch: epoch.parse().ok()? })
}

impl MetadataLog {
    /// Opens the log in a directory, with the image of the newest snapshot.
    pub fn open(
        dir: &LogDir,
        me: NodeId,
        clock: Arc<SimClock>,
        seed: u64,
        plant: Option<Bug>,
    ) -> Result<(MetadataLog, Loader), Stopped> {
        let partition = TopicPartition::new(CLUSTER_METADATA, 0);
        let disk = Arc::clone(dir.disk());
        let settings = [
            ("retention.ms", "-1"),
            ("retention.bytes", "-1"),
            ("cleanup.policy", "delete"),
            ("internal.segment.bytes", "2048"),
        ];
        let config = LogConfig::from_pairs(settings).map_err(stopped)?;
        let checkpoints = dir.checkpoints();
        let mut log = Log::open(LogParams {
            disk: Arc::clone(&disk),
            parent: dir.path().to_owned(),
            partition: partition.clone(),
            topic_id: Uuid::METADATA_TOPIC,
            config: Arc::new(config),
            recovery_point: checkpoints.recovery_points.get(&partition).unwrap_or(0),
            log_start: checkpoints.log_starts.get(&partition).unwrap_or(0),
            clean: false,
            now: clock.wall_ms(),
        })
        .map_err(stopped)?;
        log.flush().map_err(stopped)?;
        let path = log.dir().to_owned();
        durable::create_dir(&*disk, &path).map_err(stopped)?;
        let entries = disk.list(&path).map_err(stopped)?;
        let mut snapshots: Vec<SnapshotId> =
            entries.iter().filter_map(|e| parse_snapshot_name(&e.name)).collect();
        snapshots.sort();
        let mut loader = Loader::default();
        if let Some(id) = snapshots.last() {
            let records = read_snapshot(&*disk, &path.join(snapshot_name(*id)))?;
            let provenance = Provenance { end_offset: id.end_offset, epoch: id.epoch };
            loader.load_snapshot(provenance, records).map_err(stopped)?;
            if id.end_offset > log.log_end_offset() {
                log.truncate_fully(id.end_offset, clock.wall_ms()).map_err(stopped)?;
            }
        }
        let election = read_election(&*disk, &path.join(QUORUM_STATE))?;
        let epochs = log.epochs().entries().iter();
        let recovered = Recovered {
            election,
            log_start: log.log_start_offset(),
            log_end: log.log_end_offset(),
            epochs: epochs.map(|e| EpochStart { epoch: e.epoch, start_offset: e.start_offset }).collect(),
            snapshot: snapshots.last().copied(),
        };
        let key = ReplicaKey { id: me, directory_id: dir.identity().directory_id };
        let config = QuorumConfig::new(key, VoterSet::of_ids([me.0]), seed);
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
            events: Vec::new(),
            snapshots,
            log,
            plant,
            snapshots_made: 0,
        };
        opened.read_from(loader.image().provenance.end_offset)?;
        Ok((opened, loader))
    }

    fn read_from(&mut self, from: Offset) -> Result<(), Stopped> {
        let mut at = from.max(self.log.log_start_offset());
        let mut scratch = Decompressor::new(BATCH_UNCOMPRESSED_BYTES_MAX);
        loop {
            let upper_bound = self.log.log_end_offset();
            let bound = ReadBound { bytes_max: 8 << 20, upper_bound, min_one_batch: true };
            let Some(slice) = self.log.read(at, &bound).map_err(stopped)?.slice else { return Ok(()) };
            let bytes = slice.read().map_err(stopped)?;
            let before = at;
            for batch in batches(&bytes) {
                let Ok(batch) = batch else { break };
                let header = *batch.header();
                let mut records = Vec::new();
                if !header.attributes.is_control() {
                    for record in batch.records(&mut scratch).map_err(stopped)? {
                        let value = record.map_err(stopped)?.value.unwrap_or_default();
                        let decoded = MetadataRecord::decode(Bytes::copy_from_slice(value));
                        records.push(decoded.map_err(stopped)?.0);
                    }
                }
                if header.next_offset() > from {
                    self.bytes_since_snapshot += batch.bytes().len() as u64;
                    let epoch = header.partition_leader_epoch;
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
    pub fn next_deadline(&self) -> i64 {
        self.quorum.next_deadline()
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
    pub fn tick(&mut self) -> Result<(), Stopped> {
        self.step(Input::Tick)
    }

    /// Appends records as one batch.
    pub fn propose(&mut self, id: u64, records: Vec<MetadataRecord>, level: i16) -> Result<(), Stopped> {
        let epoch = self.quorum.serving().unwrap_or(-1);
        let bytes = batch_of(self.clock.wall_ms(), &records, level)?;
        let count = records.len() as u32;
        self.proposed.push_back(records);
        self.step(Input::Propose { id, epoch, records: count, bytes })?;
        self.proposed.clear();
        Ok(())
    }

    /// Makes everything appended durable, and tells the quorum.
    pub fn flush(&mut self) -> Result<(), Stopped> {
        while !self.tickets.is_empty() {
            let tickets = std::mem::take(&mut self.tickets);
            if self.plant != Some(Bug::MetadataNotFlushed) {
                self.log.flush().map_err(stopped)?;
            }
            for ticket in tickets {
                self.step(Input::Flushed { ticket })?;
            }
        }
        Ok(())
    }

    /// Gives the committed records below an offset to the loader, batch by batch.
    pub fn load_committed(
        &mut self,
        high_watermark: Offset,
        loader: &mut Loader,
        mut each: impl FnMut(Offset, &[MetadataRecord], &MetadataImage, Option<&Changes>),
    ) -> Result<(), Stopped> {
        while self.uncommitted.front().is_some_and(|u| u.end <= high_watermark) {
            let Some(next) = self.uncommitted.pop_front() else { break };
            let changes = loader.load(next.end, next.epoch, &next.records).map_err(stopped)?;
            each(next.end, &next.records, loader.image(), changes.as_ref());
        }
        Ok(())
    }

    /// Writes a snapshot of the image where the log has grown enough since the last one.
    pub fn snapshot_if_due(&mut self, loader: &Loader) -> Result<(), Stopped> {
        if self.bytes_since_snapshot < SNAPSHOT_AFTER_BYTES || loader.in_transaction() {
            return Ok(());
        }
        let image = loader.image();
        let Some(id) = self.quorum.snapshot_id(image.provenance.end_offset) else { return Ok(()) };
        if self.snapshots.last().is_some_and(|last| *last >= id) {
            return Ok(());
        }
        let bytes = snapshot_bytes(self.clock.wall_ms(), id, image)?;
        durable::replace(&*self.disk, &self.dir.join(snapshot_name(id)), &bytes).map_err(stopped)?;
        self.snapshots.push(id);
        self.snapshots_made += 1;
        self.bytes_since_snapshot = 0;
        self.step(Input::SnapshotMade { id })
    }

    /// Closes the log.
    pub fn close(&mut self) -> Result<(), Stopped> {
        self.log.close(self.clock.wall_ms()).map_err(stopped)
    }

    fn step(&mut self, input: Input) -> Result<(), Stopped> {
        for output in self.quorum.step(self.clock.monotonic_ms(), input) {
            self.carry_out(output)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, output: Output) -> Result<(), Stopped> {
        let wall = self.clock.wall_ms();
        match output {
            Output::Persist(election) => {
                write_election(&*self.disk, &self.dir.join(QUORUM_STATE), &election)?
            }
            Output::Append(Batch { base_offset, end_offset, epoch, bytes }) => {
                let mut bytes = bytes.to_vec();
                header::set_base_offset(&mut bytes, base_offset);
                header::set_partition_leader_epoch(&mut bytes, epoch);
                self.log.append_as_follower(&bytes, wall).map_err(stopped)?;
                self.bytes_since_snapshot += bytes.len() as u64;
                let records = self.proposed.pop_front().unwrap_or_default();
                self.uncommitted.push_back(Uncommitted { end: end_offset, epoch, records });
            }
            Output::AppendLeaderChange { base_offset, epoch, .. } => {
                let leader_id = self.quorum.leader_and_epoch().0.map_or(-1, |n| n.0);
                let message = LeaderChangeMessage { version: 1, leader_id, ..Default::default() };
                let value = message.to_bytes(1).map_err(stopped)?;
                let records = [(ControlType::LeaderChange, &value[..])];
                let bytes = quorum_batch(base_offset, epoch, wall, &records).map_err(stopped)?;
                self.log.append_as_follower(&bytes, wall).map_err(stopped)?;
                self.uncommitted.push_back(Uncommitted { end: base_offset + 1, epoch, records: Vec::new() });
            }
            Output::Flush { ticket, .. } => self.tickets.push(ticket),
            Output::Truncate { to } => {
                self.log.truncate_to(to, wall).map_err(stopped)?;
                self.uncommitted.retain(|u| u.end <= to);
            }
            Output::Trim { log_start } => {
                let end = self.log.log_end_offset();
                self.log.advance_log_start(log_start.min(end), end).map_err(stopped)?;
                self.log.apply_retention(wall, end).map_err(stopped)?;
                self.log.delete_due_files(wall).map_err(stopped)?;
                while self.snapshots.len() > 2 {
                    let old = self.snapshots.remove(0);
                    self.disk.remove(&self.dir.join(snapshot_name(old))).map_err(stopped)?;
                }
            }
            Output::Serving { .. } => self.events.push(Event::Serving),
            Output::Resigned { .. } => self.events.push(Event::Resigned),
            Output::Committed { high_watermark } => self.events.push(Event::Committed(high_watermark)),
            Output::Refused { .. } | Output::LeaderChanged { .. } => {}
            other => panic!("a quorum of one asked for {other:?}"),
        }
        Ok(())
    }
}

fn batch_of(wall: i64, records: &[MetadataRecord], level: i16) -> Result<Bytes, Stopped> {
    let config = BatchConfig { batch_bytes_max: i32::MAX as usize, ..Default::default() };
    let mut builder = BatchBuilder::new(config);
    for record in records {
        let value = record.encode(record_version(record, level)).map_err(stopped)?;
        let record = RecordRef { timestamp: wall, key: None, value: Some(&value), headers: &[] };
        builder.append(&record).map_err(stopped)?;
    }
    builder.build().map_err(stopped)
}

fn write_election(disk: &dyn Disk, path: &Path, election: &Election) -> Result<(), Stopped> {
    let leader = election.leader.map_or(-1, |n| n.0);
    let (voted, directory) = election.voted.map_or((-1, Uuid::default()), |key| (key.id.0, key.directory_id));
    let text = format!("{} {leader} {voted} {directory}", election.epoch);
    durable::replace(disk, path, text.as_bytes()).map_err(stopped)
}

fn read_election(disk: &dyn Disk, path: &Path) -> Result<Election, Stopped> {
    if disk.lookup(path).map_err(stopped)?.is_none() {
        return Ok(Election::default());
    }
    let bytes = millstream_disk::disk::read_file(disk, path, FILE_BYTES_MAX).map_err(stopped)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let parts: Vec<&str> = text.split(' ').collect();
    let [epoch, leader, voted, directory] = parts[..] else {
        return Err(Stopped(format!("quorum-state is torn: {text:?}")));
    };
    let number = |s: &str| s.parse::<i32>().map_err(stopped);
    let known = |n: i32| (n >= 0).then_some(NodeId(n));
    let directory_id = directory.parse().map_err(|_| Stopped(format!("quorum-state is torn: {text:?}")))?;
    Ok(Election {
        epoch: number(epoch)?,
        leader: known(number(leader)?),
        voted: known(number(voted)?).map(|id| ReplicaKey { id, directory_id }),
    })
}

fn snapshot_bytes(wall: i64, id: SnapshotId, image: &MetadataImage) -> Result<Vec<u8>, Stopped> {
    let level = image.feature(METADATA_VERSION);
    let header_value = SnapshotHeaderRecord { last_contained_log_timestamp: wall, ..Default::default() };
    let value = header_value.to_bytes(0).map_err(stopped)?;
    let head = quorum_batch(0, id.epoch, wall, &[(ControlType::SnapshotHeader, &value)]).map_err(stopped)?;
    let mut out = head.to_vec();
    let mut at = 1;
    let records: Vec<MetadataRecord> = snapshot::records(image).collect();
    for chunk in records.chunks(16) {
        let mut batch = batch_of(wall, chunk, level)?.to_vec();
        header::set_base_offset(&mut batch, at);
        header::set_partition_leader_epoch(&mut batch, id.epoch);
        out.extend_from_slice(&batch);
        at += chunk.len() as Offset;
    }
    let value = SnapshotFooterRecord::default().to_bytes(0).map_err(stopped)?;
    let foot = quorum_batch(at, id.epoch, wall, &[(ControlType::SnapshotFooter, &value)]).map_err(stopped)?;
    out.extend_from_slice(&foot);
    Ok(out)
}

fn read_snapshot(disk: &dyn Disk, path: &Path) -> Result<Vec<MetadataRecord>, Stopped> {
    let bytes = millstream_disk::disk::read_file(disk, path, FILE_BYTES_MAX).map_err(stopped)?;
    let mut scratch = Decompressor::new(BATCH_UNCOMPRESSED_BYTES_MAX);
    let mut records = Vec::new();
    let mut complete = false;
    for batch in batches(&bytes) {
        let batch = batch.map_err(stopped)?;
        batch.check_crc().map_err(stopped)?;
        for record in batch.records(&mut scratch).map_err(stopped)? {
            let record = record.map_err(stopped)?;
            if batch.header().attributes.is_control() {
                let kind = ControlType::from_key(record.key).map_err(stopped)?;
                complete = kind == Some(ControlType::SnapshotFooter);
            } else {
                let value = record.value.unwrap_or_default();
                let decoded = MetadataRecord::decode(Bytes::copy_from_slice(value));
                records.push(decoded.map_err(stopped)?.0);
            }
        }
    }
    if complete { Ok(records) } else { Err(Stopped(format!("the snapshot {} has no end", path.display()))) }
}
