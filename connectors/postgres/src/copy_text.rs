//! Rows as COPY's text format: the server reads each column by its own type, so a decimal stays exact and a time keeps
//! its microseconds. Pure.

use std::fmt::Write as _;
use std::ops::Range;

use bytes::Bytes;
use millstream_connector::SinkBatch;
use millstream_connector::cell::{self, Cell};

/// Rows of several batches, encoded one after the other; any range of them is a slice.
#[derive(Debug, Default)]
pub struct Encoded {
    text: String,
    /// Where each row ends.
    ends: Vec<usize>,
}

impl Encoded {
    /// Adds a batch's rows: the columns at `indexes`, then, with `numbered`, the row's number in the whole.
    pub fn add(&mut self, batch: &SinkBatch, indexes: &[usize], numbered: bool) {
        let rows = batch.rows();
        for row in 0..rows.num_rows() {
            for (i, index) in indexes.iter().enumerate() {
                if i > 0 {
                    self.text.push('\t');
                }
                write_cell(&mut self.text, cell::cell(rows.column(*index).as_ref(), row));
            }
            if numbered {
                write!(self.text, "\t{}", self.ends.len()).expect("writing to a string");
            }
            self.text.push('\n');
            self.ends.push(self.text.len());
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// All bytes, and where rows end in them.
    pub fn finish(self) -> (Bytes, Vec<usize>) {
        (self.text.into(), self.ends)
    }
}

/// The bytes of some rows.
pub fn slice(text: &Bytes, ends: &[usize], rows: Range<usize>) -> Bytes {
    let start = if rows.start == 0 { 0 } else { ends[rows.start - 1] };
    text.slice(start..ends[rows.end - 1])
}

fn write_cell(out: &mut String, cell: Cell<'_>) {
    let result = match cell {
        Cell::Null => {
            out.push_str("\\N");
            Ok(())
        }
        Cell::Boolean(value) => {
            out.push(if value { 't' } else { 'f' });
            Ok(())
        }
        Cell::Integer(value) => write!(out, "{value}"),
        Cell::Float(value) if value.is_infinite() => {
            out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
            Ok(())
        }
        Cell::Float(value) => write!(out, "{value}"),
        Cell::Decimal { unscaled, scale } => {
            out.push_str(&cell::decimal_text(unscaled, scale));
            Ok(())
        }
        Cell::Text(text) => {
            write_text(out, text);
            Ok(())
        }
        Cell::Bytes(bytes) => {
            // The backslash of bytea's own form is escaped for COPY.
            out.push_str("\\\\x");
            bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
        }
        Cell::Timestamp(micros) => {
            out.push_str(&cell::timestamp_text(micros));
            Ok(())
        }
        Cell::Date(days) => {
            out.push_str(&cell::date_text(days));
            Ok(())
        }
    };
    result.expect("writing to a string");
}

fn write_text(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '\t', '\n', '\r']) {
        out.push_str(&rest[..at]);
        out.push('\\');
        out.push(match rest.as_bytes()[at] {
            b'\t' => 't',
            b'\n' => 'n',
            b'\r' => 'r',
            _ => '\\',
        });
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_written_as_copy_reads_them() {
        for (cell, text) in [
            (Cell::Null, "\\N"),
            (Cell::Text("\\N"), "\\\\N"),
            (Cell::Text("a\tb\nc\rd\\e é"), "a\\tb\\nc\\rd\\\\e é"),
            (Cell::Text(""), ""),
            (Cell::Boolean(true), "t"),
            (Cell::Float(f64::NAN), "NaN"),
            (Cell::Float(f64::NEG_INFINITY), "-Infinity"),
            (Cell::Float(0.1), "0.1"),
            (Cell::Decimal { unscaled: -5, scale: 2 }, "-0.05"),
            (Cell::Bytes(b"\x00\xff"), "\\\\x00ff"),
            (Cell::Timestamp(1), "1970-01-01T00:00:00.000001Z"),
        ] {
            let mut out = String::new();
            write_cell(&mut out, cell);
            assert_eq!(out, text, "{cell:?}");
        }
    }
}
