//! `millstream topic`: create, list, describe, alter, delete, add-partitions. Never enters: records.

use millstream_client::Isolation;
use millstream_client::admin::{ConfigOp, ConfigResource, NewTopic};
use millstream_types::{ErrorCode, TopicPartition};

use super::reach::Reach;
use crate::exit::Failure;
use crate::render::{self, Format, Stopped};

/// The verbs.
#[derive(Debug, clap::Subcommand)]
pub enum Topic {
    /// Create topics
    #[command(
        after_help = "Example: millstream topic create invoices --partitions 12 --config cleanup.policy=compact"
    )]
    Create(Create),
    /// List topics
    #[command(after_help = "Example: millstream topic list --bootstrap 127.0.0.1:9092 --format json")]
    List(List),
    /// Show a topic's partitions, with their offsets, and its settings
    #[command(after_help = "Example: millstream topic describe invoices")]
    Describe(Describe),
    /// Change a topic's settings
    #[command(
        after_help = "Example: millstream topic alter invoices --config retention.ms=86400000 --delete-config segment.bytes"
    )]
    Alter(Alter),
    /// Delete topics with all of their records
    #[command(after_help = "Example: millstream topic delete invoices")]
    Delete(Delete),
    /// Raise a topic's number of partitions
    ///
    /// Records that have a key may go to another partition from then on than the earlier ones with the same key.
    #[command(after_help = "Example: millstream topic add-partitions invoices --total 24")]
    AddPartitions(AddPartitions),
}

/// Options of `topic create`.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// The topics
    #[arg(required = true, value_name = "TOPIC")]
    pub names: Vec<String>,
    /// How many partitions each; the broker's num.partitions where it is left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
    /// How many replicas; the broker's default.replication.factor where it is left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
    pub replication: Option<i16>,
    /// A setting of the topic by Kafka's name; may be given many times
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::pair)]
    pub config: Vec<(String, String)>,
    /// A topic that is there already is left as it is, and is no error
    #[arg(long)]
    pub if_not_exists: bool,
    /// The cluster
    #[command(flatten)]
    pub reach: Reach,
}

/// Options of `topic list`.
#[derive(Debug, clap::Args)]
pub struct List {
    /// The brokers' own topics too
    #[arg(long)]
    pub internal: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The cluster
    #[command(flatten)]
    pub reach: Reach,
}

/// Options of `topic describe`.
#[derive(Debug, clap::Args)]
pub struct Describe {
    /// The topic
    #[arg(value_name = "TOPIC")]
    pub name: String,
    /// All settings, not only those that were set for this topic
    #[arg(long)]
    pub all_configs: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The cluster
    #[command(flatten)]
    pub reach: Reach,
}

/// Options of `topic alter`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args(["config", "delete_config"]))]
pub struct Alter {
    /// The topic
    #[arg(value_name = "TOPIC")]
    pub name: String,
    /// A setting to set; may be given many times
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::pair)]
    pub config: Vec<(String, String)>,
    /// A setting to take back to its default; may be given many times
    #[arg(long, value_name = "KEY")]
    pub delete_config: Vec<String>,
    /// The cluster
    #[command(flatten)]
    pub reach: Reach,
}

/// Options of `topic delete`.
#[derive(Debug, clap::Args)]
pub struct Delete {
    /// The topics
    #[arg(required = true, value_name = "TOPIC")]
    pub names: Vec<String>,
    /// The cluster
    #[command(flatten)]
    pub reach: Reach,
}

/// Options of `topic add-partitions`.
#[derive(Debug, clap::Args)]
pub struct AddPartitions {
    /// The topic
    #[arg(value_name = "TOPIC")]
    pub name: String,
    /// How many partitions it has afterwards
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub total: i32,
    /// The cluster
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(serde::Serialize)]
struct Listed {
    topic: String,
    partitions: i32,
    internal: bool,
    id: String,
}

#[derive(serde::Serialize)]
struct Partition {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: Option<i32>,
    start: i64,
    end: i64,
}

#[derive(serde::Serialize)]
struct Config {
    name: String,
    value: Option<String>,
    source: &'static str,
}

#[derive(serde::Serialize)]
struct Described {
    topic: String,
    id: String,
    internal: bool,
    partitions: Vec<Partition>,
    configs: Vec<Config>,
}

/// Runs a verb.
pub fn command(verb: Topic) -> Result<(), Failure> {
    super::run(async {
        match verb {
            Topic::Create(options) => create(&options).await,
            Topic::List(options) => list(&options).await,
            Topic::Describe(options) => describe(&options).await,
            Topic::Alter(options) => alter(&options).await,
            Topic::Delete(options) => delete(&options).await,
            Topic::AddPartitions(options) => add_partitions(&options).await,
        }
    })
}

async fn create(options: &Create) -> Result<(), Stopped> {
    let (_, admin) = options.reach.admin().await?;
    for name in &options.names {
        let mut topic = NewTopic::new(name, options.partitions.unwrap_or(-1));
        topic.replication_factor = options.replication.unwrap_or(-1);
        topic.configs = options.config.iter().cloned().collect();
        match admin.create_topics(&[topic]).await {
            Ok(_) => render::print(format!("created topic {name}\n").as_bytes())?,
            Err(error) if options.if_not_exists && error.code() == Some(ErrorCode::TopicAlreadyExists) => {
                render::print(format!("topic {name} is there already\n").as_bytes())?;
            }
            Err(error) => return Err(options.reach.failure(error).into()),
        }
    }
    Ok(())
}

