//! Sums of neighbouring slices, kept so that a window of n slices is the sum of about 2 log2 n parts and not of n. A node
//! is the sum of 2^level slices; it is made when a window that holds it whole sends rows, of the key groups for which it
//! does. Where windows send once, its slices are final for those groups then: a row that came later went into panes of its
//! windows (ADR 0047). Where rows are sent again, a slice that changes takes the key group out of the nodes over it
//! ([`SliceSums::touch`]). Nodes are made again from slices where they are missing, so they are never part of a changelog.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::RecordBatch;
use millstream_model::{EventTime, Window, Windows};

use super::aggregate::AggregatePlan;
use super::pane::{Pane, Sum, part};
use super::windowed::PaneKey;
use crate::error::StageError;

/// Windows of fewer slices are summed directly.
pub(super) const SLICES_MIN: i64 = 5;
/// How many batches a node keeps before it makes one of them.
const BATCHES_MAX: usize = 8;

/// Level, and index among the nodes of the level.
type Place = (u32, i64);

#[derive(Default)]
struct Node {
    /// The key groups whose sums are here, rising.
    groups: Vec<u32>,
    rows: Vec<RecordBatch>,
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
        let mut level = 1;
        while 1 << level <= most {
            if let Some(node) = self.nodes.get_mut(&(level, index >> level)) {
                let stays = |group: &u32| groups.binary_search(group).is_err();
                if !node.groups.iter().all(stays) {
                    node.groups.retain(stays);
                    for rows in &mut node.rows {
                        *rows = part(rows, |group| stays(&group))?;
                    }
                    node.rows.retain(|rows| rows.num_rows() > 0);
                }
            }
            level += 1;
        }
        Ok(())
    }

    /// Adds the slices of a window for these key groups, which are in rising order.
    pub(crate) fn add_window(
        &mut self,
        mut from: Slices<'_>,
        window: Window,
        due: &[u32],
        sum: &mut Sum,
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
        sum: &mut Sum,
    ) -> Result<(), StageError> {
        let (plan, windows) = (from.plan, from.windows);
        let raw = |at: EventTime| PaneKey::Slice(at).to_raw(windows);
        let times = span(place, windows);
        if place.0 == 0 {
            return match from.panes.get_mut(&raw(times.start)) {
                Some(pane) => pane.add_to(plan, due, sum),
                None => Ok(()),
            };
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
            let mut made = Pane::sum(plan)?;
            for child in [2 * index, 2 * index + 1] {
                self.add(from, (level - 1, child), &missing, &mut made)?;
            }
            let rows = made.into_state(plan)?;
            let node = self.nodes.entry(place).or_default();
            node.groups.extend(missing);
            node.groups.sort_unstable();
            if rows.num_rows() > 0 {
                node.rows.push(rows);
            }
            if node.rows.len() > BATCHES_MAX {
                let mut whole = Pane::sum(plan)?;
                node.rows.drain(..).try_for_each(|rows| whole.merge(plan, &rows))?;
                node.rows.push(whole.into_state(plan)?);
            }
        }
        let node = &self.nodes[&place];
        let all = node.groups == due;
        for rows in &node.rows {
            match all {
                true => sum.merge(plan, rows)?,
                false => sum.merge(plan, &part(rows, |group| due.binary_search(&group).is_ok())?)?,
            }
        }
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

    pub(crate) fn size(&self) -> usize {
        let of = |node: &Node| node.rows.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
        self.nodes.values().map(of).sum()
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
