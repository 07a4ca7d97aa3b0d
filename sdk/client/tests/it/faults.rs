//! Connections that break: every so many bytes, in the middle of whatever is under way. Nothing may be lost, nothing may be
//! there twice, and each partition keeps its order.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use millstream_client::{Cluster, Isolation, Producer, ProducerConfig};
use millstream_net::{Connector, Stream};
use millstream_types::{Rng, SeededRng};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::support::{against_cluster, read_all, record, topic, unique};

/// Connects through a pair of buffers that breaks after a random number of bytes in either direction.
struct Breaking {
    on: Arc<AtomicBool>,
    broken: Arc<AtomicU64>,
    rng: Mutex<SeededRng>,
}

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    on: Arc<AtomicBool>,
    mut left: u64,
) {
    let mut buffer = vec![0; 4_096];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        let passed = if on.load(Ordering::Relaxed) { (read as u64).min(left) as usize } else { read };
        if to.write_all(&buffer[..passed]).await.is_err() {
            return;
        }
        left = left.saturating_sub(passed as u64);
        if passed < read {
            return;
        }
    }
}

impl Connector for Breaking {
    fn connect<'a>(
        &'a self,
        address: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>> {
        Box::pin(async move {
            let (ours, theirs) = Stream::pair();
            let (from_broker, to_broker) = tokio::io::split(Stream::connect(address).await?);
            let (from_client, to_client) = tokio::io::split(theirs);
            let (there, back) = {
                let mut rng = self.rng.lock();
                (1_500 + rng.below(8_000), 1_500 + rng.below(3_000))
            };
            let (on, broken) = (self.on.clone(), self.broken.clone());
            tokio::spawn(async move {
                // The first direction to break takes the other with it.
                tokio::select! {
                    () = forward(from_client, to_broker, on.clone(), there) => {}
                    () = forward(from_broker, to_client, on, back) => {}
                }
                broken.fetch_add(1, Ordering::Relaxed);
            });
            Ok(ours)
        })
    }
}

fn breaking(seed: u64) -> (Arc<Breaking>, Arc<AtomicBool>, Arc<AtomicU64>) {
    let (on, broken) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let rng = Mutex::new(SeededRng::new(seed));
    (Arc::new(Breaking { on: on.clone(), broken: broken.clone(), rng }), on, broken)
}

