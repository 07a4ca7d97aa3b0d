//! Settings, the table that the sink makes itself, and failures that are not a row's.

use std::sync::Arc;

use arrow_array::{Decimal128Array, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use millstream_connector::test_suite::{HandClock, context};
use millstream_connector::{Change, CrashPoints, Kind, Sink, SinkBatch, SinkError};
use millstream_sqlite::{Row, SqlValue, SqliteSink, SqliteSinkConfig, read_table, schema};
use millstream_types::TopicPartition;
use rusqlite::Connection;

fn sink(path: &std::path::Path, more: &str) -> SqliteSink {
    let config =
        format!(r#"{{"path":{path:?},"table":"revenue","key":["store"],"busy_timeout":"0ms"{more}}}"#);
    let config: SqliteSinkConfig = serde_json::from_str(&config).unwrap();
    SqliteSink::new(config, context(&HandClock::new(5_000), CrashPoints::none())).unwrap()
}

fn rows(values: &[(&str, i128, u64)]) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("store", DataType::Utf8, false),
        Field::new("revenue", DataType::Decimal128(18, 2), true),
        Field::new("big", DataType::UInt64, true),
    ]);
    let decimals = Decimal128Array::from_iter_values(values.iter().map(|row| row.1));
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(StringArray::from_iter_values(values.iter().map(|row| row.0))),
            Arc::new(decimals.with_precision_and_scale(18, 2).unwrap()),
            Arc::new(UInt64Array::from_iter_values(values.iter().map(|row| row.2))),
        ],
    )
    .unwrap()
}

fn tp() -> TopicPartition {
    TopicPartition::new("revenue", 0)
}

#[tokio::test]
async fn a_table_is_read_back_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    assert_eq!(read_table(&path, "revenue").unwrap(), Vec::<Row>::new(), "nothing was written");
    let mut sink = sink(&path, "");
    sink.open(&[tp()]).await.unwrap();
    assert_eq!(read_table(&path, "revenue").unwrap(), Vec::<Row>::new(), "there is no table yet");
    let batch = rows(&[("S1", 5, 1), ("S\"2", -5, 2)]);
    sink.stage(&tp(), SinkBatch::one_row_each(batch, Change::Upsert, 0)).await.unwrap();
    sink.commit(&[(tp(), 2)].into()).await.unwrap();
    let row = |store: &str, revenue: &str, big: i64| {
        let text = |text: &str| SqlValue::Text(text.to_owned());
        let cells = [("store", text(store)), ("revenue", text(revenue)), ("big", SqlValue::Integer(big))];
        cells.map(|(name, value)| (name.to_owned(), value)).to_vec()
    };
    assert_eq!(read_table(&path, "revenue").unwrap(), [row("S1", "0.05", 1), row("S\"2", "-0.05", 2)]);
    std::fs::write(folder.path().join("b.db"), "no database at all, and too long to be an empty one")
        .unwrap();
    let error = read_table(&folder.path().join("b.db"), "revenue").unwrap_err();
    assert!(error.to_string().contains("reading the table revenue of "), "{error}");
}

#[tokio::test]
async fn the_table_is_made_and_decimals_stay_exact() {
    for (more, expected) in
        [("", "90071992547409.93"), (r#","decimals":"scaled_integer""#, "9007199254740993")]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut sink = sink(&path, more);
        sink.open(&[tp()]).await.unwrap();
        let batch = rows(&[("S1", 1, 1), ("S1", 9_007_199_254_740_993, 2)]);
        sink.stage(&tp(), SinkBatch::one_row_each(batch, Change::Upsert, 7)).await.unwrap();
        // The first rows do not wait; those behind them do, until the interval is over.
        assert_eq!(sink.due(5_000), [tp()]);
        sink.commit(&[(tp(), 9)].into()).await.unwrap();
        assert_eq!(sink.due(60_000), []);
        assert_eq!(sink.due(60_100), []);
        let seen: Vec<(String, String)> = Connection::open(&path)
            .unwrap()
            .prepare("SELECT store, CAST(revenue AS TEXT) FROM revenue")
            .unwrap()
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        assert_eq!(seen, [("S1".to_owned(), expected.to_owned())]);
    }
}

#[tokio::test]
async fn a_locked_database_passes_by_itself_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let mut sink = sink(&path, "");
    sink.open(&[tp()]).await.unwrap();
    sink.stage(&tp(), SinkBatch::one_row_each(rows(&[("S1", 1, 1)]), Change::Upsert, 0)).await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let next = [(tp(), 1)].into();
    assert!(matches!(sink.commit(&next).await, Err(SinkError::Transient { .. })));
    other.execute_batch("ROLLBACK").unwrap();
    sink.commit(&next).await.unwrap();
    assert_eq!(sink.open(&[tp()]).await.unwrap(), [(tp(), Some(1))].into());
}

#[tokio::test]
async fn a_number_beyond_64_bits_is_that_rows_fault() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = sink(&folder.path().join("a.db"), "");
    sink.open(&[tp()]).await.unwrap();
    let batch = rows(&[("S1", 1, 1), ("S2", 1, u64::MAX)]);
    sink.stage(&tp(), SinkBatch::one_row_each(batch, Change::Upsert, 3)).await.unwrap();
    match sink.commit(&[(tp(), 5)].into()).await {
        Err(SinkError::Data(faults)) => assert_eq!((faults.len(), faults[0].row.offset), (1, 4)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_a_person_must_change_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE revenue (store TEXT, revenue TEXT)")
        .unwrap();
    let mut no_index = sink(&path, "");
    no_index.open(&[tp()]).await.unwrap();
    no_index.stage(&tp(), SinkBatch::one_row_each(rows(&[("S1", 1, 1)]), Change::Upsert, 0)).await.unwrap();
    assert!(matches!(no_index.commit(&[(tp(), 1)].into()).await, Err(SinkError::Setup(_))));

    let mut no_folder = sink(&folder.path().join("none/a.db"), "");
    assert!(matches!(no_folder.open(&[tp()]).await, Err(SinkError::Setup(_))));

    for (json, said) in [
        (r#"{"path":"a","table":"t"}"#, "`key`"),
        (r#"{"path":"a","table":"_millstream_offsets","key":["a"]}"#, "bookkeeping"),
    ] {
        let config: SqliteSinkConfig = serde_json::from_str(json).unwrap();
        let error = SqliteSink::new(config, context(&HandClock::new(0), CrashPoints::none())).err().unwrap();
        assert!(error.to_string().contains(said), "{error}");
    }
    for (json, said) in [
        (r#"{"table":"t"}"#, "missing field `path`"),
        (r#"{"path":"a","table":"t","tabel":"x"}"#, "unknown field `tabel`"),
        (r#"{"path":"a","table":"t","commit_interval":"1ms"}"#, "10ms to 10m"),
        (r#"{"path":"a","table":"t","mode":"merge"}"#, "upsert, insert"),
    ] {
        let error = serde_json::from_str::<SqliteSinkConfig>(json).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn the_schema_follows_from_the_struct() {
    let schema = schema();
    let field = |name: &str| schema.fields.iter().find(|field| field.name == name).unwrap().clone();
    assert!(field("path").required);
    assert_eq!(field("mode").kind, Kind::Choice(&["upsert", "insert"]));
    assert_eq!(field("commit_interval").default.as_deref(), Some("1s"));
    assert_eq!(field("max_staged").default.as_deref(), Some("64MiB"));
    assert!(schema.fields.iter().all(|field| !field.doc.is_empty()));
}
