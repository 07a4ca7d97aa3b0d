//! A query as it runs: one stream or several, each with what is done to its rows up to where windows hold them; and how the
//! rows of windows that are over go on, joined where there are several. Never enters: SQL.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_types::Millis;

use crate::error::StageError;
use crate::op::Step;
use crate::op::again::Updates;
use crate::op::aggregate::Aggregation;
use crate::op::as_of::{AsOfJoin, Versions};
use crate::op::chunk::Chunk;
use crate::op::interval::{IntervalJoin, Side, in_time};
use crate::op::join::TableJoin;
use crate::op::table_rows::TableRows;
use crate::op::window_join::WindowJoin;
use crate::state::Owned;

/// One stream of a query, and what is done to its rows as they come.
pub(crate) struct Branch {
    /// The stream that it reads.
    pub(crate) stream: String,
    /// The columns that it reads of it, by rising index.
    pub(crate) reads: Vec<usize>,
    pub(crate) before: Vec<Step>,
    /// Where its rows go on: in the steps of that branch, from this one on.
    pub(crate) into: Option<(usize, usize)>,
    /// What keeps its rows until their windows are over.
    pub(crate) aggregate: Option<Aggregation>,
}

/// The rows of windows that are over, and what is done to them.
pub(crate) struct Closed {
    pub(crate) from: Origin,
    pub(crate) after: Vec<Step>,
}

/// Where rows of closed windows come from.
pub(crate) enum Origin {
    /// The branch of this number.
    Branch(usize),
    /// Two branches whose rows meet when they are near each other in time, as they come: the first and the second.
    Near(IntervalJoin),
    /// The rows of the first, with the versions that the others have of their keys.
    AsOf(AsOfJoin),
    /// Two of them.
    Join { left: Box<Closed>, right: Box<Closed>, join: Box<WindowJoin> },
}

impl Closed {
    /// What the branches' rows become; those that are taken are gone from `fired`.
    fn run(&self, fired: &mut [Vec<Chunk>]) -> Result<Vec<Chunk>, StageError> {
        // Functions OVER want all rows of a window together.
        let whole = self.after.iter().any(|step| matches!(step, Step::Over(_)));
        let given = match &self.from {
            // What rows that are near each other gave is where their first branch is.
            Origin::Near(_) | Origin::AsOf(_) => std::mem::take(&mut fired[0]),
            // What was partly in a scratch comes in portions.
            Origin::Branch(at) if whole => Chunk::joined(std::mem::take(&mut fired[*at]))?,
            Origin::Branch(at) => std::mem::take(&mut fired[*at]),
            Origin::Join { left, right, join } => {
                let (left, right) = (left.run(fired)?, right.run(fired)?);
                join.run(&left, &right, whole)?
            }
        };
        self.behind(given)
    }

    /// What the steps behind make of rows.
    fn behind(&self, given: Vec<Chunk>) -> Result<Vec<Chunk>, StageError> {
        let mut results = Vec::new();
        for mut chunk in given {
            for step in &self.after {
                chunk = step.run(chunk, &mut Vec::new())?;
            }
            if chunk.rows() > 0 {
                results.push(chunk);
            }
        }
        Ok(results)
    }

    pub(crate) fn steps<'a>(&'a self, steps: &mut Vec<&'a Step>) {
        match &self.from {
            Origin::Branch(_) | Origin::Near(_) => {}
            Origin::AsOf(join) => steps.extend(join.lookups.iter().flat_map(|lookup| &lookup.then)),
            Origin::Join { left, right, .. } => {
                left.steps(steps);
                right.steps(steps);
            }
        }
        steps.extend(&self.after);
    }

    /// The steps of this part and of all under it.
    pub(crate) fn steps_mut(&mut self) -> Vec<&mut Step> {
        let mut steps = match &mut self.from {
            Origin::Branch(_) | Origin::Near(_) => Vec::new(),
            Origin::AsOf(join) => join.lookups.iter_mut().flat_map(|lookup| &mut lookup.then).collect(),
            Origin::Join { left, right, .. } => {
                let mut steps = left.steps_mut();
                steps.extend(right.steps_mut());
                steps
            }
        };
        steps.extend(&mut self.after);
        steps
    }

    /// Counts branches from `by` on.
    pub(crate) fn shift(&mut self, by: usize) {
        match &mut self.from {
            Origin::Branch(at) => *at += by,
            Origin::Near(_) | Origin::AsOf(_) => {}
            Origin::Join { left, right, .. } => {
                left.shift(by);
                right.shift(by);
            }
        }
    }
}

