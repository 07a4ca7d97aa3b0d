//! The broker's settings: Kafka's names, each with its default, bounds and meaning in one table. Whoever starts a
//! broker gives `key=value` pairs; a key that Kafka has and this broker does not honour is refused with that reason,
//! never taken in silence. Never enters: topic settings (`millstream-log` has their table; here only their
//! broker-wide defaults pass through).

use std::collections::BTreeMap;

use millstream_log::LogConfig;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number between two bounds, both allowed.
    Number(i64, i64),
    /// `true` or `false`.
    Flag,
    /// Text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Kafka's name.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// Its value where nothing is said.
    pub default: &'static str,
    /// What it does, for the reference page and DescribeConfigs.
    pub doc: &'static str,
}

const MAX32: i64 = i32::MAX as i64;

const fn setting(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Setting {
    Setting { name, kind, default, doc }
}

/// Every setting that this broker honours, by name.
pub const SETTINGS: &[Setting] = &[
    setting(
        "advertised.listeners",
        Kind::Text,
        "",
        "HOST:PORT that clients are told to connect to; where empty, the listener's own.",
    ),
    setting(
        "auto.create.topics.enable",
        Kind::Flag,
        "true",
        "Whether Metadata for an unknown topic makes it, where the client allows that.",
    ),
    setting("broker.rack", Kind::Text, "", "The rack of this broker, for placement."),
    setting(
        "connections.max.idle.ms",
        Kind::Number(1_000, i64::MAX),
        "600000",
        "A connection without a request for this long is closed.",
    ),
    setting(
        "default.replication.factor",
        Kind::Number(1, 32_767),
        "1",
        "Replicas of a topic that does not say how many.",
    ),
    setting("delete.topic.enable", Kind::Flag, "true", "Whether topics can be deleted."),
    setting(
        "fetch.max.bytes",
        Kind::Number(1024, MAX32),
        "57671680",
        "The most bytes that one Fetch is answered with.",
    ),
    setting(
        "flush.mode",
        Kind::Word(&["before_ack", "interval"]),
        "before_ack",
        "Ours: before_ack answers a produce when it is on disk, interval when it is in the page cache, as Kafka does.",
    ),
    setting(
        "group.consumer.heartbeat.interval.ms",
        Kind::Number(100, MAX32),
        "5000",
        "The longest interval that consumer group members (KIP-848) are told to beat at; with work pending it is shorter.",
    ),
    setting(
        "group.consumer.session.timeout.ms",
        Kind::Number(1_000, MAX32),
        "45000",
        "A consumer group member (KIP-848) that is not heard of for this long is removed.",
    ),
    setting(
        "group.initial.rebalance.delay.ms",
        Kind::Number(0, MAX32),
        "3000",
        "How long an empty classic group waits for more members; ends early when no join came for 200 ms.",
    ),
    setting(
        "group.max.session.timeout.ms",
        Kind::Number(1, MAX32),
        "1800000",
        "The longest session time-out of a classic member.",
    ),
    setting("group.max.size", Kind::Number(1, MAX32), "2147483647", "The most members of a group."),
    setting(
        "group.min.session.timeout.ms",
        Kind::Number(1, MAX32),
        "6000",
        "The shortest session time-out of a classic member.",
    ),
    setting(
        "log.cleaner.backoff.ms",
        Kind::Number(0, i64::MAX),
        "15000",
        "How long the cleaner waits when nothing is to be cleaned.",
    ),
    setting(
        "log.cleaner.dedupe.buffer.size",
        Kind::Number(1 << 20, i64::MAX),
        "134217728",
        "Bytes of the map of keys of one compaction; what does not fit waits for the next.",
    ),
    setting("log.cleaner.enable", Kind::Flag, "true", "Whether compacted topics are compacted."),
    setting(
        "log.dirs",
        Kind::Text,
        "",
        "Directories for logs, separated by commas; where empty, the data directory given at start.",
    ),
    setting(
        "log.flush.offset.checkpoint.interval.ms",
        Kind::Number(1, MAX32),
        "60000",
        "How often recovery points and high watermarks are written down.",
    ),
    setting(
        "log.retention.check.interval.ms",
        Kind::Number(1, i64::MAX),
        "300000",
        "How often retention is looked at.",
    ),
    setting(
        "max.incremental.fetch.session.cache.slots",
        Kind::Number(0, MAX32),
        "1000",
        "Fetch sessions kept at once.",
    ),
    setting(
        "message.max.bytes",
        Kind::Number(0, MAX32),
        "1048588",
        "The largest record batch of a topic that does not set max.message.bytes.",
    ),
    setting(
        "metadata.log.max.record.bytes.between.snapshots",
        Kind::Number(1, i64::MAX),
        "20971520",
        "Bytes of the metadata log after which a snapshot is made and what lies below it deleted.",
    ),
    setting("min.insync.replicas", Kind::Number(1, MAX32), "1", "In-sync replicas that acks=all needs."),
    setting("node.id", Kind::Number(0, MAX32), "1", "This broker's number."),
    setting(
        "num.partitions",
        Kind::Number(1, MAX32),
        "1",
        "Partitions of a topic that does not say how many.",
    ),
    setting(
        "num.recovery.threads.per.data.dir",
        Kind::Number(1, 1024),
        "2",
        "Threads that recover logs at start, for each directory.",
    ),
    setting(
        "offset.metadata.max.bytes",
        Kind::Number(0, MAX32),
        "4096",
        "The most metadata that a committed offset carries.",
    ),
    setting(
        "offsets.pin.new.partitions",
        Kind::Flag,
        "true",
        "Ours: a group reads partitions that were added after it subscribed from their beginning, whatever auto.offset.reset says.",
    ),
    setting(
        "offsets.retention.check.interval.ms",
        Kind::Number(1, i64::MAX),
        "600000",
        "How often offsets are looked at for expiry.",
    ),
    setting(
        "offsets.retention.minutes",
        Kind::Number(1, MAX32),
        "10080",
        "Offsets of a group without members are kept this long.",
    ),
    setting(
        "offsets.topic.num.partitions",
        Kind::Number(1, 10_000),
        "50",
        "Partitions of __consumer_offsets; fixed once it exists.",
    ),
    setting(
        "producer.id.expiration.ms",
        Kind::Number(1, MAX32),
        "86400000",
        "A producer id that wrote nothing for this long is forgotten by a partition.",
    ),
    setting(
        "queued.max.request.bytes",
        Kind::Number(-1, i64::MAX),
        "-1",
        "Bytes that requests under way may hold over all connections; -1 is 256 MiB.",
    ),
    setting(
        "replica.lag.time.max.ms",
        Kind::Number(1, i64::MAX),
        "30000",
        "A follower that has not caught up for this long leaves the in-sync replicas.",
    ),
    setting(
        "socket.receive.buffer.bytes",
        Kind::Number(-1, MAX32),
        "-1",
        "The kernel's receive buffer of a connection (SO_RCVBUF); -1 lets it grow, which takes large requests faster.",
    ),
    setting("socket.request.max.bytes", Kind::Number(1024, MAX32), "104857600", "The largest request."),
    setting(
        "socket.send.buffer.bytes",
        Kind::Number(-1, MAX32),
        "102400",
        "The kernel's send buffer of a connection (SO_SNDBUF); -1 leaves it to the system.",
    ),
    setting(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        Kind::Number(1, MAX32),
        "10000",
        "How often open transactions are looked at for their time-out.",
    ),
    setting(
        "transaction.max.timeout.ms",
        Kind::Number(1, MAX32),
        "900000",
        "The longest time-out that a transactional producer may ask for.",
    ),
    setting(
        "transaction.state.log.num.partitions",
        Kind::Number(1, 10_000),
        "50",
        "Partitions of __transaction_state; fixed once it exists.",
    ),
    setting(
        "transactional.id.expiration.ms",
        Kind::Number(1, MAX32),
        "604800000",
        "A transactional id that is not used for this long is forgotten.",
    ),
    setting(
        "worker.threads",
        Kind::Number(0, 1024),
        "0",
        "Ours: threads that serve connections; 0 is one for each processor.",
    ),
];

/// Defaults of topic settings that a broker may be given, and the topic setting each one is for.
pub const TOPIC_DEFAULTS: &[(&str, &str)] = &[
    ("compression.type", "compression.type"),
    ("log.cleaner.delete.retention.ms", "delete.retention.ms"),
    ("log.cleaner.max.compaction.lag.ms", "max.compaction.lag.ms"),
    ("log.cleaner.min.cleanable.ratio", "min.cleanable.dirty.ratio"),
    ("log.cleaner.min.compaction.lag.ms", "min.compaction.lag.ms"),
    ("log.cleanup.policy", "cleanup.policy"),
    ("log.flush.interval.messages", "flush.messages"),
    ("log.flush.interval.ms", "flush.ms"),
    ("log.index.interval.bytes", "index.interval.bytes"),
    ("log.index.size.max.bytes", "segment.index.bytes"),
    ("log.message.timestamp.after.max.ms", "message.timestamp.after.max.ms"),
    ("log.message.timestamp.before.max.ms", "message.timestamp.before.max.ms"),
    ("log.message.timestamp.type", "message.timestamp.type"),
    ("log.retention.bytes", "retention.bytes"),
    ("log.retention.ms", "retention.ms"),
    ("log.roll.jitter.ms", "segment.jitter.ms"),
    ("log.roll.ms", "segment.ms"),
    ("log.segment.bytes", "segment.bytes"),
    ("log.segment.delete.delay.ms", "file.delete.delay.ms"),
    ("message.max.bytes", "max.message.bytes"),
    ("min.insync.replicas", "min.insync.replicas"),
    ("flush.mode", "flush.mode"),
];

/// Kafka's settings in longer units, the milliseconds of each, and the setting that they stand in for. As in Kafka, a
/// finer one that is set too wins, wherever it stands: the first of these is finer than the next.
const COARSER: &[(&str, i64, &str)] = &[
    ("log.retention.minutes", 60_000, "log.retention.ms"),
    ("log.retention.hours", 3_600_000, "log.retention.ms"),
    ("log.roll.hours", 3_600_000, "log.roll.ms"),
    ("log.roll.jitter.hours", 3_600_000, "log.roll.jitter.ms"),
];

/// A setting that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not `key=value`.
    #[error("reading a broker setting: \"{0}\" is not KEY=VALUE")]
    Form(String),
    /// No such key.
    #[error("broker setting \"{name}\" is not one this broker honours{}", suggestion(.nearest))]
    Unknown {
        /// The key.
        name: String,
        /// The honoured key nearest to it.
        nearest: Option<&'static str>,
    },
    /// A value of the wrong kind or out of bounds.
    #[error("broker setting {name}: \"{value}\" is not {wanted}")]
    Value {
        /// The key.
        name: String,
        /// What was given.
        value: String,
        /// What is taken.
        wanted: String,
    },
    /// A default of a topic setting that the topic setting does not take.
    #[error("broker setting {name}: {source}")]
    TopicDefault {
        /// The key.
        name: String,
        /// Why.
        source: millstream_log::ConfigError,
    },
    /// Settings that are good alone and not together.
    #[error("broker settings: {0}")]
    Together(millstream_log::ConfigError),
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |n| format!("; did you mean {n}?"))
}

