//! A query as it runs: one stream or several, each with what is done to its rows up to where windows hold them; and how the
//! rows of windows that are over go on, joined where there are several. Never enters: SQL.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;
use millstream_types::Millis;

use crate::error::StageError;
use crate::op::again::Updates;
use crate::op::aggregate::{Aggregation, OutputColumn, Values};
use crate::op::as_of::{AsOfJoin, Versions};
use crate::op::chunk::Chunk;
use crate::op::faults::{Fault, Faults, by_parts};
use crate::op::interval::{FOR_EVER, IntervalJoin, Side, in_time};
use crate::op::join::TableJoin;
use crate::op::table_rows::TableRows;
use crate::op::update_join::{Sides, UpdateJoin, UpdateOver, UpdateSide};
use crate::op::window_join::WindowJoin;
use crate::op::{Give, Step, gone, run_behind};
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
    /// Two branches whose rows take the place of each other: the first and the second.
    Updating(Box<UpdateJoin>),
    /// Functions OVER rows of the first that take the place of each other.
    Over(Box<UpdateOver>),
    /// Rows that take the place of each other, with those that they leave elsewhere.
    Divide,
    /// Two of them.
    Join { left: Box<Closed>, right: Box<Closed>, join: Box<WindowJoin> },
}

impl Origin {
    /// Of what is kept up to date: what is done to its rows before it is told how they differ, and the columns by which it is.
    pub(super) fn kept_up(&mut self) -> Option<(&mut Vec<Step>, &mut Vec<usize>)> {
        match self {
            Origin::Updating(join) => Some((&mut join.steps, &mut join.identity)),
            Origin::Over(over) => Some((&mut over.steps, &mut over.identity)),
            _ => None,
        }
    }
}

impl Closed {
    /// Functions OVER want all rows of a window together.
    fn wants_together(&self) -> bool {
        self.after.iter().any(|step| matches!(step, Step::Over(_)))
    }

    /// What the branches' rows become; those that are taken are gone from `fired`.
    fn run(&self, fired: &mut [Vec<Chunk>], faults: &mut Faults) -> Result<Vec<Chunk>, StageError> {
        let whole = self.wants_together();
        let given = match &self.from {
            // What rows that are near each other gave is where their first branch is.
            Origin::Near(_) | Origin::AsOf(_) | Origin::Divide | Origin::Updating(_) | Origin::Over(_) => {
                std::mem::take(&mut fired[0])
            }
            // What was partly in a scratch comes in portions.
            Origin::Branch(at) if whole => Chunk::joined(std::mem::take(&mut fired[*at]))?,
            Origin::Branch(at) => std::mem::take(&mut fired[*at]),
            Origin::Join { left, right, join } => {
                let (left, right) = (left.run(fired, faults)?, right.run(fired, faults)?);
                join.run(&left, &right, whole, faults)?
            }
        };
        run_behind(&self.after, given, faults)
    }