/// How far the branches of a query have come: of each, its key groups' watermarks as of the last commit, and now.
pub(crate) struct Progress<'a> {
    pub(crate) before: Vec<Cow<'a, [i64]>>,
    pub(crate) now: Vec<Cow<'a, [i64]>>,
}

/// The least of several watermarks for each key group.
pub(crate) fn least<'a>(of: &[Cow<'a, [i64]>]) -> Cow<'a, [i64]> {
    let mut least = of.first().cloned().unwrap_or_default();
    for other in of.iter().skip(1) {
        // Where both are of one source, nothing is copied.
        if **other != *least {
            let pairs = least.to_mut().iter_mut().zip(other.iter());
            pairs.for_each(|(least, other)| *least = (*least).min(*other));
        }
    }
    least
}

/// One side of two branches whose rows meet when they are near each other, and the other.
fn near(branches: &mut [Branch], at: usize) -> (&mut Side, &mut Side) {
    let [left, right] = branches else { panic!("two branches are near each other") };
    let (Some(Aggregation::Near(left)), Some(Aggregation::Near(right))) =
        (&mut left.aggregate, &mut right.aggregate)
    else {
        panic!("both branches keep rows for the other")
    };
    if at == 0 { (left, right) } else { (right, left) }
}

/// The branch whose rows wait for versions, and the branches that have them.
fn as_of(branches: &mut [Branch]) -> (&mut Side, Vec<&mut Versions>) {
    let Some((first, others)) = branches.split_first_mut() else { panic!("a query reads something") };
    let Some(Aggregation::Near(waiting)) = &mut first.aggregate else { panic!("the first branch waits") };
    let versions = others.iter_mut().map(|branch| match &mut branch.aggregate {
        Some(Aggregation::Versions(versions)) => versions.as_mut(),
        _ => panic!("the other branches have versions"),
    });
    (waiting, versions.collect())
}

/// A query that can run.
pub struct Query {
    pub(crate) operator: String,
    pub(super) tables: Vec<String>,
    /// One, or those that are joined.
    pub(super) branches: Vec<Branch>,
    /// Nothing where rows go on as they come, of which there is one branch then.
    pub(super) closed: Option<Closed>,
    pub(super) schema: SchemaRef,
    pub(super) explain: String,
    pub(super) update_ms: Option<i64>,
    /// When open windows were last sent.
    pub(super) updated_at: Option<Millis>,
    /// Of each column that comes out, the stream's column that it is, unchanged; all `None` behind an aggregation.
    pub(super) passes: Vec<Option<usize>>,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Query({}: {})", self.operator, self.explain)
    }
}

impl Query {
    /// The columns that come out.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The streams that it reads; one that is joined with itself is there twice.
    pub fn streams(&self) -> impl Iterator<Item = &str> {
        self.branches.iter().map(|branch| branch.stream.as_str())
    }

    /// The tables that it joins; each is loaded before the first rows.
    pub fn tables(&self) -> &[String] {
        &self.tables
    }

    /// The columns that it reads of each stream, by rising index.
    pub fn reads(&self) -> impl Iterator<Item = &[usize]> {
        self.branches.iter().map(|branch| branch.reads.as_slice())
    }

    /// Whether it has windows that fire, and so keeps state.
    pub fn is_windowed(&self) -> bool {
        self.closed.is_some()
    }

    /// The optimised logical plan, for people.
    pub fn explain(&self) -> &str {
        &self.explain
    }

    /// The batches of a branch's stream have only some of its columns: `place[i]` is where column `i` is.
    pub(crate) fn read_from(&mut self, branch: usize, place: &[Option<usize>]) {
        if let Some(Step::Scan { columns, .. }) = self.branches[branch].before.first_mut() {
            for column in columns {
                *column = place[*column].expect("a column that a query reads is decoded");
            }
        }
    }

