//! Values between Arrow and PostgreSQL: which of its types a column is shown as, and each value in its text or binary form. Never
//! enters: messages.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use millstream_engine::sql::at_rest::Parameter;

use crate::value;
use crate::wire::{Format, Refusal};

/// Microseconds and days from 1970 to 2000, where PostgreSQL's times begin.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i32 = 10_957;

/// A type of PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Bytea,
    Int8,
    Int2,
    Int4,
    Text,
    Json,
    Float4,
    Float8,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    /// With the scale and precision in the form of `atttypmod`.
    Numeric(i32),
}

impl Kind {
    /// What a column of this type is shown as.
    pub(crate) fn of(kind: &DataType) -> Kind {
        match kind {
            DataType::Boolean => Kind::Bool,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => Kind::Int2,
            DataType::Int32 | DataType::UInt16 => Kind::Int4,
            DataType::Int64 | DataType::UInt32 => Kind::Int8,
            DataType::UInt64 => Kind::Numeric(-1),
            DataType::Float16 | DataType::Float32 => Kind::Float4,
            DataType::Float64 => Kind::Float8,
            DataType::Decimal32(p, s)
            | DataType::Decimal64(p, s)
            | DataType::Decimal128(p, s)
            | DataType::Decimal256(p, s) => {
                Kind::Numeric(((i32::from(*p) << 16) | (i32::from(*s) & 0x7ff)) + 4)
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Kind::Bytea,
            DataType::Date32 | DataType::Date64 => Kind::Date,
            DataType::Time32(_) | DataType::Time64(_) => Kind::Time,
            DataType::Timestamp(_, None) => Kind::Timestamp,
            DataType::Timestamp(_, Some(_)) => Kind::TimestampTz,
            DataType::Dictionary(_, of) => Kind::of(of),
            kind if kind.is_nested() => Kind::Json,
            _ => Kind::Text,
        }
    }

    /// Its id in `pg_type`.
    pub(crate) fn id(self) -> u32 {
        match self {
            Kind::Bool => 16,
            Kind::Bytea => 17,
            Kind::Int8 => 20,
            Kind::Int2 => 21,
            Kind::Int4 => 23,
            Kind::Text => 25,
            Kind::Json => 114,
            Kind::Float4 => 700,
            Kind::Float8 => 701,
            Kind::Date => 1082,
            Kind::Time => 1083,
            Kind::Timestamp => 1114,
            Kind::TimestampTz => 1184,
            Kind::Numeric(_) => 1700,
        }
    }

    pub(crate) fn size(self) -> i16 {
        match self {
            Kind::Bool => 1,
            Kind::Int2 => 2,
            Kind::Int4 | Kind::Float4 | Kind::Date => 4,
            Kind::Int8 | Kind::Float8 | Kind::Time | Kind::Timestamp | Kind::TimestampTz => 8,
            Kind::Bytea | Kind::Text | Kind::Json | Kind::Numeric(_) => -1,
        }
    }

    pub(crate) fn modifier(self) -> i32 {
        if let Kind::Numeric(modifier) = self { modifier } else { -1 }
    }
}

/// A column that is written value by value.
pub(crate) struct Cells {
    kind: Kind,
    format: Format,
    column: ArrayRef,
}

fn refused(error: impl std::fmt::Display) -> Refusal {
    Refusal::new("22000", error.to_string())
}

impl Cells {
    pub(crate) fn new(column: &ArrayRef, format: Format) -> Result<Cells, Refusal> {
        let kind = Kind::of(column.data_type());
        // What is written from bytes is in one form.
        let to = match (format, kind) {
            (_, Kind::Bytea) => Some(DataType::LargeBinary),
            (Format::Text, _) => None,
            (Format::Binary, Kind::Int2) => Some(DataType::Int16),
            (Format::Binary, Kind::Int4) => Some(DataType::Int32),
            (Format::Binary, Kind::Int8) => Some(DataType::Int64),
            (Format::Binary, Kind::Float4) => Some(DataType::Float32),
            (Format::Binary, Kind::Float8) => Some(DataType::Float64),
            (Format::Binary, Kind::Date) => Some(DataType::Date32),
            (Format::Binary, Kind::Timestamp) => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
            (Format::Binary, Kind::TimestampTz) => {
                Some(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))
            }
            (Format::Binary, Kind::Time) => {
                let text = "the binary form of a time of day is not served; ask for text";
                return Err(Refusal::new("0A000", text));
            }
            (Format::Binary, Kind::Bool | Kind::Text | Kind::Json | Kind::Numeric(_)) => None,
        };
        let column = match to {
            Some(to) if &to != column.data_type() => cast(column, &to).map_err(refused)?,
            _ => ArrayRef::clone(column),
        };
        Ok(Cells { kind, format, column })
    }

