//! The settings of `type: object_store`.

use millstream_connector::{
    ByteSize, ComponentSchema, Delivery, Period, Role, SecretText, component_config, config_choice,
};

config_choice! {
    /// The file format.
    pub enum FormatType {
        /// Apache Parquet.
        Parquet = "parquet",
    }
}

config_choice! {
    /// How pages are compressed.
    pub enum Compression {
        /// zstd, level 1.
        Zstd = "zstd",
        /// Snappy: larger, cheaper.
        Snappy = "snappy",
        /// Not at all.
        None = "none",
    }
}

component_config! {
    /// How files are written.
    pub struct FormatConfig {
        /// The file format.
        r#type: FormatType [default = FormatType::Parquet],
        /// How pages are compressed.
        compression: Compression [default = Compression::Zstd],
        /// A row group ends when this many rows are in it.
        row_group_rows: u64 [default = 1_048_576, bounds = 1_024..=16_777_216],
    }
}

component_config! {
    /// When files are closed and committed; whichever comes first. All open files of an input partition close together.
    pub struct RollConfig {
        /// A file has reached this size, encoded.
        size: ByteSize [default = ByteSize(128 << 20), bounds = 1_024..=(5 << 30)],
        /// The oldest row has waited this long.
        interval: Period [default = Period(600_000), bounds = 100..=86_400_000],
        /// No row has come for this long.
        idle: Period [default = Period(120_000), bounds = 100..=86_400_000],
    }
}

component_config! {
    /// Access to an S3 store.
    pub struct S3Config {
        /// The region.
        region: String [default = "us-east-1".to_owned(), bounds = 1..=64],
        /// The server, for stores that are not Amazon's.
        endpoint: Option<String> [default = None],
        /// The access key's id; left out, the machine's own role is asked, which needs `egress` to allow it.
        access_key_id: Option<SecretText> [default = None],
        /// The access key.
        secret_access_key: Option<SecretText> [default = None],
        /// The session's token, for temporary keys.
        session_token: Option<SecretText> [default = None],
        /// Whether the endpoint may be spoken to without TLS.
        allow_http: bool [default = false],
    }
}

component_config! {
    /// Writes rows to Parquet files in an object store or a folder, each row exactly once.
    pub struct ObjectStoreSinkConfig {
        /// Where: `s3://bucket/folder`, `file:///folder`, or a folder from the pipeline's own.
        url: String [required, bounds = 1..=2_048],
        /// How files are written.
        format: FormatConfig [default = FormatConfig::default()],
        /// What the folders are made of, such as `day(issued_at)`: `year`, `month`, `day` or `hour` of a time column in
        /// UTC, or a column itself.
        partition_by: Vec<String> [default = Vec::new(), bounds = 0..=8],
        /// When files are closed and committed.
        roll: RollConfig [default = RollConfig::default()],
        /// How many files are being encoded at once; one more closes the one that was written to longest ago.
        max_open_files: u32 [default = 64, bounds = 1..=4_096],
        /// How much memory encoding may take; beyond it the largest row group is ended early.
        encode_memory: ByteSize [default = ByteSize(64 << 20), bounds = (1 << 20)..=(64 << 30)],
        /// The size of uploaded parts.
        part_size: ByteSize [default = ByteSize(8 << 20), bounds = (5 << 20)..=(512 << 20)],
        /// Access to an S3 store.
        s3: S3Config [default = S3Config::default()],
    }
}

impl Default for FormatConfig {
    fn default() -> FormatConfig {
        FormatConfig {
            r#type: FormatType::Parquet,
            compression: Compression::Zstd,
            row_group_rows: 1_048_576,
        }
    }
}

impl Default for RollConfig {
    fn default() -> RollConfig {
        RollConfig { size: ByteSize(128 << 20), interval: Period(600_000), idle: Period(120_000) }
    }
}

impl Default for S3Config {
    fn default() -> S3Config {
        S3Config {
            region: "us-east-1".to_owned(),
            endpoint: None,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            allow_http: false,
        }
    }
}

/// `type: object_store` as data.
pub fn schema() -> ComponentSchema {
    ComponentSchema {
        type_name: "object_store",
        role: Role::Sink,
        doc: ObjectStoreSinkConfig::doc(),
        delivery: Delivery::ExactlyOnce,
        fields: ObjectStoreSinkConfig::fields(),
    }
}
