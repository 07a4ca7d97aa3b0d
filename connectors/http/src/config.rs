//! The settings of `type: http_server`.

use millstream_connector::{
    ByteSize, ComponentSchema, Delivery, Period, Role, SecretText, component_config, config_choice,
};

config_choice! {
    /// When a request is answered.
    pub enum Ack {
        /// When its records are committed.
        OnCommit = "on_commit",
    }
}

component_config! {
    /// Takes records by HTTP POST and answers when they are committed.
    pub struct HttpSourceConfig {
        /// The address to listen on, such as `0.0.0.0:8085`.
        listen: String [required, bounds = 3..=128],
        /// The path to post to, such as `/v1/invoices`.
        path: String [required, bounds = 1..=1_024],
        /// When a request is answered.
        ack: Ack [default = Ack::OnCommit],
        /// The header whose value names a request, so that it can be sent again.
        idempotency_header: String [default = "Idempotency-Key".to_owned(), bounds = 1..=128],
        /// Top-level fields of a record that name it together, where the request has no such header.
        id_fields: Vec<String> [default = Vec::new(), bounds = 0..=8],
        /// How long keys are remembered.
        remember: Period [default = Period(172_800_000), bounds = 60_000..=2_592_000_000],
        /// How many keys are remembered at most; beyond it the oldest is forgotten early, with a warning. One takes about
        /// 100 bytes of memory.
        remember_max: u64 [default = 1_000_000, bounds = 1..=1_000_000_000],
        /// The greatest body; a greater one is answered 413.
        max_body: ByteSize [default = ByteSize(1 << 20), bounds = 64..=(64 << 20)],
        /// How many bytes may wait for their commit; beyond it requests are answered 503 with `Retry-After`.
        max_in_flight: ByteSize [default = ByteSize(64 << 20), bounds = 64..=(16 << 30)],
        /// How many connections there may be; others wait to be accepted.
        max_connections: u32 [default = 1_024, bounds = 1..=1_000_000],
        /// How long a peer may take to send its request.
        read_timeout: Period [default = Period(30_000), bounds = 100..=3_600_000],
        /// How long a request waits for its commit before it is answered 503. Its records stay; asked again, it waits again.
        answer_timeout: Period [default = Period(30_000), bounds = 100..=3_600_000],
        /// What `Retry-After` says, in whole seconds.
        retry_after: Period [default = Period(1_000), bounds = 1_000..=3_600_000],
        /// A token that every request must bring, as `Authorization: Bearer …`.
        token: Option<SecretText> [default = None, bounds = 8..=4_096],
    }
}

/// `type: http_server` as data.
pub fn schema() -> ComponentSchema {
    ComponentSchema {
        type_name: "http_server",
        role: Role::Source,
        doc: HttpSourceConfig::doc(),
        delivery: Delivery::ExactlyOnce,
        fields: HttpSourceConfig::fields(),
    }
}