    /// Adds a value; whether there is one.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<bool, Refusal> {
        let column = &self.column;
        if column.is_null(row) || column.data_type() == &DataType::Null {
            return Ok(false);
        }
        match (self.format, self.kind) {
            (Format::Text, Kind::Bytea) => {
                out.extend(b"\\x");
                let bytes = column.as_binary::<i64>().value(row);
                bytes.iter().for_each(|byte| out.extend(format!("{byte:02x}").bytes()));
            }
            (Format::Binary, Kind::Bytea) => out.extend(column.as_binary::<i64>().value(row)),
            (Format::Text, Kind::Bool) => out.push(if column.as_boolean().value(row) { b't' } else { b'f' }),
            (Format::Binary, Kind::Bool) => out.push(u8::from(column.as_boolean().value(row))),
            (Format::Binary, Kind::Int2) => {
                out.extend(column.as_primitive::<Int16Type>().value(row).to_be_bytes())
            }
            (Format::Binary, Kind::Int4) => {
                out.extend(column.as_primitive::<Int32Type>().value(row).to_be_bytes())
            }
            (Format::Binary, Kind::Int8) => {
                out.extend(column.as_primitive::<Int64Type>().value(row).to_be_bytes())
            }
            (Format::Binary, Kind::Float4) => {
                out.extend(column.as_primitive::<Float32Type>().value(row).to_be_bytes())
            }
            (Format::Binary, Kind::Float8) => {
                out.extend(column.as_primitive::<Float64Type>().value(row).to_be_bytes())
            }
            (Format::Binary, Kind::Date) => {
                let days = column.as_primitive::<Date32Type>().value(row).saturating_sub(EPOCH_DAYS);
                out.extend(days.to_be_bytes());
            }
            (Format::Binary, Kind::Timestamp | Kind::TimestampTz) => {
                let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
                out.extend(micros.saturating_sub(EPOCH_MICROS).to_be_bytes());
            }
            (format, kind) => {
                let text = value::text(column, row).map_err(refused)?.unwrap_or_default();
                match (format, kind) {
                    (Format::Binary, Kind::Numeric(_)) => numeric(&text, out),
                    (_, Kind::Timestamp | Kind::TimestampTz) => {
                        let text = text.replacen('T', " ", 1);
                        match text.strip_suffix('Z') {
                            Some(text) => out.extend(format!("{text}+00").bytes()),
                            None => out.extend(text.bytes()),
                        }
                    }
                    (_, Kind::Float4 | Kind::Float8) => out.extend(text.replace("inf", "Infinity").bytes()),
                    _ => out.extend(text.bytes()),
                }
            }
        }
        Ok(true)
    }
}

/// A decimal number in PostgreSQL's binary form: groups of four digits, and where the first stands.
fn numeric(text: &str, out: &mut Vec<u8>) {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = part.len() as u16;
    // Whole groups on both sides of the point.
    let whole = format!("{}{whole}", "0".repeat((4 - whole.len() % 4) % 4));
    let part = format!("{part}{}", "0".repeat((4 - part.len() % 4) % 4));
    let group = |digits: &[u8]| digits.iter().fold(0u16, |n, digit| n * 10 + u16::from(digit - b'0'));
    let mut groups: Vec<u16> =
        whole.as_bytes().chunks(4).chain(part.as_bytes().chunks(4)).map(group).collect();
    let mut weight = (whole.len() / 4) as i16 - 1;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let leading = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..leading);
    weight = if groups.is_empty() { 0 } else { weight - leading as i16 };
    let sign: u16 = if negative && !groups.is_empty() { 0x4000 } else { 0 };
    for number in [groups.len() as u16, weight.cast_unsigned(), sign, scale].into_iter().chain(groups) {
        out.extend(number.to_be_bytes());
    }
}