/// A broker's settings: what was set, over the table's defaults.
#[derive(Clone, Debug, Default)]
pub struct Config {
    set: BTreeMap<&'static str, String>,
    /// By Kafka's key for the broker, and how coarse the setting was that gave the value: the finest counts.
    topic_defaults: BTreeMap<(&'static str, usize), String>,
}

impl Config {
    /// Takes `key=value` pairs; every fault is returned, not only the first.
    pub fn from_pairs<S: AsRef<str>>(pairs: &[S]) -> Result<Config, Vec<ConfigError>> {
        let mut config = Config::default();
        let mut faults = Vec::new();
        for pair in pairs {
            match pair.as_ref().split_once('=') {
                Some((name, value)) => faults.extend(config.set(name.trim(), value.trim()).err()),
                None => faults.push(ConfigError::Form(pair.as_ref().to_owned())),
            }
        }
        if faults.is_empty() {
            let defaults = LogConfig::from_pairs(config.topic_defaults());
            faults.extend(defaults.err().map(ConfigError::Together));
        }
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// Sets one key.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let own = SETTINGS.iter().find(|s| s.name == name);
        let coarser = COARSER.iter().position(|(key, ..)| *key == name);
        let (key, value, rank) = match coarser {
            Some(at) => {
                let (_, unit, key) = COARSER[at];
                let wanted = || format!("a number up to {}, or -1 for ever", i64::MAX / unit);
                let count = value.parse::<i64>().ok().filter(|n| *n >= -1 && *n <= i64::MAX / unit);
                let count = count.ok_or_else(|| ConfigError::Value {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    wanted: wanted(),
                })?;
                (key, &(if count < 0 { count } else { count * unit }).to_string()[..], at + 1)
            }
            None => (name, value, 0),
        };
        let topic = TOPIC_DEFAULTS.iter().find(|(of, _)| *of == key);
        if let Some(setting) = own {
            check(setting, value)?;
            self.set.insert(setting.name, value.to_owned());
        }
        if let Some((key, setting)) = topic {
            // By the rules of the topic setting that it is the default of; no part of another setting's.
            LogConfig::default()
                .set(setting, value)
                .map_err(|source| ConfigError::TopicDefault { name: name.to_owned(), source })?;
            self.topic_defaults.insert((key, rank), value.to_owned());
        }
        if own.is_none() && topic.is_none() {
            return Err(ConfigError::Unknown { name: name.to_owned(), nearest: nearest(name) });
        }
        Ok(())
    }

