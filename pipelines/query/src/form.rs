//! A whole answer as text: a table for people, JSON and CSV for programs. Never enters: where it is printed.

use std::fmt::Write as _;

use arrow::error::ArrowError;

use crate::desk::Answer;
use crate::value;

/// The longest that a cell of a table is shown.
const CELL_CHARS_MAX: usize = 200;

/// A table for people: numbers to the right, nothing of a null. Behind it how many rows there are.
pub fn table(answer: &Answer) -> Result<String, ArrowError> {
    let fields = answer.schema.fields();
    let mut rows: Vec<Vec<String>> = vec![fields.iter().map(|field| shown(field.name())).collect()];
    for batch in &answer.batches {
        for row in 0..batch.num_rows() {
            let cell =
                |column: &arrow::array::ArrayRef| Ok(shown(&value::text(column, row)?.unwrap_or_default()));
            rows.push(batch.columns().iter().map(cell).collect::<Result<_, ArrowError>>()?);
        }
    }
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..fields.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for ((cell, width), field) in row.iter().zip(&widths).zip(fields) {
            let pad = " ".repeat(width - cell.chars().count());
            let (before, after) =
                if field.data_type().is_numeric() { (pad.as_str(), "") } else { ("", pad.as_str()) };
            line.extend([before, cell, after, "  "]);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let count = rows.len() - 1;
    let _ = writeln!(text, "({count} row{})", if count == 1 { "" } else { "s" });
    Ok(text)
}

/// A text on one line of a terminal, and not longer than one can read.
fn shown(text: &str) -> String {
    let mut shown: String = String::new();
    for c in text.chars().take(CELL_CHARS_MAX) {
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    if text.chars().nth(CELL_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// A list of JSON objects, each on its line.
pub fn json(answer: &Answer) -> Result<String, ArrowError> {
    let mut text = "[".to_owned();
    let mut is_first = true;
    for batch in &answer.batches {
        for row in 0..batch.num_rows() {
            text.push_str(if std::mem::take(&mut is_first) { "\n{" } else { ",\n{" });
            for (at, (field, column)) in batch.schema().fields().iter().zip(batch.columns()).enumerate() {
                text.push_str(if at > 0 { "," } else { "" });
                value::string(field.name(), &mut text);
                text.push(':');
                value::json(column, row, &mut text)?;
            }
            text.push('}');
        }
    }
    text.push_str(if is_first { "]\n" } else { "\n]\n" });
    Ok(text)
}

/// CSV (RFC 4180) with a line of names; nothing of a null, and `""` of an empty text.
pub fn csv(answer: &Answer) -> Result<String, ArrowError> {
    let mut text = String::new();
    let names: Vec<String> = answer.schema.fields().iter().map(|field| quoted(field.name())).collect();
    let _ = writeln!(text, "{}", names.join(","));
    for batch in &answer.batches {
        for row in 0..batch.num_rows() {
            let cell = |column: &arrow::array::ArrayRef| {
                Ok(value::text(column, row)?.map_or_else(String::new, |cell| quoted(&cell)))
            };
            let cells: Result<Vec<String>, ArrowError> = batch.columns().iter().map(cell).collect();
            let _ = writeln!(text, "{}", cells?.join(","));
        }
    }
    Ok(text)
}

fn quoted(cell: &str) -> String {
    match cell.is_empty() || cell.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Decimal128Array, Float64Array, Int64Array, Int64Builder, ListBuilder, RecordBatch,
        StringArray, StructArray, TimestampMillisecondArray,
    };
    use arrow::datatypes::{DataType, Field};

    use super::*;

    fn answer() -> Answer {
        let mut lists = ListBuilder::new(Int64Builder::new());
        lists.append_value([Some(1), None]);
        lists.append_null();
        lists.append_value([]);
        let at = TimestampMillisecondArray::from(vec![Some(1_700_000_000_123), None, Some(0)]);
        let price = Decimal128Array::from(vec![Some(150), Some(-5), None]).with_precision_and_scale(10, 2);
        let of: ArrayRef = Arc::new(StringArray::from(vec!["x", "y", "z"]));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("name", Arc::new(StringArray::from(vec![Some("a,\"b\"\n"), None, Some("")]))),
            ("n", Arc::new(Int64Array::from(vec![Some(7), Some(-1), None]))),
            ("price", Arc::new(price.expect("a good type"))),
            ("ratio", Arc::new(Float64Array::from(vec![0.5, f64::NAN, 1e300]))),
            ("at", Arc::new(at.with_timezone("UTC"))),
            ("items", Arc::new(lists.finish())),
            ("of", Arc::new(StructArray::from(vec![(Arc::new(Field::new("k", DataType::Utf8, false)), of)]))),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)));
        let batch = batch.expect("columns");
        Answer { schema: batch.schema(), batches: vec![batch], notices: Vec::new() }
    }

    #[test]
    fn json_keeps_every_digit_and_is_json() {
        let text = json(&answer()).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            r#"{"name":"a,\"b\"\n","n":7,"price":1.50,"ratio":0.5,"at":"2023-11-14T22:13:20.123Z","items":[1,null],"of":{"k":"x"}},"#
        );
        assert_eq!(
            lines[2],
            r#"{"name":null,"n":-1,"price":-0.05,"ratio":"NaN","at":null,"items":null,"of":{"k":"y"}},"#
        );
        let parsed: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(parsed.as_array().map(Vec::len), Some(3));
        let none = Answer { batches: Vec::new(), ..answer() };
        assert_eq!(json(&none).expect("text"), "[]\n");
    }

    #[test]
    fn csv_tells_nothing_from_an_empty_text() {
        let text = csv(&answer()).expect("text");
        assert_eq!(
            text,
            "name,n,price,ratio,at,items,of\n\"a,\"\"b\"\"\n\",7,1.50,0.5,2023-11-14T22:13:20.123Z,\"[1,null]\",\"{\"\"k\"\":\"\"x\"\"}\"\n\
             ,-1,-0.05,NaN,,,\"{\"\"k\"\":\"\"y\"\"}\"\n\"\",,,1e300,1970-01-01T00:00:00Z,[],\"{\"\"k\"\":\"\"z\"\"}\"\n"
        );
    }

    #[test]
    fn tables_have_a_line_for_each_row() {
        let text = table(&answer()).expect("text");
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(text.starts_with("name      n  price"), "{text}");
        assert!(text.contains(r#"a,"b"\n"#) && text.ends_with("(3 rows)\n"), "{text}");
    }
}
