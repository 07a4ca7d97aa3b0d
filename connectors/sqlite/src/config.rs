//! The settings of `type: sqlite`.

use millstream_connector::{
    ByteSize, ComponentSchema, Delivery, Period, Role, component_config, config_choice,
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

config_choice! {
    /// How exact decimals are kept, since SQLite has none.
    pub enum Decimals {
        /// As text with every digit of the scale, such as `88.50`. Exact; sorts and sums only after a cast.
        Text = "text",
        /// As an integer of the smallest unit, such as `8850`. Exact, and SQL sums it.
        ScaledInteger = "scaled_integer",
    }
}

config_choice! {
    /// SQLite's own `synchronous` setting.
    pub enum Synchronous {
        /// Each commit is flushed: a power loss takes back nothing.
        Full = "full",
        /// Flushed at checkpoints: a power loss may take back the newest commits, rows and offsets together.
        Normal = "normal",
    }
}

component_config! {
    /// Writes rows to a table of a SQLite database, each exactly once.
    pub struct SqliteSinkConfig {
        /// The database file; made when it is not there. Its folder must be.
        path: String [required, bounds = 1..=4096],
        /// The table.
        table: String [required, bounds = 1..=128],
        /// What a row does to one that is there.
        mode: Mode [default = Mode::Upsert],
        /// The columns that tell rows apart, for `upsert`. An existing table needs a primary key or unique index of
        /// exactly these.
        key: Vec<String> [default = Vec::new(), bounds = 0..=32],
        /// Whether to make the table when it is not there, from the columns of the first rows.
        create: bool [default = true],
        /// How exact decimals are kept.
        decimals: Decimals [default = Decimals::Text],
        /// How often rows are committed.
        commit_interval: Period [default = Period(1_000), bounds = 10..=600_000],
        /// A commit comes early when this much is waiting.
        max_staged: ByteSize [default = ByteSize(64 << 20), bounds = (1 << 16)..=(4 << 30)],
        /// How long to wait for another program's lock before the commit is tried again.
        busy_timeout: Period [default = Period(5_000), bounds = 0..=600_000],
        /// Whether each commit is flushed.
        synchronous: Synchronous [default = Synchronous::Full],
    }
}

impl SqliteSinkConfig {
    /// What one setting asks of another; the reason when it is not so.
    pub fn validate(&self) -> Result<(), String> {
        if self.mode == Mode::Upsert && self.key.is_empty() {
            return Err(
                "`mode: upsert` needs `key`: the columns that tell rows apart; or say `mode: insert`".into(),
            );
        }
        if self.table.starts_with("_millstream") || self.table.starts_with("sqlite_") {
            return Err(format!("`table: {}` is kept for bookkeeping; choose another name", self.table));
        }
        Ok(())
    }
}

/// `type: sqlite` as data.
pub fn schema() -> ComponentSchema {
    ComponentSchema {
        type_name: "sqlite",
        role: Role::Sink,
        doc: SqliteSinkConfig::doc(),
        delivery: Delivery::ExactlyOnce,
        fields: SqliteSinkConfig::fields(),
    }
}
