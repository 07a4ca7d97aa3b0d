//! What every part of the broker shares: its settings, clocks, the newest metadata image, the replicas it holds, and
//! the ways to its controller and coordinators. Never enters: what a request does with them (`handler/`).

use std::sync::Arc;

use millstream_metadata::{Changes, MetadataImage, ResourceType};
use millstream_net::ByteBudget;
use millstream_types::topic::{CONSUMER_OFFSETS, TRANSACTION_STATE};
use millstream_types::{Clock, NodeId, SeededRng, Uuid};
use parking_lot::{Mutex, RwLock};

use crate::config::Config;
use crate::controller::ControllerHandle;
use crate::fetch_session::FetchSessions;
use crate::group_task::Groups;
use crate::metrics::Metrics;
use crate::partition::Partition;
use crate::replicas::{Led, Replicas};
use crate::timer::Timer;
use crate::txn_task::Transactions;

/// The name of the one listener.
pub const LISTENER: &str = "PLAINTEXT";

/// See the module.
pub struct Broker {
    /// This node.
    pub me: NodeId,
    /// The cluster's id.
    pub cluster_id: String,
    /// Settings.
    pub config: Config,
    /// Clocks.
    pub clock: Arc<dyn Clock>,
    /// Time-outs of waiting requests.
    pub timer: Arc<Timer>,
    /// Bytes that requests under way may hold.
    pub budget: ByteBudget,
    /// Replicas on this node's disks.
    pub replicas: Replicas,
    /// The metadata log's leader.
    pub controller: ControllerHandle,
    /// The group coordinator.
    pub groups: Groups,
    /// The transaction coordinator.
    pub transactions: Transactions,
    /// Incremental fetch sessions.
    pub sessions: FetchSessions,
    /// Counters.
    pub metrics: Metrics,
    /// Where clients are told to connect.
    pub advertised: (String, u16),
    pub(crate) image: RwLock<Arc<MetadataImage>>,
    /// Who waits for the image to change.
    pub(crate) image_changed: tokio::sync::watch::Sender<i64>,
    pub(crate) applying: Mutex<()>,
    pub(crate) rng: Mutex<SeededRng>,
}

impl Broker {
    /// The newest committed image.
    pub fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.image.read())
    }

    /// The replica of a partition by its topic's id.
    pub fn partition(&self, topic_id: Uuid, partition: i32) -> Option<Arc<Partition>> {
        self.replicas.get(topic_id, partition)
    }

    /// The replica of a partition by its topic's name.
    pub fn partition_by_name(&self, topic: &str, partition: i32) -> Option<Arc<Partition>> {
        self.replicas.get_by_name(topic, partition)
    }

    /// Takes up a new image: replicas first, then who leads what, then everybody else.
    pub(crate) fn apply(&self, image: Arc<MetadataImage>, changes: &Changes) {
        let _one_at_a_time = self.applying.lock();
        let mut led = self.replicas.apply(&image, changes, |topic| self.topic_settings(&image, topic));
        let offset = image.provenance.end_offset;
        let topics = !changes.topics_created.is_empty()
            || !changes.topics_deleted.is_empty()
            || !changes.partitions.is_empty();
        *self.image.write() = Arc::clone(&image);
        led.extend(self.replicas.remove_deleted(changes, |topic| self.topic_settings(&image, topic)));
        for change in led {
            self.take_up(change);
        }
        if topics {
            self.groups.topics_changed();
        }
        self.image_changed.send_replace(offset);
    }

    fn take_up(&self, led: Led) {
        match led {
            Led::Leads(partition, epoch) => match &*partition.name.topic {
                CONSUMER_OFFSETS => self.groups.lead(partition.name.partition, epoch, Arc::clone(&partition)),
                TRANSACTION_STATE => {
                    self.transactions.lead(partition.name.partition, epoch, Arc::clone(&partition))
                }
                _ => {}
            },
            Led::Resigns(name) => match &*name.topic {
                CONSUMER_OFFSETS => self.groups.resign(name.partition),
                TRANSACTION_STATE => self.transactions.resign(name.partition),
                _ => {}
            },
        }
    }

    /// A topic's settings: its own over the broker's defaults.
    pub fn topic_settings(&self, image: &MetadataImage, topic: &str) -> millstream_log::LogConfig {
        let own = image.config(ResourceType::Topic, topic);
        let mut pairs: Vec<(&str, &str)> = self.config.topic_defaults().collect();
        pairs.extend(own.into_iter().flat_map(|map| map.iter()).map(|(k, v)| (k.as_str(), v.as_str())));
        // Each setting was checked when it was made; one that a version no longer takes is left at its default.
        let mut settings = millstream_log::LogConfig::default();
        for (name, value) in pairs {
            if let Err(error) = settings.set(name, value) {
                tracing::warn!(topic, %error, "a topic's setting is not taken");
            }
        }
        settings
    }

    /// Waits until the image has read the metadata log up to `offset`.
    pub async fn image_at(&self, offset: i64) {
        let mut changed = self.image_changed.subscribe();
        let _ = changed.wait_for(|at| *at >= offset).await;
    }
}
