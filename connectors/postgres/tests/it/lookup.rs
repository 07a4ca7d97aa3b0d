//! A table that is asked for the rows of keys: of every type, by any key, over an outage.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use millstream_connector::test_suite::{HandClock, context};
use millstream_connector::{CrashPoints, Lookup, SourceError};
use millstream_postgres::{PostgresLookup, PostgresTableConfig};

use crate::cluster::Cluster;

fn config(dsn: &str, table: &str, key: &[&str]) -> PostgresTableConfig {
    let json = serde_json::json!({ "dsn": dsn, "table": table, "key": key, "statement_timeout": "2s" });
    serde_json::from_value(json).unwrap()
}

fn field(name: &str, kind: DataType) -> Field {
    Field::new(name, kind, true)
}

fn customers(dsn: &str) -> PostgresLookup {
    let columns = Schema::new(vec![
        field("id", DataType::Int64),
        field("region", DataType::Utf8),
        field("limit", DataType::Decimal128(18, 2)),
        field("since", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        field("born", DataType::Date32),
        field("blocked", DataType::Boolean),
        field("score", DataType::Float64),
        field("seal", DataType::Binary),
        field("tags", DataType::List(Arc::new(field("item", DataType::Utf8)))),
        field("note", DataType::Utf8),
    ]);
    let config = config(dsn, "crm.customers", &["id", "region"]);
    PostgresLookup::new(config, &Arc::new(columns), context(&HandClock::new(0), CrashPoints::none())).unwrap()
}

async fn rows(lookup: &mut PostgresLookup, keys: serde_json::Value) -> Vec<serde_json::Value> {
    let found = lookup.find(&keys.to_string()).await.unwrap();
    let mut rows: Vec<serde_json::Value> =
        found.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
    rows.sort_by_key(|row| row["note"].as_str().map(str::to_owned));
    rows
}

#[tokio::test]
async fn rows_of_keys() {
    let Some(mut cluster) = Cluster::start() else { return };
    let client = cluster.client().await;
    client
        .batch_execute(
            "CREATE SCHEMA crm; CREATE TABLE crm.customers (id int, region varchar(40), \"limit\" numeric, since timestamp,
             born date, blocked boolean, score real, seal bytea, tags text[], note text, PRIMARY KEY (id, region));
             INSERT INTO crm.customers VALUES
             (1, 'north', 100.50, '2026-01-02 03:04:05.678', '1990-05-06', true, 0.5, '\\x00ff', '{a,\"b c\"}', NULL),
             (1, 'o''south\"', -0.01, NULL, NULL, NULL, NULL, NULL, NULL, 'two words'),
             (2, 'north', NULL, NULL, NULL, false, NULL, NULL, '{}', '')",
        )
        .await
        .unwrap();
    let mut lookup = customers(&cluster.dsn());
    let asked = serde_json::json!([
        { "id": 1, "region": "north" }, { "id": 1, "region": "o'south\"" }, { "id": 3, "region": "north" },
        { "id": 2, "region": "'; DROP TABLE crm.customers; --" },
    ]);
    let found = rows(&mut lookup, asked).await;
    assert_eq!(
        found,
        [
            serde_json::json!({ "id": 1, "region": "north", "limit": 100.50, "since": "2026-01-02T03:04:05.678+00:00",
                "born": "1990-05-06", "blocked": true, "score": 0.5, "seal": "AP8=", "tags": ["a", "b c"], "note": null }),
            serde_json::json!({ "id": 1, "region": "o'south\"", "limit": -0.01, "since": null, "born": null,
                "blocked": null, "score": null, "seal": null, "tags": null, "note": "two words" }),
        ]
    );
    assert_eq!(rows(&mut lookup, serde_json::json!([])).await.len(), 0);
    // What is long is not broken into lines.
    client
        .batch_execute("UPDATE crm.customers SET seal = repeat('x', 500)::bytea WHERE id = 2")
        .await
        .unwrap();
    let found = rows(&mut lookup, serde_json::json!([{ "id": 2, "region": "north" }])).await;
    assert_eq!(found[0]["seal"].as_str().map(|text| (text.len(), text.contains('\n'))), Some((668, false)));
    assert_eq!(found[0]["tags"], serde_json::json!([]));

    // What a person must change is told.
    let missing = Arc::new(Schema::new(vec![field("id", DataType::Int64), field("colour", DataType::Utf8)]));
    let asking = |table: &str| {
        let config = config(&cluster.dsn(), table, &["id"]);
        PostgresLookup::new(config, &missing, context(&HandClock::new(0), CrashPoints::none())).unwrap()
    };
    for (table, part) in [("crm.customers", "colour"), ("crm.nobody", "nobody")] {
        match asking(table).find("[{\"id\":1}]").await {
            Err(SourceError::Setup(text)) => assert!(text.contains(part), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    let of_bytes = Arc::new(Schema::new(vec![field("id", DataType::Binary)]));
    for (dsn, columns) in [("mysql://x/y", &missing), ("postgres://", &missing), (&cluster.dsn(), &of_bytes)]
    {
        let of = config(dsn, "crm.customers", &["id"]);
        let made = PostgresLookup::new(of, columns, context(&HandClock::new(0), CrashPoints::none()));
        assert!(matches!(made, Err(SourceError::Setup(_))), "{dsn}");
    }
    let of_none = config(&cluster.dsn(), "crm.customers", &["nothing"]);
    assert!(
        PostgresLookup::new(of_none, &missing, context(&HandClock::new(0), CrashPoints::none())).is_err()
    );

    // It only reads.
    client
        .batch_execute("CREATE FUNCTION crm.writes() RETURNS int LANGUAGE sql VOLATILE AS 'INSERT INTO crm.customers (id, region) VALUES (9, ''x'') RETURNING id';
                        CREATE VIEW crm.sly AS SELECT crm.writes() AS id, 'x' AS colour")
        .await
        .unwrap();
    assert!(asking("crm.sly").find("[{\"id\":9}]").await.is_err());

    // An outage passes by itself.
    cluster.down();
    match lookup.find("[{\"id\":1,\"region\":\"north\"}]").await {
        Err(SourceError::Transient { .. }) => {}
        other => panic!("{other:?}"),
    }
    cluster.up();
    assert_eq!(rows(&mut lookup, serde_json::json!([{ "id": 2, "region": "north" }])).await.len(), 1);
}
