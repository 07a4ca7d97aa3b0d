//! Records of the internal logs: every type in every version comes back the same, and what is not a record is an
//! error that names its number.

use crate::random::{Size, bytes, table, uvarint, versions};
use ::bytes::Bytes;
use millstream_types::SeededRng;
use millstream_wire::record::data::{ConsumerProtocolSubscription, EndTxnMarker, ProducerSnapshot};
use millstream_wire::record::group::consumer_group_member_metadata_value::ClassicMemberMetadata;
use millstream_wire::record::group::{
    ConsumerGroupMemberMetadataValue, GroupKey, GroupValue, OffsetCommitKey, OffsetCommitValue,
};
use millstream_wire::record::metadata::{MetadataRecord, TopicRecord};
use millstream_wire::record::remote_log::RemoteLogRecord;
use millstream_wire::record::share::{ShareKey, ShareValue};
use millstream_wire::record::txn::{TransactionKey, TransactionLogKey, TransactionValue};
use millstream_wire::{Data, DecodeErrorKind};

const SIZE: Size = Size { elements: 3, bytes: 12, unknown_tags: true };

/// Random bytes of every message in every version, with what `prefix` puts in front.
fn check(text: &str, what: &str, prefix: fn(i64, i64) -> Vec<u8>, again: fn(i16, Bytes) -> Bytes) -> usize {
    let mut seen = 0;
    for message in table(text) {
        if !format!("{:?}", message.kind).eq_ignore_ascii_case(what) {
            continue;
        }
        seen += 1;
        for version in versions(&message) {
            for seed in 0..20 {
                let body = bytes(&message, version, &mut SeededRng::new(seed), SIZE);
                let mut input = prefix(message.key.unwrap().into(), version.into());
                input.extend(body);
                println!("{} version {version}, seed {seed}", message.name);
                let input = Bytes::from(input);
                assert_eq!(
                    again(message.key.unwrap(), input.clone()),
                    input,
                    "{} {version} {seed}",
                    message.name
                );
            }
        }
    }
    seen
}

fn framed(key: i64, version: i64) -> Vec<u8> {
    let mut out = vec![1];
    uvarint(key as u64, &mut out);
    uvarint(version as u64, &mut out);
    out
}

fn typed(key: i64, _: i64) -> Vec<u8> {
    (key as i16).to_be_bytes().to_vec()
}

fn versioned(_: i64, version: i64) -> Vec<u8> {
    (version as i16).to_be_bytes().to_vec()
}

#[test]
fn every_record_comes_back() {
    let metadata = check(include_str!("../../schema/metadata.txt"), "record", framed, |_, bytes| {
        let (record, version) = MetadataRecord::decode(bytes).unwrap();
        record.encode(version).unwrap()
    });
    assert_eq!(metadata, 27);
    let remote = check(include_str!("../../schema/remote_log.txt"), "record", framed, |_, bytes| {
        let (record, version) = RemoteLogRecord::decode(bytes).unwrap();
        record.encode(version).unwrap()
    });
    assert_eq!(remote, 4);
    let group = include_str!("../../schema/group.txt");
    let keys = check(group, "key", typed, |_, bytes| GroupKey::decode(bytes).unwrap().encode().unwrap());
    let values = check(group, "value", versioned, |key, bytes| {
        let version = i16::from_be_bytes([bytes[0], bytes[1]]);
        GroupValue::decode(key, bytes).unwrap().encode(version).unwrap()
    });
    assert_eq!((keys, values), (22, 22));
    let share = include_str!("../../schema/share.txt");
    let keys = check(share, "key", typed, |_, bytes| ShareKey::decode(bytes).unwrap().encode().unwrap());
    let values = check(share, "value", versioned, |key, bytes| {
        ShareValue::decode(key, bytes).unwrap().encode(0).unwrap()
    });
    assert_eq!((keys, values), (2, 2));
    let txn = include_str!("../../schema/txn.txt");
    let keys = check(txn, "key", typed, |_, bytes| TransactionKey::decode(bytes).unwrap().encode().unwrap());
    let values = check(txn, "value", versioned, |key, bytes| {
        let version = i16::from_be_bytes([bytes[0], bytes[1]]);
        TransactionValue::decode(key, bytes).unwrap().encode(version).unwrap()
    });
    assert_eq!((keys, values), (1, 1));
}

fn data<D: Data>(seed: u64) {
    let message =
        table(include_str!("../../schema/data.txt")).into_iter().find(|m| m.name == D::NAME).unwrap();
    assert_eq!(versions(&message), D::MIN_VERSION..=D::MAX_VERSION);
    for version in versions(&message) {
        let body = Bytes::from(bytes(&message, version, &mut SeededRng::new(seed), SIZE));
        let value = D::from_bytes(body.clone(), version).unwrap();
        assert_eq!(value.to_bytes(version).unwrap(), body, "{} version {version}, seed {seed}", D::NAME);
        let prefixed = value.to_versioned_bytes(version).unwrap();
        assert_eq!(D::from_versioned_bytes(prefixed).unwrap(), (value, version));
    }
}

