//! Whether rows are what an expectation says. Rows have no order; numbers are compared exactly as decimals, instants as
//! instants however they are written, and a column that is null is as one that is not there. Pure. Never enters: where
//! rows come from.

use std::collections::BTreeMap;

use millstream_connector::cell;
use millstream_spec::ast::Expect;
use millstream_spec::scalar::timestamp_ms;
use millstream_spec::value::Value;
use millstream_spec::{Span, Spanned};

use super::found::{Found, Row, row_json};

/// How many of the rows that are there a verdict shows.
pub const ROWS_SHOWN_MAX: usize = 10;
/// How many faults of one kind a verdict names.
const MISSES_MAX: usize = 10;
/// How many characters of a row are shown.
const ROW_TEXT_MAX: usize = 400;

/// Something that was wanted and is not so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// Where the file says it.
    pub at: Span,
    /// What was wanted and is not so.
    pub text: String,
}

/// What became of an expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What is not as it was wanted; empty where all is.
    pub misses: Vec<Miss>,
    /// Rows that are there, the nearest to what was wanted first, [`ROWS_SHOWN_MAX`] at most.
    pub found: Vec<String>,
    /// How many rows are there.
    pub count: usize,
}

/// Holds the rows of `id` against what is expected of it.
pub fn judge(id: &Spanned<String>, expect: &Expect, rows: &[Row]) -> Verdict {
    let mut misses = Vec::new();
    let mut nearest: Option<&Value> = None;
    if let Some(count) = expect.count.filter(|count| *count != rows.len() as u64) {
        let text = format!("{}: {} wanted, {} there", id.value, counted(count), are(rows.len() as u64));
        misses.push(Miss { at: id.span, text });
    }
    if let Some(wanted) = &expect.rows {
        let matched = matching(wanted, rows, expect.subset);
        let missing = || wanted.iter().enumerate().filter(|(at, _)| !matched.contains(&Some(*at)));
        nearest = missing().next().map(|(_, row)| &row.value);
        for (_, row) in missing().take(MISSES_MAX) {
            let verb = if expect.subset { "has" } else { "is" };
            let text = format!("{}: no row {verb} {}", id.value, cut(&row.value.to_json()));
            misses.push(Miss { at: row.span, text });
        }
        let extra = matched.iter().filter(|at| at.is_none()).count() as u64;
        if !expect.subset && extra > 0 && missing().next().is_none() {
            let text = format!(
                "{}: {} wanted, and {} beside them; `match: subset` lets others be there",
                id.value,
                counted(wanted.len() as u64),
                are(extra)
            );
            misses.push(Miss { at: id.span, text });
        }
    }
    if !expect.unique_by.is_empty() {
        misses.extend(repeats(id, &expect.unique_by, rows));
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    if let Some(Value::Map(columns)) = nearest {
        order
            .sort_by_key(|at| std::cmp::Reverse(columns.iter().filter(|c| has(&rows[*at], c, true)).count()));
    }
    let found = match misses.is_empty() {
        true => Vec::new(),
        false => order.iter().take(ROWS_SHOWN_MAX).map(|at| cut(&row_json(&rows[*at]))).collect(),
    };
    Verdict { misses, found, count: rows.len() }
}

fn counted(count: u64) -> String {
    format!("{count} row{}", if count == 1 { "" } else { "s" })
}

fn are(count: u64) -> String {
    format!("{count} {}", if count == 1 { "is" } else { "are" })
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(ROW_TEXT_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// For each row that is there the wanted one that it stands for: as many as can be, whatever the order.
fn matching(wanted: &[Spanned<Value>], rows: &[Row], subset: bool) -> Vec<Option<usize>> {
    let fits: Vec<Vec<usize>> = wanted
        .iter()
        .map(|want| {
            let fits = |at: &usize| match &want.value {
                Value::Map(columns) => same_columns(columns, &rows[*at], subset),
                _ => false,
            };
            (0..rows.len()).filter(fits).collect()
        })
        .collect();
    let mut taken: Vec<Option<usize>> = vec![None; rows.len()];
    for start in 0..wanted.len() {
        // A path that frees a row for `start`, breadth first: each row with the wanted one that asks for it.
        let mut asked_by: BTreeMap<usize, usize> = BTreeMap::new();
        let mut queue = vec![start];
        let mut free = None;
        let mut next = 0;
        while free.is_none() && next < queue.len() {
            let want = queue[next];
            next += 1;
            for row in &fits[want] {
                if asked_by.contains_key(row) {
                    continue;
                }
                asked_by.insert(*row, want);
                match taken[*row] {
                    Some(other) => queue.push(other),
                    None => {
                        free = Some(*row);
                        break;
                    }
                }
            }
        }
        while let Some(row) = free {
            let want = asked_by[&row];
            free = taken.iter().position(|t| *t == Some(want));
            taken[row] = Some(want);
        }
    }
    taken
}

/// Whether a row has a column of this value.
fn has(row: &Row, (name, wanted): &(String, Value), subset: bool) -> bool {
    match row.iter().find(|(found, _)| found == name) {
        Some((_, found)) => same(wanted, found, subset),
        None => *wanted == Value::Null,
    }
}

fn same_columns(wanted: &[(String, Value)], found: &Row, subset: bool) -> bool {
    let named = |name: &String| wanted.iter().any(|(wanted, _)| wanted == name);
    wanted.iter().all(|column| has(found, column, subset))
        && (subset || found.iter().all(|(name, value)| *value == Found::Null || named(name)))
}

fn same(wanted: &Value, found: &Found, subset: bool) -> bool {
    match (wanted, found) {
        (Value::Null, Found::Null) => true,
        (Value::Bool(a), Found::Bool(b)) => a == b,
        (Value::Bool(a), Found::SqlNumber(b)) => *b == i64::from(*a).to_string(),
        (Value::Number(a), Found::Number(b) | Found::SqlNumber(b)) => same_number(a, b),
        (Value::Number(a), Found::SqlText(b)) => same_number(a, b) || same_instant(b, a),
        (Value::Number(a), Found::Text(b)) => same_instant(b, a),
        (Value::Number(a), Found::Time(b)) => {
            a.parse::<i64>().is_ok_and(|ms| ms.checked_mul(1_000) == Some(*b))
        }
        (Value::Text(a), Found::Text(b) | Found::SqlText(b) | Found::Bytes(b)) => a == b || same_times(a, b),
        (Value::Text(a), Found::Number(b) | Found::SqlNumber(b)) => same_instant(a, b),
        (Value::Text(a), Found::Time(b)) => {
            *a == cell::timestamp_text(*b)
                || timestamp_ms(a).is_ok_and(|ms| ms.checked_mul(1_000) == Some(*b))
        }
        (Value::Text(a), Found::Date(b)) => *a == cell::date_text(*b),
        (Value::List(a), Found::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, subset))
        }
        (Value::Map(a), Found::Map(b)) => same_columns(a, b, subset),
        _ => false,
    }
}

/// Whether a time as text is this many milliseconds since 1970.
fn same_instant(text: &str, ms: &str) -> bool {
    timestamp_ms(text).is_ok_and(|at| ms.parse() == Ok(at))
}

fn same_times(a: &str, b: &str) -> bool {
    matches!((timestamp_ms(a), timestamp_ms(b)), (Ok(a), Ok(b)) if a == b)
}

fn same_number(a: &str, b: &str) -> bool {
    matches!((decimal(a), decimal(b)), (Some(a), Some(b)) if a == b)
}

/// A number as sign, digits without zeros at either end, and the power of ten of the last digit.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_end_matches('0');
    let power = i64::from(exponent) - fraction.len() as i64 + (digits.len() - significant.len()) as i64;
    let significant = significant.trim_start_matches('0');
    match significant.is_empty() {
        true => Some((false, String::new(), 0)),
        false => Some((negative, significant.to_owned(), power)),
    }
}

/// Rows that are the same in columns in which no two may be.
fn repeats(id: &Spanned<String>, columns: &[Spanned<String>], rows: &[Row]) -> Vec<Miss> {
    let mut misses = Vec::new();
    for column in columns {
        if !rows.is_empty() && !rows.iter().any(|row| row.iter().any(|(name, _)| *name == column.value)) {
            let text = format!("{}: no row has a column {:?}", id.value, column.value);
            misses.push(Miss { at: column.span, text });
        }
    }
    if !misses.is_empty() {
        return misses;
    }
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for row in rows {
        let key = columns.iter().map(|column| {
            let value = row.iter().find(|(name, _)| *name == column.value);
            (column.value.clone(), value.map_or(Found::Null, |(_, value)| value.clone()))
        });
        *seen.entry(row_json(&key.collect())).or_default() += 1;
    }
    let at = columns[0].span;
    let repeated = seen.into_iter().filter(|(_, count)| *count > 1).take(MISSES_MAX);
    misses.extend(repeated.map(|(key, count)| Miss {
        at,
        text: format!("{}: one row at most may have {}, {count} have it", id.value, cut(&key)),
    }));
    misses
}

#[cfg(test)]
mod tests;
