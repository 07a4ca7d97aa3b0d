//! From a frame to the handler of its API: the header is read, the version is checked, every request is authorised,
//! the body is read, and its handler begins it. The table of what this broker serves is here, and ApiVersions tells it.
//! Never enters: what a handler does.

use std::sync::Arc;

use bytes::Bytes;
use millstream_auth::{Decision, Listener, Principal, authorize};
use millstream_net::OutSegment;
use millstream_types::ErrorCode;
use millstream_wire::frame::{RequestApi, decode_request_header};
use millstream_wire::{ApiKey, Message, Reader, Response, Segment};

use crate::broker::Broker;
use crate::connection::Begun;
use crate::handler;
use crate::metrics::Metrics;

/// Memory that a request's values may take beyond its own bytes: values are larger than what they are read from.
const VALUE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Who is at the other end of a connection.
pub struct Client {
    /// Its address.
    pub host: String,
    /// Who it is; everybody is anonymous until authentication is there.
    pub principal: Principal,
    /// The listener it came by.
    pub listener: Listener,
}

impl Client {
    /// A peer that has said nothing yet.
    pub fn new(host: &str, listener: Listener) -> Client {
        Client { host: host.to_owned(), principal: Principal::anonymous(), listener }
    }
}

/// What a handler knows of the request that it serves.
#[derive(Clone, Debug)]
pub struct Context {
    /// The API.
    pub api: ApiKey,
    /// Its version.
    pub version: i16,
    /// The number that ties the answer to the request.
    pub correlation_id: i32,
    /// The client's name for itself.
    pub client_id: String,
    /// The client's address.
    pub host: String,
    /// Whether the client is this process.
    pub in_process: bool,
}

impl Context {
    /// The answer as segments to write.
    pub fn answer<R: Response>(&self, response: &R) -> Vec<OutSegment> {
        match millstream_wire::frame::encode_response(self.correlation_id, response, self.version) {
            Ok(segments) => segments.into_iter().map(memory).collect(),
            Err(error) => {
                // A response that its version cannot hold is a bug of ours; the client sees its connection close.
                tracing::error!(api = self.api.name(), version = self.version, %error, "a response cannot be written");
                Vec::new()
            }
        }
    }

    /// The answer, at once.
    pub fn ready<R: Response>(&self, response: &R) -> Begun {
        let segments = self.answer(response);
        if segments.is_empty() { Begun::Close } else { Begun::Ready(segments) }
    }

    /// The answer, when `future` gives it.
    pub fn later<R, F>(self, future: F) -> Begun
    where
        R: Response + Send + 'static,
        F: Future<Output = R> + Send + 'static,
    {
        Begun::Later(Box::pin(async move { self.answer(&future.await) }))
    }

    /// As [`Context::later`], and no other request of the connection begins before.
    pub fn blocking<R, F>(self, future: F) -> Begun
    where
        R: Response + Send + 'static,
        F: Future<Output = R> + Send + 'static,
    {
        Begun::Blocking(Box::pin(async move { self.ready(&future.await) }))
    }
}

fn memory(segment: Segment) -> OutSegment {
    match segment {
        Segment::Bytes(bytes) => OutSegment::Bytes(bytes),
        Segment::External { .. } => {
            unreachable!("only a fetch's answer has file ranges, and it puts them in itself")
        }
    }
}

/// What this broker serves: API, lowest and highest version. ApiVersions tells exactly this.
pub const SERVED: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 13),
    (ApiKey::Fetch, 4, 17),
    (ApiKey::ListOffsets, 1, 10),
    (ApiKey::Metadata, 0, 13),
    (ApiKey::OffsetCommit, 2, 10),
    (ApiKey::OffsetFetch, 1, 10),
    (ApiKey::FindCoordinator, 0, 6),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 6),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 5),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::AddPartitionsToTxn, 0, 5),
    (ApiKey::AddOffsetsToTxn, 0, 4),
    (ApiKey::EndTxn, 0, 5),
    (ApiKey::TxnOffsetCommit, 0, 6),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::AlterConfigs, 0, 2),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 3),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::OffsetDelete, 0, 0),
    (ApiKey::DescribeCluster, 0, 2),
    (ApiKey::DescribeProducers, 0, 0),
    (ApiKey::DescribeTransactions, 0, 0),
    (ApiKey::ListTransactions, 0, 1),
    (ApiKey::ConsumerGroupHeartbeat, 0, 1),
    (ApiKey::ConsumerGroupDescribe, 0, 1),
    (ApiKey::DescribeTopicPartitions, 0, 0),
];

