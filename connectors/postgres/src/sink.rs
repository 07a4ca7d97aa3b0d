//! The sink. Rows wait in memory until the commit, which is one transaction: offsets by compare-and-set, then rows by COPY
//! into a temporary table and one statement from there. Nothing is locked between commits. Rows that the table refuses
//! are found by halving, under savepoints; then all is rolled back and they are named.

use std::time::Duration;

use arrow_schema::{Schema, SchemaRef};
use bytes::Bytes;
use futures_util::SinkExt;
use millstream_connector::staging::{Share, Staging, StagingLimits};
use millstream_connector::{
    Change, Context, Delivery, NextOffsets, Offsets, RowFault, Sink, SinkBatch, SinkCapabilities, SinkError,
    async_trait, cell,
};
use millstream_types::{Millis, TopicPartition};

use crate::config::{Mode, PostgresSinkConfig};
use crate::connection::{Connection, connect};
use crate::copy_text::{self, Encoded};
use crate::error::{Class, class_of, sink_error, text};
use crate::{offsets, statements};

/// Rows into a table of a PostgreSQL database.
pub struct PostgresSink {
    config: PostgresSinkConfig,
    context: Context,
    /// Absent before the first open, and after a failure whose outcome is unknown.
    connection: Option<Connection>,
    staging: Staging,
}

const CRASH_POINTS: &[&str] = &["before_commit", "offsets_moved", "rows_written", "after_commit"];
/// No more faults than this are looked for in one commit; the next one finds more.
const FAULTS_MAX: usize = 1_000;
/// COPY's data goes out in pieces of this many bytes.
const COPY_BYTES: usize = 64 << 10;

impl PostgresSink {
    /// A sink that connects at its first open. Fails when the settings contradict each other.
    pub fn new(config: PostgresSinkConfig, context: Context) -> Result<PostgresSink, SinkError> {
        config.validate().map_err(SinkError::Setup)?;
        let limits = StagingLimits { interval_ms: config.commit_interval.0, bytes: config.max_staged.0 };
        let staging = Staging::new(limits, &context.memory);
        Ok(PostgresSink { config, context, connection: None, staging })
    }

    async fn connected(&mut self) -> Result<Connection, SinkError> {
        match self.connection.take().filter(|connection| !connection.client.is_closed()) {
            Some(connection) => Ok(connection),
            None => connect(&self.config, &self.context).await,
        }
    }
}

#[async_trait]
impl Sink for PostgresSink {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities {
            keeps_offsets: true,
            delivery: Delivery::ExactlyOnce,
            deletes: !self.config.key.is_empty(),
            crash_points: CRASH_POINTS,
        }
    }

    fn check(&self, columns: &Schema) -> Result<(), SinkError> {
        cell::check_table(columns, &self.config.table, &self.config.key)
    }

    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<NextOffsets, SinkError> {
        let connection = self.connected().await?;
        let mut found = NextOffsets::new();
        for partition in partitions {
            let next = offsets::read(&connection.client, &self.context, partition).await;
            let next = next.map_err(|error| sink_error("reading the stored offsets", &error))?;
            found.insert(partition.clone(), next);
        }
        self.connection = Some(connection);
        self.staging.opened(&found);
        Ok(found)
    }

    async fn stage(&mut self, partition: &TopicPartition, batch: SinkBatch) -> Result<(), SinkError> {
        self.check(batch.rows().schema_ref())?;
        if batch.change() == Change::Delete && self.config.key.is_empty() {
            return Err(SinkError::Setup(format!(
                "deleting from {}: without `key` a row cannot be found again; name the key's columns",
                self.config.table
            )));
        }
        self.staging.stage(partition, batch);
        Ok(())
    }

    fn due(&mut self, now: Millis) -> Vec<TopicPartition> {
        self.staging.due(now)
    }

    async fn commit(&mut self, next: &Offsets) -> Result<(), SinkError> {
        self.context.crash.reach("before_commit")?;
        let shares = self.staging.shares(next);
        // A server that is gone without a word must not hold the worker for ever.
        let limit = Duration::from_millis(self.config.statement_timeout.0.saturating_mul(2));
        let mut connection = self.connected().await?;
        let mut writer = Writer {
            config: &self.config,
            context: &self.context,
            connection: &mut connection,
            faults: Vec::new(),
        };
        let result = match tokio::time::timeout(limit, writer.run(&shares)).await {
            Ok(result) => result,
            Err(_) => Err(SinkError::transient(format!("committing to {}: no answer", self.config.table))),
        };
        match &result {
            Ok(()) => {
                self.connection = Some(connection);
                self.context.crash.reach("after_commit")?;
                self.staging.committed(next);
            }
            // Rolled back, so the connection is clean.
            Err(SinkError::Data(_)) => {
                self.connection = Some(connection);
                self.staging.dropped(next);
            }
            // The connection goes with whatever was open on it.
            Err(_) => {}
        }
        result
    }

    async fn close(&mut self, partitions: &[TopicPartition]) -> Result<(), SinkError> {
        self.staging.closed(partitions);
        Ok(())
    }
}

