//! The server as a client of PostgreSQL finds it: `tokio-postgres`, which asks by extended queries and wants binary answers, and
//! bytes by hand for what no client sends.

use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::{CLIENTS_MAX, Server, address};
use crate::Desk;

fn desk() -> Arc<Desk> {
    let price = Decimal128Array::from(vec![Some(150), None, Some(7)]).with_precision_and_scale(12, 2);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("small", Arc::new(Int32Array::from(vec![Some(10), None, Some(30)]))),
        ("name", Arc::new(StringArray::from(vec![Some("a"), Some("é"), None]))),
        ("good", Arc::new(BooleanArray::from(vec![true, false, true]))),
        ("ratio", Arc::new(Float64Array::from(vec![0.5, 1.5, 2.5]))),
        ("price", Arc::new(price.expect("a good type"))),
        ("at", Arc::new(TimestampMillisecondArray::from(vec![1_700_000_000_000, 0, 1]).with_timezone("UTC"))),
    ];
    let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)));
    let many: ArrayRef = Arc::new(Int64Array::from_iter_values(0..3_000));
    let many = RecordBatch::try_from_iter([("n", many)]).expect("a column");
    let rows =
        [("things".to_owned(), vec![rows.expect("columns")]), ("many".to_owned(), vec![many.clone(), many])];
    Arc::new(Desk::over(rows.into_iter().collect()))
}

/// Runs a test against a server, on threads such as the program has.
fn with_server<F: Future<Output = ()> + Send + 'static>(
    test: impl FnOnce(std::net::SocketAddr) -> F + Send + 'static,
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(crate::STACK_BYTES)
        .enable_all()
        .build()
        .expect("a runtime");
    let work = async {
        let at = address("127.0.0.1:0", false).await.expect("an address");
        let server = Server::bind(at, desk()).await.expect("a server");
        let at = server.address();
        tokio::spawn(server.run());
        tokio::time::timeout(std::time::Duration::from_secs(120), test(at)).await.expect("an end");
    };
    runtime.block_on(runtime.spawn(work)).expect("no panic");
}

async fn client(at: std::net::SocketAddr) -> Client {
    let settings = format!("host={} port={} user=anybody dbname=any", at.ip(), at.port());
    let (client, connection) = tokio_postgres::connect(&settings, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

fn code(error: &tokio_postgres::Error) -> &str {
    error.code().map_or("none", |state| state.code())
}

#[test]
fn values_come_in_their_types() {
    with_server(|at| async move {
        let client = client(at).await;
        let rows = client.query("SELECT * FROM things ORDER BY id", &[]).await.expect("rows");
        assert_eq!(rows.len(), 3);
        let kinds: Vec<&str> = rows[0].columns().iter().map(|column| column.type_().name()).collect();
        assert_eq!(kinds, ["int8", "int4", "text", "bool", "float8", "numeric", "timestamptz"]);
        let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(ids, [1, 2, 3]);
        let small: Vec<Option<i32>> = rows.iter().map(|row| row.get(1)).collect();
        assert_eq!(small, [Some(10), None, Some(30)]);
        let names: Vec<Option<&str>> = rows.iter().map(|row| row.get(2)).collect();
        assert_eq!(names, [Some("a"), Some("é"), None]);
        assert!(rows[0].get::<_, bool>(3) && (rows[1].get::<_, f64>(4) - 1.5).abs() < 1e-9);
        let at: SystemTime = rows[0].get(6);
        let since = at.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        assert_eq!(since.as_millis(), 1_700_000_000_000);
        let some = client.query("SELECT name FROM things WHERE id > $1 AND good = $2", &[&1i64, &true]).await;
        assert_eq!(some.expect("rows").len(), 1);
        // A prepared statement is asked again.
        let prepared =
            client.prepare("SELECT count(*) FROM things WHERE ratio < $1").await.expect("a statement");
        for (most, wanted) in [(1.0f64, 1i64), (9.0, 3)] {
            let row = client.query_one(&prepared, &[&most]).await.expect("a row");
            assert_eq!(row.get::<_, i64>(0), wanted);
        }
    });
}

#[test]
fn texts_of_several_statements_are_answered_in_their_order() {
    with_server(|at| async move {
        let client = client(at).await;
        let text = "BEGIN; SELECT id, price, at FROM things ORDER BY id; SHOW transaction_read_only; SET x = 1; DESCRIBE many; COMMIT";
        let answers = client.simple_query(text).await.expect("answers");
        let told: Vec<String> = answers
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => {
                    let cells = (0..row.len()).map(|at| row.get(at).unwrap_or("NULL"));
                    Some(cells.collect::<Vec<_>>().join("|"))
                }
                SimpleQueryMessage::CommandComplete(rows) => Some(format!("{rows} rows")),
                _ => None,
            })
            .collect();
        assert_eq!(
            told,
            [
                "0 rows",
                "1|1.50|2023-11-14 22:13:20+00",
                "2|NULL|1970-01-01 00:00:00+00",
                "3|0.07|1970-01-01 00:00:00.001+00",
                "3 rows",
                "on",
                "1 rows",
                "0 rows",
                "n|Int64|no",
                "1 rows",
                "0 rows"
            ]
        );
        let nothing = client.simple_query(";;").await.expect("nothing");
        assert!(matches!(nothing[..], [SimpleQueryMessage::CommandComplete(0)]), "{nothing:?}");
    });
}

