//! Frames written out by hand from the protocol's description, and what a header becomes when a version is unknown.

use ::bytes::Bytes;
use millstream_types::Uuid;
use millstream_wire::frame::{self, RequestApi};
use millstream_wire::message::api_versions_response::ApiVersion;
use millstream_wire::message::metadata_request::MetadataRequestTopic;
use millstream_wire::message::produce_request::{PartitionProduceData, TopicProduceData};
use millstream_wire::message::{ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, ProduceRequest};
use millstream_wire::{ApiKey, EncodeErrorKind, Reader, Records, Segment, TaggedFields};

fn flat(segments: Vec<Segment>) -> Vec<u8> {
    let mut out = Vec::new();
    for segment in segments {
        match segment {
            Segment::Bytes(bytes) => out.extend_from_slice(&bytes),
            Segment::External { .. } => panic!("no file range here"),
        }
    }
    out
}

#[test]
fn api_versions_0_is_a_header_and_nothing() {
    let frame = flat(frame::encode_request(7, Some("c1"), &ApiVersionsRequest::default(), 0).unwrap());
    assert_eq!(frame, [0, 0, 0, 12, 0, 18, 0, 0, 0, 0, 0, 7, 0, 2, b'c', b'1']);
}

#[test]
fn api_versions_3_has_tagged_fields_in_header_and_body() {
    let request = ApiVersionsRequest {
        client_software_name: "ab".into(),
        client_software_version: "1".into(),
        ..Default::default()
    };
    let frame = flat(frame::encode_request(7, None, &request, 3).unwrap());
    #[rustfmt::skip]
    let expected = [
        0, 0, 0, 17, // size
        0, 18, 0, 3, 0, 0, 0, 7, // key, version, correlation id
        0xff, 0xff, 0, // null client id in the old form, no tagged fields
        3, b'a', b'b', 2, b'1', 0, // compact strings, no tagged fields
    ];
    assert_eq!(frame, expected);
    let mut r = Reader::new(Bytes::from(frame).slice(4..));
    let header = frame::decode_request_header(&mut r).unwrap();
    assert_eq!((header.api, header.version), (RequestApi::Known(ApiKey::ApiVersions), 3));
    assert!(header.has_body);
    assert_eq!(header.header.client_id, None);
    assert_eq!(frame::decode_body::<ApiVersionsRequest>(&mut r, 3).unwrap(), request);
}

#[test]
fn an_api_versions_answer_has_the_oldest_header_in_every_version() {
    let response = ApiVersionsResponse {
        error_code: 35,
        api_keys: vec![ApiVersion { api_key: 18, min_version: 0, max_version: 4, ..Default::default() }],
        ..Default::default()
    };
    let v0 = flat(frame::encode_response(7, &response, 0).unwrap());
    assert_eq!(v0, [0, 0, 0, 16, 0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4]);
    let v3 = flat(frame::encode_response(7, &response, 3).unwrap());
    assert_eq!(v3, [0, 0, 0, 19, 0, 0, 0, 7, 0, 35, 2, 0, 18, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn an_unknown_version_still_gives_what_an_answer_needs() {
    let frame = [0, 18, 0, 99, 0, 0, 0, 7, 1, 2, 3];
    let header = frame::decode_request_header(&mut Reader::new(Bytes::copy_from_slice(&frame))).unwrap();
    assert_eq!((header.api, header.version), (RequestApi::Known(ApiKey::ApiVersions), 99));
    assert_eq!((header.header.correlation_id, header.has_body), (7, false));
    let frame = [0, 4, 0, 0, 0, 0, 0, 7];
    let header = frame::decode_request_header(&mut Reader::new(Bytes::copy_from_slice(&frame))).unwrap();
    assert_eq!(header.api, RequestApi::Unknown(4));
    assert!(frame::decode_request_header(&mut Reader::new(Bytes::copy_from_slice(&frame[..7]))).is_err());
}

#[test]
fn metadata_in_an_old_and_a_new_version() {
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic { name: Some("t".into()), ..Default::default() }]),
        ..Default::default()
    };
    let v1 = flat(frame::encode_request(1, Some(""), &request, 1).unwrap());
    assert_eq!(v1, [0, 0, 0, 17, 0, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, b't']);
    let v12 = flat(frame::encode_request(1, Some(""), &request, 12).unwrap());
    let mut expected = vec![0, 0, 0, 34, 0, 3, 0, 12, 0, 0, 0, 1, 0, 0, 0, 2];
    expected.extend(Uuid::ZERO.0);
    expected.extend([2, b't', 0, 1, 0, 0]);
    assert_eq!(v12, expected);
}

