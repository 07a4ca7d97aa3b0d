//! What decoders fill: growing columns, one per declared field, nested as the schema is. A column that is not read
//! keeps nothing. Rolling a half-written record back is a truncation of every column to a row count. Never enters: the
//! forms in which values are written.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    ListArray, StringArray, StructArray, TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};

use crate::SchemaError;
use crate::object::Object;

/// Which rows are null; nothing is kept until the first of them.
#[derive(Default)]
pub(crate) struct Nulls(Option<Vec<bool>>);

impl Nulls {
    /// The row `len` (the column's length before it) is valid.
    #[inline(always)]
    fn valid(&mut self) {
        if let Some(valid) = &mut self.0 {
            valid.push(true);
        }
    }

    fn null(&mut self, len: usize) {
        self.0.get_or_insert_with(|| vec![true; len]).push(false);
    }

    fn truncate(&mut self, len: usize) {
        if let Some(valid) = &mut self.0 {
            valid.truncate(len);
        }
    }

    fn take(&mut self) -> Option<NullBuffer> {
        self.0.take().map(|valid| NullBuffer::new(BooleanBuffer::from(valid)))
    }
}

/// Values of one fixed width.
pub(crate) struct Fixed<T> {
    values: Vec<T>,
    nulls: Nulls,
    read: bool,
}

impl<T: Default> Fixed<T> {
    fn new(read: bool) -> Fixed<T> {
        Fixed { values: Vec::new(), nulls: Nulls::default(), read }
    }

    #[inline(always)]
    pub(crate) fn push(&mut self, value: T) {
        if self.read {
            self.values.push(value);
            self.nulls.valid();
        }
    }

    pub(crate) fn push_null(&mut self) {
        if self.read {
            self.nulls.null(self.values.len());
            self.values.push(T::default());
        }
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.nulls.truncate(rows);
    }

    fn take(&mut self) -> (Vec<T>, Option<NullBuffer>) {
        let capacity = self.values.len();
        (std::mem::replace(&mut self.values, Vec::with_capacity(capacity)), self.nulls.take())
    }
}

/// Strings or byte strings: their bytes, and the end of each.
pub(crate) struct Text {
    bytes: Vec<u8>,
    ends: Vec<i32>,
    nulls: Nulls,
    read: bool,
}

impl Text {
    fn new(read: bool) -> Text {
        Text { bytes: Vec::new(), ends: Vec::new(), nulls: Nulls::default(), read }
    }

    /// Appends a string that needs no unescaping.
    #[inline(always)]
    pub(crate) fn push(&mut self, value: &[u8]) {
        if self.read {
            self.bytes.extend_from_slice(value);
            self.ends.push(self.bytes.len() as i32);
            self.nulls.valid();
        }
    }

    /// Appends the string that an escaped body stands for; nothing if an escape is wrong. What was half written then
    /// stays behind until the row is rolled back.
    pub(crate) fn push_escaped(&mut self, body: &[u8]) -> Option<()> {
        crate::json::scalar::unescape(body, &mut self.bytes)?;
        if self.read {
            self.ends.push(self.bytes.len() as i32);
            self.nulls.valid();
        } else {
            self.bytes.clear();
        }
        Some(())
    }

    fn push_null(&mut self) {
        if self.read {
            self.nulls.null(self.ends.len());
            self.ends.push(self.bytes.len() as i32);
        }
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.bytes.truncate(self.ends.last().map_or(0, |end| *end as usize));
        self.nulls.truncate(rows);
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        let (bytes, rows) = (self.bytes.len(), self.ends.len());
        let bytes = std::mem::replace(&mut self.bytes, Vec::with_capacity(bytes));
        let ends = std::mem::replace(&mut self.ends, Vec::with_capacity(rows));
        (offsets(ends), Buffer::from_vec(bytes), self.nulls.take())
    }
}

/// Arrow's offsets from the ends of the values: the same with a zero before them.
fn offsets(ends: Vec<i32>) -> OffsetBuffer<i32> {
    let mut all = Vec::with_capacity(ends.len() + 1);
    all.push(0);
    all.extend_from_slice(&ends);
    OffsetBuffer::new(ScalarBuffer::from(all))
}

