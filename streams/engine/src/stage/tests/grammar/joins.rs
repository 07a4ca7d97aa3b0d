//! Joins of two streams, drawn, for the rig of `joins`: of the same window, near in time, and without bounds; pairs, and rows of
//! one side that have a match or none.

use millstream_types::{Rng, SeededRng};

use super::super::joins::{ALL, Alone, Case, Closes, alone, alone_of, check_drawn};
use super::exprs::{Column, Exprs, Kind};
use super::{Drawn, aggregates, and, conditions, pick, without_one};
use crate::sql::Keep;

const STREAMS: [&str; 2] = ["{sales}", "{returns}"];
const ALIASES: [&str; 2] = ["a", "b"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Windows,
    /// The times of the second are so much behind those of the first, in milliseconds.
    Near(i64, i64),
    ForEver,
}

#[derive(Clone, Debug)]
pub(super) struct JoinQuery {
    form: Form,
    /// `LEFT JOIN`, or `EXISTS`.
    kind: &'static str,
    /// Aggregates of a side that is grouped before.
    grouped: [Option<Vec<String>>; 2],
    below: [Vec<String>; 2],
    /// Whether values are equal too.
    equal: bool,
    pairs: Vec<String>,
    /// Conditions behind the join.
    wheres: Vec<String>,
    items: Vec<String>,
    with_table: bool,
}

impl JoinQuery {
    fn is_pairs(&self) -> bool {
        self.kind.ends_with("JOIN")
    }

    fn side(&self, side: usize) -> String {
        let (stream, alias) = (STREAMS[side], ALIASES[side]);
        let wheres = and(" WHERE", &self.below[side]);
        match &self.grouped[side] {
            Some(items) => {
                let items: Vec<String> =
                    items.iter().enumerate().map(|(at, item)| format!(", {item} AS m{at}")).collect();
                let by = "store_id, window_start, window_end";
                format!(
                    "(SELECT {by}, count(*) AS n{} FROM {stream}{wheres} GROUP BY {by}) AS {alias}",
                    items.concat()
                )
            }
            None if wheres.is_empty() => format!("{stream} AS {alias}"),
            None => format!("(SELECT * FROM {stream}{wheres}) AS {alias}"),
        }
    }

    fn on(&self) -> String {
        let mut on = vec!["a.store_id = b.store_id".to_owned()];
        match self.form {
            Form::Windows => {
                on.push("a.window_start = b.window_start AND a.window_end = b.window_end".to_owned());
            }
            Form::Near(from, to) => {
                let at = |ms: i64| format!("a.at + INTERVAL '{ms} milliseconds'");
                on.push(format!("b.at BETWEEN {} AND {}", at(from), at(to)));
            }
            Form::ForEver => {}
        }
        on.extend(self.equal.then(|| "a.v = b.v".to_owned()));
        on.extend(self.pairs.iter().cloned());
        on.join(" AND ")
    }

    /// What comes alone, and until when a match may come.
    fn alone(&self) -> Vec<Alone> {
        let Form::Near(from, to) = self.form else { return Vec::new() };
        match self.kind {
            "LEFT JOIN" => vec![alone(0, 1, 2, to)],
            "RIGHT JOIN" => vec![alone(1, 2, 1, -from)],
            "FULL JOIN" => vec![alone(0, 1, 2, to), alone(1, 2, 1, -from)],
            "NOT EXISTS" => vec![alone_of(0, 1, to)],
            _ => Vec::new(),
        }
    }

    fn case(&self) -> Case {
        let below = [0, 1].map(|side: usize| {
            let all = [&self.below[side][..], &["TRUE".to_owned()]].concat().join(" AND ");
            &*all.leak()
        });
        let query: &'static str = self.text().leak();
        let case = Case { below: Some(below), ..Case::new(query) };
        match self.form {
            Form::Windows => Case { below: Some(below), ..Case::windows(query, ALL) },
            Form::Near(..) => Case { closes: Closes::Matches(self.alone().leak()), ..case },
            Form::ForEver => Case { keep: Some(Keep::ForEver), judged: [false, false], ..case },
        }
    }
}

/// A comparison of both sides. No equality: what holds for one side of it does for the other, and would go below there too.
fn pair(rng: &mut SeededRng, sides: &[Vec<Column>; 2], kinds: &[Kind]) -> String {
    let has = |side: &[Column], kind| side.iter().any(|column| column.kind == kind);
    let kinds: Vec<Kind> =
        kinds.iter().copied().filter(|kind| sides.iter().all(|side| has(side, *kind))).collect();
    let kind = pick(rng, &kinds);
    let left = Exprs { rng, columns: &sides[0] }.column(kind);
    let exprs = &mut Exprs { rng, columns: &sides[1] };
    let drawn = exprs.of(kind, 1);
    let right = if drawn.contains("b.") { drawn } else { exprs.column(kind) };
    format!("{left} {} {right}", pick(rng, &["<>", "<", "<=", ">", ">="]))
}

