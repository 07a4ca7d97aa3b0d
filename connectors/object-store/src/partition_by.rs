//! `partition_by`: which folder a row belongs to. `day(issued_at)` gives `issued_at_day=2026-03-02`, in the style that
//! Hive began and every reader of Parquet folders knows. Times are UTC. Never enters: files.

use std::collections::BTreeMap;

use arrow_array::{Array, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Schema};
use millstream_connector::cell::{self, Cell};

/// What a null's folder is called; Hive's own word.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// One part of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    column: String,
    of: Of,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Year,
    Month,
    Day,
    Hour,
    Value,
}

const PARTS: [(&str, Of); 4] =
    [("year", Of::Year), ("month", Of::Month), ("day", Of::Day), ("hour", Of::Hour)];

impl Part {
    /// Reads `day(column)` or `column`; the reason when it is neither.
    pub fn parse(text: &str) -> Result<Part, String> {
        let name = |text: &str| !text.is_empty() && !text.contains(['(', ')', '/', '=']);
        if name(text) {
            return Ok(Part { column: text.to_owned(), of: Of::Value });
        }
        let call = text.strip_suffix(')').and_then(|text| text.split_once('('));
        let known = call.and_then(|(function, column)| {
            let (_, of) = PARTS.iter().find(|(known, _)| *known == function)?;
            name(column).then(|| Part { column: column.to_owned(), of: *of })
        });
        known.ok_or_else(|| {
            format!(
                "`partition_by: {text}` is neither a column nor year(…), month(…), day(…) or hour(…) of one"
            )
        })
    }

    /// Whether rows of this schema have what it needs; the reason when not.
    pub fn check(&self, schema: &Schema) -> Result<(), String> {
        let field = schema.field_with_name(&self.column).map_err(|_| {
            format!("`partition_by` names the column \"{}\", which the rows do not have", self.column)
        })?;
        let data_type = field.data_type();
        let fits = match self.of {
            Of::Value => cell::is_supported(data_type) && !data_type.is_floating(),
            Of::Hour => matches!(data_type, DataType::Timestamp(_, _)),
            _ => matches!(data_type, DataType::Timestamp(_, _) | DataType::Date32),
        };
        if fits {
            return Ok(());
        }
        Err(format!("`partition_by` cannot be made of the column \"{}\" of type {data_type}", self.column))
    }

    /// A number or text that is the same for rows of one folder; cheap to compare.
    fn slot(&self, cell: Cell<'_>) -> Slot {
        let of_days = |days: i64| match self.of {
            Of::Year => cell::civil(days).0,
            Of::Month => {
                let (year, month, _) = cell::civil(days);
                year * 12 + i64::from(month) - 1
            }
            _ => days,
        };
        match (self.of, cell) {
            (_, Cell::Null) => Slot::Null,
            (Of::Hour, Cell::Timestamp(micros)) => Slot::Number(micros.div_euclid(3_600_000_000)),
            (Of::Year | Of::Month | Of::Day, Cell::Timestamp(micros)) => {
                Slot::Number(of_days(micros.div_euclid(86_400_000_000)))
            }
            (Of::Year | Of::Month | Of::Day, Cell::Date(days)) => Slot::Number(of_days(days.into())),
            (_, Cell::Boolean(value)) => Slot::Text(value.to_string()),
            (_, Cell::Integer(value)) => Slot::Text(value.to_string()),
            (_, Cell::Decimal { unscaled, scale }) => Slot::Text(cell::decimal_text(unscaled, scale)),
            (_, Cell::Text(text)) => Slot::Text(text.to_owned()),
            (_, Cell::Bytes(bytes)) => Slot::Text(bytes.escape_ascii().to_string()),
            (_, Cell::Timestamp(micros)) => Slot::Text(cell::timestamp_text(micros)),
            (_, Cell::Date(days)) => Slot::Text(cell::date_text(days)),
            (_, Cell::Float(value)) => Slot::Text(value.to_string()),
        }
    }

