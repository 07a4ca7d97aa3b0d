//! Queries over windows and sessions, drawn, for the main rig: what is cut and by what, joins with a table, groups, what is behind
//! them.

mod rows;

use std::rc::Rc;

use millstream_model::{Sessions, Windows};
use millstream_types::{Rng, SeededRng};

use super::super::{Asked, By, Logs, check_asked, random_logs};
use super::exprs::{Column, Exprs, KINDS, Kind};
use super::{Drawn, aggregates, and, conditions, pick, without_one};
pub(in super::super) use rows::Rows;

/// The columns of the rig's stream.
const COLUMNS: &[(&str, Kind)] = &[
    ("invoice_id", Kind::Text),
    ("store_id", Kind::Text),
    ("issued_at", Kind::Time),
    ("qty", Kind::Int),
    ("total", Kind::Money),
    ("note", Kind::Text),
    ("paid", Kind::Bool),
    ("weight", Kind::Float),
    ("delta", Kind::Int),
];

/// What tells rows of a group apart: an id comes again when a minute has passed.
const ORDER: &str = "i.issued_at, i.invoice_id";

#[derive(Clone, Debug)]
enum Cut {
    Tumble(i64),
    Hop(i64, i64),
    Cumulate(i64, i64),
    /// With the columns that are its key.
    Session(i64, Vec<&'static str>),
}

/// What is cut: the stream as it is, or a query of it.
#[derive(Clone, Debug, Default)]
struct Source {
    /// Expressions, with the names of their columns.
    items: Vec<(String, Column)>,
    wheres: Vec<String>,
    /// Another one, of other rows, that is put together with it.
    union: Option<Vec<String>>,
    /// Whether the items of a list become rows.
    unnest: bool,
}

#[derive(Clone, Debug)]
struct Join {
    is_left: bool,
    /// Conditions beside the equality; on rows alone, and on both.
    of_rows: Vec<String>,
    of_both: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Sets {
    None,
    Rollup,
    Cube,
}

/// What stands behind groups.
#[derive(Clone, Debug)]
enum Behind {
    Nothing,
    /// Calls OVER the rows of a window, and how many of each are kept.
    Over(Vec<String>, Option<u64>),
    /// Expressions and conditions.
    Select(Vec<String>, Vec<String>),
}

#[derive(Clone, Debug)]
pub(super) struct WindowQuery {
    cut: Cut,
    source: Source,
    join: Option<Join>,
    /// Conditions on rows, and on rows and their windows.
    wheres: Vec<String>,
    of_bounds: Vec<String>,
    /// Whether rows are grouped; else they go on as they are.
    grouped: bool,
    /// What they are grouped by beside the store and the window.
    keys: Vec<String>,
    sets: Sets,
    /// Which of a window's bounds.
    start: bool,
    end: bool,
    /// Aggregates, or expressions where nothing is grouped.
    items: Vec<String>,
    havings: Vec<String>,
    behind: Behind,
    early: bool,
    again: bool,
}

impl WindowQuery {
    /// Whether its rows may be sent again.
    fn may_update(&self) -> bool {
        self.grouped
            && !matches!(self.cut, Cut::Session(..))
            && self.havings.is_empty()
            && matches!(self.behind, Behind::Nothing)
    }

    /// The cut of a stream.
    fn cut_of(&self, stream: &str) -> String {
        let of = self.source.text(stream);
        let ms = |ms: i64| format!("INTERVAL '{ms} milliseconds'");
        match &self.cut {
            Cut::Tumble(size) => format!("TUMBLE({of}, issued_at, {})", ms(*size)),
            Cut::Hop(slide, size) => format!("HOP({of}, issued_at, {}, {})", ms(*slide), ms(*size)),
            Cut::Cumulate(step, size) => format!("CUMULATE({of}, issued_at, {}, {})", ms(*step), ms(*size)),
            Cut::Session(gap, keys) => format!("SESSION({of}, issued_at, {}, {})", ms(*gap), keys.join(", ")),
        }
    }

