//! FindCoordinator: which broker coordinates a group or a transactional id. The internal topic that they live in is
//! made when it is first asked for.

use std::sync::Arc;

use millstream_types::hash::coordinator_partition;
use millstream_types::topic::{CONSUMER_OFFSETS, TRANSACTION_STATE};
use millstream_types::{ErrorCode, NodeId};
use millstream_wire::message::FindCoordinatorRequest;
use millstream_wire::message::find_coordinator_response::{Coordinator, FindCoordinatorResponse};

use crate::broker::{Broker, LISTENER};
use crate::connection::Begun;
use crate::dispatch::Context;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// Partitions and settings of an internal topic; none for any other.
pub(crate) fn internal_topic(
    broker: &Broker,
    name: &str,
) -> (Option<i32>, &'static [(&'static str, &'static str)]) {
    let compacted: &[(&str, &str)] =
        &[("cleanup.policy", "compact"), ("segment.bytes", "104857600"), ("compression.type", "producer")];
    match name {
        CONSUMER_OFFSETS => (Some(broker.config.number("offsets.topic.num.partitions") as i32), compacted),
        TRANSACTION_STATE => (
            Some(broker.config.number("transaction.state.log.num.partitions") as i32),
            &[
                ("cleanup.policy", "compact"),
                ("segment.bytes", "104857600"),
                ("compression.type", "uncompressed"),
            ],
        ),
        _ => (None, &[]),
    }
}

/// Serves FindCoordinator.
pub fn begin(broker: &Arc<Broker>, cx: Context, request: FindCoordinatorRequest) -> Begun {
    let topic = match request.key_type {
        GROUP => CONSUMER_OFFSETS,
        TRANSACTION => TRANSACTION_STATE,
        _ => {
            let mut answer = FindCoordinatorResponse::default();
            let message = "coordinators are those of groups (key type 0) and of transactions (1)";
            fill(&mut answer, &cx, &request, |_| Err((ErrorCode::InvalidRequest, message.to_owned())));
            return cx.ready(&answer);
        }
    };
    let broker = Arc::clone(broker);
    let make = broker.image().topics.by_name(topic).is_none();
    let version = cx.version;
    let context = cx.clone();
    let work = async move {
        if make && let Err(error) = broker.create_topic(topic).await {
            tracing::warn!(topic, %error, "an internal topic cannot be made");
        }
        let mut answer = FindCoordinatorResponse::default();
        fill(&mut answer, &context, &request, |key| coordinator(&broker, topic, key));
        debug_assert!(version >= 4 || answer.coordinators.is_empty());
        answer
    };
    if make { cx.blocking(work) } else { cx.later(work) }
}

type Found = Result<(NodeId, String, u16), (ErrorCode, String)>;

fn coordinator(broker: &Broker, topic: &str, key: &str) -> Found {
    let image = broker.image();
    let unavailable = |told: String| (ErrorCode::CoordinatorNotAvailable, told);
    let found =
        image.topics.by_name(topic).ok_or_else(|| unavailable(format!("{topic} is not there yet")))?;
    let shard = coordinator_partition(key, found.partitions.len().max(1) as i32);
    let leader = found.partitions.get(shard as usize).and_then(|p| p.leader);
    let leader = leader.ok_or_else(|| unavailable(format!("{topic} partition {shard} has no leader")))?;
    let endpoint = image.brokers.get(&leader).and_then(|b| b.endpoint(LISTENER));
    let endpoint = endpoint.ok_or_else(|| unavailable(format!("broker {leader} has no address")))?;
    Ok((leader, endpoint.host.clone(), endpoint.port))
}

fn fill(
    answer: &mut FindCoordinatorResponse,
    cx: &Context,
    request: &FindCoordinatorRequest,
    find: impl Fn(&str) -> Found,
) {
    let row = |key: &str| match find(key) {
        Ok((node, host, port)) => Coordinator {
            key: key.to_owned(),
            node_id: node.0,
            host,
            port: i32::from(port),
            ..Default::default()
        },
        Err((error, message)) => Coordinator {
            key: key.to_owned(),
            node_id: -1,
            host: String::new(),
            port: -1,
            error_code: error.code(),
            error_message: Some(message),
            ..Default::default()
        },
    };
    if cx.version >= 4 {
        answer.coordinators = request.coordinator_keys.iter().map(|key| row(key)).collect();
        return;
    }
    let one = row(&request.key);
    answer.error_code = one.error_code;
    // Version 0 has no message.
    answer.error_message = one.error_message.filter(|_| cx.version >= 1);
    answer.node_id = one.node_id;
    answer.host = one.host;
    answer.port = one.port;
}