/// Batches that go in one COPY: consecutive ones with the same columns and the same change.
struct Group<'a> {
    schema: SchemaRef,
    change: Change,
    batches: Vec<(&'a TopicPartition, &'a SinkBatch)>,
}

fn groups(shares: &[Share]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for share in shares {
        for batch in share.batches.iter().filter(|batch| batch.rows().num_rows() > 0) {
            let schema = batch.rows().schema();
            match groups.last_mut().filter(|group| group.schema == schema && group.change == batch.change()) {
                Some(group) => group.batches.push((&share.partition, batch)),
                None => {
                    let batches = vec![(&share.partition, batch)];
                    groups.push(Group { schema, change: batch.change(), batches });
                }
            }
        }
    }
    groups
}

/// One commit.
struct Writer<'a> {
    config: &'a PostgresSinkConfig,
    context: &'a Context,
    connection: &'a mut Connection,
    faults: Vec<RowFault>,
}

impl Writer<'_> {
    async fn execute(&self, sql: &str) -> Result<(), SinkError> {
        let done = self.connection.client.batch_execute(sql).await;
        done.map_err(|error| sink_error(&format!("committing to {}", self.config.table), &error))
    }

    async fn run(&mut self, shares: &[Share]) -> Result<(), SinkError> {
        let groups = groups(shares);
        for group in &groups {
            self.prepare(group).await?;
        }
        self.execute("BEGIN").await?;
        for share in shares {
            offsets::advance(
                &self.connection.client,
                self.context,
                &share.partition,
                share.expected,
                share.next,
            )
            .await?;
        }
        self.context.crash.reach("offsets_moved")?;
        for group in &groups {
            self.write(group).await?;
        }
        if !self.faults.is_empty() {
            self.execute("ROLLBACK").await?;
            return Err(SinkError::Data(std::mem::take(&mut self.faults)));
        }
        self.context.crash.reach("rows_written")?;
        self.execute("COMMIT").await
    }

    /// Columns that a group writes, in order.
    fn columns<'g>(&self, group: &'g Group<'_>) -> Vec<&'g str> {
        let all = group.schema.fields().iter().map(|field| field.name().as_str());
        match group.change {
            Change::Upsert => all.collect(),
            Change::Delete => all.filter(|name| self.config.key.iter().any(|key| key == name)).collect(),
        }
    }

    fn stage_name(&self, columns: &[&str]) -> String {
        let hash = millstream_types::hash::murmur2(columns.join("\u{1}").as_bytes()) as u32;
        format!("_millstream_stage_{hash:08x}_{}", columns.len())
    }

    /// Whether rows go into the user's table at once.
    fn direct(&self, group: &Group<'_>) -> bool {
        self.config.mode == Mode::Insert && group.change == Change::Upsert
    }

    /// Makes the tables that a group needs, before the transaction.
    async fn prepare(&mut self, group: &Group<'_>) -> Result<(), SinkError> {
        if self.config.create {
            let sql = statements::create_table(self.config, &group.schema);
            match self.connection.client.batch_execute(&sql).await {
                Ok(()) => {}
                Err(error) if error.code().is_some_and(|code| code.code() == "23505") => {
                    let what =
                        format!("making the table {}: another connection makes it too", self.config.table);
                    return Err(SinkError::transient(what));
                }
                Err(error) => {
                    return Err(sink_error(&format!("making the table {}", self.config.table), &error));
                }
            }
        }
        let columns = self.columns(group);
        let name = self.stage_name(&columns);
        if !self.direct(group) && !self.connection.stages.contains(&name) {
            self.execute(&statements::create_stage(self.config, &name, &columns)).await?;
            self.connection.stages.insert(name);
        }
        Ok(())
    }

    /// Writes a group, or finds its bad rows.
    async fn write(&mut self, group: &Group<'_>) -> Result<(), SinkError> {
        let columns = self.columns(group);
        let indexes: Vec<usize> =
            columns.iter().map(|name| group.schema.index_of(name).expect("its own column")).collect();
        let direct = self.direct(group);
        let mut encoded = Encoded::default();
        for (_, batch) in &group.batches {
            encoded.add(batch, &indexes, !direct);
        }
        let rows = encoded.rows();
        let (data, ends) = encoded.finish();
        // Ranges not settled, the first at the end.
        let mut open = vec![(0, rows)];
        while let Some((from, to)) = open.pop() {
            self.execute("SAVEPOINT millstream").await?;
            match self.try_range(group, &columns, copy_text::slice(&data, &ends, from..to)).await {
                Ok(()) => self.execute("RELEASE SAVEPOINT millstream").await?,
                Err(error) if class_of(&error) == Class::Row => {
                    self.execute("ROLLBACK TO SAVEPOINT millstream").await?;
                    if to - from == 1 {
                        let (partition, batch, index) = locate(group, from);
                        self.faults.push(RowFault {
                            partition: partition.clone(),
                            row: batch.locate(index),
                            reason: text(&error, Class::Row),
                        });
                        if self.faults.len() >= FAULTS_MAX {
                            return Ok(());
                        }
                    } else {
                        let middle = from + (to - from) / 2;
                        open.extend([(middle, to), (from, middle)]);
                    }
                }
                Err(error) => {
                    return Err(sink_error(&format!("writing rows to {}", self.config.table), &error));
                }
            }
        }
        Ok(())
    }

    async fn try_range(
        &self,
        group: &Group<'_>,
        columns: &[&str],
        data: Bytes,
    ) -> Result<(), tokio_postgres::Error> {
        let client = &self.connection.client;
        let stage = self.stage_name(columns);
        let direct = self.direct(group);
        let target = if direct { statements::table(self.config) } else { statements::quoted(&stage) };
        let copy = client.copy_in(&statements::copy(&target, columns, !direct)).await?;
        let mut copy = std::pin::pin!(copy);
        for at in (0..data.len()).step_by(COPY_BYTES) {
            copy.feed(data.slice(at..data.len().min(at + COPY_BYTES))).await?;
        }
        copy.finish().await?;
        if direct {
            return Ok(());
        }
        let merge = match group.change {
            Change::Upsert => statements::merge(self.config, &stage, columns),
            Change::Delete => statements::delete(self.config, &stage),
        };
        client.batch_execute(&format!("{merge}; DELETE FROM {}", statements::quoted(&stage))).await
    }
}

/// Which batch's which row a group's row is.
fn locate<'a>(group: &Group<'a>, mut row: usize) -> (&'a TopicPartition, &'a SinkBatch, usize) {
    for (partition, batch) in &group.batches {
        let rows = batch.rows().num_rows();
        if row < rows {
            return (partition, batch, row);
        }
        row -= rows;
    }
    panic!("row {row} beyond the end of a group");
}