#[test]
fn a_field_that_the_version_lacks_must_be_at_its_default_or_ignorable() {
    // IncludeTopicAuthorizedOperations came with version 8 and is not ignorable.
    let request = MetadataRequest { include_topic_authorized_operations: true, ..Default::default() };
    assert!(frame::encode_request(1, None, &request, 8).is_ok());
    let error = frame::encode_request(1, None, &request, 7).unwrap_err();
    assert_eq!((error.kind, error.what), (EncodeErrorKind::Absent, "include_topic_authorized_operations"));
    // ThrottleTimeMs of ApiVersions is ignorable.
    let response = ApiVersionsResponse { throttle_time_ms: 5, ..Default::default() };
    assert!(frame::encode_response(1, &response, 0).is_ok());
    let error = frame::encode_response(1, &response, 6).unwrap_err();
    assert_eq!((error.kind, error.value, error.bound), (EncodeErrorKind::Version, 6, 5));
}

fn produce(records: Records) -> ProduceRequest {
    ProduceRequest {
        topic_data: vec![TopicProduceData {
            name: "t".into(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(records),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

#[test]
fn large_records_and_file_ranges_are_segments_of_their_own() {
    let records = Bytes::from(vec![9u8; 5_000]);
    let segments = frame::encode_request(1, None, &produce(records.clone().into()), 9).unwrap();
    assert_eq!(segments.len(), 3);
    let Segment::Bytes(middle) = &segments[1] else { panic!("bytes were put in") };
    assert_eq!(middle.as_ptr(), records.as_ptr(), "the records were copied");
    let total: usize = segments.iter().map(Segment::len).sum();
    let whole = flat(segments);
    assert_eq!(whole[..4], (total as i32 - 4).to_be_bytes());

    // Decoding gives a slice of the frame, not a copy.
    let frame = Bytes::from(whole).slice(4..);
    let mut r = Reader::new(frame.clone());
    frame::decode_request_header(&mut r).unwrap();
    let decoded: ProduceRequest = frame::decode_body(&mut r, 9).unwrap();
    assert_eq!(decoded, produce(records.into()));
    let slice = decoded.topic_data[0].partition_data[0].records.as_ref().unwrap().as_bytes().unwrap();
    assert!(frame.as_ptr_range().contains(&slice.as_ptr()));

    let external = produce(Records::External { slot: 3, len: 5_000 });
    let segments = frame::encode_request(1, None, &external, 9).unwrap();
    assert_eq!(segments[1], Segment::External { slot: 3, len: 5_000 });
    assert_eq!(segments.iter().map(Segment::len).sum::<usize>(), total);
}

#[test]
fn unknown_tagged_fields_pass_through() {
    let mut unknown = TaggedFields::default();
    unknown.insert(77, Bytes::from_static(b"new"));
    let request = ApiVersionsRequest { unknown_tagged_fields: unknown.clone(), ..Default::default() };
    let mut r =
        Reader::new(Bytes::from(flat(frame::encode_request(1, None, &request, 4).unwrap())).slice(4..));
    frame::decode_request_header(&mut r).unwrap();
    let decoded: ApiVersionsRequest = frame::decode_body(&mut r, 4).unwrap();
    assert_eq!(decoded.unknown_tagged_fields, unknown);
    assert_eq!(size_of::<TaggedFields>(), 8);
}

#[test]
fn the_table_of_apis_is_kafkas() {
    assert_eq!(ApiKey::ALL.len(), 91);
    for api in ApiKey::ALL {
        assert_eq!(ApiKey::from_code(api.code()), Some(*api));
        assert!(api.min_version() <= api.max_version() && api.max_version() <= api.max_unstable_version());
    }
    assert_eq!(ApiKey::from_code(7), None);
    assert_eq!((ApiKey::InitProducerId.max_version(), ApiKey::InitProducerId.max_unstable_version()), (5, 6));
    assert_eq!((ApiKey::Produce.min_version(), ApiKey::Produce.max_version()), (3, 13));
    assert_eq!((ApiKey::Fetch.min_version(), ApiKey::Fetch.max_version()), (4, 18));
    assert_eq!(ApiKey::ApiVersions.response_header_version(4), 0);
    assert_eq!(ApiKey::ApiVersions.request_header_version(4), 2);
    assert_eq!(ApiKey::Metadata.response_header_version(9), 1);
    assert_eq!(ApiKey::SaslHandshake.first_flexible_version(), None);
    assert!(ApiKey::Vote.on_controller_listener() && !ApiKey::Vote.on_broker_listener());
    assert!(ApiKey::Fetch.on_controller_listener() && ApiKey::Fetch.on_broker_listener());
}
