//! The conformance suite over a folder and over a store with multipart uploads.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type, TimestampMillisecondType};
use bytes::Bytes;
use futures_util::TryStreamExt;
use millstream_connector::test_suite::sink::{SeenRow, SinkFixture, check_sink};
use millstream_connector::test_suite::{HandClock, Need, context};
use millstream_connector::{CrashPoints, Sink, async_trait};
use millstream_object_store::store::local::LocalStore;
use millstream_object_store::store::remote::{Multipart, RemoteStore};
use millstream_object_store::{ObjectStoreSink, ObjectStoreSinkConfig, store};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Where the suite's files are.
pub enum Target {
    Folder(tempfile::TempDir),
    Objects(Arc<dyn Multipart>, String),
}

pub struct Fixture {
    pub target: Target,
    pub clock: Arc<HandClock>,
    pub round: usize,
    pub more: &'static str,
}

pub fn config(more: &str) -> ObjectStoreSinkConfig {
    serde_json::from_str(&format!(r#"{{"url":"unused","partition_by":["day(at)"]{more}}}"#)).unwrap()
}

/// What a reader of Parquet folders finds: every `.parquet` that is not under a name with `_`.
pub fn files_in(folder: &Path) -> Vec<(String, Bytes)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with('_') {
            continue;
        }
        if path.is_dir() {
            found
                .extend(files_in(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            found.push((name, std::fs::read(&path).unwrap().into()));
        }
    }
    found.sort();
    found
}

async fn objects(store: &dyn Multipart, prefix: &str) -> Vec<(String, Bytes)> {
    let under = object_store::path::Path::from(prefix);
    let listed: Vec<_> = store.list(Some(&under)).try_collect().await.unwrap();
    let mut found = Vec::new();
    for object in listed {
        let name = object.location.to_string();
        if !name.contains("/_") {
            let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
            found.push((name, bytes));
        }
    }
    found
}

pub fn rows_of(files: Vec<(String, Bytes)>) -> Vec<SeenRow> {
    let mut rows = Vec::new();
    for (name, bytes) in files {
        assert!(name.ends_with(".parquet"), "{name}");
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        for batch in reader {
            let batch = batch.unwrap();
            let column = |name: &str| batch.column_by_name(name).unwrap();
            for row in 0..batch.num_rows() {
                let at_ms = column("at").as_primitive::<TimestampMillisecondType>().value(row);
                let day = millstream_connector::cell::date_text(at_ms.div_euclid(86_400_000) as i32);
                assert!(name.contains(&format!("at_day={day}/")), "{name} holds a row of {day}");
                let note = column("note").as_string::<i32>();
                rows.push(SeenRow {
                    id: column("id").as_string::<i32>().value(row).to_owned(),
                    n: column("n").as_primitive::<Int64Type>().value(row),
                    amount_cents: column("amount").as_primitive::<Decimal128Type>().value(row) as i64,
                    at_ms,
                    note: arrow_array::Array::is_valid(note, row).then(|| note.value(row).to_owned()),
                });
            }
        }
    }
    rows
}

impl Fixture {
    fn store(&self) -> Arc<dyn store::Store> {
        match &self.target {
            Target::Folder(folder) => Arc::new(LocalStore::new(folder.path().join("lake"))),
            Target::Objects(store, prefix) => {
                let prefix = format!("{prefix}-{}/lake", self.round);
                Arc::new(RemoteStore::new(Arc::clone(store), prefix.into(), 5 << 20))
            }
        }
    }
}

#[async_trait]
impl SinkFixture for Fixture {
    async fn reset(&mut self) {
        self.round += 1;
        if let Target::Folder(folder) = &mut self.target {
            *folder = tempfile::tempdir().unwrap();
        }
    }

    fn can(&self, _need: Need) -> bool {
        false
    }

    async fn sink(&mut self, crash: CrashPoints) -> Box<dyn Sink> {
        let context = context(&self.clock, crash);
        Box::new(ObjectStoreSink::with_store(config(self.more), self.store(), context).unwrap())
    }

    async fn rows(&mut self) -> Vec<SeenRow> {
        let files = match &self.target {
            Target::Folder(folder) => files_in(&folder.path().join("lake")),
            Target::Objects(store, prefix) => {
                objects(store.as_ref(), &format!("{prefix}-{}/lake", self.round)).await
            }
        };
        rows_of(files)
    }
}

pub async fn run(target: Target, more: &'static str) {
    let mut fixture = Fixture { target, clock: HandClock::new(1_772_446_530_250), round: 0, more };
    let tally = check_sink(&mut fixture).await;
    assert!(tally.passed >= 40, "{tally:?}");
}

#[tokio::test]
async fn a_folder_conforms() {
    run(Target::Folder(tempfile::tempdir().unwrap()), "").await;
}

#[tokio::test]
async fn a_folder_conforms_with_one_open_file() {
    run(Target::Folder(tempfile::tempdir().unwrap()), r#","max_open_files":1"#).await;
}

#[tokio::test]
async fn a_store_with_uploads_conforms() {
    run(Target::Objects(Arc::new(InMemory::new()), "memory".into()), "").await;
}
