//! Values of one type from JSON texts, each of one value and not of a record: what functions give. Read by the rules of records'
//! fields. Never enters: who gives them.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field};

use super::slow;
use crate::column::Column;
use crate::{BadReason, BadRecord, SchemaError};

/// A growing column of such values.
pub struct JsonValues {
    column: Column,
    rows: usize,
}

impl JsonValues {
    /// Of a type; refused where it is none that records have.
    pub fn new(kind: &DataType) -> Result<JsonValues, SchemaError> {
        let column = Column::new(&Field::new("value", kind.clone(), true), "value", true)?;
        Ok(JsonValues { column, rows: 0 })
    }

    /// Appends the value of a text, or refuses it and leaves the column as it was. `null`, and no text, are null.
    pub fn push(&mut self, text: Option<&[u8]>) -> Result<(), BadRecord> {
        let done = match text.map(std::str::from_utf8) {
            Some(Ok(text)) => slow::single(&mut self.column, text),
            Some(Err(error)) => Err(BadRecord { why: BadReason::NotUtf8, at: error.valid_up_to() }),
            None => {
                self.column.push_null();
                Ok(())
            }
        };
        match done {
            Ok(()) => self.rows += 1,
            Err(_) => self.column.truncate(self.rows),
        }
        done
    }

    /// Takes the values; the column is empty afterwards.
    pub fn finish(&mut self) -> ArrayRef {
        self.rows = 0;
        self.column.take().expect("a column that is read is stored")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, AsArray, RecordBatch};
    use arrow::datatypes::{Decimal128Type, Int64Type, Schema};

    use super::*;
    use crate::json::JsonRows;

    #[test]
    fn a_text_is_one_value_of_the_type_or_is_refused() {
        let mut values = JsonValues::new(&DataType::Int64).expect("a type");
        for (text, good) in [
            (Some("7"), true),
            (None, true),
            (Some(" -1\n"), true),
            (Some("null"), true),
            (Some("7.5"), false),
            (Some("\"7\""), false),
            (Some("7, 8"), false),
            (Some("7} {"), false),
            (Some(""), false),
            (Some("[7]"), false),
            (Some("9223372036854775808"), false),
        ] {
            assert_eq!(values.push(text.map(str::as_bytes)).is_ok(), good, "{text:?}");
        }
        let refused = values.push(Some(b"true")).expect_err("no integer").to_string();
        assert_eq!(refused, "field value is not an integer of 64 bits (at byte 0)");
        assert!(values.push(Some(b"\xff")).is_err());
        let taken = values.finish();
        assert_eq!(
            taken.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(),
            [Some(7), None, Some(-1), None]
        );
        assert_eq!(values.finish().len(), 0);
    }

    #[test]
    fn what_is_half_written_is_taken_back() {
        let item = Arc::new(Field::new("x", DataType::Decimal128(4, 2), true));
        let list = DataType::List(Arc::new(Field::new("item", DataType::Struct(vec![item].into()), false)));
        let mut values = JsonValues::new(&list).expect("a type");
        values.push(Some(br#"[{"x":1.5},{"y":true}]"#)).expect("a value");
        values.push(Some(br#"[{"x":1.5},{"x":100}]"#)).expect_err("too large");
        values.push(Some(br#"[{"x":1.5},null]"#)).expect_err("null items are not there");
        values.push(Some(b"[]")).expect("a value");
        let taken = values.finish();
        let lists = taken.as_list::<i32>();
        assert_eq!((lists.value_length(0), lists.value_length(1), lists.len()), (2, 0, 2));
        let x = lists.values().as_struct().column(0).as_primitive::<Decimal128Type>();
        assert_eq!(x.iter().collect::<Vec<_>>(), [Some(150), None]);
        // And they are written in the form that they are read in.
        let schema = Schema::new(vec![Field::new("a", list.clone(), true), Field::new("b", list, true)]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![taken.clone(), taken]).expect("a batch");
        let mut text = Vec::new();
        JsonRows::new(&batch).write_values(0, &mut text);
        assert_eq!(text, br#"[[{"x":1.50},{"x":null}],[{"x":1.50},{"x":null}]]"#);
    }
}
