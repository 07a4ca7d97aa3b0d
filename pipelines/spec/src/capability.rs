//! What the engine that will run a pipeline can do. The file's shape is wider than any one version: what is known and
//! not run is refused by name instead of being an unknown key.
//!
//! Never enters: what a connector can do (`catalog.rs`).

use std::collections::BTreeSet;

/// Something that an engine may have beside its operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// `TUMBLE`.
    Tumble,
    /// `HOP`.
    Hop,
    /// `CUMULATE`.
    Cumulate,
    /// `SESSION`.
    Session,
    /// Several streams in one `sql`.
    StreamJoin,
    /// `emit: { on_update: … }`.
    EmitOnUpdate,
    /// `late: { then: update }`.
    LateUpdate,
    /// `late: { then: topic }`.
    LateTopic,
    /// `where` of a sink.
    SinkWhere,
    /// `broker: { tls: … }`.
    BrokerTls,
    /// `broker: { sasl: … }`.
    BrokerSasl,
    /// Operators whose key is not the one of the topic that they read.
    Exchange,
}

impl Feature {
    /// As a message names it.
    pub fn word(self) -> &'static str {
        match self {
            Feature::Tumble => "TUMBLE",
            Feature::Hop => "HOP",
            Feature::Cumulate => "CUMULATE",
            Feature::Session => "SESSION",
            Feature::StreamJoin => "joining streams",
            Feature::EmitOnUpdate => "emit: on_update",
            Feature::LateUpdate => "late: then: update",
            Feature::LateTopic => "late: then: topic",
            Feature::SinkWhere => "a sink's where",
            Feature::BrokerTls => "TLS to the broker",
            Feature::BrokerSasl => "SASL to the broker",
            Feature::Exchange => "an exchange",
        }
    }

    /// Every feature.
    pub const ALL: [Feature; 12] = [
        Feature::Tumble,
        Feature::Hop,
        Feature::Cumulate,
        Feature::Session,
        Feature::StreamJoin,
        Feature::EmitOnUpdate,
        Feature::LateUpdate,
        Feature::LateTopic,
        Feature::SinkWhere,
        Feature::BrokerTls,
        Feature::BrokerSasl,
        Feature::Exchange,
    ];
}

/// What an engine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Operators by their `type`.
    pub operators: BTreeSet<&'static str>,
    /// What it has beside.
    pub features: BTreeSet<Feature>,
}

impl Capabilities {
    /// What this version runs.
    pub fn this_version() -> Capabilities {
        Capabilities {
            operators: BTreeSet::from(["wasm", "topic", "dedupe", "sql", "filter", "map"]),
            features: BTreeSet::from([
                Feature::Tumble,
                Feature::Hop,
                Feature::Cumulate,
                Feature::Session,
                Feature::StreamJoin,
                Feature::EmitOnUpdate,
                Feature::SinkWhere,
                Feature::LateTopic,
                Feature::LateUpdate,
            ]),
        }
    }

    /// Everything that the file's shape knows.
    pub fn everything() -> Capabilities {
        Capabilities {
            operators: crate::shape::core::OPERATORS.iter().map(|(name, _)| *name).collect(),
            features: Feature::ALL.into(),
        }
    }

    /// Whether a feature is there.
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }
}
