//! What is deleted of a store of snapshots. An object goes when no mark names it, no manifest that a mark names has let go of it within
//! the grace, and it is older than the grace itself (SS-4). So
//! - who reads a snapshot has the grace to do it in, from when another one takes its place; and if that was too short, finds an object
//!   missing, looks at the marks again, and begins anew with what they name now (`reading.rs`);
//! - what is being written, and named by nothing yet, stays: it is named within half of the grace or never (`taking.rs`);
//! - what a crash has left between the two goes with the next snapshot of the place that is taken when the grace is over.
//!
//! Times are those of the workers' clocks, which differ by less than half of the grace. Never enters: what objects hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_client::Cluster;
use millstream_engine::state::layers::live;
use millstream_engine::state::snapshots::SnapshotMark;
use millstream_types::TopicPartition;

use super::object::{Manifest, made_at_ms};
use super::{Snapshots, Unread};
use crate::error::WorkerError;
use crate::positions::{self, COUNTS_PARTITION};

/// The manifests that marks name, each once.
pub(super) fn named(marks: &[SnapshotMark]) -> BTreeSet<&str> {
    live(marks).values().filter_map(|mark| Some(mark.stored.as_ref()?.manifest.as_str())).collect()
}

/// A manifest's path as its folder and its name.
pub(super) fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Which of the objects in a folder are deleted. `manifests` are those that marks name, by name.
fn deletable(
    listed: Vec<String>,
    manifests: &BTreeMap<String, Manifest>,
    (now_ms, grace_ms): (i64, i64),
) -> Vec<String> {
    let is_over = |since_ms: i64| since_ms.saturating_add(grace_ms) <= now_ms;
    let named: BTreeSet<&str> =
        manifests.iter().flat_map(|(name, manifest)| manifest.objects().chain([name.as_str()])).collect();
    let is_left = |name: &str| {
        let let_go = manifests.values().filter_map(|manifest| manifest.retired.get(name));
        let_go.max().is_some_and(|since| !is_over(*since))
    };
    let goes = |name: &String| {
        // What is none of ours stays.
        let Some(made) = made_at_ms(name) else { return false };
        !named.contains(name.as_str()) && !is_left(name) && is_over(made)
    };
    listed.into_iter().filter(goes).collect()
}

/// Deletes what nothing needs any more of a place, which is a partition of a changelog; how many objects.
pub(super) async fn sweep(
    snapshots: &Snapshots,
    cluster: &Arc<Cluster>,
    positions: &Arc<str>,
    (at, folder): (&TopicPartition, &str),
    now_ms: i64,
) -> Result<usize, WorkerError> {
    // First what is there, then what is named: what is named meanwhile was made meanwhile.
    let listed = snapshots.objects.list(folder).await?;
    let marks = positions::load(cluster, positions, &[COUNTS_PARTITION]).await?.marks_of(at);
    let mut manifests = BTreeMap::new();
    for path in named(&marks) {
        let (of, name) = split(path);
        if of != folder {
            continue;
        }
        match snapshots.manifest(folder, name).await {
            Ok(manifest) => drop(manifests.insert(name.to_owned(), manifest)),
            // Nothing is deleted that a manifest may name which cannot be read.
            Err(Unread::Wrong(wrong)) => {
                return Err(WorkerError::Setup(format!("{folder}/{name} {}", wrong.what)));
            }
            Err(Unread::Store(error)) => return Err(error.into()),
        }
    }
    let grace_ms = i64::try_from(snapshots.grace.as_millis()).unwrap_or(i64::MAX);
    let gone = deletable(listed, &manifests, (now_ms, grace_ms));
    for name in &gone {
        snapshots.objects.remove(folder, name).await?;
    }
    Ok(gone.len())
}

#[cfg(test)]
mod tests {
    use super::super::object::{Content, Part};
    use super::*;

    #[test]
    fn only_what_nothing_names_and_nobody_reads_is_deleted() {
        let object = |made: i64, digit: &str| format!("{made:012x}-{}.state", digit.repeat(64));
        let (used, fresh, left, over, litter) =
            (object(10, "a"), object(950, "b"), object(20, "c"), object(30, "d"), object(40, "e"));
        let manifest = Manifest::of(Content {
            operator: "sums:1",
            topic: "t",
            partition: 0,
            covers: 1,
            made_at_ms: 900,
            groups: vec![0],
            marks: &[],
            parts: vec![Part { object: used.clone(), bytes: 1, groups: BTreeMap::from([(0, 1)]) }],
            retired: BTreeMap::from([(left.clone(), 950), (over.clone(), 800)]),
        });
        // Another owner's, which let go of the same object earlier.
        let mut other = manifest.clone();
        other.retired = BTreeMap::from([(left.clone(), 100)]);
        let (name, _) = manifest.encode();
        let mut before = manifest.clone();
        before.made_at_ms = 5;
        let (old, _) = before.encode();
        let all = vec![
            used,
            fresh,
            left,
            over.clone(),
            litter.clone(),
            name.clone(),
            old.clone(),
            "readme".to_owned(),
        ];
        let manifests = BTreeMap::from([(name, manifest), ("other".to_owned(), other)]);
        assert_eq!(deletable(all, &manifests, (1_000, 100)), [over, litter, old]);
    }
}