impl Drawn for JoinQuery {
    fn any(rng: &mut SeededRng) -> JoinQuery {
        let form = match rng.below(7) {
            0..=2 => Form::Windows,
            3..=5 => {
                let from = 250 * rng.below(41) as i64 - 5_000;
                Form::Near(from, from + 250 * rng.below(20) as i64)
            }
            _ => Form::ForEver,
        };
        let kinds = ["JOIN", "EXISTS", "NOT EXISTS", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"];
        // What has no match is known where one can come no more.
        let kind = pick(rng, if form == Form::ForEver { &kinds[..2] } else { &kinds[..] });
        let is_pairs = kind.ends_with("JOIN");
        let mut of_stream =
            vec![Column::new("id", Kind::Text), Column::new("at", Kind::Time), Column::new("v", Kind::Int)];
        let mut grouped = [0, 1].map(|_| {
            let exprs = &mut Exprs { rng: &mut *rng, columns: &of_stream };
            let is_grouped = form == Form::Windows && exprs.rng.chance(1, 3);
            let count = 1 + exprs.rng.below(2);
            is_grouped.then(|| (0..count).map(|_| aggregates::computed(exprs, "at, id")).collect::<Vec<_>>())
        });
        if !is_pairs {
            grouped[0] = None;
        }
        let equal = grouped.iter().all(Option::is_none) && rng.chance(1, 3);
        let sides = [0, 1].map(|side: usize| match &grouped[side] {
            Some(items) => {
                let item = |(at, item): (usize, &aggregates::Aggregate)| {
                    item.kind.map(|kind| Column::new(format!("{}.m{at}", ALIASES[side]), kind))
                };
                let n = Column::new(format!("{}.n", ALIASES[side]), Kind::Int);
                items.iter().enumerate().filter_map(item).chain([n]).collect::<Vec<_>>()
            }
            None => {
                let column =
                    |column: &Column| Column::new(format!("{}.{}", ALIASES[side], column.name), column.kind);
                of_stream.iter().map(column).collect()
            }
        });
        // What holds for the values of one side holds for equal ones of the other, and goes below there.
        let is_free = |column: &Column| !equal || !column.name.ends_with('v');
        of_stream.retain(is_free);
        let free = sides.clone().map(|mut side| {
            side.retain(is_free);
            side
        });
        let below = [0, 1].map(|_| conditions(&mut Exprs { rng: &mut *rng, columns: &of_stream }, 1));
        // A condition on times would be a bound of them.
        let kinds = if form == Form::Windows {
            &[Kind::Int, Kind::Text, Kind::Time][..]
        } else {
            &[Kind::Int, Kind::Text]
        };
        let mut few = |less: u64| {
            (0..rng.below(2 + less).saturating_sub(less)).map(|_| pair(rng, &free, kinds)).collect()
        };
        let (pairs, wheres): (Vec<String>, Vec<String>) = (few(0), few(2));
        let wheres = if form == Form::Windows && is_pairs { wheres } else { Vec::new() };
        let columns = if is_pairs { sides.concat() } else { sides[0].clone() };
        let exprs = &mut Exprs { rng, columns: &columns };
        let items = (0..exprs.rng.below(4)).map(|_| exprs.any(2)).collect();
        let grouped =
            grouped.map(|items| items.map(|items| items.into_iter().map(|item| item.text).collect()));
        let with_table = matches!(kind, "JOIN" | "LEFT JOIN") && rng.chance(1, 4);
        JoinQuery { form, kind, grouped, below, equal, pairs, wheres, items, with_table }
    }

    fn text(&self) -> String {
        let ids = [0, 1].map(|side: usize| {
            let id = if self.grouped[side].is_some() { "n" } else { "id" };
            format!("{}.{id} AS {}_id", ALIASES[side], ALIASES[side])
        });
        let items: Vec<String> =
            self.items.iter().enumerate().map(|(at, item)| format!(", {item} AS x{at}")).collect();
        let (a, b, on) = (self.side(0), self.side(1), self.on());
        if !self.is_pairs() {
            let of = format!("SELECT a.store_id, {}{} FROM {a}", ids[0], items.concat());
            return format!("{of} WHERE {} (SELECT 1 FROM {b} WHERE {on})", self.kind);
        }
        let (city, table) = match self.with_table {
            true => (", s.city", " LEFT JOIN stores AS s ON s.store_id = a.store_id"),
            false => ("", ""),
        };
        format!(
            "SELECT coalesce(a.store_id, b.store_id) AS store_id, {}{}{city} FROM {a} {} {b} ON {on}{table}{}",
            ids.join(", "),
            items.concat(),
            self.kind,
            and(" WHERE", &self.wheres)
        )
    }

    fn shorter(&self) -> Vec<JoinQuery> {
        let mut all = vec![
            JoinQuery { with_table: false, ..self.clone() },
            JoinQuery { equal: false, ..self.clone() },
            JoinQuery { grouped: [None, self.grouped[1].clone()], ..self.clone() },
            JoinQuery { grouped: [self.grouped[0].clone(), None], ..self.clone() },
        ];
        all.retain(|less| less.text() != self.text());
        all.extend(without_one(self, |query| &mut query.items));
        all.extend(without_one(self, |query| &mut query.pairs));
        all.extend(without_one(self, |query| &mut query.wheres));
        all.extend(without_one(self, |query| &mut query.below[0]));
        all.extend(without_one(self, |query| &mut query.below[1]));
        all
    }

    fn check(&self, seed: u64) -> Result<usize, String> {
        check_drawn(seed, &self.case())
    }
}
