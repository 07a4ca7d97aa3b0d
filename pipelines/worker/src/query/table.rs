//! One table as it is read: a topic, followed from where it was read to last, or something that is read whole each time. Never
//! enters: what it is joined with.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{concat_batches, interleave_record_batch};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use millstream_client::Cluster;
use millstream_client::cluster::Topic;
use millstream_types::Uuid;

use super::too_large;
use crate::error::WorkerError;
use crate::tables::topic::{Changes, Reader, TopicTable};

/// What a row costs beside its columns and its id.
const ROW_BYTES: usize = 96;
/// Parts beyond which they are made one.
const PARTS_MAX: usize = 64;

/// Where rows come from.
pub(super) enum Source {
    Topic { table: Box<TopicTable>, reader: Option<Box<Reader>> },
    Whole(Box<dyn millstream_connector::Table>),
}

pub(super) struct Table {
    source: Source,
    topic_id: Option<Uuid>,
    rows: Keyed,
}

/// Rows that come in the place of others, by what tells them apart.
struct Keyed {
    schema: SchemaRef,
    parts: Vec<RecordBatch>,
    /// Where the row of each id is: the part, and the place in it. Empty where rows have none.
    places: HashMap<Bytes, (usize, usize)>,
    id_bytes: usize,
}

impl Keyed {
    fn new(schema: SchemaRef) -> Keyed {
        Keyed { schema, parts: Vec::new(), places: HashMap::new(), id_bytes: 0 }
    }

    fn change(&mut self, changes: Changes) -> Result<(), WorkerError> {
        for id in &changes.gone {
            if self.places.remove(id).is_some() {
                self.id_bytes -= id.len();
            }
        }
        if changes.ids.is_empty() {
            return Ok(());
        }
        let part = self.parts.len();
        for (row, id) in changes.ids.into_iter().enumerate() {
            let bytes = id.len();
            if self.places.insert(id, (part, row)).is_none() {
                self.id_bytes += bytes;
            }
        }
        self.parts.push(changes.rows);
        let rows: usize = self.parts.iter().map(RecordBatch::num_rows).sum();
        if self.parts.len() > PARTS_MAX || rows > 2 * self.places.len() + 8_192 {
            self.tidy()?;
        }
        Ok(())
    }

    /// Makes one part of all, without the rows that were replaced, in the order in which rows came.
    fn tidy(&mut self) -> Result<(), WorkerError> {
        let rows: usize = self.parts.iter().map(RecordBatch::num_rows).sum();
        if self.parts.len() == 1 && rows == self.places.len() {
            return Ok(());
        }
        let mut places: Vec<&mut (usize, usize)> = self.places.values_mut().collect();
        places.sort_unstable();
        let order: Vec<(usize, usize)> = places.iter().map(|place| **place).collect();
        let whole = match self.parts.is_empty() {
            true => RecordBatch::new_empty(Arc::clone(&self.schema)),
            false => interleave_record_batch(&self.parts.iter().collect::<Vec<_>>(), &order)?,
        };
        for (row, place) in places.into_iter().enumerate() {
            *place = (0, row);
        }
        self.parts = vec![whole];
        Ok(())
    }

    fn size(&self) -> usize {
        let parts = self.parts.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
        parts + self.id_bytes + self.places.len() * ROW_BYTES
    }
}

impl Table {
    pub(super) fn new(source: Source, schema: SchemaRef) -> Table {
        Table { source, topic_id: None, rows: Keyed::new(schema) }
    }

    pub(super) fn size(&self) -> usize {
        self.rows.size()
    }

    /// Refuses a topic that is not there; forgets what was read of one that was made anew.
    pub(super) fn check(
        &mut self,
        name: &str,
        topics: &BTreeMap<Arc<str>, Topic>,
    ) -> Result<(), WorkerError> {
        let Source::Topic { table, reader } = &mut self.source else { return Ok(()) };
        let Some(found) = topics.get(&table.topic) else {
            let text =
                format!("table {name} follows topic {}, which is not there on this cluster", table.topic);
            return Err(WorkerError::Setup(text));
        };
        table.partitions = found.partition_count() as u32;
        if self.topic_id.replace(found.id).is_some_and(|id| id != found.id) {
            *reader = None;
            self.rows = Keyed::new(Arc::clone(&self.rows.schema));
        }
        Ok(())
    }

