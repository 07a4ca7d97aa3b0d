//! The sink: each row a request, those of a partition one after another in their order, those of several partitions beside each
//! other. A server keeps no offsets, so delivery is at least once: a request carries a key that is the same each time, by which
//! a server that looks at it takes none twice.
//!
//! What passes by itself (no answer, 408, 425, 429, 5xx) is tried again here for some seconds and then by the worker, with its
//! back-off, for as long as it takes; not before the time that the server asked for. What was answered meanwhile is not sent
//! again while this process lives. Never enters: what a request is (`sender.rs`), what a row becomes (`body.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use arrow_schema::Schema;
use futures_util::future::join_all;
use millstream_connector::staging::{Share, Staging, StagingLimits};
use millstream_connector::{
    Change, Context, Delivery, NextOffsets, Offsets, RowFault, RowId, Sink, SinkBatch, SinkCapabilities,
    SinkError, async_trait,
};
use millstream_types::{Millis, TopicPartition};

use crate::body;
use crate::sender::{Outcome, Sender};
use crate::sink_config::HttpSinkConfig;

/// The pauses before a request is sent again, before the worker's own back-off begins.
const PAUSES_MS: [u64; 4] = [100, 200, 400, 800];
/// Rows of so many bytes wait at most; then they are due.
const STAGED_BYTES: u64 = 1 << 20;
const CRASH_POINTS: &[&str] = &["before_commit", "after_commit"];

/// Rows as requests.
pub struct HttpSink {
    sender: Sender,
    id_fields: Vec<String>,
    context: Context,
    staging: Staging,
    /// Of each partition the last row that was answered.
    answered: BTreeMap<TopicPartition, RowId>,
    /// Not before this time, since the server asked for it.
    not_before: Option<Millis>,
}

/// How far a partition has come.
struct Progress {
    partition: TopicPartition,
    answered: Option<RowId>,
    refused: Vec<RowFault>,
    stopped: Option<(SinkError, Option<u64>)>,
}

impl HttpSink {
    /// A sink that dials at its first row. Fails when a setting cannot be used.
    pub fn new(config: HttpSinkConfig, context: Context) -> Result<HttpSink, SinkError> {
        config.validate().map_err(SinkError::Setup)?;
        let sender = Sender::new(&config, &context)?;
        let limits = StagingLimits { interval_ms: 0, bytes: STAGED_BYTES };
        let staging = Staging::new(limits, &context.memory);
        let id_fields = config.id_fields;
        Ok(HttpSink { sender, id_fields, context, staging, answered: BTreeMap::new(), not_before: None })
    }

    /// What names a request: the same for a row whenever it is sent.
    /// The error says which of the columns that name it has no value.
    fn key(&self, partition: &TopicPartition, batch: &SinkBatch, row: usize) -> Result<String, String> {
        if self.id_fields.is_empty() {
            let RowId { offset, row } = batch.locate(row);
            let Context { pipeline, component, .. } = &self.context;
            return Ok(format!("{pipeline}/{component}/{partition}@{offset}#{row}"));
        }
        let mut texts = Vec::with_capacity(self.id_fields.len());
        for field in &self.id_fields {
            let text = body::text(batch.rows(), field, row).ok_or_else(|| {
                format!(
                    "the row has no {field}, which `id_fields` names: rows without it would have one name"
                )
            })?;
            texts.push(header_text(&text));
        }
        Ok(texts.join("/"))
    }

    async fn send_share(&self, share: &Share) -> Progress {
        let partition = &share.partition;
        let mut progress = Progress {
            partition: partition.clone(),
            answered: self.answered.get(partition).copied(),
            refused: Vec::new(),
            stopped: None,
        };
        for batch in &share.batches {
            for row in 0..batch.rows().num_rows() {
                let id = batch.locate(row);
                if progress.answered.is_some_and(|last| id <= last) {
                    continue;
                }
                let outcome = match self.key(partition, batch, row) {
                    Ok(key) => self.send_row(&key, body::body(batch.rows(), row)).await,
                    Err(reason) => Outcome::Refused(reason),
                };
                match outcome {
                    Outcome::Taken => {}
                    Outcome::Refused(reason) => {
                        progress.refused.push(RowFault { partition: partition.clone(), row: id, reason });
                    }
                    Outcome::Later(text, wait_ms) => {
                        let what = format!("sending a row of {partition} to {}: {text}", self.sender.shown());
                        progress.stopped =
                            Some((SinkError::Transient { what, retry_after_ms: wait_ms }, wait_ms));
                        return progress;
                    }
                    Outcome::Setup(text) => {
                        let what = format!(
                            "sending a row of {partition} to {}: {text}; mend the settings of {:?} or the server",
                            self.sender.shown(),
                            self.context.component
                        );
                        progress.stopped = Some((SinkError::Setup(what), None));
                        return progress;
                    }
                }
                progress.answered = Some(id);
            }
        }
        progress
    }

