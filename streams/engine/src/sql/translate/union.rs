//! `UNION ALL` of streams, in a query's chain: each has its own steps, and goes on with those of the first.

use std::sync::Arc;

use datafusion_expr::logical_plan::Union;

use super::{Chain, Trace, Translator};
use crate::op::Step;
use crate::sql::Relation;
use crate::sql::problem::SqlProblem;

impl Translator<'_> {
    pub(super) fn union(&self, union: &Union) -> Result<Chain, SqlProblem> {
        let chains: Result<Vec<Chain>, SqlProblem> =
            union.inputs.iter().map(|input| self.appended(input, "union")).collect();
        let mut chains = chains?;
        for chain in &chains {
            let refuse = |message: String, help: &str| Err(self.problem("union", message, Some(help)));
            if !chain.is_stream() {
                return refuse(
                    format!(
                        "table {} is put together with a stream, and has no end of its own there",
                        chain.name
                    ),
                    "JOIN a table, or publish its rows to a topic",
                );
            }
            if chain.closed.is_some() || chain.window.is_some() {
                return refuse(
                    format!(
                        "the rows of {} are in windows or joined, and put together with others",
                        chain.name
                    ),
                    "put streams together before, FROM TUMBLE((SELECT … UNION ALL SELECT …), …), or publish each result to one topic",
                );
            }
        }
        let schema = union.schema.inner();
        let count = schema.fields().len();
        for chain in &mut chains {
            // Names and types are those of the union.
            chain.push(Step::Scan { columns: (0..count).collect(), schema: Arc::clone(schema) });
        }
        // A column is the event time, or a part of the key, where it is so in each; and the keys are the same as a whole, else
        // equal rows would lie in several partitions.
        let keys = key_places(&chains[0]);
        let same_key = chains.iter().all(|chain| key_places(chain) == keys);
        let is_key = |at: &usize| same_key && keys.iter().flatten().any(|key| key == at);
        let is_time = |at: &usize| chains.iter().all(|chain| is_event_time(chain, *at));
        let kept: Vec<bool> = (0..count).map(|at| is_key(&at) || is_time(&at)).collect();
        let mut chains = chains.into_iter();
        let Some(mut all) = chains.next() else {
            return Err(SqlProblem::at_start("a union of nothing".to_owned()));
        };
        let entry = all.branch().before.len();
        for mut other in chains {
            other.shift(all.branches.len());
            other.branch().into = Some((0, entry));
            all.branches.append(&mut other.branches);
            all.tables.append(&mut other.tables);
            all.bounds_used |= other.bounds_used;
            all.name = format!("{} and {}", all.name, other.name);
        }
        for (trace, kept) in all.trace.iter_mut().zip(kept) {
            if !kept {
                *trace = Trace::Other;
            }
        }
        Ok(all)
    }
}

/// The places of the columns of a chain's key, in its order; nothing where a part of it is gone.
fn key_places(chain: &Chain) -> Option<Vec<usize>> {
    let Relation::Stream { schema, partitioned_by, .. } = &chain.relation else { return None };
    let place = |name: &String| {
        let column = schema.index_of(name).ok()?;
        chain.trace.iter().position(|trace| *trace == Trace::Stream(column))
    };
    partitioned_by.iter().flatten().map(place).collect()
}

fn is_event_time(chain: &Chain, at: usize) -> bool {
    match (chain.trace[at], &chain.relation) {
        (Trace::Stream(column), Relation::Stream { schema, event_time, .. }) => {
            event_time.as_ref() == Some(schema.field(column).name())
        }
        _ => false,
    }
}
