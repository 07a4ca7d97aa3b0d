//! Records of a topic in files: record batches as a producer takes them, each behind its partition, its number of records and its
//! length. Partitions are mixed; those of one are in order. Batches are cut where a reader stood, so that what it had not read
//! begins with one. Never enters: where files are kept (`place.rs`), which records.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use millstream_client::{
    Append, BatchBuilder, BatchConfig, Codec, Compressor, HeaderView, RecordRef, RecordView,
};

use super::manifest::{Content, File};
use super::place::{Place, file_name};
use crate::error::WorkerError;

/// Batches are closed at about this size, as those of a commit are.
const BATCH_BYTES: usize = 256 << 10;
/// Files have about this size.
const FILE_BYTES: usize = 32 << 20;
/// Open batches take no more than this together; then all are closed.
const OPEN_BYTES: usize = 64 << 20;
/// Partition, records and length of a batch.
const HEAD_BYTES: usize = 12;

/// A batch of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its partition.
    pub partition: u32,
    /// How many records it has.
    pub records: u32,
    /// As a producer takes it.
    pub bytes: Bytes,
}

/// Reads what a file has. The error says what is wrong with it.
pub fn batches(file: &Bytes) -> Result<Vec<Batch>, String> {
    let (mut rest, mut found) = (file.clone(), Vec::new());
    while !rest.is_empty() {
        let at = file.len() - rest.len();
        if rest.len() < HEAD_BYTES {
            return Err(format!("at byte {at} a batch's head is cut off"));
        }
        let (partition, records, length) = (rest.get_u32_le(), rest.get_u32_le(), rest.get_u32_le() as usize);
        if length > rest.len() || records == 0 {
            return Err(format!(
                "at byte {at} a batch of {records} records and {length} bytes, of {}",
                rest.len()
            ));
        }
        found.push(Batch { partition, records, bytes: rest.split_to(length) });
    }
    Ok(found)
}

/// The numbers of the files of one creation.
pub struct Naming {
    name: String,
    attempt: u64,
    next: usize,
}

impl Naming {
    /// Of a savepoint; `attempt` is a number that no other creation has.
    pub fn new(name: &str, attempt: u64) -> Naming {
        Naming { name: name.to_owned(), attempt, next: 0 }
    }

    fn next(&mut self) -> String {
        self.next += 1;
        file_name(&self.name, self.attempt, self.next)
    }
}

/// Writes a topic's records.
#[derive(Default)]
pub struct Writer {
    open: BTreeMap<u32, BatchBuilder>,
    /// What was taken since all of them were closed: they hold no more.
    taken_bytes: usize,
    compressor: Compressor,
    file: Vec<u8>,
    content: Content,
}

impl Writer {
    /// Takes a record that was read.
    pub fn take(&mut self, partition: u32, record: &RecordView<'_>) -> Result<(), WorkerError> {
        let headers: Vec<HeaderView<'_>> = record.headers.collect();
        let record = RecordRef {
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: &headers,
        };
        self.append(partition, &record)
    }

    /// Takes a record.
    pub fn append(&mut self, partition: u32, record: &RecordRef<'_>) -> Result<(), WorkerError> {
        let config =
            BatchConfig { batch_bytes_max: BATCH_BYTES, codec: Codec::Lz4, ..BatchConfig::default() };
        let new = || BatchBuilder::new(config.clone());
        let builder = self.open.entry(partition).or_insert_with(new);
        if builder.append(record).map_err(failed)? == Append::Full {
            let full = std::mem::replace(builder, new());
            builder.append(record).map_err(failed)?;
            self.close(partition, full)?;
        }
        self.taken_bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        *self.content.records.entry(partition).or_default() += 1;
        if self.taken_bytes > OPEN_BYTES {
            self.close_all()?;
            self.taken_bytes = 0;
        }
        Ok(())
    }

    /// How many records of a partition there are.
    pub fn count(&self, partition: u32) -> u64 {
        self.content.records.get(&partition).copied().unwrap_or(0)
    }

    /// Ends a partition's batch: its next record begins another.
    pub fn cut(&mut self, partition: u32) -> Result<(), WorkerError> {
        match self.open.remove(&partition) {
            Some(builder) => self.close(partition, builder),
            None => Ok(()),
        }
    }

    fn close_all(&mut self) -> Result<(), WorkerError> {
        let open: Vec<u32> = self.open.keys().copied().collect();
        open.into_iter().try_for_each(|partition| self.cut(partition))
    }

    fn close(&mut self, partition: u32, builder: BatchBuilder) -> Result<(), WorkerError> {
        if builder.is_empty() {
            return Ok(());
        }
        let records = builder.record_count() as u32;
        let bytes = builder.build_with(&mut self.compressor).map_err(failed)?;
        for number in [partition, records, bytes.len() as u32] {
            self.file.extend_from_slice(&number.to_le_bytes());
        }
        self.file.extend_from_slice(&bytes);
        Ok(())
    }

