//! Bytes that are not what they should be: cut short, changed, or with absurd counts. None may panic, and none may
//! allocate by what it claims.

use crate::oracle::messages;
use crate::random::{Size, bytes, versions};
use crate::table::{Kind, Message};
use ::bytes::Bytes;
use millstream_types::{Rng, SeededRng};
use millstream_wire::record::data::ConsumerProtocolSubscription;
use millstream_wire::record::group::{GroupKey, GroupValue};
use millstream_wire::record::metadata::MetadataRecord;
use millstream_wire::record::txn::TransactionValue;
use millstream_wire::{
    AnyRequest, AnyResponse, ApiKey, Data, DecodeError, DecodeErrorKind, Reader, Writer, frame,
};

const SIZE: Size = Size { elements: 2, bytes: 6, unknown_tags: true };

fn decode(message: &Message, version: i16, input: &[u8]) -> Result<usize, DecodeError> {
    let api = ApiKey::from_code(message.key.unwrap()).unwrap();
    let mut r = Reader::new(Bytes::copy_from_slice(input));
    let mut w = Writer::new();
    // What was decoded can be encoded again, except for what no version can write.
    if message.kind == Kind::Request {
        let _ = AnyRequest::decode(api, version, &mut r)?.encode(&mut w, version);
    } else {
        let _ = AnyResponse::decode(api, version, &mut r)?.encode(&mut w, version);
    }
    Ok(r.remaining())
}

#[test]
fn a_message_cut_short_is_an_error_at_every_byte() {
    for message in messages() {
        for version in versions(&message) {
            let seed = version as u64;
            let input = bytes(&message, version, &mut SeededRng::new(seed), SIZE);
            for end in 0..input.len() {
                let result = decode(&message, version, &input[..end]);
                assert!(result.is_err(), "{} version {version}, seed {seed}, cut at {end}", message.name);
            }
        }
    }
}

#[test]
fn changed_bytes_never_panic() {
    for message in messages() {
        for version in versions(&message) {
            for case in 0..150 {
                let seed = case * 65_537 + version as u64;
                let mut rng = SeededRng::new(seed);
                let mut input = bytes(&message, version, &mut rng, SIZE);
                for _ in 0..=rng.below(3) {
                    if input.is_empty() {
                        break;
                    }
                    let at = rng.below(input.len() as u64) as usize;
                    input[at] = if rng.chance(1, 2) { 0xff } else { rng.next_u64() as u8 };
                }
                println!("{} version {version}, seed {seed}", message.name);
                let _ = decode(&message, version, &input);
            }
        }
    }
}

#[test]
fn noise_never_panics() {
    for message in messages() {
        for version in versions(&message) {
            for seed in 0..60 {
                let mut rng = SeededRng::new(seed);
                let input: Vec<u8> = (0..rng.below(120)).map(|_| rng.next_u64() as u8 & 0x8f).collect();
                println!("{} version {version}, seed {seed}", message.name);
                let _ = decode(&message, version, &input);
            }
        }
    }
}

#[test]
fn headers_and_records_made_of_noise_never_panic() {
    for seed in 0..20_000 {
        let mut rng = SeededRng::new(seed);
        let mut input: Vec<u8> = (0..rng.below(60)).map(|_| rng.next_u64() as u8 & 0x8f).collect();
        println!("seed {seed}");
        let _ = frame::decode_request_header(&mut Reader::new(Bytes::from(input.clone())));
        let _ = GroupValue::decode(rng.below(25) as i16, Bytes::from(input.clone()));
        let _ = TransactionValue::decode(0, Bytes::from(input.clone()));
        let _ = ConsumerProtocolSubscription::from_versioned_bytes(Bytes::from(input.clone()));
        if input.len() >= 3 {
            (input[0], input[1]) = (0, rng.below(25) as u8);
            let _ = GroupKey::decode(Bytes::from(input.clone()));
            (input[0], input[1], input[2]) = (1, rng.below(31) as u8, rng.below(3) as u8);
            let _ = MetadataRecord::decode(Bytes::from(input));
        }
    }
}

#[test]
fn an_absurd_count_is_refused_before_anything_is_allocated() {
    // Metadata 1: a count of topics that the 20 bytes cannot hold.
    let mut input = vec![0u8; 20];
    input[..4].copy_from_slice(&i32::MAX.to_be_bytes());
    let mut r = Reader::new(Bytes::from(input));
    let error = AnyRequest::decode(ApiKey::Metadata, 1, &mut r).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::Length);
    assert_eq!((error.what, error.value, error.bound, error.at), ("topics", i32::MAX.into(), 8, 0));
    assert_eq!(
        error.to_string(),
        "reading topics at byte 0: a length of 2147483647 where 0 to 8 are possible"
    );

    // Metadata 12: the same as a compact count.
    let mut input = vec![0xff, 0xff, 0xff, 0xff, 0x0f];
    input.resize(20, 0);
    let mut r = Reader::new(Bytes::from(input));
    let error = AnyRequest::decode(ApiKey::Metadata, 12, &mut r).unwrap_err();
    assert_eq!((error.kind, error.what), (DecodeErrorKind::Length, "topics"));

    // A varint that goes on for a sixth byte, and one beyond 32 bits.
    for input in [&[0xff; 20][..], &[0xff, 0xff, 0xff, 0xff, 0x1f, 0, 0, 0]] {
        let mut r = Reader::new(Bytes::copy_from_slice(input));
        let error = AnyRequest::decode(ApiKey::Metadata, 12, &mut r).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::Varint);
    }
}

#[test]
fn values_that_cost_more_memory_than_allowed_are_refused() {
    // A million empty strings: a byte each on the wire, 24 in memory.
    let count = 1_000_000u32;
    let mut w = Writer::new();
    w.uvarint(count + 1);
    let mut input = w.into_bytes().unwrap().to_vec();
    input.resize(input.len() + count as usize, 1);
    input.push(0);
    let bytes = Bytes::from(input);
    let mut r = Reader::new(bytes.clone());
    AnyRequest::decode(ApiKey::DescribeGroups, 5, &mut r).unwrap_err();
    let mut r = Reader::with_memory_max(bytes, 4 * count as usize);
    let error = AnyRequest::decode(ApiKey::DescribeGroups, 5, &mut r).unwrap_err();
    assert_eq!((error.kind, error.bound), (DecodeErrorKind::Memory, 4_000_000));
}

#[test]
fn a_tagged_field_must_fill_its_size() {
    // ApiVersions 3 with a tag 0 in the response (supported features, an array) of two bytes, one of them unused.
    let input = [0, 0, 1, 0, 0, 0, 0, 1, 0, 2, 1, 9];
    let mut r = Reader::new(Bytes::copy_from_slice(&input));
    let error = AnyResponse::decode(ApiKey::ApiVersions, 3, &mut r).unwrap_err();
    assert_eq!((error.kind, error.what), (DecodeErrorKind::Trailing, "a tagged field"));
}
