//! A table's rows with an index by what they are joined on, and by what tells them apart: so that a row is replaced in time that does
//! not depend on how many there are. Never enters: where changes come from, what a match means.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{concat, concat_batches, interleave, take, take_record_batch};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use hashbrown::HashMap;

use super::row_index::{NONE, meet, meet_first};
use super::row_key::RowKeys;
use crate::error::StageError;

/// Parts beyond which the smaller half of them is made one.
const PARTS_MAX: usize = 64;

/// Rows that came together.
struct Part {
    rows: RecordBatch,
    /// What they are joined on.
    keys: Vec<ArrayRef>,
    /// Each row's number; `NONE` of one that has been replaced.
    numbers: Vec<u32>,
    live: usize,
}

/// Where a row is, and its neighbours among those of its key.
#[derive(Clone, Copy)]
struct Link {
    part: u32,
    row: u32,
    next: u32,
    before: u32,
    /// The next row of the same id.
    same: u32,
}

/// A table's rows.
pub(crate) struct TableRows {
    schema: SchemaRef,
    parts: BTreeMap<u32, Part>,
    next_part: u32,
    /// By row number.
    links: Vec<Link>,
    free: Vec<u32>,
    /// The first row of each key.
    first: HashMap<Box<[u8]>, u32>,
    /// By what tells rows apart, where they are replaced one by one: the first of those with an id.
    ids: HashMap<Bytes, u32>,
}

impl TableRows {
    pub(crate) fn new(schema: SchemaRef) -> TableRows {
        TableRows {
            schema,
            parts: BTreeMap::new(),
            next_part: 0,
            links: Vec::new(),
            free: Vec::new(),
            first: HashMap::new(),
            ids: HashMap::new(),
        }
    }

    /// Adds rows, with what they are joined on; and with the id of what each was made of, or nothing where none is ever replaced.
    /// They take the place of all rows with their ids that were there before.
    pub(crate) fn add(
        &mut self,
        rows: RecordBatch,
        keys: Vec<ArrayRef>,
        ids: &[Bytes],
    ) -> Result<(), StageError> {
        if rows.num_rows() == 0 {
            // What was removed leaves parts behind.
            return self.tidy();
        }
        ids.iter().for_each(|id| self.remove(id));
        let part = self.next_part;
        self.next_part += 1;
        let count = rows.num_rows();
        let mut numbers = vec![NONE; count];
        {
            let of_rows = RowKeys::new(&keys);
            let mut key = Vec::new();
            // From the last row on, so that the matches of a key come out in their order.
            for row in (0..count).rev() {
                let link = Link { part, row: row as u32, next: NONE, before: NONE, same: NONE };
                let number = match self.free.pop() {
                    Some(number) => {
                        self.links[number as usize] = link;
                        number
                    }
                    None => {
                        self.links.push(link);
                        (self.links.len() - 1) as u32
                    }
                };
                numbers[row] = number;
                if of_rows.any_null(row) {
                    continue;
                }
                of_rows.write(row, &mut key);
                match self.first.get_mut(key.as_slice()) {
                    Some(head) => {
                        let next = std::mem::replace(head, number);
                        self.links[number as usize].next = next;
                        self.links[next as usize].before = number;
                    }
                    None => drop(self.first.insert(key.as_slice().into(), number)),
                }
            }
        }
        self.parts.insert(part, Part { rows, keys, numbers: numbers.clone(), live: count });
        for (id, number) in ids.iter().zip(&numbers) {
            if let Some(other) = self.ids.insert(id.clone(), *number) {
                self.links[*number as usize].same = other;
            }
        }
        self.tidy()
    }

    /// Takes the rows of an id away; nothing where there are none.
    pub(crate) fn remove(&mut self, id: &[u8]) {
        let mut number = self.ids.remove(id).unwrap_or(NONE);
        while number != NONE {
            let next = self.links[number as usize].same;
            self.let_go(number);
            number = next;
        }
    }