    /// How many rows of a table are joined.
    pub(crate) fn table_rows(&self, name: &str) -> usize {
        let before = self.branches.iter().flat_map(|branch| &branch.before);
        let mut after = Vec::new();
        self.closed.iter().for_each(|closed| closed.steps(&mut after));
        let of = |step: &Step| match step {
            Step::Join(join) if join.table == name => join.loaded.as_ref().map(TableRows::rows),
            _ => None,
        };
        before.chain(after).filter_map(of).max().unwrap_or(0)
    }

    /// Changes a table in each join that reads it.
    pub(crate) fn each_join(
        &mut self,
        name: &str,
        mut change: impl FnMut(&mut TableJoin) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        let before = self.branches.iter_mut().flat_map(|branch| &mut branch.before);
        let after = self.closed.iter_mut().flat_map(Closed::steps_mut);
        for step in before.chain(after) {
            if let Step::Join(join) = step
                && join.table == name
            {
                change(join)?;
            }
        }
        Ok(())
    }

    /// Runs a chunk of a branch's stream through. What comes out at once, and the places in the stage's input of late rows.
    pub(crate) fn run(
        &mut self,
        branch: usize,
        mut chunk: Chunk,
        late: &mut Vec<u32>,
    ) -> Result<Vec<Chunk>, StageError> {
        let (mut branch, mut from) = (branch, 0);
        loop {
            let Branch { before, into, .. } = &self.branches[branch];
            for step in &before[from..] {
                chunk = step.run(chunk, late)?;
            }
            match into {
                Some(next) => (branch, from) = *next,
                None => break,
            }
        }
        if let Some(Closed { from: Origin::Near(join), .. }) = &self.closed {
            let sides = near(&mut self.branches, branch);
            let found = join.push(sides, branch == 0, chunk, late)?;
            let closed = self.closed.as_ref().map(|closed| closed.behind(found));
            return Ok(closed.transpose()?.unwrap_or_default());
        }
        if let Some(Closed { from: Origin::AsOf(_), .. }) = &self.closed {
            match &mut self.branches[branch].aggregate {
                Some(Aggregation::Near(waiting)) => {
                    let chunk = in_time(waiting.plan.time, &waiting.plan.late, chunk, late)?;
                    waiting.keep(&chunk, &vec![false; chunk.rows()])?;
                }
                Some(Aggregation::Versions(versions)) => {
                    versions.add(&in_time(versions.plan.time, &versions.plan.late, chunk, late)?)?;
                }
                _ => panic!("rows wait for versions, or are versions"),
            }
            return Ok(Vec::new());
        }
        match &mut self.branches[branch].aggregate {
            None => Ok(vec![chunk]),
            Some(aggregate) => {
                aggregate.update(&chunk, late)?;
                Ok(Vec::new())
            }
        }
    }

    /// The results of windows that are over, those of others that are sent again or early, and the rows that nothing can
    /// meet any more. `fired_at` is raised, for each branch, to the watermark at which the last of them is over.
    pub(crate) fn fire(
        &mut self,
        progress: &Progress<'_>,
        fired_at: &mut [Vec<i64>],
        updates: Updates,
    ) -> Result<Vec<Chunk>, StageError> {
        let Some(closed) = &self.closed else {
            return Ok(Vec::new());
        };
        if let Origin::Near(join) = &closed.from {
            let mut given = Vec::new();
            for at in [0, 1] {
                // By the other side's watermark.
                let (side, _) = near(&mut self.branches, at);
                let other = (progress.before[1 - at].as_ref(), progress.now[1 - at].as_ref());
                given.extend(join.fire(side, at == 0, other, &mut fired_at[1 - at])?);
            }
            return closed.behind(given);
        }
        if let Origin::AsOf(join) = &closed.from {
            let (waiting, versions) = as_of(&mut self.branches);
            let versions: Vec<&Versions> = versions.into_iter().map(|versions| &*versions).collect();
            let others = (&progress.before[1..], &progress.now[1..]);
            let given = join.fire((waiting, &versions), others)?;
            return closed.behind(given);
        }
        // What is joined is over when it is for each.
        let (before, now) = (least(&progress.before), least(&progress.now));
        let Some(first) = fired_at.first_mut() else { return Ok(Vec::new()) };
        let aggregates = self.branches.iter_mut().map(|branch| branch.aggregate.as_mut());
        let fired = aggregates.map(|a| a.map_or(Ok(Vec::new()), |a| a.fire(&before, &now, first, updates)));
        let fired: Result<Vec<_>, _> = fired.collect();
        let first = first.clone();
        fired_at.iter_mut().skip(1).for_each(|other| other.clone_from(&first));
        closed.run(&mut fired?)
    }

