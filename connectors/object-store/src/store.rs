//! What the sink and savepoints need of a store, and nothing else: files written out of sight, entries created once, files made
//! visible again and again with one effect. Two kinds: a folder, and whatever speaks `object_store`'s multipart traits.

pub mod guarded_http;
pub mod local;
pub mod remote;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use millstream_connector::{Context, SinkError, async_trait};

use crate::config::ObjectStoreSinkConfig;
use crate::entry::{FilePlace, Staged};

/// A file that is being written out of sight.
#[derive(Debug)]
pub struct Upload {
    /// Its path once visible, under the sink's URL.
    pub path: String,
    /// Bytes written so far.
    pub bytes: u64,
    /// Where it is meanwhile.
    pub staged: Staged,
    /// Bytes that are not a whole part yet.
    pub pending: Vec<u8>,
}

/// Who got the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// This caller.
    Here,
    /// It was there; another's, or this caller's own whose answer was lost.
    Before,
}

/// A store.
#[async_trait]
pub trait Store: Send + Sync {
    /// Begins a file. `aside` is a name that no other upload has.
    async fn begin(&self, path: &str, aside: &str) -> Result<Upload, SinkError>;

    /// Adds bytes.
    async fn append(&self, upload: &mut Upload, bytes: Vec<u8>) -> Result<(), SinkError>;

    /// No more bytes: everything is durable, and still out of sight.
    async fn seal(&self, upload: &mut Upload) -> Result<(), SinkError>;

    /// Makes a sealed file visible and durable under its path. Repeating it changes nothing.
    async fn publish(&self, file: &FilePlace) -> Result<(), SinkError>;

    /// Throws an upload away, as far as that works.
    async fn discard(&self, staged: &Staged, path: &str);

    /// Creates an object that must not exist, durable when the call returns.
    async fn create(&self, folder: &str, name: &str, content: Bytes) -> Result<Created, SinkError>;

    /// Writes an object, whether or not it exists, durable when the call returns.
    async fn overwrite(&self, folder: &str, name: &str, content: Bytes) -> Result<(), SinkError>;

    /// An object's content; `None` when there is none.
    async fn read(&self, folder: &str, name: &str) -> Result<Option<Bytes>, SinkError>;

    /// The names in a folder that sort after `after`, in order.
    async fn list(&self, folder: &str, after: &str) -> Result<Vec<String>, SinkError>;

    /// Removes an object, for good when the call returns; one that is not there is no error.
    async fn remove(&self, folder: &str, name: &str) -> Result<(), SinkError>;

    /// Removes files put aside whose names begin with `prefix` and sort before `below`: nobody can commit them any more.
    async fn sweep(&self, prefix: &str, below: &str) -> Result<(), SinkError>;
}

/// The store at the config's URL. Relative folders are the pipeline's own, `root`.
pub fn connect(
    config: &ObjectStoreSinkConfig,
    root: &Path,
    context: &Context,
) -> Result<Arc<dyn Store>, SinkError> {
    if let Some(folder) = config.url.strip_prefix("file://") {
        if !folder.starts_with('/') {
            return Err(SinkError::Setup(format!(
                "reading `url: {}`: a file URL has three slashes and a whole path, such as file:///data/lake",
                config.url
            )));
        }
        return Ok(Arc::new(local::LocalStore::new(folder.into())));
    }
    match config.url.split_once("://") {
        Some(("s3", _)) => remote::s3(config, context),
        Some((scheme, _)) => {
            Err(SinkError::Setup(format!("reading `url`: the scheme {scheme} is none of s3 and file")))
        }
        None => Ok(Arc::new(local::LocalStore::new(root.join(&config.url)))),
    }
}
