//! Sums of neighbouring slices, kept so that a window of n slices is the sum of about 2 log2 n parts and not of n. A node
//! is the sum of 2^level slices; it is made when a window that holds it whole sends rows, of the key groups for which it
//! does. Where windows send once, its slices are final for those groups then: a row that came later went into panes of its
//! windows (ADR 0047). Where rows are sent again, a slice that changes takes the key group out of the nodes over it
//! ([`SliceSums::touch`]). Nodes are made again from slices where they are missing, so they are never part of a changelog.

use std::collections::BTreeMap;
use std::ops::Range;

use millstream_model::{EventTime, Window, Windows};

use super::aggregate::AggregatePlan;
use super::pane::{Pane, members_in, merged, spill_runs};
use super::run::Run;
use super::windowed::PaneKey;
use crate::error::StageError;
use crate::state::scratch::Spill;

/// Windows of fewer slices are summed directly.
const SLICES_MIN: i64 = 5;
/// How many runs a node keeps before it makes one of them.
const BATCHES_MAX: usize = 8;
/// What the rows of sums have for a pane.
const NO_PANE: i64 = 0;

/// Level, and index among the nodes of the level.
type Place = (u32, i64);

#[derive(Default)]
struct Node {
    /// The key groups whose sums are here, rising.
    groups: Vec<u32>,
    runs: Vec<Run>,
}

/// What sums are made of.
pub(crate) struct Slices<'a> {
    pub(crate) plan: &'a AggregatePlan,
    pub(crate) windows: Windows,
    pub(crate) panes: &'a mut BTreeMap<i64, Pane>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct SliceSums {
    nodes: BTreeMap<Place, Node>,
}

/// The slices of a window, by index.
fn slices(windows: Windows, window: Window) -> Range<i64> {
    let slice = windows.slice_ms();
    window.start.div_euclid(slice)..window.end.div_euclid(slice)
}

/// The largest nodes that make up a range, in order.
fn cover(mut range: Range<i64>) -> impl Iterator<Item = Place> {
    std::iter::from_fn(move || {
        let left = u64::try_from(range.end - range.start).ok().filter(|left| *left > 0)?;
        let level = left.ilog2().min(range.start.trailing_zeros());
        let place = (level, range.start >> level);
        range.start += 1 << level;
        Some(place)
    })
}

/// The first instants of the slices of a node.
fn span((level, index): Place, windows: Windows) -> Range<EventTime> {
    let slice = windows.slice_ms();
    (index << level) * slice..((index + 1) << level) * slice
}

impl SliceSums {
    /// Takes key groups, in rising order, out of the sums over a slice that has changed for them.
    pub(crate) fn touch(
        &mut self,
        windows: Windows,
        slice: EventTime,
        groups: &[u32],
    ) -> Result<(), StageError> {
        let (index, most) =
            (slice.div_euclid(windows.slice_ms()), windows.size_ms().div_euclid(windows.slice_ms()));
        let gone = members_in(groups);
        let mut level = 1;
        while 1 << level <= most {
            if let Some(node) = self.nodes.get_mut(&(level, index >> level)) {
                let stays = |group: &u32| groups.binary_search(group).is_err();
                if !node.groups.iter().all(stays) {
                    node.groups.retain(stays);
                    for run in std::mem::take(&mut node.runs) {
                        node.runs.extend(run.without(&gone)?);
                    }
                }
            }
            level += 1;
        }
        Ok(())
    }

    /// Adds the runs whose sum is that of the slices of a window for these key groups, which are in rising order. What else is in
    /// them is of other key groups.
    pub(crate) fn add_window(
        &mut self,
        mut from: Slices<'_>,
        window: Window,
        due: &[u32],
        sum: &mut Vec<Run>,
    ) -> Result<(), StageError> {
        let range = slices(from.windows, window);
        if range.end - range.start < SLICES_MIN {
            for slice in range {
                self.add(&mut from, (0, slice), due, sum)?;
            }
            return Ok(());
        }
        for place in cover(range) {
            self.add(&mut from, place, due, sum)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        from: &mut Slices<'_>,
        place: Place,
        due: &[u32],
        sum: &mut Vec<Run>,
    ) -> Result<(), StageError> {
        let (plan, windows) = (from.plan, from.windows);
        let raw = |at: EventTime| PaneKey::Slice(at).to_raw(windows);
        let times = span(place, windows);
        if place.0 == 0 {
            if let Some(pane) = from.panes.get_mut(&raw(times.start)) {
                sum.extend(pane.runs(plan)?);
            }
            return Ok(());
        }
        if from.panes.range(raw(times.start)..raw(times.end)).next().is_none() {
            return Ok(());
        }
        let has = |node: &Node, group: &u32| node.groups.binary_search(group).is_ok();
        let known = self.nodes.get(&place);
        let missing: Vec<u32> =
            due.iter().copied().filter(|group| !known.is_some_and(|node| has(node, group))).collect();
        if !missing.is_empty() {
            let (level, index) = place;
            let mut parts = Vec::new();
            for child in [2 * index, 2 * index + 1] {
                self.add(from, (level - 1, child), &missing, &mut parts)?;
            }
            let made = merged(plan, &parts, NO_PANE, |group| missing.binary_search(&group).is_ok())?;
            let node = self.nodes.entry(place).or_default();
            node.groups.extend(missing);
            node.groups.sort_unstable();
            if made.rows() > 0 {
                node.runs.push(made);
            }
            if node.runs.len() > BATCHES_MAX {
                node.runs = vec![merged(plan, &node.runs, NO_PANE, |_| true)?];
            }
        }
        sum.extend(self.nodes[&place].runs.iter().cloned());
        Ok(())
    }

    /// Drops the nodes that no window needs whole any more: `is_over` says whether a window has closed for a key group.
    pub(crate) fn forget_over(&mut self, windows: Windows, is_over: impl Fn(Window, u32) -> bool) {
        self.nodes.retain(|place, node| {
            let last = windows.last_of(span(*place, windows).start);
            !node.groups.iter().all(|group| is_over(last, *group))
        });
    }

    /// Lets go of a key group.
    pub(crate) fn forget(&mut self, group: u32) {
        self.nodes.retain(|_, node| node.groups.binary_search(&group).is_err());
    }

    /// Moves sums to a scratch, until so many bytes of memory are free.
    pub(crate) fn spill(
        &mut self,
        plan: &AggregatePlan,
        spill: &Spill,
        bytes: &mut usize,
    ) -> Result<(), StageError> {
        let mut nodes = self.nodes.values_mut();
        nodes.try_for_each(|node| spill_runs(&mut node.runs, &plan.placed_by, spill, bytes))
    }

    pub(crate) fn size(&self) -> usize {
        self.nodes.values().flat_map(|node| &node.runs).map(Run::size).sum()
    }

    /// Bytes in a scratch.
    pub(crate) fn disk_size(&self) -> u64 {
        self.nodes.values().flat_map(|node| &node.runs).map(Run::disk_size).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_covered_once_by_few_nodes() {
        for (start, end) in [(0, 1), (0, 64), (-7, 300), (1, 1_000), (-1_024, -1), (5, 5), (123_456, 133_455)]
        {
            let mut at = start;
            let places: Vec<Place> = cover(start..end).collect();
            for (level, index) in &places {
                assert_eq!(index << level, at, "{start}..{end}");
                at += 1 << level;
            }
            assert_eq!(at, end, "{start}..{end}");
            let bound = 2 * (u64::try_from(end - start).unwrap().max(1).ilog2() as usize + 1);
            assert!(places.len() <= bound, "{start}..{end}: {places:?}");
        }
    }
}
