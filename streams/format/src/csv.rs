//! Records of CSV (RFC 4180): one line each, its fields in the order of the columns, without a header. A null is the
//! null text without quotes; a quoted one is text. Never enters: files, their headers.

use arrow::datatypes::{DataType, Schema};

use crate::column::Column;
use crate::json::{JsonRows, scalar};
use crate::object::Object;
use crate::{BadReason, BadRecord, FormatError};

/// How lines are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvForm {
    /// What stands between fields: one ASCII character, no quote and no line end.
    pub delimiter: u8,
    /// How a null is written.
    pub null: String,
}

impl Default for CsvForm {
    fn default() -> CsvForm {
        CsvForm { delimiter: b',', null: String::new() }
    }
}

/// Whether the columns of a schema have a form in CSV.
pub(crate) fn check(form: &CsvForm, schema: &Schema) -> Result<(), FormatError> {
    if !form.delimiter.is_ascii() || matches!(form.delimiter, b'"' | b'\r' | b'\n' | 0) {
        let text = format!(
            "the delimiter {:?}: it is one ASCII character, no quote and no line end",
            form.delimiter as char
        );
        return Err(FormatError::Form(text));
    }
    if form.null.bytes().any(|b| b == form.delimiter || matches!(b, b'"' | b'\r' | b'\n')) {
        let text = format!("the null text {:?}: it has no delimiter, quote or line end in it", form.null);
        return Err(FormatError::Form(text));
    }
    match schema.fields().iter().find(|field| field.data_type().is_nested()) {
        Some(field) => Err(FormatError::Form(format!(
            "column {} is of type {}, and a line of CSV has no lists or structs; use json, avro or protobuf",
            field.name(),
            field.data_type()
        ))),
        None => match schema.fields().iter().find(|field| *field.data_type() == DataType::Null) {
            Some(field) => {
                Err(FormatError::Form(format!("column {} has no type; CAST it to one", field.name())))
            }
            None => Ok(()),
        },
    }
}

/// Reads lines into columns.
pub(crate) struct CsvReader {
    form: CsvForm,
    /// A quoted field without its quotes.
    plain: Vec<u8>,
}

/// A field of a line.
struct Cell<'a> {
    text: &'a [u8],
    /// Where it starts in the line.
    at: usize,
    quoted: bool,
}

impl CsvReader {
    pub(crate) fn new(form: &CsvForm, schema: &Schema) -> Result<CsvReader, FormatError> {
        check(form, schema)?;
        Ok(CsvReader { form: form.clone(), plain: Vec::new() })
    }

    pub(crate) fn read(&mut self, root: &mut Object, record: &[u8]) -> Result<(), BadRecord> {
        if let Err(error) = std::str::from_utf8(record) {
            return Err(BadRecord { why: BadReason::NotUtf8, at: error.valid_up_to() });
        }
        let line = record.strip_suffix(b"\n").unwrap_or(record);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let columns = root.declared.len();
        let syntax = |text: String, at: usize| BadRecord { why: BadReason::Syntax(text), at };
        let mut at = Some(0);
        for (place, declared) in root.declared.iter_mut().enumerate() {
            let Some(from) = at else {
                return Err(syntax(format!("{place} fields, and there are {columns} columns"), line.len()));
            };
            let (cell, next) = cell(self.form.delimiter, &mut self.plain, line, from)
                .map_err(|(text, at)| syntax(text.to_owned(), at))?;
            at = next;
            if !cell.quoted && cell.text == self.form.null.as_bytes() {
                if declared.required {
                    return Err(BadRecord {
                        why: BadReason::Missing(declared.path.to_string()),
                        at: cell.at,
                    });
                }
                declared.column.push_null();
                continue;
            }
            if value(&mut declared.column, cell.text).is_none() {
                let expected = declared.column.expected();
                let why = BadReason::WrongType { field: declared.path.to_string(), expected };
                return Err(BadRecord { why, at: cell.at });
            }
        }
        match at {
            None => Ok(()),
            Some(at) => Err(syntax(format!("more fields than the {columns} columns"), at)),
        }
    }
}

/// The field that starts at `from`, and where the next one does; nothing behind the last. A quoted one is put together in
/// `plain`.
fn cell<'a>(
    delimiter: u8,
    plain: &'a mut Vec<u8>,
    line: &'a [u8],
    from: usize,
) -> Result<(Cell<'a>, Option<usize>), (&'static str, usize)> {
    let rest = &line[from..];
    if rest.first() != Some(&b'"') {
        let end = memchr::memchr(delimiter, rest).unwrap_or(rest.len());
        let text = &rest[..end];
        if let Some(at) = memchr::memchr3(b'"', b'\r', b'\n', text) {
            let what = match text[at] {
                b'"' => "a quote inside a field that does not begin with one",
                _ => "a second line; a record is one",
            };
            return Err((what, from + at));
        }
        let next = (end < rest.len()).then_some(from + end + 1);
        return Ok((Cell { text, at: from, quoted: false }, next));
    }
    plain.clear();
    let mut at = from + 1;
    loop {
        let Some(quote) = memchr::memchr(b'"', &line[at..]).map(|found| at + found) else {
            return Err(("a quote that is not closed", from));
        };
        plain.extend_from_slice(&line[at..quote]);
        at = quote + 1;
        match line.get(at) {
            Some(b'"') => {
                plain.push(b'"');
                at += 1;
            }
            None => return Ok((Cell { text: plain, at: from, quoted: true }, None)),
            Some(byte) if *byte == delimiter => {
                return Ok((Cell { text: plain, at: from, quoted: true }, Some(at + 1)));
            }
            Some(_) => return Err(("text behind a closing quote", at)),
        }
    }
}

