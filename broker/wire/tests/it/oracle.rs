//! Every request and response in every version: random bytes from the tables are decoded and encoded again by us
//! and by the `kafka-protocol` crate, each to the same bytes.

use crate::random::{Size, bytes, table, versions};
use crate::table::{Kind, Message};
use ::bytes::Bytes;
use kafka_protocol::messages::{ApiKey as TheirKey, RequestKind, ResponseKind};
use millstream_types::SeededRng;
use millstream_wire::{AnyRequest, AnyResponse, ApiKey, Reader, Writer};

const SIZE: Size = Size { elements: 3, bytes: 12, unknown_tags: true };
const CASES: u64 = 40;

pub fn messages() -> Vec<Message> {
    let mut all = table(include_str!("../../schema/request.txt"));
    all.extend(table(include_str!("../../schema/response.txt")));
    all.retain(|m| !m.versions.is_empty());
    all
}

/// Ours: bytes to value to bytes.
pub fn again(message: &Message, version: i16, input: &[u8]) -> Vec<u8> {
    let api = ApiKey::from_code(message.key.unwrap()).unwrap();
    let mut r = Reader::new(Bytes::copy_from_slice(input));
    let mut w = Writer::new();
    if message.kind == Kind::Request {
        let value = AnyRequest::decode(api, version, &mut r).unwrap();
        r.expect_end("request").unwrap();
        assert_eq!(value.api_key(), api);
        value.encode(&mut w, version).unwrap();
    } else {
        let value = AnyResponse::decode(api, version, &mut r).unwrap();
        r.expect_end("response").unwrap();
        value.encode(&mut w, version).unwrap();
    }
    w.into_bytes().unwrap().to_vec()
}

/// What their table of APIs names and their messages do not have.
const NOT_THEIRS: [(&str, i16); 3] =
    [("InitProducerIdRequest", 6), ("OffsetCommitRequest", 10), ("OffsetFetchRequest", 10)];

/// Theirs, where they know the version.
fn theirs(message: &Message, version: i16, input: &[u8]) -> Option<Vec<u8>> {
    let key = TheirKey::try_from(message.key.unwrap()).ok()?;
    let range = key.valid_versions();
    if version < range.min || range.max < version || NOT_THEIRS.contains(&(message.name.as_str(), version)) {
        return None;
    }
    let mut input = Bytes::copy_from_slice(input);
    let mut out = ::bytes::BytesMut::new();
    if message.kind == Kind::Request {
        let value = RequestKind::decode(key, &mut input, version).expect("their decoder takes it");
        value.encode(&mut out, version).expect("their encoder takes it");
    } else {
        let value = ResponseKind::decode(key, &mut input, version).expect("their decoder takes it");
        value.encode(&mut out, version).expect("their encoder takes it");
    }
    assert!(input.is_empty(), "their decoder leaves {} bytes", input.len());
    Some(out.to_vec())
}

#[test]
fn random_messages_come_back_the_same_from_us_and_from_them() {
    let (mut ours_seen, mut theirs_seen) = (0, 0);
    for message in messages() {
        for version in versions(&message) {
            for case in 0..CASES {
                let seed = case * 1_000_003 + version as u64 * 1_009 + message.key.unwrap() as u64;
                let input = bytes(&message, version, &mut SeededRng::new(seed), SIZE);
                let context = format!("{} version {version}, seed {seed}", message.name);
                println!("{context}");
                assert_eq!(again(&message, version, &input), input, "{context}");
                ours_seen += 1;
                if let Some(out) = theirs(&message, version, &input) {
                    assert_eq!(out, input, "{context}, by the other implementation");
                    theirs_seen += 1;
                }
            }
        }
    }
    assert!(ours_seen > 24_000 && theirs_seen > 20_000, "{ours_seen} of ours, {theirs_seen} of theirs");
}

#[test]
fn headers_are_of_the_version_that_they_take() {
    let mut seen = 0;
    for api in ApiKey::ALL {
        let Ok(key) = TheirKey::try_from(api.code()) else { continue };
        let range = key.valid_versions();
        for version in range.min.max(api.min_version())..=range.max.min(api.max_version()) {
            assert_eq!(
                api.request_header_version(version),
                key.request_header_version(version),
                "{api} {version}"
            );
            assert_eq!(
                api.response_header_version(version),
                key.response_header_version(version),
                "{api} {version}"
            );
            seen += 1;
        }
    }
    assert!(seen > 270, "{seen}");
}

#[test]
fn no_message_of_a_natural_shape_meets_the_memory_bound() {
    // Many empty elements: the most memory for a byte of input that a schema allows. Without the floor.
    let size = Size { elements: 40, bytes: 0, unknown_tags: false };
    for message in messages() {
        let api = ApiKey::from_code(message.key.unwrap()).unwrap();
        for version in versions(&message) {
            for seed in 0..3 {
                let input = Bytes::from(bytes(&message, version, &mut SeededRng::new(seed), size));
                if input.len() < 1_000 {
                    continue;
                }
                let max = input.len() * millstream_wire::MEMORY_FACTOR;
                let mut r = Reader::with_memory_max(input, max);
                let result = match message.kind {
                    Kind::Request => AnyRequest::decode(api, version, &mut r).map(|_| ()),
                    _ => AnyResponse::decode(api, version, &mut r).map(|_| ()),
                };
                assert_eq!(result, Ok(()), "{} version {version}, seed {seed}", message.name);
            }
        }
    }
}
