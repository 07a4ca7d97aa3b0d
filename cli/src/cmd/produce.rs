//! `millstream produce`: each line of the input becomes a record. Never enters: batching, retries (`millstream-client`).

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use millstream_client::{Acks, ClientError, Header, Producer, ProducerConfig, ProducerRecord};
use tokio::sync::mpsc;

use super::reach::Reach;
use crate::exit::Failure;
use crate::render::{self, Format, Stopped};

/// A line that is longer is not read: the client's largest request holds no record of this size.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// A chunk of lines is handed on when it has this many bytes, or when no more input is there yet.
const CHUNK_BYTES: usize = 64 * 1024;

/// Options of `produce`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: echo 'store-7|{\"total\": 12.50}' | millstream produce invoices --key-separator '|'"
)]
pub struct Produce {
    /// The topic
    #[arg(value_name = "TOPIC")]
    pub topic: String,
    /// Read this file instead of standard input
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// What stands before the first of these in a line is the record's key
    #[arg(long, value_name = "TEXT")]
    pub key_separator: Option<String>,
    /// A key or value that is exactly this text is null; a null value deletes its key in a compacted topic
    #[arg(long, value_name = "TEXT")]
    pub null: Option<String>,
    /// A header of every record; may be given many times
    #[arg(long, value_name = "KEY=VALUE", value_parser = super::pair)]
    pub header: Vec<(String, String)>,
    /// The partition of every record; by key, or in turns of whole batches, where it is left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<i32>,
    /// How batches are compressed
    #[arg(long, default_value = "none", value_parser = ["none", "gzip", "snappy", "lz4", "zstd"])]
    pub compression: String,
    /// Who has to have a record before it is acknowledged: every in-sync replica, the leader, or nobody
    #[arg(long, default_value = "all", value_parser = ["all", "1", "0"])]
    pub acks: String,
    /// How to print the summary
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The cluster
    #[command(flatten)]
    pub reach: Reach,
}

#[derive(serde::Serialize)]
struct Summary<'a> {
    topic: &'a str,
    records: u64,
}

/// How the records that were sent have fared.
#[derive(Default)]
struct Fate {
    acknowledged: AtomicU64,
    failed: AtomicBool,
    first: std::sync::Mutex<Option<ClientError>>,
}

impl Fate {
    fn fail(&self, error: ClientError) {
        if let Ok(mut first) = self.first.lock() {
            first.get_or_insert(error);
        }
        self.failed.store(true, Ordering::Release);
    }
}

/// Sends every line.
pub fn command(options: Produce) -> Result<(), Failure> {
    super::run(produce(&options))
}

async fn produce(options: &Produce) -> Result<(), Stopped> {
    if options.key_separator.as_deref() == Some("") {
        return Err(Stopped::usage(
            "--key-separator is empty; give the text between key and value, such as '|'",
        ));
    }
    let input: Box<dyn Read + Send> = match &options.file {
        Some(path) => Box::new(std::fs::File::open(path).map_err(|error| {
            Stopped::usage(format!("opening {}: {error}; name a file that can be read", path.display()))
        })?),
        None => Box::new(std::io::stdin()),
    };
    let cluster = options.reach.cluster().await?;
    let topic = options.reach.topic(&cluster, &options.topic).await?;
    let count = topic.partition_count();
    if let Some(at) = options.partition.filter(|at| *at >= count) {
        let name = &options.topic;
        return Err(Stopped::usage(format!(
            "producing to {name}: there is no partition {at}, it has {count} (0 to {})",
            count - 1
        )));
    }
    let producer = Producer::new(&cluster, config(options)).map_err(|error| options.reach.failure(error))?;
    let fate = Arc::new(Fate::default());
    let ended = send_all(options, input, &producer, &fate).await;
    producer.flush().await;
    let first = fate.first.lock().ok().and_then(|mut first| first.take());
    producer.close(Duration::from_secs(1)).await;
    let records = fate.acknowledged.load(Ordering::Acquire);
    let failed = match (first, ended) {
        (Some(error), _) => Some(options.reach.failure(error)),
        (None, Err(Stopped::Failed(failure))) => Some(failure),
        (None, other) => {
            other?;
            None
        }
    };
    match failed {
        Some(failure) => {
            let text =
                format!("{} ({} acknowledged before)", failure.text, render::counted(records, "record"));
            Err(Failure { exit: failure.exit, text }.into())
        }
        None => match options.format {
            Format::Json => render::json(&Summary { topic: &options.topic, records }),
            Format::Text => {
                let told = if options.acks == "0" { "sent" } else { "acknowledged" };
                render::print(format!("{} {told}\n", render::counted(records, "record")).as_bytes())
            }
        },
    }
}

