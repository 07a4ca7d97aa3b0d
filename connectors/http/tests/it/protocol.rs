//! The protocol: answers at the commit and not before, keys, limits, stopping.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_connector::test_suite::{HandClock, context};
use millstream_connector::{
    CrashPoints, Position, ReadLimit, Rejected, Source, SourceBatch, SourceError, SplitId, SplitReader,
    StateEntry,
};
use millstream_http::{HttpSource, HttpSourceConfig, schema};
use tokio::task::JoinHandle;

use crate::peer::{Answer, free_port, post, raw};

/// An endpoint and what a worker keeps for it.
struct Endpoint {
    port: u16,
    clock: Arc<HandClock>,
    source: HttpSource,
    reader: Option<Box<dyn SplitReader>>,
    position: Option<Position>,
    stored: BTreeMap<bytes::Bytes, bytes::Bytes>,
}

fn source(port: u16, more: &str, clock: &Arc<HandClock>) -> Result<HttpSource, SourceError> {
    let config = format!(r#"{{"listen":"127.0.0.1:{port}","path":"/v1/invoices"{more}}}"#);
    HttpSource::new(serde_json::from_str(&config).unwrap(), context(clock, CrashPoints::none()))
}

impl Endpoint {
    async fn new(more: &str) -> Endpoint {
        let (port, clock) = (free_port(), HandClock::new(1_000_000));
        let source = source(port, more, &clock).unwrap();
        let mut endpoint =
            Endpoint { port, clock, source, reader: None, position: None, stored: BTreeMap::new() };
        endpoint.open().await;
        endpoint
    }

    async fn open(&mut self) {
        self.reader = None;
        let stored = self.stored.iter();
        let stored =
            stored.map(|(key, value)| StateEntry { key: key.clone(), value: Some(value.clone()) }).collect();
        let id = SplitId::new("listener");
        self.reader = Some(self.source.open(&id, self.position.as_ref(), stored).await.unwrap());
    }

    fn post(&self, headers: &str, body: &str) -> JoinHandle<std::io::Result<Answer>> {
        let (port, headers, body) = (self.port, headers.to_owned(), body.to_owned());
        tokio::spawn(async move { post(port, &headers, &body).await })
    }

    /// Reads until `records` are there.
    async fn read(&mut self, records: usize) -> SourceBatch {
        let limit = ReadLimit { wait_ms: 10_000, ..ReadLimit::default() };
        let batch = self.reader.as_mut().unwrap().read(limit).await.unwrap();
        assert_eq!(batch.records.len(), records);
        batch
    }

    async fn commit(&mut self, batch: &SourceBatch, rejected: &[(u64, &str)]) {
        let rejected: Vec<Rejected> = rejected
            .iter()
            .map(|(sequence, reason)| Rejected { sequence: *sequence, reason: (*reason).into() })
            .collect();
        let reader = self.reader.as_mut().unwrap();
        for entry in reader.delta(&batch.next_position, &rejected).unwrap() {
            match entry.value {
                Some(value) => self.stored.insert(entry.key, value),
                None => self.stored.remove(&entry.key),
            };
        }
        self.position = Some(batch.next_position.clone());
        reader.ack(&batch.next_position).await.unwrap();
    }

    async fn nothing_to_read(&mut self) {
        let limit = ReadLimit { wait_ms: 0, ..ReadLimit::default() };
        assert_eq!(self.reader.as_mut().unwrap().read(limit).await.unwrap().records.len(), 0);
    }
}

async fn answered(answer: JoinHandle<std::io::Result<Answer>>) -> Answer {
    tokio::time::timeout(Duration::from_secs(30), answer).await.expect("an answer").unwrap().unwrap()
}

const LINES: &str = "Content-Type: application/x-ndjson; charset=utf-8\r\n";

#[tokio::test]
async fn a_request_is_answered_at_its_commit_with_what_was_rejected() {
    let mut endpoint = Endpoint::new("").await;
    let answer = endpoint.post(LINES, "{\"a\":1}\n{\"a\":\n{\"a\":3}\n");
    let batch = endpoint.read(3).await;
    assert_eq!(batch.origin_of(1), format!("http://127.0.0.1:{}/v1/invoices:2", endpoint.port));
    assert!(!answer.is_finished(), "not before the commit");
    endpoint.commit(&batch, &[(batch.first_sequence + 1, "malformed_json")]).await;
    let answer = answered(answer).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, r#"{"records":3,"rejected":[{"record":1,"reason":"malformed_json"}]}"#);

    // Without NDJSON's content type the body is one record, line ends and all.
    let answer = endpoint.post("", "{\n\"a\":1}\n");
    let batch = endpoint.read(1).await;
    assert_eq!(
        (&batch.records[0].value[..], batch.first_sequence, batch.records[0].place),
        (&b"{\n\"a\":1}\n"[..], 3, 4)
    );
    endpoint.commit(&batch, &[]).await;
    assert_eq!(answered(answer).await.body, r#"{"records":1,"rejected":[]}"#);
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_again_also_after_a_crash() {
    let mut endpoint = Endpoint::new("").await;
    let first = endpoint.post("Idempotency-Key: k1\r\n", "{\"a\":1}");
    let batch = endpoint.read(1).await;
    // Asked again while the first still waits: one record, two answers.
    let again = endpoint.post("idempotency-key: k1\r\n", "{\"a\":1}");
    let late = endpoint.post("Idempotency-Key: k2\r\n", "{\"a\":2}");
    let second = endpoint.read(1).await;
    assert_eq!(second.records[0].value, "{\"a\":2}");
    endpoint.commit(&second, &[(batch.first_sequence, "bad_total")]).await;
    let first = answered(first).await;
    assert_eq!(first.body, r#"{"records":1,"rejected":[{"record":0,"reason":"bad_total"}]}"#);
    assert_eq!((answered(again).await.body, answered(late).await.status), (first.body.clone(), 200));

    for crash in [false, true] {
        if crash {
            endpoint.open().await;
        }
        let repeat = answered(endpoint.post("Idempotency-Key: k1\r\n", "{\"a\":1}")).await;
        assert_eq!((repeat.status, &repeat.body), (200, &first.body));
        assert!(repeat.head.contains("idempotent-repeats: 1"), "{}", repeat.head);
        let other = answered(endpoint.post("Idempotency-Key: k1\r\n", "{\"a\":9}")).await;
        assert_eq!(other.status, 422, "another body under the same key");
        endpoint.nothing_to_read().await;
    }
    // After 48 hours the key is new, and the store of keys does not grow for ever.
    endpoint.clock.advance(48 * 3_600_000);
    let new = endpoint.post("Idempotency-Key: k1\r\n", "{\"a\":1}");
    let batch = endpoint.read(1).await;
    endpoint.commit(&batch, &[]).await;
    assert_eq!(answered(new).await.body, r#"{"records":1,"rejected":[]}"#);
    assert_eq!(endpoint.stored.len(), 1, "k2 was forgotten, k1 is new");
}

#[tokio::test]
async fn records_are_known_by_their_own_fields() {
    let mut endpoint = Endpoint::new(r#","id_fields":["store_id","invoice_id"]"#).await;
    let record = |store: &str, id: &str, total: u32| {
        format!(r#"{{"store_id":"{store}","invoice_id":"{id}","total":{total}}}"#)
    };
    let body = [record("S1", "1", 5), record("S2", "1", 5), record("S1", "1", 5)].join("\n");
    let answer = endpoint.post(LINES, &body);
    let batch = endpoint.read(2).await;
    endpoint.commit(&batch, &[]).await;
    assert_eq!(
        answered(answer).await.body,
        r#"{"records":3,"rejected":[]}"#,
        "one of the three was a repeat"
    );
    let repeat = endpoint.post("", &record("S2", "1", 5));
    assert_eq!(answered(repeat).await.status, 200);
    endpoint.nothing_to_read().await;
    // The same id with other content is for the pipeline to judge: it comes through, and is not remembered in its place.
    let other = endpoint.post("", &record("S2", "1", 6));
    let batch = endpoint.read(1).await;
    endpoint.commit(&batch, &[(batch.first_sequence, "conflicting_repeat")]).await;
    assert!(answered(other).await.body.contains("conflicting_repeat"));
    let first = answered(endpoint.post("", &record("S2", "1", 5))).await;
    assert_eq!(first.body, r#"{"records":1,"rejected":[]}"#);
}

#[tokio::test]
async fn requests_that_are_refused() {
    let mut endpoint = Endpoint::new(
        r#","max_body":"100B","max_in_flight":"150B","token":"open sesame","retry_after":"3s""#,
    )
    .await;
    let token = "Authorization: Bearer open sesame\r\n";
    let port = endpoint.port;
    for (headers, body, status) in [
        (String::new(), "{}".to_owned(), 401),
        ("Authorization: Bearer open sesamE\r\n".to_owned(), "{}".to_owned(), 401),
        ("Authorization: open sesame\r\n".to_owned(), "{}".to_owned(), 401),
        (token.to_owned(), "x".repeat(101), 413),
        (token.to_owned(), String::new(), 400),
        (format!("{token}{LINES}"), "\n\n".to_owned(), 400),
        (format!("{token}Idempotency-Key: a\r\nIdempotency-Key: b\r\n"), "{}".to_owned(), 400),
        (format!("{token}Idempotency-Key: {}\r\n", "k".repeat(256)), "{}".to_owned(), 400),
    ] {
        let answer = post(port, &headers, &body).await.unwrap();
        assert_eq!(answer.status, status, "{headers}{body}: {answer:?}");
        assert!(!answer.body.contains("sesame"));
    }
    for (request, status) in [
        ("GET /v1/invoices HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(), 405),
        (
            format!(
                "POST /other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{token}Content-Length: 2\r\n\r\n{{}}"
            ),
            404,
        ),
        // Chunks beyond the limit, whose sum nobody announced.
        (
            format!(
                "POST /v1/invoices HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{token}Transfer-Encoding: chunked\r\n\r\n60\r\n{0}\r\n60\r\n{0}\r\n0\r\n\r\n",
                "x".repeat(96)
            ),
            413,
        ),
        ("not http\r\n\r\n".to_owned(), 400),
    ] {
        assert_eq!(raw(port, request.as_bytes()).await.unwrap().status, status, "{request}");
    }
    endpoint.nothing_to_read().await;

    // Bytes in flight are bounded: the second body finds no room, until the first is committed.
    let first = endpoint.post(token, &"x".repeat(90));
    let batch = endpoint.read(1).await;
    let refused = post(port, token, &"y".repeat(90)).await.unwrap();
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("retry-after: 3"), "{}", refused.head);
    endpoint.commit(&batch, &[]).await;
    assert_eq!(answered(first).await.status, 200);
    let second = endpoint.post(token, &"y".repeat(90));
    let batch = endpoint.read(1).await;
    endpoint.commit(&batch, &[]).await;
    assert_eq!(answered(second).await.status, 200);
}

#[tokio::test]
async fn stopping_takes_nothing_new_and_answers_what_it_has() {
    let mut endpoint = Endpoint::new("").await;
    let read = endpoint.post("", "{\"a\":1}");
    let batch = endpoint.read(1).await;
    endpoint.reader.as_mut().unwrap().stop().await;
    assert_eq!(answered(endpoint.post("", "{\"a\":2}")).await.status, 503);
    endpoint.commit(&batch, &[]).await;
    endpoint.reader = None;
    assert_eq!(answered(read).await.status, 200);

    // One that was read and not committed is told to come again.
    endpoint.open().await;
    let lost = endpoint.post("", "{\"a\":3}");
    endpoint.read(1).await;
    endpoint.reader = None;
    let lost = answered(lost).await;
    assert_eq!(lost.status, 503);
    assert!(lost.head.contains("retry-after: 1"));
}

#[tokio::test]
async fn a_commit_that_takes_too_long_is_waited_for_again() {
    let mut endpoint = Endpoint::new(r#","answer_timeout":"100ms""#).await;
    let answer = answered(endpoint.post("Idempotency-Key: k\r\n", "{}")).await;
    assert_eq!(answer.status, 503);
    let batch = endpoint.read(1).await;
    let again = endpoint.post("Idempotency-Key: k\r\n", "{}");
    endpoint.commit(&batch, &[]).await;
    assert_eq!(answered(again).await.status, 200);
    endpoint.nothing_to_read().await;
}

#[tokio::test]
async fn slow_peers_are_not_waited_for_for_ever() {
    let endpoint = Endpoint::new(r#","read_timeout":"100ms","max_connections":2"#).await;
    let port = endpoint.port;
    // A body that never comes, headers that never end: both ended by the server.
    let body = raw(
        port,
        b"POST /v1/invoices HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9\r\n\r\nab",
    )
    .await;
    assert_eq!(body.unwrap().status, 408);
    let head = tokio::time::timeout(Duration::from_secs(30), raw(port, b"POST /v1/inv")).await;
    assert!(head.expect("ended by the server").map_or(true, |answer| answer.status == 408));
    // Two that only hold a connection open do not keep a third out for ever.
    let idle: Vec<_> = [0, 1].map(|_| std::net::TcpStream::connect(("127.0.0.1", port)).unwrap()).into();
    let third = tokio::time::timeout(Duration::from_secs(30), post(port, "", "")).await;
    assert_eq!(third.expect("served").unwrap().status, 400);
    drop(idle);
}

#[tokio::test]
async fn what_the_settings_refuse() {
    let clock = HandClock::new(0);
    for (more, said) in [
        (r#","max_body":"2MiB","max_in_flight":"1MiB""#, "`max_body` is above"),
        (r#","idempotency_header":"a b""#, "cannot be a header's name"),
    ] {
        let error = source(1, more, &clock).err().unwrap().to_string();
        assert!(error.contains(said), "{error}");
    }
    for path in ["v1", "/{id}", "/a?b"] {
        let config = format!(r#"{{"listen":"127.0.0.1:0","path":"{path}"}}"#);
        let config: HttpSourceConfig = serde_json::from_str(&config).unwrap();
        assert!(HttpSource::new(config, context(&clock, CrashPoints::none())).is_err(), "{path}");
    }
    let fields = schema().fields;
    let remember = fields.iter().find(|field| field.name == "remember").unwrap();
    assert_eq!(remember.default.as_deref(), Some("2d"));
    let config = r#"{"listen":"a:1","path":"/","token":"open sesame"}"#;
    let config: HttpSourceConfig = serde_json::from_str(config).unwrap();
    assert!(!format!("{config:?}").contains("sesame"));
}
