//! Brokers: registration, heartbeats, fencing, controlled shutdown. A broker registers fenced, is unfenced when it
//! has read the metadata up to its own registration, and is fenced again when it is not heard of for a session.
//!
//! Legal transitions of a broker:
//! - `(none) -> Fenced`: registers. `any -> Fenced`: registers anew, with a new epoch.
//! - `Fenced -> Active`: a heartbeat that wants no fence and is caught up.
//! - `Active -> Fenced`: a heartbeat asks for it, or the session ends.
//! - `Active -> ShuttingDown`: a heartbeat asks for it while the broker leads; its leaderships move.
//! - `Active | ShuttingDown -> Fenced` with `should_shut_down`: it leads nothing any more.
//! - `any -> (none)`: unregistered.
//!
//! Never enters: wall clocks (sessions are measured by a clock that does not jump).

use millstream_types::{ErrorCode, Millis, NodeId, Offset};
use millstream_wire::message::broker_heartbeat_request::BrokerHeartbeatRequest;
use millstream_wire::message::broker_heartbeat_response::BrokerHeartbeatResponse;
use millstream_wire::message::broker_registration_request::BrokerRegistrationRequest;
use millstream_wire::message::broker_registration_response::BrokerRegistrationResponse;
use millstream_wire::message::unregister_broker_request::UnregisterBrokerRequest;
use millstream_wire::message::unregister_broker_response::UnregisterBrokerResponse;
use millstream_wire::record::metadata::{
    BrokerRegistrationChangeRecord, MetadataRecord, RegisterBrokerRecord, UnregisterBrokerRecord,
    register_broker_record,
};

use crate::configs::ConfigRules;
use crate::controller::{Controller, Decision};
use crate::error::{Refusal, refuse};
use crate::features::SUPPORTED;
use crate::image::BrokerImage;
use crate::replicas::Departure;

/// When a broker was last heard, in soft state: a new controller knows nothing, and waits a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heartbeat {
    last_ms: Millis,
    /// Whether this controller has heard it, in this epoch.
    heard_epoch: Option<i64>,
}

impl Heartbeat {
    pub(crate) fn unheard(now: Millis) -> Heartbeat {
        Heartbeat { last_ms: now, heard_epoch: None }
    }
}

impl Controller {
    fn session_is_valid(&self, now: Millis, broker: &BrokerImage) -> bool {
        self.heartbeats.get(&broker.id).is_some_and(|heartbeat| {
            heartbeat.heard_epoch == Some(broker.epoch)
                && now - heartbeat.last_ms <= self.config.session_timeout_ms
        })
    }

    /// BrokerRegistration. The broker's epoch is `next_offset`, the offset that the decision's first record gets.
    pub fn register_broker(
        &self,
        now: Millis,
        rules: &dyn ConfigRules,
        next_offset: Offset,
        request: &BrokerRegistrationRequest,
    ) -> Result<Decision<BrokerRegistrationResponse>, Refusal> {
        self.check_registration(now, request)?;
        let id = NodeId(request.broker_id);
        let mut records = Vec::new();
        let mut broker_epoch = next_offset;
        let mut fenced = true;
        if let Some(old) = self.image().brokers.get(&id) {
            if old.incarnation_id == request.incarnation_id {
                // The same process asks again, since it did not hear the answer.
                broker_epoch = old.epoch;
                fenced = old.fenced;
            } else {
                let clean = request.previous_broker_epoch == old.epoch;
                let departure = if clean { Departure::Clean(id) } else { Departure::Unclean(id) };
                records = self.departure_records(rules, departure);
            }
        }
        let record = RegisterBrokerRecord {
            broker_id: request.broker_id,
            incarnation_id: request.incarnation_id,
            broker_epoch,
            end_points: request
                .listeners
                .iter()
                .map(|listener| register_broker_record::BrokerEndpoint {
                    name: listener.name.clone(),
                    host: listener.host.clone(),
                    port: listener.port,
                    security_protocol: listener.security_protocol,
                    ..Default::default()
                })
                .collect(),
            features: request
                .features
                .iter()
                .map(|feature| register_broker_record::BrokerFeature {
                    name: feature.name.clone(),
                    min_supported_version: feature.min_supported_version,
                    max_supported_version: feature.max_supported_version,
                    ..Default::default()
                })
                .collect(),
            rack: request.rack.clone(),
            fenced,
            log_dirs: request.log_dirs.clone(),
            ..Default::default()
        };
        records.push(record.into());
        Ok(Decision { records, response: BrokerRegistrationResponse { broker_epoch, ..Default::default() } })
    }

    fn check_registration(&self, now: Millis, request: &BrokerRegistrationRequest) -> Result<(), Refusal> {
        let id = request.broker_id;
        if request.cluster_id != self.config.cluster_id {
            return refuse(
                ErrorCode::InconsistentClusterId,
                format!(
                    "broker {id} belongs to the cluster {}, this is {}; check its bootstrap addresses",
                    request.cluster_id, self.config.cluster_id
                ),
            );
        }
        if id < 0 || request.listeners.is_empty() {
            return refuse(
                ErrorCode::InvalidRegistration,
                format!("broker {id} names no listener, or has a bad id"),
            );
        }
        for (level_of, level) in self.image().features.iter() {
            let supported = request.features.iter().find(|feature| feature.name == *level_of);
            let (min, max) = supported.map_or((0, 0), |f| (f.min_supported_version, f.max_supported_version));
            if *level < min || *level > max {
                return refuse(
                    ErrorCode::UnsupportedVersion,
                    format!(
                        "broker {id} supports {level_of} from {min} to {max}, but the cluster is at {level}"
                    ),
                );
            }
        }
        let taken = |other: &&std::sync::Arc<BrokerImage>| {
            other.id.0 != id && other.log_dirs.iter().any(|dir| request.log_dirs.contains(dir))
        };
        if let Some(other) = self.image().brokers.values().find(taken) {
            return refuse(
                ErrorCode::InvalidRegistration,
                format!("broker {id} has a log directory of broker {}; was a directory copied?", other.id),
            );
        }
        if let Some(old) = self.image().brokers.get(&NodeId(id))
            && old.incarnation_id != request.incarnation_id
            && self.session_is_valid(now, old)
            // The same directories are locked by one process at a time: the old one is gone, and there is no need
            // to wait for the end of its session.
            && (old.log_dirs.is_empty() || old.log_dirs != request.log_dirs)
        {
            return refuse(
                ErrorCode::DuplicateBrokerRegistration,
                format!(
                    "another broker {id} is running; if this one has just been restarted, try again in a while"
                ),
            );
        }
        Ok(())
    }

