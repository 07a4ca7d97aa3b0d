//! A store whose answers get lost, requests that arrive late, uploads that are gone: the worker's rule (open again after
//! a transient failure) leads to each row once, or to an error that says what is wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow_array::{Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use millstream_connector::test_suite::{HandClock, context};
use millstream_connector::{Change, CrashPoints, Sink, SinkBatch, SinkError, async_trait};
use millstream_object_store::store::remote::RemoteStore;
use millstream_object_store::store::{Created, Store, Upload};
use millstream_object_store::{FilePlace, ObjectStoreSink};
use millstream_types::{Rng, SeededRng, TopicPartition};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::multipart::MultipartStore;

use crate::suite::config;

/// Fails calls by a plan: each call's number is drawn; some fail before they act, some after.
struct Lossy {
    inner: RemoteStore,
    calls: AtomicU64,
    seed: u64,
    per_thousand: u64,
}

enum Fate {
    Works,
    LostBefore,
    LostAfter,
}

impl Lossy {
    fn fate(&self) -> Fate {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let mut rng = SeededRng::new(self.seed.wrapping_mul(1_000_003) + call);
        if !rng.chance(self.per_thousand, 1_000) {
            return Fate::Works;
        }
        if rng.chance(1, 2) { Fate::LostBefore } else { Fate::LostAfter }
    }
}

fn lost<T>() -> Result<T, SinkError> {
    Err(SinkError::transient("the connection was lost"))
}

macro_rules! lossy {
    ($self:ident, $call:expr) => {
        match $self.fate() {
            Fate::Works => $call.await,
            Fate::LostBefore => lost(),
            Fate::LostAfter => {
                $call.await?;
                lost()
            }
        }
    };
}

#[async_trait]
impl Store for Lossy {
    async fn begin(&self, path: &str, aside: &str) -> Result<Upload, SinkError> {
        lossy!(self, self.inner.begin(path, aside))
    }
    async fn append(&self, upload: &mut Upload, bytes: Vec<u8>) -> Result<(), SinkError> {
        lossy!(self, self.inner.append(upload, bytes))
    }
    async fn seal(&self, upload: &mut Upload) -> Result<(), SinkError> {
        lossy!(self, self.inner.seal(upload))
    }
    async fn publish(&self, file: &FilePlace) -> Result<(), SinkError> {
        lossy!(self, self.inner.publish(file))
    }
    async fn discard(&self, staged: &millstream_object_store::Staged, path: &str) {
        self.inner.discard(staged, path).await;
    }
    async fn create(&self, folder: &str, name: &str, content: Bytes) -> Result<Created, SinkError> {
        lossy!(self, self.inner.create(folder, name, content))
    }
    async fn overwrite(&self, folder: &str, name: &str, content: Bytes) -> Result<(), SinkError> {
        lossy!(self, self.inner.overwrite(folder, name, content))
    }
    async fn read(&self, folder: &str, name: &str) -> Result<Option<Bytes>, SinkError> {
        lossy!(self, self.inner.read(folder, name))
    }
    async fn list(&self, folder: &str, after: &str) -> Result<Vec<String>, SinkError> {
        lossy!(self, self.inner.list(folder, after))
    }
    async fn remove(&self, folder: &str, name: &str) -> Result<(), SinkError> {
        lossy!(self, self.inner.remove(folder, name))
    }
    async fn sweep(&self, prefix: &str, below: &str) -> Result<(), SinkError> {
        self.inner.sweep(prefix, below).await
    }
}

pub fn rows(from: i64, n: i64) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("n", DataType::Int64, false),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
    ]);
    let at = TimestampMillisecondArray::from_iter_values((from..from + n).map(|i| i / 4 * 86_400_000));
    let values = Int64Array::from_iter_values(from..from + n);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(values), Arc::new(at.with_timezone("UTC"))]).unwrap()
}

fn tp() -> TopicPartition {
    TopicPartition::new("unique", 0)
}

