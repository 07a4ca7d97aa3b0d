//! `millstream group reset`: where each partition's committed offset goes. A dry run unless told to execute.

use std::collections::{BTreeMap, BTreeSet};

use millstream_client::OffsetAndMetadata;
use millstream_types::{ErrorCode, TopicPartition};

use super::{find, no_such_group, offsets_at, partitions_of};
use crate::cmd::place;
use crate::cmd::reach::Reach;
use crate::render::{self, Format, Stopped};

const EARLIEST: i64 = -2;
const LATEST: i64 = -1;

/// Options of `group reset`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("to").required(true)
    .args(["to_earliest", "to_latest", "to_offset", "to_time", "shift_by"]))]
pub struct Reset {
    /// The group
    #[arg(value_name = "GROUP")]
    pub name: String,
    /// A topic, or some partitions of it; may be given many times. All that the group has committed where it is left out
    #[arg(long, value_name = "TOPIC[:PARTITION,…]")]
    pub topic: Vec<String>,
    /// To the first record
    #[arg(long)]
    pub to_earliest: bool,
    /// Behind the last record
    #[arg(long)]
    pub to_latest: bool,
    /// To an offset
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    pub to_offset: Option<i64>,
    /// To the first record of this time or later, as 2026-11-21T10:00:00Z or 2h-ago; to the end where there is none
    #[arg(long, value_name = "TIME", value_parser = place::time)]
    pub to_time: Option<i64>,
    /// So many records on, or back where it is negative
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub shift_by: Option<i64>,
    /// Do it
    #[arg(long, conflicts_with = "dry_run")]
    pub execute: bool,
    /// Only show what would change; this is the default
    #[arg(long)]
    pub dry_run: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The cluster
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(serde::Serialize)]
struct Change {
    topic: String,
    partition: i32,
    before: Option<i64>,
    after: i64,
}

#[derive(serde::Serialize)]
struct Plan {
    group: String,
    executed: bool,
    partitions: Vec<Change>,
}

pub(super) async fn reset(options: &Reset) -> Result<(), Stopped> {
    let (cluster, admin) = options.reach.admin().await?;
    let reach = &options.reach;
    let failure = |error| reach.failure(error);
    let group = find(&admin, reach, &options.name).await?;
    if group.is_none() && options.topic.is_empty() {
        return Err(no_such_group(&options.name));
    }
    if let Some(group) = group.filter(|group| !group.members.is_empty()) {
        return Err(Stopped::failure(format!(
            "resetting group {}: it has {}, which would go on from where they are; stop them first \
             (`millstream group describe {}` shows which they are)",
            options.name,
            render::counted(group.members.len() as u64, "member"),
            options.name
        )));
    }
    let committed = match admin.list_group_offsets(&options.name, None).await {
        Ok(committed) => committed,
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => BTreeMap::new(),
        Err(error) => return Err(failure(error).into()),
    };
    let mut wanted: BTreeSet<TopicPartition> = BTreeSet::new();
    for topic in &options.topic {
        let (name, some) = chosen(topic).map_err(Stopped::usage)?;
        let all = partitions_of(&cluster, reach, name).await?;
        if let Some(beyond) = some.iter().flatten().find(|at| **at < 0 || **at as usize >= all.len()) {
            let count = all.len();
            return Err(Stopped::usage(format!(
                "resetting {name}: there is no partition {beyond}, it has {count} (0 to {})",
                count - 1
            )));
        }
        let is_chosen = |at: &TopicPartition| some.as_ref().is_none_or(|some| some.contains(&at.partition));
        wanted.extend(all.into_iter().filter(is_chosen));
    }
    if options.topic.is_empty() {
        wanted.extend(committed.keys().cloned());
    }
    let first = offsets_at(&admin, reach, EARLIEST, &wanted).await?;
    let end = offsets_at(&admin, reach, LATEST, &wanted).await?;
    let at_time = match options.to_time {
        Some(time) => offsets_at(&admin, reach, time, &wanted).await?,
        None => BTreeMap::new(),
    };
    let mut changes = Vec::new();
    for (at, end) in &end {
        let first = first.get(at).copied().unwrap_or(0);
        let before = committed.get(at).map(|position| position.offset);
        let after = if options.to_earliest {
            first
        } else if let Some(offset) = options.to_offset {
            offset
        } else if let Some(by) = options.shift_by {
            let before = before.ok_or_else(|| {
                Stopped::failure(format!(
                    "shifting {at}: group {} has committed nothing there; use --to-earliest, --to-latest or --to-offset",
                    options.name
                ))
            })?;
            before.saturating_add(by)
        } else {
            // A time that no record has reached is the end, as is --to-latest.
            at_time.get(at).copied().filter(|found| *found >= 0).unwrap_or(*end)
        };
        let after = after.clamp(first.min(*end), *end);
        changes.push(Change { topic: at.topic.to_string(), partition: at.partition, before, after });
    }
    if options.execute {
        let position = |change: &Change| {
            let at = TopicPartition::new(change.topic.as_str(), change.partition);
            (at, OffsetAndMetadata::new(change.after))
        };
        let positions: BTreeMap<TopicPartition, OffsetAndMetadata> = changes.iter().map(position).collect();
        admin.alter_group_offsets(&options.name, &positions).await.map_err(failure)?;
    }
    show(options, changes)
}

/// `topic`, or `topic:0,3`.
fn chosen(text: &str) -> Result<(&str, Option<BTreeSet<i32>>), String> {
    let Some((name, list)) = text.split_once(':') else { return Ok((text, None)) };
    let some = list.split(',').map(str::parse).collect::<Result<BTreeSet<i32>, _>>();
    match some {
        Ok(some) => Ok((name, Some(some))),
        Err(_) => Err(format!("\"{text}\" is not TOPIC or TOPIC:PARTITION,…, as in invoices:0,3")),
    }
}

fn show(options: &Reset, changes: Vec<Change>) -> Result<(), Stopped> {
    match options.format {
        Format::Json => {
            let executed = options.execute;
            render::json(&Plan { group: options.name.clone(), executed, partitions: changes })?;
        }
        Format::Text => {
            let row = |change: &Change| {
                let before = change.before.map_or("-".to_owned(), |offset| offset.to_string());
                let place = [change.topic.clone(), change.partition.to_string()];
                place.into_iter().chain([before, change.after.to_string()]).collect::<Vec<String>>()
            };
            let rows: Vec<Vec<String>> = changes.iter().map(row).collect();
            render::print(render::table(&["topic", "partition", "before", "after"], &rows).as_bytes())?;
        }
    }
    if !options.execute {
        eprintln!("nothing was changed; add --execute to do it");
    }
    Ok(())
}
