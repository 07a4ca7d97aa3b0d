//! Savepoints: all that a pipeline has come to, kept outside of its cluster under a name, and put back. What operators keep, where
//! stages and sources stand, and what was in flight between stages is copied; topics that the file declares are not, but for what was
//! in flight (docs/adr/0065-savepoints.md).
//!
//! Invariants: SV-1 a savepoint that is not, to the byte, what was written is refused before anything is touched (`manifest.rs`); SV-2 it is
//! of one moment, in which nobody runs (`still.rs`); SV-3 it is put back whole or not at all, in one transaction (`put_back.rs`).
//! Never enters: the formats of state and positions, targets of sinks.

mod changes;
mod content;
pub mod manifest;
pub(crate) mod place;
mod put_back;
mod still;
mod subject;
mod take;

use std::path::Path;
use std::sync::Arc;

pub use changes::OnGap;
pub use manifest::Manifest;
use millstream_spec::Pipeline;
pub use place::{IfThere, Objects, Place};
pub use put_back::{PutBack, PutBackOptions, give_up, prepare};
pub use subject::Subject;
pub use take::{TakeOptions, take};

use millstream_types::Clock;

use crate::connectors::{Maker, WallClock};
use crate::error::WorkerError;
use crate::snapshots::{self, Snapshots};

/// Opens a place for savepoints: `s3://bucket/folder`, `file:///folder`, or a folder. `setting` tells the access to an S3 store by the
/// names of its tools (`AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, …).
pub fn open_place(
    pipeline: &Pipeline,
    root: &Path,
    url: &str,
    setting: impl Fn(&str) -> Option<String>,
) -> Result<Place, WorkerError> {
    let maker = Maker::new(pipeline, root, Arc::new(WallClock::new()), 0);
    let maker = maker.map_err(|d| WorkerError::Setup(d.message))?;
    Ok(Place::new(Box::new(maker.store("savepoint", url, setting)?), url))
}

/// The store of snapshots that the pipeline's file names, if it does: what of its state lies there is copied into a savepoint.
pub fn open_snapshots(pipeline: &Pipeline, root: &Path) -> Result<Option<Arc<Snapshots>>, WorkerError> {
    let maker = Maker::new(pipeline, root, Arc::new(WallClock::new()), 0);
    snapshots::open(pipeline, &maker.map_err(|d| WorkerError::Setup(d.message))?)
}

/// The machine's clock.
pub fn clock() -> impl Clock {
    WallClock::new()
}

/// What to say to whoever runs a pipeline of which a savepoint is half put back.
pub fn half_restored(pipeline: &str, savepoint: &str) -> WorkerError {
    WorkerError::Setup(format!(
        "pipeline {pipeline}: putting savepoint {savepoint} back was begun and did not end; nothing of it counts. Run `millstream savepoint \
         restore` with {savepoint} again; or with --give-up, to go on from where the pipeline was before"
    ))
}
