//! Two streams whose rows take the place of each other, joined and kept up to date (ADR 0072): what the rows that come out are known
//! by, followed through what is done to them, and what is refused since they would be known by nothing.

use std::sync::Arc;

use datafusion_common::{DFSchema, NullEquality};
use datafusion_expr::Expr;
use datafusion_expr::expr::Case;
use datafusion_expr::logical_plan::{Join, Projection};

use super::stream_join::{both, placed, plain, traces};
use super::{Chain, Latest, Trace, Translator};
use crate::op::Step;
use crate::op::aggregate::Aggregation;
use crate::op::join_kind::{JoinKind, JoinSide};
use crate::op::row_key;
use crate::op::update_join::{UpdateJoin, UpdateSide, UpdateSidePlan};
use crate::sql::Relation;
use crate::sql::problem::SqlProblem;
use crate::sql::query::{Closed, Origin};

/// What rows that come out of a join are known by, and where it is among their columns.
pub(super) struct Updating {
    parts: Vec<Part>,
}

/// A column of it.
struct Part {
    /// What it is, for people.
    name: String,
    /// The columns that it is.
    columns: Vec<usize>,
    /// Of a FULL JOIN: the columns of each side of which it is the one that is there.
    halves: (Vec<usize>, Vec<usize>),
    /// What places rows, of the left stream.
    trace: Trace,
}

impl Updating {
    /// What the rows of a stream are known by that take the place of each other.
    pub(super) fn of_rows(chain: &Chain) -> Updating {
        let side = Side::new(chain, 0);
        Updating { parts: side.known.iter().map(|known| side.part(known, &chain.trace)).collect() }
    }

    /// Where each of the columns that rows are known by is, if it is there.
    pub(super) fn columns_each(&self) -> Vec<Option<usize>> {
        self.parts.iter().map(|part| part.columns.first().copied()).collect()
    }

    /// The columns that rows are known by, where each is there.
    fn columns(&self) -> Option<Vec<usize>> {
        self.columns_each().into_iter().collect()
    }

    /// So many columns stand before the others now.
    pub(super) fn shift(&mut self, by: usize) {
        for Part { columns, halves: (left, right), .. } in &mut self.parts {
            columns.iter_mut().chain(left).chain(right).for_each(|at| *at += by);
        }
    }

    /// Behind a projection.
    fn project(&mut self, exprs: &[Expr], input: &DFSchema, traces: &mut [Trace]) {
        for part in &mut self.parts {
            let Part { columns, halves: (left, right), .. } = &*part;
            let is_either = |(a, b): (usize, usize)| {
                left.contains(&a) && right.contains(&b) || left.contains(&b) && right.contains(&a)
            };
            let find = |is: &dyn Fn(&Expr) -> bool| -> Vec<usize> {
                (0..exprs.len()).filter(|at| is(unnamed(&exprs[*at]))).collect()
            };
            let among =
                |known: &[usize], expr: &Expr| column(expr, input).is_some_and(|at| known.contains(&at));
            let found = find(&|expr| among(columns, expr) || either(expr, input).is_some_and(is_either));
            let halves = (find(&|expr| among(left, expr)), find(&|expr| among(right, expr)));
            for at in &found {
                if traces[*at] == Trace::Other {
                    traces[*at] = part.trace;
                }
            }
            (part.columns, part.halves) = (found, halves);
        }
    }
}

impl Chain {
    /// Takes a step behind a join that is kept up to date, where it is of rows by themselves and stands before all others: what was
    /// is computed with it as what is.
    pub(super) fn push_updating(&mut self, step: Step) -> Option<Step> {
        let (Some(updating), Some(Closed { from, after })) = (&self.updating, &mut self.closed) else {
            return Some(step);
        };
        let Some((steps, identity)) = from.kept_up() else { return Some(step) };
        if !after.is_empty() {
            return Some(step);
        }
        *identity = updating.columns().unwrap_or_default();
        match step {
            Step::Filter(_) | Step::Project { .. } | Step::Over(_) => {
                steps.push(step);
                None
            }
            other => Some(other),
        }
    }
}

/// What is in a join, of one side.
struct Side<'a> {
    chain: &'a Chain,
    /// The columns that its rows are known by, each with where it is among what is joined.
    known: Vec<(&'a str, Vec<usize>)>,
    /// How many columns stand before its own in what comes out.
    offset: usize,
}

