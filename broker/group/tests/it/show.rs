//! Outcomes as text: a line a record, a line an answer.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_group::record::Entry;
use millstream_group::{Answer, LOG_START, Outcome};
use millstream_types::{ErrorCode, Uuid};
use millstream_wire::record::group::{GroupKey, GroupValue};

use crate::image::Image;

fn partitions<'a>(image: &Image, all: impl IntoIterator<Item = (Uuid, &'a [i32])>) -> String {
    let mut shown: Vec<String> = Vec::new();
    for (topic, partitions) in all {
        shown.extend(partitions.iter().map(|p| format!("{}/{p}", image.name(topic))));
    }
    format!("[{}]", shown.join(","))
}

fn code(code: i16) -> String {
    ErrorCode::from_code(code).map_or_else(|| code.to_string(), |c| c.to_string())
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn offset(offset: i64) -> String {
    if offset == LOG_START { "log-start".to_owned() } else { offset.to_string() }
}

fn record(image: &Image, key: &Bytes, value: &Option<Bytes>) -> String {
    match Entry::decode(key.clone(), value.clone()).expect("the coordinator's own record") {
        Entry::Baseline(group, None) => format!("forget baseline of {group}"),
        Entry::Baseline(group, Some(b)) => {
            let known: Vec<String> =
                b.partitions.iter().map(|(t, n)| format!("{}:{n}", image.name(*t))).collect();
            format!("store baseline of {group} {:?} {:?} {}", b.names, b.patterns, known.join(","))
        }
        Entry::Kafka(key, value) => known_record(image, key, value),
    }
}

fn known_record(image: &Image, key: GroupKey, value: Option<GroupValue>) -> String {
    match (key, value) {
        (GroupKey::OffsetCommit(k), Some(GroupValue::OffsetCommit(v))) => {
            format!("store offset of {} {}/{} {}", k.group, k.topic, k.partition, v.offset)
        }
        (GroupKey::OffsetCommit(k), _) => format!("forget offset of {} {}/{}", k.group, k.topic, k.partition),
        (GroupKey::GroupMetadata(k), Some(GroupValue::GroupMetadata(v))) => {
            let members: Vec<String> =
                v.members.iter().map(|m| format!("{}={}", m.member_id, text(&m.assignment))).collect();
            let leader = v.leader.unwrap_or_else(|| "-".to_owned());
            format!(
                "store group {} generation {} leader {leader} [{}]",
                k.group,
                v.generation,
                members.join(",")
            )
        }
        (GroupKey::GroupMetadata(k), _) => format!("forget group {}", k.group),
        (GroupKey::ConsumerGroupMetadata(k), Some(GroupValue::ConsumerGroupMetadata(v))) => {
            format!("store epoch of {} {}", k.group_id, v.epoch)
        }
        (GroupKey::ConsumerGroupMetadata(k), _) => format!("forget epoch of {}", k.group_id),
        (GroupKey::ConsumerGroupMemberMetadata(k), Some(GroupValue::ConsumerGroupMemberMetadata(v))) => {
            format!("store member {} {:?}", k.member_id, v.subscribed_topic_names)
        }
        (GroupKey::ConsumerGroupMemberMetadata(k), _) => format!("forget member {}", k.member_id),
        (
            GroupKey::ConsumerGroupTargetAssignmentMetadata(_),
            Some(GroupValue::ConsumerGroupTargetAssignmentMetadata(v)),
        ) => format!("store targets of epoch {}", v.assignment_epoch),
        (GroupKey::ConsumerGroupTargetAssignmentMetadata(k), _) => {
            format!("forget targets of {}", k.group_id)
        }
        (
            GroupKey::ConsumerGroupTargetAssignmentMember(k),
            Some(GroupValue::ConsumerGroupTargetAssignmentMember(v)),
        ) => {
            let all = v.topic_partitions.iter().map(|t| (t.topic_id, &t.partitions[..]));
            format!("store target of {} {}", k.member_id, partitions(image, all))
        }
        (GroupKey::ConsumerGroupTargetAssignmentMember(k), _) => format!("forget target of {}", k.member_id),
        (
            GroupKey::ConsumerGroupCurrentMemberAssignment(k),
            Some(GroupValue::ConsumerGroupCurrentMemberAssignment(v)),
        ) => {
            let state = ["stable", "unrevoked", "unreleased"][v.state as usize];
            let assigned = v.assigned_partitions.iter().map(|t| (t.topic_id, &t.partitions[..]));
            let revoking = v.partitions_pending_revocation.iter().map(|t| (t.topic_id, &t.partitions[..]));
            format!(
                "store {} at {} {state} {} revoking {}",
                k.member_id,
                v.member_epoch,
                partitions(image, assigned),
                partitions(image, revoking)
            )
        }
        (GroupKey::ConsumerGroupCurrentMemberAssignment(k), _) => format!("forget place of {}", k.member_id),
        (key, _) => format!("store {key:?}"),
    }
}

fn answer(image: &Image, answer: &Answer) -> String {
    match answer {
        Answer::Join(a) => {
            let members: Vec<&str> = a.members.iter().map(|m| m.member_id.as_str()).collect();
            let skip = if a.skip_assignment { " skip" } else { "" };
            if a.error_code == 0 {
                format!(
                    "NONE {} generation {} leader {} protocol {} [{}]{skip}",
                    a.member_id,
                    a.generation_id,
                    a.leader,
                    a.protocol_name.as_deref().unwrap_or("-"),
                    members.join(",")
                )
            } else {
                format!("{} {}", code(a.error_code), a.member_id)
            }
        }
        Answer::Sync(a) => format!("{} {}", code(a.error_code), text(&a.assignment)).trim_end().to_owned(),
        Answer::Heartbeat(a) => code(a.error_code),
        Answer::Leave(a) => {
            let each: Vec<String> = a.members.iter().map(|m| code(m.error_code)).collect();
            format!("{} [{}]", code(a.error_code), each.join(","))
        }
        Answer::ConsumerHeartbeat(a) if a.error_code != 0 => code(a.error_code),
        Answer::ConsumerHeartbeat(a) => {
            let assignment = a.assignment.as_ref().map_or_else(String::new, |all| {
                let all = all.topic_partitions.iter().map(|t| (t.topic_id, &t.partitions[..]));
                format!(" {}", partitions(image, all))
            });
            let id = a.member_id.as_deref().unwrap_or("-");
            format!("NONE {id} at {} every {}{assignment}", a.member_epoch, a.heartbeat_interval_ms)
        }
        Answer::Commit(a) => {
            let all = a.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (&t.name, p)));
            let all = all.map(|(t, p)| format!("{t}/{} {}", p.partition_index, code(p.error_code)));
            all.collect::<Vec<_>>().join(", ")
        }
        Answer::TxnCommit(a) => {
            let all = a.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (&t.name, p)));
            let all = all.map(|(t, p)| format!("{t}/{} {}", p.partition_index, code(p.error_code)));
            all.collect::<Vec<_>>().join(", ")
        }
        Answer::Fetch(a) => {
            let all = a.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (&t.name, p)));
            let all = all.map(|(t, p)| match p.error_code {
                0 => format!("{t}/{} {}", p.partition_index, offset(p.committed_offset)),
                other => format!("{t}/{} {}", p.partition_index, code(other)),
            });
            format!("{} {}", code(a.error_code), all.collect::<Vec<_>>().join(", ")).trim_end().to_owned()
        }
        Answer::DeleteOffsets(a) => {
            let all = a.topics.iter().flat_map(|t| t.partitions.iter().map(move |p| (&t.name, p)));
            let all = all.map(|(t, p)| format!("{t}/{} {}", p.partition_index, code(p.error_code)));
            format!("{} {}", code(a.error_code), all.collect::<Vec<_>>().join(", ")).trim_end().to_owned()
        }
        Answer::DeleteGroup(error) | Answer::Refused(error) => error.to_string(),
        Answer::Describe(a) => {
            let members: Vec<String> =
                a.members.iter().map(|m| format!("{}={}", m.member_id, text(&m.member_assignment))).collect();
            format!("{} {} {} [{}]", code(a.error_code), a.group_state, a.protocol_data, members.join(","))
        }
        Answer::ConsumerDescribe(a) => {
            let members: Vec<String> = a
                .members
                .iter()
                .map(|m| {
                    let has = m.assignment.topic_partitions.iter().map(|t| (t.topic_id, &t.partitions[..]));
                    format!("{} at {} {}", m.member_id, m.member_epoch, partitions(image, has))
                })
                .collect();
            format!(
                "{} {} epoch {} targets {} by {:?} {}",
                code(a.error_code),
                a.group_state,
                a.group_epoch,
                a.assignment_epoch,
                a.assignor_name,
                members.join(" ")
            )
        }
    }
}

/// The lines of an outcome.
pub fn outcome(image: &Image, outcome: &Outcome, fresh: &BTreeMap<String, String>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let in_transaction =
        outcome.producer.map_or_else(String::new, |(id, _)| format!(" in transaction of {id}"));
    for (key, value) in &outcome.append {
        lines.push(format!("= {}{in_transaction}", record(image, key, value)));
    }
    for (token, a) in &outcome.answers {
        lines.push(format!("= #{token} {}", answer(image, a)));
    }
    for line in &mut lines {
        for (id, short) in fresh {
            *line = line.replace(id, short);
        }
    }
    lines
}