async fn seen(store: &InMemory) -> Vec<i64> {
    use arrow_array::cast::AsArray;
    use futures_util::TryStreamExt;
    let listed: Vec<_> = object_store::ObjectStore::list(store, None).try_collect().await.unwrap();
    let mut seen = Vec::new();
    for object in listed.iter().filter(|object| object.location.as_ref().ends_with(".parquet")) {
        let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
        let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes)
            .unwrap()
            .build()
            .unwrap();
        for batch in reader {
            let batch = batch.unwrap();
            seen.extend(batch.column(0).as_primitive::<arrow_array::types::Int64Type>().values());
        }
    }
    seen.sort_unstable();
    seen
}

#[tokio::test]
async fn lost_answers_lose_and_double_nothing() {
    const ROWS: i64 = 120;
    for seed in 0..60u64 {
        let memory = Arc::new(InMemory::new());
        let inner = RemoteStore::new(Arc::clone(&memory) as _, "lake".into(), 5 << 20);
        let store = Arc::new(Lossy { inner, calls: AtomicU64::new(0), seed, per_thousand: 80 });
        let clock = HandClock::new(0);
        let new_sink = || {
            ObjectStoreSink::with_store(
                config(""),
                Arc::clone(&store) as _,
                context(&clock, CrashPoints::none()),
            )
        };
        let mut rng = SeededRng::new(seed);
        let mut sink = new_sink().unwrap();
        let mut offset = None;
        let mut failures = 0;
        loop {
            let Some(at) = offset else {
                // Now and then the process dies too.
                if rng.chance(1, 4) {
                    sink = new_sink().unwrap();
                }
                match sink.open(&[tp()]).await {
                    Ok(found) => offset = Some(found[&tp()].unwrap_or(0)),
                    Err(SinkError::Transient { .. }) => failures += 1,
                    Err(other) => panic!("seed {seed}: {other}"),
                }
                continue;
            };
            if at >= ROWS {
                break;
            }
            let n = (1 + rng.below(9) as i64).min(ROWS - at);
            let staged = sink.stage(&tp(), SinkBatch::one_row_each(rows(at, n), Change::Upsert, at)).await;
            let result = match staged {
                Ok(()) if rng.chance(1, 3) || at + n == ROWS => sink.commit(&[(tp(), at + n)].into()).await,
                other => other,
            };
            match result {
                Ok(()) => offset = Some(at + n),
                // Its own entry whose answer was lost, found by a later try, reads as another owner's.
                Err(SinkError::Transient { .. } | SinkError::Fenced { .. }) => {
                    failures += 1;
                    offset = None;
                }
                Err(other) => panic!("seed {seed}: {other}"),
            }
        }
        assert_eq!(seen(&memory).await, (0..ROWS).collect::<Vec<_>>(), "seed {seed}, {failures} failures");
    }
}

/// A store in which the first request for an entry is lost on the way and arrives later.
struct Late {
    inner: RemoteStore,
    lost: AtomicBool,
    late: std::sync::Mutex<Option<(String, String, Bytes)>>,
}

