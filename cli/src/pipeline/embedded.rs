//! The broker that a pipeline talks to: one inside this process, reached without a socket, or a cluster outside. Never
//! enters: the pipeline.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use millstream_client::{ClientConfig, Cluster, Connector, Stream};
use millstream_server::{Config, Node, NodeOptions};
use millstream_types::MemoryBudget;

/// A broker, or the way to one.
pub struct Broker {
    node: Option<Arc<Node>>,
    cluster: Arc<Cluster>,
}

/// Connects inside the process, whatever the address.
struct Inside(Weak<Node>);

impl Connector for Inside {
    fn connect<'a>(
        &'a self,
        _address: &'a str,
    ) -> Pin<Box<dyn Future<Output = std::io::Result<Stream>> + Send + 'a>> {
        let stopped = || std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "the broker has stopped");
        Box::pin(async move { self.0.upgrade().map(|node| node.connect()).ok_or_else(stopped) })
    }
}

impl Broker {
    /// Starts one in this process. `listen` lets others in too.
    pub async fn start(
        listen: Option<String>,
        data: PathBuf,
        settings: &[String],
        memory: &MemoryBudget,
    ) -> Result<Broker, String> {
        std::fs::create_dir_all(&data).map_err(|error| format!("making {}: {error}", data.display()))?;
        let config = Config::from_pairs(settings)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        let data = data.join("broker");
        let memory = memory.clone();
        let node = Node::start(NodeOptions { listen, data, config, memory }).await;
        let node = node.map_err(|error| error.to_string())?;
        let node = Arc::new(node);
        let connector = Arc::new(Inside(Arc::downgrade(&node)));
        let client = ClientConfig::new("inside:0");
        let cluster = Cluster::with_connector(client, connector).map_err(|error| error.to_string())?;
        Ok(Broker { node: Some(node), cluster })
    }

    /// A cluster outside.
    pub fn outside(bootstrap: &str) -> Result<Broker, String> {
        let cluster = Cluster::new(ClientConfig::new(bootstrap)).map_err(|error| error.to_string())?;
        Ok(Broker { node: None, cluster })
    }

    /// Where it listens, where it does.
    pub fn address(&self) -> Option<String> {
        self.node.as_ref()?.address().map(str::to_owned)
    }

    /// Itself, where it is in this process.
    pub fn inside(&self) -> Option<&Arc<millstream_server::Broker>> {
        self.node.as_deref().map(Node::broker)
    }

    /// The way to it.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Stops it, if it is ours.
    pub async fn stop(self) {
        drop(self.cluster);
        if let Some(node) = self.node
            && let Ok(node) = Arc::try_unwrap(node)
        {
            node.stop().await;
        }
    }
}

/// Waits for SIGTERM or SIGINT.
pub async fn stop_asked() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}