/// The type of a parameter that the client names by its id; text for those that are not known.
pub(crate) fn named(id: u32) -> Option<DataType> {
    Some(match id {
        16 => DataType::Boolean,
        20 => DataType::Int64,
        21 => DataType::Int16,
        23 => DataType::Int32,
        25 | 1043 => DataType::Utf8,
        700 => DataType::Float32,
        701 => DataType::Float64,
        1082 => DataType::Date32,
        1114 => DataType::Timestamp(TimeUnit::Microsecond, None),
        1184 => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        _ => return None,
    })
}

/// A parameter of this type, as it was sent.
pub(crate) fn parameter(bytes: Option<&[u8]>, format: Format, kind: &DataType) -> Result<Parameter, Refusal> {
    let bad = |what: String| Refusal::new("22P02", format!("a parameter that is no {kind}: {what}"));
    let Some(bytes) = bytes else {
        return Parameter::try_from(kind).map_err(|error| bad(error.to_string()));
    };
    let text = || std::str::from_utf8(bytes).map_err(|_| bad("it is not UTF-8".to_owned()));
    if format == Format::Text {
        let text = match (kind, text()?) {
            (DataType::Boolean, "t" | "on" | "1" | "yes") => "true",
            (DataType::Boolean, "f" | "off" | "0" | "no") => "false",
            (_, text) => text,
        };
        return Parameter::try_from_string(text.to_owned(), kind).map_err(|_| bad(format!("{text:?}")));
    }
    let made = match (Kind::of(kind), bytes) {
        (Kind::Text | Kind::Json, _) => Parameter::Utf8(Some(text()?.to_owned())),
        (Kind::Bytea, bytes) => Parameter::Binary(Some(bytes.to_vec())),
        (Kind::Bool, [byte]) => Parameter::Boolean(Some(*byte != 0)),
        (Kind::Int2 | Kind::Int4 | Kind::Int8, [a, b]) => {
            Parameter::Int64(Some(i64::from(i16::from_be_bytes([*a, *b]))))
        }
        (Kind::Int2 | Kind::Int4 | Kind::Int8, [a, b, c, d]) => {
            Parameter::Int64(Some(i64::from(i32::from_be_bytes([*a, *b, *c, *d]))))
        }
        (Kind::Int2 | Kind::Int4 | Kind::Int8, bytes) if bytes.len() == 8 => {
            Parameter::Int64(bytes.try_into().ok().map(i64::from_be_bytes))
        }
        (Kind::Float4, bytes) if bytes.len() == 4 => {
            Parameter::Float32(bytes.try_into().ok().map(f32::from_be_bytes))
        }
        (Kind::Float8, bytes) if bytes.len() == 8 => {
            Parameter::Float64(bytes.try_into().ok().map(f64::from_be_bytes))
        }
        (Kind::Date, bytes) if bytes.len() == 4 => {
            let days = bytes.try_into().ok().map(i32::from_be_bytes);
            Parameter::Date32(days.map(|days| days.saturating_add(EPOCH_DAYS)))
        }
        (Kind::Timestamp | Kind::TimestampTz, bytes) if bytes.len() == 8 => {
            let micros = bytes.try_into().ok().map(i64::from_be_bytes);
            Parameter::TimestampMicrosecond(
                micros.map(|at| at.saturating_add(EPOCH_MICROS)),
                Some("UTC".into()),
            )
        }
        _ => {
            let text =
                format!("a parameter of type {kind} in {} bytes of binary form; send text", bytes.len());
            return Err(Refusal::new("0A000", text));
        }
    };
    made.cast_to(kind).map_err(|error| bad(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray,
        TimestampMillisecondArray, UInt32Array,
    };

    use super::*;

    fn written(column: ArrayRef, format: Format) -> Vec<Option<Vec<u8>>> {
        let cells = Cells::new(&column, format).expect("a form");
        let one = |row| {
            let mut out = Vec::new();
            cells.write(row, &mut out).expect("a value").then_some(out)
        };
        (0..column.len()).map(one).collect()
    }

    #[test]
    fn values_are_written_as_postgresql_writes_them() {
        let text = |column: ArrayRef| -> Vec<String> {
            let all = written(column, Format::Text).into_iter();
            all.map(|value| value.map_or("NULL".to_owned(), |v| String::from_utf8(v).expect("text")))
                .collect()
        };
        assert_eq!(
            text(Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
            ["t", "NULL", "f"]
        );
        assert_eq!(text(Arc::new(BinaryArray::from(vec![&b"\x00\xffa"[..]]))), ["\\x00ff61"]);
        assert_eq!(
            text(Arc::new(Float64Array::from(vec![1.5, f64::NEG_INFINITY, f64::NAN]))),
            ["1.5", "-Infinity", "NaN"]
        );
        let at = || TimestampMillisecondArray::from(vec![1_700_000_000_120, 0]);
        assert_eq!(
            text(Arc::new(at().with_timezone("UTC"))),
            ["2023-11-14 22:13:20.120+00", "1970-01-01 00:00:00+00"]
        );
        assert_eq!(text(Arc::new(at()))[1], "1970-01-01 00:00:00");
        assert_eq!(text(Arc::new(Date32Array::from(vec![19_675]))), ["2023-11-14"]);
    }

    #[test]
    fn binary_forms_are_those_of_postgresql() {
        // As `SELECT numeric_send(…)` shows them.
        let price = Decimal128Array::from(vec![12_345_678, -5, 0, 10_000, 100_000_000]);
        let price = price.with_precision_and_scale(20, 3).expect("a good type");
        let hex = |bytes: Option<Vec<u8>>| -> String {
            bytes.unwrap_or_default().iter().map(|b| format!("{b:02x}")).collect()
        };
        let found: Vec<String> = written(Arc::new(price), Format::Binary).into_iter().map(hex).collect();
        assert_eq!(
            found,
            [
                "0003000100000003000109291a7c",
                "0001ffff400000030032",
                "0000000000000003",
                "0001000000000003000a",
                "0001000100000003000a",
            ]
        );
        assert_eq!(
            written(Arc::new(UInt32Array::from(vec![7])), Format::Binary),
            [Some(7i64.to_be_bytes().to_vec())]
        );
        let at = TimestampMillisecondArray::from(vec![946_684_801_000]).with_timezone("UTC");
        assert_eq!(written(Arc::new(at), Format::Binary), [Some(1_000_000i64.to_be_bytes().to_vec())]);
        assert_eq!(
            written(Arc::new(Date32Array::from(vec![10_956])), Format::Binary),
            [Some((-1i32).to_be_bytes().to_vec())]
        );
        assert_eq!(
            written(Arc::new(StringArray::from(vec!["é"])), Format::Binary),
            [Some("é".as_bytes().to_vec())]
        );
        assert_eq!(written(Arc::new(Int64Array::from(vec![None])), Format::Binary), [None]);
    }

    #[test]
    fn parameters_are_read_in_both_forms() {
        let text = |text: &str, kind: DataType| parameter(Some(text.as_bytes()), Format::Text, &kind);
        assert_eq!(text("12", DataType::Int64).expect("12"), Parameter::Int64(Some(12)));
        assert_eq!(text("t", DataType::Boolean).expect("t"), Parameter::Boolean(Some(true)));
        let price = text("1.25", DataType::Decimal128(12, 2)).expect("1.25");
        assert_eq!(price, Parameter::Decimal128(Some(125), 12, 2));
        assert_eq!(text("x", DataType::Int64).expect_err("x").code, "22P02");
        let binary = |bytes: &[u8], kind: DataType| parameter(Some(bytes), Format::Binary, &kind);
        assert_eq!(binary(&[0, 0, 0, 9], DataType::Int64).expect("9"), Parameter::Int64(Some(9)));
        assert_eq!(binary(&[0, 9], DataType::Int32).expect("9"), Parameter::Int32(Some(9)));
        let at = binary(&0i64.to_be_bytes(), DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())));
        assert_eq!(
            at.expect("2000"),
            Parameter::TimestampMillisecond(Some(946_684_800_000), Some("UTC".into()))
        );
        assert_eq!(binary(&[0, 1, 2], DataType::Int64).expect_err("three bytes").code, "0A000");
        assert_eq!(parameter(None, Format::Text, &DataType::Int64).expect("null"), Parameter::Int64(None));
    }
}
