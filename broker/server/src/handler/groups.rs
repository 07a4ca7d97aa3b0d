//! The group APIs: each is handed to the group coordinator, and answered by it. Owns what differs by version.

use std::sync::Arc;

use millstream_group::{Answer, Caller, Request};
use millstream_types::{ErrorCode, Uuid};
use millstream_wire::message::delete_groups_response::{DeletableGroupResult, DeleteGroupsResponse};
use millstream_wire::message::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, DeleteGroupsRequest, DescribeGroupsRequest, DescribeGroupsResponse,
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, SyncGroupRequest, SyncGroupResponse,
    consumer_group_describe_response, describe_groups_response,
};

use crate::broker::Broker;
use crate::connection::Begun;
use crate::dispatch::Context;

/// Who asks, for the coordinator.
pub(crate) fn caller(broker: &Broker, cx: &Context) -> Caller {
    Caller {
        client_id: cx.client_id.clone(),
        client_host: format!("/{}", cx.host),
        version: cx.version,
        fresh_id: broker.fresh_id(),
    }
}

/// The code that a refused request is answered with.
pub(crate) fn refusal(answer: &Answer) -> ErrorCode {
    match answer {
        Answer::Refused(error) => *error,
        // An answer of another kind would be a bug of ours.
        _ => ErrorCode::UnknownServerError,
    }
}

impl Broker {
    /// An id that nobody has had.
    pub fn fresh_id(&self) -> Uuid {
        Uuid::random(&mut *self.rng.lock())
    }
}

/// Serves JoinGroup.
pub fn join(broker: &Arc<Broker>, cx: Context, request: JoinGroupRequest) -> Begun {
    let broker = Arc::clone(broker);
    let caller = caller(&broker, &cx);
    let version = cx.version;
    cx.later(async move {
        let member_id = request.member_id.clone();
        let mut answer = match broker.groups.ask(caller, Request::Join(request)).await {
            Answer::Join(answer) => answer,
            other => {
                JoinGroupResponse { error_code: refusal(&other).code(), member_id, ..Default::default() }
            }
        };
        if version < 7 {
            answer.protocol_type = None;
            answer.protocol_name = Some(answer.protocol_name.unwrap_or_default());
        } else if answer.error_code != 0 {
            answer.protocol_name = None;
        }
        if version < 9 {
            // Without the flag a leader assigns again: it is told of no members, which older leaders take as that.
            answer.skip_assignment = false;
        }
        if version < 5 {
            answer.members.iter_mut().for_each(|m| m.group_instance_id = None);
        }
        answer
    })
}

/// Serves SyncGroup.
pub fn sync(broker: &Arc<Broker>, cx: Context, request: SyncGroupRequest) -> Begun {
    let broker = Arc::clone(broker);
    let caller = caller(&broker, &cx);
    let version = cx.version;
    cx.later(async move {
        let mut answer = match broker.groups.ask(caller, Request::Sync(request)).await {
            Answer::Sync(answer) => answer,
            other => SyncGroupResponse { error_code: refusal(&other).code(), ..Default::default() },
        };
        if version < 5 {
            answer.protocol_type = None;
            answer.protocol_name = None;
        }
        answer
    })
}

/// Serves Heartbeat.
pub fn heartbeat(broker: &Arc<Broker>, cx: Context, request: HeartbeatRequest) -> Begun {
    let broker = Arc::clone(broker);
    let caller = caller(&broker, &cx);
    cx.later(async move {
        match broker.groups.ask(caller, Request::Heartbeat(request)).await {
            Answer::Heartbeat(answer) => answer,
            other => HeartbeatResponse { error_code: refusal(&other).code(), ..Default::default() },
        }
    })
}

/// Serves LeaveGroup.
pub fn leave(broker: &Arc<Broker>, cx: Context, request: LeaveGroupRequest) -> Begun {
    let broker = Arc::clone(broker);
    let caller = caller(&broker, &cx);
    cx.later(async move {
        match broker.groups.ask(caller, Request::Leave(request)).await {
            Answer::Leave(answer) => answer,
            other => LeaveGroupResponse { error_code: refusal(&other).code(), ..Default::default() },
        }
    })
}

