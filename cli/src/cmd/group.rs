//! `millstream group`: list, describe, reset, delete. Never enters: being a member of a group (`consume`).

mod reset;

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_client::admin::GroupDescription;
use millstream_client::{Admin, Cluster, Isolation, OffsetAndMetadata};
use millstream_types::{ErrorCode, TopicPartition};

use super::reach::Reach;
use crate::exit::Failure;
use crate::render::{self, Format, Stopped};

pub use reset::Reset;

/// The verbs.
#[derive(Debug, clap::Subcommand)]
pub enum Group {
    /// List groups
    #[command(after_help = "Example: millstream group list --bootstrap 127.0.0.1:9092")]
    List(List),
    /// Show a group's state and members, what it has committed, and how many records it has yet to read
    #[command(after_help = "Example: millstream group describe billing --format json")]
    Describe(Describe),
    /// Set what a group has committed; without --execute, only show what would change
    ///
    /// The group may have no members: stop its consumers first. Offsets outside of a partition's log become the closer
    /// end of it.
    #[command(
        after_help = "Example: millstream group reset billing --topic invoices --to-time 2h-ago --execute"
    )]
    Reset(Reset),
    /// Delete groups that have no members, with what they have committed
    #[command(after_help = "Example: millstream group delete billing")]
    Delete(Delete),
}

/// Options of `group list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The cluster
    #[command(flatten)]
    pub reach: Reach,
}

/// Options of `group describe`.
#[derive(Debug, clap::Args)]
pub struct Describe {
    /// The group
    #[arg(value_name = "GROUP")]
    pub name: String,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The cluster
    #[command(flatten)]
    pub reach: Reach,
}

/// Options of `group delete`.
#[derive(Debug, clap::Args)]
pub struct Delete {
    /// The groups
    #[arg(required = true, value_name = "GROUP")]
    pub names: Vec<String>,
    /// The cluster
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(serde::Serialize)]
struct Listed {
    group: String,
    state: String,
    kind: String,
    protocol: String,
}

#[derive(serde::Serialize)]
struct Member {
    member_id: String,
    instance_id: Option<String>,
    client_id: String,
    host: String,
    partitions: Vec<Place>,
}

#[derive(serde::Serialize)]
struct Place {
    topic: String,
    partition: i32,
}

#[derive(serde::Serialize)]
struct Position {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    end: Option<i64>,
    lag: Option<i64>,
    member_id: Option<String>,
}

#[derive(serde::Serialize)]
struct Described {
    group: String,
    state: String,
    kind: &'static str,
    assignor: String,
    lag: i64,
    members: Vec<Member>,
    partitions: Vec<Position>,
}

/// Runs a verb.
pub fn command(verb: Group) -> Result<(), Failure> {
    super::run(async {
        match verb {
            Group::List(options) => list(&options).await,
            Group::Describe(options) => describe(&options).await,
            Group::Reset(options) => reset::reset(&options).await,
            Group::Delete(options) => delete(&options).await,
        }
    })
}

async fn list(options: &List) -> Result<(), Stopped> {
    let (_, admin) = options.reach.admin().await?;
    let groups = admin.list_groups().await.map_err(|error| options.reach.failure(error))?;
    let listed = groups.into_iter().map(|group| Listed {
        group: group.group_id,
        state: group.state,
        kind: group.kind,
        protocol: group.protocol_type,
    });
    let groups: Vec<Listed> = listed.collect();
    match options.format {
        Format::Json => render::json(&groups),
        Format::Text => {
            let row = |g: &Listed| vec![g.group.clone(), g.state.clone(), g.kind.clone(), g.protocol.clone()];
            let rows: Vec<Vec<String>> = groups.iter().map(row).collect();
            render::print(render::table(&["group", "state", "kind", "protocol"], &rows).as_bytes())
        }
    }
}

/// A group, or `None` where the cluster knows nothing of it: Kafka answers with a dead group, or with an error.
async fn find(admin: &Admin, reach: &Reach, name: &str) -> Result<Option<GroupDescription>, Failure> {
    match admin.describe_group(name).await {
        Ok(group) if group.state == "Dead" => Ok(None),
        Ok(group) => Ok(Some(group)),
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => Ok(None),
        Err(error) => Err(reach.failure(error)),
    }
}

fn no_such_group(name: &str) -> Stopped {
    Stopped::failure(format!("there is no group {name}; `millstream group list` shows the groups there are"))
}

