//! What the stage has to give, by rules applied to one record after the other, and by DataFusion's batch engine on the same
//! SQL. Written apart from the operators: it knows none of them.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema};
use millstream_model::{SessionSpan, Sessions, Window};

use super::beside::Walk;
use super::{ALLOW_MS, Asked, By, DELAY_MS, Expected, Invoice, Logs, WITHIN_MS, batch, decoder, schema};

/// `runs`: where earlier runs ended, by partition. What a query has given there is closed for that query.
pub(super) fn reference(logs: &Logs, runs: &[Vec<usize>], asked: &Asked) -> Expected {
    let mut expected = Expected::default();
    let mut open_sessions = NaiveSessions::default();
    let mut beside = Walk::default();
    for (partition, log) in logs.iter().enumerate() {
        let mut watermark = i64::MIN;
        let mut first: Vec<&Invoice> = Vec::new();
        // The watermark at which the last window with rows is over; and what that was when a run ended.
        let (mut last, mut fired) = (i64::MIN, i64::MIN);
        for (offset, record) in log.iter().enumerate() {
            let origin = (partition as u32, offset as i64);
            if runs.iter().any(|ends| ends[partition] == offset) {
                if let By::Sessions(by, _) = &asked.by {
                    last = open_sessions.last_of(partition, *by);
                }
                fired = last;
                beside.end(partition as u32);
            }
            let Some(invoice) = record else {
                expected.rejected.insert(origin);
                continue;
            };
            let before = watermark;
            watermark = watermark.max(invoice.at - DELAY_MS);
            if before > invoice.at + WITHIN_MS {
                expected.too_late.insert(origin);
                continue;
            }
            let same = |f: &&&Invoice| {
                (&f.store, &f.id) == (&invoice.store, &invoice.id) && (f.at - invoice.at).abs() <= WITHIN_MS
            };
            match first.iter().find(same) {
                Some(f) if (f.at, f.qty, f.cents) == (invoice.at, invoice.qty, invoice.cents) => continue,
                Some(_) => {
                    expected.conflicting.insert(origin);
                    continue;
                }
                None if asked.fails.is_some() && invoice.qty == Some(5) => {
                    expected.failed.insert(origin);
                    continue;
                }
                None => first.push(invoice),
            }
            expected.unique.push(invoice.clone());
            beside.row(origin, &invoice.store, invoice.at, before);
            let (by_rows, before) = (before, before.max(fired));
            let windows = match &asked.by {
                By::Windows(windows) => windows,
                By::Sessions(sessions, _) => {
                    let known = match asked.session_key(invoice) {
                        // A filter below the sessions takes the row away.
                        None => continue,
                        Some(key) => {
                            let row = expected.on_time.len();
                            open_sessions.place(*sessions, (partition, key), invoice.at, before, row)
                        }
                    };
                    match known {
                        true => expected.on_time.push((invoice.clone(), Vec::new())),
                        false => {
                            expected.ended +=
                                usize::from(invoice.at + sessions.gap_ms() + ALLOW_MS >= by_rows);
                            expected.late.insert(origin);
                        }
                    }
                    continue;
                }
            };
            let all: Vec<Window> = windows.of_slice(windows.slice_of(invoice.at), i64::MIN).collect();
            let open = |window: &&Window| !asked.fires() || window.end + ALLOW_MS > before;
            let takers: Vec<Window> = all.iter().filter(open).copied().collect();
            expected.partly += usize::from(!takers.is_empty() && takers.len() < all.len());
            expected.behind += usize::from(asked.again && takers.iter().any(|window| window.end <= before));
            // Windows that are sent again go on after the end of a run, and so do those in which no row counts: they gave nothing.
            let gives = asked.fires() && !asked.again;
            let giving = takers.iter().filter(|window| gives && asked.holds(invoice, **window));
            last = giving.map(|window| window.end + ALLOW_MS).fold(last, i64::max);
            if takers.is_empty() {
                expected.ended += usize::from(all.iter().any(|window| window.end + ALLOW_MS > by_rows));
                if asked.is_judged(invoice) {
                    expected.late.insert(origin);
                }
            } else {
                expected.on_time.push((invoice.clone(), takers));
            }
        }
    }
    open_sessions.bounds(&asked.by, &mut expected);
    expected.beside = beside.answer();
    expected
}

