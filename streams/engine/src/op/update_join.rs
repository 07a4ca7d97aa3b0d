//! Two streams whose rows take the place of each other, joined and kept up to date (ADR 0072): of each identity the latest row counts,
//! and what comes out takes the place of what came before it. With a sending, what rows gave that have changed since the last one
//! is computed as it was then and as it is now, and the difference goes out: rows that are new or others, and of what is no more
//! that it is gone. What is the same is not sent again. The cost goes with what has changed and what that meets.
//!
//! - UJ-3: what has come out up to a sending, each row in the place of the one with its identity and those that are gone taken away, is
//!   what the query gives over the latest rows.
//!
//! Conditions and columns behind the join are computed here, for what was and for what is: each is of one row, and gives the same for
//! the same. Never enters: tables, whose rows change by themselves; how rows are kept (`side`); how what was differs from what is
//! (`difference`).

mod by_key;
mod difference;
mod over;
mod side;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;

use super::again::Updates;
use super::chunk::Chunk;
use super::faults::{Fault, Faults, true_of};
use super::join_kind::{JoinKind, JoinSide};
use super::{Give, Step, run_behind};
use crate::error::StageError;
use crate::op::stored_rows::Portion;
use by_key::NONE;
use difference::Before;
pub(crate) use over::UpdateOver;
use side::{AsOf, portions};
pub(crate) use side::{UpdateSide, UpdateSidePlan};

/// A row of each side, or none of one.
type Pair = (u32, u32);

/// The sides, which the query's branches keep.
pub(crate) type Sides<'a> = (&'a mut UpdateSide, &'a mut UpdateSide);

/// See the module.
pub(crate) struct UpdateJoin {
    pub(crate) kind: JoinKind,
    /// What pairs of equal keys have to fulfil too.
    pub(crate) filter: Option<Arc<dyn PhysicalExpr>>,
    /// The columns of both.
    pub(crate) both: SchemaRef,
    /// What is done to what comes out, row by row.
    pub(crate) steps: Vec<Step>,
    /// The columns that what these give is known by.
    pub(crate) identity: Vec<usize>,
}

/// What rows met, of each how often.
#[derive(Default)]
struct Tally(BTreeMap<u32, u32>);

impl Tally {
    fn of<'a>(rows: impl Iterator<Item = &'a u32>) -> Tally {
        let mut tally = Tally::default();
        rows.for_each(|row| *tally.0.entry(*row).or_default() += 1);
        tally
    }

    fn count(&self, row: u32) -> u32 {
        self.0.get(&row).copied().unwrap_or(0)
    }
}

/// Pairs that match, and those for which that could not be computed: of their rows it is not said that they have no match.
#[derive(Default)]
struct Met {
    pairs: Vec<Pair>,
    unknown: Vec<Pair>,
}

/// What came out as of the last sending and comes out now, of rows that have changed and what they meet.
#[derive(Default)]
struct Given {
    before: Vec<Pair>,
    now: Vec<Pair>,
}

/// How many pairs are looked at, and given, at once.
fn pairs_at_once(left: &UpdateSide, right: &UpdateSide) -> usize {
    Portion::rows_of(left.row_bytes() + right.row_bytes())
}

impl UpdateJoin {
    /// Gives what has changed in what comes out since the last sending, when it is due. All rows of key groups that were restored since
    /// are sent once more.
    pub(crate) fn fire(
        &self,
        (left, right): Sides<'_>,
        updates: Updates,
        faults: &mut Faults,
        give: Give<'_>,
    ) -> Result<(), StageError> {
        if updates == Updates::Wait {
            return Ok(());
        }
        let restored: BTreeSet<u32> = left.restored().union(right.restored()).copied().collect();
        if !restored.is_empty() {
            let (of_left, of_right) = (left.by_group(Some(&restored)), right.by_group(Some(&restored)));
            for group in &restored {
                let rows = [&of_left, &of_right].map(|of| of.get(group).map_or(&[][..], Vec::as_slice));
                let given = self.whole((&mut *left, &mut *right), rows, faults)?;
                self.differing((&*left, &*right), &given, true, faults, give)?;
            }
        }
        let given = self.changed((&mut *left, &mut *right), &restored, faults)?;
        self.differing((&*left, &*right), &given, false, faults, give)?;
        left.settle()?;
        right.settle()
    }

    /// What comes out now, all of it, by key group. Changes nothing.
    pub(crate) fn open(
        &self,
        (left, right): (&UpdateSide, &UpdateSide),
        mut give: impl FnMut(Chunk) -> Result<(), StageError>,
        faults: &mut Faults,
    ) -> Result<(), StageError> {
        let (of_left, of_right) = (left.by_group(None), right.by_group(None));
        let groups: BTreeSet<u32> = of_left.keys().chain(of_right.keys()).copied().collect();
        for group in groups {
            let rows = [&of_left, &of_right].map(|of| of.get(&group).map_or(&[][..], Vec::as_slice));
            let met = self.all_met((left, right), rows[0], AsOf::Now, Some(&mut *faults))?;
            let mut given = Vec::new();
            for (side, rows, other) in [(JoinSide::Left, rows[0], left), (JoinSide::Right, rows[1], right)] {
                let tally = self.tally(&met, side);
                let current = rows.iter().copied().filter(|row| other.is(*row, AsOf::Now));
                given.extend(current.filter_map(|row| self.alone(side, row, tally.count(row))));
            }
            if self.kind.given().is_none() {
                given.extend(met.pairs);
            }
            for portion in portions(given.len(), pairs_at_once(left, right)) {
                let chunk = self.chunk((left, right), &given[portion])?;
                run_behind(&self.steps, vec![chunk], faults)?.into_iter().try_for_each(&mut give)?;
            }
        }
        Ok(())
    }

