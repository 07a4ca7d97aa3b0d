//! The types of topic settings: how each is read from text, bounded, and printed. Never enters: which settings there
//! are (`config.rs`).

use std::fmt::{Display, Write as _};
use std::str::FromStr;

use millstream_batch::{Codec, TimestampType};

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No such setting.
    #[error("setting {0}: there is no topic setting of this name")]
    Unknown(String),
    /// Text of another type, or a value out of bounds.
    #[error("setting {name} to \"{value}\": {expected}")]
    Invalid {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: String,
        /// What it takes.
        expected: String,
    },
    /// Two settings that cannot both be.
    #[error("setting a topic's configuration: {0}")]
    Conflict(String),
}

/// The type of a setting, with the numbers of DescribeConfigs' `ConfigType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean = 1,
    /// Text.
    String = 2,
    /// 32 bits.
    Int = 3,
    /// 64 bits.
    Long = 5,
    /// A fraction.
    Double = 6,
    /// Texts apart by commas.
    List = 7,
}

/// The bounds of a number.
pub(super) enum Bounds {
    Any,
    AtLeast(i64),
    Range(i64, i64),
    OnlyFalse,
}

/// A type that a setting can have.
pub trait ConfigValue: Sized {
    /// What DescribeConfigs calls it.
    const TYPE: ConfigType;
    /// Reads a value.
    #[allow(private_interfaces)]
    fn parse(name: &'static str, text: &str, bounds: &Bounds) -> Result<Self, ConfigError>;
    /// The value as text, which [`ConfigValue::parse`] takes.
    fn print(&self) -> String;
}

fn invalid(name: &'static str, text: &str, expected: impl Into<String>) -> ConfigError {
    ConfigError::Invalid { name, value: text.to_owned(), expected: expected.into() }
}

fn number<T: FromStr + PartialOrd + Display + Copy + Into<f64>>(
    name: &'static str,
    text: &str,
    bounds: &Bounds,
) -> Result<T, ConfigError> {
    let value: T =
        text.trim().parse().map_err(|_| invalid(name, text, "it is not a number of the setting's size"))?;
    in_bounds(value.into(), bounds).map_err(|expected| invalid(name, text, expected))?;
    Ok(value)
}

fn in_bounds(value: f64, bounds: &Bounds) -> Result<(), String> {
    match *bounds {
        Bounds::AtLeast(least) if value < least as f64 => Err(format!("it has to be at least {least}")),
        Bounds::Range(least, most) if !(least as f64..=most as f64).contains(&value) => {
            Err(format!("it has to be between {least} and {most}"))
        }
        _ => Ok(()),
    }
}

impl ConfigValue for i32 {
    const TYPE: ConfigType = ConfigType::Int;
    #[allow(private_interfaces)]
    fn parse(name: &'static str, text: &str, bounds: &Bounds) -> Result<i32, ConfigError> {
        number(name, text, bounds)
    }
    fn print(&self) -> String {
        self.to_string()
    }
}

impl ConfigValue for i64 {
    const TYPE: ConfigType = ConfigType::Long;
    #[allow(private_interfaces)]
    fn parse(name: &'static str, text: &str, bounds: &Bounds) -> Result<i64, ConfigError> {
        let value: i64 =
            text.trim().parse().map_err(|_| invalid(name, text, "it is not a whole number of 64 bits"))?;
        in_bounds(value as f64, bounds).map_err(|expected| invalid(name, text, expected))?;
        Ok(value)
    }
    fn print(&self) -> String {
        self.to_string()
    }
}

impl ConfigValue for f64 {
    const TYPE: ConfigType = ConfigType::Double;
    #[allow(private_interfaces)]
    fn parse(name: &'static str, text: &str, bounds: &Bounds) -> Result<f64, ConfigError> {
        number(name, text, bounds)
    }
    fn print(&self) -> String {
        self.to_string()
    }
}

impl ConfigValue for bool {
    const TYPE: ConfigType = ConfigType::Boolean;
    #[allow(private_interfaces)]
    fn parse(name: &'static str, text: &str, bounds: &Bounds) -> Result<bool, ConfigError> {
        match (text.trim().to_ascii_lowercase().as_str(), bounds) {
            ("true", Bounds::OnlyFalse) => {
                Err(invalid(name, text, "this is not served; only false is taken"))
            }
            ("true", _) => Ok(true),
            ("false", _) => Ok(false),
            _ => Err(invalid(name, text, "it has to be true or false")),
        }
    }
    fn print(&self) -> String {
        self.to_string()
    }
}

/// One of a few words.
macro_rules! words {
    ($type:ty, $expected:literal, $($word:literal => $value:path),*) => {
        impl ConfigValue for $type {
            const TYPE: ConfigType = ConfigType::String;
            #[allow(private_interfaces)]
            fn parse(name: &'static str, text: &str, _: &Bounds) -> Result<$type, ConfigError> {
                match text.trim() {
                    $($word => Ok($value),)*
                    _ => Err(invalid(name, text, $expected)),
                }
            }
            fn print(&self) -> String {
                match self {
                    $($value => $word,)*
                }
                .to_owned()
            }
        }
    };
}

/// When a produce is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushMode {
    /// Once its bytes are flushed.
    BeforeAck,
    /// Once its bytes are written; flushed at intervals, as Kafka does.
    Interval,
}
words!(FlushMode, "it has to be before_ack or interval", "before_ack" => FlushMode::BeforeAck, "interval" => FlushMode::Interval);

