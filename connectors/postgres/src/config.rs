//! The settings of `type: postgres`, as a sink and as a table.

use millstream_connector::{
    ByteSize, ComponentSchema, Delivery, Period, Role, SecretText, component_config, config_choice,
};

config_choice! {
    /// What a row does to one that is there.
    pub enum Mode {
        /// Takes the place of the row with its key.
        Upsert = "upsert",
        /// Is added.
        Insert = "insert",
    }
}

component_config! {
    /// Writes rows to a table of a PostgreSQL database, each exactly once.
    pub struct PostgresSinkConfig {
        /// The database: `postgres://user:password@host:5432/database`, or `host=… user=…`. `sslmode` is `disable`,
        /// `prefer` (the default) or `require`; with TLS the server's certificate is always checked.
        dsn: SecretText [required, bounds = 1..=4096],
        /// The table, with its schema where that is not the first of the search path: `sales.revenue`.
        table: String [required, bounds = 1..=128],
        /// What a row does to one that is there.
        mode: Mode [default = Mode::Upsert],
        /// The columns that tell rows apart, for `upsert`. An existing table needs a primary key or unique index of
        /// exactly these.
        key: Vec<String> [default = Vec::new(), bounds = 0..=32],
        /// Whether to make the table when it is not there, from the columns of the first rows.
        create: bool [default = true],
        /// How often rows are committed.
        commit_interval: Period [default = Period(1_000), bounds = 10..=600_000],
        /// A commit comes early when this much is waiting.
        max_staged: ByteSize [default = ByteSize(64 << 20), bounds = (1 << 16)..=(4 << 30)],
        /// How long connecting may take.
        connect_timeout: Period [default = Period(10_000), bounds = 100..=600_000],
        /// How long one statement may take before the commit is given up and tried again.
        statement_timeout: Period [default = Period(60_000), bounds = 100..=3_600_000],
        /// A file of certificates, in PEM, that are trusted besides the system's.
        ca_file: Option<String> [default = None, bounds = 1..=4096],
    }
}

component_config! {
    /// Asks a table of a PostgreSQL database for the rows of keys, as rows that are joined with it bring them.
    pub struct PostgresTableConfig {
        /// The database: `postgres://user:password@host:5432/database`, or `host=… user=…`. `sslmode` is `disable`,
        /// `prefer` (the default) or `require`; with TLS the server's certificate is always checked.
        dsn: SecretText [required, bounds = 1..=4096],
        /// The table or view, with its schema where that is not the first of the search path: `crm.customers`.
        table: String [required, bounds = 1..=128],
        /// The columns that it is asked by; an index over them makes that cheap.
        key: Vec<String> [default = Vec::new(), bounds = 0..=32],
        /// For how long what was found of a key counts, also that there was nothing.
        keep: Period [default = Period(300_000), bounds = 1..=2_592_000_000],
        /// How many keys are kept at most.
        keep_max: u64 [default = 100_000, bounds = 1..=100_000_000],
        /// How long connecting may take.
        connect_timeout: Period [default = Period(10_000), bounds = 100..=600_000],
        /// How long one question may take before it is given up and asked again.
        statement_timeout: Period [default = Period(30_000), bounds = 100..=3_600_000],
        /// A file of certificates, in PEM, that are trusted besides the system's.
        ca_file: Option<String> [default = None, bounds = 1..=4096],
    }
}

/// How a database is reached.
pub(crate) struct Access<'a> {
    pub dsn: &'a SecretText,
    pub ca_file: Option<&'a str>,
    pub connect_timeout: Period,
    pub statement_timeout: Period,
}

macro_rules! reached_by {
    ($($config:ty),*) => {$(
        impl $config {
            pub(crate) fn access(&self) -> Access<'_> {
                Access {
                    dsn: &self.dsn,
                    ca_file: self.ca_file.as_deref(),
                    connect_timeout: self.connect_timeout,
                    statement_timeout: self.statement_timeout,
                }
            }
        }
    )*};
}

reached_by!(PostgresSinkConfig, PostgresTableConfig);

impl PostgresTableConfig {
    /// What one setting asks of another; the reason when it is not so.
    pub fn validate(&self) -> Result<(), String> {
        if self.key.is_empty() {
            return Err("`key` is empty: name the columns that the table is asked by".into());
        }
        check_table(&self.table)
    }
}

fn check_table(table: &str) -> Result<(), String> {
    let parts: Vec<&str> = table.split('.').collect();
    if parts.len() > 2 || parts.iter().any(|part| part.is_empty()) {
        return Err(format!("`table: {table}` is neither a table nor a schema and a table"));
    }
    Ok(())
}

impl PostgresSinkConfig {
    /// What one setting asks of another; the reason when it is not so.
    pub fn validate(&self) -> Result<(), String> {
        if self.mode == Mode::Upsert && self.key.is_empty() {
            return Err(
                "`mode: upsert` needs `key`: the columns that tell rows apart; or say `mode: insert`".into(),
            );
        }
        check_table(&self.table)?;
        if self.table.rsplit('.').next().is_some_and(|name| name.starts_with("_millstream")) {
            return Err(format!("`table: {}` is kept for bookkeeping; choose another name", self.table));
        }
        Ok(())
    }
}

/// `type: postgres` as a table, as data.
pub fn table_schema() -> ComponentSchema {
    ComponentSchema {
        type_name: "postgres",
        role: Role::Table,
        doc: PostgresTableConfig::doc(),
        delivery: Delivery::ExactlyOnce,
        fields: PostgresTableConfig::fields(),
    }
}

/// `type: postgres` as data.
pub fn schema() -> ComponentSchema {
    ComponentSchema {
        type_name: "postgres",
        role: Role::Sink,
        doc: PostgresSinkConfig::doc(),
        delivery: Delivery::ExactlyOnce,
        fields: PostgresSinkConfig::fields(),
    }
}
