//! What happens to a node from outside: topics that come, go and grow, and faults: crashes at any step and any write,
//! syncs that fail, a full disk, clocks that jump, clean stops. Never enters: what must hold afterwards.

use millstream_disk::faulty::Fault;
use millstream_disk::{Disk, Op as DiskOp};
use millstream_types::topic::{CONSUMER_OFFSETS, TRANSACTION_STATE};
use millstream_types::{Millis, Rng};
use millstream_wire::message::create_partitions_request::CreatePartitionsTopic;
use millstream_wire::message::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use millstream_wire::message::delete_topics_request::DeleteTopicState;
use millstream_wire::message::{CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest};

use super::{Op, World};
use crate::node::{ControlRequest, SHARDS, dir_path};
use crate::producers::Idempotent;

/// A topic's settings.
type Configs<'a> = &'a [(&'a str, &'a str)];

impl World {
    pub(super) fn create(&mut self, name: &str, partitions: i32, configs: Configs<'_>) {
        let configs = configs.iter().map(|(name, value)| CreatableTopicConfig {
            name: (*name).to_owned(),
            value: Some((*value).to_owned()),
            ..Default::default()
        });
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions: partitions,
            replication_factor: 1,
            configs: configs.collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 1_000, ..Default::default() };
        self.control(ControlRequest::Create(request));
    }

    pub(super) fn control(&mut self, request: ControlRequest) {
        let op = self.begin(Op::Control);
        self.log(format_args!("control {op} {request:?}"));
        if let Some(node) = &mut self.node {
            node.control(op, request);
        }
    }

    /// Topics that are not there are made; else one is deleted, given partitions, or has its start moved.
    pub(super) fn topics(&mut self) {
        let compacted = [
            ("cleanup.policy", "compact"),
            ("internal.segment.bytes", "1024"),
            ("min.cleanable.dirty.ratio", "0"),
            ("file.delete.delay.ms", "1000"),
        ];
        let plain =
            [("retention.ms", "-1"), ("internal.segment.bytes", "1500"), ("file.delete.delay.ms", "1000")];
        let bounded = [
            ("retention.bytes", "3000"),
            ("retention.ms", "-1"),
            ("internal.segment.bytes", "1000"),
            ("file.delete.delay.ms", "1000"),
        ];
        let wanted: [(&str, i32, Configs<'_>); 6] = [
            (CONSUMER_OFFSETS, SHARDS, &compacted),
            (TRANSACTION_STATE, SHARDS, &compacted),
            ("t0", 2, &plain),
            ("t1", 1, &plain),
            ("bounded", 1, &bounded),
            ("compacted", 1, &compacted),
        ];
        for (name, partitions, configs) in wanted {
            if self.topic_id(name).is_none() {
                return self.create(name, partitions, configs);
            }
        }
        match self.rng.below(4) {
            0 | 1 => {
                let name = ["t0", "t1", "bounded", "compacted"][self.rng.below(4) as usize];
                let Some(id) = self.topic_id(name) else { return };
                self.oracle.topic_may_go(name, id);
                self.mark("a topic was deleted");
                let topic = DeleteTopicState { name: Some(name.to_owned()), ..Default::default() };
                let request = DeleteTopicsRequest { topics: vec![topic], ..Default::default() };
                self.control(ControlRequest::Delete(request));
            }
            2 => {
                let name = ["t0", "t1"][self.rng.below(2) as usize];
                let count = self.partition_count(name) + 1;
                if count <= 4 {
                    self.mark("a topic grew");
                    let topic = CreatePartitionsTopic { name: name.to_owned(), count, ..Default::default() };
                    let request = CreatePartitionsRequest { topics: vec![topic], ..Default::default() };
                    self.control(ControlRequest::Grow(request));
                }
            }
            _ => {
                let Some((topic, place)) = self.any_plain_place() else { return };
                let Some(node) = &mut self.node else { return };
                let Some(p) = node.partition(&topic, place.1) else { return };
                let bounds = p.replica.bounds();
                let to = self.rng.below(bounds.high_watermark.max(0) as u64 + 1) as i64;
                self.oracle.start_may_rise(place, to);
                if node.delete_records(&topic, place.1, to).is_ok_and(|start| start > 0) {
                    self.mark("records were deleted");
                }
            }
        }
    }

    pub(super) fn fault(&mut self) -> Result<(), String> {
        self.report.faults += 1;
        match self.rng.below(10) {
            0 => self.crash("crash"),
            1..5 => {
                // The power goes at a write that is to come.
                let after = 1 + self.rng.below(25);
                self.disk.stop_after(after);
                self.power_at = Some(self.disk.changes() + after);
                self.log(format_args!("the power will go after {after} writes"));
                Ok(())
            }
            5 => {
                // A clock that was set.
                let ms =
                    (1 + self.rng.below(3_600_000) as Millis) * if self.rng.chance(1, 2) { 1 } else { -1 };
                self.clock.jump(ms);
                self.mark("the clock jumped");
                self.log(format_args!("the clock jumped by {ms}"));
                Ok(())
            }
            6 if self.full_until.is_none() => {
                let used = u64::MAX - self.disk.free_bytes(&dir_path(0)).unwrap_or(u64::MAX);
                self.disk.set_capacity(used + self.rng.below(400));
                self.full_until = Some(self.time + 3_000);
                self.mark("the disk was full");
                self.log(format_args!("the disk is full"));
                Ok(())
            }
            7 => {
                let Some(node) = &mut self.node else { return Ok(()) };
                let dir = self.rng.below(node.faults.len() as u64) as usize;
                let op = if self.rng.chance(1, 2) { DiskOp::SyncGroup } else { DiskOp::SyncDir };
                node.faults[dir].fail_next(op, Fault::Eio);
                self.restart_at = Some(self.time + 2_000);
                self.mark("a sync failed");
                self.log(format_args!("the next {op:?} of directory {dir} fails"));
                Ok(())
            }
            8 => self.stop_cleanly(),
            _ => {
                // The process is killed; the machine goes on, and has all that was written.
                self.log(format_args!("the process is killed"));
                self.mark("the process was killed");
                self.node = None;
                self.disk = self.disk.copy_synced();
                self.lost();
                Ok(())
            }
        }
    }

    pub(super) fn stop_cleanly(&mut self) -> Result<(), String> {
        self.log(format_args!("a clean stop"));
        let Some(node) = self.node.take() else { return Ok(()) };
        let stopped = node.stop();
        self.disk.set_capacity(u64::MAX);
        if stopped.is_ok() {
            self.mark("the node stopped cleanly");
        }
        // The machine may lose its power right after.
        self.disk = match self.rng.chance(1, 2) {
            true => self.disk.crash().sample(&mut self.rng),
            false => self.disk.copy_synced(),
        };
        self.lost();
        Ok(())
    }

    pub(super) fn crash(&mut self, why: &str) -> Result<(), String> {
        self.log(format_args!("{why}: a crash"));
        self.node = None;
        let states = self.disk.crash();
        if states.count().is_none_or(|n| n > 1) {
            self.mark("a crash could lose something");
        }
        self.disk = states.sample(&mut self.rng);
        self.report.faults += 1;
        self.lost();
        Ok(())
    }

    /// What the node had not answered it never will.
    pub(super) fn lost(&mut self) {
        self.disk.set_capacity(u64::MAX);
        (self.power_at, self.full_until, self.restart_at) = (None, None, None);
        self.lost_ops = std::mem::take(&mut self.ops);
        self.idempotent.iter_mut().for_each(Idempotent::lost);
        self.transactional_lost();
        self.members_lost();
    }
}