    /// All pairs of some left rows, which are all of their key groups, that match.
    fn all_met(
        &self,
        (left, right): (&UpdateSide, &UpdateSide),
        rows: &[u32],
        as_of: AsOf,
        faults: Option<&mut Faults>,
    ) -> Result<Met, StageError> {
        let mut candidates = Vec::new();
        for row in rows.iter().filter(|row| left.is(**row, as_of)) {
            let Some(key) = left.key_of(*row) else { continue };
            let others = right.of_key(key).iter().filter(|other| right.is(**other, as_of));
            candidates.extend(others.map(|other| (*row, *other)));
        }
        self.met((left, right), candidates, faults)
    }

    /// What a key group gave and gives, of all of its rows; how many each meets is noted.
    fn whole(
        &self,
        (left, right): Sides<'_>,
        [of_left, of_right]: [&[u32]; 2],
        faults: &mut Faults,
    ) -> Result<Given, StageError> {
        let now = self.all_met((&*left, &*right), of_left, AsOf::Now, Some(faults))?;
        let is_same =
            of_left.iter().all(|row| left.is_same(*row)) && of_right.iter().all(|row| right.is_same(*row));
        // Where all is as it was, nothing is gone.
        let before = match is_same {
            true => Met::default(),
            false => self.all_met((&*left, &*right), of_left, AsOf::LastSent, None)?,
        };
        let mut given = Given::default();
        for (side, rows, of) in
            [(JoinSide::Left, of_left, &mut *left), (JoinSide::Right, of_right, &mut *right)]
        {
            if !self.counts(side) {
                continue;
            }
            let (was, is) = (self.tally(&before, side), self.tally(&now, side));
            for row in rows {
                if !is_same && of.is(*row, AsOf::LastSent) {
                    given.before.extend(self.alone(side, *row, was.count(*row)));
                }
                if of.is(*row, AsOf::Now) {
                    given.now.extend(self.alone(side, *row, is.count(*row)));
                    *of.matches(*row) = is.count(*row);
                }
            }
        }
        self.with_pairs(&mut given, before, now);
        Ok(given)
    }

    /// What rows that have changed gave and give, and those that meet them.
    fn changed(
        &self,
        (left, right): Sides<'_>,
        restored: &BTreeSet<u32>,
        faults: &mut Faults,
    ) -> Result<Given, StageError> {
        let (left_before, left_now) = left.changes(restored);
        let (right_before, right_now) = right.changes(restored);
        let (l, r) = (&*left, &*right);
        // Pairs of rows that have both changed are found from the left.
        let candidates = |of_left: &[u32], of_right: &[u32], as_of| {
            let mut found = Vec::new();
            for row in of_left {
                let others = l.key_of(*row).into_iter().flat_map(|key| r.of_key(key));
                found.extend(others.filter(|other| r.is(**other, as_of)).map(|other| (*row, *other)));
            }
            for row in of_right {
                let others = r.key_of(*row).into_iter().flat_map(|key| l.of_key(key));
                found.extend(others.filter(|other| l.is_same(**other)).map(|other| (*other, *row)));
            }
            found
        };
        let before = candidates(&left_before, &right_before, AsOf::LastSent);
        let now = candidates(&left_now, &right_now, AsOf::Now);
        let before = self.met((l, r), before, None)?;
        let now = self.met((l, r), now, Some(faults))?;
        let mut given = Given::default();
        for (side, went, came, of) in [
            (JoinSide::Left, &left_before, &left_now, &mut *left),
            (JoinSide::Right, &right_before, &right_now, &mut *right),
        ] {
            if !self.counts(side) {
                continue;
            }
            let (was, is) = (self.tally(&before, side), self.tally(&now, side));
            for row in went {
                given.before.extend(self.alone(side, *row, *of.matches(*row)));
            }
            for row in came {
                given.now.extend(self.alone(side, *row, is.count(*row)));
                *of.matches(*row) = is.count(*row);
            }
            let met: BTreeSet<u32> = was.0.keys().chain(is.0.keys()).copied().collect();
            for row in met {
                if !of.is_same(row) {
                    continue;
                }
                let matches = of.matches(row);
                let earlier = *matches;
                *matches = earlier + is.count(row) - was.count(row);
                let later = *matches;
                given.before.extend(self.alone(side, row, earlier));
                given.now.extend(self.alone(side, row, later));
            }
        }
        self.with_pairs(&mut given, before, now);
        Ok(given)
    }