    fn by(&self) -> By {
        match &self.cut {
            Cut::Tumble(size) => By::Windows(Windows::tumble(*size).expect("a size")),
            Cut::Hop(slide, size) => By::Windows(Windows::hop(*slide, *size).expect("sizes")),
            Cut::Cumulate(step, size) => By::Windows(Windows::cumulate(*step, *size).expect("sizes")),
            Cut::Session(gap, _) => By::Sessions(Sessions::new(*gap).expect("a gap"), |_| None),
        }
    }

    /// What rows are grouped by, with the names of it, which name a group.
    fn named_keys(&self) -> Vec<(String, String)> {
        let mut named = vec![("i.store_id".to_owned(), "store_id".to_owned())];
        if let Cut::Session(_, keys) = &self.cut {
            let others = keys.iter().filter(|key| **key != "store_id");
            named.extend(others.map(|key| (format!("i.{key}"), (*key).to_owned())));
        }
        named.extend(self.keys.iter().enumerate().map(|(at, key)| (key.clone(), format!("k{at}"))));
        named
    }

    fn bounds(&self) -> Vec<&'static str> {
        let both = [(self.start, "window_start"), (self.end, "window_end")];
        both.into_iter().filter(|(is_there, _)| *is_there).map(|(_, name)| name).collect()
    }

    /// The names of what tells rows of groups apart.
    fn known_by(&self) -> Vec<String> {
        let keys = self.named_keys().into_iter().map(|(_, name)| name);
        let level = (self.sets != Sets::None && !self.keys.is_empty()).then(|| "level".to_owned());
        keys.chain(self.bounds().into_iter().map(str::to_owned)).chain(level).collect()
    }

    /// Over a relation of cut rows.
    fn inner(&self) -> String {
        let named = self.named_keys();
        let mut select: Vec<String> = named.iter().map(|(key, name)| format!("{key} AS {name}")).collect();
        select.extend(self.bounds().into_iter().map(|bound| format!("i.{bound}")));
        let own: Vec<&str> = self.keys.iter().map(String::as_str).collect();
        let has_sets = self.sets != Sets::None && !own.is_empty();
        if has_sets && self.grouped {
            select.push(format!("grouping({}) AS level", own.join(", ")));
        }
        select.extend(self.items.iter().enumerate().map(|(at, item)| format!("{item} AS a{at}")));
        let mut text = format!("SELECT {} FROM {{cut}} AS i", select.join(", "));
        let wheres = [&self.wheres[..], &self.of_bounds].concat();
        if let Some(join) = &self.join {
            text += if join.is_left { " LEFT JOIN" } else { " JOIN" };
            let on = ["s.store_id = i.store_id".to_owned()];
            text += &format!(
                " stores AS s ON {}",
                [&on[..], &join.of_rows, &join.of_both].concat().join(" AND ")
            );
        }
        text += &and(" WHERE", &wheres);
        if self.grouped {
            let shared = named.iter().take(named.len() - own.len()).map(|(key, _)| key.clone());
            let mut by: Vec<String> = shared.collect();
            by.extend(self.bounds().into_iter().map(|bound| format!("i.{bound}")));
            match (&self.sets, has_sets) {
                (Sets::Rollup, true) => by.push(format!("ROLLUP ({})", own.join(", "))),
                (Sets::Cube, true) => by.push(format!("CUBE ({})", own.join(", "))),
                _ => by.extend(self.keys.iter().cloned()),
            }
            text += &format!(" GROUP BY {}", by.join(", "));
            text += &and(" HAVING", &self.havings);
        }
        text
    }

    /// The text over `{cut}`.
    fn query(&self) -> String {
        let inner = self.inner();
        match &self.behind {
            Behind::Nothing => inner,
            Behind::Over(calls, most) => {
                let calls: Vec<String> =
                    calls.iter().enumerate().map(|(at, call)| format!(", {call} AS o{at}")).collect();
                let over = format!("SELECT *{} FROM ({inner})", calls.concat());
                match most.filter(|_| !calls.is_empty()) {
                    Some(most) => format!("SELECT * FROM ({over}) WHERE o0 <= {most}"),
                    None => over,
                }
            }
            Behind::Select(items, wheres) => {
                let items: Vec<String> =
                    items.iter().enumerate().map(|(at, item)| format!(", {item} AS o{at}")).collect();
                let wheres = and(" WHERE", wheres);
                format!("SELECT {}{} FROM ({inner}) AS g{wheres}", self.known_by().join(", "), items.concat())
            }
        }
    }