#[async_trait]
impl Store for Late {
    async fn begin(&self, path: &str, aside: &str) -> Result<Upload, SinkError> {
        self.inner.begin(path, aside).await
    }
    async fn append(&self, upload: &mut Upload, bytes: Vec<u8>) -> Result<(), SinkError> {
        self.inner.append(upload, bytes).await
    }
    async fn seal(&self, upload: &mut Upload) -> Result<(), SinkError> {
        self.inner.seal(upload).await
    }
    async fn publish(&self, file: &FilePlace) -> Result<(), SinkError> {
        self.inner.publish(file).await
    }
    async fn discard(&self, staged: &millstream_object_store::Staged, path: &str) {
        self.inner.discard(staged, path).await;
    }
    async fn create(&self, folder: &str, name: &str, content: Bytes) -> Result<Created, SinkError> {
        if !self.lost.swap(true, Ordering::SeqCst) {
            *self.late.lock().unwrap() = Some((folder.to_owned(), name.to_owned(), content));
            return lost();
        }
        let late = self.late.lock().unwrap().take();
        if let Some((folder, name, content)) = late {
            self.inner.create(&folder, &name, content).await?;
        }
        self.inner.create(folder, name, content).await
    }
    async fn overwrite(&self, folder: &str, name: &str, content: Bytes) -> Result<(), SinkError> {
        self.inner.overwrite(folder, name, content).await
    }
    async fn read(&self, folder: &str, name: &str) -> Result<Option<Bytes>, SinkError> {
        self.inner.read(folder, name).await
    }
    async fn list(&self, folder: &str, after: &str) -> Result<Vec<String>, SinkError> {
        self.inner.list(folder, after).await
    }
    async fn remove(&self, folder: &str, name: &str) -> Result<(), SinkError> {
        self.inner.remove(folder, name).await
    }
    async fn sweep(&self, prefix: &str, below: &str) -> Result<(), SinkError> {
        self.inner.sweep(prefix, below).await
    }
}

#[tokio::test]
async fn an_entry_that_arrives_late_still_finds_its_files() {
    let memory = Arc::new(InMemory::new());
    let inner = RemoteStore::new(Arc::clone(&memory) as _, "lake".into(), 5 << 20);
    let store = Arc::new(Late { inner, lost: AtomicBool::new(false), late: Default::default() });
    let mut sink =
        ObjectStoreSink::with_store(config(""), store, context(&HandClock::new(0), CrashPoints::none()))
            .unwrap();
    let batch = |from, n| SinkBatch::one_row_each(rows(from, n), Change::Upsert, from);
    sink.open(&[tp()]).await.unwrap();
    sink.stage(&tp(), batch(0, 5)).await.unwrap();
    assert!(matches!(sink.commit(&[(tp(), 5)].into()).await, Err(SinkError::Transient { .. })));
    assert_eq!(sink.open(&[tp()]).await.unwrap()[&tp()], None, "nothing has arrived");
    sink.stage(&tp(), batch(0, 3)).await.unwrap();
    // The first entry arrives just before the second.
    assert!(matches!(sink.commit(&[(tp(), 3)].into()).await, Err(SinkError::Fenced { .. })));
    assert_eq!(sink.open(&[tp()]).await.unwrap()[&tp()], Some(5));
    sink.stage(&tp(), batch(5, 2)).await.unwrap();
    sink.commit(&[(tp(), 7)].into()).await.unwrap();
    assert_eq!(seen(&memory).await, (0..7).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_upload_that_is_gone_stops_loudly() {
    let memory = Arc::new(InMemory::new());
    let store = || Arc::new(RemoteStore::new(Arc::clone(&memory) as _, "lake".into(), 5 << 20));
    let clock = HandClock::new(0);
    let crash = CrashPoints::at("entry_created");
    let mut sink = ObjectStoreSink::with_store(config(""), store(), context(&clock, crash)).unwrap();
    sink.open(&[tp()]).await.unwrap();
    sink.stage(&tp(), SinkBatch::one_row_each(rows(0, 5), Change::Upsert, 0)).await.unwrap();
    assert!(matches!(sink.commit(&[(tp(), 5)].into()).await, Err(SinkError::Crashed(_))));
    // The bucket's rule ends every upload; this store numbers them.
    for id in 0..100 {
        let _ = memory.abort_multipart(&"any".into(), &id.to_string()).await;
    }
    let mut next =
        ObjectStoreSink::with_store(config(""), store(), context(&clock, CrashPoints::none())).unwrap();
    match next.open(&[tp()]).await {
        Err(SinkError::Setup(what) | SinkError::Transient { what, .. }) => {
            assert!(what.contains("completing the upload"), "{what}");
        }
        other => panic!("{other:?}"),
    }
}
