//! Partitions that exist: ISR changes that their leaders ask for, leaders that are elected anew when a broker goes
//! or comes, and elections that an operator asks for. Never enters: who is in sync (the leader says), the choice
//! itself (`election.rs`).

use std::collections::BTreeMap;

use millstream_types::{ErrorCode, NodeId, Uuid};
use millstream_wire::message::alter_partition_request::{self, AlterPartitionRequest};
use millstream_wire::message::alter_partition_response::{self, AlterPartitionResponse};
use millstream_wire::message::elect_leaders_request::ElectLeadersRequest;
use millstream_wire::message::elect_leaders_response::{
    ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};
use millstream_wire::record::metadata::{MetadataRecord, PartitionChangeRecord};

use crate::configs::ConfigRules;
use crate::controller::{Controller, Decision};
use crate::delta::merge;
use crate::election::{Election, PartitionChange};
use crate::error::{Refusal, refuse};
use crate::image::{PartitionImage, TopicImage};
use crate::snapshot::{ids, leader_id};

/// How a broker leaves the ISRs that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// With all that it had: it stays eligible.
    Clean(NodeId),
    /// Perhaps without what it had not flushed.
    Unclean(NodeId),
    /// Going down in order; it may not lead, though it is not fenced yet.
    ShuttingDown(NodeId),
}

