//! A broker inside the test's process, over a real socket. It can be stopped and started again on its data; a crash
//! cannot be had in here, for that there is [`crate::Process`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_client::{ClientConfig, Cluster};
use millstream_server::{Config, Node, NodeOptions};
use millstream_types::MemoryBudget;
use tempfile::TempDir;

use crate::SMALL;

/// See the module.
pub struct InProcess {
    node: Option<Node>,
    data: PathBuf,
    settings: Vec<String>,
    _own: Option<TempDir>,
}

impl InProcess {
    /// A small broker with `settings` (`key=value`) over the small ones.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start(settings: &[&str]) -> InProcess {
        let own = tempfile::tempdir().unwrap_or_else(|e| panic!("making a directory for a broker: {e}"));
        let mut broker = InProcess::on(own.path(), settings).await;
        broker._own = Some(own);
        broker
    }

    /// As [`InProcess::start`], on a directory of the caller's.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn on(data: &Path, settings: &[&str]) -> InProcess {
        let settings: Vec<String> = SMALL.iter().chain(settings).map(|s| (*s).to_owned()).collect();
        let node = start(data, &settings).await;
        InProcess { node: Some(node), data: data.to_owned(), settings, _own: None }
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        self.node().address().unwrap_or_default()
    }

    /// The broker itself, for what no client can see.
    ///
    /// # Panics
    /// Where it is stopped.
    pub fn node(&self) -> &Node {
        self.node.as_ref().unwrap_or_else(|| panic!("the test's broker is stopped"))
    }

    /// Where its data is.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A client of it.
    ///
    /// # Panics
    /// Never: the settings are good.
    pub fn cluster(&self) -> Arc<Cluster> {
        cluster(self.address())
    }

    /// Stops it cleanly.
    pub async fn stop(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop().await;
        }
    }

    /// Starts it again on its data, after a stop if it runs; clients have to find it anew.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.node = Some(start(&self.data, &self.settings).await);
    }

    /// Starts it again with further settings.
    ///
    /// # Panics
    /// As [`InProcess::restart`].
    pub async fn restart_with(&mut self, settings: &[&str]) {
        self.settings.extend(settings.iter().map(|s| (*s).to_owned()));
        self.restart().await;
    }
}

async fn start(data: &Path, settings: &[String]) -> Node {
    let config = Config::from_pairs(settings).unwrap_or_else(|e| panic!("a test's settings: {e:?}"));
    let options = NodeOptions {
        listen: Some("127.0.0.1:0".to_owned()),
        data: data.to_owned(),
        config,
        memory: MemoryBudget::unlimited(),
    };
    Node::start(options).await.unwrap_or_else(|e| panic!("starting a test's broker: {e}"))
}

/// A client of the broker at `address`.
///
/// # Panics
/// Where the address is empty.
pub fn cluster(address: &str) -> Arc<Cluster> {
    Cluster::new(ClientConfig::new(address)).unwrap_or_else(|e| panic!("a test's client: {e}"))
}