    fn asked(&self, logs: &Logs) -> Asked {
        let mut asked = Asked::new(self.query(), self.cut_of("unique"), self.by());
        asked.at_rest = self.source.text("windowed");
        asked.rows = Some(Rc::new(self.rows(logs)));
        if self.may_update() && (self.early || self.again) {
            asked.keys = Some(self.known_by().len());
            (asked.early, asked.again) = (self.early, self.again);
        }
        asked
    }
}

impl Source {
    fn text(&self, stream: &str) -> String {
        if self.items.is_empty() && self.wheres.is_empty() && self.union.is_none() && !self.unnest {
            return stream.to_owned();
        }
        let items: Vec<String> =
            self.items.iter().map(|(text, column)| format!(", {text} AS {}", column.name)).collect();
        let from = if self.unnest {
            format!("(SELECT *, unnest(tags) AS tag FROM {stream})")
        } else {
            stream.to_owned()
        };
        let of = |wheres: &[String]| {
            let wheres =
                if wheres.is_empty() { String::new() } else { format!(" WHERE {}", wheres.join(" AND ")) };
            format!("SELECT *{} FROM {from}{wheres}", items.concat())
        };
        match &self.union {
            Some(other) => format!("({} UNION ALL {})", of(&self.wheres), of(other)),
            None => format!("({})", of(&self.wheres)),
        }
    }
}

fn columns(prefix: &str) -> Vec<Column> {
    COLUMNS.iter().map(|(name, kind)| Column::new(format!("{prefix}{name}"), *kind)).collect()
}

fn source(rng: &mut SeededRng) -> Source {
    let mut source = Source::default();
    if rng.chance(1, 2) {
        return source;
    }
    source.unnest = rng.chance(1, 6);
    let mut all = columns("");
    if source.unnest {
        all.push(Column::new("tag", Kind::Text));
    }
    let exprs = &mut Exprs { rng, columns: &all };
    source.wheres = conditions(exprs, 2);
    for at in 0..exprs.rng.below(3) {
        let kind = pick(exprs.rng, KINDS);
        source.items.push((exprs.of(kind, 2), Column::new(format!("e{at}"), kind)));
    }
    if exprs.rng.chance(1, 6) {
        source.union = Some(conditions(exprs, 2));
    }
    source
}

impl Drawn for WindowQuery {
    fn any(rng: &mut SeededRng) -> WindowQuery {
        let mut source = source(rng);
        let cut = match rng.below(8) {
            0 | 1 => Cut::Tumble(500 * (1 + rng.below(40) as i64)),
            2 | 3 => {
                let slide = 500 * (1 + rng.below(10) as i64);
                Cut::Hop(slide, slide + 500 * rng.below(20) as i64)
            }
            4 | 5 => {
                let step = 1_000 * (1 + rng.below(5) as i64);
                Cut::Cumulate(step, step * (1 + rng.below(5) as i64))
            }
            _ => {
                // Of texts nothing is not the empty one.
                let keys =
                    pick(rng, &[&[][..], &["qty"], &["note"], &["note"], &["paid", "note"], &["delta"]]);
                Cut::Session(500 * (1 + rng.below(16) as i64), [&["store_id"], keys].concat())
            }
        };
        let in_sessions = matches!(cut, Cut::Session(..));
        // Which of two rows is there first says what a session takes that would be late alone, and of a stream that is put together
        // with itself the rows of a batch come one branch after the other.
        source.union = source.union.filter(|_| !in_sessions);
        let mut of_rows = columns("i.");
        of_rows.extend(
            source.items.iter().map(|(_, column)| Column::new(format!("i.{}", column.name), column.kind)),
        );
        if source.unnest {
            of_rows.push(Column::new("i.tag", Kind::Text));
        }
        // What takes rows out of sessions goes by their keys alone.
        let of_keys: Vec<Column> = match &cut {
            Cut::Session(_, keys) => {
                of_rows.iter().filter(|column| keys.contains(&&column.name[2..])).cloned().collect()
            }
            _ => of_rows.clone(),
        };
        let wheres = conditions(&mut Exprs { rng, columns: &of_keys }, 2);
        let join = (!in_sessions && rng.chance(1, 4)).then(|| {
            let mut of_both = of_rows.clone();
            of_both.push(Column::new("s.city", Kind::Text));
            let is_left = rng.chance(1, 2);
            let row = Exprs { rng, columns: &of_rows }.condition();
            let both = format!("({} OR s.city <> 'city 1')", Exprs { rng, columns: &of_both }.bool(1));
            let keep = |keep: bool, text| if keep { vec![text] } else { Vec::new() };
            Join { is_left, of_rows: keep(rng.chance(1, 4), row), of_both: keep(rng.chance(1, 4), both) }
        });
        let mut of_all = of_rows.clone();
        let mut of_bounds = Vec::new();
        if !in_sessions && rng.chance(1, 4) {
            let times = [Column::new("i.window_start", Kind::Time), Column::new("i.window_end", Kind::Time)];
            if rng.chance(1, 2) {
                let ms = 500 * rng.below(6);
                of_bounds.push(format!("i.issued_at < i.window_end - INTERVAL '{ms} milliseconds'"));
            } else {
                let time = pick(rng, &times);
                let other = Exprs { rng, columns: &of_rows }.bool(1);
                of_bounds.push(format!("(date_part('second', {}) < 40 OR {other})", time.name));
            }
            of_all.extend(times);
        }
        if join.is_some() {
            of_all.push(Column::new("s.city", Kind::Text));
        }
        let grouped = in_sessions || rng.chance(9, 10);
        let exprs = &mut Exprs { rng, columns: &of_all };
        let mut known = vec!["i.store_id".to_owned()];
        if let Cut::Session(_, of) = &cut {
            known.extend(of.iter().map(|column| format!("i.{column}")));
        }
        let keys = super::keys(exprs, &known.iter().map(String::as_str).collect::<Vec<_>>());
        let order = if source.unnest { format!("{ORDER}, i.tag") } else { ORDER.to_owned() };
        let mut items = Vec::new();
        let mut outputs = Vec::new();
        if grouped {
            items.push("count(*)".to_owned());
            outputs.push(Column::new("a0", Kind::Int));
            for at in 1..=exprs.rng.below(5) {
                let aggregate = aggregates::computed(exprs, &order);
                if let Some(kind) = aggregate.kind {
                    outputs.push(Column::new(format!("a{at}"), kind));
                }
                items.push(aggregate.text);
            }
        } else {
            for _ in 0..1 + exprs.rng.below(3) {
                let kind = pick(exprs.rng, KINDS);
                items.push(exprs.of(kind, 2));
            }
        }
        let having = (grouped && exprs.rng.chance(1, 4)).then(|| aggregates::having(exprs, &order));
        let havings = Vec::from_iter(having);
        let sets = match rng.below(12) {
            0 => Sets::Rollup,
            1 => Sets::Cube,
            _ => Sets::None,
        };
        let unique_start = !matches!(cut, Cut::Cumulate(..));
        let start = in_sessions || rng.chance(1, 2);
        let end = in_sessions || !start || !unique_start || rng.chance(1, 2);
        let mut query = WindowQuery {
            cut,
            source,
            join,
            wheres,
            of_bounds,
            grouped,
            keys,
            sets,
            start,
            end,
            items,
            havings,
            behind: Behind::Nothing,
            early: rng.chance(1, 2),
            again: rng.chance(1, 2),
        };
        query.behind = match rng.below(6) {
            0 if grouped && !in_sessions => {
                let call = |rng: &mut SeededRng| over(rng, &query, &outputs);
                let calls = (0..1 + rng.below(3)).map(|_| call(rng)).collect::<Vec<_>>();
                let ranks = calls[0].contains("rank()") || calls[0].contains("row_number()");
                Behind::Over(calls, (ranks && rng.chance(1, 2)).then(|| 1 + rng.below(3)))
            }
            1 if grouped => {
                let exprs = &mut Exprs { rng, columns: &outputs };
                let items = (0..1 + exprs.rng.below(3)).map(|_| exprs.any(2)).collect();
                Behind::Select(items, conditions(exprs, 1))
            }
            _ => Behind::Nothing,
        };
        query
    }