    /// BrokerHeartbeat. Errors: BROKER_ID_NOT_REGISTERED, STALE_BROKER_EPOCH.
    pub fn heartbeat(
        &mut self,
        now: Millis,
        rules: &dyn ConfigRules,
        request: &BrokerHeartbeatRequest,
    ) -> Result<Decision<BrokerHeartbeatResponse>, Refusal> {
        let broker = self.check_broker(request.broker_id, request.broker_epoch)?.clone();
        self.heartbeats.insert(broker.id, Heartbeat { last_ms: now, heard_epoch: Some(broker.epoch) });
        // The registration is in the log at the offset that is the epoch.
        let is_caught_up = request.current_metadata_offset >= broker.epoch;
        let leads = || self.leads_anything(broker.id);
        let mut response =
            BrokerHeartbeatResponse { is_caught_up, is_fenced: broker.fenced, ..Default::default() };
        let mut records = Vec::new();
        if broker.fenced {
            if request.want_shut_down {
                response.should_shut_down = true;
            } else if !request.want_fence && is_caught_up {
                response.is_fenced = false;
                records = self.unfence_records(rules, &broker);
            }
        } else if request.want_shut_down && leads() {
            if !broker.in_controlled_shutdown {
                records.push(registration_change(&broker, 0, 1));
                records.extend(self.departure_records(rules, Departure::ShuttingDown(broker.id)));
            }
        } else if request.want_shut_down || request.want_fence {
            response.is_fenced = true;
            response.should_shut_down = request.want_shut_down;
            records = self.fence_records(rules, &broker);
        }
        Ok(Decision { records, response })
    }

    fn fence_records(&self, rules: &dyn ConfigRules, broker: &BrokerImage) -> Vec<MetadataRecord> {
        let mut records = vec![registration_change(broker, 1, 0)];
        records.extend(self.departure_records(rules, Departure::Clean(broker.id)));
        records
    }

    fn unfence_records(&self, rules: &dyn ConfigRules, broker: &BrokerImage) -> Vec<MetadataRecord> {
        let mut records = vec![registration_change(broker, -1, 0)];
        records.extend(self.arrival_records(rules, broker.id));
        records
    }

    /// Fences brokers whose session has ended, one for each call; call again until there are no records, after
    /// replaying them.
    pub fn tick(&self, now: Millis, rules: &dyn ConfigRules) -> Vec<MetadataRecord> {
        let late = |broker: &&std::sync::Arc<BrokerImage>| {
            !broker.fenced
                && self
                    .heartbeats
                    .get(&broker.id)
                    .is_some_and(|heard| now - heard.last_ms > self.config.session_timeout_ms)
        };
        match self.image().brokers.values().find(late) {
            Some(broker) => self.fence_records(rules, broker),
            None => Vec::new(),
        }
    }

    /// When [`Controller::tick`] is next of use.
    pub fn next_deadline(&self) -> Option<Millis> {
        let active = self
            .heartbeats
            .iter()
            .filter(|(id, _)| self.image().brokers.get(id).is_some_and(|broker| !broker.fenced));
        active.map(|(_, heartbeat)| heartbeat.last_ms + self.config.session_timeout_ms + 1).min()
    }

    /// UnregisterBroker: an operator takes a broker that will not come back out of the cluster.
    pub fn unregister_broker(
        &self,
        rules: &dyn ConfigRules,
        request: &UnregisterBrokerRequest,
    ) -> Result<Decision<UnregisterBrokerResponse>, Refusal> {
        let Some(broker) = self.image().brokers.get(&NodeId(request.broker_id)) else {
            let message = format!("broker {} is not registered", request.broker_id);
            return refuse(ErrorCode::BrokerIdNotRegistered, message);
        };
        let mut records = self.departure_records(rules, Departure::Clean(broker.id));
        let record = UnregisterBrokerRecord {
            broker_id: broker.id.0,
            broker_epoch: broker.epoch,
            ..Default::default()
        };
        records.push(record.into());
        Ok(Decision { records, response: UnregisterBrokerResponse::default() })
    }
}

/// The features that a broker of this version names when it registers.
pub fn supported_features() -> Vec<millstream_wire::message::broker_registration_request::Feature> {
    SUPPORTED
        .iter()
        .map(|feature| millstream_wire::message::broker_registration_request::Feature {
            name: feature.name.to_owned(),
            min_supported_version: feature.min,
            max_supported_version: feature.max,
            ..Default::default()
        })
        .collect()
}

fn registration_change(broker: &BrokerImage, fenced: i8, in_controlled_shutdown: i8) -> MetadataRecord {
    BrokerRegistrationChangeRecord {
        broker_id: broker.id.0,
        broker_epoch: broker.epoch,
        fenced,
        in_controlled_shutdown,
        ..Default::default()
    }
    .into()
}
