//! The settings of `type: file`, as a source and as a table.

use millstream_connector::{
    ByteSize, ComponentSchema, Delivery, Period, Role, component_config, config_choice,
};

config_choice! {
    /// What to do when a file has become shorter than it was read, or other bytes stand where it was read.
    pub enum OnRewrite {
        /// Read it again from its beginning, as a new file. What stood in it unread is gone, and a warning says so.
        Restart = "restart",
        /// Stop the pipeline and say so.
        Stop = "stop",
    }
}

component_config! {
    /// Reads files line by line. A line is a record: its bytes without the line end.
    pub struct FileSourceConfig {
        /// Which files: a path, with `*`, `?`, `[a-z]` and `**`, from the pipeline's folder.
        path: String [required, bounds = 1..=4096],
        /// Whether to wait for more lines and more files; else the input ends with what is there.
        watch: bool [default = false],
        /// The longest line; a longer one goes to the dead letters, cut to this.
        max_line: ByteSize [default = ByteSize(1 << 20), bounds = 64..=(64 << 20)],
        /// How many bytes are read from a file at once.
        read_size: ByteSize [default = ByteSize(1 << 20), bounds = 64..=(64 << 20)],
        /// How often to look for changes that the system did not tell of (network file systems tell of none).
        poll_interval: Period [default = Period(1_000), bounds = 10..=3_600_000],
        /// How many files are kept open between reads.
        max_open_files: u32 [default = 256, bounds = 1..=65_536],
        /// What to do when a file was rewritten under its reader.
        on_rewrite: OnRewrite [default = OnRewrite::Restart],
    }
}

component_config! {
    /// Reads a CSV file whole, with its header line, as a table.
    pub struct FileTableConfig {
        /// The file, from the pipeline's folder.
        path: String [required, bounds = 1..=4096],
        /// The columns that tell rows apart; each row has its own values in them.
        key: Vec<String> [default = Vec::new(), bounds = 0..=32],
        /// What stands between columns: one ASCII character.
        delimiter: String [default = ",".to_owned(), bounds = 1..=1],
        /// The greatest file that is taken.
        max_size: ByteSize [default = ByteSize(256 << 20), bounds = 1..=(4 << 30)],
        /// How often to look whether the file has changed.
        poll_interval: Period [default = Period(5_000), bounds = 10..=3_600_000],
    }
}

/// `type: file` as a source, as data.
pub fn source_schema() -> ComponentSchema {
    ComponentSchema {
        type_name: "file",
        role: Role::Source,
        doc: FileSourceConfig::doc(),
        delivery: Delivery::ExactlyOnce,
        fields: FileSourceConfig::fields(),
    }
}

/// `type: file` as a table, as data.
pub fn table_schema() -> ComponentSchema {
    ComponentSchema {
        type_name: "file",
        role: Role::Table,
        doc: FileTableConfig::doc(),
        delivery: Delivery::ExactlyOnce,
        fields: FileTableConfig::fields(),
    }
}
