//! The conformance suite. The peer of a case sends its requests one after the other, each again and again with one key until
//! it is answered 200, over every crash of the source.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millstream_connector::test_suite::source::{SourceFixture, check_source};
use millstream_connector::test_suite::{HandClock, Need, context};
use millstream_connector::{CrashPoints, Source, async_trait};
use millstream_http::HttpSource;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::peer::{free_port, post};

struct Fixture {
    clock: Arc<HandClock>,
    port: u16,
    peer: Option<(mpsc::UnboundedSender<String>, JoinHandle<()>)>,
    requests: usize,
}

async fn peer(port: u16, mut bodies: mpsc::UnboundedReceiver<String>) {
    let mut request = 0;
    while let Some(body) = bodies.recv().await {
        request += 1;
        let headers = format!("Content-Type: application/x-ndjson\r\nIdempotency-Key: request-{request}\r\n");
        loop {
            match post(port, &headers, &body).await {
                Ok(answer) if answer.status == 200 => {
                    let records = body.lines().count();
                    assert_eq!(answer.body, format!("{{\"records\":{records},\"rejected\":[]}}"));
                    break;
                }
                Ok(answer) => assert_eq!(answer.status, 503, "{answer:?}"),
                // Nobody listens, or the connection ended without an answer.
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[async_trait]
impl SourceFixture for Fixture {
    async fn reset(&mut self) {
        self.port = free_port();
        let (send, receive) = mpsc::unbounded_channel();
        self.peer = Some((send, tokio::spawn(peer(self.port, receive))));
        self.requests = 0;
    }

    fn can(&self, _need: Need) -> bool {
        false
    }

    async fn put(&mut self, _split: usize, records: Vec<Bytes>) {
        self.requests += 1;
        let body: String =
            records.iter().map(|record| format!("{}\n", std::str::from_utf8(record).unwrap())).collect();
        self.peer.as_ref().unwrap().0.send(body).unwrap();
    }

    async fn source(&mut self) -> Box<dyn Source> {
        let config = format!(r#"{{"listen":"127.0.0.1:{}","path":"/v1/invoices"}}"#, self.port);
        let config = serde_json::from_str(&config).unwrap();
        Box::new(HttpSource::new(config, context(&self.clock, CrashPoints::none())).unwrap())
    }

    async fn settle(&mut self) {
        let (send, peer) = self.peer.take().unwrap();
        drop(send);
        tokio::time::timeout(Duration::from_secs(30), peer)
            .await
            .expect("every request is answered")
            .unwrap();
    }
}

#[tokio::test]
async fn conforms() {
    let mut fixture = Fixture { clock: HandClock::new(0), port: 0, peer: None, requests: 0 };
    let tally = check_source(&mut fixture).await;
    assert_eq!((tally.passed, tally.left_out), (14, 7));
}
