//! Joins as they run, for people.

use super::{Sql, span, sql, step};
use crate::op::Step;
use crate::op::aggregate::Aggregation;
use crate::op::as_of::Lookup;
use crate::op::join::{TableJoin, Unmatched};
use crate::op::join_kind::JoinKind;
use crate::op::update_join::UpdateSide;
use crate::sql::Query;
use crate::sql::query::{Branch, Closed, Origin};

pub(super) fn closed_steps(query: &Query, closed: &Closed, steps: &mut Vec<String>) {
    let mut of = String::new();
    if let Origin::Branch(at) = &closed.from
        && query.branches().len() > 1
    {
        of = format!("{}: ", query.branches()[*at].stream);
    }
    if let Origin::Near(join) = &closed.from {
        let keys: Vec<Vec<String>> = query
            .aggregates()
            .filter_map(|aggregate| match aggregate {
                Aggregation::Near(side) => Some(sql(&side.plan.keys)),
                _ => None,
            })
            .collect();
        if let [left, right] = &keys[..] {
            let on: Vec<String> =
                left.iter().zip(right).map(|(left, right)| format!("{left} = {right}")).collect();
            let when = match join.kind {
                JoinKind::Semi(_) => ", each with its first match",
                JoinKind::Anti(_) => ", each when none can match it any more",
                JoinKind::Pairs { .. } => ", as they come",
            };
            let kind = join.kind.name();
            let filter =
                join.filter.as_ref().map(|f| format!(" where {}", Sql(f.as_ref()))).unwrap_or_default();
            steps.push(format!(
                "join: rows whose times are near each other{when} ({kind}), on {}{filter}",
                on.join(" and ")
            ));
        }
    }
    if let Origin::Updating(join) = &closed.from {
        let keys: Vec<Vec<String>> = query
            .aggregates()
            .filter_map(|aggregate| match aggregate {
                Aggregation::Updating(side) => Some(sql(&side.plan.keys)),
                _ => None,
            })
            .collect();
        let on = keys[0].iter().zip(&keys[1]).map(|(left, right)| format!("{left} = {right}"));
        let on = on.collect::<Vec<_>>().join(" and ");
        let filter = join.filter.as_ref().map(|f| format!(" where {}", Sql(f.as_ref()))).unwrap_or_default();
        let known = query.latest_by().unwrap_or_default().join(", ");
        steps.push(format!(
            "join: the latest rows of both ({}), on {on}{filter}; what comes out is known by {known}, and goes when it is no more",
            join.kind.name()
        ));
        steps.extend(join.steps.iter().map(step));
    }
    if let Origin::Over(over) = &closed.from {
        let known = query.latest_by().unwrap_or_default().join(", ");
        steps.push(format!(
            "over: the latest rows of each key of which one has changed; what comes out is known by {known}, and goes when it is no more"
        ));
        steps.extend(over.steps.iter().map(step));
    }
    if let Origin::AsOf(join) = &closed.from {
        for (lookup, branch) in join.lookups.iter().zip(&query.branches()[1..]) {
            steps.push(as_of_text(lookup, branch));
            steps.extend(lookup.then.iter().map(step));
        }
    }
    if let Origin::Join { left, right, join } = &closed.from {
        closed_steps(query, left, steps);
        closed_steps(query, right, steps);
        let kind = join.kind.name();
        let on: Vec<String> = sql(&join.left.keys)
            .into_iter()
            .zip(sql(&join.right.keys))
            .map(|(left, right)| format!("{left} = {right}"))
            .collect();
        let filter = join.filter.as_ref().map(|f| format!(" where {}", Sql(f.as_ref()))).unwrap_or_default();
        steps.push(format!(
            "join: rows of the same window, when it is over for both, by hash ({kind}), on {}{filter}",
            on.join(" and ")
        ));
    }
    steps.extend(closed.after.iter().map(|after| format!("{of}{}", step(after))));
}

fn as_of_text(lookup: &Lookup, branch: &Branch) -> String {
    let (keys, within) = match &branch.aggregate {
        Some(Aggregation::Versions(versions)) => (sql(&versions.plan.keys), versions.plan.within_ms),
        _ => (Vec::new(), None),
    };
    let on = sql(&lookup.keys).into_iter().zip(keys);
    let on: Vec<String> = on.map(|(row, version)| format!("{row} = {version}")).collect();
    let time = lookup.schema.field(lookup.time).name();
    let back = match lookup.back_ms {
        0 => String::new(),
        back if back < 0 => format!(" + {}", span(-back)),
        back => format!(" - {}", span(back)),
    };
    let within = within.map(|within| format!(", not older than {}", span(within))).unwrap_or_default();
    format!(
        "join: with the latest version that {} has at {time}{back}{within}, once its watermark has passed that; outer, rows without one go on; on {}",
        branch.stream,
        on.join(" and ")
    )
}

pub(super) fn updating_text(side: &UpdateSide) -> String {
    let known = side.identity_names().collect::<Vec<_>>().join(", ");
    let steps: Vec<String> =
        side.plan.steps.iter().filter(|s| !matches!(s, Step::Scan { .. })).map(step).collect();
    let before =
        if steps.is_empty() { String::new() } else { format!(", of rows behind {}", steps.join(", ")) };
    format!("keep: the latest row of each {known}{before}")
}

pub(super) fn join_text(join: &TableJoin) -> String {
    let kind = match join.unmatched {
        Unmatched::Drop => "inner",
        Unmatched::Keep => "outer, rows without a match go on",
        Unmatched::DropOrPass => "semi, rows with a match go on as they are",
        Unmatched::PassOrDrop => "anti, rows without a match go on as they are",
    };
    let on: Vec<String> = sql(&join.stream_keys)
        .into_iter()
        .zip(sql(&join.table_keys))
        .map(|(stream, table)| format!("{stream} = {}.{table}", join.table))
        .collect();
    let filter = join.filter.as_ref().map(|f| format!(" where {}", Sql(f.as_ref()))).unwrap_or_default();
    let mut text = format!(
        "join: table {} by hash ({kind}), as it is when a row comes, on {}{filter}",
        join.table,
        on.join(" and ")
    );
    // A scan that takes columns says nothing that the join does not.
    let before: Vec<String> =
        join.table_steps.iter().filter(|s| !matches!(s, Step::Scan { .. })).map(step).collect();
    if !before.is_empty() {
        text += &format!("; the table first: {}", before.join(", "));
    }
    text
}
