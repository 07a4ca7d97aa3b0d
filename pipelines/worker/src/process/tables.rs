//! The tables that a process stage joins: loaded before its first row, and changed while it runs, or asked for the rows of the keys
//! that come. Never enters: where rows come from, joins.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use millstream_client::ConsumerRecords;
use millstream_engine::stage::{Stage, UnfitRow};
use tokio::sync::{mpsc, watch};

use super::outgoing::{giving, may_be_early};
use super::{Driver, ProcessStage};
use crate::error::WorkerError;
use crate::run::StageContext;
use crate::tables::TableRows;
use crate::tables::topic::{Changes, Reader};

/// The shortest time between two changes of tables.
const EVERY: Duration = Duration::from_millis(100);
/// How many lots of changes may wait.
const WAITING_MAX: usize = 64;

enum Source {
    Whole(watch::Receiver<Arc<RecordBatch>>),
    Topic(mpsc::Receiver<Result<Changes, WorkerError>>),
}

/// The tables of a stage.
pub(super) struct Tables {
    sources: Vec<(String, Source)>,
    changed_at: Instant,
}

impl Tables {
    /// Loads them into the stage.
    pub(super) async fn open(
        setup: &ProcessStage,
        context: &StageContext,
        stage: &mut Stage,
    ) -> Result<Tables, WorkerError> {
        let mut sources = Vec::new();
        for (name, rows) in &setup.tables {
            let source = match rows {
                TableRows::Whole(rows) => {
                    let mut rows = rows.clone();
                    stage.load_table(name, &rows.borrow_and_update())?;
                    show(context, stage, name, None);
                    Source::Whole(rows)
                }
                TableRows::Topic(table) => {
                    let mut reader = table.open(&context.cluster).await?;
                    let none = RecordBatch::new_empty(Arc::clone(&table.schema));
                    stage.load_table(name, &none)?;
                    reader.read_to_end(|changes| change(context, stage, name, &changes)).await?;
                    if stage.table_rows(name) == 0 {
                        tracing::warn!(table = %name, topic = %table.topic, "the table's topic holds no row that is joined");
                    }
                    let (send, receive) = mpsc::channel(WAITING_MAX);
                    tokio::spawn(follow(reader, send));
                    Source::Topic(receive)
                }
                TableRows::Asked(table) => {
                    let refused = |(at, why): (String, String)| WorkerError::Setup(format!("{at}: {why}"));
                    stage.ask(name, table.spec().clone()).map_err(refused)?;
                    continue;
                }
            };
            sources.push((name.clone(), source));
        }
        Ok(Tables { sources, changed_at: Instant::now() })
    }

    /// Takes up what has changed since.
    pub(super) fn change(&mut self, context: &StageContext, stage: &mut Stage) -> Result<(), WorkerError> {
        if self.sources.is_empty() || self.changed_at.elapsed() < EVERY {
            return Ok(());
        }
        self.changed_at = Instant::now();
        for (name, source) in &mut self.sources {
            match source {
                Source::Whole(rows) => {
                    // Whoever sends may have ended: then they stay as they are.
                    if rows.has_changed().unwrap_or(false) {
                        stage.load_table(name, &rows.borrow_and_update())?;
                        show(context, stage, name, None);
                    }
                }
                Source::Topic(receive) => {
                    while let Ok(changes) = receive.try_recv() {
                        change(context, stage, name, &changes?)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Driver {
    /// Runs the rows that wait, once everything is known that they ask tables for.
    pub(super) async fn run_rows(&mut self, records: Option<&ConsumerRecords>) -> Result<(), WorkerError> {
        let now = self.now();
        while let Some(wanted) = self.stage.wanted(now)? {
            let Some(TableRows::Asked(table)) = self.setup.tables.get(&wanted.table) else {
                let text = format!("table {} is asked and cannot be", wanted.table);
                return Err(WorkerError::Fatal(text));
            };
            let found = tokio::select! {
                found = table.find(&wanted.keys) => found?,
                () = self.context.stopped() => {
                    let text = format!("the run was stopped while table {} was asked", wanted.table);
                    return Err(WorkerError::Transient(text));
                }
            };
            self.stage.answer(&wanted, &found.rows, now)?;
            self.stage.refuse(&wanted, &found.unfit)?;
            self.context.progress.table(&self.context.stage, &wanted.table, |figures| {
                figures.rows = self.stage.table_rows(&wanted.table) as u64;
                figures.changes += wanted.keys.num_rows() as u64;
            });
        }
        let (wall, levels) = (self.context.clock.wall_ms(), self.levels());
        let Driver { stage, out, .. } = self;
        let take = |given| out.take_some(records, given, (wall, &levels), may_be_early);
        giving(stage, |stage, take| stage.turn_giving(now, take), take)
    }
}

fn change(
    context: &StageContext,
    stage: &mut Stage,
    name: &str,
    changes: &Changes,
) -> Result<(), WorkerError> {
    stage.change_table(name, &changes.rows, &changes.ids, &changes.gone)?;
    show(context, stage, name, Some(changes));
    Ok(())
}

fn show(context: &StageContext, stage: &mut Stage, name: &str, changes: Option<&Changes>) {
    let unfit = stage.take_unfit();
    if let Some(UnfitRow { table, row, error }) = unfit.first() {
        tracing::warn!(%table, row, %error, rows = unfit.len(), "rows of a table cannot be joined, and change nothing");
    }
    context.progress.table(&context.stage, name, |figures| {
        figures.rows = stage.table_rows(name) as u64;
        figures.changes += changes.map_or(1, |changes| (changes.ids.len() + changes.gone.len()) as u64);
        figures.bad += changes.map_or(0, |changes| changes.bad) + unfit.len() as u64;
    });
}

/// Hands changes on until nobody wants them any more, or reading fails.
async fn follow(mut reader: Reader, send: mpsc::Sender<Result<Changes, WorkerError>>) {
    while !send.is_closed() {
        let changes = reader.follow().await;
        let failed = changes.is_err();
        if changes.as_ref().is_ok_and(Changes::is_empty) {
            continue;
        }
        if send.send(changes).await.is_err() || failed {
            return;
        }
    }
}