/// A field's text into its column, by the rules of JSON's leaves.
fn value(column: &mut Column, text: &[u8]) -> Option<()> {
    let number = || scalar::is_number(text).then_some(());
    match column {
        Column::Text(values) => values.push(text),
        Column::Bool(values) => values.push(match text {
            b"true" => true,
            b"false" => false,
            _ => return None,
        }),
        Column::Int32(values) => values.push(i32::try_from(scalar::integer(text)?).ok()?),
        Column::Int64(values) => values.push(scalar::integer(text)?),
        Column::Float(values) => {
            number()?;
            values.push(scalar::double(std::str::from_utf8(text).ok()?)?);
        }
        Column::Decimal { values, precision, scale } => {
            number()?;
            values.push(scalar::decimal(text, *precision, *scale)?);
        }
        Column::Instant(values) => {
            let epoch = || scalar::integer(text).filter(|at| millstream_model::time::in_range(*at));
            values.push(scalar::instant(text).or_else(epoch)?);
        }
        Column::Micros(values) => {
            let epoch = || scalar::integer(text).filter(|at| scalar::micros_in_range(*at));
            values.push(scalar::instant_micros(text).or_else(epoch)?);
        }
        Column::Date(values) => values.push(scalar::date(text)?),
        Column::Bytes(values) => values.push(&scalar::base64(text)?),
        Column::Struct { .. } | Column::List { .. } => return None,
    }
    Some(())
}

