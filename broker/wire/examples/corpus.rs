//! Writes random messages of every kind and version for `judge/Judge.java`, which asks Kafka's own classes what
//! they make of them. A line each: class, version read, version written, bytes read, bytes that this crate writes
//! (or `error`). Not a test, since Kafka's jars are no part of the build; run by hand when the tables change.

use bytes::Bytes;
use millstream_types::SeededRng;
use millstream_wire::header::{RequestHeader, ResponseHeader};
use millstream_wire::record::data::*;
use millstream_wire::record::{
    group::*, metadata::MetadataRecord, remote_log::RemoteLogRecord, share::*, txn::*,
};
use millstream_wire::{AnyRequest, AnyResponse, ApiKey, Data, EncodeError, Reader, Writer};
use random::{Size, uvarint};
use table::{Kind, Message};

#[path = "../tests/it/random.rs"]
mod random;
#[allow(dead_code)]
#[path = "../../../xtask/src/protocol/table.rs"]
mod table;

const SIZES: [Size; 2] = [
    Size { elements: 3, bytes: 12, unknown_tags: true },
    // Nearly everything at its default, so that versions without a field can write the rest.
    Size { elements: 0, bytes: 0, unknown_tags: false },
];

type Written = Result<Bytes, EncodeError>;

fn main() {
    for text in [
        include_str!("../schema/request.txt"),
        include_str!("../schema/response.txt"),
        include_str!("../schema/header.txt"),
        include_str!("../schema/metadata.txt"),
        include_str!("../schema/remote_log.txt"),
        include_str!("../schema/group.txt"),
        include_str!("../schema/share.txt"),
        include_str!("../schema/txn.txt"),
        include_str!("../schema/data.txt"),
    ] {
        for message in random::table(text) {
            for from in random::versions(&message) {
                for seed in 0..8 {
                    let size = SIZES[seed as usize % 2];
                    let input = Bytes::from(random::bytes(&message, from, &mut SeededRng::new(seed), size));
                    for to in random::versions(&message) {
                        let output = again(&message, from, to, input.clone());
                        let output = output.map_or_else(|_| "error".to_owned(), |bytes| hex(&bytes));
                        println!("{} {from} {to} {} {output}", message.name, hex(&input));
                    }
                }
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes in `from` as the bytes in `to`.
fn again(message: &Message, from: i16, to: i16, input: Bytes) -> Written {
    let key = message.key.unwrap_or(0);
    match message.kind {
        Kind::Request => {
            let api = ApiKey::from_code(key).expect("the tables' keys are all known");
            let value = AnyRequest::decode(api, from, &mut Reader::new(input)).expect("canonical bytes");
            body(|w| value.encode(w, to))
        }
        Kind::Response => {
            let api = ApiKey::from_code(key).expect("the tables' keys are all known");
            let value = AnyResponse::decode(api, from, &mut Reader::new(input)).expect("canonical bytes");
            body(|w| value.encode(w, to))
        }
        Kind::Header if message.name == "RequestHeader" => {
            let value = RequestHeader::decode(&mut Reader::new(input), from).expect("canonical bytes");
            body(|w| value.encode(w, to))
        }
        Kind::Header => {
            let value = ResponseHeader::decode(&mut Reader::new(input), from).expect("canonical bytes");
            body(|w| value.encode(w, to))
        }
        Kind::Record => {
            let mut framed = vec![1];
            uvarint(key as u64, &mut framed);
            uvarint(from as u64, &mut framed);
            // Record types and versions are below 128, so the frame before and after has three bytes.
            assert_eq!(framed.len(), 3);
            framed.extend_from_slice(&input);
            let written = if message.name.starts_with("Remote") {
                RemoteLogRecord::decode(framed.into()).expect("canonical bytes").0.encode(to)
            } else {
                MetadataRecord::decode(framed.into()).expect("canonical bytes").0.encode(to)
            };
            written.map(|bytes| bytes.slice(3..))
        }
        Kind::Key => {
            let typed = prefixed(key, &input);
            let written = match message.name.as_str() {
                "TransactionLogKey" => TransactionKey::decode(typed).expect("canonical bytes").encode(),
                "ShareSnapshotKey" | "ShareUpdateKey" => {
                    ShareKey::decode(typed).expect("canonical bytes").encode()
                }
                _ => GroupKey::decode(typed).expect("canonical bytes").encode(),
            };
            written.map(|bytes| bytes.slice(2..))
        }
        Kind::Value => {
            let versioned = prefixed(from, &input);
            let written = match message.name.as_str() {
                "TransactionLogValue" => {
                    TransactionValue::decode(key, versioned).expect("canonical bytes").encode(to)
                }
                "ShareSnapshotValue" | "ShareUpdateValue" => {
                    ShareValue::decode(key, versioned).expect("canonical bytes").encode(to)
                }
                _ => GroupValue::decode(key, versioned).expect("canonical bytes").encode(to),
            };
            written.map(|bytes| bytes.slice(2..))
        }
        Kind::Data => data(&message.name, from, to, input),
    }
}

fn body(write: impl FnOnce(&mut Writer) -> Result<(), EncodeError>) -> Written {
    let mut w = Writer::new();
    write(&mut w)?;
    w.into_bytes()
}

fn prefixed(number: i16, bytes: &[u8]) -> Bytes {
    [&number.to_be_bytes()[..], bytes].concat().into()
}

fn data(name: &str, from: i16, to: i16, input: Bytes) -> Written {
    fn again<D: Data>(from: i16, to: i16, input: Bytes) -> Written {
        D::from_bytes(input, from).expect("canonical bytes").to_bytes(to)
    }
    let again = match name {
        "AbortedTxn" => again::<AbortedTxn>,
        "ConsumerProtocolAssignment" => again::<ConsumerProtocolAssignment>,
        "ConsumerProtocolSubscription" => again::<ConsumerProtocolSubscription>,
        "ControlRecordTypeSchema" => again::<ControlRecordTypeSchema>,
        "DefaultPrincipalData" => again::<DefaultPrincipalData>,
        "EndTxnMarker" => again::<EndTxnMarker>,
        "KRaftVersionRecord" => again::<KRaftVersionRecord>,
        "LeaderChangeMessage" => again::<LeaderChangeMessage>,
        "ProducerSnapshot" => again::<ProducerSnapshot>,
        "QuorumStateData" => again::<QuorumStateData>,
        "SnapshotFooterRecord" => again::<SnapshotFooterRecord>,
        "SnapshotHeaderRecord" => again::<SnapshotHeaderRecord>,
        "VotersRecord" => again::<VotersRecord>,
        other => panic!("{other} has no line here"),
    };
    again(from, to, input)
}