/// Serves ConsumerGroupHeartbeat.
pub fn consumer_heartbeat(
    broker: &Arc<Broker>,
    cx: Context,
    request: ConsumerGroupHeartbeatRequest,
) -> Begun {
    let broker = Arc::clone(broker);
    let caller = caller(&broker, &cx);
    if cx.version >= 1 && request.member_id.is_empty() {
        // KIP-1082: from version 1 on the client makes its id.
        return cx.ready(&ConsumerGroupHeartbeatResponse {
            error_code: ErrorCode::InvalidRequest.code(),
            error_message: Some("a member id is needed".to_owned()),
            ..Default::default()
        });
    }
    cx.later(async move {
        match broker.groups.ask(caller, Request::ConsumerHeartbeat(request)).await {
            Answer::ConsumerHeartbeat(answer) => answer,
            other => {
                ConsumerGroupHeartbeatResponse { error_code: refusal(&other).code(), ..Default::default() }
            }
        }
    })
}

/// Serves ConsumerGroupDescribe.
pub fn consumer_describe(broker: &Arc<Broker>, cx: Context, request: ConsumerGroupDescribeRequest) -> Begun {
    let broker = Arc::clone(broker);
    let caller = caller(&broker, &cx);
    let version = cx.version;
    cx.later(async move {
        let mut answer = ConsumerGroupDescribeResponse::default();
        for group_id in request.group_ids {
            let asked = broker.groups.ask(caller.clone(), Request::ConsumerDescribe(group_id.clone())).await;
            answer.groups.push(match asked {
                Answer::ConsumerDescribe(mut group) => {
                    if version < 1 {
                        group.members.iter_mut().for_each(|m| m.member_type = -1);
                    }
                    group
                }
                other => consumer_group_describe_response::DescribedGroup {
                    group_id,
                    error_code: refusal(&other).code(),
                    ..Default::default()
                },
            });
        }
        answer
    })
}

/// Serves DescribeGroups.
pub fn describe(broker: &Arc<Broker>, cx: Context, request: DescribeGroupsRequest) -> Begun {
    let broker = Arc::clone(broker);
    let caller = caller(&broker, &cx);
    let version = cx.version;
    cx.later(async move {
        let mut answer = DescribeGroupsResponse::default();
        for group_id in request.groups {
            let asked = broker.groups.ask(caller.clone(), Request::Describe(group_id.clone())).await;
            let mut group = match asked {
                Answer::Describe(group) => group,
                other => describe_groups_response::DescribedGroup {
                    group_id,
                    error_code: refusal(&other).code(),
                    ..Default::default()
                },
            };
            if version < 6 {
                // A group that is not there was described as dead, without an error (KIP-1043).
                if group.error_code == ErrorCode::GroupIdNotFound.code() {
                    group.error_code = 0;
                }
                group.error_message = None;
            }
            if version < 4 {
                group.members.iter_mut().for_each(|m| m.group_instance_id = None);
            }
            answer.groups.push(group);
        }
        answer
    })
}

/// Serves ListGroups.
pub fn list(broker: &Arc<Broker>, cx: Context, request: ListGroupsRequest) -> Begun {
    let broker = Arc::clone(broker);
    let version = cx.version;
    cx.later(async move {
        let matches = |filter: &[String], value: &str| {
            filter.is_empty() || filter.iter().any(|f| f.eq_ignore_ascii_case(value))
        };
        let mut groups = broker.groups.list().await;
        groups.retain(|g| {
            matches(&request.states_filter, &g.group_state) && matches(&request.types_filter, &g.group_type)
        });
        for group in &mut groups {
            if version < 4 {
                group.group_state.clear();
            }
            if version < 5 {
                group.group_type.clear();
            }
        }
        ListGroupsResponse { groups, ..Default::default() }
    })
}

/// Serves DeleteGroups.
pub fn delete(broker: &Arc<Broker>, cx: Context, request: DeleteGroupsRequest) -> Begun {
    let broker = Arc::clone(broker);
    let caller = caller(&broker, &cx);
    cx.later(async move {
        let mut answer = DeleteGroupsResponse::default();
        for group_id in request.groups_names {
            let asked = broker.groups.ask(caller.clone(), Request::DeleteGroup(group_id.clone())).await;
            let error = match asked {
                Answer::DeleteGroup(error) => error,
                other => refusal(&other),
            };
            let error_code = error.code();
            answer.results.push(DeletableGroupResult { group_id, error_code, ..Default::default() });
        }
        answer
    })
}
