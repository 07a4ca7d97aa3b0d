//! What the cluster is: its image (topics, partitions, brokers, settings, features), the records that make it, and
//! the controller that decides them. Pure: records and requests in, images, records and responses out.
//!
//! What a shell does, on every node:
//! - Read committed batches of the metadata log into a [`Loader`]; hand out [`Loader::image`] after each, with the
//!   [`Changes`] that say which partitions to apply to their replicas. For a snapshot write [`snapshot::records`]
//!   of an image at its [`Provenance`] (never while [`Loader::in_transaction`]); to read one call
//!   [`Loader::load_snapshot`].
//!
//! And where the node leads the metadata quorum, once the leader's epoch start is committed (RP-4):
//! 1. If the image has no features the cluster is new: append [`features::bootstrap`].
//! 2. [`Controller::new`] from the committed image.
//! 3. For a request call its method. Append [`Decision::records`] as one batch (each in
//!    [`features::record_version`]), call [`Controller::replay`] at once with the offset after them, and send
//!    [`Decision::response`] when they are committed. With no records answer at once.
//! 4. [`Controller::tick`] at [`Controller::next_deadline`], its records likewise, until it gives none.
//! 5. When leadership is lost drop the controller; fail what was not answered with NOT_CONTROLLER.
//!
//! Authorization, request versions and throttling are the shell's. Requests are the wire's own structures.
//! Never enters: sockets, files, clocks, the quorum itself (`millstream-raft`).

pub mod brokers;
pub mod configs;
pub mod controller;
pub mod delta;
mod election;
pub mod error;
pub mod features;
pub mod image;
pub mod loader;
pub mod placement;
pub mod producer_ids;
mod replicas;
pub mod shard_map;
pub mod snapshot;
pub mod topics;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod scripts;

pub use configs::{ConfigDefinition, ConfigRules, ConfigSource, Resolved, resolve};
pub use controller::{Controller, ControllerConfig, Decision};
pub use delta::{Changes, MetadataDelta};
pub use error::{ApplyError, Refusal};
pub use image::{
    BrokerImage, ConfigMap, ConfigResource, Endpoint, MetadataImage, PartitionImage, Provenance,
    ResourceType, TopicImage,
};
pub use loader::Loader;
