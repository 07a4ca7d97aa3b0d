//! A table that is asked for the rows of keys, over one connection that only reads. Never enters: which keys, and for how long what
//! was found counts.

use std::time::Duration;

use arrow_schema::{DataType, SchemaRef};
use millstream_connector::{Context, Lookup, SinkError, SourceError, async_trait};

use crate::config::PostgresTableConfig;
use crate::connection::{Connection, connect_to_read, parsed};
use crate::error::{Class, class_of, sink_error, text};
use crate::statements;

/// How long an answer is waited for beyond the time that the server has for it.
const GRACE: Duration = Duration::from_secs(5);

/// See the module.
pub struct PostgresLookup {
    config: PostgresTableConfig,
    context: Context,
    statement: String,
    connection: Option<Connection>,
}

impl PostgresLookup {
    /// Over a table with these columns, as rows are to have them.
    pub fn new(
        config: PostgresTableConfig,
        columns: &SchemaRef,
        context: Context,
    ) -> Result<PostgresLookup, SourceError> {
        config.validate().map_err(SourceError::Setup)?;
        parsed(&config.access()).map_err(SourceError::Setup)?;
        if let Some(missing) = config.key.iter().find(|name| columns.field_with_name(name).is_err()) {
            return Err(SourceError::Setup(format!(
                "`key` names {missing}, which is not among the declared columns of {}",
                config.table
            )));
        }
        let is_nested = |kind: &DataType| {
            matches!(kind, DataType::Binary | DataType::LargeBinary | DataType::List(_) | DataType::Struct(_))
        };
        let nested =
            |name: &&String| columns.field_with_name(name).is_ok_and(|field| is_nested(field.data_type()));
        if let Some(name) = config.key.iter().find(nested) {
            return Err(SourceError::Setup(format!(
                "`key` names {name}, whose type a table cannot be asked by; use a column of text, a number, a date or a time"
            )));
        }
        let statement = statements::find(&config.table, &config.key, columns);
        Ok(PostgresLookup { config, context, statement, connection: None })
    }

    async fn ask(&mut self, keys: &str) -> Result<Vec<String>, SourceError> {
        if let Some(open) = self.connection.take().filter(|open| !open.client.is_closed()) {
            match self.ask_over(open, keys).await {
                // The connection may have ended since the last question: once more over another.
                Err(SourceError::Transient { what, .. }) => {
                    tracing::debug!(table = %self.config.table, "{what}; asking again over a new connection");
                }
                answer => return answer,
            }
        }
        let fresh = connect_to_read(&self.config.access(), &self.context).await.map_err(source_error)?;
        self.ask_over(fresh, keys).await
    }

    /// What fails leaves its connection behind, unless a key is to blame: others are asked over the same one.
    async fn ask_over(&mut self, connection: Connection, keys: &str) -> Result<Vec<String>, SourceError> {
        let doing = || format!("asking the table {} for rows", self.config.table);
        // The server gives up first, where it is there.
        let limit = Duration::from_millis(self.config.statement_timeout.0) + GRACE;
        let asked = tokio::time::timeout(limit, connection.client.query(&self.statement, &[&keys])).await;
        let asked = asked.map_err(|_| {
            SourceError::transient(format!("{}: no answer within {} ms", doing(), limit.as_millis()))
        })?;
        let rows = match asked {
            Ok(rows) => rows,
            Err(error) if class_of(&error) == Class::Row => {
                self.connection = Some(connection);
                return Err(SourceError::Data(format!("{}: {}", doing(), text(&error, Class::Row))));
            }
            Err(error) => return Err(source_error(sink_error(&doing(), &error))),
        };
        let rows = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>();
        self.connection = Some(connection);
        rows.map_err(|error| source_error(sink_error(&doing(), &error)))
    }
}

fn source_error(error: SinkError) -> SourceError {
    match error {
        SinkError::Transient { what, retry_after_ms } => SourceError::Transient { what, retry_after_ms },
        other => SourceError::Setup(other.to_string()),
    }
}

#[async_trait]
impl Lookup for PostgresLookup {
    async fn find(&mut self, keys: &str) -> Result<Vec<String>, SourceError> {
        self.ask(keys).await
    }
}