    /// The folder's name.
    fn folder(&self, slot: &Slot) -> String {
        let column = escaped(&self.column);
        let day = |days: i64| cell::date_text(days as i32);
        match (self.of, slot) {
            (Of::Value, Slot::Null) => format!("{column}={NULL}"),
            (Of::Value, Slot::Text(text)) if text.is_empty() => format!("{column}={NULL}"),
            (Of::Value, Slot::Text(text)) => format!("{column}={}", escaped(text)),
            (Of::Year, Slot::Number(year)) => format!("{column}_year={year:04}"),
            (Of::Month, Slot::Number(months)) => {
                format!("{column}_month={:04}-{:02}", months.div_euclid(12), months.rem_euclid(12) + 1)
            }
            (Of::Day, Slot::Number(days)) => format!("{column}_day={}", day(*days)),
            (Of::Hour, Slot::Number(hours)) => {
                format!("{column}_hour={}-{:02}", day(hours.div_euclid(24)), hours.rem_euclid(24))
            }
            (of, _) => {
                let word = PARTS.iter().find(|(_, known)| *known == of).map_or("value", |(word, _)| word);
                format!("{column}_{word}={NULL}")
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Null,
    Number(i64),
    Text(String),
}

/// A text that is safe in a path: letters, digits, `-`, `_`, `.` as they are, the rest in percent form; never `.` or
/// `..`, and never so long that a file system refuses it.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if out.len() >= 180 {
            out.push_str(&format!("~{:08x}", millstream_types::hash::murmur2(text.as_bytes())));
            break;
        }
        let plain =
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && !out.is_empty());
        if plain { out.push(char::from(byte)) } else { out.push_str(&format!("%{byte:02X}")) }
    }
    out
}

/// Splits rows by folder: the folder's path (empty without `partition_by`) and its rows' indexes, in order. `None` for
/// the indexes where all rows belong to one folder, which is the usual case.
pub fn split(parts: &[Part], rows: &RecordBatch) -> Vec<(String, Option<UInt32Array>)> {
    if rows.num_rows() == 0 {
        return Vec::new();
    }
    let columns: Vec<&dyn Array> =
        parts.iter().map(|part| rows.column_by_name(&part.column).expect("checked").as_ref()).collect();
    let mut groups: BTreeMap<Vec<Slot>, Vec<u32>> = BTreeMap::new();
    let mut last: Option<Vec<Slot>> = None;
    for row in 0..rows.num_rows() {
        let slots: Vec<Slot> =
            parts.iter().zip(&columns).map(|(part, column)| part.slot(cell::cell(*column, row))).collect();
        if last.as_ref() == Some(&slots) {
            groups.get_mut(&slots).expect("seen before").push(row as u32);
            continue;
        }
        groups.entry(slots.clone()).or_default().push(row as u32);
        last = Some(slots);
    }
    let one = groups.len() == 1;
    groups
        .into_iter()
        .map(|(slots, indexes)| {
            let folders: Vec<String> =
                parts.iter().zip(&slots).map(|(part, slot)| part.folder(slot)).collect();
            (folders.join("/"), (!one).then(|| UInt32Array::from(indexes)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Date32Array, StringArray, TimestampMillisecondArray};
    use arrow_schema::{Field, TimeUnit};

    use super::*;

    #[test]
    fn rows_find_their_folders() {
        let schema = Schema::new(vec![
            Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
            Field::new("city", DataType::Utf8, true),
            Field::new("d", DataType::Date32, false),
        ]);
        let at = TimestampMillisecondArray::from(vec![Some(1_772_446_530_250), None, Some(-1)])
            .with_timezone("UTC");
        let city = StringArray::from(vec![Some("Pune/IN"), Some(".."), None]);
        let rows = RecordBatch::try_new(
            Arc::new(schema.clone()),
            vec![Arc::new(at), Arc::new(city), Arc::new(Date32Array::from(vec![20_514; 3]))],
        )
        .unwrap();
        for (texts, expected) in [
            (
                &["day(at)"][..],
                &["at_day=__HIVE_DEFAULT_PARTITION__", "at_day=1969-12-31", "at_day=2026-03-02"][..],
            ),
            (
                &["hour(at)"],
                &["at_hour=__HIVE_DEFAULT_PARTITION__", "at_hour=1969-12-31-23", "at_hour=2026-03-02-10"],
            ),
            (
                &["month(at)"],
                &["at_month=__HIVE_DEFAULT_PARTITION__", "at_month=1969-12", "at_month=2026-03"],
            ),
            (
                &["year(d)", "city"],
                &[
                    "d_year=2026/city=__HIVE_DEFAULT_PARTITION__",
                    "d_year=2026/city=%2E.",
                    "d_year=2026/city=Pune%2FIN",
                ],
            ),
            (&["d"], &["d=2026-03-02"]),
            (&[], &[""]),
        ] {
            let parts: Vec<Part> = texts.iter().map(|text| Part::parse(text).unwrap()).collect();
            parts.iter().for_each(|part| part.check(&schema).unwrap());
            let folders: Vec<String> = split(&parts, &rows).into_iter().map(|group| group.0).collect();
            assert_eq!(folders, expected, "{texts:?}");
        }
        for bad in ["", "day()", "week(at)", "day(at", "a/b", "day(day(at))"] {
            assert!(Part::parse(bad).is_err(), "{bad}");
        }
        assert!(Part::parse("day(city)").unwrap().check(&schema).is_err());
        assert!(Part::parse("nope").unwrap().check(&schema).is_err());
    }
}
