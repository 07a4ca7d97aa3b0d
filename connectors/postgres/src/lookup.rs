//! A table that is asked for the rows of keys, over one connection that only reads. Never enters: which keys, and for how long what
//! was found counts.

use arrow_schema::SchemaRef;
use millstream_connector::{Context, Lookup, SinkError, SourceError, async_trait};

use crate::config::PostgresTableConfig;
use crate::connection::{Connection, connect_to_read};
use crate::error::sink_error;
use crate::statements;

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
        if let Some(missing) = config.key.iter().find(|name| columns.field_with_name(name).is_err()) {
            return Err(SourceError::Setup(format!(
                "`key` names {missing}, which is not among the declared columns of {}",
                config.table
            )));
        }
        let statement = statements::find(&config.table, &config.key, columns);
        Ok(PostgresLookup { config, context, statement, connection: None })
    }

    async fn ask(&mut self, keys: &str) -> Result<Vec<String>, SinkError> {
        let connection = match self.connection.take().filter(|open| !open.client.is_closed()) {
            Some(open) => open,
            None => connect_to_read(&self.config.access(), &self.context).await?,
        };
        let doing = || format!("asking the table {} for rows", self.config.table);
        let rows = connection.client.query(&self.statement, &[&keys]).await;
        let rows = rows.map_err(|error| sink_error(&doing(), &error))?;
        let rows = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>();
        // What failed leaves its connection behind.
        self.connection = Some(connection);
        rows.map_err(|error| sink_error(&doing(), &error))
    }
}

#[async_trait]
impl Lookup for PostgresLookup {
    async fn find(&mut self, keys: &str) -> Result<Vec<String>, SourceError> {
        self.ask(keys).await.map_err(|error| match error {
            SinkError::Transient { what, retry_after_ms } => SourceError::Transient { what, retry_after_ms },
            other => SourceError::Setup(other.to_string()),
        })
    }
}
