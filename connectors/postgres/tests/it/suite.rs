//! The conformance suite over a real server, keyed and not.

use std::sync::Arc;

use millstream_connector::test_suite::sink::{SeenRow, SinkFixture, check_sink};
use millstream_connector::test_suite::{HandClock, Need, context};
use millstream_connector::{CrashPoints, Sink, async_trait};
use millstream_postgres::PostgresSink;
use tokio_postgres::Client;

use crate::cluster::Cluster;

struct Fixture {
    cluster: Cluster,
    client: Client,
    clock: Arc<HandClock>,
    keyed: bool,
}

#[async_trait]
impl SinkFixture for Fixture {
    async fn reset(&mut self) {
        let key = if self.keyed { "PRIMARY KEY" } else { "" };
        let sql = format!(
            "DROP TABLE IF EXISTS s.t, _millstream_offsets; CREATE SCHEMA IF NOT EXISTS s; CREATE TABLE s.t (
             id text {key}, part int, n bigint CHECK (n >= 0), amount numeric(18,2), at timestamptz, note text)"
        );
        self.client.batch_execute(&sql).await.unwrap();
    }

    fn can(&self, need: Need) -> bool {
        match need {
            Need::RefusesRows => true,
            Need::Keyed | Need::Deletes => self.keyed,
            _ => false,
        }
    }

    async fn sink(&mut self, crash: CrashPoints) -> Box<dyn Sink> {
        let key = if self.keyed { r#"["id"]"# } else { "[]" };
        let mode = if self.keyed { "upsert" } else { "insert" };
        let config = format!(
            r#"{{"dsn":"{}","table":"s.t","mode":"{mode}","key":{key},"create":false}}"#,
            self.cluster.dsn()
        );
        let config = serde_json::from_str(&config).unwrap();
        Box::new(PostgresSink::new(config, context(&self.clock, crash)).unwrap())
    }

    async fn rows(&mut self) -> Vec<SeenRow> {
        let sql =
            "SELECT id, n, (amount * 100)::bigint, (extract(epoch FROM at) * 1000)::bigint, note FROM s.t";
        let rows = self.client.query(sql, &[]).await.unwrap();
        rows.iter()
            .map(|row| SeenRow {
                id: row.get(0),
                n: row.get(1),
                amount_cents: row.get(2),
                at_ms: row.get(3),
                note: row.get(4),
            })
            .collect()
    }
}

async fn run(keyed: bool) {
    let Some(cluster) = Cluster::start() else { return };
    let client = cluster.client().await;
    let mut fixture = Fixture { cluster, client, clock: HandClock::new(0), keyed };
    let tally = check_sink(&mut fixture).await;
    assert!(tally.passed >= 30, "{tally:?}");
}

#[tokio::test]
async fn conforms_with_a_key() {
    run(true).await;
}

#[tokio::test]
async fn conforms_without_a_key() {
    run(false).await;
}