/// One column and the rule by which its values are read.
pub(crate) enum Column {
    Text(Text),
    Bool(Fixed<bool>),
    Int32(Fixed<i32>),
    Int64(Fixed<i64>),
    Float(Fixed<f64>),
    Decimal {
        values: Fixed<i128>,
        precision: u8,
        scale: i8,
    },
    /// Milliseconds since 1970, UTC.
    Instant(Fixed<i64>),
    /// Microseconds since 1970, UTC.
    Micros(Fixed<i64>),
    /// Days since 1970.
    Date(Fixed<i32>),
    Bytes(Text),
    Struct {
        object: Box<Object>,
        rows: usize,
        nulls: Nulls,
        fields: Fields,
    },
    List {
        item: Box<Column>,
        item_nullable: bool,
        items: i32,
        ends: Vec<i32>,
        nulls: Nulls,
        field: FieldRef,
        read: bool,
    },
}

impl Column {
    /// Refuses fields that are not declared in the objects that it holds.
    pub(crate) fn freeze(&mut self) {
        match self {
            Column::Struct { object, .. } => object.freeze(),
            Column::List { item, .. } => item.freeze(),
            _ => {}
        }
    }

    /// The column for a field; `path` names it in errors.
    pub(crate) fn new(field: &Field, path: &str, read: bool) -> Result<Column, SchemaError> {
        Ok(match field.data_type() {
            DataType::Utf8 => Column::Text(Text::new(read)),
            DataType::Boolean => Column::Bool(Fixed::new(read)),
            DataType::Int32 => Column::Int32(Fixed::new(read)),
            DataType::Int64 => Column::Int64(Fixed::new(read)),
            DataType::Float64 => Column::Float(Fixed::new(read)),
            DataType::Decimal128(precision, scale) if *scale >= 0 => {
                Column::Decimal { values: Fixed::new(read), precision: *precision, scale: *scale }
            }
            DataType::Timestamp(TimeUnit::Millisecond, Some(zone)) if zone.as_ref() == "UTC" => {
                Column::Instant(Fixed::new(read))
            }
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == "UTC" => {
                Column::Micros(Fixed::new(read))
            }
            DataType::Date32 => Column::Date(Fixed::new(read)),
            DataType::Binary => Column::Bytes(Text::new(read)),
            DataType::Struct(fields) => Column::Struct {
                object: Box::new(Object::declared(fields, path, &|_| read)?),
                rows: 0,
                nulls: Nulls::default(),
                fields: fields.clone(),
            },
            DataType::List(item) => Column::List {
                item: Box::new(Column::new(item, path, read)?),
                item_nullable: item.is_nullable(),
                items: 0,
                ends: Vec::new(),
                nulls: Nulls::default(),
                field: Arc::clone(item),
                read,
            },
            other => return Err(SchemaError::Type { field: path.to_owned(), found: other.to_string() }),
        })
    }

