//! An outage in the middle, a concurrent zombie that holds its transaction, tables that the sink makes, what a person
//! must change, and secrets in errors.

use std::sync::Arc;

use arrow_array::{Decimal128Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use millstream_connector::test_suite::{HandClock, context};
use millstream_connector::{Change, CrashPoints, Sink, SinkBatch, SinkError};
use millstream_postgres::{PostgresSink, PostgresSinkConfig};
use millstream_types::TopicPartition;

use crate::cluster::Cluster;

fn sink(dsn: &str, more: &str) -> PostgresSink {
    let config = format!(r#"{{"dsn":"{dsn}","table":"revenue","key":["store"]{more}}}"#);
    let config: PostgresSinkConfig = serde_json::from_str(&config).unwrap();
    PostgresSink::new(config, context(&HandClock::new(0), CrashPoints::none())).unwrap()
}

fn rows(stores: &[&str]) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("store", DataType::Utf8, false),
        Field::new("revenue", DataType::Decimal128(38, 2), false),
        Field::new("n", DataType::Int64, false),
    ]);
    let n = stores.len() as i64;
    let revenue =
        Decimal128Array::from_iter_values((0..n).map(|i| 12_345_678_901_234_567_890_123_456 + i as i128));
    RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(StringArray::from(stores.to_vec())),
            Arc::new(revenue.with_precision_and_scale(38, 2).unwrap()),
            Arc::new(Int64Array::from_iter_values(0..n)),
        ],
    )
    .unwrap()
}

fn tp() -> TopicPartition {
    TopicPartition::new("revenue", 0)
}

fn batch(stores: &[&str], from: i64) -> SinkBatch {
    SinkBatch::one_row_each(rows(stores), Change::Upsert, from)
}

/// One server for all of these: starting it takes longer than they do.
#[tokio::test]
async fn failures() {
    let Some(mut cluster) = Cluster::start() else { return };
    a_table_is_made_and_bad_rows_are_named(&cluster).await;
    a_zombie_that_holds_its_transaction_loses_or_wins_alone(&cluster).await;
    what_a_person_must_change(&cluster).await;
    an_outage_is_waited_out(&mut cluster).await;
}