    pub(crate) fn steps<'a>(&'a self, steps: &mut Vec<&'a Step>) {
        match &self.from {
            Origin::Branch(_) | Origin::Near(_) | Origin::Divide => {}
            Origin::Updating(join) => steps.extend(&join.steps),
            Origin::Over(over) => steps.extend(&over.steps),
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
            Origin::Branch(_) | Origin::Near(_) | Origin::Divide | Origin::Updating(_) | Origin::Over(_) => {
                Vec::new()
            }
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
            Origin::Near(_) | Origin::AsOf(_) | Origin::Divide | Origin::Updating(_) | Origin::Over(_) => {}
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

/// Two branches whose rows take the place of each other.
fn updating(branches: &mut [Branch]) -> Sides<'_> {
    let [left, right] = branches else { panic!("two branches are kept up to date") };
    let (Some(Aggregation::Updating(left)), Some(Aggregation::Updating(right))) =
        (&mut left.aggregate, &mut right.aggregate)
    else {
        panic!("both branches keep their latest rows")
    };
    (left, right)
}

/// The branch whose rows take the place of each other.
fn latest(branches: &mut [Branch]) -> &mut UpdateSide {
    match branches.first_mut().and_then(|branch| branch.aggregate.as_mut()) {
        Some(Aggregation::Updating(side)) => side,
        _ => panic!("the branch keeps its latest rows"),
    }
}

/// Results without those that have no value: nothing is taken away by them.
fn only_here(chunks: &mut Vec<Chunk>) -> Result<(), StageError> {
    let here = std::mem::take(chunks).into_iter().map(Chunk::here);
    *chunks = here.collect::<Result<_, _>>()?;
    Ok(())
}

/// Results with word of which are gone, where they take the place of each other: a condition behind them takes rows away. Of others
/// those that have a value.
fn as_given(chunk: Chunk, replaces: bool) -> Result<Chunk, StageError> {
    if !replaces {
        return chunk.here();
    }
    let rows = chunk.rows();
    let gone = chunk.gone.clone().unwrap_or_else(|| gone::none(rows));
    Ok(Chunk { gone: Some(gone), ..chunk })
}

/// What becomes of rows before state.
pub(crate) enum Prepared {
    /// They go on.
    Rows(Chunk),
    /// State takes them.
    Held(Held),
}

/// Rows that state takes, with what was computed for them.
pub(crate) struct Held {
    branch: usize,
    chunk: Chunk,
    values: Option<Values>,
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
    /// Of a join that is kept up to date: the columns that a row which comes out is known by.
    pub(super) joined_by: Option<Vec<String>>,
    /// Where it computes nothing of several rows: the columns that those which take the place of each other are known by, among those that are read.
    pub(super) known_by: Option<Vec<usize>>,
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

    /// Whether it joins streams without windows: rows come out as they meet, and are never taken back.
    pub(crate) fn is_joined(&self) -> bool {
        matches!(&self.closed, Some(Closed { from: Origin::Near(_), .. }))
    }

    /// Whether it keeps groups without windows, which want no event time.
    pub(crate) fn keeps_groups(&self) -> bool {
        let endless = |branch: &Branch| match &branch.aggregate {
            Some(Aggregation::Windows(windows)) => windows.windows.is_endless(),
            Some(Aggregation::Sessions(sessions)) => sessions.lets_go(),
            Some(Aggregation::Latest(_) | Aggregation::Divide(_) | Aggregation::Updating(_)) => true,
            _ => branch.into.is_some(),
        };
        self.is_windowed() && self.branches.iter().all(endless)
    }

    /// Whether the rows of its groups are known by what they are grouped by, and take the place of each other.
    fn replaces(&self) -> bool {
        let plan = self.aggregates().next().and_then(Aggregation::plan);
        self.keeps_groups() && plan.is_some_and(|plan| plan.sets.sets.is_empty())
    }

    /// Whether it keeps groups that are let go of when nothing comes for them for a time.
    pub(crate) fn lets_go(&self) -> bool {
        self.aggregates()
            .any(|aggregate| matches!(aggregate, Aggregation::Sessions(sessions) if sessions.lets_go()))
    }

    /// Whether it groups or joins rows that take the place of earlier ones.
    pub(crate) fn reads_latest(&self) -> bool {
        self.aggregates()
            .any(|aggregate| matches!(aggregate, Aggregation::Latest(_) | Aggregation::Updating(_)))
    }

    /// Whether it divides rows that take the place of each other anew.
    pub(crate) fn divides(&self) -> bool {
        matches!(&self.closed, Some(Closed { from: Origin::Divide, .. }))
    }