/// Appends a row as a line, without its end.
pub(crate) fn write(form: &CsvForm, rows: &JsonRows, row: usize, out: &mut Vec<u8>) {
    for column in 0..rows.columns() {
        if column > 0 {
            out.push(form.delimiter);
        }
        let from = out.len();
        if !rows.write_plain(column, row, out) {
            out.truncate(from);
            out.extend_from_slice(form.null.as_bytes());
            continue;
        }
        let cell = &out[from..];
        let special = |b: &u8| *b == form.delimiter || matches!(b, b'"' | b'\r' | b'\n');
        if cell == form.null.as_bytes() || cell.iter().any(special) {
            let cell = cell.to_vec();
            out.truncate(from);
            out.push(b'"');
            for byte in cell {
                out.push(byte);
                if byte == b'"' {
                    out.push(b'"');
                }
            }
            out.push(b'"');
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
        RecordBatch, StringArray, TimestampMicrosecondArray,
    };
    use arrow::datatypes::Field;
    use proptest::prelude::*;

    use super::*;
    use crate::{Decoder, Encoder, Format};

    fn lines(format: &Format, batch: &RecordBatch) -> Vec<String> {
        let encoder = Encoder::new(format, "row", &batch.schema()).expect("columns that have a form");
        let rows = encoder.rows(batch);
        let line = |row| {
            let mut out = Vec::new();
            rows.write(row, &mut out).expect("a line").expect("a value");
            String::from_utf8(out).expect("UTF-8")
        };
        (0..batch.num_rows()).map(line).collect()
    }

    #[test]
    fn lines_are_read_field_by_field() {
        let columns = Schema::new(vec![
            Field::new("a", DataType::Utf8, false),
            Field::new("n", DataType::Int64, true),
            Field::new("d", DataType::Decimal128(6, 2), true),
        ]);
        let read = |form: CsvForm, line: &str| {
            let json = Format::Json;
            let mut decoder = Decoder::new(&Format::Csv(form), &columns, &[0, 1, 2]).expect("a decoder");
            decoder.push(line.as_bytes()).map_err(|bad| bad.to_string())?;
            Ok::<String, String>(lines(&json, &decoder.finish()).remove(0))
        };
        let plain = CsvForm::default;
        let tabs = || CsvForm { delimiter: b'\t', null: "\\N".to_owned() };
        for (form, line, wanted) in [
            (plain(), "x,1,2.5", Ok(r#"{"a":"x","n":1,"d":2.50}"#)),
            (plain(), "x,1,2.5\r\n", Ok(r#"{"a":"x","n":1,"d":2.50}"#)),
            (
                plain(),
                "\"x, \"\"y\"\"\n\",,\"1e2\"",
                Ok("{\"a\":\"x, \\\"y\\\"\\n\",\"n\":null,\"d\":100.00}"),
            ),
            (plain(), "\"\",,", Ok(r#"{"a":"","n":null,"d":null}"#)),
            (plain(), ",1,1", Err("required field a is missing (at byte 0)")),
            (plain(), "x,1", Err("2 fields, and there are 3 columns (at byte 3)")),
            (plain(), "", Err("required field a is missing (at byte 0)")),
            (plain(), "x,1,2,", Err("more fields than the 3 columns (at byte 6)")),
            (plain(), "x,\"\",", Err("field n is not an integer of 64 bits (at byte 2)")),
            (plain(), "x, 1,", Err("field n is not an integer of 64 bits (at byte 2)")),
            (
                plain(),
                "x,1,1.005",
                Err("field d is not a decimal number within the declared precision and scale (at byte 4)"),
            ),
            (
                plain(),
                "x,1,.",
                Err("field d is not a decimal number within the declared precision and scale (at byte 4)"),
            ),
            (plain(), "x\"y,1,1", Err("a quote inside a field that does not begin with one (at byte 1)")),
            (plain(), "\"x\"y,1,1", Err("text behind a closing quote (at byte 3)")),
            (plain(), "\"x,1,1", Err("a quote that is not closed (at byte 0)")),
            (plain(), "x,1,1\ny,2,2", Err("a second line; a record is one (at byte 5)")),
            (tabs(), "a,b\t\\N\t3", Ok(r#"{"a":"a,b","n":null,"d":3.00}"#)),
            (tabs(), "\"\\N\"\t1\t3", Ok(r#"{"a":"\\N","n":1,"d":3.00}"#)),
            (tabs(), "\t\\N\t3", Ok(r#"{"a":"","n":null,"d":3.00}"#)),
        ] {
            assert_eq!(read(form, line).as_deref().map_err(String::as_str), wanted, "{line:?}");
        }
        let mut decoder = Decoder::new(&Format::Csv(plain()), &columns, &[0]).expect("a decoder");
        assert_eq!(decoder.push(b"x\xff,1,1").expect_err("no UTF-8").to_string(), "not UTF-8 (at byte 1)");
    }

    #[test]
    fn what_has_no_form_is_refused() {
        let says = |form: CsvForm, kind: DataType| {
            let columns = Schema::new(vec![Field::new("a", kind, true)]);
            Decoder::new(&Format::Csv(form), &columns, &[0]).err().expect("a refusal").to_string()
        };
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
        assert!(says(CsvForm::default(), list).starts_with("column a is of type List"));
        let quote = CsvForm { delimiter: b'"', null: String::new() };
        assert!(says(quote, DataType::Utf8).starts_with("the delimiter"));
        let null = CsvForm { delimiter: b';', null: "a;b".to_owned() };
        assert!(says(null, DataType::Utf8).starts_with("the null text"));
    }

    type Row = (Option<String>, Option<i64>, Option<bool>, i128, i32, i64, f64, Vec<u8>);

    proptest! {
        /// What is written is read back as the same columns, whatever stands between fields and for nulls.
        #[test]
        fn rows_come_back(
            delimiter in prop::sample::select(vec![b',', b';', b'\t', b'|', b'a', b'0']),
            null in prop::sample::select(vec!["", "\\N", "null", "-"]),
            rows in proptest::collection::vec(
                (any::<Option<String>>(), any::<Option<i64>>(), any::<Option<bool>>(), -10i128.pow(18)..10i128.pow(18),
                 -700_000i32..2_900_000, -62_000_000_000_000_000i64..253_000_000_000_000_000,
                 any::<f64>().prop_filter("a number", |f| f.is_finite()), any::<Vec<u8>>()),
                1..12,
            ),
        ) {
            let rows: Vec<Row> = rows;
            let money = Decimal128Array::from_iter_values(rows.iter().map(|r| r.3));
            let batch = RecordBatch::try_from_iter_with_nullable([
                ("t", Arc::new(rows.iter().map(|r| r.0.clone()).collect::<StringArray>()) as ArrayRef, true),
                ("i", Arc::new(rows.iter().map(|r| r.1).collect::<Int64Array>()) as ArrayRef, true),
                ("b", Arc::new(rows.iter().map(|r| r.2).collect::<BooleanArray>()) as ArrayRef, true),
                ("d", Arc::new(money.with_precision_and_scale(38, 6).unwrap()) as ArrayRef, true),
                ("day", Arc::new(Date32Array::from_iter_values(rows.iter().map(|r| r.4))) as ArrayRef, true),
                ("us", Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|r| r.5)).with_timezone("UTC")) as ArrayRef, true),
                ("f", Arc::new(Float64Array::from_iter_values(rows.iter().map(|r| r.6))) as ArrayRef, true),
                ("raw", Arc::new(rows.iter().map(|r| Some(r.7.as_slice())).collect::<BinaryArray>()) as ArrayRef, true),
            ]).unwrap();
            let format = Format::Csv(CsvForm { delimiter, null: null.to_owned() });
            let mut decoder = Decoder::new(&format, &batch.schema(), &[0, 1, 2, 3, 4, 5, 6, 7]).unwrap();
            for line in lines(&format, &batch) {
                decoder.push(line.as_bytes()).unwrap_or_else(|bad| panic!("{line:?}: {bad}"));
            }
            let found = decoder.finish();
            prop_assert_eq!(found.column(0).null_count(), batch.column(0).null_count());
            prop_assert_eq!(found, batch);
        }
    }
}
