//! The sink. Rows wait in memory until the commit, which is one SQLite transaction of rows and offsets, so nothing is
//! locked between commits. SQLite's calls block and run on tokio's blocking threads.

use std::time::Duration;

use arrow_array::{Array, RecordBatch};
use arrow_schema::Schema;
use millstream_connector::cell::{self, Cell};
use millstream_connector::staging::{Share, Staging, StagingLimits};
use millstream_connector::{
    Change, Context, Delivery, NextOffsets, Offsets, RowFault, Sink, SinkBatch, SinkCapabilities, SinkError,
    async_trait,
};
use millstream_types::{CpuBudget, Millis, TopicPartition};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Statement, ToSql, TransactionBehavior};

use crate::config::{Decimals, Mode, SqliteSinkConfig, Synchronous};
use crate::error::{Class, classify, sink_error};
use crate::{offsets, statements};

/// Rows into a table of a SQLite database.
pub struct SqliteSink {
    config: SqliteSinkConfig,
    context: Context,
    /// Absent before the first open, and after a failure that leaves the connection's state unknown.
    connection: Option<Connection>,
    staging: Staging,
}

const CRASH_POINTS: &[&str] = &["before_commit", "rows_written", "after_commit"];

impl SqliteSink {
    /// A sink that connects at its first open. Fails when the settings contradict each other.
    pub fn new(config: SqliteSinkConfig, context: Context) -> Result<SqliteSink, SinkError> {
        config.validate().map_err(SinkError::Setup)?;
        let limits = StagingLimits { interval_ms: config.commit_interval.0, bytes: config.max_staged.0 };
        let staging = Staging::new(limits, &context.memory);
        Ok(SqliteSink { config, context, connection: None, staging })
    }

    /// Runs `work` with the connection on a blocking thread. The connection comes back even when `work` fails: SQLite
    /// rolls back what was open when its transaction is dropped.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let open = match self.connection.take() {
            Some(connection) => Ok(connection),
            None => Err((self.config.clone(), self.config.path.clone())),
        };
        let cpu = CpuBudget::of_thread();
        let task = tokio::task::spawn_blocking(move || {
            let _charged = cpu.enter();
            let mut connection = match open {
                Ok(connection) => connection,
                Err((config, path)) => connect(&config)
                    .map_err(|error| sink_error(&format!("opening the database {path}"), &error))?,
            };
            let result = work(&mut connection);
            Ok::<_, SinkError>((connection, result))
        });
        let (connection, result) = task
            .await
            .map_err(|error| SinkError::transient(format!("running a database call: {error}")))??;
        self.connection = Some(connection);
        result
    }
}

fn connect(config: &SqliteSinkConfig) -> rusqlite::Result<Connection> {
    let connection = Connection::open(&config.path)?;
    connection.busy_timeout(Duration::from_millis(config.busy_timeout.0))?;
    // Readers go on while a commit runs.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let level = match config.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", level)?;
    connection.execute_batch(offsets::CREATE)?;
    Ok(connection)
}

#[async_trait]
impl Sink for SqliteSink {
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
        let (asked, context) = (partitions.to_vec(), self.context.clone());
        let found = self
            .blocking(move |connection| {
                let mut found = NextOffsets::new();
                for partition in asked {
                    let next = offsets::read(connection, &context, &partition)
                        .map_err(|error| sink_error("reading the stored offsets", &error))?;
                    found.insert(partition, next);
                }
                Ok(found)
            })
            .await?;
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
        let work = self.staging.shares(next);
        let (config, context) = (self.config.clone(), self.context.clone());
        let result = self.blocking(move |connection| write(connection, &config, &context, &work)).await;
        match &result {
            Ok(()) => {
                self.context.crash.reach("after_commit")?;
                self.staging.committed(next);
            }
            Err(SinkError::Data(_)) => self.staging.dropped(next),
            Err(_) => {}
        }
        result
    }

    async fn close(&mut self, partitions: &[TopicPartition]) -> Result<(), SinkError> {
        self.staging.closed(partitions);
        Ok(())
    }
}

/// One transaction: offsets first, so that a zombie is turned away before it has written a row.
fn write(
    connection: &mut Connection,
    config: &SqliteSinkConfig,
    context: &Context,
    work: &[Share],
) -> Result<(), SinkError> {
    let doing = format!("committing to {}", config.table);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|error| sink_error(&doing, &error))?;
    for part in work {
        offsets::advance(&transaction, context, &part.partition, part.expected, part.next)?;
    }
    let mut faults = Vec::new();
    for part in work {
        for batch in &part.batches {
            write_batch(&transaction, config, part, batch, &mut faults)?;
        }
    }
    if !faults.is_empty() {
        // Dropping the transaction rolls it back.
        return Err(SinkError::Data(faults));
    }
    context.crash.reach("rows_written")?;
    transaction.commit().map_err(|error| sink_error(&doing, &error))
}

