//! Queries of rows that take the place of each other, drawn, for the rig of `update_joins`: joins that are kept up to date, rows with
//! a match or none, and functions OVER them.

use millstream_types::{Rng, SeededRng};

use super::super::update_joins::check_query;
use super::exprs::{Column, Exprs, Kind};
use super::{Drawn, and, conditions, pick, without_one};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// Of one row at most, and of several.
    One(&'static str, &'static str),
    Several(&'static str),
    /// `EXISTS`, or not.
    Match(&'static str),
    Over,
}

#[derive(Clone, Debug)]
pub(super) struct LatestQuery {
    form: Form,
    /// Conditions on the rows of each stream.
    below: [Vec<String>; 2],
    /// Conditions of a join.
    ons: Vec<String>,
    items: Vec<String>,
    calls: Vec<String>,
    wheres: Vec<String>,
}

fn columns(prefix: &str) -> Vec<Column> {
    let of = [("p", Kind::Text), ("id", Kind::Text), ("k", Kind::Text), ("v", Kind::Int)];
    of.map(|(name, kind)| Column::new(format!("{prefix}{name}"), kind)).into()
}

/// A function OVER the rows of a p.
fn call(exprs: &mut Exprs<'_>) -> String {
    let key = if exprs.rng.chance(1, 3) { format!(", {}", exprs.any(1)) } else { String::new() };
    let (any, direction) = (exprs.any(1), pick(exprs.rng, &["", " DESC", " NULLS FIRST"]));
    let (by, whole) = (format!("PARTITION BY p{key}"), format!("ORDER BY {any}{direction}, id"));
    match exprs.rng.below(9) {
        0 => format!("row_number() OVER ({by} {whole})"),
        1 => format!("rank() OVER ({by} ORDER BY {any}{direction})"),
        2 => format!("dense_rank() OVER ({by} ORDER BY {any}{direction})"),
        3 => format!("lag({}) OVER ({by} {whole})", exprs.any(1)),
        4 => format!("lead({}, 2) OVER ({by} {whole})", exprs.any(1)),
        5 => format!("first_value({}) OVER ({by} {whole})", exprs.any(1)),
        6 => format!("sum({}) OVER ({by} {whole})", exprs.of(Kind::Int, 1)),
        7 => format!("max({}) OVER ({by})", exprs.any(1)),
        _ => format!("count({}) OVER ({by})", exprs.any(1)),
    }
}

impl LatestQuery {
    fn side(&self, side: usize) -> String {
        let (name, wheres) = (["a", "b"][side], and(" WHERE", &self.below[side]));
        if wheres.is_empty() {
            format!("{name} AS {name}")
        } else {
            format!("(SELECT * FROM {name}{wheres}) AS {name}")
        }
    }
}

impl Drawn for LatestQuery {
    fn any(rng: &mut SeededRng) -> LatestQuery {
        let form = match rng.below(6) {
            0 | 1 => Form::One(pick(rng, &["JOIN", "LEFT JOIN"]), pick(rng, &["id", "k"])),
            2 => Form::Several(pick(rng, &["b.k", "b.id"])),
            3 => Form::Match(pick(rng, &["EXISTS", "NOT EXISTS"])),
            _ => Form::Over,
        };
        let raw = columns("");
        let below = [0, 1].map(|_| conditions(&mut Exprs { rng: &mut *rng, columns: &raw }, 1));
        let both = [columns("a."), columns("b.")].concat();
        let of_items = match form {
            Form::Over => raw,
            Form::Match(_) => columns("a."),
            _ => both.clone(),
        };
        let ons =
            if form == Form::Over { Vec::new() } else { conditions(&mut Exprs { rng, columns: &both }, 1) };
        let exprs = &mut Exprs { rng, columns: &of_items };
        let items: Vec<String> = (0..exprs.rng.below(4)).map(|_| exprs.any(2)).collect();
        let wheres = if form == Form::Over { Vec::new() } else { conditions(exprs, 1) };
        let calls = (0..1 + exprs.rng.below(3)).map(|_| call(exprs)).collect();
        let calls = if form == Form::Over { calls } else { Vec::new() };
        LatestQuery { form, below, ons, items, calls, wheres }
    }

    fn text(&self) -> String {
        let numbered = |list: &[String], name: &str| -> String {
            list.iter().enumerate().map(|(at, item)| format!(", {item} AS {name}{at}")).collect()
        };
        let (items, wheres) = (numbered(&self.items, "x"), and(" WHERE", &self.wheres));
        let (a, b) = (self.side(0), self.side(1));
        let on = |first: &str| {
            let on = ["a.p = b.p".to_owned(), first.to_owned()];
            [&on[..], &self.ons].concat().join(" AND ")
        };
        match self.form {
            Form::One(kind, by) => {
                format!(
                    "SELECT a.p, a.id{items} FROM {a} {kind} {b} ON {}{wheres}",
                    on(&format!("a.{by} = b.id"))
                )
            }
            Form::Several(by) => {
                let on = on(&format!("a.k = {by}"));
                format!("SELECT a.p, a.id, b.id AS other{items} FROM {a} JOIN {b} ON {on}{wheres}")
            }
            Form::Match(kind) => {
                let of = format!("{kind} (SELECT 1 FROM {b} WHERE {})", on("a.k = b.k"));
                let wheres = [&[of][..], &self.wheres].concat();
                format!("SELECT a.p, a.id{items} FROM {a}{}", and(" WHERE", &wheres))
            }
            Form::Over => {
                let calls = numbered(&self.calls, "o");
                format!("SELECT p, id{items}{calls} FROM {a}")
            }
        }
    }

    fn shorter(&self) -> Vec<LatestQuery> {
        let mut all = without_one(self, |query| &mut query.items);
        all.extend(without_one(self, |query| &mut query.below[0]));
        all.extend(without_one(self, |query| &mut query.below[1]));
        all.extend(without_one(self, |query| &mut query.ons));
        all.extend(without_one(self, |query| &mut query.wheres));
        all.extend(without_one(self, |query| &mut query.calls));
        all
    }

    fn check(&self, seed: u64) -> Result<usize, String> {
        check_query(seed, &mut SeededRng::new(seed), self.text()).map(|(rows, _)| rows)
    }
}