    /// Lets go of rows that nothing can meet any more, at these watermarks of the branches.
    pub(crate) fn sweep(&mut self, watermarks: &[Cow<'_, [i64]>]) -> Result<(), StageError> {
        match self.closed.as_ref().map(|closed| &closed.from) {
            Some(Origin::Near(_)) => [0, 1].into_iter().try_for_each(|at| {
                let (side, _) = near(&mut self.branches, at);
                side.sweep(&watermarks[1 - at])
            }),
            Some(Origin::AsOf(join)) => {
                let (waiting, mut versions) = as_of(&mut self.branches);
                join.sweep(waiting, &mut versions, &watermarks[0], &watermarks[1..])
            }
            _ => Ok(()),
        }
    }

    /// Whether rows that have changed are sent again now; `is_last` where no row comes any more, and so they are.
    pub(crate) fn updates(&mut self, now: Millis, is_last: bool) -> Updates {
        let early = self.updated_at.zip(self.update_ms);
        if !is_last && early.is_some_and(|(at, every)| now.saturating_sub(at) < every) {
            return Updates::Wait;
        }
        self.updated_at = Some(now);
        Updates::Due
    }

    /// The name under which a column of the stream comes out unchanged.
    pub(crate) fn passes(&self, column: usize) -> Option<&str> {
        let at = self.passes.iter().position(|from| *from == Some(column))?;
        Some(self.schema.field(at).name())
    }

    /// How often windows send their rows before they fire, in milliseconds.
    pub(crate) fn update_ms(&self) -> Option<i64> {
        self.update_ms
    }

    pub(crate) fn branches(&self) -> &[Branch] {
        &self.branches
    }

    pub(crate) fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// What keeps state, of each branch.
    pub(crate) fn aggregates(&self) -> impl Iterator<Item = &Aggregation> {
        self.branches.iter().filter_map(|branch| branch.aggregate.as_ref())
    }

    pub(crate) fn aggregates_mut(&mut self) -> impl Iterator<Item = &mut Aggregation> {
        self.branches.iter_mut().filter_map(|branch| branch.aggregate.as_mut())
    }

    /// How far behind the watermark the rows that come out may be, in milliseconds: how long windows take late rows, and how
    /// far apart rows that are joined may be.
    pub(crate) fn allowance_ms(&self) -> i64 {
        let near = |aggregate: &Aggregation| match aggregate {
            // A row that comes may meet one that came so long before it.
            Aggregation::Near(side) => side.plan.from.abs().max(side.plan.to.abs()),
            // Rows of a window come with their own times.
            Aggregation::Rows(rows) => rows.plan.windows.size_ms(),
            _ => 0,
        };
        // A row that asks for versions of later times waits for them.
        let ahead = match self.closed.as_ref().map(|closed| &closed.from) {
            Some(Origin::AsOf(join)) => join.lookups.iter().map(|lookup| -lookup.back_ms).max(),
            _ => None,
        };
        let kept = self.aggregates().map(|aggregate| aggregate.late().allow_ms + near(aggregate));
        kept.max().unwrap_or(0) + ahead.unwrap_or(0).max(0)
    }

    /// Takes up state rows of the aggregation of this number.
    pub(crate) fn restore(&mut self, at: usize, rows: &RecordBatch, owned: &Owned) -> Result<(), StageError> {
        let operator = self.operator.clone();
        let Some(aggregate) = self.aggregates_mut().nth(at) else {
            let what = "the changelog has state for it, but the query keeps none".to_owned();
            return Err(StageError::State { operator, what });
        };
        crate::stage::same_state(&operator, aggregate.state_schema(), &rows.schema())?;
        aggregate.restore(rows, owned)
    }
}