/// What retention and sealing by time measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetentionTimeSource {
    /// The records' timestamps.
    Record,
    /// When they were appended here.
    Append,
}
words!(RetentionTimeSource, "it has to be record or append", "record" => RetentionTimeSource::Record, "append" => RetentionTimeSource::Append);

words!(TimestampType, "it has to be CreateTime or LogAppendTime",
    "CreateTime" => TimestampType::CreateTime, "LogAppendTime" => TimestampType::LogAppendTime);

/// How batches are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicCompression {
    /// As the producer compressed them.
    Producer,
    /// With this codec.
    Codec(Codec),
}

impl ConfigValue for TopicCompression {
    const TYPE: ConfigType = ConfigType::String;
    #[allow(private_interfaces)]
    fn parse(name: &'static str, text: &str, _: &Bounds) -> Result<TopicCompression, ConfigError> {
        match text.trim() {
            "producer" => Ok(TopicCompression::Producer),
            "uncompressed" => Ok(TopicCompression::Codec(Codec::None)),
            "none" => Err(invalid(name, text, "no compression is called uncompressed here")),
            codec => codec.parse().map(TopicCompression::Codec).map_err(|_| {
                invalid(name, text, "it has to be producer, uncompressed, gzip, snappy, lz4 or zstd")
            }),
        }
    }
    fn print(&self) -> String {
        match self {
            TopicCompression::Producer => "producer".to_owned(),
            TopicCompression::Codec(Codec::None) => "uncompressed".to_owned(),
            TopicCompression::Codec(codec) => codec.name().to_owned(),
        }
    }
}

/// What becomes of old data. Neither keeps all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments are deleted, by time and size.
    pub delete: bool,
    /// The last value of each key is kept.
    pub compact: bool,
}

impl CleanupPolicy {
    /// `delete` alone.
    pub const DELETE: CleanupPolicy = CleanupPolicy { delete: true, compact: false };
    /// `compact` alone.
    pub const COMPACT: CleanupPolicy = CleanupPolicy { delete: false, compact: true };
}

impl ConfigValue for CleanupPolicy {
    const TYPE: ConfigType = ConfigType::List;
    #[allow(private_interfaces)]
    fn parse(name: &'static str, text: &str, _: &Bounds) -> Result<CleanupPolicy, ConfigError> {
        let mut policy = CleanupPolicy { delete: false, compact: false };
        for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            match word {
                "delete" => policy.delete = true,
                "compact" => policy.compact = true,
                _ => return Err(invalid(name, text, "it has to be delete, compact, both or empty")),
            }
        }
        Ok(policy)
    }
    fn print(&self) -> String {
        match (self.compact, self.delete) {
            (true, true) => "compact,delete",
            (true, false) => "compact",
            (false, true) => "delete",
            (false, false) => "",
        }
        .to_owned()
    }
}

/// What names a message within the dedup window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DedupKey {
    /// The record's key.
    Key,
    /// The value of this header.
    Header(String),
}

impl ConfigValue for DedupKey {
    const TYPE: ConfigType = ConfigType::String;
    #[allow(private_interfaces)]
    fn parse(name: &'static str, text: &str, _: &Bounds) -> Result<DedupKey, ConfigError> {
        match text.trim().split_once(':') {
            None if text.trim() == "key" => Ok(DedupKey::Key),
            Some(("header", header)) if !header.is_empty() => Ok(DedupKey::Header(header.to_owned())),
            _ => Err(invalid(name, text, "it has to be key or header:<name>")),
        }
    }
    fn print(&self) -> String {
        match self {
            DedupKey::Key => "key".to_owned(),
            DedupKey::Header(name) => format!("header:{name}"),
        }
    }
}

/// Replicas whose traffic is throttled: `*`, or pairs of partition and broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Throttled {
    /// None.
    #[default]
    None,
    /// Every one.
    All,
    /// These.
    Pairs(Vec<(i32, i32)>),
}

impl ConfigValue for Throttled {
    const TYPE: ConfigType = ConfigType::List;
    #[allow(private_interfaces)]
    fn parse(name: &'static str, text: &str, _: &Bounds) -> Result<Throttled, ConfigError> {
        match text.trim() {
            "" => return Ok(Throttled::None),
            "*" => return Ok(Throttled::All),
            _ => {}
        }
        let pair = |word: &str| {
            let (partition, broker) = word.trim().split_once(':')?;
            Some((partition.parse().ok()?, broker.parse().ok()?))
        };
        let pairs: Option<Vec<_>> = text.split(',').map(pair).collect();
        pairs
            .map(Throttled::Pairs)
            .ok_or_else(|| invalid(name, text, "it has to be * or partition:broker pairs"))
    }
    fn print(&self) -> String {
        match self {
            Throttled::None => String::new(),
            Throttled::All => "*".to_owned(),
            Throttled::Pairs(pairs) => {
                let mut text = String::new();
                for (i, (partition, broker)) in pairs.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    let _ = write!(text, "{comma}{partition}:{broker}");
                }
                text
            }
        }
    }
}
