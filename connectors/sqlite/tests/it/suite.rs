//! The conformance suite over a database file, keyed and not.

use std::path::PathBuf;
use std::sync::Arc;

use millstream_connector::test_suite::sink::{SeenRow, SinkFixture, check_sink};
use millstream_connector::test_suite::{HandClock, Need, context};
use millstream_connector::{CrashPoints, Sink, async_trait};
use millstream_sqlite::SqliteSink;
use rusqlite::Connection;

struct Fixture {
    folder: tempfile::TempDir,
    clock: Arc<HandClock>,
    round: usize,
    keyed: bool,
}

impl Fixture {
    fn path(&self) -> PathBuf {
        self.folder.path().join(format!("{}.db", self.round))
    }
}

#[async_trait]
impl SinkFixture for Fixture {
    async fn reset(&mut self) {
        self.round += 1;
        let connection = Connection::open(self.path()).unwrap();
        // Made by hand, as a user's own table: a check that the sink knows nothing of.
        let key = if self.keyed { "PRIMARY KEY" } else { "" };
        let sql = format!(
            "CREATE TABLE t (id TEXT {key}, part INTEGER, n INTEGER CHECK (n >= 0), amount TEXT, at TEXT, note TEXT)"
        );
        connection.execute_batch(&sql).unwrap();
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
            r#"{{"path":{:?},"table":"t","mode":"{mode}","key":{key},"create":false,"busy_timeout":"0ms","synchronous":"normal"}}"#,
            self.path()
        );
        let config = serde_json::from_str(&config).unwrap();
        Box::new(SqliteSink::new(config, context(&self.clock, crash)).unwrap())
    }

    async fn rows(&mut self) -> Vec<SeenRow> {
        let connection = Connection::open(self.path()).unwrap();
        let mut statement = connection.prepare("SELECT id, n, amount, at, note FROM t").unwrap();
        let rows = statement.query_map([], |row| {
            let amount: String = row.get(2)?;
            let at: String = row.get(3)?;
            let at_ms: i64 = connection.query_row(
                "SELECT CAST(round((julianday(?1) - 2440587.5) * 86400000) AS INTEGER)",
                [&at],
                |row| row.get(0),
            )?;
            Ok(SeenRow {
                id: row.get(0)?,
                n: row.get(1)?,
                amount_cents: amount.replace('.', "").parse().unwrap(),
                at_ms,
                note: row.get(4)?,
            })
        });
        rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }
}

async fn run(keyed: bool) {
    let folder = tempfile::tempdir().unwrap();
    let mut fixture = Fixture { folder, clock: HandClock::new(1_772_446_530_250), round: 0, keyed };
    let tally = check_sink(&mut fixture).await;
    assert!(tally.passed >= 20, "{tally:?}");
}

#[tokio::test]
async fn conforms_with_a_key() {
    run(true).await;
}

#[tokio::test]
async fn conforms_without_a_key() {
    run(false).await;
}