#[test]
fn what_is_refused_has_its_code_and_its_place() {
    with_server(|at| async move {
        let mut client = client(at).await;
        for (sql, wanted, place) in [
            ("SELECT nope FROM things", "42703", Some(8)),
            ("SELECT *\nFROM nothing", "42P01", Some(15)),
            ("SELECT é FROM things WHERE", "42601", Some(27)),
            ("SELECT upper(id, 1) FROM things", "42883", Some(8)),
            ("DELETE FROM things", "25006", None),
            ("INSERT INTO things VALUES (1)", "25006", None),
            ("CREATE TABLE x (n INT)", "25006", None),
            ("SELECT 1 / (id - id) FROM things", "22012", None),
            ("SHOW nothing_known", "42704", None),
            ("SELECT a.n FROM many a CROSS JOIN many b CROSS JOIN many c ORDER BY a.n", "53200", None),
        ] {
            let error = client.simple_query(sql).await.expect_err(sql);
            assert_eq!(code(&error), wanted, "{sql}: {error:?}");
            let found = error.as_db_error().and_then(|error| error.position());
            let found = found.map(|position| match position {
                tokio_postgres::error::ErrorPosition::Original(at) => *at,
                other => panic!("{other:?}"),
            });
            assert_eq!(found, place, "{sql}: {error:?}");
        }
        // By extended queries too, and the connection goes on.
        assert_eq!(code(&client.query("SELECT nope FROM things", &[]).await.expect_err("refused")), "42703");
        assert_eq!(code(&client.execute("DROP TABLE things", &[]).await.expect_err("refused")), "25006");
        assert_eq!(client.query("SELECT 1", &[]).await.expect("rows").len(), 1);
        // A transaction that failed takes nothing but its end.
        let transaction = client.transaction().await.expect("a transaction");
        assert!(transaction.query("SELECT nope FROM things", &[]).await.is_err());
        let error = transaction.query("SELECT 1", &[]).await.expect_err("failed");
        assert_eq!(code(&error), "25P02");
        transaction.rollback().await.expect("an end");
        assert_eq!(client.query("SELECT 1", &[]).await.expect("rows").len(), 1);
    });
}

#[test]
fn rows_are_fetched_in_portions() {
    with_server(|at| async move {
        let mut client = client(at).await;
        let transaction = client.transaction().await.expect("a transaction");
        let portal = transaction.bind("SELECT n FROM many ORDER BY n", &[]).await.expect("a portal");
        let mut found: Vec<i64> = Vec::new();
        loop {
            let rows = transaction.query_portal(&portal, 700).await.expect("rows");
            assert!(rows.len() <= 700);
            if rows.is_empty() {
                break;
            }
            found.extend(rows.iter().map(|row| row.get::<_, i64>(0)));
        }
        let wanted: Vec<i64> = (0..3_000).flat_map(|n| [n, n]).collect();
        assert_eq!(found, wanted);
    });
}

#[test]
fn a_query_is_stopped_when_asked() {
    with_server(|at| async move {
        let client = client(at).await;
        let token = client.cancel_token();
        let long = "SELECT count(*) FROM many a CROSS JOIN (SELECT b.n + c.n AS n FROM many b CROSS JOIN many c) d WHERE a.n < d.n";
        let asked =
            tokio::spawn(async move { (client.query(long, &[]).await.map(|rows| rows.len()), client) });
        // It may be asked for before the query runs: again, until it is seen.
        while !asked.is_finished() {
            token.cancel_query(NoTls).await.expect("asked");
            tokio::task::yield_now().await;
        }
        let (result, client) = asked.await.expect("no panic");
        assert_eq!(code(&result.expect_err("it was stopped")), "57014");
        // An asking on its way may stop what is asked next, as with PostgreSQL: no more of them come, so that it ends.
        let rows = loop {
            match client.query("SELECT 1", &[]).await {
                Err(error) if code(&error) == "57014" => (),
                answer => break answer.expect("rows"),
            }
        };
        assert_eq!(rows.len(), 1);
    });
}

