//! Some columns of a row as bytes: equal rows give equal bytes, others other bytes. For exact look-ups in tables, and
//! for hashes that are kept in state: the bytes and their hashes are the same on every machine and in every version
//! of Arrow. A null differs from every value. Doubles compare by their bits.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};
use arrow::downcast_primitive_array;

/// Why a column cannot be part of a key.
pub(crate) fn check_type(field: &Field) -> Result<(), String> {
    match field.data_type() {
        DataType::Utf8 | DataType::Binary | DataType::Boolean => Ok(()),
        kind if kind.is_primitive() => Ok(()),
        DataType::List(item) => check_type(item),
        DataType::Struct(fields) => fields.iter().try_for_each(|f| check_type(f)),
        other => Err(format!("column {} of type {other} cannot be compared here", field.name())),
    }
}

/// Columns that are read row by row.
pub(crate) struct RowKeys<'a> {
    columns: Vec<Column<'a>>,
}

struct Column<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Fixed { bytes: &'a [u8], width: usize },
    Bool(&'a BooleanArray),
    Text { offsets: &'a OffsetBuffer<i32>, bytes: &'a [u8] },
    List { offsets: &'a OffsetBuffer<i32>, item: Box<Column<'a>> },
    Struct(Vec<Column<'a>>),
}

#[inline]
fn fixed<const WIDTH: usize>(bytes: &[u8], row: usize, out: &mut Vec<u8>) {
    let value: &[u8; WIDTH] = bytes[row * WIDTH..].first_chunk().expect("a value for each row");
    out.extend_from_slice(value);
}

impl<'a> Column<'a> {
    fn new(array: &'a ArrayRef) -> Column<'a> {
        let values = match array.data_type() {
            DataType::Boolean => Values::Bool(array.as_boolean()),
            DataType::Utf8 => {
                let array = array.as_string::<i32>();
                Values::Text { offsets: array.offsets(), bytes: array.value_data() }
            }
            DataType::Binary => {
                let array = array.as_binary::<i32>();
                Values::Text { offsets: array.offsets(), bytes: array.value_data() }
            }
            DataType::List(_) => {
                let array = array.as_list::<i32>();
                Values::List { offsets: array.offsets(), item: Box::new(Column::new(array.values())) }
            }
            DataType::Struct(_) => {
                Values::Struct(array.as_struct().columns().iter().map(Column::new).collect())
            }
            _ => {
                let array: &dyn Array = array.as_ref();
                downcast_primitive_array!(
                    array => {
                        let bytes = array.values().inner().as_slice();
                        Values::Fixed { bytes, width: bytes.len() / array.len().max(1) }
                    }
                    other => panic!("a column of type {other} in a key: `check_type` refuses it")
                )
            }
        };
        Column { nulls: array.nulls(), values }
    }

    #[inline]
    fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    #[inline]
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.push(0);
            return;
        }
        out.push(1);
        match &self.values {
            // Of a size that is known here, no function is called.
            Values::Fixed { bytes, width: 8 } => fixed::<8>(bytes, row, out),
            Values::Fixed { bytes, width: 4 } => fixed::<4>(bytes, row, out),
            Values::Fixed { bytes, width: 16 } => fixed::<16>(bytes, row, out),
            Values::Fixed { bytes, width } => out.extend_from_slice(&bytes[row * width..(row + 1) * width]),
            Values::Bool(values) => out.push(u8::from(values.value(row))),
            Values::Text { offsets, bytes } => {
                let value = &bytes[offsets[row] as usize..offsets[row + 1] as usize];
                out.extend_from_slice(&(value.len() as u32).to_le_bytes());
                out.extend_from_slice(value);
            }
            Values::List { offsets, item } => {
                let items = offsets[row] as usize..offsets[row + 1] as usize;
                out.extend_from_slice(&(items.len() as u32).to_le_bytes());
                for row in items {
                    item.write(row, out);
                }
            }
            Values::Struct(fields) => {
                for field in fields {
                    field.write(row, out);
                }
            }
        }
    }
}

impl<'a> RowKeys<'a> {
    /// Keys over these columns, whose types [`check_type`] has passed.
    pub(crate) fn new(columns: &'a [ArrayRef]) -> RowKeys<'a> {
        RowKeys { columns: columns.iter().map(Column::new).collect() }
    }

    /// The bytes of one row, in place of what is in `out`.
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) {
        out.clear();
        for column in &self.columns {
            column.write(row, out);
        }
    }

    /// Whether any of the columns is null in this row.
    pub(crate) fn any_null(&self, row: usize) -> bool {
        self.columns.iter().any(|c| c.is_null(row))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Decimal128Array, Int64Array, StringArray};

    use super::*;

    fn keys(columns: &[ArrayRef]) -> Vec<Vec<u8>> {
        let keys = RowKeys::new(columns);
        (0..columns[0].len())
            .map(|row| {
                let mut out = Vec::new();
                keys.write(row, &mut out);
                out
            })
            .collect()
    }

    #[test]
    fn rows_are_equal_exactly_when_their_bytes_are() {
        let text: ArrayRef =
            Arc::new(StringArray::from(vec![Some("a"), Some("ab"), None, Some(""), Some("a")]));
        let more: ArrayRef =
            Arc::new(StringArray::from(vec![Some("bc"), Some("c"), None, Some(""), Some("bc")]));
        let found = keys(&[text, more]);
        for (i, a) in found.iter().enumerate() {
            for (j, b) in found.iter().enumerate() {
                assert_eq!(a == b, i == j || (i.min(j), i.max(j)) == (0, 4), "{i} {j}");
            }
        }
    }

    /// These bytes' hashes are in changelogs: they must never change.
    #[test]
    fn the_bytes_are_pinned_and_slices_give_the_same() {
        let number: ArrayRef = Arc::new(Int64Array::from(vec![7, 258]));
        let money =
            Decimal128Array::from(vec![1i128, -1]).with_precision_and_scale(18, 2).expect("a decimal type");
        let money: ArrayRef = Arc::new(money);
        let mut second = vec![1, 2, 1, 0, 0, 0, 0, 0, 0, 1];
        second.extend([0xff; 16]);
        assert_eq!(keys(&[Arc::clone(&number), Arc::clone(&money)])[1], second);
        assert_eq!(keys(&[number.slice(1, 1), money.slice(1, 1)])[0], second);
        let text: ArrayRef = Arc::new(StringArray::from(vec!["x", "yz"]));
        assert_eq!(keys(&[text.slice(1, 1)])[0], [1, 2, 0, 0, 0, b'y', b'z']);
    }
}
