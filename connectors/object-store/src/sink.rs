//! The sink: rows into open files, files into commits. Invariant CN-1: an entry is created once for each offset at which
//! the partition stood; files appear only after the entry that names them; the next entry only after they have.
//!
//! A partition's states: *opened* at an offset -> *staging* (files being encoded or sealed) -> *committing* (all sealed,
//! entry, publish) -> *opened* at the next. Any failure while staging makes it *broken*: to be opened again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use millstream_connector::{
    Change, Context, Delivery, NextOffsets, Offsets, Sink, SinkBatch, SinkCapabilities, SinkError,
    async_trait,
};
use millstream_types::{CpuBudget, MemoryClaim, Millis, Offset, TopicPartition};
use tokio::task::JoinSet;

use crate::config::ObjectStoreSinkConfig;
use crate::encoder::Encoder;
use crate::entry::{ENTRY_VERSION, Entry, FilePlace};
use crate::journal::Journal;
use crate::partition_by::{self, Part};
use crate::store::{self, Store, Upload};

/// Rows into Parquet files.
pub struct ObjectStoreSink {
    config: ObjectStoreSinkConfig,
    context: Context,
    store: Arc<dyn Store>,
    journal: Journal,
    parts: Vec<Part>,
    partitions: BTreeMap<TopicPartition, Owned>,
    /// Counts files and writes to them, for finding the one that was written to longest ago.
    tick: u64,
    /// What encoding holds.
    memory: MemoryClaim,
}

#[derive(Default)]
struct Owned {
    /// Where the store stands; `None` when it has never heard of the partition.
    expected: Option<Offset>,
    /// By folder.
    open: BTreeMap<String, OpenFile>,
    sealed: Vec<FilePlace>,
    /// Files begun since the partition was opened or committed; part of their names.
    begun: u32,
    first_row_at: Option<Millis>,
    last_row_at: Millis,
    last_offset: Option<Offset>,
    /// The largest file so far, encoded.
    largest: u64,
    broken: bool,
    /// An entry that names the sealed files was asked for.
    entry_tried: bool,
    commits: u64,
}

struct OpenFile {
    encoder: Encoder,
    upload: Upload,
    tick: u64,
}

const CRASH_POINTS: &[&str] =
    &["before_commit", "files_sealed", "entry_created", "file_published", "files_published", "after_commit"];
/// After how many commits the note of where to start listing is written anew.
const FLOOR_EVERY: u64 = 64;
/// While the process is short of memory, encoding has this part of what it may have.
const SHORT_OF_MEMORY: u64 = 4;

impl ObjectStoreSink {
    /// A sink over the config's URL; relative folders are under `root`, the pipeline's own.
    pub fn new(
        config: ObjectStoreSinkConfig,
        root: &Path,
        context: Context,
    ) -> Result<ObjectStoreSink, SinkError> {
        let store = store::connect(&config, root, &context)?;
        ObjectStoreSink::with_store(config, store, context)
    }

    /// A sink over a store that is there already.
    pub fn with_store(
        config: ObjectStoreSinkConfig,
        store: Arc<dyn Store>,
        context: Context,
    ) -> Result<ObjectStoreSink, SinkError> {
        let parts = config.partition_by.iter().map(|text| Part::parse(text)).collect::<Result<_, _>>();
        let parts = parts.map_err(SinkError::Setup)?;
        for (what, name) in [("pipeline", &context.pipeline), ("sink", &context.component)] {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if name.is_empty() || !name.chars().all(plain) {
                return Err(SinkError::Setup(format!(
                    "the {what}'s name \"{name}\" is part of a path in the store: letters, digits, - and _ only"
                )));
            }
        }
        let journal = Journal::new(Arc::clone(&store), &context);
        let memory = context.memory.claim("writers");
        let partitions = BTreeMap::new();
        Ok(ObjectStoreSink { config, context, store, journal, parts, partitions, tick: 0, memory })
    }

    /// Throws away what is staged; but for files that an entry may name, were it only by a request that is still on its
    /// way: those are swept when the store has moved on.
    async fn drop_staged(&mut self, partition: &TopicPartition) {
        let Some(owned) = self.partitions.remove(partition).filter(|owned| !owned.entry_tried) else {
            return;
        };
        for file in owned.open.into_values() {
            self.store.discard(&file.upload.staged, &file.upload.path).await;
        }
        for file in owned.sealed {
            self.store.discard(&file.staged, &file.path).await;
        }
    }

