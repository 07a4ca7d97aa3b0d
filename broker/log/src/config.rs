//! The configuration of a topic: the one place where its names, types, defaults, bounds and words are. A log reads the
//! fields that concern it; the broker answers DescribeConfigs from [`DEFINITIONS`] and parses what users set with
//! [`LogConfig::set`]. Never enters: where the values are kept, brokers' own settings (each definition names the broker
//! setting that gives its default).

mod value;

use millstream_batch::TimestampType;
use millstream_batch::validate::{Depth, KeyRule, Limits, Origin};
use millstream_types::Millis;
use millstream_types::limits::BATCH_UNCOMPRESSED_BYTES_MAX;

use value::{Bounds, Throttled};
pub use value::{
    CleanupPolicy, ConfigError, ConfigType, ConfigValue, DedupKey, FlushMode, RetentionTimeSource,
    TopicCompression,
};

/// What is known of one topic setting.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Kafka's name, or ours.
    pub name: &'static str,
    /// Its type, as DescribeConfigs answers it.
    pub config_type: ConfigType,
    /// What it does, for people.
    pub doc: &'static str,
    /// The broker setting that its default comes from, where there is one.
    pub broker_name: Option<&'static str>,
}

macro_rules! settings {
    ($($name:literal $field:ident: $type:ty = $default:expr, $bounds:expr, $broker:expr, $doc:literal;)*) => {
        /// A topic's settings, by value.
        #[derive(Clone, Debug, PartialEq)]
        pub struct LogConfig {
            $(#[doc = concat!("`", $name, "`: ", $doc)] pub $field: $type,)*
        }

        impl Default for LogConfig {
            /// Kafka 4.4.0's defaults.
            fn default() -> LogConfig {
                LogConfig { $($field: $default,)* }
            }
        }

        /// Every topic setting, in Kafka's order.
        pub const DEFINITIONS: &[Definition] = &[$(Definition {
            name: $name,
            config_type: <$type as ConfigValue>::TYPE,
            doc: $doc,
            broker_name: $broker,
        },)*];

        impl LogConfig {
            /// Sets one setting from its text.
            ///
            /// # Errors
            /// An unknown name, text of another type, or a value out of bounds; nothing is changed then.
            pub fn set(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
                match name {
                    $($name => self.$field = <$type as ConfigValue>::parse($name, text, &$bounds)?,)*
                    _ => return Err(ConfigError::Unknown(name.to_owned())),
                }
                Ok(())
            }

            /// A setting's value as text; `None` for a name that is none of ours.
            pub fn get(&self, name: &str) -> Option<String> {
                Some(match name {
                    $($name => ConfigValue::print(&self.$field),)*
                    _ => return None,
                })
            }
        }
    };
}

const ANY: Bounds = Bounds::Any;
const NOT_NEGATIVE: Bounds = Bounds::AtLeast(0);
const POSITIVE: Bounds = Bounds::AtLeast(1);

settings! {
    "cleanup.policy" cleanup_policy: CleanupPolicy = CleanupPolicy::DELETE, ANY, Some("log.cleanup.policy"),
        "what becomes of old data: `delete` by time and size, `compact` to the last value of each key, or both";
    "compression.gzip.level" compression_gzip_level: i32 = -1, Bounds::Range(-1, 9), Some("compression.gzip.level"),
        "how hard gzip tries, 1 to 9, or -1 for its default";
    "compression.lz4.level" compression_lz4_level: i32 = 9, Bounds::Range(1, 17), Some("compression.lz4.level"),
        "how hard lz4 tries, 1 to 17";
    "compression.type" compression_type: TopicCompression = TopicCompression::Producer, ANY, Some("compression.type"),
        "the codec of stored batches, or `producer` to keep the producer's";
    "compression.zstd.level" compression_zstd_level: i32 = 3, Bounds::Range(-131_072, 22), Some("compression.zstd.level"),
        "how hard zstd tries, -131072 to 22";
    "dedup.key" dedup_key: DedupKey = DedupKey::Key, ANY, None,
        "what names a message within `dedup.window.ms`: `key`, or `header:<name>`";
    "dedup.window.ms" dedup_window_ms: i64 = 0, NOT_NEGATIVE, None,
        "for how long a repeated message is dropped, in milliseconds; 0 keeps repeats";
    "delete.retention.ms" delete_retention_ms: i64 = 86_400_000, NOT_NEGATIVE, Some("log.cleaner.delete.retention.ms"),
        "for how long a compacted topic keeps tombstones, in milliseconds";
    "file.delete.delay.ms" file_delete_delay_ms: i64 = 60_000, NOT_NEGATIVE, Some("log.segment.delete.delay.ms"),
        "how long a file stays after it was renamed for deletion, in milliseconds";
    "flush.messages" flush_messages: i64 = i64::MAX, POSITIVE, Some("log.flush.interval.messages"),
        "with `flush.mode=interval`, flush after this many records";
    "flush.mode" flush_mode: FlushMode = FlushMode::BeforeAck, ANY, None,
        "`before_ack` answers a produce with acks=1 or all once it is flushed; `interval` flushes as Kafka does";
    "flush.ms" flush_ms: i64 = i64::MAX, NOT_NEGATIVE, Some("log.flush.interval.ms"),
        "with `flush.mode=interval`, flush after this many milliseconds";
    "follower.replication.throttled.replicas" follower_throttled: Throttled = Throttled::default(), ANY, None,
        "partition:broker pairs whose following is throttled, or `*`";
    "index.interval.bytes" index_interval_bytes: i32 = 4096, NOT_NEGATIVE, Some("log.index.interval.bytes"),
        "about how many bytes of batches lie between two entries of the offset index";
    "internal.segment.bytes" internal_segment_bytes: i32 = 0, NOT_NEGATIVE, None,
        "a segment size below the bound of `segment.bytes`, for tests; 0 leaves that in force";
    "leader.replication.throttled.replicas" leader_throttled: Throttled = Throttled::default(), ANY, None,
        "partition:broker pairs whose leading is throttled, or `*`";
    "max.compaction.lag.ms" max_compaction_lag_ms: i64 = i64::MAX, POSITIVE, Some("log.cleaner.max.compaction.lag.ms"),
        "how long a record may stay uncompacted, in milliseconds";
    "max.message.bytes" max_message_bytes: i32 = 1_048_588, NOT_NEGATIVE, Some("message.max.bytes"),
        "the largest batch that is taken, in bytes";
    "message.timestamp.after.max.ms" timestamp_after_max_ms: i64 = 3_600_000, NOT_NEGATIVE, Some("log.message.timestamp.after.max.ms"),
        "how far a record's timestamp may lie ahead of the broker's clock, in milliseconds";
    "message.timestamp.before.max.ms" timestamp_before_max_ms: i64 = i64::MAX, NOT_NEGATIVE, Some("log.message.timestamp.before.max.ms"),
        "how far a record's timestamp may lie behind the broker's clock, in milliseconds";
    "message.timestamp.type" timestamp_type: TimestampType = TimestampType::CreateTime, ANY, Some("log.message.timestamp.type"),
        "`CreateTime` keeps the producer's timestamps, `LogAppendTime` sets the broker's";
    "min.cleanable.dirty.ratio" min_cleanable_dirty_ratio: f64 = 0.5, Bounds::Range(0, 1), Some("log.cleaner.min.cleanable.ratio"),
        "the part of a compacted log that has to be uncompacted before it is compacted again, 0 to 1";
    "min.compaction.lag.ms" min_compaction_lag_ms: i64 = 0, NOT_NEGATIVE, Some("log.cleaner.min.compaction.lag.ms"),
        "how long a record stays uncompacted at least, in milliseconds";
    "min.insync.replicas" min_insync_replicas: i32 = 1, POSITIVE, Some("min.insync.replicas"),
        "the replicas that must have a record before acks=all is answered";
    "preallocate" preallocate: bool = false, ANY, Some("log.preallocate"),
        "kept for Kafka's tools; segments are never preallocated";
    "remote.storage.enable" remote_storage_enable: bool = false, Bounds::OnlyFalse, None,
        "tiered storage, which is not served: only `false` is taken";
    "retention.bytes" retention_bytes: i64 = -1, Bounds::AtLeast(-1), Some("log.retention.bytes"),
        "the bytes of a partition beyond which its oldest segments go; -1 for no bound";
    "retention.ms" retention_ms: i64 = 604_800_000, Bounds::AtLeast(-1), Some("log.retention.ms"),
        "the age at which a partition's oldest segments go, in milliseconds; -1 for never";
    "retention.time.source" retention_time_source: RetentionTimeSource = RetentionTimeSource::Record, ANY, None,
        "what `retention.ms` and `segment.ms` measure: the `record` timestamps as Kafka does, or the time of `append`";
    "segment.bytes" segment_bytes: i32 = 1_073_741_824, Bounds::AtLeast(1_048_576), Some("log.segment.bytes"),
        "the bytes at which a segment is sealed";
    "segment.index.bytes" segment_index_bytes: i32 = 10_485_760, Bounds::AtLeast(4), Some("log.index.size.max.bytes"),
        "the bytes of an index at which its segment is sealed";
    "segment.jitter.ms" segment_jitter_ms: i64 = 0, NOT_NEGATIVE, Some("log.roll.jitter.ms"),
        "up to this much is taken off `segment.ms`, by chance, so that segments are not all sealed at once";
    "segment.ms" segment_ms: i64 = 604_800_000, POSITIVE, Some("log.roll.ms"),
        "the age at which a segment is sealed though it is not full, in milliseconds";
    "unclean.leader.election.enable" unclean_leader_election: bool = false, ANY, Some("unclean.leader.election.enable"),
        "whether a replica that may lack acknowledged records may lead";
}

impl LogConfig {
    /// The defaults with these settings over them.
    ///
    /// # Errors
    /// The first setting that is unknown, malformed or out of bounds, or two that contradict each other.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<LogConfig, ConfigError> {
        let mut config = LogConfig::default();
        config.apply(pairs)?;
        Ok(config)
    }

    /// Lays settings over these, and checks the whole.
    ///
    /// # Errors
    /// As [`LogConfig::from_pairs`]; what was set before the fault stays, so work on a copy.
    pub fn apply<'a>(
        &mut self,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), ConfigError> {
        pairs.into_iter().try_for_each(|(name, text)| self.set(name, text))?;
        self.validate()
    }

    /// Checks what no setting shows alone.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.max_compaction_lag_ms < self.min_compaction_lag_ms {
            return Err(ConfigError::Conflict(format!(
                "max.compaction.lag.ms ({}) is below min.compaction.lag.ms ({})",
                self.max_compaction_lag_ms, self.min_compaction_lag_ms
            )));
        }
        Ok(())
    }

    /// The bytes at which a segment is sealed, the tests' setting included.
    pub fn segment_bytes_max(&self) -> u64 {
        let bytes =
            if self.internal_segment_bytes > 0 { self.internal_segment_bytes } else { self.segment_bytes };
        u64::try_from(bytes).unwrap_or(0)
    }

    /// What `millstream_batch::validate_for_append` is to check of a batch for this topic.
    pub fn limits(&self, now_ms: Millis, origin: Origin) -> Limits {
        let compacted = self.cleanup_policy.compact;
        Limits {
            batch_bytes_max: usize::try_from(self.max_message_bytes).unwrap_or(0),
            uncompressed_bytes_max: BATCH_UNCOMPRESSED_BYTES_MAX,
            depth: Depth::Records,
            origin,
            keys: if compacted { KeyRule::Required } else { KeyRule::Optional },
            now_ms,
            timestamp_type: self.timestamp_type,
            timestamp_before_ms_max: self.timestamp_before_max_ms,
            timestamp_after_ms_max: self.timestamp_after_max_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_prints_what_it_parses() {
        let config = LogConfig::default();
        for definition in DEFINITIONS {
            let text = config.get(definition.name).unwrap();
            let mut again = LogConfig::default();
            again.set(definition.name, &text).unwrap_or_else(|e| panic!("{}: {e}", definition.name));
            assert_eq!(again, config, "{}", definition.name);
        }
        assert!(DEFINITIONS.windows(2).all(|w| w[0].name < w[1].name), "in order, each once");
    }

    #[test]
    fn settings_have_bounds() {
        let good = [
            ("cleanup.policy", "compact,delete"),
            ("cleanup.policy", ""),
            ("retention.ms", "-1"),
            ("min.cleanable.dirty.ratio", "0.01"),
            ("message.timestamp.type", "LogAppendTime"),
            ("compression.type", "zstd"),
            ("dedup.key", "header:message-id"),
            ("retention.time.source", "append"),
            ("flush.mode", "interval"),
            ("leader.replication.throttled.replicas", "*"),
            ("follower.replication.throttled.replicas", "0:1,1:2"),
        ];
        for (name, text) in good {
            let config =
                LogConfig::from_pairs([(name, text)]).unwrap_or_else(|e| panic!("{name}={text}: {e}"));
            assert_eq!(config.get(name).as_deref(), Some(text));
        }
        let bad = [
            ("cleanup.policy", "shrink"),
            ("retention.ms", "-2"),
            ("retention.ms", "week"),
            ("segment.bytes", "1000"),
            ("segment.bytes", "2147483648"),
            ("min.cleanable.dirty.ratio", "1.5"),
            ("preallocate", "yes"),
            ("remote.storage.enable", "true"),
            ("dedup.key", "header:"),
            ("compression.type", "brotli"),
            ("segment.megabytes", "1"),
            ("leader.replication.throttled.replicas", "1-2"),
        ];
        for (name, text) in bad {
            let error = LogConfig::from_pairs([(name, text)]).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        let contradiction = [("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")];
        assert!(LogConfig::from_pairs(contradiction).is_err());
    }
}