#[test]
fn an_idempotent_producer_keeps_everything_once_and_in_order() {
    against_cluster("an_idempotent_producer_keeps_everything_once_and_in_order", |cluster| async move {
        for seed in 1..4 {
            let topic = topic(&cluster, 3).await;
            let (connector, on, broken) = breaking(seed);
            let flaky = Cluster::with_connector(cluster.config().clone(), connector).unwrap();
            let config = ProducerConfig {
                batch_bytes: 1_000,
                linger: Duration::from_millis(1),
                ..ProducerConfig::default()
            };
            let producer = Producer::new(&flaky, config).unwrap();
            // How many connections break hangs on how many bytes a request has: where those were few, more is sent.
            let mut count = 0;
            while count == 0 || (broken.load(Ordering::Relaxed) < 5 && count < 30_000) {
                let mut deliveries = Vec::new();
                for i in count..count + 3_000 {
                    let mut record = record(&topic, "", &format!("{i:05}"));
                    record.partition = Some(i % 3);
                    deliveries.push(producer.send(record).await.unwrap());
                    if i % 100 == 0 {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
                for delivery in deliveries {
                    delivery.await.unwrap();
                }
                count += 3_000;
            }
            on.store(false, Ordering::Relaxed);
            assert!(broken.load(Ordering::Relaxed) >= 5, "seed {seed}: only {broken:?} connections broke");
            for (partition, values) in read_all(&cluster, &topic, Isolation::ReadUncommitted).await {
                let at = partition.partition;
                let expected: Vec<String> =
                    (0..count).filter(|i| i % 3 == at).map(|i| format!("{i:05}")).collect();
                assert!(values == expected, "seed {seed}: {partition} has {} values", values.len());
            }
        }
    });
}

#[test]
fn a_transaction_is_whole_or_not_there() {
    against_cluster("a_transaction_is_whole_or_not_there", |cluster| async move {
        let topic = topic(&cluster, 3).await;
        let (connector, on, _broken) = breaking(9);
        let flaky = Cluster::with_connector(cluster.config().clone(), connector).unwrap();
        let config = ProducerConfig { transactional_id: Some(unique("txn")), ..ProducerConfig::default() };
        let producer = Producer::new(&flaky, config).unwrap();
        producer.init_transactions().await.unwrap();
        let mut committed = Vec::new();
        // A break may take a transaction with it: further ones come until enough are committed.
        let mut round = 0;
        while round < 40 || (committed.len() < 30 && round < 400) {
            producer.begin_transaction().unwrap();
            let mut sent = true;
            for i in 0..30 {
                let mut record = record(&topic, "", &format!("{round:03}-{i:02}"));
                record.partition = Some(i % 3);
                sent &= producer.send(record).await.is_ok();
            }
            if sent && producer.commit_transaction().await.is_ok() {
                committed.push(round);
            } else {
                producer.abort_transaction().await.unwrap();
            }
            round += 1;
        }
        on.store(false, Ordering::Relaxed);
        let found = read_all(&cluster, &topic, Isolation::ReadCommitted).await;
        for (partition, values) in &found {
            let own = |i: &i32| i % 3 == partition.partition;
            let whole = committed
                .iter()
                .flat_map(|round| (0..30).filter(own).map(move |i| format!("{round:03}-{i:02}")));
            assert_eq!(values, &whole.collect::<Vec<_>>(), "{partition}");
        }
        assert!(committed.len() >= 30, "{committed:?}");
    });
}

/// Connects through buffers that pass nothing on while `held` is set.
struct Holding {
    held: Arc<AtomicBool>,
}

async fn pass_on(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, held: Arc<AtomicBool>) {
    let mut buffer = vec![0; 4_096];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        while held.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

impl Connector for Holding {
    fn connect<'a>(
        &'a self,
        address: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>> {
        Box::pin(async move {
            let (ours, theirs) = Stream::pair();
            let (from_broker, to_broker) = tokio::io::split(Stream::connect(address).await?);
            let (from_client, to_client) = tokio::io::split(theirs);
            tokio::spawn(pass_on(from_client, to_broker, self.held.clone()));
            tokio::spawn(pass_on(from_broker, to_client, self.held.clone()));
            Ok(ours)
        })
    }
}

#[test]
fn a_transaction_that_lost_a_record_is_not_committed() {
    against_cluster("a_transaction_that_lost_a_record_is_not_committed", |cluster| async move {
        let topic = topic(&cluster, 2).await;
        let held = Arc::new(AtomicBool::new(false));
        let connector = Arc::new(Holding { held: held.clone() });
        let slow = Cluster::with_connector(cluster.config().clone(), connector).unwrap();
        let config = ProducerConfig {
            transactional_id: Some(unique("txn")),
            // Enough for the first record, of a topic that is new; the second one waits for it to pass.
            delivery_timeout: Duration::from_secs(5),
            in_flight_max: 1,
            linger: Duration::ZERO,
            ..ProducerConfig::default()
        };
        let producer = Producer::new(&slow, config).unwrap();
        producer.init_transactions().await.unwrap();
        producer.begin_transaction().unwrap();
        let to = |partition, value: &str| {
            let mut record = record(&topic, "", value);
            record.partition = Some(partition);
            record
        };
        producer.send(to(0, "known")).await.unwrap().await.unwrap();
        held.store(true, Ordering::Relaxed);
        let first = producer.send(to(0, "under way")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        // Waits behind the first, and its time runs out there.
        let second = producer.send(to(1, "waiting")).await.unwrap();
        assert!(second.await.is_err());
        held.store(false, Ordering::Relaxed);
        let _ = first.await;
        let error = producer.commit_transaction().await.unwrap_err();
        assert!(matches!(error, millstream_client::ClientError::MustAbort(_)), "{error}");
        producer.abort_transaction().await.unwrap();
        assert!(read_all(&cluster, &topic, Isolation::ReadCommitted).await.is_empty());
    });
}