/// Some questions run on without ever letting others in: those who ask others are answered all the same, and those who gave up
/// are told so at once.
#[test]
fn questions_that_run_on_hold_nobody_up() {
    with_server(|at| async move {
        // More of them than the server has threads.
        let stuck = (0..3).map(|_| async move {
            let client = client(at).await;
            let token = client.cancel_token();
            let asked = tokio::spawn(async move {
                let sql = "SELECT COUNT(*) FROM many a, many b, many c WHERE a.n + b.n + c.n < 0";
                client.simple_query(sql).await.map(drop)
            });
            (token, asked)
        });
        let mut running = Vec::new();
        for one in stuck {
            running.push(one.await);
        }
        let other = client(at).await;
        other.simple_query("SELECT COUNT(*) FROM things").await.expect("an answer");
        for (token, asked) in running {
            // It may be asked for before the query runs: again, until it is seen.
            while !asked.is_finished() {
                token.cancel_query(NoTls).await.expect("asked");
                tokio::task::yield_now().await;
            }
            let told = asked.await.expect("no panic").expect_err("it is stopped");
            assert_eq!(code(&told), "57014");
        }
    });
}

async fn raw(at: std::net::SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(at).await.expect("a connection");
    let begun = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    if begun.is_ok() && stream.shutdown().await.is_ok() {
        let _ = stream.read_to_end(&mut answer).await;
    }
    answer
}

#[test]
fn bytes_that_no_client_sends_end_their_connection_alone() {
    with_server(|at| async move {
        let begin: &[u8] = b"\0\0\0\x13\0\x03\0\0user\0anybody\0\0";
        let begin = [&(begin.len() as u32).to_be_bytes(), &begin[4..]].concat();
        for bytes in [
            &b""[..],
            b"GET / HTTP/1.1\r\n\r\n",
            b"\xff\xff\xff\xff\0\x03\0\0",
            b"\0\0\0\x08\0\x02\0\0",
            b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x01",
            b"\0\0\0\x08\x04\xd2\x16\x2f\0\0\0\x08\x04\xd2\x16\x2f\0\0\0\x08\x04\xd2\x16\x2f\0\0\0\x08\x04\xd2\x16\x2f",
        ] {
            raw(at, bytes).await;
        }
        for (bytes, wanted) in [
            (&b"Q\xff\xff\xff\xff"[..], "08P01"),
            (b"Q\0\0\0\x03", "08P01"),
            (b"Q\0\0\0\x06\xff\0", "08P01"),
            (b"B\0\0\0\x0c\0\0\xff\xff\xff\xff\xff\xff", "08P01"),
            (b"F\0\0\0\x04", "0A000"),
            (b"E\0\0\0\x0bno\0\0\0\0\0", "34000"),
            (b"D\0\0\0\x08Sno\0", "26000"),
        ] {
            let answer = raw(at, &[begin.as_slice(), bytes].concat()).await;
            let text = String::from_utf8_lossy(&answer);
            assert!(text.contains(wanted), "{bytes:?}: {text:?}");
        }
        assert_eq!(client(at).await.query("SELECT 1", &[]).await.expect("rows").len(), 1);
    });
}

#[test]
fn so_many_clients_are_served_and_no_more() {
    with_server(|at| async move {
        let mut all = Vec::new();
        for _ in 0..CLIENTS_MAX {
            all.push(client(at).await);
        }
        let settings = format!("host={} port={} user=anybody", at.ip(), at.port());
        let Err(error) = tokio_postgres::connect(&settings, NoTls).await else {
            panic!("one too many was taken")
        };
        assert_eq!(code(&error), "53300");
        all.truncate(1);
        // A place is free once the others have gone, which the server sees a little later.
        loop {
            match tokio_postgres::connect(&settings, NoTls).await {
                Ok(_) => break,
                Err(error) => assert_eq!(code(&error), "53300"),
            }
        }
    });
}

#[test]
fn addresses_that_others_reach_are_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let refused = address("0.0.0.0:5433", false).await.expect_err("others reach it");
        assert!(refused.contains("--allow-remote"), "{refused}");
        assert!(address("0.0.0.0:5433", true).await.is_ok());
        assert!(address("[::1]:0", false).await.is_ok());
        assert!(address("nonsense", false).await.is_err());
    });
}
