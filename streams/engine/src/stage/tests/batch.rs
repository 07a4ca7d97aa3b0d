//! DataFusion's batch engine as it comes, and how what it gives differs from what came out.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::{lines, stores};

/// How a message begins that says that the batch engine could not answer.
pub(super) const NO_ANSWER: &str = "the batch engine has no answer: ";

/// How many lines of each side a difference shows.
const SHOWN: usize = 5;

/// What a query gives over tables, and the stores; in order.
pub(super) fn answer(sql: &str, tables: &[(&str, RecordBatch)]) -> Result<Vec<String>, String> {
    let mut config = SessionConfig::new().with_target_partitions(1);
    config.options_mut().sql_parser.parse_float_as_decimal = true;
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    let context = SessionContext::new_with_config(config);
    // Behind it the batch engine's planner finds windows unequal that it has grouped as equal, and panics.
    context.remove_optimizer_rule("common_sub_expression_eliminate");
    for (name, table) in tables {
        context.register_batch(*name, table.clone()).expect("a table");
    }
    context.register_batch("stores", stores()).expect("a table");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let batches = runtime.block_on(async { context.sql(sql).await?.collect().await });
    let mut lines: Vec<String> =
        batches.map_err(|error| error.strip_backtrace())?.iter().flat_map(lines).collect();
    lines.sort_unstable();
    Ok(lines)
}

/// What is in one of two multisets of lines and not in the other, some of it; nothing where they are equal.
pub(super) fn apart(found: &[String], wanted: &[String]) -> Option<String> {
    let mut counts: BTreeMap<&String, i64> = BTreeMap::new();
    found.iter().for_each(|line| *counts.entry(line).or_default() += 1);
    wanted.iter().for_each(|line| *counts.entry(line).or_default() -= 1);
    let shown = |title: &str, of: &dyn Fn(i64) -> bool| -> String {
        let all: Vec<&String> =
            counts.iter().filter(|(_, count)| of(**count)).map(|(line, _)| *line).collect();
        let some: String = all.iter().take(SHOWN).map(|line| format!("  {line}\n")).collect();
        format!("{} {title}\n{some}", all.len())
    };
    counts.values().any(|count| *count != 0).then(|| {
        let (more, less) = (shown("lines too many", &|n| n > 0), shown("lines missing", &|n| n < 0));
        format!("{} lines came, {} were wanted\n{more}{less}", found.len(), wanted.len())
    })
}