async fn list(options: &List) -> Result<(), Stopped> {
    let (_, admin) = options.reach.admin().await?;
    let topics = admin.list_topics().await.map_err(|error| options.reach.failure(error))?;
    let topics: Vec<Listed> = topics
        .iter()
        .filter(|(_, topic)| options.internal || !topic.internal)
        .map(|(name, topic)| Listed {
            topic: name.to_string(),
            partitions: topic.partition_count(),
            internal: topic.internal,
            id: topic.id.to_string(),
        })
        .collect();
    match options.format {
        Format::Json => render::json(&topics),
        Format::Text => {
            let row =
                |topic: &Listed| vec![topic.topic.clone(), topic.partitions.to_string(), topic.id.clone()];
            let rows: Vec<Vec<String>> = topics.iter().map(row).collect();
            render::print(render::table(&["topic", "partitions", "id"], &rows).as_bytes())
        }
    }
}

async fn describe(options: &Describe) -> Result<(), Stopped> {
    let (cluster, admin) = options.reach.admin().await?;
    let topic = options.reach.topic(&cluster, &options.name).await?;
    let failure = |error| options.reach.failure(error);
    let all: Vec<TopicPartition> =
        (0..topic.partition_count()).map(|at| TopicPartition::new(options.name.as_str(), at)).collect();
    let start = admin.list_offsets(Isolation::ReadUncommitted, -2, &all).await.map_err(failure)?;
    let end = admin.list_offsets(Isolation::ReadUncommitted, -1, &all).await.map_err(failure)?;
    let resource = ConfigResource::Topic(options.name.clone());
    let configs = admin.describe_configs(&resource).await.map_err(failure)?;
    let of_topic = |source: i8| options.all_configs || source == 1;
    let described = Described {
        topic: options.name.clone(),
        id: topic.id.to_string(),
        internal: topic.internal,
        partitions: all
            .iter()
            .zip(&topic.leaders)
            .map(|(at, leader)| Partition {
                partition: at.partition,
                leader: leader.map(|leader| leader.node.0),
                leader_epoch: leader.map(|leader| leader.epoch),
                start: start.get(at).map_or(-1, |found| found.offset),
                end: end.get(at).map_or(-1, |found| found.offset),
            })
            .collect(),
        configs: configs
            .into_iter()
            .filter(|config| of_topic(config.source))
            .map(|config| Config { name: config.name, value: config.value, source: source(config.source) })
            .collect(),
    };
    match options.format {
        Format::Json => render::json(&described),
        Format::Text => render::print(describe_text(&described).as_bytes()),
    }
}

fn describe_text(described: &Described) -> String {
    let or_dash = |number: Option<i32>| number.map_or("-".to_owned(), |number| number.to_string());
    let row = |at: &Partition| {
        let number = |offset: i64| offset.to_string();
        let leader = [at.partition.to_string(), or_dash(at.leader), or_dash(at.leader_epoch)];
        let offsets = [number(at.start), number(at.end), number(at.end - at.start)];
        leader.into_iter().chain(offsets).collect::<Vec<String>>()
    };
    let rows: Vec<Vec<String>> = described.partitions.iter().map(row).collect();
    let columns = ["partition", "leader", "epoch", "start", "end", "offsets"];
    let mut text = format!("topic {}, id {}\n\n", described.topic, described.id);
    text.push_str(&render::table(&columns, &rows));
    if !described.configs.is_empty() {
        let row = |config: &Config| {
            vec![config.name.clone(), config.value.clone().unwrap_or_default(), config.source.to_owned()]
        };
        let rows: Vec<Vec<String>> = described.configs.iter().map(row).collect();
        text.push('\n');
        text.push_str(&render::table(&["config", "value", "from"], &rows));
    }
    text
}

/// Kafka's number of a config's source, in words.
fn source(number: i8) -> &'static str {
    match number {
        1 => "topic",
        2 => "broker",
        3 => "all brokers",
        4 => "broker's start",
        8 => "group",
        _ => "default",
    }
}

async fn alter(options: &Alter) -> Result<(), Stopped> {
    let (cluster, admin) = options.reach.admin().await?;
    options.reach.topic(&cluster, &options.name).await?;
    let set = options.config.iter().cloned().map(|(name, value)| ConfigOp::Set(name, value));
    let delete = options.delete_config.iter().cloned().map(ConfigOp::Delete);
    let changes: Vec<ConfigOp> = set.chain(delete).collect();
    let resource = ConfigResource::Topic(options.name.clone());
    admin.alter_configs(&resource, &changes).await.map_err(|error| options.reach.failure(error))?;
    render::print(format!("altered topic {}\n", options.name).as_bytes())
}

async fn delete(options: &Delete) -> Result<(), Stopped> {
    let (cluster, admin) = options.reach.admin().await?;
    // All names are looked at before the first topic is gone.
    for name in &options.names {
        options.reach.topic(&cluster, name).await?;
    }
    for name in &options.names {
        admin.delete_topics(&[name]).await.map_err(|error| options.reach.failure(error))?;
        render::print(format!("deleted topic {name}\n").as_bytes())?;
    }
    Ok(())
}

async fn add_partitions(options: &AddPartitions) -> Result<(), Stopped> {
    let (cluster, admin) = options.reach.admin().await?;
    let now = options.reach.topic(&cluster, &options.name).await?.partition_count();
    if options.total <= now {
        let (name, total) = (&options.name, options.total);
        return Err(Stopped::usage(format!(
            "adding partitions to {name}: it has {now}, and --total is {total}; a topic cannot have fewer than before"
        )));
    }
    admin
        .create_partitions(&options.name, options.total)
        .await
        .map_err(|error| options.reach.failure(error))?;
    render::print(
        format!("topic {} has {} partitions, {now} before\n", options.name, options.total).as_bytes(),
    )
}
