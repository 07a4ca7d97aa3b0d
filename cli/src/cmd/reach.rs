//! How a command reaches a cluster, and what it says where that or a request fails: every error ends with what to do next.

use std::sync::Arc;
use std::time::Duration;

use millstream_client::cluster::Topic;
use millstream_client::{Admin, ClientConfig, ClientError, Cluster};
use millstream_types::ErrorCode;

use crate::exit::{Exit, Failure};

/// Which cluster, and how long to wait for it.
#[derive(Clone, Debug, clap::Args)]
pub struct Reach {
    /// A broker to ask first; several are separated by commas
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    pub bootstrap: String,
    /// How many seconds a request may take, further attempts included
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
}

impl Reach {
    /// The cluster. One request is made, so that a broker that is not there is found now, not after all attempts.
    pub async fn cluster(&self) -> Result<Arc<Cluster>, Failure> {
        let mut config = ClientConfig::new(&self.bootstrap);
        config.client_id = "millstream-cli".to_owned();
        config.api_timeout = Duration::from_secs(self.timeout);
        config.request_timeout = config.request_timeout.min(config.api_timeout);
        config.connect_timeout = config.connect_timeout.min(config.api_timeout);
        let cluster = Cluster::new(config).map_err(|error| self.failure(error))?;
        cluster.refresh().await.map_err(|error| self.failure(error))?;
        Ok(cluster)
    }

    /// The cluster, and an admin of it.
    pub async fn admin(&self) -> Result<(Arc<Cluster>, Admin), Failure> {
        let cluster = self.cluster().await?;
        let admin = Admin::new(&cluster);
        Ok((cluster, admin))
    }

    /// A topic that has to be there. Another broker may hear late of one that was created just now, so it has a second.
    pub async fn topic(&self, cluster: &Cluster, name: &str) -> Result<Topic, Failure> {
        cluster.topic(&name.into(), Duration::from_secs(1)).await.map_err(|error| self.failure(error))
    }

    /// An error of the client in words for a person.
    pub fn failure(&self, error: ClientError) -> Failure {
        let bootstrap = &self.bootstrap;
        let hint = match &error {
            ClientError::Connection { .. } | ClientError::Timeout { .. } => format!(
                "; is a broker running at {bootstrap}? start one with `millstream broker --listen {bootstrap} --data \
                 DIR`, or name another with --bootstrap"
            ),
            _ => error.code().and_then(next_step).map(|step| format!("; {step}")).unwrap_or_default(),
        };
        let exit = match (&error, error.code()) {
            (ClientError::Config(_), _) => Exit::Usage,
            (_, Some(code)) if is_bad_request(code) => Exit::Usage,
            _ => Exit::Failure,
        };
        Failure { exit, text: format!("{error}{hint}") }
    }
}

/// What a person can do about a code.
fn next_step(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::UnknownTopicOrPartition => {
            "`millstream topic list` shows the topics there are, `millstream topic create` makes one"
        }
        ErrorCode::TopicAlreadyExists => {
            "leave it with --if-not-exists, or change it with `millstream topic alter` and `add-partitions`"
        }
        ErrorCode::InvalidReplicationFactor => "ask for no more replicas than there are brokers",
        ErrorCode::NonEmptyGroup => {
            "stop its consumers first; `millstream group describe` shows which they are"
        }
        ErrorCode::GroupIdNotFound => "`millstream group list` shows the groups there are",
        ErrorCode::MessageTooLarge => "split the record, or raise max.message.bytes of the topic",
        _ => return None,
    })
}

/// Whether the request itself is at fault, so that no later attempt can succeed.
fn is_bad_request(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::InvalidTopicException
            | ErrorCode::InvalidPartitions
            | ErrorCode::InvalidConfig
            | ErrorCode::InvalidReplicationFactor
            | ErrorCode::InvalidRequest
            | ErrorCode::InvalidGroupId
    )
}