    /// The value of a setting of [`SETTINGS`] as text, and whether it was set.
    pub fn text(&self, name: &str) -> (&str, bool) {
        match self.set.get(name) {
            Some(value) => (value, true),
            None => (SETTINGS.iter().find(|s| s.name == name).map_or("", |s| s.default), false),
        }
    }

    /// The value of a numeric setting.
    pub fn number(&self, name: &str) -> i64 {
        self.text(name)
            .0
            .parse()
            .unwrap_or_else(|_| panic!("{name} is not a number of the table of settings"))
    }

    /// The value of a flag.
    pub fn flag(&self, name: &str) -> bool {
        self.text(name).0 == "true"
    }

    /// Topic settings that this broker gives as defaults, under their topic names.
    pub fn topic_defaults(&self) -> impl Iterator<Item = (&str, &str)> {
        TOPIC_DEFAULTS.iter().filter_map(|(key, topic)| {
            let (_, finest) = self.topic_defaults.range((*key, 0)..=(*key, usize::MAX)).next()?;
            Some((*topic, finest.as_str()))
        })
    }

    /// Bytes that requests under way may hold.
    pub fn request_bytes(&self) -> usize {
        usize::try_from(self.number("queued.max.request.bytes")).unwrap_or(256 * 1024 * 1024)
    }
}

fn check(setting: &Setting, value: &str) -> Result<(), ConfigError> {
    let (good, wanted) = match setting.kind {
        Kind::Number(low, high) => (
            value.parse::<i64>().is_ok_and(|n| (low..=high).contains(&n)),
            format!("a number from {low} to {high}"),
        ),
        Kind::Flag => (matches!(value, "true" | "false"), "true or false".to_owned()),
        Kind::Word(words) => (words.contains(&value), format!("one of {}", words.join(", "))),
        Kind::Text => (true, String::new()),
    };
    if good {
        return Ok(());
    }
    Err(ConfigError::Value { name: setting.name.to_owned(), value: value.to_owned(), wanted })
}

/// The honoured key with the smallest edit distance, if it is near at all.
fn nearest(name: &str) -> Option<&'static str> {
    let keys = SETTINGS.iter().map(|s| s.name).chain(TOPIC_DEFAULTS.iter().map(|(key, _)| *key));
    let keys = keys.chain(COARSER.iter().map(|(key, ..)| *key));
    keys.map(|key| (distance(name, key), key))
        .min()
        .filter(|(d, key)| *d <= key.len() / 3)
        .map(|(_, key)| key)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replace = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_defaults_are_good() {
        assert!(SETTINGS.is_sorted_by_key(|s| s.name));
        for setting in SETTINGS {
            assert_eq!(check(setting, setting.default), Ok(()), "{}", setting.name);
            assert!(setting.doc.ends_with('.'), "{}", setting.name);
        }
    }