    fn owned(&mut self, partition: &TopicPartition) -> &mut Owned {
        self.partitions.get_mut(partition).expect("CN-1: a partition is opened before it is staged for")
    }

    /// Ends a file and makes it durable, out of sight.
    async fn seal(&mut self, partition: &TopicPartition, folder: &str) -> Result<(), SinkError> {
        let file = self.owned(partition).open.remove(folder).expect("the caller found it open");
        let place = sealed(Arc::clone(&self.store), file, CpuBudget::of_thread()).await?;
        self.owned(partition).sealed.push(place);
        Ok(())
    }

    /// Ends every open file of these partitions, as many at a time as there are processors: what is left to encode is
    /// most of a small file.
    async fn seal_all(&mut self, partitions: &[&TopicPartition]) -> Result<(), SinkError> {
        let mut waiting: Vec<(TopicPartition, OpenFile)> = Vec::new();
        for partition in partitions {
            // Until all of them are sealed, nothing staged can be used.
            self.owned(partition).broken = true;
            let open = std::mem::take(&mut self.owned(partition).open);
            waiting.extend(open.into_values().map(|file| ((*partition).clone(), file)));
        }
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        let mut running = JoinSet::new();
        let mut failed = None;
        loop {
            while running.len() < at_once
                && let Some((partition, file)) = waiting.pop()
            {
                let (store, cpu) = (Arc::clone(&self.store), CpuBudget::of_thread());
                running.spawn(async move { (partition, sealed(store, file, cpu).await) });
            }
            let Some(ended) = running.join_next().await else { break };
            match ended.map_err(|error| SinkError::transient(format!("sealing a file: {error}"))) {
                Ok((partition, Ok(place))) => self.owned(&partition).sealed.push(place),
                Ok((_, Err(error))) | Err(error) => failed = failed.or(Some(error)),
            }
        }
        for partition in partitions {
            let owned = self.owned(partition);
            owned.sealed.sort_by(|a, b| a.path.cmp(&b.path));
            owned.broken = failed.is_some();
        }
        failed.map_or(Ok(()), Err)
    }

    /// Closes the file that was written to longest ago, of any partition, when one more would be too many.
    async fn make_room(&mut self) -> Result<(), SinkError> {
        let open: usize = self.partitions.values().map(|owned| owned.open.len()).sum();
        if open < self.config.max_open_files as usize {
            return Ok(());
        }
        let oldest = self.partitions.iter().flat_map(|(partition, owned)| {
            owned.open.iter().map(move |(folder, file)| (file.tick, partition.clone(), folder.clone()))
        });
        let Some((_, partition, folder)) = oldest.min() else { return Ok(()) };
        let sealed = self.seal(&partition, &folder).await;
        if sealed.is_err() {
            self.owned(&partition).broken = true;
        }
        sealed
    }

    async fn write(
        &mut self,
        partition: &TopicPartition,
        folder: String,
        rows: &RecordBatch,
    ) -> Result<(), SinkError> {
        let schema = rows.schema();
        let other_schema =
            self.owned(partition).open.get(&folder).is_some_and(|file| *file.encoder.schema() != schema);
        if other_schema {
            self.seal(partition, &folder).await?;
        }
        if !self.owned(partition).open.contains_key(&folder) {
            self.make_room().await?;
            self.tick += 1;
            let (aside, instance, tick) = (self.journal.aside(partition), self.context.instance, self.tick);
            let owned = self.owned(partition);
            let from = owned.expected.unwrap_or(0);
            let seq = owned.begun;
            owned.begun += 1;
            let slash = if folder.is_empty() { "" } else { "/" };
            let path = format!("{folder}{slash}{partition}-{from:020}-{seq:04}.parquet");
            // A name of its own for each try: an entry that is still on its way may name the one before.
            let aside = format!("{aside}{from:020}-{instance:016x}-{tick}");
            let upload = self.store.begin(&path, &aside).await?;
            let encoder = Encoder::new(schema, &self.config.format).map_err(|error| encoding(&error))?;
            self.owned(partition).open.insert(folder.clone(), OpenFile { encoder, upload, tick: 0 });
        }
        self.tick += 1;
        let (tick, store) = (self.tick, Arc::clone(&self.store));
        let owned = self.owned(partition);
        let file = owned.open.get_mut(&folder).expect("opened above");
        file.tick = tick;
        file.encoder.write(rows).map_err(|error| encoding(&error))?;
        owned.largest = owned.largest.max(file.encoder.size());
        let bytes = file.encoder.take();
        if !bytes.is_empty() {
            store.append(&mut file.upload, bytes).await?;
        }
        Ok(())
    }

