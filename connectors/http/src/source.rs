//! The source: one split, the listener, whose owner alone listens. Its position counts records; what counts is the memory
//! of keys that is committed with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millstream_connector::{
    Changes, Context, Delivery, Discovery, Position, ReadLimit, ReadState, Rejected, Source, SourceBatch,
    SourceCapabilities, SourceError, SourceRecord, Split, SplitId, SplitReader, StateEntry, async_trait,
};
use millstream_types::Millis;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use crate::config::HttpSourceConfig;
use crate::desk::Desk;
use crate::error::listening;
use crate::ledger::Ledger;
use crate::server;

/// An HTTP endpoint.
pub struct HttpSource {
    config: Arc<HttpSourceConfig>,
    context: Context,
    /// Ends when the reader before has freed the port.
    closing: Option<oneshot::Receiver<()>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpPosition {
    /// Version of this shape.
    v: u8,
    /// Records committed so far, over all owners.
    records: u64,
}

/// How often a port that is still taken is tried, 50 ms apart.
const BIND_TRIES: usize = 40;

impl HttpSource {
    /// An endpoint; it listens once its split is opened. Fails when the settings cannot be.
    pub fn new(config: HttpSourceConfig, context: Context) -> Result<HttpSource, SourceError> {
        if !config.path.starts_with('/') || config.path.contains(['{', '}', '?', '#', '*']) {
            let text = format!("`path: {}` is not a plain path that begins with a slash", config.path);
            return Err(SourceError::Setup(text));
        }
        if config.max_body > config.max_in_flight {
            return Err(SourceError::Setup(
                "`max_body` is above `max_in_flight`: no such body could come in".to_owned(),
            ));
        }
        if axum::http::HeaderName::try_from(config.idempotency_header.as_str()).is_err() {
            let text =
                format!("`idempotency_header: {}` cannot be a header's name", config.idempotency_header);
            return Err(SourceError::Setup(text));
        }
        Ok(HttpSource { config: Arc::new(config), context, closing: None })
    }

    fn split(&self) -> Split {
        Split {
            id: SplitId::new("listener"),
            route: Bytes::from_static(b"listener"),
            label: format!("http://{}{}", self.config.listen, self.config.path).into(),
            size_bytes: None,
        }
    }

    async fn bind(&self) -> Result<TcpListener, SourceError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match TcpListener::bind(&self.config.listen).await {
                Ok(listener) => return Ok(listener),
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && tries < BIND_TRIES => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(listening(&self.config.listen, &error)),
            }
        }
    }
}

#[async_trait]
impl Source for HttpSource {
    fn capabilities(&self) -> SourceCapabilities {
        SourceCapabilities { delivery: Delivery::ExactlyOnce, bounded: false }
    }

    async fn discover(&mut self, _known: &BTreeMap<SplitId, Position>) -> Result<Discovery, SourceError> {
        Ok(Discovery { splits: vec![self.split()], complete: true })
    }

    async fn changed(&mut self) -> Result<Changes, SourceError> {
        // The one split is always there, and its reader waits by itself.
        std::future::pending().await
    }

    async fn open(
        &mut self,
        split: &SplitId,
        from: Option<&Position>,
        state: Vec<StateEntry>,
    ) -> Result<Box<dyn SplitReader>, SourceError> {
        assert_eq!(*split, self.split().id, "a split that discovery did not name");
        let base = match from.map(Position::read::<HttpPosition>).transpose()? {
            Some(HttpPosition { v: 1, records }) => records,
            Some(other) => {
                return Err(SourceError::Setup(format!(
                    "reading the position: version {} of a later release",
                    other.v
                )));
            }
            None => 0,
        };
        let mut ledger = Ledger::new(self.config.remember.0 as Millis, self.config.remember_max as usize);
        ledger.restore(&state).map_err(SourceError::Setup)?;
        if let Some(closing) = self.closing.take() {
            let _ = closing.await;
        }
        let listener = self.bind().await?;
        let address = listener.local_addr().map_err(|error| listening(&self.config.listen, &error))?;
        tracing::info!(%address, path = %self.config.path, "listening");
        let desk = Arc::new(Desk::new(ledger, self.config.max_in_flight.0));
        let (stop, stopped) = watch::channel(false);
        let (closed, closing) = oneshot::channel();
        self.closing = Some(closing);
        let serving = server::serve(
            listener,
            Arc::clone(&self.config),
            self.context.clone(),
            Arc::clone(&desk),
            stopped,
            closed,
        );
        tokio::spawn(serving);
        let origin = self.split().label;
        Ok(Box::new(HttpReader { desk, context: self.context.clone(), origin, base, stop }))
    }
}

/// The listener's owner.
struct HttpReader {
    desk: Arc<Desk>,
    context: Context,
    origin: Arc<str>,
    /// Records before the reader was opened.
    base: u64,
    stop: watch::Sender<bool>,
}

#[async_trait]
impl SplitReader for HttpReader {
    async fn read(&mut self, limit: ReadLimit) -> Result<SourceBatch, SourceError> {
        let take = || self.desk.take(limit.max_records.max(1), limit.max_bytes);
        let mut taken = take();
        let until = tokio::time::Instant::now() + Duration::from_millis(limit.wait_ms);
        while taken.records.is_empty() {
            // Nothing is taken while this waits, so that a call that is dropped has taken nothing. What woke it may be a
            // unit that was taken before: then it waits on.
            if tokio::time::timeout_at(until, self.desk.arrived.notified()).await.is_err() {
                break;
            }
            taken = take();
        }
        let first = self.base + taken.first_sequence;
        let records = taken.records.into_iter().enumerate().map(|(i, value)| SourceRecord {
            value,
            place: first + i as u64 + 1,
            ..SourceRecord::default()
        });
        let records: Vec<SourceRecord> = records.collect();
        let state = if records.is_empty() { ReadState::Idle } else { ReadState::More };
        Ok(SourceBatch {
            records,
            first_sequence: taken.first_sequence,
            origin: Arc::clone(&self.origin),
            faults: Vec::new(),
            next_position: Position::of(&HttpPosition { v: 1, records: self.base + taken.next_sequence }),
            state,
        })
    }

    fn delta(&mut self, position: &Position, rejected: &[Rejected]) -> Result<Vec<StateEntry>, SourceError> {
        let position: HttpPosition = position.read()?;
        let rejected: Vec<(u64, &str)> =
            rejected.iter().map(|rejected| (rejected.sequence, &*rejected.reason)).collect();
        Ok(self.desk.leave(position.records.saturating_sub(self.base), &rejected, self.context.now()))
    }

    async fn ack(&mut self, _position: &Position) -> Result<(), SourceError> {
        self.desk.done(self.context.now());
        Ok(())
    }

    async fn stop(&mut self) {
        self.desk.stop();
    }
}

impl Drop for HttpReader {
    fn drop(&mut self) {
        self.desk.abandon();
        let _ = self.stop.send(true);
    }
}