impl<'a> Side<'a> {
    fn new(chain: &'a Chain, offset: usize) -> Side<'a> {
        let Relation::Stream { latest_by: Some(known), schema, .. } = &chain.relation else {
            return Side { chain, known: Vec::new(), offset };
        };
        let place = |name: &'a String| {
            let stream = schema.index_of(name).ok();
            let is = |at: &usize| stream.is_some_and(|stream| chain.trace[*at] == Trace::Stream(stream));
            (name.as_str(), (0..chain.trace.len()).filter(is).collect())
        };
        Side { chain, known: known.iter().map(place).collect(), offset }
    }

    fn part(&self, (name, places): &(&str, Vec<usize>), trace: &[Trace]) -> Part {
        let columns: Vec<usize> = places.iter().map(|at| at + self.offset).collect();
        let trace = columns.first().map_or(Trace::Other, |at| trace[*at]);
        let name = format!("{name} of {}", self.chain.name);
        Part { name, columns, halves: Default::default(), trace }
    }
}

/// Columns that are equal in rows that match, of the left side and of the right.
type Equal = Vec<(usize, usize)>;

impl Translator<'_> {
    /// Whether a join is one that is kept up to date: rows of a side take the place of earlier ones.
    pub(super) fn is_of_latest(&self, left: &Chain, right: &Chain) -> Result<bool, SqlProblem> {
        if !left.is_stream() || !right.is_stream() {
            return Ok(false);
        }
        let is_made =
            |chain: &Chain| chain.updating.is_some() || chain.keeps_groups() && !chain.is_over_time();
        if self.options.update_ms.is_some()
            && let Some(made) = [left, right].into_iter().find(|chain| is_made(chain))
        {
            let what = match &made.closed {
                Some(Closed { from: Origin::Over(_), .. }) => "what is computed OVER rows",
                _ if made.updating.is_some() => "a join",
                _ => "groups",
            };
            let text = format!(
                "{what} of {} and their join with another stream in one query do not run yet",
                made.name
            );
            let help =
                "write what is joined as a transform of its own, with emit: { on_update: … }, and read that";
            return Err(self.problem("join", text, Some(help)));
        }
        Ok(left.latest.is_some() || right.latest.is_some())
    }

    /// Two streams whose rows take the place of each other.
    pub(super) fn join_latest(
        &self,
        join: &Join,
        mut left: Chain,
        mut right: Chain,
    ) -> Result<Chain, SqlProblem> {
        let word = self.join_word(join.join_type);
        let refuse = |message: String, help: &str| Err(self.problem(word, message, Some(help)));
        let kind = self.join_kind(join)?;
        let (with, without) = if left.latest.is_some() { (&left, &right) } else { (&right, &left) };
        if without.latest.is_none() {
            let text = format!(
                "rows of {} take the place of earlier ones, and those of {} stand for themselves: nothing tells apart what comes of these, to take its place",
                with.name, without.name
            );
            let help = format!(
                "make rows of {0} that take the place of each other, by a transform of its own: SELECT … FROM {0} GROUP BY what tells them apart, with emit: {{ on_update: … }}; and join that",
                without.name
            );
            return refuse(text, &help);
        }
        if self.options.update_ms.is_none() {
            let text = format!(
                "rows of {} and of {} take the place of earlier ones, and what they give together changes",
                left.name, right.name
            );
            return refuse(
                text,
                "say beside sql how often what has changed is sent: emit: { on_update: 1s }",
            );
        }
        if join.null_equality == NullEquality::NullEqualsNull {
            return Err(self.null_equals_null(word));
        }
        let (left_schema, right_schema) = (join.left.schema(), join.right.schema());
        let (left_keys, right_keys) =
            self.keys_that_meet(&join.on, (&left, left_schema), (&right, right_schema), word)?;
        let both = both(join).map_err(|e| self.explained(&e))?;
        let filter = join.filter.as_ref().map(|filter| self.expr(filter, &both)).transpose()?;
        let pairs = traces(&join.on, (&left, left_schema), (&right, right_schema));
        let trace = placed(&kind, &left, &right, &pairs);
        let equal = |(l, r): &(Expr, Expr)| {
            Some((column(plain(l, left_schema), left_schema)?, column(plain(r, right_schema), right_schema)?))
        };
        let equal: Equal = join.on.iter().filter_map(equal).collect();
        let offset = if kind.given().is_some() { 0 } else { left_schema.fields().len() };
        let sides = [Side::new(&left, 0), Side::new(&right, offset)];
        let is_full = matches!(kind, JoinKind::Pairs { left_outer: true, right_outer: true });
        if is_full && (filter.is_some() || join.on.len() != sides[0].known.len()) {
            let text = format!(
                "a FULL JOIN compares more than what rows of {} and of {} are known by: a row of each that differ in the rest would both come out alone, known by the same",
                left.name, right.name
            );
            let help = "compare in ON what they are known by and nothing else, and the rest in what is selected: CASE WHEN a.x = b.x THEN … END";
            return refuse(text, help);
        }
        let parts = self.known_by(kind, &sides, &equal, &trace, word)?;
        let [of_left, of_right] = sides.map(|side| {
            side.known.into_iter().map(|(_, places)| places.first().copied()).collect::<Vec<_>>()
        });
        for (chain, schema, known, keys) in
            [(&mut left, left_schema, of_left, left_keys), (&mut right, right_schema, of_right, right_keys)]
        {
            let Some(Latest { schema: wide, identity: known_by, .. }) = chain.latest.take() else { continue };
            for at in &known_by {
                row_key::check_type(wide.field(*at)).map_err(|text| self.problem(word, text, None))?;
            }
            let steps = chain.branch().before.split_off(1);
            let row_wise =
                |step: &Step| matches!(step, Step::Scan { .. } | Step::Filter(_) | Step::Project { .. });
            if !steps.iter().all(row_wise) {
                return Err(self.takes_places(chain, word));
            }
            let given = (steps, Arc::clone(schema.inner()));
            let plan = UpdateSidePlan::new(self.options.late.clone(), given, keys, is_full);
            let side = UpdateSide::new(plan.known_by(&wide, known_by, &known));
            chain.branch().aggregate = Some(Aggregation::Updating(Box::new(side)));
        }
        left.trace = trace;
        left.branches.append(&mut right.branches);
        left.tables.extend(right.tables);
        if kind.given() == Some(JoinSide::Right) {
            left.name = right.name;
        }
        let join = UpdateJoin {
            kind,
            filter,
            both: Arc::clone(both.inner()),
            steps: Vec::new(),
            identity: Vec::new(),
        };
        left.closed = Some(Closed { from: Origin::Updating(Box::new(join)), after: Vec::new() });
        left.updating = Some(Updating { parts });
        Ok(left)
    }

    /// What the rows that come out are known by: what those of the left side are, and what those of the right are but for what is
    /// equal to a column of the left; of a join that keeps the rows of one side, first what those of that side are.
    fn known_by(
        &self,
        kind: JoinKind,
        [left, right]: &[Side<'_>; 2],
        equal: &Equal,
        trace: &[Trace],
        word: &str,
    ) -> Result<Vec<Part>, SqlProblem> {
        let of_right = |places: &[usize]| equal.iter().find(|(_, r)| places.contains(r)).map(|pair| pair.0);
        let of_left = |places: &[usize]| equal.iter().find(|(l, _)| places.contains(l)).map(|pair| pair.1);
        let parts =
            |side: &Side<'_>| side.known.iter().map(|known| side.part(known, trace)).collect::<Vec<_>>();
        let (left_outer, right_outer) = match kind {
            JoinKind::Semi(JoinSide::Left) | JoinKind::Anti(JoinSide::Left) => return Ok(parts(left)),
            JoinKind::Semi(JoinSide::Right) | JoinKind::Anti(JoinSide::Right) => return Ok(parts(right)),
            JoinKind::Pairs { left_outer, right_outer } => (left_outer, right_outer),
        };
        let mut known = match (left_outer, right_outer) {
            (false, true) => parts(right),
            _ => parts(left),
        };
        match (left_outer, right_outer) {
            (false, false) => {
                for (part, (_, places)) in known.iter_mut().zip(&left.known) {
                    let equal = equal.iter().filter(|(l, _)| places.contains(l));
                    part.columns.extend(equal.map(|(_, r)| r + right.offset));
                }
                let others = right.known.iter().filter(|(_, places)| of_right(places).is_none());
                known.extend(others.map(|other| right.part(other, trace)));
            }
            (true, false) => {
                if let Some((name, _)) = right.known.iter().find(|(_, places)| of_right(places).is_none()) {
                    return Err(self.padded(kind, (left, right), name, word));
                }
            }
            (false, true) => {
                if let Some((name, _)) = left.known.iter().find(|(_, places)| of_left(places).is_none()) {
                    return Err(self.padded(kind, (right, left), name, word));
                }
            }
            (true, true) => {
                let in_right = |at: usize| right.known.iter().any(|(_, places)| places.contains(&at));
                let in_left = |at: usize| left.known.iter().any(|(_, places)| places.contains(&at));
                for (name, places) in &right.known {
                    if !of_right(places).is_some_and(in_left) {
                        return Err(self.padded(kind, (left, right), name, word));
                    }
                }
                for (part, (name, places)) in known.iter_mut().zip(&left.known) {
                    let Some(other) = of_left(places).filter(|at| in_right(*at)) else {
                        return Err(self.padded(kind, (right, left), name, word));
                    };
                    // Rows are where an equal key of the left would be.
                    part.trace = places.first().map_or(Trace::Other, |at| left.chain.trace[*at]);
                    part.halves = (std::mem::take(&mut part.columns), vec![other + right.offset]);
                    let of_right = right.known.iter().find(|(_, places)| places.contains(&other));
                    let [a, b] = [(left, *name), (right, of_right.map_or("", |known| known.0))]
                        .map(|(side, column)| format!("{}.{column}", side.chain.name));
                    part.name = format!("COALESCE({a}, {b})");
                }
            }
        }
        Ok(known)
    }

    /// A row without a match would be known by a column of the other side, which is null in it.
    fn padded(
        &self,
        kind: JoinKind,
        (kept, other): (&Side<'_>, &Side<'_>),
        name: &str,
        word: &str,
    ) -> SqlProblem {
        let (kept, of) = (&kept.chain.name, &other.chain.name);
        let text = format!(
            "rows of {of} are known by {name}, which the {} join does not compare with what rows of {kept} are: what comes out would be known by it, and a row of {kept} without a match has none",
            kind.name()
        );
        let help = format!(
            "JOIN runs; or make {of} known by what is compared, by a transform of its own: SELECT … FROM {of} GROUP BY those columns, with emit: {{ on_update: … }}"
        );
        self.problem(word, text, Some(&help))
    }

    fn must_come_out(&self, name: &str) -> SqlProblem {
        let text = format!(
            "what comes out takes the place of what came before it by {name}, which is not among its columns"
        );
        self.problem("select", text, Some(&format!("select {name} as it is, under any name")))
    }

    /// What a projection makes of what rows are known by.
    pub(super) fn project_updating(&self, chain: &mut Chain, projection: &Projection, traces: &mut [Trace]) {
        if let Some(updating) = &mut chain.updating {
            updating.project(&projection.expr, projection.input.schema(), traces);
        }
    }

    /// At the end of a query: the columns that its rows are known by, where they are kept up to date.
    pub(super) fn finish_updating(&self, chain: &mut Chain) -> Result<Option<Vec<usize>>, SqlProblem> {
        let (Some(updating), Some(Closed { from, after })) = (&chain.updating, &mut chain.closed) else {
            return Ok(None);
        };
        let Some((_, identity)) = from.kept_up() else { return Ok(None) };
        if let Some(part) = updating.parts.iter().find(|part| part.columns.is_empty()) {
            return Err(self.must_come_out(&part.name));
        }
        let columns = updating.columns();
        if after.is_empty() {
            *identity = columns.clone().unwrap_or_default();
        }
        Ok(columns)
    }
}

fn column(expr: &Expr, schema: &DFSchema) -> Option<usize> {
    let Expr::Column(column) = expr else { return None };
    schema.index_of_column(column).ok()
}

fn unnamed(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unnamed(&alias.expr),
        other => other,
    }
}

/// The columns of `COALESCE(a, b)`, which the optimizer writes as a CASE.
fn either(expr: &Expr, input: &DFSchema) -> Option<(usize, usize)> {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == "coalesce" => match call.args.as_slice() {
            [a, b] => Some((column(a, input)?, column(b, input)?)),
            _ => None,
        },
        Expr::Case(Case { expr: None, when_then_expr, else_expr: Some(other) }) => {
            let [(when, then)] = when_then_expr.as_slice() else { return None };
            let Expr::IsNotNull(tested) = when.as_ref() else { return None };
            let (tested, then) = (column(tested, input)?, column(then, input)?);
            Some((then, column(other, input)?)).filter(|_| tested == then)
        }
        _ => None,
    }
}