    /// Says what encoding holds.
    fn note_memory(&self) {
        let files = self.partitions.values().flat_map(|owned| owned.open.values());
        self.memory.set(files.map(|file| file.encoder.memory() as u64).sum());
    }

    /// Ends the largest row groups until encoding keeps within its memory.
    async fn bound_memory(&mut self) -> Result<(), SinkError> {
        let store = Arc::clone(&self.store);
        loop {
            let mut files: Vec<&mut OpenFile> =
                self.partitions.values_mut().flat_map(|owned| owned.open.values_mut()).collect();
            let total: usize = files.iter().map(|file| file.encoder.memory()).sum();
            self.memory.set(total as u64);
            let bound = match self.memory.is_short() {
                true => self.config.encode_memory.0 / SHORT_OF_MEMORY,
                false => self.config.encode_memory.0,
            };
            let largest = files.iter_mut().max_by_key(|file| file.encoder.memory());
            let Some(file) = largest.filter(|file| total as u64 > bound && file.encoder.memory() > 0) else {
                return Ok(());
            };
            let before = file.encoder.memory();
            file.encoder.end_row_group().map_err(|error| encoding(&error))?;
            let bytes = file.encoder.take();
            store.append(&mut file.upload, bytes).await?;
            if file.encoder.memory() >= before {
                // Nothing more to give back; the writers' own overhead is over the setting.
                return Ok(());
            }
        }
    }

    async fn commit_partition(&mut self, partition: &TopicPartition, next: Offset) -> Result<(), SinkError> {
        self.context.crash.reach("files_sealed")?;
        let instance = self.context.instance;
        let owned = self.owned(partition);
        let expected = owned.expected;
        // Without rows too the store says how far it has come: what lies before is then deleted from the topic.
        if owned.sealed.is_empty() && expected.unwrap_or(0) == next {
            return Ok(());
        }
        let entry = Entry {
            v: ENTRY_VERSION,
            instance,
            topic: partition.topic.to_string(),
            partition: partition.partition,
            from_offset: expected.unwrap_or(0),
            next_offset: next,
            files: owned.sealed.clone(),
        };
        let commits = owned.commits + 1;
        owned.entry_tried = true;
        let found = self.journal.create(partition, &entry).await?;
        if found != entry {
            let found = Some(found.next_offset);
            return Err(SinkError::Fenced { partition: partition.clone(), expected, found });
        }
        self.context.crash.reach("entry_created")?;
        for file in &entry.files {
            self.store.publish(file).await?;
            self.context.crash.reach("file_published")?;
        }
        self.context.crash.reach("files_published")?;
        if commits.is_multiple_of(FLOOR_EVERY) {
            self.journal.note_floor(partition, entry.from_offset).await?;
        }
        self.partitions
            .insert(partition.clone(), Owned { expected: Some(next), commits, ..Owned::default() });
        Ok(())
    }
}

/// Encodes the rest of a file, away from the tasks that wait for input and output, and makes it durable.
async fn sealed(store: Arc<dyn Store>, file: OpenFile, cpu: CpuBudget) -> Result<FilePlace, SinkError> {
    let OpenFile { mut encoder, mut upload, .. } = file;
    let rows = encoder.rows();
    let rest = tokio::task::spawn_blocking(move || {
        let _charged = cpu.enter();
        let mut bytes = encoder.take();
        bytes.extend(encoder.finish()?);
        Ok(bytes)
    });
    let rest = rest.await.map_err(|error| SinkError::transient(format!("encoding Parquet: {error}")))?;
    let rest = rest.map_err(|error| encoding(&error))?;
    let kept = match store.append(&mut upload, rest).await {
        Ok(()) => store.seal(&mut upload).await,
        failed => failed,
    };
    if let Err(error) = kept {
        store.discard(&upload.staged, &upload.path).await;
        return Err(error);
    }
    Ok(FilePlace { path: upload.path, rows, bytes: upload.bytes, staged: upload.staged })
}

