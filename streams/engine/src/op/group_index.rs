//! The groups of an aggregation, numbered as they come. A group is a key in a key group. The key alone is hashed and compared, since
//! the rows of a key are nearly always in one key group; which one stands beside it. A key that comes in several is a group in each
//! of them. Never enters: what is kept for a group.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, UInt32Array, UInt64Array, new_empty_array};
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef, UInt32Type};
use datafusion_common::Result as DataFusionResult;
use datafusion_expr::EmitTo;
use datafusion_physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion_physical_plan::aggregates::order::GroupOrdering;
use hashbrown::HashMap;

/// The key group of a key that has just come.
const NONE: u32 = u32::MAX;
/// The number of a group that is not among those that were named.
pub(crate) const STRANGER: usize = usize::MAX;

/// See the module.
pub(crate) struct GroupIndex {
    /// The columns of keys.
    schema: SchemaRef,
    /// Numbers keys; key groups, where groups have no keys. Nothing before the first: many tables stay empty.
    keys: Option<Box<dyn GroupValues>>,
    has_keys: bool,
    /// Of each key: the key group that it came in first.
    first: Vec<u32>,
    /// Where some key came in another too; else groups have the numbers of their keys.
    several: Option<Several>,
    named: Option<Named>,
}

/// Groups that were named beforehand, and are numbered anew as they come: accumulators take it that each number has come.
struct Named {
    /// Of each group: its number, or [`STRANGER`] before it comes.
    numbers: Vec<usize>,
    /// The groups that have come.
    came: Vec<usize>,
}

/// What tells the groups of a key from each other.
#[derive(Default)]
struct Several {
    /// Of each group: its key and its key group.
    groups: Vec<(usize, u32)>,
    /// Of each key: its group in the key group that it came in first.
    first: Vec<usize>,
    /// Its other groups.
    others: HashMap<(usize, u32), usize>,
}

impl GroupIndex {
    /// Of no groups yet, whose columns are these: the key group, then the key.
    pub(crate) fn new(columns: &SchemaRef) -> GroupIndex {
        let has_keys = columns.fields().len() > 1;
        let schema = Arc::new(Schema::new(columns.fields()[usize::from(has_keys)..].to_vec()));
        GroupIndex { schema, keys: None, has_keys, first: Vec::new(), several: None, named: None }
    }

    /// The number of each row's group, in place of what is in `numbers`.
    pub(crate) fn intern(&mut self, columns: &[ArrayRef], numbers: &mut Vec<usize>) -> DataFusionResult<()> {
        let keys = match &mut self.keys {
            Some(keys) => keys,
            empty => empty.insert(new_group_values(Arc::clone(&self.schema), &GroupOrdering::None)?),
        };
        keys.intern(&columns[usize::from(self.has_keys)..], numbers)?;
        self.first.resize(keys.len(), NONE);
        let groups = columns[0].as_primitive::<UInt32Type>().values();
        let mut is_known = true;
        for (key, group) in numbers.iter().zip(groups) {
            let first = &mut self.first[*key];
            if *first == NONE {
                *first = *group;
            }
            is_known &= *first == *group;
        }
        if !is_known || self.several.is_some() {
            let several = self.several.get_or_insert_default();
            several.add_keys(&self.first);
            for (number, group) in numbers.iter_mut().zip(groups) {
                *number = several.number(*number, *group);
            }
        }
        if let Some(Named { numbers: known, came }) = &mut self.named {
            for number in numbers {
                let group = *number;
                *number = match known.get_mut(group) {
                    None => STRANGER,
                    Some(known) => {
                        if *known == STRANGER {
                            *known = came.len();
                            came.push(group);
                        }
                        *known
                    }
                };
            }
        }
        Ok(())
    }

    /// The groups that are here were only named: from now on they are numbered anew as they come, and others are strangers.
    pub(crate) fn only_these(&mut self) {
        self.named = Some(Named { numbers: vec![STRANGER; self.len()], came: Vec::new() });
    }

