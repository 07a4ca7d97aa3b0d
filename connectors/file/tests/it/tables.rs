//! CSV tables: types, keys, faults by line, change.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use millstream_connector::test_suite::{HandClock, context};
use millstream_connector::{CrashPoints, SourceError, Table};
use millstream_file::FileTable;

fn table(root: &Path, more: &str, declared: Option<SchemaRef>) -> FileTable {
    let config = serde_json::from_str(&format!(r#"{{"path":"stores.csv"{more}}}"#)).unwrap();
    FileTable::new(config, root.to_owned(), declared, context(&HandClock::new(0), CrashPoints::none()))
        .unwrap()
}

#[tokio::test]
async fn columns_are_inferred_or_declared() {
    let folder = tempfile::tempdir().unwrap();
    let text = "\u{feff}store_id,city,rent,opened,open\nS001,\"Pune, IN\",1200.50,2020-02-29,true\n002,Łódź,7,2021-01-01,false\n";
    std::fs::write(folder.path().join("stores.csv"), text).unwrap();
    let snapshot = table(folder.path(), r#","key":["store_id"]"#, None).load().await.unwrap();
    let types: Vec<_> = snapshot.schema.fields().iter().map(|field| field.data_type().clone()).collect();
    let expected =
        [DataType::Utf8, DataType::Utf8, DataType::Decimal128(18, 2), DataType::Date32, DataType::Boolean];
    assert_eq!(types, expected);
    assert_eq!(snapshot.batches[0].column(1).as_string::<i32>().value(0), "Pune, IN");
    let rents = snapshot.batches[0].column(2).as_primitive::<arrow_array::types::Decimal128Type>();
    assert_eq!(rents.values(), &[120_050, 700]);

    let declared = Schema::new(vec![Field::new("rent", DataType::Utf8, false)]);
    let snapshot = table(folder.path(), "", Some(Arc::new(declared))).load().await.unwrap();
    assert_eq!(snapshot.batches[0].column(2).as_string::<i32>().value(1), "7");
}

#[tokio::test]
async fn faults_are_told_by_line() {
    for (text, more, said) in [
        ("a,b\n1,2\n1,3\n", r#","key":["a"]"#, "line 3: the key is that of line 2"),
        ("a,b\n1,2\n1\n", "", "line 3"),
        ("a,a\n1,2\n", "", "line 1"),
        ("a,\n1,2\n", "", "line 1"),
        ("a,b\n1,2\n", r#","key":["c"]"#, "\"c\", which `key` names"),
        ("a,b\n1,2\n", r#","max_size":"5B""#, "raise `max_size`"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("stores.csv"), text).unwrap();
        match table(folder.path(), more, None).load().await {
            Err(SourceError::Setup(what)) => assert!(what.contains(said), "{what}"),
            other => panic!("{text:?} gave {other:?}"),
        }
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(table(folder.path(), "", None).load().await, Err(SourceError::Setup(_))));
    std::fs::write(folder.path().join("stores.csv"), "a\nx\n").unwrap();
    let declared: SchemaRef = Arc::new(Schema::new(vec![Field::new("b", DataType::Utf8, true)]));
    assert!(table(folder.path(), "", Some(declared)).load().await.is_err());
    let declared: SchemaRef = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    assert!(table(folder.path(), "", Some(declared)).load().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_change_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stores.csv");
    std::fs::write(&path, "a\n1\n").unwrap();
    let mut table = table(folder.path(), "", None);
    let first = table.load().await.unwrap();
    std::fs::write(&path, "a\n1\n2\n").unwrap();
    table.changed().await.unwrap();
    let second = table.load().await.unwrap();
    assert_eq!(second.batches[0].num_rows(), 2);
    assert_ne!(first.version, second.version);
}