    /// Whether somebody asks how many rows those of a side meet.
    fn counts(&self, side: JoinSide) -> bool {
        self.kind.gives_unmatched(side) || self.kind.given() == Some(side)
    }

    /// How many the rows of a side meet. Of pairs that are not known it is not said that they do not match, nor that they do.
    fn tally(&self, met: &Met, side: JoinSide) -> Tally {
        let unknown: &[Pair] = if matches!(self.kind, JoinKind::Semi(_)) { &[] } else { &met.unknown };
        let all = met.pairs.iter().chain(unknown);
        Tally::of(all.map(|(left, right)| if side == JoinSide::Left { left } else { right }))
    }

    /// What a row of a side gives by itself, that meets so many.
    fn alone(&self, side: JoinSide, row: u32, matches: u32) -> Option<Pair> {
        let gives = match self.kind {
            JoinKind::Semi(given) => given == side && matches > 0,
            _ => self.kind.gives_unmatched(side) && matches == 0,
        };
        gives.then_some(if side == JoinSide::Left { (row, NONE) } else { (NONE, row) })
    }

    fn with_pairs(&self, given: &mut Given, before: Met, now: Met) {
        if self.kind.given().is_none() {
            given.before.extend(before.pairs);
            given.now.extend(now.pairs);
        }
    }

    /// The pairs that fulfil the condition. Those for which it cannot be computed are told, where somebody listens.
    fn met(
        &self,
        sides: (&UpdateSide, &UpdateSide),
        candidates: Vec<Pair>,
        mut faults: Option<&mut Faults>,
    ) -> Result<Met, StageError> {
        let Some(filter) = &self.filter else { return Ok(Met { pairs: candidates, unknown: Vec::new() }) };
        let mut met = Met::default();
        for portion in portions(candidates.len(), pairs_at_once(sides.0, sides.1)) {
            let pairs = &candidates[portion];
            let rows = self.rows(sides, pairs)?;
            let keep = true_of(filter, &rows, |pair, error| {
                if let Some(faults) = &mut faults {
                    let error = error.computing(|| format!("the condition {filter}"));
                    faults.push(Fault { row: rows.slice(pair, 1), error });
                }
                met.unknown.push(pairs[pair]);
            })?;
            met.pairs
                .extend(pairs.iter().zip(keep.values()).filter(|(_, keep)| *keep).map(|(pair, _)| *pair));
        }
        Ok(met)
    }

    /// The columns of both sides of pairs.
    fn rows(
        &self,
        (left, right): (&UpdateSide, &UpdateSide),
        pairs: &[Pair],
    ) -> Result<RecordBatch, StageError> {
        let (of_left, of_right): (Vec<u32>, Vec<u32>) = pairs.iter().copied().unzip();
        let columns = [left.joined(&of_left)?, right.joined(&of_right)?].concat();
        let options = RecordBatchOptions::new().with_row_count(Some(pairs.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.both), columns, &options)?)
    }

    /// What pairs give, before the steps behind the join.
    fn chunk(&self, (left, right): (&UpdateSide, &UpdateSide), pairs: &[Pair]) -> Result<Chunk, StageError> {
        let given = match self.kind.given() {
            None => {
                let groups = pairs.iter().map(|(of_left, of_right)| match *of_left {
                    NONE => right.group_of(*of_right),
                    row => left.group_of(row),
                });
                let groups = UInt32Array::from_iter_values(groups);
                return Ok(Chunk::made(self.rows((left, right), pairs)?, groups));
            }
            Some(JoinSide::Left) => (left, pairs.iter().map(|pair| pair.0).collect::<Vec<u32>>()),
            Some(JoinSide::Right) => (right, pairs.iter().map(|pair| pair.1).collect()),
        };
        let (side, rows) = given;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let schema = Arc::clone(&side.plan.joined);
        let batch = RecordBatch::try_new_with_options(schema, side.joined(&rows)?, &options)?;
        Ok(Chunk::made(batch, side.groups(&rows)))
    }

    /// Gives how what came out differs from what comes out now. Where `all`, what is the same goes too.
    fn differing(
        &self,
        (left, right): (&UpdateSide, &UpdateSide),
        given: &Given,
        all: bool,
        faults: &mut Faults,
        give: Give<'_>,
    ) -> Result<(), StageError> {
        let mut before = Vec::new();
        for portion in portions(given.before.len(), pairs_at_once(left, right)) {
            let chunk = self.chunk((left, right), &given.before[portion])?;
            // It was told when it was sent.
            before.extend(run_behind(&self.steps, vec![chunk], &mut Faults::new())?);
        }
        let mut before = Before::new(&before, &self.identity);
        for portion in portions(given.now.len(), pairs_at_once(left, right)) {
            let chunk = self.chunk((left, right), &given.now[portion])?;
            for chunk in run_behind(&self.steps, vec![chunk], faults)? {
                before.differs(chunk, all)?.into_iter().try_for_each(|chunk| give(chunk, faults))?;
            }
        }
        before.gone()?.into_iter().try_for_each(|chunk| give(chunk, faults))
    }
}