/// Sessions as lists of rows, looked through one after the other.
#[derive(Default)]
struct NaiveSessions {
    /// With partition and key.
    all: Vec<((usize, String), SessionSpan, Vec<usize>)>,
    joined: usize,
    missed: usize,
}

impl NaiveSessions {
    /// Puts a row into the session that it makes of all open ones that it touches; false if it is late.
    fn place(&mut self, by: Sessions, key: (usize, String), time: i64, watermark: i64, row: usize) -> bool {
        let open = |span: SessionSpan| watermark <= span.last + by.gap_ms() + ALLOW_MS;
        let (mut span, mut rows) = (SessionSpan::at(time), vec![row]);
        let is_part = |(k, s, _): &((usize, String), SessionSpan, Vec<usize>)| {
            *k == key && by.touches(*s, time) && open(*s)
        };
        let near = |(k, s, _): &((usize, String), SessionSpan, Vec<usize>)| *k == key && by.touches(*s, time);
        self.missed += usize::from(self.all.iter().any(|s| near(s) && !open(s.1)));
        self.joined += usize::from(self.all.iter().filter(|s| is_part(s)).count() > 1);
        if !open(span) && !self.all.iter().any(is_part) {
            return false;
        }
        for (_, other, more) in self.all.extract_if(.., |session| is_part(session)) {
            span = span.and(other);
            rows.extend(more);
        }
        self.all.push((key, span, rows));
        true
    }

    /// The watermark at which the last session of a partition is over.
    fn last_of(&self, partition: usize, by: Sessions) -> i64 {
        let of = self.all.iter().filter(|((of, _), ..)| *of == partition);
        of.map(|(_, span, _)| span.last + by.gap_ms() + 1 + ALLOW_MS).max().unwrap_or(i64::MIN)
    }

    /// Gives every row its session's bounds.
    fn bounds(self, by: &By, expected: &mut Expected) {
        let By::Sessions(by, _) = by else { return };
        (expected.joined, expected.missed) = (self.joined, self.missed);
        for (_, span, rows) in self.all {
            rows.into_iter().for_each(|row| expected.on_time[row].1.push(by.window(span)));
        }
    }
}

/// The query's rows over the rows that were on time, by DataFusion as it comes.
pub(super) fn batch_answer(asked: &Asked, on_time: &[(Invoice, Vec<Window>)]) -> Vec<String> {
    let sql = asked.text.replace("{cut}", &asked.at_rest);
    let answer = batch::answer(&sql, &[("windowed", windowed(on_time))]);
    answer.unwrap_or_else(|problem| panic!("{}{sql}: {problem}", batch::NO_ANSWER))
}

/// Rows as a table, once with each of their windows; `number` says which of them it is.
pub(super) fn windowed(rows: &[(Invoice, Vec<Window>)]) -> RecordBatch {
    let mut decoder = decoder();
    let (mut starts, mut ends, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (invoice, windows)) in rows.iter().enumerate() {
        for window in windows {
            decoder.push(&invoice.json()).expect("a good record");
            starts.push(window.start);
            ends.push(window.end);
            numbers.push(number as i64);
        }
    }
    let rows = decoder.finish();
    let mut fields: Vec<Field> = schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    let mut columns = rows.columns().to_vec();
    for (name, values) in [("window_start", starts), ("window_end", ends)] {
        let values = TimestampMillisecondArray::from(values).with_timezone("UTC");
        fields.push(Field::new(name, schema().field(2).data_type().clone(), false));
        columns.push(Arc::new(values));
    }
    fields.push(Field::new("number", DataType::Int64, false));
    columns.push(Arc::new(Int64Array::from(numbers)));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("rows with windows")
}