    /// What the schema wants, for the sentence "field x is not …".
    pub(crate) fn expected(&self) -> &'static str {
        match self {
            Column::Text(_) => "a string",
            Column::Bool(_) => "true or false",
            Column::Int32(_) => "an integer of 32 bits",
            Column::Int64(_) => "an integer of 64 bits",
            Column::Float(_) => "a finite number",
            Column::Decimal { .. } => "a decimal number within the declared precision and scale",
            Column::Instant(_) => {
                "an ISO 8601 time with an offset or epoch milliseconds, within the years 1 to 9999"
            }
            Column::Micros(_) => {
                "an ISO 8601 time with an offset or epoch microseconds, within the years 1 to 9999"
            }
            Column::Date(_) => "a date as 2026-01-31, within the years 1 to 9999",
            Column::Bytes(_) => "bytes, as base64 where they are text",
            Column::Struct { .. } => "an object",
            Column::List { .. } => "a list",
        }
    }

    /// Appends a null row, to a struct's fields too.
    pub(crate) fn push_null(&mut self) {
        match self {
            Column::Text(c) | Column::Bytes(c) => c.push_null(),
            Column::Bool(c) => c.push_null(),
            Column::Int32(c) | Column::Date(c) => c.push_null(),
            Column::Int64(c) | Column::Instant(c) | Column::Micros(c) => c.push_null(),
            Column::Float(c) => c.push_null(),
            Column::Decimal { values, .. } => values.push_null(),
            Column::Struct { object, rows, nulls, .. } => {
                nulls.null(*rows);
                *rows += 1;
                object.push_nulls();
            }
            Column::List { items, ends, nulls, read, .. } => {
                if *read {
                    nulls.null(ends.len());
                    ends.push(*items);
                }
            }
        }
    }

    /// Forgets every row from `rows` on, whole or half written.
    pub(crate) fn truncate(&mut self, rows: usize) {
        match self {
            Column::Text(c) | Column::Bytes(c) => c.truncate(rows),
            Column::Bool(c) => c.truncate(rows),
            Column::Int32(c) | Column::Date(c) => c.truncate(rows),
            Column::Int64(c) | Column::Instant(c) | Column::Micros(c) => c.truncate(rows),
            Column::Float(c) => c.truncate(rows),
            Column::Decimal { values, .. } => values.truncate(rows),
            Column::Struct { object, rows: len, nulls, .. } => {
                object.truncate(rows);
                *len = (*len).min(rows);
                nulls.truncate(rows);
            }
            Column::List { item, items, ends, nulls, .. } => {
                ends.truncate(rows);
                nulls.truncate(rows);
                *items = ends.last().copied().unwrap_or(0);
                item.truncate(*items as usize);
            }
        }
    }

    /// A struct's row is complete.
    #[inline(always)]
    pub(crate) fn struct_done(rows: &mut usize, nulls: &mut Nulls) {
        *rows += 1;
        nulls.valid();
    }

    /// A list's row is complete, at `items` items in all.
    #[inline(always)]
    pub(crate) fn list_done(items: i32, ends: &mut Vec<i32>, nulls: &mut Nulls) {
        ends.push(items);
        nulls.valid();
    }

    /// Takes the rows as an array; nothing if the column is not read.
    pub(crate) fn take(&mut self) -> Option<ArrayRef> {
        Some(match self {
            Column::Text(c) if c.read => {
                let (ends, bytes, nulls) = c.take();
                Arc::new(StringArray::new(ends, bytes, nulls))
            }
            Column::Bytes(c) if c.read => {
                let (ends, bytes, nulls) = c.take();
                Arc::new(BinaryArray::new(ends, bytes, nulls))
            }
            Column::Date(c) if c.read => {
                let (values, nulls) = c.take();
                Arc::new(Date32Array::new(values.into(), nulls))
            }
            Column::Micros(c) if c.read => {
                let (values, nulls) = c.take();
                Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone("UTC"))
            }
            Column::Bool(c) if c.read => {
                let (values, nulls) = c.take();
                Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls))
            }
            Column::Int32(c) if c.read => {
                let (values, nulls) = c.take();
                Arc::new(Int32Array::new(values.into(), nulls))
            }
            Column::Int64(c) if c.read => {
                let (values, nulls) = c.take();
                Arc::new(Int64Array::new(values.into(), nulls))
            }
            Column::Float(c) if c.read => {
                let (values, nulls) = c.take();
                Arc::new(Float64Array::new(values.into(), nulls))
            }
            Column::Instant(c) if c.read => {
                let (values, nulls) = c.take();
                Arc::new(TimestampMillisecondArray::new(values.into(), nulls).with_timezone("UTC"))
            }
            Column::Decimal { values, precision, scale } if values.read => {
                let (values, nulls) = values.take();
                let array =
                    Decimal128Array::new(values.into(), nulls).with_precision_and_scale(*precision, *scale);
                Arc::new(array.expect("precision and scale come from a schema"))
            }
            Column::Struct { object, rows, nulls, fields } => {
                let children: Option<Vec<ArrayRef>> = object.take_columns().into_iter().collect();
                let (len, nulls) = (std::mem::take(rows), nulls.take());
                let children = children?;
                if children.is_empty() {
                    Arc::new(StructArray::new_empty_fields(len, nulls))
                } else {
                    Arc::new(StructArray::new(fields.clone(), children, nulls))
                }
            }
            Column::List { item, items, ends, nulls, field, read: true, .. } => {
                let ends = std::mem::take(ends);
                *items = 0;
                let values = item.take().expect("the items of a list that is read are stored");
                Arc::new(ListArray::new(Arc::clone(field), offsets(ends), values, nulls.take()))
            }
            _ => {
                self.truncate(0);
                return None;
            }
        })
    }
}
