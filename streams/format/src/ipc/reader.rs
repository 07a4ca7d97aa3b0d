//! A record into columns: all of its rows, or what is wrong with it. Never enters: single values.

use arrow::ipc::{Endianness, MessageHeader};

use super::ROWS_MAX;
use super::array::{Array, Dictionaries, pass_over};
use super::body::{Body, Grown, Messages};
use super::push::{Fault, To, push, width};
use super::schema::{Field, find};
use crate::object::Object;
use crate::{BadReason, BadRecord};

/// Reads records; nothing is kept from one to the next.
pub(crate) struct ArrowReader;

/// What a record has become.
pub(crate) struct Read {
    pub(crate) rows: usize,
    /// The bytes that columns have got beyond the record's.
    pub(crate) grown: usize,
}

/// A stream behind its schema.
struct Stream<'a> {
    fields: Vec<Field<'a>>,
    dictionaries: Dictionaries<'a>,
    grown: Grown,
    rows: usize,
    record_bytes: usize,
}

impl ArrowReader {
    /// Reads a record into the columns of `root`. After an error they may hold a part of it.
    pub(crate) fn read(&self, root: &mut Object, record: &[u8]) -> Result<Read, BadRecord> {
        let mut messages = Messages::new(record);
        let mut stream: Option<Stream<'_>> = None;
        loop {
            let at = messages.at;
            let bad = |text: String| BadRecord { why: BadReason::Syntax(text), at };
            let Some((message, body)) = messages.next().map_err(bad)? else { break };
            match (message.header_type(), &mut stream) {
                (MessageHeader::Schema, none @ None) => {
                    let schema = message.header_as_schema().ok_or_else(|| bad(without_header()))?;
                    if schema.endianness() != Endianness::Little {
                        return Err(bad(
                            "its numbers are big-endian; those that are little-endian are read".to_owned()
                        ));
                    }
                    let fields = schema.fields().into_iter().flat_map(|fields| fields.iter());
                    let fields = fields.map(Field::read).collect::<Result<Vec<_>, _>>().map_err(bad)?;
                    meets(root, &fields).map_err(|why| BadRecord { why, at })?;
                    *none = Some(Stream {
                        fields,
                        dictionaries: Dictionaries::new(),
                        grown: Grown::new(record.len()),
                        rows: 0,
                        record_bytes: record.len(),
                    });
                }
                (MessageHeader::DictionaryBatch, Some(stream)) => {
                    let of = message.header_as_dictionary_batch().ok_or_else(|| bad(without_header()))?;
                    let batch = of.data().ok_or_else(|| bad(without_header()))?;
                    let body = Body::new(batch, body, message.version());
                    stream.dictionary(root, (of.id(), of.isDelta()), body).map_err(bad)?;
                }
                (MessageHeader::RecordBatch, Some(stream)) => {
                    let batch = message.header_as_record_batch().ok_or_else(|| bad(without_header()))?;
                    let body = Body::new(batch, body, message.version());
                    stream.batch(root, body).map_err(|fault| match fault {
                        Fault::Row(row, why) => bad(format!("row {}: {why}", stream.rows + row)),
                        Fault::Other(why) => bad(why),
                    })?;
                }
                (found, stream) => {
                    let found = found.variant_name().unwrap_or("of no known kind");
                    let wanted = if stream.is_none() { "a schema" } else { "rows" };
                    return Err(bad(format!(
                        "no stream of Arrow: a message {found}, where {wanted} should be"
                    )));
                }
            }
        }
        match stream {
            Some(stream) => {
                Ok(Read { rows: stream.rows, grown: stream.grown.bytes.saturating_sub(record.len()) })
            }
            None => Err(BadRecord {
                why: BadReason::Syntax("an empty record, no stream of Arrow".to_owned()),
                at: 0,
            }),
        }
    }
}

fn without_header() -> String {
    "a message without its content".to_owned()
}

/// Whether the columns of a stream are those that are declared.
fn meets(root: &Object, fields: &[Field<'_>]) -> Result<(), BadReason> {
    for declared in &root.declared {
        match find(fields, &declared.name).map_err(BadReason::Syntax)? {
            Some(field) => field
                .fits(&declared.column)
                .map_err(|why| BadReason::Syntax(format!("column {} is {why}", declared.path)))?,
            None if declared.required => return Err(BadReason::Missing(declared.path.to_string())),
            None => {}
        }
    }
    Ok(())
}

/// The column of a dictionary.
fn find_dictionary<'f, 'a: 'f>(
    mut fields: impl Iterator<Item = &'f Field<'a>>,
    id: i64,
) -> Option<&'f Field<'a>> {
    fields.find_map(|field| match field.dictionary {
        Some(of) if of.id == id => Some(field),
        _ => find_dictionary(&mut field.children.iter() as &mut dyn Iterator<Item = _>, id),
    })
}

impl<'a> Stream<'a> {
    fn dictionary(
        &mut self,
        root: &Object,
        (id, is_more): (i64, bool),
        mut body: Body<'a>,
    ) -> Result<(), String> {
        // Those of columns that are passed over are so too.
        let fields =
            self.fields.iter().filter(|field| root.declared.iter().any(|d| d.name.as_ref() == field.name));
        let Some(of) = find_dictionary(fields, id).filter(|of| of.is_taken()) else { return Ok(()) };
        let values = Array::read_as((of, None), &mut body, &self.dictionaries, &mut self.grown)?;
        let all = self.dictionaries.entry(id).or_default();
        if !is_more {
            *all = Default::default();
        }
        all.push(values)
    }

    fn batch(&mut self, root: &mut Object, mut body: Body<'a>) -> Result<(), Fault> {
        let rows = body.rows()?;
        let mut arrays: Vec<(usize, Array<'a>)> = Vec::with_capacity(root.declared.len());
        for field in &self.fields {
            let Some(at) = root.declared.iter().position(|declared| declared.name.as_ref() == field.name)
            else {
                pass_over(field, &mut body)?;
                continue;
            };
            let array = Array::read(field, &mut body, &self.dictionaries, &mut self.grown)?;
            if array.len != rows {
                return Err(Fault::Other(format!(
                    "column {} has {} rows, and its batch {rows}",
                    field.name, array.len
                )));
            }
            arrays.push((at, array));
        }
        // A row that has anything is a bit at least.
        let bits = self.record_bytes.saturating_add(self.grown.unpacked).saturating_mul(8);
        let most = ROWS_MAX.min(bits);
        if self.rows.checked_add(rows).is_none_or(|rows| rows > most) {
            return Err(Fault::Other(format!(
                "{rows} rows in a batch: a record has {ROWS_MAX} at most, and one for each of its bits"
            )));
        }
        for (at, declared) in root.declared.iter_mut().enumerate() {
            let to = To { column: &mut declared.column, required: declared.required, path: &declared.path };
            match arrays.iter().find(|(of, _)| *of == at) {
                Some((_, array)) => push(array, 0..rows, to, None, &mut self.grown)?,
                None => {
                    self.grown.add(width(to.column).saturating_mul(rows))?;
                    (0..rows).for_each(|_| to.column.push_null());
                }
            }
        }
        self.rows += rows;
        Ok(())
    }
}