    fn text(&self) -> String {
        let updates = if self.may_update() {
            format!(", early: {}, again: {}", self.early, self.again)
        } else {
            String::new()
        };
        format!("{}{updates}", self.query().replace("{cut}", &self.cut_of("unique")))
    }

    fn shorter(&self) -> Vec<WindowQuery> {
        let mut all = Vec::new();
        let mut with = |change: &dyn Fn(&mut WindowQuery)| {
            let mut less = self.clone();
            change(&mut less);
            if format!("{less:?}") != format!("{self:?}") {
                all.push(less);
            }
        };
        with(&|query| query.behind = Behind::Nothing);
        with(&|query| query.join = None);
        with(&|query| query.sets = Sets::None);
        with(&|query| query.source.union = None);
        with(&|query| query.source.unnest = false);
        with(&|query| (query.early, query.again) = (false, query.again));
        with(&|query| (query.early, query.again) = (query.early, false));
        all.extend(without_one(self, |query| &mut query.items));
        all.extend(without_one(self, |query| &mut query.keys));
        all.extend(without_one(self, |query| &mut query.wheres));
        all.extend(without_one(self, |query| &mut query.of_bounds));
        all.extend(without_one(self, |query| &mut query.havings));
        all.extend(without_one(self, |query| &mut query.source.items));
        all.extend(without_one(self, |query| &mut query.source.wheres));
        all
    }

