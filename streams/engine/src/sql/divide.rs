//! The query that hands rows on which take the place of each other, for a topic that is divided by other columns: made without
//! SQL. Never enters: what is kept for it.

use arrow::datatypes::SchemaRef;

use super::query::{Branch, Closed, Origin, Query};
use crate::op::Step;
use crate::op::aggregate::Aggregation;
use crate::op::divide::Divide;
use crate::op::row_key;

/// A query over a stream with these columns, whose rows are known by some of them, for a topic that is divided by others.
pub(crate) fn divide(
    operator: &str,
    stream: &str,
    schema: &SchemaRef,
    known: Option<&[String]>,
    by: &[String],
) -> Result<Query, String> {
    let Some(known) = known else {
        return Err(format!(
            "rows of {stream} stand for themselves: none takes the place of another, and they are published as they are"
        ));
    };
    let place =
        |name: &String| schema.index_of(name).map_err(|_| format!("there is no column {name} in {stream}"));
    let known: Vec<usize> = known.iter().map(place).collect::<Result<_, _>>()?;
    let by: Vec<usize> = by.iter().map(place).collect::<Result<_, _>>()?;
    let by: Vec<usize> = by.into_iter().filter(|at| !known.contains(at)).collect();
    known.iter().chain(&by).try_for_each(|at| row_key::check_type(schema.field(*at)))?;
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let divide = Divide::new(schema.clone(), known.clone(), by.clone()).map_err(|error| error.to_string())?;
    let before = vec![Step::Scan { columns: all.clone(), schema: schema.clone() }];
    Ok(Query {
        operator: operator.to_owned(),
        tables: Vec::new(),
        branches: vec![Branch {
            stream: stream.to_owned(),
            reads: all.clone(),
            before,
            into: None,
            aggregate: Some(Aggregation::Divide(Box::new(divide))),
        }],
        closed: Some(Closed { from: Origin::Divide, after: Vec::new() }),
        schema: schema.clone(),
        explain: String::new(),
        update_ms: None,
        updated_at: None,
        passes: all.into_iter().map(Some).collect(),
        known_by: Some(known.into_iter().chain(by).collect()),
        joined_by: None,
    })
}
