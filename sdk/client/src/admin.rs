//! Managing a cluster: topics, partitions, configs, groups, offsets, records, transactions. Every call sends one request to each broker
//! that has to know, and tries again what the error table calls retriable. Owns no state.
//! Never enters: records themselves.

mod groups;
mod topics;
mod transactions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_types::NodeId;
use millstream_wire::Request;
use millstream_wire::message::describe_cluster_request::DescribeClusterRequest;

use crate::cluster::{Broker, Cluster};
use crate::error::{ClientError, Result};

pub use groups::{GroupDescription, GroupListing, GroupMember};
pub use topics::{ConfigEntry, ConfigOp, ConfigResource, NewTopic, TopicDescription};
pub use transactions::{ActiveProducer, TransactionDescription, TransactionListing};

/// What DescribeCluster answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// The cluster's id.
    pub cluster_id: String,
    /// The broker that requests to the controller may be sent to.
    pub controller: NodeId,
    /// The brokers.
    pub brokers: Vec<Broker>,
}

/// Manages a cluster.
#[derive(Clone, Debug)]
pub struct Admin {
    cluster: Arc<Cluster>,
}

impl Admin {
    /// An admin of `cluster`.
    pub fn new(cluster: &Arc<Cluster>) -> Admin {
        Admin { cluster: cluster.clone() }
    }

    /// The brokers and the cluster's id.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription> {
        let request = DescribeClusterRequest::default();
        self.retrying(|| async {
            let response = self.cluster.any_broker(&request).await?;
            let message = response.error_message.as_deref();
            ClientError::check_with("describing the cluster", response.error_code, message)?;
            let broker =
                |b: &millstream_wire::message::describe_cluster_response::DescribeClusterBroker| Broker {
                    node: NodeId(b.broker_id),
                    address: format!("{}:{}", b.host, b.port).into(),
                    rack: b.rack.clone(),
                };
            Ok(ClusterDescription {
                cluster_id: response.cluster_id.clone(),
                controller: NodeId(response.controller_id),
                brokers: response.brokers.iter().map(broker).collect(),
            })
        })
        .await
    }

    fn timeout_ms(&self) -> i32 {
        self.cluster.config().request_timeout.as_millis().min(i32::MAX as u128) as i32
    }

    fn within(&self) -> Duration {
        self.cluster.config().api_timeout
    }

    /// Tries again while it fails with what is worth it.
    async fn retrying<T, F: Future<Output = Result<T>>>(&self, attempt: impl Fn() -> F) -> Result<T> {
        let start = Instant::now();
        let mut failures = 0;
        loop {
            match attempt().await {
                Err(error) if error.is_retriable() && start.elapsed() < self.within() => {
                    failures += 1;
                    self.cluster.pause(failures).await;
                }
                result => return result,
            }
        }
    }

    /// Sends to any broker, and tries again while `check` of its answer fails with what is worth it.
    async fn any<R: Request, T>(&self, request: &R, check: impl Fn(R::Response) -> Result<T>) -> Result<T> {
        self.retrying(|| async { check(self.cluster.any_broker(request).await?) }).await
    }
}
