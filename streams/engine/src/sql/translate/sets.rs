//! The sets of keys of a query's GROUP BY: what `GROUPING SETS`, `ROLLUP` and `CUBE` stand for, and whether the rows of each of their
//! groups meet.

use datafusion_expr::Expr;
use datafusion_expr::expr::GroupingSet;
use datafusion_expr::logical_plan::Aggregate;

use super::{Chain, Grouped, Trace, Translator};
use crate::op::grouping::{self, GroupingSets};
use crate::sql::problem::SqlProblem;

/// How many groups a row may be in.
const SETS_MAX: usize = 128;
/// How many expressions all sets may have: their numbers have a bit for each.
const EXPRS_MAX: usize = 32;

const OUTSIDE: &str = "keep what every set needs outside: GROUP BY key, window_start, window_end, ROLLUP (…)";

/// What rows are grouped by.
pub(super) struct GroupBy<'e> {
    /// Every expression once, in the order in which they come out.
    pub(super) exprs: Vec<&'e Expr>,
    /// Of each set, which of them it holds; nothing where there is but one, which holds all.
    pub(super) sets: Vec<Vec<bool>>,
}

impl GroupBy<'_> {
    /// Whether the expression at this place is in every set.
    pub(super) fn in_all(&self, at: usize) -> bool {
        self.sets.iter().all(|set| set[at])
    }

    /// What a set holds, for people.
    fn name(&self, set: &[bool]) -> String {
        let held = self.exprs.iter().zip(set).filter(|(_, held)| **held);
        let names: Vec<String> = held.map(|(expr, _)| name(expr)).collect();
        format!("({})", names.join(", "))
    }
}

/// An expression as it is written, about.
fn name(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        other => other.schema_name().to_string(),
    }
}

impl Translator<'_> {
    pub(super) fn group_by<'e>(&self, aggregate: &'e Aggregate) -> Result<GroupBy<'e>, SqlProblem> {
        let [Expr::GroupingSet(of)] = aggregate.group_expr.as_slice() else {
            return Ok(GroupBy { exprs: aggregate.group_expr.iter().collect(), sets: Vec::new() });
        };
        let exprs = of.distinct_expr();
        let count = exprs.len();
        let written = match of {
            GroupingSet::GroupingSets(sets) => sets.len(),
            GroupingSet::Rollup(_) => count + 1,
            GroupingSet::Cube(_) => 1usize.checked_shl(count as u32).unwrap_or(usize::MAX),
        };
        if written > SETS_MAX || count > EXPRS_MAX {
            let text = format!(
                "each row would be in {written} groups, of sets over {count} expressions: the bounds are {SETS_MAX} and {EXPRS_MAX}"
            );
            return Err(self.problem(
                "group",
                text,
                Some("name the sets that are wanted: GROUPING SETS (…)"),
            ));
        }
        let sets = match of {
            GroupingSet::GroupingSets(sets) => {
                sets.iter().map(|set| exprs.iter().map(|expr| set.contains(expr)).collect()).collect()
            }
            GroupingSet::Rollup(_) => {
                (0..=count).map(|held| (0..count).map(|at| at < held).collect()).collect()
            }
            GroupingSet::Cube(_) => {
                (0..written).map(|set| (0..count).map(|at| set & 1 << at == 0).collect()).collect()
            }
        };
        Ok(GroupBy { exprs, sets })
    }

    /// What holds of a GROUP BY holds of each of its sets: its groups are of windows that end, and their rows are in one
    /// partition.
    pub(super) fn check_sets(
        &self,
        chain: &Chain,
        grouped: &Grouped,
        by: &GroupBy<'_>,
        traces: &[Trace],
    ) -> Result<(), SqlProblem> {
        let all = [vec![true; traces.len()]];
        let sets = if by.sets.is_empty() { &all[..] } else { &by.sets };
        for set in sets {
            let of_set: Vec<Trace> =
                traces.iter().zip(set).filter(|(_, held)| **held).map(|(trace, _)| *trace).collect();
            self.check_set(chain, grouped, &of_set).map_err(|mut problem| {
                if !by.sets.is_empty() {
                    problem.message = format!("of the grouping set {}: {}", by.name(set), problem.message);
                    let help = problem.help.map_or(String::new(), |help| format!("; or {help}"));
                    problem.help = Some(format!("{OUTSIDE}{help}"));
                }
                problem
            })?;
        }
        Ok(())
    }

    fn check_set(&self, chain: &Chain, grouped: &Grouped, traces: &[Trace]) -> Result<(), SqlProblem> {
        let is_endless = matches!(grouped, Grouped::Windows(windows) if windows.is_endless());
        let windowed = traces.iter().any(|t| matches!(t, Trace::WindowStart | Trace::WindowEnd));
        if !windowed && !is_endless {
            let text = "it holds no window, so that its result is never final";
            return Err(self.problem("group", text, None));
        }
        self.check_placed(chain, traces, "group", "group by")?;
        if let Grouped::Windows(windows) = grouped
            && !windows.start_is_unique()
            && !traces.contains(&Trace::WindowEnd)
        {
            let text = "cumulating windows that start together differ by their ends, and the query does not group by window_end";
            return Err(self.problem("group", text, Some("group by window_start, window_end")));
        }
        Ok(())
    }

    /// The sets as the operator has them. `keys` and `bounds` are the places of its keys, and of the window's bounds, among the
    /// expressions.
    pub(super) fn grouping_sets(
        &self,
        aggregate: &Aggregate,
        by: &GroupBy<'_>,
        traces: &[Trace],
    ) -> Result<GroupingSets, SqlProblem> {
        if by.sets.is_empty() {
            return Ok(GroupingSets::none());
        }
        let mut made: Vec<grouping::GroupingSet> = Vec::with_capacity(by.sets.len());
        for (at, set) in by.sets.iter().enumerate() {
            // As DataFusion numbers them: the last expression is the lowest bit, set where it is not held; a set that is written
            // twice has how often it came before above them.
            let mask = set.iter().fold(0u64, |mask, held| mask << 1 | u64::from(!held));
            let before = by.sets[..at].iter().filter(|other| *other == set).count() as u64;
            let holds = |bound: Trace| set.iter().zip(traces).any(|(held, trace)| *held && *trace == bound);
            let is_key = |trace: &Trace| !matches!(trace, Trace::WindowStart | Trace::WindowEnd);
            made.push(grouping::GroupingSet {
                keys: set
                    .iter()
                    .zip(traces)
                    .filter(|(_, trace)| is_key(trace))
                    .map(|(held, _)| *held)
                    .collect(),
                window_start: holds(Trace::WindowStart),
                window_end: holds(Trace::WindowEnd),
                number: mask | before << set.len(),
            });
        }
        let number = aggregate.schema.field(by.exprs.len()).data_type().clone();
        GroupingSets::new(made, number).map_err(|e| self.explained(&e))
    }
}
