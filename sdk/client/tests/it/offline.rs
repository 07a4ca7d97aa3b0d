//! What can be seen without a broker: a connection against a peer that this test plays.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millstream_client::broker_conn::{BrokerConn, ConnConfig};
use millstream_client::{ClientConfig, ClientError, Cluster};
use millstream_net::{Connector, FrameReader, Stream};
use millstream_types::ErrorCode;
use millstream_wire::frame::{decode_request_header, encode_response};
use millstream_wire::message::api_versions_response::{ApiVersion, ApiVersionsResponse};
use millstream_wire::message::heartbeat_request::HeartbeatRequest;
use millstream_wire::message::heartbeat_response::HeartbeatResponse;
use millstream_wire::{ApiKey, Reader, Segment};
use tokio::io::AsyncWriteExt;

fn run<F: Future<Output = ()>>(test: F) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
}

async fn write(stream: &mut Stream, segments: Vec<Segment>) {
    for segment in segments {
        let Segment::Bytes(bytes) = segment else { panic!("a file range in an answer of memory") };
        stream.write_all(&bytes).await.expect("the client reads");
    }
}

async fn next(frames: &mut FrameReader, stream: &mut Stream) -> Option<(ApiKey, i16, i32)> {
    let frame = frames.next(stream).await.ok().flatten()?;
    let header = decode_request_header(&mut Reader::new(frame)).expect("a request");
    let api = ApiKey::from_code(header.header.request_api_key).expect("a known API");
    Some((api, header.version, header.header.correlation_id))
}

fn versions(ranges: &[(ApiKey, i16, i16)]) -> ApiVersionsResponse {
    ApiVersionsResponse {
        api_keys: ranges
            .iter()
            .map(|(api, min_version, max_version)| ApiVersion {
                api_key: api.code(),
                min_version: *min_version,
                max_version: *max_version,
                ..ApiVersion::default()
            })
            .collect(),
        ..ApiVersionsResponse::default()
    }
}

fn config() -> ConnConfig {
    ConnConfig {
        client_id: "test".into(),
        // Of the handshake too, which has to be done in it.
        request_timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(5),
    }
}

/// Answers ApiVersions as a broker does that knows it up to version 2 only, then heartbeats in version 1.
async fn old_broker(mut stream: Stream, heartbeats: usize) {
    let mut frames = FrameReader::new(1 << 20);
    let (_, version, id) = next(&mut frames, &mut stream).await.expect("ApiVersions");
    assert!(version > 2);
    let refusal = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        ..versions(&[(ApiKey::ApiVersions, 0, 2)])
    };
    write(&mut stream, encode_response(id, &refusal, 0).expect("it encodes")).await;
    let (_, version, id) = next(&mut frames, &mut stream).await.expect("ApiVersions again");
    assert_eq!(version, 2);
    let good = versions(&[(ApiKey::ApiVersions, 0, 2), (ApiKey::Heartbeat, 0, 1)]);
    write(&mut stream, encode_response(id, &good, 2).expect("it encodes")).await;
    // Takes all requests before it answers the first: they are under way together.
    let mut waiting = VecDeque::new();
    for _ in 0..heartbeats {
        waiting.push_back(next(&mut frames, &mut stream).await.expect("a heartbeat"));
    }
    for (api, version, id) in waiting {
        assert_eq!((api, version), (ApiKey::Heartbeat, 1));
        let answer = HeartbeatResponse { throttle_time_ms: id, ..HeartbeatResponse::default() };
        write(&mut stream, encode_response(id, &answer, version).expect("it encodes")).await;
    }
    // And no further answer.
    while next(&mut frames, &mut stream).await.is_some() {}
}

#[test]
fn versions_are_agreed_on_and_requests_are_pipelined_in_order() {
    run(async {
        let (ours, theirs) = Stream::pair();
        tokio::spawn(old_broker(theirs, 10));
        let conn = BrokerConn::open(ours, "pair".into(), config()).await.expect("it opens");
        let mut answers = Vec::new();
        for _ in 0..10 {
            let version = conn.version_of::<HeartbeatRequest>().expect("it is served");
            answers.push(conn.send_version(&HeartbeatRequest::default(), version).await.expect("sent"));
        }
        let mut last = -1;
        for answer in answers {
            let id = answer.await_answer(Duration::from_secs(5)).await.expect("answered").throttle_time_ms;
            assert!(id > last, "{id} after {last}");
            last = id;
        }
        let missing = conn.version_of::<millstream_wire::message::MetadataRequest>().unwrap_err();
        assert!(matches!(missing, ClientError::Unsupported { api: ApiKey::Metadata, .. }), "{missing}");
        // The peer goes silent: the request fails in time, and the connection with it.
        let error = conn.call(&HeartbeatRequest::default()).await.unwrap_err();
        assert!(matches!(error, ClientError::Timeout { timeout_ms: 2_000, .. }), "{error}");
        assert!(conn.is_closed() && error.is_retriable());
        let error = conn.call(&HeartbeatRequest::default()).await.unwrap_err();
        assert!(matches!(error, ClientError::Connection { .. }), "{error}");
    });
}

#[test]
fn nonsense_from_the_peer_is_an_error_and_closes() {
    let nonsense: [&'static [u8]; 5] = [
        &[0xff, 0xff, 0xff, 0xff],
        &[0x7f, 0xff, 0xff, 0xff, 1],
        &[0, 0, 0, 2, 1, 2],
        &[0, 0, 0, 4, 0, 0, 0, 77],
        &[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
    ];
    for bytes in nonsense {
        run(async move {
            let (ours, mut theirs) = Stream::pair();
            tokio::spawn(async move {
                let mut frames = FrameReader::new(1 << 20);
                next(&mut frames, &mut theirs).await.expect("ApiVersions");
                theirs.write_all(&Bytes::from_static(bytes)).await.expect("the client reads");
                while next(&mut frames, &mut theirs).await.is_some() {}
            });
            let opened = BrokerConn::open(ours, "pair".into(), config());
            let result =
                tokio::time::timeout(Duration::from_secs(5), opened).await.expect("it does not hang");
            assert!(result.is_err(), "{bytes:?}");
        });
    }
}

struct Refusing;

impl Connector for Refusing {
    fn connect<'a>(&'a self, _: &'a str) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>> {
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }
}

#[test]
fn a_cluster_that_cannot_be_reached_is_an_error() {
    run(async {
        let config = ClientConfig::new("a:1, b:2");
        assert_eq!(config.bootstrap, ["a:1", "b:2"]);
        let cluster = Cluster::with_connector(config, Arc::new(Refusing)).expect("a good config");
        let error = cluster.refresh().await.unwrap_err();
        assert!(matches!(error, ClientError::Connection { .. }) && error.is_retriable(), "{error}");
        assert!(Cluster::new(ClientConfig::new("")).is_err());
    });
}