    /// Where rows take the place of each other: the columns that one which comes out is known by, where all of them come out.
    pub(crate) fn latest_by(&self) -> Option<Vec<String>> {
        if let Some(known) = &self.joined_by {
            return Some(known.clone());
        }
        let (mut places, steps) = match &self.closed {
            Some(closed) if self.replaces() => {
                let plan = self.aggregates().next()?.plan()?;
                let place = |key| plan.output.iter().position(|column| *column == OutputColumn::Key(key));
                ((0..plan.keys.len()).map(place).collect::<Option<Vec<usize>>>()?, closed.after.as_slice())
            }
            Some(closed) if self.divides() => (self.known_by.clone()?, closed.after.as_slice()),
            None => (self.known_by.clone()?, &self.branches.first()?.before[1..]),
            _ => return None,
        };
        for step in steps {
            match step {
                Step::Filter(_) => {}
                Step::Scan { columns, .. } => {
                    let moved = |at: &usize| columns.iter().position(|column| column == at);
                    places = places.iter().map(moved).collect::<Option<_>>()?;
                }
                Step::Project { exprs, .. } => {
                    let is = |expr: &Arc<dyn PhysicalExpr>, at: usize| {
                        expr.downcast_ref::<Column>().is_some_and(|column| column.index() == at)
                    };
                    let moved = |at: &usize| exprs.iter().position(|expr| is(expr, *at));
                    places = places.iter().map(moved).collect::<Option<_>>()?;
                }
                Step::Join(join) => places.iter_mut().for_each(|at| *at += join.columns_before),
                _ => return None,
            }
        }
        Some(places.into_iter().map(|at| self.schema.field(at).name().clone()).collect())
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

    /// The steps that rows of a branch go through as they come, in the order in which they do.
    pub(crate) fn steps_of(&self, branch: usize) -> impl Iterator<Item = &Step> {
        let mut next = Some((branch, 0));
        let parts = std::iter::from_fn(move || {
            let (branch, from) = next?;
            let Branch { before, into, .. } = &self.branches[branch];
            next = *into;
            Some(&before[from..])
        });
        parts.flatten()
    }

    /// The branch in which the rows of one end.
    fn last_of(&self, mut branch: usize) -> usize {
        while let Some((next, _)) = self.branches[branch].into {
            branch = next;
        }
        branch
    }

    /// Does all that is done to a chunk of a branch's stream before state, and computes what is computed for it: nothing fails
    /// afterwards for its rows, and no state has them yet. The places in the stage's input of late rows are added to `late`.
    pub(crate) fn prepare(
        &self,
        branch: usize,
        mut chunk: Chunk,
        late: &mut Vec<u32>,
    ) -> Result<Prepared, StageError> {
        for step in self.steps_of(branch) {
            chunk = step.run(chunk, late)?;
        }
        let branch = self.last_of(branch);
        let Some(aggregate) = &self.branches[branch].aggregate else { return Ok(Prepared::Rows(chunk)) };
        let time = match aggregate {
            // What the other side keeps for ever is met by the latest row.
            Aggregation::Near(side) => side.plan.time.filter(|_| self.is_let_go_for(branch)),
            Aggregation::Versions(versions) => Some(versions.plan.time),
            _ => None,
        };
        if let Some(time) = time {
            chunk = in_time(time, aggregate.late(), chunk, late)?;
        }
        let values = aggregate.prepare(&chunk)?;
        Ok(Prepared::Held(Held { branch, chunk, values }))
    }

    /// Gives rows to the state; what comes out at once. The places in the stage's input of late rows are added to `late`.
    pub(crate) fn hold(
        &mut self,
        held: Held,
        late: &mut Vec<u32>,
        faults: &mut Faults,
        give: Give<'_>,
    ) -> Result<(), StageError> {
        let Held { branch, chunk, values } = held;
        match &self.closed {
            Some(Closed { from: Origin::Near(join), after }) => {
                let sides = near(&mut self.branches, branch);
                let mut behind = |found, faults: &mut Faults| {
                    run_behind(after, vec![found], faults)?
                        .into_iter()
                        .try_for_each(|rows| give(rows, faults))
                };
                return join.push(sides, branch == 0, chunk, faults, &mut behind);
            }
            Some(Closed { from: Origin::AsOf(_), .. }) => match &mut self.branches[branch].aggregate {
                Some(Aggregation::Near(waiting)) => waiting.keep(&chunk, &vec![false; chunk.rows()])?,
                Some(Aggregation::Versions(versions)) => versions.add(&chunk)?,
                _ => panic!("rows wait for versions, or are versions"),
            },
            Some(Closed { from: Origin::Divide, after }) => match &mut self.branches[branch].aggregate {
                Some(Aggregation::Divide(divide)) => {
                    let rows = run_behind(after, divide.push(chunk)?, faults)?;
                    return rows.into_iter().try_for_each(|rows| give(rows, faults));
                }
                _ => panic!("rows are divided by what keeps where they lie"),
            },
            _ => match &mut self.branches[branch].aggregate {
                Some(aggregate) => aggregate.update(&chunk, values, late)?,
                None => panic!("rows are held by what keeps state"),
            },
        }
        Ok(())
    }

    /// Notes how far the branches have come, of all that was read and run: by key group, of each.
    pub(crate) fn note_read(&mut self, watermarks: &[Cow<'_, [i64]>]) {
        for at in [0, 1] {
            let (side, _) = near(&mut self.branches, at);
            side.note_other(&watermarks[1 - at]);
        }
    }

    /// Whether rows that wait for those of a branch are let go of by its watermark: else none of its rows is late.
    fn is_let_go_for(&self, branch: usize) -> bool {
        if !self.is_joined() {
            return true;
        }
        let others = self.branches.iter().enumerate().filter(|(at, _)| *at != branch);
        let mut sides = others.filter_map(|(_, other)| match &other.aggregate {
            Some(Aggregation::Near(side)) => Some(side),
            _ => None,
        });
        sides.any(|side| side.plan.lets_go())
    }

    /// Gives rows that come from state to the state of a query; what comes out at once. Of a row for which something cannot be
    /// computed nothing is taken; one that takes the place of an earlier one takes that away.
    pub(crate) fn hold_behind(
        &mut self,
        branch: usize,
        chunk: Chunk,
        faults: &mut Faults,
    ) -> Result<Vec<Chunk>, StageError> {
        let chunks = self.run_behind(branch, chunk, faults)?;
        let branch = self.last_of(branch);
        let mut out = Vec::new();
        for chunk in chunks {
            let Some(aggregate) = &self.branches[branch].aggregate else { continue };
            let (mut given, mut told) = (Vec::new(), Vec::new());
            let mut attempt = |rows: Range<usize>| {
                let first = rows.start;
                let prepare = |part: Chunk| {
                    let values = aggregate.prepare(&part)?;
                    Ok((part, values))
                };
                gone::run_or_gone(chunk.slice(rows), prepare, |error| told.push((first, error)))
            };
            let mut note = |row: usize, error| faults.push(Fault { row: chunk.batch.slice(row, 1), error });
            by_parts(0..chunk.rows(), &mut attempt, &mut note, &mut given)?;
            told.into_iter().for_each(|(row, error)| note(row, error));
            for (chunk, values) in given {
                let mut give = |rows, _: &mut Faults| {
                    out.push(rows);
                    Ok(())
                };
                self.hold(Held { branch, chunk, values }, &mut Vec::new(), faults, &mut give)?;
            }
        }
        Ok(out)
    }

    /// Runs rows that come from state through a query that keeps none.
    pub(crate) fn run_behind(
        &self,
        branch: usize,
        chunk: Chunk,
        faults: &mut Faults,
    ) -> Result<Vec<Chunk>, StageError> {
        let mut chunks = vec![chunk];
        for step in self.steps_of(branch) {
            chunks = run_behind(std::slice::from_ref(step), chunks, faults)?;
        }
        Ok(chunks)
    }

    /// Gives the results of windows that are over, those of others that are sent again or early, and the rows that nothing can
    /// meet any more; in portions, where functions do not want all rows of a window together. `fired_at` is raised, for each
    /// branch, to the watermark at which the last of them is over.
    pub(crate) fn fire(
        &mut self,
        progress: &Progress<'_>,
        fired_at: &mut [Vec<i64>],
        updates: Updates,
        faults: &mut Faults,
        give: Give<'_>,
    ) -> Result<(), StageError> {
        let replaces = self.replaces();
        let Some(closed) = &self.closed else { return Ok(()) };
        let together = closed.wants_together();
        let mut held = Vec::new();
        let mut behind = |chunk: Chunk, faults: &mut Faults| {
            if together {
                held.push(chunk);
                return Ok(());
            }
            let mut given = run_behind(&closed.after, vec![chunk], faults)?.into_iter();
            given.try_for_each(|chunk| give(chunk, faults))
        };
        match &closed.from {
            Origin::Near(join) => {
                for at in [0, 1] {
                    // By the other side's watermark.
                    let (side, _) = near(&mut self.branches, at);
                    let other = (progress.before[1 - at].as_ref(), progress.now[1 - at].as_ref());
                    join.fire(side, at == 0, other, &mut fired_at[1 - at], |chunk| behind(chunk, faults))?;
                }
            }
            Origin::AsOf(join) => {
                let (waiting, versions) = as_of(&mut self.branches);
                let versions: Vec<&Versions> = versions.into_iter().map(|versions| &*versions).collect();
                let others = (&progress.before[1..], &progress.now[1..]);
                join.fire((waiting, &versions), others, faults, &mut behind)?;
            }
            Origin::Updating(join) => {
                join.fire(updating(&mut self.branches), updates, faults, &mut behind)?;
            }
            Origin::Over(over) => {
                over.fire(latest(&mut self.branches), updates, faults, &mut behind)?;
            }
            from @ (Origin::Branch(_) | Origin::Divide | Origin::Join { .. }) => {
                // What is joined is over when it is for each.
                let (before, now) = (least(&progress.before), least(&progress.now));
                let Some((first, others)) = fired_at.split_first_mut() else { return Ok(()) };
                let mut fired: Vec<Vec<Chunk>> = self.branches.iter().map(|_| Vec::new()).collect();
                for (at, branch) in self.branches.iter_mut().enumerate() {
                    let Some(aggregate) = &mut branch.aggregate else { continue };
                    let goes_on = matches!(from, Origin::Branch(of) if *of == at) && !together;
                    aggregate.fire(&before, &now, first, updates, faults, &mut |chunk, faults| {
                        let chunk = as_given(chunk, replaces)?;
                        if goes_on {
                            return behind(chunk, faults);
                        }
                        fired[at].push(chunk);
                        Ok(())
                    })?;
                }
                others.iter_mut().for_each(|other| other.clone_from(first));
                held = closed.run(&mut fired, faults)?;
                return held.into_iter().try_for_each(|chunk| give(chunk, faults));
            }
        }
        run_behind(&closed.after, held, faults)?.into_iter().try_for_each(|chunk| give(chunk, faults))
    }

    /// What the query would give if all that it holds and has not closed were sent now, at these watermarks. Changes nothing.
    pub(crate) fn open(
        &mut self,
        watermarks: &[i64],
        mut give: impl FnMut(&Chunk) -> Result<(), StageError>,
    ) -> Result<Vec<Chunk>, StageError> {
        let Some(closed) = &self.closed else { return Ok(Vec::new()) };
        // Rows that cannot be computed would not be sent either.
        let mut faults = Faults::new();
        let mut held: Vec<Vec<Chunk>> = Vec::with_capacity(self.branches.len());
        if matches!(closed.from, Origin::Updating(_) | Origin::Over(_)) {
            let mut chunks = Vec::new();
            let mut keep = |chunk: Chunk| {
                give(&chunk)?;
                chunks.push(chunk);
                Ok(())
            };
            match &closed.from {
                Origin::Updating(join) => {
                    let (left, right) = updating(&mut self.branches);
                    join.open((left, right), keep, &mut faults)?;
                }
                Origin::Over(over) => over.open(latest(&mut self.branches), &mut keep, &mut faults)?,
                _ => {}
            }
            return run_behind(&closed.after, chunks, &mut faults);
        }
        for branch in &mut self.branches {
            let mut chunks = Vec::new();
            if let Some(aggregate) = &mut branch.aggregate {
                aggregate.open(
                    watermarks,
                    |chunk| {
                        give(&chunk)?;
                        chunks.push(chunk);
                        Ok(())
                    },
                    &mut faults,
                )?;
            }
            only_here(&mut chunks)?;
            held.push(chunks);
        }
        closed.run(&mut held, &mut faults)
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
            // One that may come at any time comes when it does: the topic that it goes to says how late it may be.
            Aggregation::Near(side) => {
                let bounds = [side.plan.from.abs(), side.plan.to.abs()];
                bounds.into_iter().filter(|bound| *bound < FOR_EVER).max().unwrap_or(0)
            }
            // Rows of a window come with their own times.
            Aggregation::Rows(rows) => rows.plan.windows.size_ms(),
            // Rows come when what their frames hold behind them has.
            Aggregation::Over(over) => over.ahead_ms,
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