    pub(crate) fn len(&self) -> usize {
        match (&self.named, &self.several) {
            (Some(named), _) => named.came.len(),
            (None, Some(several)) => several.groups.len(),
            (None, None) => self.first.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes all groups out, as columns; there is room for so many others then.
    pub(crate) fn take(&mut self, room: usize) -> DataFusionResult<Vec<ArrayRef>> {
        let mut keys = match &mut self.keys {
            Some(keys) if !keys.is_empty() => keys.emit(EmitTo::All)?,
            // Some kinds cannot.
            _ => self.schema.fields().iter().map(|field| new_empty_array(field.data_type())).collect(),
        };
        match &mut self.keys {
            // Emitting leaves some tables' index behind.
            Some(keys) if room > 0 => keys.clear_shrink(room),
            // A table without groups may be as large as one with many.
            keys => *keys = None,
        }
        if !self.has_keys {
            keys.clear();
        }
        let mut groups = std::mem::take(&mut self.first);
        if let Some(several) = self.several.take() {
            let of = UInt64Array::from_iter_values(several.groups.iter().map(|(key, _)| *key as u64));
            keys = keys.iter().map(|column| take(column, &of, None)).collect::<Result<_, _>>()?;
            groups = several.groups.iter().map(|(_, group)| *group).collect();
        }
        let groups: ArrayRef = Arc::new(UInt32Array::from(groups));
        let columns = std::iter::once(groups).chain(keys);
        let Some(Named { came, .. }) = self.named.take() else { return Ok(columns.collect()) };
        let came = UInt64Array::from_iter_values(came.into_iter().map(|group| group as u64));
        columns.map(|column| Ok(take(&column, &came, None)?)).collect()
    }

    /// Bytes in memory, about.
    pub(crate) fn size(&self) -> usize {
        let several = self.several.as_ref().map_or(0, |several| {
            several.groups.capacity() * 16 + several.first.capacity() * 8 + several.others.capacity() * 25
        });
        let named = self.named.as_ref().map_or(0, |named| (named.numbers.len() + named.came.capacity()) * 8);
        let keys = self.keys.as_ref().map_or(0, |keys| keys.size());
        keys + self.first.capacity() * 4 + several + named
    }
}

impl Several {
    /// Numbers the groups of keys that are new, each in the key group that it came in first.
    fn add_keys(&mut self, first: &[u32]) {
        for (key, group) in first.iter().enumerate().skip(self.first.len()) {
            self.first.push(self.groups.len());
            self.groups.push((key, *group));
        }
    }

    /// The number of a key's group in a key group.
    fn number(&mut self, key: usize, group: u32) -> usize {
        let first = self.first[key];
        if self.groups[first].1 == group {
            return first;
        }
        let next = self.groups.len();
        let number = *self.others.entry((key, group)).or_insert(next);
        if number == next {
            self.groups.push((key, group));
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{Array, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Int64Type};
    use millstream_types::{Rng, SeededRng};

    use super::*;

    type Group = (u32, Option<i64>, Option<String>);

    fn schema(keys: usize) -> SchemaRef {
        let kinds = [DataType::UInt32, DataType::Int64, DataType::Utf8];
        let fields = kinds.into_iter().take(1 + keys).enumerate();
        let fields = fields.map(|(at, kind)| Field::new(at.to_string(), kind, at > 0));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn columns(rows: &[Group], keys: usize) -> Vec<ArrayRef> {
        let groups = UInt32Array::from_iter_values(rows.iter().map(|row| row.0));
        let numbers: Int64Array = rows.iter().map(|row| row.1).collect();
        let texts: StringArray = rows.iter().map(|row| row.2.as_deref()).collect();
        let all: [ArrayRef; 3] = [Arc::new(groups), Arc::new(numbers), Arc::new(texts)];
        all.into_iter().take(1 + keys).collect()
    }

    fn rows(columns: &[ArrayRef]) -> Vec<Group> {
        let number = |row| columns.get(1)?.as_primitive_opt::<Int64Type>().filter(|of| of.is_valid(row));
        let text = |row| columns.get(2)?.as_string_opt::<i32>().filter(|of| of.is_valid(row));
        let groups = columns[0].as_primitive::<UInt32Type>().values().iter().enumerate();
        let row = |(row, group): (usize, &u32)| {
            let number = number(row).map(|of| of.value(row));
            (*group, number, text(row).map(|of| of.value(row).to_owned()))
        };
        groups.map(row).collect()
    }

    /// Rows of a key are in one key group, in two now and then, or in any.
    fn drawn(rng: &mut SeededRng, keys: usize, apart: u64) -> Vec<Group> {
        let row = |rng: &mut SeededRng| {
            let key = rng.below(12) as i64;
            let group = if rng.below(100) < apart { rng.below(4) as u32 } else { key as u32 % 4 };
            let text = (key % 5 > 0).then(|| format!("key {}", key / 3));
            (group, (keys > 0 && key % 7 > 0).then_some(key), text.filter(|_| keys > 1))
        };
        (0..rng.below(30)).map(|_| row(rng)).collect()
    }

    #[test]
    fn a_key_in_several_key_groups_is_a_group_in_each() {
        for seed in 0..300 {
            let mut rng = SeededRng::new(seed);
            let (keys, apart) = (rng.below(3) as usize, [0, 10, 100][rng.below(3) as usize]);
            let mut index = GroupIndex::new(&schema(keys));
            for _ in 0..3 {
                let mut known: BTreeMap<Group, usize> = BTreeMap::new();
                let mut named: Option<BTreeMap<Group, usize>> = None;
                let mut numbers = Vec::new();
                let only_at = rng.below(8);
                for batch in 0..6 {
                    if batch == only_at {
                        index.only_these();
                        named = Some(std::mem::take(&mut known));
                    }
                    let batch = drawn(&mut rng, keys, apart);
                    index.intern(&columns(&batch, keys), &mut numbers).expect("numbers");
                    assert_eq!(numbers.len(), batch.len());
                    for (group, number) in batch.into_iter().zip(&numbers) {
                        let expected = match &named {
                            Some(named) if !named.contains_key(&group) => STRANGER,
                            _ => *known.entry(group.clone()).or_insert(*number),
                        };
                        assert_eq!(*number, expected, "seed {seed}: {group:?} of {known:?}");
                    }
                    assert_eq!(index.len(), known.len(), "seed {seed}: {known:?}");
                }
                let all: BTreeMap<usize, Group> =
                    known.into_iter().map(|(group, number)| (number, group)).collect();
                // Numbers rise from none on.
                assert!(all.keys().copied().eq(0..index.len()), "seed {seed}: {all:?}");
                let taken = rows(&index.take(all.len()).expect("columns"));
                assert_eq!(taken, all.into_values().collect::<Vec<_>>(), "seed {seed}");
                assert!(index.is_empty(), "seed {seed}");
            }
        }
    }
}
