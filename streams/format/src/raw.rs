//! Plain bytes: the record's value is the one column's. Never enters: other columns.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};

use crate::column::Column;
use crate::object::Object;
use crate::{BadReason, BadRecord, FormatError};

/// Whether a schema has one column, of text or bytes.
pub(crate) fn check(schema: &Schema) -> Result<(), FormatError> {
    match schema.fields().as_ref() {
        [field] if matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary) => {
            Ok(())
        }
        fields => {
            let found: Vec<String> =
                fields.iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
            let text = format!(
                "raw records have one column, of type string or bytes, and there are {}: {}",
                fields.len(),
                found.join(", ")
            );
            Err(FormatError::Form(text))
        }
    }
}

pub(crate) fn read(root: &mut Object, record: &[u8]) -> Result<(), BadRecord> {
    match &mut root.declared[0].column {
        Column::Bytes(values) => values.push(record),
        Column::Text(values) => {
            if let Err(error) = std::str::from_utf8(record) {
                return Err(BadRecord { why: BadReason::NotUtf8, at: error.valid_up_to() });
            }
            values.push(record);
        }
        _ => unreachable!("`check` lets no other column pass"),
    }
    Ok(())
}

/// Appends the value of a row; nothing for a null.
pub(crate) fn write(batch: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Option<()> {
    let column = batch.column(0);
    if column.is_null(row) {
        return None;
    }
    out.extend_from_slice(match column.data_type() {
        DataType::Binary => column.as_binary::<i32>().value(row),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).as_bytes(),
        _ => column.as_string::<i32>().value(row).as_bytes(),
    });
    Some(())
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;
    use crate::{Decoder, Encoder, Format};

    #[test]
    fn a_record_is_its_one_column() {
        for (kind, records) in
            [(DataType::Utf8, [&b"a\n"[..], b""]), (DataType::Binary, [&[0, 255][..], b""])]
        {
            let columns = Schema::new(vec![Field::new("line", kind, false)]);
            let mut decoder = Decoder::new(&Format::Raw, &columns, &[0]).expect("a decoder");
            records.iter().for_each(|record| decoder.push(record).expect("a record"));
            let batch = decoder.finish();
            let encoder = Encoder::new(&Format::Raw, "line", &columns).expect("an encoder");
            for (row, record) in records.iter().enumerate() {
                let mut out = Vec::new();
                assert_eq!(encoder.rows(&batch).write(row, &mut out), Ok(Some(())));
                assert_eq!(out, *record);
            }
        }
        let text = Schema::new(vec![Field::new("line", DataType::Utf8, true)]);
        let mut decoder = Decoder::new(&Format::Raw, &text, &[0]).expect("a decoder");
        assert_eq!(decoder.push(b"a\xff").expect_err("no UTF-8").to_string(), "not UTF-8 (at byte 1)");
        let none = arrow::array::StringArray::from(vec![None::<&str>]);
        let none = RecordBatch::try_new(std::sync::Arc::new(text.clone()), vec![std::sync::Arc::new(none)]);
        let encoder = Encoder::new(&Format::Raw, "line", &text).expect("an encoder");
        assert_eq!(encoder.rows(&none.expect("a batch")).write(0, &mut Vec::new()), Ok(None));
        let two =
            Schema::new(vec![Field::new("a", DataType::Utf8, true), Field::new("b", DataType::Int64, true)]);
        let refused = Decoder::new(&Format::Raw, &two, &[0]).err().expect("a refusal").to_string();
        assert_eq!(
            refused,
            "raw records have one column, of type string or bytes, and there are 2: a Utf8, b Int64"
        );
    }
}