fn encoding(error: &parquet::errors::ParquetError) -> SinkError {
    SinkError::Setup(format!("encoding Parquet: {error}"))
}

#[async_trait]
impl Sink for ObjectStoreSink {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities {
            delivery: Delivery::ExactlyOnce,
            deletes: false,
            keeps_offsets: true,
            crash_points: CRASH_POINTS,
        }
    }

    fn check(&self, columns: &Schema) -> Result<(), SinkError> {
        self.parts.iter().try_for_each(|part| part.check(columns)).map_err(SinkError::Setup)
    }

    async fn open(&mut self, partitions: &[TopicPartition]) -> Result<NextOffsets, SinkError> {
        let mut found = NextOffsets::new();
        for partition in partitions {
            let next = self.journal.recover(partition).await?;
            self.drop_staged(partition).await;
            self.partitions.insert(partition.clone(), Owned { expected: next, ..Owned::default() });
            found.insert(partition.clone(), next);
        }
        Ok(found)
    }

    async fn stage(&mut self, partition: &TopicPartition, batch: SinkBatch) -> Result<(), SinkError> {
        if batch.change() == Change::Delete {
            return Err(SinkError::Setup(
                "deleting rows: files only grow; send the pipeline's inserts here".to_owned(),
            ));
        }
        self.check(batch.rows().schema_ref())?;
        let now = self.context.now();
        if self.owned(partition).broken {
            return Err(SinkError::transient(format!(
                "staging for {partition}: an earlier step failed; open it again"
            )));
        }
        for (folder, indexes) in partition_by::split(&self.parts, batch.rows()) {
            let written = match indexes {
                None => self.write(partition, folder, batch.rows()).await,
                Some(indexes) => match arrow_select::take::take_record_batch(batch.rows(), &indexes) {
                    Ok(rows) => self.write(partition, folder, &rows).await,
                    Err(error) => Err(SinkError::Setup(format!("splitting rows by folder: {error}"))),
                },
            };
            if let Err(error) = written {
                // A part of the batch may be in a file: nothing staged for the partition can be used.
                self.owned(partition).broken = true;
                return Err(error);
            }
        }
        if let Err(error) = self.bound_memory().await {
            self.owned(partition).broken = true;
            return Err(error);
        }
        let owned = self.owned(partition);
        owned.last_offset = owned.last_offset.max(batch.last_offset());
        if batch.rows().num_rows() > 0 {
            owned.first_row_at.get_or_insert(now);
            owned.last_row_at = now;
        }
        Ok(())
    }

    fn due(&mut self, now: Millis) -> Vec<TopicPartition> {
        let roll = &self.config.roll;
        let due = |owned: &Owned| {
            owned.first_row_at.is_some_and(|first| {
                now - first >= roll.interval.0 as Millis
                    || now - owned.last_row_at >= roll.idle.0 as Millis
                    || owned.largest >= roll.size.0
            })
        };
        self.partitions
            .iter()
            .filter(|(_, owned)| due(owned))
            .map(|(partition, _)| partition.clone())
            .collect()
    }

    async fn commit(&mut self, next: &Offsets) -> Result<(), SinkError> {
        self.context.crash.reach("before_commit")?;
        for (partition, next) in next {
            let owned = self.owned(partition);
            if owned.broken {
                return Err(SinkError::transient(format!(
                    "committing {partition}: an earlier step failed; open it again"
                )));
            }
            assert!(
                owned.last_offset.is_none_or(|last| last < *next),
                "CN-1: a commit lies above what was staged"
            );
        }
        self.seal_all(&next.keys().collect::<Vec<_>>()).await?;
        for (partition, next) in next {
            self.commit_partition(partition, *next).await?;
        }
        self.note_memory();
        self.context.crash.reach("after_commit")?;
        Ok(())
    }

    async fn close(&mut self, partitions: &[TopicPartition]) -> Result<(), SinkError> {
        for partition in partitions {
            self.drop_staged(partition).await;
        }
        self.note_memory();
        Ok(())
    }
}
