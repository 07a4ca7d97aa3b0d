//! What stands in for an HTTP server in a test: a file with the bodies that would have been sent. A commit is one line with the
//! bodies and the next offsets, so that a run after a crash goes on behind what is there. The real sink is at least once, and a
//! server that looks at its keys sees this. Never enters: sockets, what a server answers.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use arrow::datatypes::Schema;
use millstream_connector::staging::{Staging, StagingLimits};
use millstream_connector::{
    Context, Delivery, NextOffsets, Offsets, Sink, SinkBatch, SinkCapabilities, SinkError, async_trait,
};
use millstream_types::{Millis, TopicPartition};
use serde::{Deserialize, Serialize};

/// The bodies of requests, in a file.
pub struct RequestsSink {
    path: PathBuf,
    context: Context,
    staging: Staging,
}

#[derive(Serialize, Deserialize)]
struct Commit {
    next: BTreeMap<String, i64>,
    bodies: Vec<String>,
}

impl RequestsSink {
    /// A sink into `path`, which is made at the first commit.
    pub fn new(path: PathBuf, context: Context) -> RequestsSink {
        let limits = StagingLimits { interval_ms: 0, bytes: 1 << 20 };
        let staging = Staging::new(limits, &context.memory);
        RequestsSink { path, context, staging }
    }
}

fn commits(path: &Path) -> Result<Vec<Commit>, String> {
    let failed = |error: String| format!("reading {}: {error}", path.display());
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error.to_string())),
    };
    text.lines().map(|line| serde_json::from_str(line).map_err(|error| failed(error.to_string()))).collect()
}

/// The bodies that were sent, in their order.
pub fn bodies(path: &Path) -> Result<Vec<String>, String> {
    Ok(commits(path)?.into_iter().flat_map(|commit| commit.bodies).collect())
}

#[async_trait]
impl Sink for RequestsSink {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities {
            delivery: Delivery::ExactlyOnce,
            deletes: false,
            keeps_offsets: true,
            crash_points: &["before_commit", "after_commit"],
        }
    }

    fn check(&self, columns: &Schema) -> Result<(), SinkError> {
        millstream_http::body::check(columns).map_err(SinkError::Setup)
    }

    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<NextOffsets, SinkError> {
        let mut stands = BTreeMap::new();
        commits(&self.path)
            .map_err(SinkError::Setup)?
            .into_iter()
            .for_each(|commit| stands.extend(commit.next));
        let found = partitions.iter().map(|p| (p.clone(), stands.get(&p.to_string()).copied())).collect();
        self.staging.opened(&found);
        Ok(found)
    }

    async fn stage(&mut self, partition: &TopicPartition, batch: SinkBatch) -> Result<(), SinkError> {
        self.check(batch.rows().schema_ref())?;
        self.staging.stage(partition, batch);
        Ok(())
    }

    fn due(&mut self, now: Millis) -> Vec<TopicPartition> {
        self.staging.due(now)
    }

    async fn commit(&mut self, next: &Offsets) -> Result<(), SinkError> {
        let shares = self.staging.shares(next);
        let batches = shares.iter().flat_map(|share| &share.batches);
        let rows = batches.flat_map(|batch| (0..batch.rows().num_rows()).map(move |row| (batch.rows(), row)));
        let bodies = rows.map(|(rows, row)| millstream_http::body::body(rows, row)).collect();
        let next_by_name = next.iter().map(|(partition, at)| (partition.to_string(), *at)).collect();
        let mut line = serde_json::to_string(&Commit { next: next_by_name, bodies })
            .map_err(|error| SinkError::Setup(format!("writing the bodies of requests: {error}")))?;
        line.push('\n');
        self.context.crash.reach("before_commit")?;
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&self.path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.map_err(|error| SinkError::transient(format!("writing {}: {error}", self.path.display())))?;
        self.context.crash.reach("after_commit")?;
        self.staging.committed(next);
        Ok(())
    }

    async fn close(&mut self, partitions: &[TopicPartition]) -> Result<(), SinkError> {
        self.staging.closed(partitions);
        Ok(())
    }
}