impl Controller {
    fn change<'a>(
        &'a self,
        rules: &dyn ConfigRules,
        topic: &TopicImage,
        partition: usize,
        image: &'a PartitionImage,
        may_lead: &'a dyn Fn(NodeId) -> bool,
    ) -> PartitionChange<'a> {
        let unclean = self.unclean_allowed(rules, &topic.name);
        PartitionChange {
            topic_id: topic.id,
            partition: partition as i32,
            image,
            may_lead,
            election: if unclean { Election::Unclean } else { Election::Online },
            min_isr: self.min_isr(rules, &topic.name),
            elr_enabled: self.elr_enabled(),
            target_isr: image.isr.clone(),
            unclean_shutdown: None,
            recovered: false,
        }
    }

    /// Whether a broker leads any partition.
    pub(crate) fn leads_anything(&self, id: NodeId) -> bool {
        self.image().topics.iter().any(|topic| topic.partitions.iter().any(|p| p.leader == Some(id)))
    }

    /// What becomes of all partitions when a broker goes.
    pub(crate) fn departure_records(
        &self,
        rules: &dyn ConfigRules,
        departure: Departure,
    ) -> Vec<MetadataRecord> {
        let (Departure::Clean(id) | Departure::Unclean(id) | Departure::ShuttingDown(id)) = departure;
        let may_lead = |node: NodeId| node != id && self.image().is_active(node);
        let mut records = Vec::new();
        for topic in self.image().topics.iter() {
            for (at, image) in topic.partitions.iter().enumerate() {
                let eligible = image.eligible_leader_replicas.contains(&id);
                let unclean = departure == Departure::Unclean(id);
                if !image.isr.contains(&id) && image.leader != Some(id) && !(unclean && eligible) {
                    continue;
                }
                let mut change = self.change(rules, topic, at, image, &may_lead);
                change.target_isr.retain(|node| *node != id);
                change.unclean_shutdown = unclean.then_some(id);
                records.extend(change.build().map(MetadataRecord::from));
            }
        }
        records
    }

    /// What becomes of partitions without a leader when a broker comes.
    pub(crate) fn arrival_records(&self, rules: &dyn ConfigRules, id: NodeId) -> Vec<MetadataRecord> {
        let may_lead = |node: NodeId| node == id || self.image().is_active(node);
        let mut records = Vec::new();
        for topic in self.image().topics.iter() {
            for (at, image) in topic.partitions.iter().enumerate() {
                if image.leader.is_none() && image.replicas.contains(&id) {
                    let change = self.change(rules, topic, at, image, &may_lead);
                    records.extend(change.build().map(MetadataRecord::from));
                }
            }
        }
        records
    }

    /// AlterPartition: leaders change the ISRs of their partitions.
    pub fn alter_partition(
        &self,
        rules: &dyn ConfigRules,
        request: &AlterPartitionRequest,
    ) -> Decision<AlterPartitionResponse> {
        let mut decision = Decision { records: Vec::new(), response: AlterPartitionResponse::default() };
        if let Err(refusal) = self.check_broker(request.broker_id, request.broker_epoch) {
            // An unregistered broker has no epoch that could be right.
            decision.response.error_code = match refusal.code {
                ErrorCode::BrokerIdNotRegistered => ErrorCode::StaleBrokerEpoch.code(),
                code => code.code(),
            };
            return decision;
        }
        for topic_data in &request.topics {
            let topic = self.image().topics.by_id(topic_data.topic_id);
            let mut topic_response =
                alter_partition_response::TopicData { topic_id: topic_data.topic_id, ..Default::default() };
            for data in &topic_data.partitions {
                let result = match topic {
                    None => refuse(ErrorCode::UnknownTopicId, "no such topic"),
                    Some(topic) => self.alter_one(rules, NodeId(request.broker_id), topic, data),
                };
                let mut response = alter_partition_response::PartitionData {
                    partition_index: data.partition_index,
                    ..Default::default()
                };
                match result {
                    Ok((image, record)) => {
                        response.leader_id = leader_id(image.leader);
                        response.leader_epoch = image.leader_epoch;
                        response.isr = ids(&image.isr);
                        response.leader_recovery_state = i8::from(image.recovering);
                        response.partition_epoch = image.partition_epoch;
                        decision.records.extend(record.map(MetadataRecord::from));
                    }
                    Err(refusal) => response.error_code = refusal.code.code(),
                }
                topic_response.partitions.push(response);
            }
            decision.response.topics.push(topic_response);
        }
        decision
    }

    fn alter_one(
        &self,
        rules: &dyn ConfigRules,
        sender: NodeId,
        topic: &TopicImage,
        data: &alter_partition_request::PartitionData,
    ) -> Result<(PartitionImage, Option<PartitionChangeRecord>), Refusal> {
        let at = usize::try_from(data.partition_index).unwrap_or(usize::MAX);
        let Some(image) = topic.partitions.get(at) else {
            return refuse(ErrorCode::UnknownTopicOrPartition, "no such partition");
        };
        // A leader that is ahead of this image: we are not the controller any more.
        if data.leader_epoch > image.leader_epoch || data.partition_epoch > image.partition_epoch {
            return refuse(ErrorCode::NotController, "the leader knows newer metadata than this controller");
        }
        if data.leader_epoch < image.leader_epoch {
            return refuse(ErrorCode::FencedLeaderEpoch, "the leader epoch is old");
        }
        if image.leader != Some(sender) {
            return refuse(ErrorCode::InvalidRequest, "only the leader may change the ISR");
        }
        if data.partition_epoch < image.partition_epoch {
            return refuse(ErrorCode::InvalidUpdateVersion, "the partition has changed since");
        }
        // Versions below 3 have ids alone.
        let plain = data.new_isr.iter().map(|id| (*id, -1));
        let with_epochs = data.new_isr_with_epochs.iter().map(|state| (state.broker_id, state.broker_epoch));
        let isr: Vec<(NodeId, i64)> =
            plain.chain(with_epochs).map(|(id, epoch)| (NodeId(id), epoch)).collect();
        let distinct = crate::configs::twice(isr.iter().map(|(node, _)| *node)).is_empty();
        if !distinct
            || !isr.iter().all(|(node, _)| image.replicas.contains(node))
            || !isr.iter().any(|(node, _)| *node == sender)
        {
            return refuse(
                ErrorCode::InvalidRequest,
                "the ISR is not a set of replicas with the leader in it",
            );
        }
        let recovering = data.leader_recovery_state == 1;
        if recovering && (isr.len() > 1 || !image.recovering) {
            return refuse(ErrorCode::InvalidRequest, "a leader that recovers is alone, and was so elected");
        }
        let ineligible = |(node, epoch): &&(NodeId, i64)| match self.image().brokers.get(node) {
            Some(broker) => !broker.is_active() || (*epoch != -1 && *epoch != broker.epoch),
            None => true,
        };
        if isr.iter().any(|member| ineligible(&member)) {
            return refuse(
                ErrorCode::IneligibleReplica,
                "a member is fenced, shutting down, or of another epoch",
            );
        }
        let may_lead = |node: NodeId| self.image().is_active(node);
        let mut change = self.change(rules, topic, at, image, &may_lead);
        change.target_isr = isr.iter().map(|(node, _)| *node).collect();
        change.recovered = !recovering;
        let Some(record) = change.build() else { return Ok(((**image).clone(), None)) };
        match merge(image, &record) {
            Ok(after) => Ok((after, Some(record))),
            Err(error) => refuse(ErrorCode::UnknownServerError, error.to_string()),
        }
    }

    /// ElectLeaders: of the preferred replica (type 0), or of any that is up (type 1). No list means all partitions.
    pub fn elect_leaders(
        &self,
        rules: &dyn ConfigRules,
        request: &ElectLeadersRequest,
    ) -> Decision<ElectLeadersResponse> {
        let mut decision = Decision { records: Vec::new(), response: ElectLeadersResponse::default() };
        let election = match request.election_type {
            0 => Election::Preferred,
            1 => Election::Unclean,
            _ => {
                decision.response.error_code = ErrorCode::InvalidRequest.code();
                return decision;
            }
        };
        let asked: Vec<(String, Option<&TopicImage>, Vec<i32>)> = match &request.topic_partitions {
            Some(list) => list
                .iter()
                .map(|t| {
                    let topic = self.image().topics.by_name(&t.topic);
                    (t.topic.clone(), topic.map(|topic| &**topic), t.partitions.clone())
                })
                .collect(),
            None => {
                let all = |topic: &TopicImage| (0..topic.partitions.len() as i32).collect();
                let sorted: BTreeMap<&str, &TopicImage> =
                    self.image().topics.iter().map(|topic| (&*topic.name, &**topic)).collect();
                sorted.into_iter().map(|(name, topic)| (name.to_owned(), Some(topic), all(topic))).collect()
            }
        };
        for (name, topic, partitions) in asked {
            let mut result = ReplicaElectionResult { topic: name, ..Default::default() };
            for partition_id in partitions {
                let (error_code, error_message) = match self.elect_one(rules, election, topic, partition_id) {
                    Ok(record) => {
                        decision.records.push(record.into());
                        (0, None)
                    }
                    // Where all were asked for, those that need nothing are not told of.
                    Err(refusal)
                        if refusal.code == ErrorCode::ElectionNotNeeded
                            && request.topic_partitions.is_none() =>
                    {
                        continue;
                    }
                    Err(refusal) => (refusal.code.code(), Some(refusal.message)),
                };
                result.partition_result.push(PartitionResult {
                    partition_id,
                    error_code,
                    error_message,
                    ..Default::default()
                });
            }
            if !result.partition_result.is_empty() {
                decision.response.replica_election_results.push(result);
            }
        }
        decision
    }

    fn elect_one(
        &self,
        rules: &dyn ConfigRules,
        election: Election,
        topic: Option<&TopicImage>,
        partition: i32,
    ) -> Result<PartitionChangeRecord, Refusal> {
        let at = usize::try_from(partition).unwrap_or(usize::MAX);
        let found = topic.and_then(|topic| Some((topic, topic.partitions.get(at)?)));
        let Some((topic, image)) = found else {
            return refuse(ErrorCode::UnknownTopicOrPartition, "there is no such partition");
        };
        let needed = match election {
            Election::Preferred => image.leader != image.replicas.first().copied(),
            Election::Unclean | Election::Online => image.leader.is_none(),
        };
        if !needed {
            return refuse(ErrorCode::ElectionNotNeeded, "the partition has the leader that is wished for");
        }
        let may_lead = |node: NodeId| self.image().is_active(node);
        let mut change = self.change(rules, topic, at, image, &may_lead);
        change.election = election;
        let elected = change.build().filter(|record| match election {
            Election::Preferred => image.replicas.first().is_some_and(|first| first.0 == record.leader),
            Election::Unclean | Election::Online => record.leader >= 0,
        });
        elected.ok_or_else(|| match election {
            Election::Preferred => Refusal::new(
                ErrorCode::PreferredLeaderNotAvailable,
                "the preferred replica is down or not in sync",
            ),
            Election::Unclean | Election::Online => {
                Refusal::new(ErrorCode::EligibleLeadersNotAvailable, "no replica of the partition is up")
            }
        })
    }

    /// The leader and epochs of a partition, for the answer to a decision that changed it.
    pub fn partition_state(&self, topic_id: Uuid, partition: i32) -> Option<&PartitionImage> {
        self.image().topics.partition(topic_id, partition).map(|image| &**image)
    }
}
