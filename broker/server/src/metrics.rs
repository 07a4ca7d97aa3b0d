//! Counters and gauges under Kafka's names, each a plain atomic; the registry hands them out as one list. Never
//! enters: how they are shown.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! metrics {
    ($($field:ident $name:literal $doc:literal;)*) => {
        /// Every counter of a broker.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $(#[doc = $doc] pub $field: AtomicU64,)*
        }

        impl Metrics {
            /// Name, meaning and value of each.
            pub fn all(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$(($name, $doc, self.$field.load(Ordering::Relaxed)),)*]
            }
        }
    };
}

metrics! {
    connections "kafka_server_socket_server_connections" "Connections that are open.";
    requests "kafka_network_request_requests_total" "Requests taken.";
    request_errors "kafka_network_request_malformed_total" "Requests that could not be read; their connections were closed.";
    bytes_in "kafka_server_brokertopicmetrics_bytesin_total" "Bytes of record batches appended for clients.";
    bytes_out "kafka_server_brokertopicmetrics_bytesout_total" "Bytes of record batches given to clients.";
    messages_in "kafka_server_brokertopicmetrics_messagesin_total" "Records appended for clients.";
    produce_requests "kafka_server_brokertopicmetrics_totalproducerequests_total" "Partitions of produce requests.";
    failed_produce_requests "kafka_server_brokertopicmetrics_failedproducerequests_total" "Partitions of produce requests that were refused.";
    fetch_requests "kafka_server_brokertopicmetrics_totalfetchrequests_total" "Fetch requests.";
    purgatory_produce "kafka_server_delayedoperationpurgatory_produce" "Produce requests that wait.";
    purgatory_fetch "kafka_server_delayedoperationpurgatory_fetch" "Fetch requests that wait.";
}

impl Metrics {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes from a gauge.
    pub fn sub(counter: &AtomicU64, n: u64) {
        counter.fetch_sub(n, Ordering::Relaxed);
    }
}