    /// Writes a file, once there is enough for one.
    pub async fn flush(&mut self, place: &Place, naming: &mut Naming) -> Result<(), WorkerError> {
        if self.file.len() >= FILE_BYTES { self.write(place, naming).await } else { Ok(()) }
    }

    async fn write(&mut self, place: &Place, naming: &mut Naming) -> Result<(), WorkerError> {
        let file = place.write(naming.next(), std::mem::take(&mut self.file)).await?;
        self.content.files.push(file);
        Ok(())
    }

    /// Writes what is left: what there is of the topic.
    pub async fn finish(mut self, place: &Place, naming: &mut Naming) -> Result<Content, WorkerError> {
        self.close_all()?;
        if !self.file.is_empty() {
            self.write(place, naming).await?;
        }
        Ok(self.content)
    }
}

fn failed(error: millstream_client::BatchError) -> WorkerError {
    WorkerError::Fatal(format!("putting a record into a batch of a savepoint: {error}"))
}

/// The batches of one file of a savepoint.
pub async fn read(place: &Place, name: &str, file: &File) -> Result<Vec<Batch>, WorkerError> {
    let found = place.content(name, file).await?;
    batches(&found).map_err(|why| {
        WorkerError::Setup(format!("reading savepoint {name} in {}: file {}: {why}", place.url(), file.name))
    })
}

/// Reads all of it, and refuses what is not whole (SV-1).
pub async fn check(place: &Place, name: &str, content: &Content) -> Result<(), WorkerError> {
    let mut found: BTreeMap<u32, u64> = BTreeMap::new();
    for file in &content.files {
        for batch in read(place, name, file).await? {
            *found.entry(batch.partition).or_default() += u64::from(batch.records);
        }
    }
    match found == content.records {
        true => Ok(()),
        false => Err(WorkerError::Setup(format!(
            "reading savepoint {name} in {}: its files have {} records, and its manifest says {}",
            place.url(),
            found.values().sum::<u64>(),
            content.count()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::tests::Memory;
    use super::*;

    fn record(value: &str) -> RecordRef<'_> {
        RecordRef { timestamp: 5, key: Some(b"k"), value: Some(value.as_bytes()), headers: &[] }
    }

    #[tokio::test]
    async fn records_are_in_files_by_partition_and_cut_where_a_reader_stood() {
        let place = Place::new(Box::new(Memory::default()), "memory");
        let mut naming = Naming::new("monday", 1);
        let mut writer = Writer::default();
        for value in ["a", "b", "c"] {
            writer.append(0, &record(value)).unwrap();
            writer.append(3, &record(value)).unwrap();
            if value == "b" {
                writer.cut(0).unwrap();
                assert_eq!((writer.count(0), writer.count(3), writer.count(1)), (2, 2, 0));
            }
        }
        writer.flush(&place, &mut naming).await.unwrap();
        let content = writer.finish(&place, &mut naming).await.unwrap();
        assert_eq!(content.records, BTreeMap::from([(0, 3), (3, 3)]));
        assert_eq!(content.files.len(), 1);
        let found = read(&place, "monday", &content.files[0]).await.unwrap();
        let shape: Vec<(u32, u32)> = found.iter().map(|batch| (batch.partition, batch.records)).collect();
        assert_eq!(shape, [(0, 2), (0, 1), (3, 3)]);
        check(&place, "monday", &content).await.unwrap();

        let mut lacking = content.clone();
        lacking.records.insert(3, 4);
        let error = check(&place, "monday", &lacking).await.unwrap_err().to_string();
        assert!(error.contains("its files have 6 records, and its manifest says 7"), "{error}");
    }

    #[tokio::test]
    async fn full_batches_are_closed_and_nothing_is_lost() {
        let place = Place::new(Box::new(Memory::default()), "memory");
        let mut naming = Naming::new("monday", 1);
        let mut writer = Writer::default();
        let mut noise = 1u64;
        let large: String = (0..100_000)
            .map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from(b' ' + (noise >> 58) as u8)
            })
            .collect();
        (0..20).for_each(|_| writer.append(1, &record(&large)).unwrap());
        let content = writer.finish(&place, &mut naming).await.unwrap();
        check(&place, "monday", &content).await.unwrap();
        assert_eq!(content.count(), 20);
        assert!(read(&place, "monday", &content.files[0]).await.unwrap().len() > 1);
    }

    #[test]
    fn what_is_cut_off_is_seen() {
        let mut file = Vec::new();
        for number in [0u32, 1, 4] {
            file.extend_from_slice(&number.to_le_bytes());
        }
        file.extend_from_slice(b"four");
        assert_eq!(batches(&Bytes::from(file.clone())).map(|found| found.len()), Ok(1));
        for cut in 1..file.len() {
            assert!(batches(&Bytes::copy_from_slice(&file[..cut])).is_err(), "{cut}");
        }
    }
}
