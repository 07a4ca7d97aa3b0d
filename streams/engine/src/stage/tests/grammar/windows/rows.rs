//! What the reference of the main rig has to know of each row of a drawn query: whether it comes to its windows, by which key of
//! its session, and in which windows it counts. The batch engine says it, of all records there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use millstream_model::Window;

use super::super::super::reference::windowed;
use super::super::super::{By, Invoice, Logs, batch};
use super::{Cut, WindowQuery};

impl WindowQuery {
    /// What the reference has to know of the rows.
    pub(super) fn rows(&self, logs: &Logs) -> Rows {
        let mut all: BTreeMap<Bytes, Invoice> = BTreeMap::new();
        for invoice in logs.iter().flatten().flatten() {
            all.insert(invoice.json(), invoice.clone());
        }
        let by = self.by();
        let windows = |invoice: &Invoice| match &by {
            By::Windows(windows) => windows.of_slice(windows.slice_of(invoice.at), i64::MIN).collect(),
            By::Sessions(..) => vec![Window { start: invoice.at, end: invoice.at + 1 }],
        };
        let known: Vec<(Invoice, Vec<Window>)> =
            all.into_values().map(|invoice| (invoice.clone(), windows(&invoice))).collect();
        let table = windowed(&known);
        let source = self.source.text("windowed");
        let inner = self.join.as_ref().filter(|join| !join.is_left);
        let mut below = [&self.wheres[..], inner.map_or(&[], |join| &join.of_rows)].concat();
        below.push("TRUE".to_owned());
        let keys = match &self.cut {
            Cut::Session(_, keys) => keys.join(", i."),
            _ => "number AS of".to_owned(),
        };
        let ask = |sql: String| {
            let answer = batch::answer(&sql, &[("windowed", table.clone())]);
            answer.unwrap_or_else(|problem| panic!("{}{sql}: {problem}", batch::NO_ANSWER))
        };
        let number_of = |line: &str| {
            line.split('|').next().and_then(|cell| cell.parse::<usize>().ok()).expect("a number")
        };
        let judged =
            ask(format!("SELECT i.number, i.{keys} FROM {source} AS i WHERE {}", below.join(" AND ")));
        let judged = judged.iter().map(|line| {
            let key = line.split_once('|').map_or("", |(_, key)| key).to_owned();
            (known[number_of(line)].0.json(), key)
        });
        let mut wheres = [&self.wheres[..], &self.of_bounds, &["TRUE".to_owned()]].concat();
        let join = inner.map_or(String::new(), |join| {
            wheres.extend(join.of_rows.iter().chain(&join.of_both).cloned());
            " JOIN stores AS s ON s.store_id = i.store_id".to_owned()
        });
        // A left join drops rows by conditions on what it finds.
        let join = match &self.join {
            Some(left) if left.is_left => {
                let on = ["s.store_id = i.store_id".to_owned()];
                format!(
                    " LEFT JOIN stores AS s ON {}",
                    [&on[..], &left.of_rows, &left.of_both].concat().join(" AND ")
                )
            }
            _ => join,
        };
        let held = ask(format!(
            "SELECT i.number, CAST(i.window_start AS BIGINT), CAST(i.window_end AS BIGINT) FROM {source} AS i{join} WHERE {}",
            wheres.join(" AND ")
        ));
        let held = held.iter().map(|line| {
            let cells: Vec<i64> = line.split('|').map(|cell| cell.parse().expect("a time")).collect();
            (known[cells[0] as usize].0.json(), cells[1], cells[2])
        });
        Rows { judged: judged.collect(), held: held.collect() }
    }
}

/// What the batch engine says of the rows of a world.
pub(in super::super::super) struct Rows {
    /// Those that come to their windows, with the keys of their sessions.
    judged: BTreeMap<Bytes, String>,
    /// Those that count in a window.
    held: BTreeSet<(Bytes, i64, i64)>,
}

impl Rows {
    pub(in super::super::super) fn judges(&self, invoice: &Invoice) -> bool {
        self.judged.contains_key(&invoice.json())
    }

    pub(in super::super::super) fn session_key(&self, invoice: &Invoice) -> Option<String> {
        self.judged.get(&invoice.json()).cloned()
    }

    pub(in super::super::super) fn counts(&self, invoice: &Invoice, window: Window) -> bool {
        self.held.contains(&(invoice.json(), window.start, window.end))
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows", self.judged.len())
    }
}
