//! Queries of groups without windows that are kept up to date, drawn, for the rig of `groups`.

use millstream_types::{Rng, SeededRng};

use super::super::groups::{Case, check_case};
use super::exprs::{Column, Exprs, Kind};
use super::{Drawn, aggregates, and, conditions, without_one};

/// What tells rows of a store apart.
const ORDER: &str = "i.at, i.id";

#[derive(Clone, Debug)]
pub(super) struct GroupQuery {
    /// Whether sales take the place of each other.
    revised: bool,
    /// Which streams, put together.
    streams: Vec<&'static str>,
    unnest: bool,
    /// Conditions before rows are grouped: in the query of the streams, and behind it.
    before: Vec<String>,
    wheres: Vec<String>,
    join: Option<&'static str>,
    keys: Vec<String>,
    rollup: bool,
    items: Vec<String>,
    havings: Vec<String>,
    /// Expressions and conditions behind the groups.
    behind: Option<(Vec<String>, Vec<String>)>,
}

impl GroupQuery {
    fn known_by(&self) -> Vec<String> {
        let keys = (0..self.keys.len()).map(|at| format!("k{at}"));
        let level = (self.rollup && !self.keys.is_empty()).then(|| "level".to_owned());
        ["store_id".to_owned()].into_iter().chain(keys).chain(level).collect()
    }

    fn inner(&self) -> String {
        let tag = if self.unnest { ", unnest(tags) AS tag" } else { "" };
        let of = |stream: &&str| {
            let fields = "id, store_id, at, get_field(head, 'sku') AS sku, get_field(head, 'qty') AS qty";
            format!("SELECT {fields}{tag} FROM {stream}{}", and(" WHERE", &self.before))
        };
        let from: Vec<String> = self.streams.iter().map(of).collect();
        let has_sets = self.rollup && !self.keys.is_empty();
        let keys = self.keys.join(", ");
        let mut select = vec!["i.store_id AS store_id".to_owned()];
        select.extend(self.keys.iter().enumerate().map(|(at, key)| format!("{key} AS k{at}")));
        if has_sets {
            select.push(format!("grouping({keys}) AS level"));
        }
        select.extend(self.items.iter().enumerate().map(|(at, item)| format!("{item} AS a{at}")));
        let join =
            self.join.map_or(String::new(), |join| format!(" {join} stores AS s ON s.store_id = i.store_id"));
        let by = match (has_sets, self.keys.is_empty()) {
            (true, _) => format!(", ROLLUP ({keys})"),
            (false, true) => String::new(),
            (false, false) => format!(", {keys}"),
        };
        format!(
            "SELECT {} FROM ({}) AS i{join}{} GROUP BY i.store_id{by}{}",
            select.join(", "),
            from.join(" UNION ALL "),
            and(" WHERE", &self.wheres),
            and(" HAVING", &self.havings)
        )
    }
}

impl Drawn for GroupQuery {
    fn any(rng: &mut SeededRng) -> GroupQuery {
        let revised = rng.chance(1, 3);
        let streams = match rng.below(3) {
            0 if !revised => vec!["sales", "returns"],
            _ => vec!["sales"],
        };
        let unnest = !revised && rng.chance(1, 5);
        let mut columns = vec![
            Column::new("i.id", Kind::Text),
            Column::new("i.store_id", Kind::Text),
            Column::new("i.at", Kind::Time),
            Column::new("i.sku", Kind::Text),
            Column::new("i.qty", Kind::Int),
        ];
        let raw = [
            Column::new("id", Kind::Text),
            Column::new("get_field(head, 'sku')", Kind::Text),
            Column::new("get_field(head, 'qty')", Kind::Int),
            Column::new("at", Kind::Time),
        ];
        let before = conditions(&mut Exprs { rng, columns: &raw }, 2);
        if unnest {
            columns.push(Column::new("i.tag", Kind::Text));
        }
        let join = match rng.below(8) {
            0 if !revised => Some("JOIN"),
            1 if !revised => Some("LEFT JOIN"),
            _ => None,
        };
        let wheres = conditions(&mut Exprs { rng, columns: &columns }, 2);
        if join.is_some() {
            columns.push(Column::new("s.city", Kind::Text));
        }
        let exprs = &mut Exprs { rng, columns: &columns };
        let keys = super::keys(exprs, &["i.store_id"]);
        let order = if unnest { format!("{ORDER}, i.tag") } else { ORDER.to_owned() };
        let mut items = vec!["count(*)".to_owned()];
        let mut outputs = vec![Column::new("a0", Kind::Int)];
        for at in 1..=exprs.rng.below(5) {
            let aggregate = aggregates::computed(exprs, &order);
            outputs.extend(aggregate.kind.map(|kind| Column::new(format!("a{at}"), kind)));
            items.push(aggregate.text);
        }
        let rollup = !revised && exprs.rng.chance(1, 6);
        let having = (!rollup && exprs.rng.chance(1, 4)).then(|| aggregates::having(exprs, &order));
        let behind = exprs.rng.chance(1, 4).then(|| {
            let exprs = &mut Exprs { rng: &mut *exprs.rng, columns: &outputs };
            let items = (0..1 + exprs.rng.below(3)).map(|_| exprs.any(2)).collect();
            let wheres = if rollup { Vec::new() } else { conditions(exprs, 1) };
            (items, wheres)
        });
        let havings = Vec::from_iter(having);
        GroupQuery { revised, streams, unnest, before, wheres, join, keys, rollup, items, havings, behind }
    }

    fn text(&self) -> String {
        let inner = self.inner();
        let Some((items, wheres)) = &self.behind else { return inner };
        let items: Vec<String> =
            items.iter().enumerate().map(|(at, item)| format!(", {item} AS o{at}")).collect();
        let known = self.known_by().join(", ");
        format!("SELECT {known}{} FROM ({inner}) AS g{}", items.concat(), and(" WHERE", wheres))
    }

    fn shorter(&self) -> Vec<GroupQuery> {
        let plain = GroupQuery { behind: None, ..self.clone() };
        let alone = GroupQuery { join: None, ..self.clone() };
        let one = GroupQuery { streams: vec!["sales"], ..self.clone() };
        let no_sets = GroupQuery { rollup: false, ..self.clone() };
        let whole = GroupQuery { unnest: false, ..self.clone() };
        let mut all = vec![plain, alone, one, no_sets, whole];
        all.retain(|less| less.text() != self.text());
        all.extend(without_one(self, |query| &mut query.items));
        all.extend(without_one(self, |query| &mut query.keys));
        all.extend(without_one(self, |query| &mut query.before));
        all.extend(without_one(self, |query| &mut query.wheres));
        all.extend(without_one(self, |query| &mut query.havings));
        all
    }

    fn check(&self, seed: u64) -> Result<usize, String> {
        let case = Case { query: self.text(), keys: self.known_by().len(), revised: self.revised };
        check_case(seed, &mut SeededRng::new(seed), &case)
    }
}