    fn let_go(&mut self, number: u32) {
        let link = self.links[number as usize];
        let Some(part) = self.parts.get_mut(&link.part) else { return };
        let row = link.row as usize;
        part.numbers[row] = NONE;
        part.live -= 1;
        let keys = RowKeys::new(&part.keys);
        if !keys.any_null(row) {
            if link.next != NONE {
                self.links[link.next as usize].before = link.before;
            }
            if link.before != NONE {
                self.links[link.before as usize].next = link.next;
            } else {
                let mut key = Vec::new();
                keys.write(row, &mut key);
                match link.next {
                    NONE => drop(self.first.remove(key.as_slice())),
                    next => drop(self.first.insert(key.as_slice().into(), next)),
                }
            }
        }
        self.free.push(number);
    }

    /// Keeps parts few, and mostly of rows that are there still: each row is copied as often as its part doubles.
    fn tidy(&mut self) -> Result<(), StageError> {
        self.parts.retain(|_, part| part.live > 0);
        let mut sizes: Vec<usize> = self.parts.values().map(|part| part.live).collect();
        sizes.sort_unstable();
        let small = if sizes.len() > PARTS_MAX { sizes[sizes.len() / 2] } else { 0 };
        let is_old = |part: &Part| part.live <= small || part.live * 2 < part.numbers.len();
        let old: Vec<u32> = self.parts.iter().filter(|(_, part)| is_old(part)).map(|(at, _)| *at).collect();
        if old.is_empty() {
            return Ok(());
        }
        let (mut rows, mut keys, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        for part in old.iter().filter_map(|at| self.parts.remove(at)) {
            let live: Vec<u32> =
                (0..part.numbers.len() as u32).filter(|row| part.numbers[*row as usize] != NONE).collect();
            numbers.extend(live.iter().map(|row| part.numbers[*row as usize]));
            let live = UInt32Array::from(live);
            rows.push(take_record_batch(&part.rows, &live)?);
            let of_key = part.keys.iter().map(|column| take(column, &live, None));
            keys.push(of_key.collect::<Result<Vec<_>, _>>()?);
        }
        let at = self.next_part;
        self.next_part += 1;
        for (row, number) in numbers.iter().enumerate() {
            let link = &mut self.links[*number as usize];
            (link.part, link.row) = (at, row as u32);
        }
        let columns = keys.first().map_or(0, Vec::len);
        let joined = (0..columns).map(|column| {
            let parts: Vec<&dyn Array> = keys.iter().map(|keys| keys[column].as_ref()).collect();
            concat(&parts)
        });
        let keys = joined.collect::<Result<Vec<_>, _>>()?;
        let (rows, live) = (concat_batches(&self.schema, &rows)?, numbers.len());
        self.parts.insert(at, Part { rows, keys, numbers, live });
        Ok(())
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.parts.values().map(|part| part.live).sum()
    }

    /// Gives each row of another side, by what it is joined on, with the number of each row here that has the same; with none,
    /// where none has.
    pub(crate) fn meet(&self, columns: &[ArrayRef], give: impl FnMut(u32, Option<u32>)) {
        meet(columns, &self.first, |row| self.links[row as usize].next, give);
    }

    /// Gives each row of another side with the number of one row here that has the same; with none, where none has.
    pub(crate) fn meet_first(&self, columns: &[ArrayRef], give: impl FnMut(u32, Option<u32>)) {
        meet_first(columns, &self.first, give);
    }

    /// The columns of rows by their numbers, nulls where there is none.
    pub(crate) fn columns(&self, numbers: &[Option<u32>]) -> Result<Vec<ArrayRef>, StageError> {
        if let Some((_, only)) = self.parts.first_key_value().filter(|_| self.parts.len() == 1) {
            let places = numbers.iter().map(|number| Some(self.links[(*number)? as usize].row));
            let places: UInt32Array = places.collect();
            let columns = only.rows.columns().iter().map(|column| Ok(take(column, &places, None)?));
            return columns.collect();
        }
        let (mut parts, mut known) = (Vec::new(), HashMap::new());
        let places: Vec<(usize, usize)> = numbers
            .iter()
            .map(|number| match number {
                None => (0, 0),
                Some(number) => {
                    let link = self.links[*number as usize];
                    let part = *known.entry(link.part).or_insert_with(|| {
                        parts.push(&self.parts[&link.part].rows);
                        parts.len()
                    });
                    (part, link.row as usize)
                }
            })
            .collect();
        let column = |(at, field): (usize, &arrow::datatypes::FieldRef)| {
            let none = new_null_array(field.data_type(), 1);
            let values = parts.iter().map(|part: &&RecordBatch| part.column(at).as_ref());
            let values: Vec<&dyn Array> = std::iter::once(none.as_ref()).chain(values).collect();
            Ok(interleave(&values, &places)?)
        };
        self.schema.fields().iter().enumerate().map(column).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use millstream_types::{Rng, SeededRng};

    use super::*;

    /// Rows come and go at random; what is found for each key is what a plain map has.
    #[test]
    fn rows_are_found_as_in_a_plain_map() {
        for seed in 0..200 {
            let mut rng = SeededRng::new(seed);
            let field = |name: &str| Field::new(name, DataType::Int64, true);
            let schema = Arc::new(Schema::new(vec![field("key"), field("value")]));
            let mut rows = TableRows::new(Arc::clone(&schema));
            let mut plain: BTreeMap<u64, Vec<(Option<i64>, i64)>> = BTreeMap::new();
            let mut next = 0;
            for _ in 0..1 + rng.below(150) {
                let count = rng.below(6);
                // Some ids have several rows.
                let ids: Vec<u64> = (0..count).map(|_| rng.below(30)).collect();
                ids.iter().for_each(|id| drop(plain.remove(id)));
                let keys: Vec<Option<i64>> =
                    ids.iter().map(|_| (!rng.chance(1, 9)).then(|| rng.below(7) as i64)).collect();
                let values: Vec<i64> = (0..count as i64).map(|i| next + i).collect();
                next += count as i64;
                for ((id, key), value) in ids.iter().zip(&keys).zip(&values) {
                    plain.entry(*id).or_default().push((*key, *value));
                }
                let columns: Vec<ArrayRef> =
                    vec![Arc::new(Int64Array::from(keys)), Arc::new(Int64Array::from(values))];
                let batch = RecordBatch::try_new(Arc::clone(&schema), columns).expect("two columns");
                let bytes = |id: &u64| Bytes::from(id.to_string());
                let ids: Vec<Bytes> = ids.iter().map(bytes).collect();
                let key = vec![Arc::clone(batch.column(0))];
                rows.add(batch, key, &ids).expect("rows");
                if rng.chance(1, 2) {
                    let id = rng.below(30);
                    plain.remove(&id);
                    rows.remove(&bytes(&id));
                }
            }
            let asked: ArrayRef =
                Arc::new(Int64Array::from((0..7).map(Some).chain([None]).collect::<Vec<_>>()));
            let (mut of, mut numbers) = (Vec::new(), Vec::new());
            rows.meet(&[asked], |row, number| {
                of.push(row);
                numbers.push(number);
            });
            let columns = rows.columns(&numbers).expect("columns");
            let values = columns[1].as_primitive::<Int64Type>();
            let mut found: Vec<(u32, Option<i64>)> = of.into_iter().zip(values.iter()).collect();
            found.sort_unstable();
            let mut wanted = vec![(7, None)];
            for key in 0..7 {
                let before = wanted.len();
                let of_key = plain.values().flatten().filter(|(of, _)| *of == Some(i64::from(key)));
                wanted.extend(of_key.map(|(_, value)| (key, Some(*value))));
                if wanted.len() == before {
                    wanted.push((key, None));
                }
            }
            wanted.sort_unstable();
            assert_eq!(found, wanted, "seed {seed}");
        }
    }
}
