//! A source of the rows that a test case gives: bounded, in their order, the same after a restart. Its position is the
//! number of rows read. Never enters: where a real source would have read them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millstream_connector::{
    Changes, Delivery, Discovery, Position, ReadLimit, ReadState, Source, SourceBatch, SourceCapabilities,
    SourceError, SourceRecord, Split, SplitId, SplitReader, StateEntry, async_trait,
};

/// Rows as a source.
pub struct RowsSource {
    /// The source's id, which is the origin of its records.
    pub id: Arc<str>,
    /// The records.
    pub rows: Arc<[Bytes]>,
}

struct Rows {
    id: Arc<str>,
    rows: Arc<[Bytes]>,
    next: usize,
    /// Records since the reader was opened.
    sequence: u64,
}

#[async_trait]
impl Source for RowsSource {
    fn capabilities(&self) -> SourceCapabilities {
        SourceCapabilities { delivery: Delivery::ExactlyOnce, bounded: true }
    }

    async fn discover(&mut self, _: &BTreeMap<SplitId, Position>) -> Result<Discovery, SourceError> {
        let split = Split {
            id: SplitId::new("rows"),
            route: Bytes::copy_from_slice(self.id.as_bytes()),
            label: Arc::clone(&self.id),
            size_bytes: Some(self.rows.iter().map(|row| row.len() as u64 + 1).sum()),
        };
        Ok(Discovery { splits: vec![split], complete: true })
    }

    async fn changed(&mut self) -> Result<Changes, SourceError> {
        std::future::pending().await
    }

    async fn open(
        &mut self,
        _: &SplitId,
        from: Option<&Position>,
        _: Vec<StateEntry>,
    ) -> Result<Box<dyn SplitReader>, SourceError> {
        let next = from.map(Position::read::<usize>).transpose()?.unwrap_or(0);
        if next > self.rows.len() {
            return Err(SourceError::Setup(format!(
                "reading the rows of {} from {next} on: the test has {}; it changed while it ran",
                self.id,
                self.rows.len()
            )));
        }
        let (id, rows) = (Arc::clone(&self.id), Arc::clone(&self.rows));
        Ok(Box::new(Rows { id, rows, next, sequence: 0 }))
    }
}

#[async_trait]
impl SplitReader for Rows {
    async fn read(&mut self, limit: ReadLimit) -> Result<SourceBatch, SourceError> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        let first_sequence = self.sequence;
        while self.next < self.rows.len() && records.len() < limit.max_records && bytes < limit.max_bytes {
            let value = self.rows[self.next].clone();
            bytes += value.len();
            self.next += 1;
            records.push(SourceRecord { value, place: self.next as u64, ..SourceRecord::default() });
        }
        self.sequence += records.len() as u64;
        Ok(SourceBatch {
            records,
            first_sequence,
            origin: Arc::clone(&self.id),
            faults: Vec::new(),
            next_position: Position::of(&self.next),
            state: if self.next < self.rows.len() { ReadState::More } else { ReadState::End },
        })
    }

    async fn ack(&mut self, _: &Position) -> Result<(), SourceError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rows_come_in_order_and_go_on_from_a_position() {
        let rows: Arc<[Bytes]> = ["a", "b\nb", "c"].map(|row| Bytes::from_static(row.as_bytes())).into();
        let mut source = RowsSource { id: "inbox".into(), rows };
        let split = source.discover(&BTreeMap::new()).await.expect("it is there").splits.remove(0).id;
        let mut reader = source.open(&split, None, Vec::new()).await.expect("it opens");
        let limit = ReadLimit { max_records: 2, ..ReadLimit::default() };
        let first = reader.read(limit).await.expect("rows");
        assert_eq!(
            (first.records.len(), first.state, first.origin_of(1).as_str()),
            (2, ReadState::More, "inbox:2")
        );
        let mut again = source.open(&split, Some(&first.next_position), Vec::new()).await.expect("it opens");
        let rest = again.read(limit).await.expect("rows");
        assert_eq!((rest.records[0].value.as_ref(), rest.state), (&b"c"[..], ReadState::End));
        assert!(source.open(&split, Some(&Position::of(&4usize)), Vec::new()).await.is_err());
    }
}