/// The offsets of a time (-2 the first, -1 the end) in these partitions; those that are not there any more are left out.
async fn offsets_at<'a>(
    admin: &Admin,
    reach: &Reach,
    timestamp: i64,
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    let topics = admin.list_topics().await.map_err(|error| reach.failure(error))?;
    let count = |at: &TopicPartition| topics.get(&at.topic).map_or(0, |topic| topic.partition_count());
    let there: Vec<TopicPartition> =
        partitions.into_iter().filter(|at| at.partition < count(at)).cloned().collect();
    let found = admin.list_offsets(Isolation::ReadUncommitted, timestamp, &there).await;
    let found = found.map_err(|error| reach.failure(error))?;
    Ok(found.into_iter().map(|(at, listed)| (at, listed.offset)).collect())
}

async fn describe(options: &Describe) -> Result<(), Stopped> {
    let (_, admin) = options.reach.admin().await?;
    let reach = &options.reach;
    let Some(group) = find(&admin, reach, &options.name).await? else {
        return Err(no_such_group(&options.name));
    };
    let committed =
        admin.list_group_offsets(&options.name, None).await.map_err(|error| reach.failure(error))?;
    let owners: BTreeMap<&TopicPartition, &str> = group
        .members
        .iter()
        .flat_map(|member| member.assignment.iter().map(|at| (at, member.member_id.as_str())))
        .collect();
    // What is assigned shows even where nothing was committed yet.
    let mut all: BTreeMap<&TopicPartition, Option<&OffsetAndMetadata>> =
        owners.keys().map(|at| (*at, None)).collect();
    all.extend(committed.iter().map(|(at, position)| (at, Some(position))));
    let ends = offsets_at(&admin, reach, -1, all.keys().copied()).await?;
    let partitions: Vec<Position> = all
        .iter()
        .map(|(at, position)| {
            let committed = position.map(|position| position.offset);
            let end = ends.get(*at).copied();
            Position {
                topic: at.topic.to_string(),
                partition: at.partition,
                committed,
                end,
                lag: committed.zip(end).map(|(committed, end)| (end - committed).max(0)),
                member_id: owners.get(*at).map(|id| (*id).to_owned()),
            }
        })
        .collect();
    let described = Described {
        group: group.group_id,
        state: group.state,
        kind: if group.consumer_protocol { "consumer" } else { "classic" },
        assignor: group.assignor,
        lag: partitions.iter().filter_map(|position| position.lag).sum(),
        members: group
            .members
            .iter()
            .map(|member| Member {
                member_id: member.member_id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                host: member.client_host.clone(),
                partitions: member.assignment.iter().map(place).collect(),
            })
            .collect(),
        partitions,
    };
    match options.format {
        Format::Json => render::json(&described),
        Format::Text => render::print(describe_text(&described).as_bytes()),
    }
}

fn place(at: &TopicPartition) -> Place {
    Place { topic: at.topic.to_string(), partition: at.partition }
}

fn describe_text(described: &Described) -> String {
    let mut text = format!(
        "group {}, {}, {} protocol, {}, {} behind\n",
        described.group,
        described.state,
        described.kind,
        render::counted(described.members.len() as u64, "member"),
        render::counted(described.lag.unsigned_abs(), "record")
    );
    if !described.members.is_empty() {
        let row = |member: &Member| {
            let (client, host) = (member.client_id.clone(), member.host.clone());
            vec![member.member_id.clone(), client, host, member.partitions.len().to_string()]
        };
        let rows: Vec<Vec<String>> = described.members.iter().map(row).collect();
        text.push('\n');
        text.push_str(&render::table(&["member", "client", "host", "partitions"], &rows));
    }
    if !described.partitions.is_empty() {
        let number = |number: Option<i64>| number.map_or("-".to_owned(), |number| number.to_string());
        let row = |at: &Position| {
            let place = [at.topic.clone(), at.partition.to_string()];
            let numbers = [number(at.committed), number(at.end), number(at.lag)];
            let member = at.member_id.clone().unwrap_or_else(|| "-".to_owned());
            place.into_iter().chain(numbers).chain([member]).collect::<Vec<String>>()
        };
        let rows: Vec<Vec<String>> = described.partitions.iter().map(row).collect();
        text.push('\n');
        text.push_str(&render::table(&["topic", "partition", "committed", "end", "lag", "member"], &rows));
    }
    text
}

async fn delete(options: &Delete) -> Result<(), Stopped> {
    let (_, admin) = options.reach.admin().await?;
    for name in &options.names {
        admin.delete_groups(&[name]).await.map_err(|error| options.reach.failure(error))?;
        render::print(format!("deleted group {name}\n").as_bytes())?;
    }
    Ok(())
}

/// All partitions of a topic.
async fn partitions_of(cluster: &Cluster, reach: &Reach, name: &str) -> Result<Vec<TopicPartition>, Failure> {
    let count = reach.topic(cluster, name).await?.partition_count();
    let name: Arc<str> = name.into();
    Ok((0..count).map(|at| TopicPartition::new(name.clone(), at)).collect())
}