fn write_batch(
    connection: &Connection,
    config: &SqliteSinkConfig,
    part: &Share,
    batch: &SinkBatch,
    faults: &mut Vec<RowFault>,
) -> Result<(), SinkError> {
    let rows = batch.rows();
    let columns = rows.schema_ref();
    let doing = format!("preparing to write to the table {}", config.table);
    let prepare = |sql: &str| connection.prepare_cached(sql).map_err(|error| sink_error(&doing, &error));
    if config.create {
        let sql = statements::create_table(config, columns);
        connection.execute_batch(&sql).map_err(|error| sink_error(&doing, &error))?;
    }
    let indexes: Vec<usize> = match batch.change() {
        Change::Upsert => (0..rows.num_columns()).collect(),
        Change::Delete => {
            config.key.iter().map(|key| columns.index_of(key).expect("checked in stage")).collect()
        }
    };
    let mut statement = match batch.change() {
        Change::Upsert => prepare(&statements::write_row(config, columns))?,
        Change::Delete => prepare(&statements::delete_row(config))?,
    };
    let keys: Vec<usize> = match config.mode {
        Mode::Upsert => config.key.iter().filter_map(|key| columns.index_of(key).ok()).collect(),
        Mode::Insert => Vec::new(),
    };
    for row in 0..rows.num_rows() {
        // SQLite takes nulls for different from each other, and for a new number where the key is one.
        if let Some(at) = keys.iter().find(|at| rows.column(**at).is_null(row)) {
            if batch.change() == Change::Delete {
                // Nor was it ever there.
                continue;
            }
            let reason = format!(
                "{} is null, and a part of the key: no row could take its place; filter such rows out, or give them a value with COALESCE",
                columns.field(*at).name()
            );
            faults.push(RowFault { partition: part.partition.clone(), row: batch.locate(row), reason });
            continue;
        }
        let result = bind(&mut statement, rows, &indexes, row, config.decimals);
        match result.and_then(|()| statement.raw_execute()) {
            Ok(_) => {}
            Err(error)
                if matches!(error, rusqlite::Error::ToSqlConversionFailure(_))
                    || classify(&error) == Class::Row =>
            {
                faults.push(RowFault {
                    partition: part.partition.clone(),
                    row: batch.locate(row),
                    reason: error.to_string(),
                });
            }
            Err(error) => return Err(sink_error(&format!("writing a row to {}", config.table), &error)),
        }
    }
    Ok(())
}

fn bind(
    statement: &mut Statement<'_>,
    rows: &RecordBatch,
    indexes: &[usize],
    row: usize,
    decimals: Decimals,
) -> rusqlite::Result<()> {
    for (parameter, index) in indexes.iter().enumerate() {
        let value = Value { cell: cell::cell(rows.column(*index).as_ref(), row), decimals };
        statement.raw_bind_parameter(parameter + 1, value)?;
    }
    Ok(())
}

struct Value<'a> {
    cell: Cell<'a>,
    decimals: Decimals,
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let integer = |value: i128| {
            i64::try_from(value).map(ToSqlOutput::from).map_err(|_| {
                rusqlite::Error::ToSqlConversionFailure(
                    format!("the number {value} does not fit SQLite's 64-bit integers").into(),
                )
            })
        };
        Ok(match self.cell {
            Cell::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Cell::Boolean(value) => ToSqlOutput::from(value),
            Cell::Integer(value) => integer(value)?,
            Cell::Float(value) => ToSqlOutput::from(value),
            Cell::Decimal { unscaled, .. } if self.decimals == Decimals::ScaledInteger => integer(unscaled)?,
            Cell::Decimal { unscaled, scale } => ToSqlOutput::from(cell::decimal_text(unscaled, scale)),
            Cell::Text(text) => ToSqlOutput::from(text),
            Cell::Bytes(bytes) => ToSqlOutput::from(bytes),
            Cell::Timestamp(micros) => ToSqlOutput::from(cell::timestamp_text(micros)),
            Cell::Date(days) => ToSqlOutput::from(cell::date_text(days)),
        })
    }
}
