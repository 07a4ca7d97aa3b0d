//! Bytes that are no requests: each is answered with an error or ends its own connection, the others are untouched, and
//! the broker's memory stays bounded.

use std::path::Path;

use millstream_testkit::records::topic;
use millstream_testkit::{InProcess, Process, run};
use millstream_types::{ErrorCode, Rng, SeededRng};
use millstream_wire::message::{ApiVersionsRequest, ApiVersionsResponse};
use millstream_wire::{ApiKey, Message, Reader};

use crate::raw::{Place, Raw, batch, code, texts};

/// Printed with a failure, so that it can be repeated.
const SEED: u64 = 0x5eed;

fn framed(body: &[u8]) -> Vec<u8> {
    [&(body.len() as i32).to_be_bytes()[..], body].concat()
}

/// A request's header, of the form that most versions have, and what follows it.
fn request(api: i16, version: i16, rest: &[u8]) -> Vec<u8> {
    let client = [0, 1, b'x'];
    framed(&[&api.to_be_bytes()[..], &version.to_be_bytes(), &7i32.to_be_bytes(), &client, rest].concat())
}

fn random(rng: &mut SeededRng, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.next_u64() as u8).collect()
}

/// A connection that has said who it is, as every client does first.
async fn known(address: &str) -> Raw {
    let mut raw = Raw::connect(address).await;
    raw.call(&ApiVersionsRequest::default(), 0).await;
    raw
}

#[test]
fn what_is_no_request_ends_its_own_connection_only() {
    run(async {
        let broker = InProcess::start(&[]).await;
        let name = topic(&broker.cluster(), 1).await;
        let mut good = Raw::connect(broker.address()).await;
        let place = Place::of(&mut good, &name, 0).await;
        let mut rng = SeededRng::new(SEED);
        let mut cases: Vec<(String, Vec<u8>)> = vec![
            ("a size of -1".into(), vec![0xff; 4]),
            ("the largest size".into(), vec![0x7f, 0xff, 0xff, 0xff, 0, 18]),
            ("an empty frame".into(), vec![0; 4]),
            ("half a header".into(), framed(&[0, 18, 0])),
            ("HTTP".into(), b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
            ("TLS".into(), vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]),
            ("an array of 2^31-1 elements".into(), request(3, 1, &[0x7f, 0xff, 0xff, 0xff])),
            ("a compact array of 2^32-2 elements".into(), request(3, 9, &[0, 0xff, 0xff, 0xff, 0xff, 0x0f])),
            ("an array of -2 elements".into(), request(3, 1, &[0xff, 0xff, 0xff, 0xfe])),
        ];
        for api in [-1, 4, 7, 95, 10_000] {
            cases.push((format!("api key {api}"), request(api, 0, &[])));
        }
        for api in [0i16, 1, 3, 11, 19, 22] {
            for version in [-1, 99, i16::MAX] {
                cases.push((format!("api {api} version {version}"), request(api, version, &[0; 20])));
            }
        }
        for i in 0..300 {
            let len = 1 + (rng.next_u64() % 600) as usize;
            cases.push((format!("random frame {i}"), framed(&random(&mut rng, len))));
        }
        for (what, bytes) in cases {
            let mut bad = known(broker.address()).await;
            bad.write(&bytes).await;
            // What came after it is not waited for: an answer or the end of the connection is.
            bad.shut().await;
            while bad.frame().await.is_some() {}
            let response = good.produce(&place, batch(&[&what], Default::default()), 9).await;
            assert_eq!(code(response.error_code), ErrorCode::None, "{what}, seed {SEED}");
            assert_eq!(texts(&good.fetch(&place, response.base_offset, 12).await), [what]);
        }
    });
}

#[test]
fn bodies_of_every_served_api_may_be_anything() {
    run(async {
        let broker = InProcess::start(&["auto.create.topics.enable=false"]).await;
        let mut good = known(broker.address()).await;
        let mut rng = SeededRng::new(SEED);
        for (api, low, high) in millstream_server::dispatch::SERVED {
            for version in *low..=*high {
                for i in 0..6 {
                    let len = (rng.next_u64() % 80) as usize;
                    let mut rest = random(&mut rng, len);
                    // Small numbers reach further into a body than random ones.
                    if i % 2 == 1 {
                        rest.iter_mut().for_each(|b| *b %= 3);
                    }
                    let mut bad = Raw::connect(broker.address()).await;
                    bad.write(&request(api.code(), version, &rest)).await;
                    bad.shut().await;
                    while bad.frame().await.is_some() {}
                }
            }
            let versions = good.call(&ApiVersionsRequest::default(), 0).await;
            assert_eq!(code(versions.error_code), ErrorCode::None, "after {}, seed {SEED}", api.name());
        }
    });
}

#[test]
fn api_versions_of_a_newer_client_is_answered_in_version_0() {
    run(async {
        let broker = InProcess::start(&[]).await;
        for version in [5, 99, i16::MAX] {
            let mut raw = Raw::connect(broker.address()).await;
            raw.write(&request(ApiKey::ApiVersions.code(), version, &[0; 40])).await;
            let mut reader = Reader::new(raw.frame().await.expect("an answer"));
            assert_eq!(reader.i32("correlation_id").unwrap(), 7);
            let answer = <ApiVersionsResponse as Message>::decode(&mut reader, 0).unwrap();
            assert_eq!(code(answer.error_code), ErrorCode::UnsupportedVersion);
            assert!(answer.api_keys.iter().any(|k| k.api_key == ApiKey::ApiVersions.code()));
            // And the client goes on with a version that both know.
            let versions = raw.call(&ApiVersionsRequest::default(), 0).await;
            assert_eq!(code(versions.error_code), ErrorCode::None);
        }
    });
}

#[test]
fn what_stands_behind_a_body_is_passed_over() {
    run(async {
        let broker = InProcess::start(&[]).await;
        let mut raw = Raw::connect(broker.address()).await;
        // Metadata 1 of no topics, and two bytes that belong to nothing.
        raw.write(&request(ApiKey::Metadata.code(), 1, &[0, 0, 0, 0, 9, 9])).await;
        assert!(raw.frame().await.is_some());
    });
}

#[test]
fn frames_that_never_end_hold_bounded_memory() {
    run(async {
        let settings = ["queued.max.request.bytes=33554432", "socket.request.max.bytes=16777216"];
        let broker = Process::start(Path::new(env!("CARGO_BIN_EXE_millstream-broker")), &settings);
        let name = topic(&broker.cluster(), 1).await;
        let mut good = Raw::connect(broker.address()).await;
        let place = Place::of(&mut good, &name, 0).await;
        let mut bad = Vec::new();
        let part = [&16_000_000i32.to_be_bytes()[..], &vec![0; 8_000_000]].concat();
        // 30 connections that send half of 16 MB each: 240 MB, where the budget is 32 MB.
        for _ in 0..30 {
            let mut raw = known(broker.address()).await;
            let part = part.clone();
            bad.push(tokio::spawn(async move {
                raw.write(&part).await;
                raw
            }));
        }
        for i in 0..200 {
            let response = good.produce(&place, batch(&[&i.to_string()], Default::default()), 9).await;
            assert_eq!(code(response.error_code), ErrorCode::None);
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", broker.pid())).unwrap();
        let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
        let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kilobytes < 150_000, "the broker held {kilobytes} kB at its peak");
        bad.into_iter().for_each(|task| task.abort());
    });
}