/// Begins a request.
pub fn dispatch(broker: &Arc<Broker>, client: &mut Client, frame: Bytes) -> Begun {
    Metrics::add(&broker.metrics.requests, 1);
    let mut reader = Reader::with_memory_max(frame, VALUE_BYTES_MAX);
    let Ok(decoded) = decode_request_header(&mut reader) else { return Begun::Close };
    let RequestApi::Known(api) = decoded.api else { return Begun::Close };
    let version = decoded.version;
    let context = Context {
        api,
        version,
        correlation_id: decoded.header.correlation_id,
        client_id: decoded.header.client_id.unwrap_or_default(),
        host: client.host.clone(),
        in_process: client.listener.is_in_process(),
    };
    let served = SERVED.iter().find(|(key, _, _)| *key == api);
    let in_range = served.is_some_and(|(_, low, high)| (*low..=*high).contains(&version));
    if !in_range {
        // Kafka answers ApiVersions of any version in version 0, so that a newer client can begin.
        return if api == ApiKey::ApiVersions {
            handler::api_versions::unsupported(&context)
        } else {
            Begun::Close
        };
    }
    if authorize(api, &client.principal, &client.listener) == Decision::Deny {
        return Begun::Close;
    }
    begin(broker, context, &mut reader)
}

/// Reads the request's body. What follows it is passed over, as in Kafka: librdkafka 2.16 sends bytes behind its
/// Metadata request of version 13.
fn read<M: Message>(reader: &mut Reader, version: i16) -> Result<M, Begun> {
    let request = M::decode(reader, version).map_err(|error| {
        tracing::debug!(api = M::NAME, version, %error, "a request's body cannot be read");
        Begun::Close
    })?;
    // The request alone holds the frame from here on: a produce may change its bytes in place.
    *reader = Reader::new(Bytes::new());
    Ok(request)
}

fn begin(broker: &Arc<Broker>, cx: Context, reader: &mut Reader) -> Begun {
    macro_rules! serve {
        ($handler:path) => {
            match read(reader, cx.version) {
                Ok(request) => $handler(broker, cx, request),
                Err(close) => close,
            }
        };
    }
    match cx.api {
        ApiKey::Produce => serve!(handler::produce::begin),
        ApiKey::Fetch => serve!(handler::fetch::begin),
        ApiKey::ListOffsets => serve!(handler::list_offsets::begin),
        ApiKey::Metadata => serve!(handler::metadata::begin),
        ApiKey::DescribeTopicPartitions => serve!(handler::metadata::describe_topic_partitions),
        ApiKey::DescribeCluster => serve!(handler::metadata::describe_cluster),
        ApiKey::ApiVersions => serve!(handler::api_versions::begin),
        ApiKey::CreateTopics => serve!(handler::topics::create),
        ApiKey::DeleteTopics => serve!(handler::topics::delete),
        ApiKey::CreatePartitions => serve!(handler::topics::create_partitions),
        ApiKey::DeleteRecords => serve!(handler::delete_records::begin),
        ApiKey::DescribeConfigs => serve!(handler::configs::describe),
        ApiKey::AlterConfigs => serve!(handler::configs::alter),
        ApiKey::IncrementalAlterConfigs => serve!(handler::configs::incremental_alter),
        ApiKey::OffsetForLeaderEpoch => serve!(handler::list_offsets::for_leader_epoch),
        ApiKey::FindCoordinator => serve!(handler::find_coordinator::begin),
        ApiKey::JoinGroup => serve!(handler::groups::join),
        ApiKey::SyncGroup => serve!(handler::groups::sync),
        ApiKey::Heartbeat => serve!(handler::groups::heartbeat),
        ApiKey::LeaveGroup => serve!(handler::groups::leave),
        ApiKey::ConsumerGroupHeartbeat => serve!(handler::groups::consumer_heartbeat),
        ApiKey::ConsumerGroupDescribe => serve!(handler::groups::consumer_describe),
        ApiKey::DescribeGroups => serve!(handler::groups::describe),
        ApiKey::ListGroups => serve!(handler::groups::list),
        ApiKey::DeleteGroups => serve!(handler::groups::delete),
        ApiKey::OffsetCommit => serve!(handler::offsets::commit),
        ApiKey::OffsetFetch => serve!(handler::offsets::fetch),
        ApiKey::OffsetDelete => serve!(handler::offsets::delete),
        ApiKey::TxnOffsetCommit => serve!(handler::offsets::txn_commit),
        ApiKey::InitProducerId => serve!(handler::transactions::init_producer_id),
        ApiKey::AddPartitionsToTxn => serve!(handler::transactions::add_partitions),
        ApiKey::AddOffsetsToTxn => serve!(handler::transactions::add_offsets),
        ApiKey::EndTxn => serve!(handler::transactions::end),
        ApiKey::DescribeTransactions => serve!(handler::transactions::describe),
        ApiKey::ListTransactions => serve!(handler::transactions::list),
        ApiKey::DescribeProducers => serve!(handler::transactions::describe_producers),
        _ => Begun::Close,
    }
}

/// A code of the wire from a result.
pub fn code(result: Result<(), ErrorCode>) -> i16 {
    result.err().unwrap_or(ErrorCode::None).code()
}