#[test]
fn every_data_structure_comes_back() {
    use millstream_wire::record::data::*;
    for seed in 0..20 {
        data::<AbortedTxn>(seed);
        data::<ConsumerProtocolAssignment>(seed);
        data::<ConsumerProtocolSubscription>(seed);
        data::<ControlRecordTypeSchema>(seed);
        data::<DefaultPrincipalData>(seed);
        data::<EndTxnMarker>(seed);
        data::<KRaftVersionRecord>(seed);
        data::<LeaderChangeMessage>(seed);
        data::<ProducerSnapshot>(seed);
        data::<QuorumStateData>(seed);
        data::<SnapshotFooterRecord>(seed);
        data::<SnapshotHeaderRecord>(seed);
        data::<VotersRecord>(seed);
    }
}

#[test]
fn records_written_by_hand() {
    let record = MetadataRecord::from(TopicRecord { name: "t".into(), ..Default::default() });
    let mut expected = vec![1, 2, 0, 2, b't'];
    expected.extend([0; 16]);
    expected.push(0);
    assert_eq!(record.encode(0).unwrap(), expected);

    let key = GroupKey::from(OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 1 });
    assert_eq!(key.encode().unwrap(), &[0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 1][..]);
    let value = GroupValue::from(OffsetCommitValue { offset: 5, ..Default::default() });
    assert_eq!(value.encode(3).unwrap()[..10], [0, 3, 0, 0, 0, 0, 0, 0, 0, 5]);

    let key = TransactionKey::from(TransactionLogKey { transactional_id: "x".into() });
    assert_eq!(key.encode().unwrap(), &[0, 0, 0, 1, b'x'][..]);
    let marker = EndTxnMarker { coordinator_epoch: 9 };
    assert_eq!(marker.to_versioned_bytes(0).unwrap(), &[0, 0, 0, 0, 0, 9][..]);
    let snapshot = ProducerSnapshot { crc: 0xffff_ffff, ..Default::default() };
    assert_eq!(snapshot.to_versioned_bytes(1).unwrap(), &[0, 1, 255, 255, 255, 255, 0, 0, 0, 0][..]);
    let subscription = ConsumerProtocolSubscription { topics: vec!["t".into()], ..Default::default() };
    assert_eq!(
        subscription.to_versioned_bytes(0).unwrap(),
        &[0, 0, 0, 0, 0, 1, 0, 1, b't', 255, 255, 255, 255][..]
    );
}

#[test]
fn a_structure_in_a_tagged_field_is_marked_by_a_varint() {
    // What Kafka 4.4.0's own class writes: the field's default is a structure, so null has to be said, and is the
    // varint 0 where a structure outside a tagged field would have the byte -1.
    let mut value = ConsumerGroupMemberMetadataValue { classic_member_metadata: None, ..Default::default() };
    assert_eq!(value.to_bytes(0).unwrap(), &[1, 1, 1, 1, 1, 1, 255, 255, 255, 255, 1, 1, 0, 1, 0][..]);
    value.classic_member_metadata =
        Some(ClassicMemberMetadata { session_timeout_ms: 9, ..Default::default() });
    let bytes = value.to_bytes(0).unwrap();
    assert_eq!(bytes, &[1, 1, 1, 1, 1, 1, 255, 255, 255, 255, 1, 1, 0, 7, 1, 0, 0, 0, 9, 1, 0][..]);
    assert_eq!(ConsumerGroupMemberMetadataValue::from_bytes(bytes, 0).unwrap(), value);
}

#[test]
fn what_is_no_record_is_an_error_with_its_number() {
    let error = MetadataRecord::decode(Bytes::from_static(&[1, 6, 0, 0])).unwrap_err();
    assert_eq!((error.kind, error.value), (DecodeErrorKind::RecordType, 6));
    let error = MetadataRecord::decode(Bytes::from_static(&[2, 6, 0, 0])).unwrap_err();
    assert_eq!((error.kind, error.value, error.bound), (DecodeErrorKind::FrameVersion, 2, 1));
    let error = MetadataRecord::decode(Bytes::from_static(&[1, 2, 9])).unwrap_err();
    assert_eq!((error.kind, error.value), (DecodeErrorKind::Version, 9));
    let error = GroupKey::decode(Bytes::from_static(&[0, 99, 0])).unwrap_err();
    assert_eq!((error.kind, error.value), (DecodeErrorKind::RecordType, 99));
    let error = GroupValue::decode(99, Bytes::from_static(&[0, 0])).unwrap_err();
    assert_eq!((error.kind, error.value), (DecodeErrorKind::RecordType, 99));
    let error = TransactionKey::decode(Bytes::from_static(&[0, 0, 0, 0, 1])).unwrap_err();
    assert_eq!((error.kind, error.value), (DecodeErrorKind::Trailing, 1));
    for end in 0..3 {
        assert!(MetadataRecord::decode(Bytes::from_static(&[1, 2, 0]).slice(..end)).is_err());
    }
}
