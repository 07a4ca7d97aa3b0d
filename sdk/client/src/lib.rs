//! The Kafka client: [`Producer`], [`Consumer`] and [`Admin`] over one [`Cluster`], against Millstream and Apache Kafka
//! alike, over TCP or inside one process.
//!
//! Never enters: what a broker does, Arrow, SQL. Nothing here relies on an API that Apache Kafka lacks.

pub mod admin;
pub mod broker_conn;
pub mod cluster;
pub mod config;
pub mod consumer;
pub mod error;
pub mod producer;
pub mod retry;

pub use admin::Admin;
pub use cluster::{Cluster, Metadata};
pub use config::*;
pub use consumer::{
    Consumer, ConsumerHandle, ConsumerRecords, FetchedBatch, GroupMetadata, ListedOffset, OffsetAndMetadata,
    PartitionRecords, RebalanceListener,
};
pub use error::{ClientError, Result};
pub use producer::{Delivery, Header, Producer, ProducerRecord, RecordMetadata, TypedProducer};

/// The checksum of batches, for whoever keeps records elsewhere.
pub use millstream_batch::crc::crc32c;
/// What `Producer::send_batch` takes: a batch that the application built.
pub use millstream_batch::{
    Append, BatchBuilder, BatchConfig, BatchError, Codec, Compressor, HeaderView, RecordRef, RecordView,
};
/// How a cluster is reached other than by TCP: `Cluster::with_connector`.
pub use millstream_net::{Connector, Stream};
