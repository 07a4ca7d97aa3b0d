//! Snapshots of state in an object store, beside the changelogs (docs/adr/0070-snapshots-in-an-object-store.md). What a commit has left of
//! some key groups is copied, written to the store beside the work, and counts from the commit whose mark in the positions topic names it
//! with the offset of the changelog that it covers; what lies before that offset is deleted. A reader takes the snapshot as if it lay in the
//! changelog there (`millstream_engine::state::layers`).
//!
//! Invariants: SS-1 a mark names a snapshot only when all of it is in the store (`taking.rs`); SS-2 it is of committed state alone
//! (`taking.rs`); SS-3 what is read of the store is, to the byte, what was written, or is an error: state never begins without it
//! (`object.rs`, `reading.rs`); SS-4 an object is deleted only when no mark has named it for the grace, and one that no mark has named for
//! half of it yet never will be (`sweep.rs`, `taking.rs`). Never enters: which kind of store it is, what state is.

mod object;
pub mod reading;
mod sweep;
pub mod taking;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millstream_connector::SinkError;
use millstream_spec::Pipeline;
use millstream_types::TopicPartition;

use crate::connectors::Maker;
use crate::error::WorkerError;
use crate::savepoint::Objects;
use object::{Manifest, Wrong};

/// How long a store may take to answer at the start, where its own client would try again for minutes.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// The folder of what is written to see whether the store can be written to.
const TRIES: &str = "tries";

/// A store of snapshots.
pub struct Snapshots {
    objects: Box<dyn Objects>,
    /// As the file names it.
    url: String,
    /// Whether snapshots are taken; else they are only read.
    pub takes: bool,
    /// How long what nothing names any more is left.
    pub grace: Duration,
}

/// The store that a pipeline names, if it does.
pub fn open(pipeline: &Pipeline, maker: &Maker<'_>) -> Result<Option<Arc<Snapshots>>, WorkerError> {
    let Some(named) = pipeline.defaults.snapshots.as_ref().filter(|_| !maker.is_on_bench()) else {
        return Ok(None);
    };
    let s3 = &named.s3;
    let secret = |secret: &Option<millstream_types::Secret>| {
        secret.as_ref().map(|secret| String::from_utf8_lossy(secret.expose()).into_owned())
    };
    if s3.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://")) && !s3.allow_http {
        return Err(WorkerError::Setup(
            "`defaults.snapshots.s3.endpoint` is without TLS: name one with https://, or say `allow_http: true`".to_owned(),
        ));
    }
    let store = maker.store("snapshots", &named.url.value, |name| match name {
        "AWS_REGION" => s3.region.clone(),
        "AWS_ENDPOINT_URL" => s3.endpoint.clone(),
        "AWS_ACCESS_KEY_ID" => secret(&s3.access_key_id),
        "AWS_SECRET_ACCESS_KEY" => secret(&s3.secret_access_key),
        "AWS_SESSION_TOKEN" => secret(&s3.session_token),
        _ => None,
    });
    let store = store.map_err(|error| error.doing("opening `defaults.snapshots`"))?;
    let grace = Duration::from_millis(named.grace_ms);
    Ok(Some(Arc::new(Snapshots::new(Box::new(store), &named.url.value, named.take, grace))))
}

impl Snapshots {
    /// A store that is called `url`.
    pub fn new(objects: Box<dyn Objects>, url: &str, takes: bool, grace: Duration) -> Snapshots {
        Snapshots { objects, url: url.to_owned(), takes, grace }
    }

    /// How the file names it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Writes, reads and removes an object, so that a store that is not there, or refuses, is told before the first row. `name` is one
    /// that nobody else has.
    pub async fn try_out(&self, name: &str) -> Result<(), WorkerError> {
        let tried = async {
            if !self.takes {
                return self.objects.list(TRIES).await.map(drop);
            }
            let content = Bytes::from_static(b"whether snapshots can be written here\n");
            self.objects.overwrite(TRIES, name, content.clone()).await?;
            let found = self.objects.read(TRIES, name).await?;
            self.objects.remove(TRIES, name).await?;
            match found == Some(content) {
                true => Ok(()),
                false => Err(SinkError::Setup("what was written is not what is read".to_owned())),
            }
        };
        let answered = tokio::time::timeout(ANSWER_MAX, tried).await;
        let silent =
            || SinkError::transient(format!("it has not answered within {} s", ANSWER_MAX.as_secs()));
        answered.unwrap_or_else(|_| Err(silent())).map_err(|error| {
            WorkerError::Setup(format!(
                "trying out `defaults.snapshots` at {}: {error}. Snapshots of state are written and read there: see that it can be reached \
                 and that its keys allow to read, write, list and delete",
                self.url
            ))
        })
    }

    /// Writes an object, whose name is nobody else's.
    async fn write(&self, folder: &str, name: &str, content: Bytes) -> Result<(), SinkError> {
        // One that is there is this one: its answer was lost.
        self.objects.create(folder, name, content).await.map(drop)
    }

    /// An object as it was written (SS-3).
    async fn read(&self, folder: &str, name: &str) -> Result<Bytes, Unread> {
        let found = self.objects.read(folder, name).await?;
        object::check(name, found.as_ref())?;
        Ok(found.unwrap_or_default())
    }

    async fn manifest(&self, folder: &str, name: &str) -> Result<Manifest, Unread> {
        let found = self.read(folder, name).await?;
        Ok(Manifest::decode(&found)?)
    }
}

/// The folder of a partition of a changelog: with the broker's id of the topic, since one that is made anew is another.
fn folder(at: &TopicPartition, topic_id: &str) -> String {
    format!("{}~{topic_id}/{}", at.topic, at.partition)
}

/// Why an object could not be read.
#[derive(Debug)]
enum Unread {
    /// It is missing, or not what was written.
    Wrong(Wrong),
    /// The store has not given it.
    Store(SinkError),
}

impl From<Wrong> for Unread {
    fn from(wrong: Wrong) -> Unread {
        Unread::Wrong(wrong)
    }
}

impl From<SinkError> for Unread {
    fn from(error: SinkError) -> Unread {
        Unread::Store(error)
    }
}

#[cfg(test)]
pub(crate) mod tests;
