//! Functions OVER a stream, drawn, for the rig of `over_time`, with its frames.

use millstream_types::{Rng, SeededRng};

use super::super::over_time::{Asked, check_drawn, frame_of_rows, frame_of_times};
use super::exprs::{Column, Exprs, Kind};
use super::{Drawn, and, conditions, pick, without_one};

#[derive(Clone, Debug)]
pub(super) struct OverQuery {
    wheres: Vec<String>,
    /// What is computed of a row alone.
    items: Vec<String>,
    calls: Vec<String>,
    /// Expressions and conditions behind the functions.
    behind: Option<(Vec<String>, Vec<String>)>,
}

fn columns() -> Vec<Column> {
    let of = [
        ("id", Kind::Text),
        ("user_id", Kind::Text),
        ("at", Kind::Time),
        ("kind", Kind::Text),
        ("v", Kind::Int),
        ("w", Kind::Float),
        ("amount", Kind::Money),
    ];
    of.map(|(name, kind)| Column::new(name, kind)).into()
}

/// A call, and what it gives where others may go on with it.
fn call(exprs: &mut Exprs<'_>) -> (String, Option<Kind>) {
    let ordered = exprs.rng.chance(1, 2);
    let key = match exprs.rng.below(4) {
        0 => format!(", {}", exprs.any(1)),
        _ => String::new(),
    };
    let by = format!("PARTITION BY user_id{key} ORDER BY at");
    let (frame, by) = match ordered {
        true => (frame_of_rows(exprs.rng), format!("{by}, id")),
        false => (frame_of_times(exprs.rng), by),
    };
    let over = format!("OVER ({by}{frame})");
    let (any, depth) = (exprs.kind(), exprs.rng.below(2) as usize);
    let number = pick(exprs.rng, &[Kind::Int, Kind::Money, Kind::Float]);
    let comparable = pick(exprs.rng, &[Kind::Int, Kind::Money, Kind::Text, Kind::Time, Kind::Float]);
    let (text, kind) = match exprs.rng.below(10) {
        0 => return (format!("rank() OVER ({by})"), None),
        1 => return (format!("dense_rank() OVER ({by})"), None),
        2 if ordered => return (format!("row_number() OVER ({by})"), None),
        3 if ordered => {
            return (
                format!("lag({}, {}) OVER ({by})", exprs.of(any, depth), 1 + exprs.rng.below(3)),
                Some(any),
            );
        }
        4 if ordered => {
            let name = pick(exprs.rng, &["first_value", "last_value"]);
            return (format!("{name}({}) {over}", exprs.of(any, depth)), Some(any));
        }
        5 => (format!("count({})", exprs.of(any, depth)), Some(Kind::Int)),
        6 => (format!("sum({})", exprs.of(number, depth)), Some(number)),
        7 => (format!("min({})", exprs.of(comparable, depth)), Some(comparable)),
        8 => (format!("max({})", exprs.of(comparable, depth)), Some(comparable)),
        _ => ("count(*)".to_owned(), Some(Kind::Int)),
    };
    let filter =
        if exprs.rng.chance(1, 4) { format!(" FILTER (WHERE {})", exprs.bool(1)) } else { String::new() };
    (format!("{text}{filter} {over}"), kind)
}

impl Drawn for OverQuery {
    fn any(rng: &mut SeededRng) -> OverQuery {
        let columns = columns();
        let exprs = &mut Exprs { rng, columns: &columns };
        let wheres = conditions(exprs, 1);
        let items: Vec<String> = (0..exprs.rng.below(3)).map(|_| exprs.any(2)).collect();
        let mut outputs = Vec::new();
        let mut calls = Vec::new();
        for at in 0..1 + exprs.rng.below(4) {
            let (text, kind) = call(exprs);
            outputs.extend(kind.map(|kind| Column::new(format!("x{at}"), kind)));
            calls.push(text);
        }
        let behind = (!outputs.is_empty() && exprs.rng.chance(1, 3)).then(|| {
            let exprs = &mut Exprs { rng: &mut *exprs.rng, columns: &outputs };
            let items = (0..exprs.rng.below(3)).map(|_| exprs.any(2)).collect();
            (items, conditions(exprs, 1))
        });
        OverQuery { wheres, items, calls, behind }
    }

    fn text(&self) -> String {
        let numbered = |list: &[String], name: &str| -> String {
            list.iter().enumerate().map(|(at, item)| format!(", {item} AS {name}{at}")).collect()
        };
        let (items, calls) = (numbered(&self.items, "e"), numbered(&self.calls, "x"));
        let inner =
            format!("SELECT id, user_id, at{items}{calls} FROM payments{}", and(" WHERE", &self.wheres));
        match &self.behind {
            Some((items, wheres)) => {
                // Without any function rows are never late.
                format!("SELECT id, x0{} FROM ({inner}){}", numbered(items, "y"), and(" WHERE", wheres))
            }
            None => inner,
        }
    }

    fn shorter(&self) -> Vec<OverQuery> {
        let mut all: Vec<OverQuery> =
            self.behind.iter().map(|_| OverQuery { behind: None, ..self.clone() }).collect();
        all.extend(without_one(self, |query| &mut query.items));
        all.extend(without_one(self, |query| &mut query.wheres));
        all.extend(
            without_one(self, |query| &mut query.calls).into_iter().filter(|less| !less.calls.is_empty()),
        );
        all
    }

    fn check(&self, seed: u64) -> Result<usize, String> {
        let filter = (!self.wheres.is_empty()).then(|| self.wheres.join(" AND "));
        check_drawn(seed, &Asked { query: self.text(), filter })
    }
}