fn config(options: &Produce) -> ProducerConfig {
    let acks = match options.acks.as_str() {
        "0" => Acks::None,
        "1" => Acks::Leader,
        _ => Acks::All,
    };
    ProducerConfig {
        acks,
        idempotence: acks == Acks::All,
        compression: options.compression.parse().expect("the option takes only names of codecs"),
        request_bytes_max: 2 * LINE_BYTES_MAX,
        delivery_timeout: Duration::from_secs(options.reach.timeout),
        block_max: Duration::from_secs(options.reach.timeout),
        ..ProducerConfig::default()
    }
}

/// Sends until the input ends, a record fails, or SIGINT comes.
async fn send_all(
    options: &Produce,
    input: Box<dyn Read + Send>,
    producer: &Producer,
    fate: &Arc<Fate>,
) -> Result<(), Stopped> {
    let (sender, mut chunks) = mpsc::channel(4);
    std::thread::spawn(move || read_lines(input, &sender));
    let topic: Arc<str> = options.topic.as_str().into();
    let header = |(key, value): &(String, String)| Header {
        key: key.clone(),
        value: Some(value.clone().into_bytes().into()),
    };
    let headers: Vec<Header> = options.header.iter().map(header).collect();
    let mut number = 0_u64;
    loop {
        let lines = tokio::select! {
            lines = chunks.recv() => lines,
            _ = tokio::signal::ctrl_c() => None,
        };
        let Some(lines) = lines else { return Ok(()) };
        for line in lines.map_err(Stopped::failure)? {
            number += 1;
            let (key, value) = split(options, &line, number)?;
            let null = |part: &[u8]| options.null.as_deref().is_some_and(|null| null.as_bytes() == part);
            let some = |part: &[u8]| (!null(part)).then(|| part.to_vec().into());
            let record = ProducerRecord {
                topic: topic.clone(),
                partition: options.partition,
                timestamp: None,
                key: key.and_then(some),
                value: some(value),
                headers: headers.clone(),
            };
            let told = fate.clone();
            let answered = producer.send_with(record, move |result| match result {
                Ok(_) => drop(told.acknowledged.fetch_add(1, Ordering::AcqRel)),
                Err(error) => told.fail(error),
            });
            if let Err(error) = answered.await {
                fate.fail(error);
            }
            if fate.failed.load(Ordering::Acquire) {
                return Ok(());
            }
        }
    }
}

/// A line's key and value.
fn split<'a>(
    options: &Produce,
    line: &'a [u8],
    number: u64,
) -> Result<(Option<&'a [u8]>, &'a [u8]), Stopped> {
    let Some(separator) = &options.key_separator else { return Ok((None, line)) };
    let separator = separator.as_bytes();
    match line.windows(separator.len()).position(|window| window == separator) {
        Some(at) => Ok((Some(&line[..at]), &line[at + separator.len()..])),
        None => Err(Stopped::usage(format!(
            "line {number} has no key separator \"{}\"; put a key before it, or leave --key-separator out",
            String::from_utf8_lossy(separator)
        ))),
    }
}

/// Reads lines on a thread of its own, since nothing interrupts reading a terminal. What is there goes on its way before
/// more is waited for.
fn read_lines(input: Box<dyn Read + Send>, chunks: &mpsc::Sender<Result<Vec<Vec<u8>>, String>>) {
    let mut input = BufReader::with_capacity(CHUNK_BYTES, input);
    let mut number = 0_u64;
    let mut chunk = Vec::new();
    let mut bytes = 0;
    loop {
        let mut line = Vec::new();
        let fault = match input.by_ref().take(LINE_BYTES_MAX as u64 + 2).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {
                number += 1;
                if line.pop_if(|last| *last == b'\n').is_some() {
                    line.pop_if(|last| *last == b'\r');
                }
                let too_long = format!("line {number} is longer than {LINE_BYTES_MAX} bytes; split it");
                (line.len() > LINE_BYTES_MAX).then_some(too_long)
            }
            Err(error) => Some(format!("reading line {}: {error}", number + 1)),
        };
        if let Some(text) = fault {
            let _ = chunks.blocking_send(Ok(std::mem::take(&mut chunk)));
            let _ = chunks.blocking_send(Err(text));
            return;
        }
        bytes += line.len();
        chunk.push(line);
        if bytes >= CHUNK_BYTES || input.buffer().is_empty() {
            bytes = 0;
            if chunks.blocking_send(Ok(std::mem::take(&mut chunk))).is_err() {
                return;
            }
        }
    }
    let _ = chunks.blocking_send(Ok(chunk));
}