    #[test]
    fn every_fault_is_told() {
        let faults = Config::from_pairs(&[
            "num.partitions=0",
            "num.partition=3",
            "flush.mode",
            "zookeeper.connect=x",
            "log.segment.bytes=1",
            "log.cleanup.policy=shred",
        ])
        .unwrap_err();
        let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "broker setting num.partitions: \"0\" is not a number from 1 to 2147483647",
                "broker setting \"num.partition\" is not one this broker honours; did you mean num.partitions?",
                "reading a broker setting: \"flush.mode\" is not KEY=VALUE",
                "broker setting \"zookeeper.connect\" is not one this broker honours",
                "broker setting log.segment.bytes: setting segment.bytes to \"1\": it has to be at least 1048576",
                "broker setting log.cleanup.policy: setting cleanup.policy to \"shred\": it has to be delete, compact, both or empty",
            ]
        );
    }

    #[test]
    fn what_is_set_wins() {
        let config = Config::from_pairs(&["num.partitions=7", "log.retention.ms=5"]).unwrap();
        assert_eq!(config.number("num.partitions"), 7);
        assert_eq!(config.number("node.id"), 1);
        assert_eq!(config.topic_defaults().collect::<Vec<_>>(), [("retention.ms", "5")]);
        let coarse = [
            "log.retention.hours=2",
            "log.retention.minutes=3",
            "log.roll.hours=1",
            "log.roll.jitter.hours=0",
        ];
        let config = Config::from_pairs(&coarse).unwrap();
        let wanted = [("retention.ms", "180000"), ("segment.jitter.ms", "0"), ("segment.ms", "3600000")];
        assert_eq!(config.topic_defaults().collect::<Vec<_>>(), wanted);
        let config = Config::from_pairs(&["log.retention.ms=7", "log.retention.hours=-1"]).unwrap();
        assert_eq!(config.topic_defaults().collect::<Vec<_>>(), [("retention.ms", "7")]);
        let config = Config::from_pairs(&["log.retention.hours=-1"]).unwrap();
        assert_eq!(config.topic_defaults().collect::<Vec<_>>(), [("retention.ms", "-1")]);
        assert!(Config::from_pairs(&["log.retention.hours=2562047788016"]).is_err());
        assert!(Config::from_pairs(&["log.roll.hours=0"]).is_err());
    }
}
