//! Against a real S3 server, `moto_server` (PyPI: `moto[server,s3]`), found by MILLSTREAM_MOTO_SERVER, in
//! `target/tools/moto/bin`, or on the path. Skipped aloud without it; with REQUIRE_ALL=1 that is a failure.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use millstream_connector::test_suite::{HandClock, LoopbackOnly, context};
use millstream_connector::{Change, CrashPoints, Sink, SinkBatch, SinkError};
use millstream_object_store::ObjectStoreSink;
use millstream_object_store::store::guarded_http::GuardedConnector;
use millstream_object_store::store::remote::RemoteStore;
use millstream_object_store::store::{Created, Store};
use millstream_types::TopicPartition;
use object_store::aws::{AmazonS3, AmazonS3Builder};

use crate::suite::{Target, run};

struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn binary() -> Option<PathBuf> {
    let tools = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/moto/bin/moto_server");
    let named = std::env::var_os("MILLSTREAM_MOTO_SERVER").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("moto_server"));
    named.into_iter().chain([tools]).chain(on_path).find(|file| file.is_file())
}

/// Starts a server with one bucket, `lake`.
fn start() -> Option<Server> {
    let Some(binary) = binary() else {
        millstream_skip::skip("the S3 API", "moto_server is missing (pip install 'moto[server,s3]')");
        return None;
    };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new(binary)
        .args(["-H", "127.0.0.1", "-p", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let server = Server { child, port };
    for _ in 0..600 {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream
                .write_all(b"PUT /lake HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .unwrap();
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            assert!(answer.starts_with("HTTP/1.1 200"), "making the bucket: {answer}");
            return Some(server);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("moto_server did not start within 30 s");
}

fn store(server: &Server) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_bucket_name("lake")
        .with_region("us-east-1")
        .with_endpoint(format!("http://127.0.0.1:{}", server.port))
        .with_allow_http(true)
        .with_access_key_id("key")
        .with_secret_access_key("word")
        .with_http_connector(GuardedConnector::new(Arc::new(LoopbackOnly)))
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_conforms() {
    let Some(server) = start() else { return };
    one_after_the_other(&server).await;
    run(Target::Objects(Arc::new(store(&server)), "suite".into()), "").await;
    through_the_config(&server).await;
}

/// A name that is taken stays taken. One after the other, because this server (moto 5.2.5) looks for the key and writes it
/// with no lock between its threads: the race of eight, run against it once, had two winners in its fourth round, while
/// 50 rounds of up to 16 slower clients had one each. S3 documents one winner; that a store keeps to it is not shown here.
async fn one_after_the_other(server: &Server) {
    let remote = RemoteStore::new(Arc::new(store(server)), "taken".into(), 5 << 20);
    assert_eq!(remote.create("a", "b", "first".into()).await.unwrap(), Created::Here);
    assert_eq!(remote.create("a", "b", "second".into()).await.unwrap(), Created::Before);
    assert_eq!(remote.read("a", "b").await.unwrap().unwrap(), "first");
}

/// The whole way: a URL and keys, parts above the least size, and the guard in between.
async fn through_the_config(server: &Server) {
    let config = |host: &str| {
        let json = format!(
            r#"{{"url":"s3://lake/whole way","format":{{"compression":"none"}},"part_size":"5MiB","s3":{{"endpoint":"http://{host}:{}",
            "allow_http":true,"access_key_id":"key","secret_access_key":"hunter2"}}}}"#,
            server.port
        );
        let config: millstream_object_store::ObjectStoreSinkConfig = serde_json::from_str(&json).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        config
    };
    let clock = HandClock::new(0);
    let root = std::path::Path::new("/");
    let tp = TopicPartition::new("unique", 0);
    let mut sink =
        ObjectStoreSink::new(config("localhost"), root, context(&clock, CrashPoints::none())).unwrap();
    sink.open(std::slice::from_ref(&tp)).await.unwrap();
    let n = 1_000_000;
    let rows = crate::faults::rows(0, n);
    sink.stage(&tp, SinkBatch::one_row_each(rows, Change::Upsert, 0)).await.unwrap();
    sink.commit(&[(tp.clone(), n)].into()).await.unwrap();
    assert_eq!(sink.open(std::slice::from_ref(&tp)).await.unwrap()[&tp], Some(n));

    // 10.0.0.1 is none of the addresses that this test may dial, by name or by number.
    for host in ["10.0.0.1", "metadata.internal"] {
        let mut sink =
            ObjectStoreSink::new(config(host), root, context(&clock, CrashPoints::none())).unwrap();
        match sink.open(std::slice::from_ref(&tp)).await {
            Err(SinkError::Setup(what) | SinkError::Transient { what, .. }) => {
                assert!(!what.contains("hunter2"), "{what}");
            }
            other => panic!("{host}: {other:?}"),
        }
    }
}
