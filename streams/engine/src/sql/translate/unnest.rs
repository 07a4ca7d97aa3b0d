//! `unnest(column)` in a query's chain.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_expr::Unnest;

use super::{Chain, Trace, Translator};
use crate::op::Step;
use crate::op::unnest::{UnnestColumn, UnnestStep};
use crate::sql::problem::SqlProblem;

impl Translator<'_> {
    pub(super) fn unnest(&self, unnest: &Unnest) -> Result<Chain, SqlProblem> {
        let refuse = |message: &str, help: &str| Err(self.problem("unnest", message, Some(help)));
        let mut chain = self.appended(&unnest.input, "unnest")?;
        if chain.in_sessions() {
            return refuse(
                "the items of a list are rows of sessions that their record belongs to once",
                "unnest before the sessions are made, FROM SESSION((SELECT …, unnest(…) AS item FROM …), …)",
            );
        }
        let input = unnest.input.schema();
        let mut columns: Vec<UnnestColumn> = Vec::with_capacity(unnest.dependency_indices.len());
        for at in &unnest.dependency_indices {
            let of_list = unnest.list_type_columns.iter().filter(|(list, _)| list == at);
            let of_list: Vec<_> = of_list.collect();
            columns.push(match (of_list.as_slice(), unnest.struct_type_columns.contains(at)) {
                ([], true) => {
                    let is_of = |column: &&UnnestColumn| matches!(column, UnnestColumn::Field(of, _) if of == at);
                    UnnestColumn::Field(*at, columns.iter().filter(is_of).count())
                }
                ([], false) => UnnestColumn::Beside(*at),
                ([(_, list)], false) if list.depth == 1 && matches!(input.field(*at).data_type(), DataType::List(_)) => {
                    UnnestColumn::Items(*at)
                }
                _ => {
                    return refuse(
                        "a list of lists, or one list taken apart in two ways, does not run yet",
                        "SELECT …, unnest(outer_list) AS inner_list in a subquery, and unnest(inner_list) outside",
                    );
                }
            });
        }
        let traced = |column: &UnnestColumn| match column {
            UnnestColumn::Beside(at) => chain.trace[*at],
            _ => Trace::Other,
        };
        chain.trace = columns.iter().map(traced).collect();
        let schema = Arc::clone(unnest.schema.inner());
        chain.push(Step::Unnest(UnnestStep { columns, keeps_null: unnest.options.preserve_nulls(), schema }));
        Ok(chain)
    }
}