    /// Reads on to what is there now, in so many bytes.
    pub(super) async fn read(
        &mut self,
        name: &str,
        cluster: &Arc<Cluster>,
        bytes_max: usize,
    ) -> Result<(), WorkerError> {
        let rows = &mut self.rows;
        match &mut self.source {
            Source::Whole(table) => {
                let snapshot = table.load().await?;
                // A file may have other columns by now: those of a running pipeline stay too.
                let known = |batch: &RecordBatch| {
                    RecordBatch::try_new(Arc::clone(&rows.schema), batch.columns().to_vec())
                };
                let batches: Vec<RecordBatch> =
                    snapshot.batches.iter().map(known).collect::<Result<_, _>>()?;
                rows.parts = vec![concat_batches(&rows.schema, &batches)?];
            }
            Source::Topic { table, reader } => {
                if reader.is_none() {
                    *rows = Keyed::new(Arc::clone(&rows.schema));
                    *reader = Some(Box::new(table.open(cluster).await?));
                }
                let Some(open) = reader.as_mut() else { return Ok(()) };
                let read = open.read_to_end(|changes| {
                    rows.change(changes)?;
                    if rows.size() > bytes_max { Err(too_large(name, bytes_max)) } else { Ok(()) }
                });
                if let Err(error) = read.await {
                    // Read anew the next time.
                    *reader = None;
                    *rows = Keyed::new(Arc::clone(&rows.schema));
                    return Err(error);
                }
            }
        }
        if rows.size() > bytes_max { Err(too_large(name, bytes_max)) } else { Ok(()) }
    }

    /// The rows.
    pub(super) fn rows(&mut self) -> Result<RecordBatch, WorkerError> {
        if let Source::Topic { .. } = self.source {
            self.rows.tidy()?;
        }
        let whole = self.rows.parts.first().cloned();
        Ok(whole.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(&self.rows.schema))))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use millstream_types::{Rng, SeededRng};

    use super::*;

    /// Rows come and go at random; what is left is what a plain map has.
    #[test]
    fn rows_are_those_of_a_plain_map() {
        for seed in 0..100 {
            let mut rng = SeededRng::new(seed);
            let schema = Arc::new(Schema::new(vec![Field::new("value", DataType::Int64, false)]));
            let (mut keyed, mut plain) = (Keyed::new(Arc::clone(&schema)), BTreeMap::new());
            let mut next = 0;
            for _ in 0..rng.below(300) {
                let mut ids: Vec<u64> = (0..rng.below(5)).map(|_| rng.below(40)).collect();
                ids.sort_unstable();
                ids.dedup();
                let gone: Vec<u64> =
                    (0..rng.below(3)).map(|_| rng.below(40)).filter(|id| !ids.contains(id)).collect();
                let values: Vec<i64> = (0..ids.len() as i64).map(|i| next + i).collect();
                next += ids.len() as i64;
                gone.iter().for_each(|id| {
                    plain.remove(id);
                });
                plain.extend(ids.iter().copied().zip(values.iter().copied()));
                let rows =
                    RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(values))]);
                let bytes = |ids: Vec<u64>| ids.iter().map(|id| Bytes::from(id.to_string())).collect();
                let changes =
                    Changes { rows: rows.expect("one column"), ids: bytes(ids), gone: bytes(gone), bad: 0 };
                keyed.change(changes).expect("changes");
            }
            keyed.tidy().expect("rows");
            let found = keyed.parts[0].column(0).as_primitive::<Int64Type>().values().to_vec();
            let mut wanted: Vec<i64> = plain.into_values().collect();
            wanted.sort_unstable();
            assert_eq!(found, wanted, "seed {seed}");
        }
    }
}