    fn check(&self, seed: u64) -> Result<usize, String> {
        let mut rng = SeededRng::new(seed);
        let logs = random_logs(&mut rng);
        let asked = self.asked(&logs);
        check_asked(seed, &mut rng, &logs, asked).map(|rows| rows[4])
    }
}

/// A function OVER what a window gives of a store.
fn over(rng: &mut SeededRng, query: &WindowQuery, outputs: &[Column]) -> String {
    let mut order = query.known_by();
    let by = format!("PARTITION BY store_id, {}", query.bounds().join(", "));
    let of = pick(rng, outputs);
    let direction = pick(rng, &["", " DESC", " NULLS FIRST"]);
    order.retain(|name| name != "store_id" && !name.starts_with("window"));
    let whole = [vec![format!("{}{direction}", of.name)], order].concat().join(", ");
    let frame =
        pick(rng, &["", "", " ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING", " ROWS UNBOUNDED PRECEDING"]);
    match rng.below(8) {
        0 => format!("rank() OVER ({by} ORDER BY {}{direction})", of.name),
        1 => format!("dense_rank() OVER ({by} ORDER BY {}{direction})", of.name),
        2 => format!("row_number() OVER ({by} ORDER BY {whole})"),
        3 => format!("sum(a0) OVER ({by} ORDER BY {whole}{frame})"),
        4 => format!("count(*) OVER ({by})"),
        5 => format!("lag(a0, {}) OVER ({by} ORDER BY {whole})", 1 + rng.below(2)),
        6 => format!("first_value({}) OVER ({by} ORDER BY {whole}{frame})", of.name),
        _ => format!("sum(a0) OVER ({by})"),
    }
}

/// A group whose only rows are late ones of a window that has ended comes with the next sending, not with the window's end.
#[test]
fn groups_that_begin_late_are_the_batch_answer() {
    let text = "SELECT i.store_id AS store_id, i.total AS k0, i.window_start FROM {cut} AS i GROUP BY i.store_id, i.window_start, i.total";
    let cut = "HOP(unique, issued_at, INTERVAL '5000 milliseconds', INTERVAL '8500 milliseconds')";
    for seed in [544, 545, 546, 547] {
        let mut rng = SeededRng::new(seed);
        let logs = random_logs(&mut rng);
        let by = By::Windows(Windows::hop(5_000, 8_500).expect("sizes"));
        let asked = Asked { keys: Some(3), early: true, again: true, ..Asked::new(text, cut, by) };
        check_asked(seed, &mut rng, &logs, asked).expect("it runs");
    }
}