async fn a_table_is_made_and_bad_rows_are_named(cluster: &Cluster) {
    let mut sink = sink(&cluster.dsn(), "");
    sink.open(&[tp()]).await.unwrap();
    // A NUL is text that PostgreSQL cannot hold: found among others by halving.
    let stores: Vec<String> =
        (0..100).map(|i| if i % 40 == 7 { format!("a\0{i}") } else { format!("S{i}") }).collect();
    let stores: Vec<&str> = stores.iter().map(String::as_str).collect();
    sink.stage(&tp(), batch(&stores, 1_000)).await.unwrap();
    match sink.commit(&[(tp(), 1_100)].into()).await {
        Err(SinkError::Data(faults)) => {
            let offsets: Vec<i64> = faults.iter().map(|fault| fault.row.offset).collect();
            assert_eq!(offsets, [1_007, 1_047, 1_087]);
        }
        other => panic!("{other:?}"),
    }
    // The same connection goes on.
    sink.stage(&tp(), batch(&["S1", "S2", "S1"], 1_000)).await.unwrap();
    sink.commit(&[(tp(), 1_003)].into()).await.unwrap();
    let client = cluster.client().await;
    let rows = client.query("SELECT store, revenue::text FROM revenue ORDER BY store", &[]).await.unwrap();
    let seen: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected = [("S1", "123456789012345678901234.58"), ("S2", "123456789012345678901234.57")];
    assert_eq!(seen, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    client.batch_execute("DROP TABLE revenue; TRUNCATE _millstream_offsets").await.unwrap();
}

async fn a_zombie_that_holds_its_transaction_loses_or_wins_alone(cluster: &Cluster) {
    let (mut a, mut b) = (sink(&cluster.dsn(), ""), sink(&cluster.dsn(), ""));
    for round in 0..10i64 {
        let from = a.open(&[tp()]).await.unwrap()[&tp()].unwrap_or(0);
        assert_eq!(b.open(&[tp()]).await.unwrap()[&tp()].unwrap_or(0), from);
        a.stage(&tp(), batch(&["A", "X"], from)).await.unwrap();
        b.stage(&tp(), batch(&["B", "X"], from)).await.unwrap();
        let next = [(tp(), from + 2)].into();
        let (in_a, in_b) = tokio::join!(a.commit(&next), b.commit(&next));
        let lost = |result: &Result<(), SinkError>| {
            matches!(result, Err(SinkError::Fenced { .. } | SinkError::Transient { .. }))
        };
        let one = (in_a.is_ok() && lost(&in_b)) || (in_b.is_ok() && lost(&in_a));
        // Both may make the table in the first round, and then neither has committed.
        let none = round == 0 && lost(&in_a) && lost(&in_b);
        assert!(one || none, "round {round}: {in_a:?} {in_b:?}");
    }
    cluster.client().await.batch_execute("DROP TABLE revenue; TRUNCATE _millstream_offsets").await.unwrap();
}

async fn what_a_person_must_change(cluster: &Cluster) {
    let client = cluster.client().await;
    client.batch_execute("CREATE TABLE revenue (store text, revenue numeric, n bigint)").await.unwrap();
    let mut no_index = sink(&cluster.dsn(), "");
    no_index.open(&[tp()]).await.unwrap();
    no_index.stage(&tp(), batch(&["S1"], 0)).await.unwrap();
    assert!(matches!(no_index.commit(&[(tp(), 1)].into()).await, Err(SinkError::Setup(_))));
    client.batch_execute("DROP TABLE revenue").await.unwrap();
    let mut no_table = sink(&cluster.dsn(), r#","create":false"#);
    no_table.open(&[tp()]).await.unwrap();
    no_table.stage(&tp(), batch(&["S1"], 0)).await.unwrap();
    assert!(matches!(no_table.commit(&[(tp(), 1)].into()).await, Err(SinkError::Setup(_))));

    let secret = "hunter2";
    for dsn in [
        format!("postgres://me:{secret}@10.0.0.1/x"),
        format!("postgres://me:{secret}@127.0.0.1:{}/none", cluster.port),
        format!("postgres://postgres:{secret}@127.0.0.1:{}/postgres?sslmode=require", cluster.port),
        format!("postgres://me:{secret}@127.0.0.1:notaport/x"),
        format!("me:{secret}"),
    ] {
        let mut sink = sink(&dsn, "");
        match sink.open(&[tp()]).await {
            Err(error @ (SinkError::Setup(_) | SinkError::Transient { .. })) => {
                assert!(!format!("{error} {error:?}").contains(secret), "{error}");
            }
            other => panic!("{dsn}: {other:?}"),
        }
    }
    let config: PostgresSinkConfig =
        serde_json::from_str(r#"{"dsn":"postgres://me:hunter2@h/x","table":"t","key":["a"]}"#).unwrap();
    assert!(!format!("{config:?}").contains(secret));
    for (json, said) in [
        (r#"{"dsn":"x","table":"t"}"#, "`key`"),
        (r#"{"dsn":"x","table":"a.b.c","key":["a"]}"#, "neither a table"),
        (r#"{"dsn":"x","table":"s._millstream_offsets","key":["a"]}"#, "bookkeeping"),
    ] {
        let config: PostgresSinkConfig = serde_json::from_str(json).unwrap();
        assert!(config.validate().unwrap_err().contains(said));
    }
}

async fn an_outage_is_waited_out(cluster: &mut Cluster) {
    let mut sink = sink(&cluster.dsn(), r#","connect_timeout":"2s""#);
    sink.open(&[tp()]).await.unwrap();
    sink.stage(&tp(), batch(&["S1", "S2"], 0)).await.unwrap();
    sink.commit(&[(tp(), 2)].into()).await.unwrap();
    sink.stage(&tp(), batch(&["S3"], 2)).await.unwrap();
    cluster.down();
    assert!(matches!(sink.commit(&[(tp(), 3)].into()).await, Err(SinkError::Transient { .. })));
    assert!(matches!(sink.open(&[tp()]).await, Err(SinkError::Transient { .. })));
    cluster.up();
    assert_eq!(sink.open(&[tp()]).await.unwrap()[&tp()], Some(2));
    sink.stage(&tp(), batch(&["S3"], 2)).await.unwrap();
    sink.commit(&[(tp(), 3)].into()).await.unwrap();
    let client = cluster.client().await;
    let rows: i64 = client.query_one("SELECT count(*) FROM revenue", &[]).await.unwrap().get(0);
    assert_eq!(rows, 3);
}

#[tokio::test]
async fn tls_is_spoken_to_the_right_server_only() {
    let Some(cluster) = Cluster::start_with_tls() else { return };
    let dsn = |host: &str, mode: &str| {
        format!("postgres://postgres@{host}:{}/postgres?sslmode={mode}", cluster.port)
    };
    let ca = format!(r#","ca_file":{:?}"#, cluster.ca_file());
    let client = cluster.client().await;
    let encrypted = async || {
        let sql = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND usename = 'postgres'";
        client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0)
    };
    for mode in ["require", "prefer"] {
        let mut sink = sink(&dsn("localhost", mode), &ca);
        sink.open(&[tp()]).await.unwrap();
        assert!(encrypted().await >= 1, "{mode}");
        for (host, more) in [("localhost", ""), ("127.0.0.1", ca.as_str())] {
            let mut other = self::sink(&dsn(host, mode), more);
            match other.open(&[tp()]).await {
                Err(SinkError::Setup(what)) => assert!(what.contains("certificate"), "{what}"),
                other => panic!("{host} {mode}: {other:?}"),
            }
        }
    }
    let mut plain = sink(&dsn("localhost", "disable"), "");
    plain.open(&[tp()]).await.unwrap();
    let mut missing = sink(&dsn("localhost", "require"), r#","ca_file":"/nowhere/ca.crt""#);
    assert!(matches!(missing.open(&[tp()]).await, Err(SinkError::Setup(_))));
}