    async fn send_row(&self, key: &str, body: String) -> Outcome {
        for pause_ms in PAUSES_MS {
            match self.sender.send(key, body.clone()).await {
                Outcome::Later(text, wait) if wait.unwrap_or(0) <= pause_ms => {
                    tracing::warn!(to = %self.sender.shown(), pause_ms, "{text}; sending the request again");
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                }
                other => return other,
            }
        }
        self.sender.send(key, body).await
    }
}

/// Text as a header may have it, and no two texts alike; without `/`, which stands between several.
fn header_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | b'/' => out.push_str(&format!("%{byte:02X}")),
            0x21..=0x7e => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[async_trait]
impl Sink for HttpSink {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities {
            delivery: Delivery::AtLeastOnce("an HTTP server may have taken a request whose answer was lost"),
            deletes: false,
            keeps_offsets: false,
            crash_points: CRASH_POINTS,
        }
    }

    fn check(&self, columns: &Schema) -> Result<(), SinkError> {
        let refuse = |what: String| SinkError::Setup(format!("sending to {}: {what}", self.sender.shown()));
        body::check(columns).map_err(refuse)?;
        match self.id_fields.iter().find(|key| columns.field_with_name(key).is_err()) {
            Some(key) => Err(refuse(format!("the rows have no column \"{key}\", which `id_fields` names"))),
            None => Ok(()),
        }
    }

    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<NextOffsets, SinkError> {
        let found = partitions.iter().map(|partition| (partition.clone(), None)).collect();
        self.staging.opened(&found);
        Ok(found)
    }

    async fn stage(&mut self, partition: &TopicPartition, batch: SinkBatch) -> Result<(), SinkError> {
        self.check(batch.rows().schema_ref())?;
        if batch.change() == Change::Delete {
            return Err(SinkError::Setup(format!(
                "sending to {}: a row that is deleted has no request",
                self.sender.shown()
            )));
        }
        self.staging.stage(partition, batch);
        Ok(())
    }

    fn due(&mut self, now: Millis) -> Vec<TopicPartition> {
        // While the server wants to be left alone, a commit says so: nothing more is gathered meanwhile.
        self.staging.due(now)
    }

    async fn commit(&mut self, next: &Offsets) -> Result<(), SinkError> {
        let shares = self.staging.shares(next);
        if let Some(at) = self.not_before.filter(|at| self.context.now() < *at)
            && shares.iter().any(|share| !share.batches.is_empty())
        {
            let left_ms = (at - self.context.now()).max(0) as u64;
            let what = format!(
                "sending to {}: it asked to be left alone for {left_ms} ms more",
                self.sender.shown()
            );
            return Err(SinkError::Transient { what, retry_after_ms: Some(left_ms) });
        }
        self.not_before = None;
        self.context.crash.reach("before_commit")?;
        let done = join_all(shares.iter().map(|share| self.send_share(share))).await;
        let mut refused = Vec::new();
        let mut stopped = None;
        for progress in done {
            if let Some(last) = progress.answered {
                self.answered.insert(progress.partition, last);
            }
            refused.extend(progress.refused);
            if let Some((error, wait_ms)) = progress.stopped {
                let until = wait_ms.map(|wait| self.context.now().saturating_add(wait as Millis));
                self.not_before = self.not_before.max(until);
                // What a person must mend is told before what passes.
                if !matches!(stopped, Some(SinkError::Setup(_))) {
                    stopped = Some(error);
                }
            }
        }
        // Known now, and not again: these rows count as answered.
        if !refused.is_empty() {
            self.staging.dropped(next);
            return Err(SinkError::Data(refused));
        }
        if let Some(error) = stopped {
            return Err(error);
        }
        self.context.crash.reach("after_commit")?;
        // What was answered is remembered: the group may still refuse its offsets, and the rows come again.
        self.staging.committed(next);
        Ok(())
    }

    async fn close(&mut self, partitions: &[TopicPartition]) -> Result<(), SinkError> {
        for partition in partitions {
            self.answered.remove(partition);
        }
        self.staging.closed(partitions);
        Ok(())
    }
}
