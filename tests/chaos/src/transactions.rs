//! Transactional producers: commits, aborts, and transactions that are left open, whose producer lives on as a zombie while
//! the next one with its id takes over (TX-3). Never enters: reading.

use std::sync::Arc;
use std::time::Duration;

use millstream_checker::history::Sent;
use millstream_checker::{Function, Line, Stage};
use millstream_client::{ClientError, Delivery, Producer, ProducerConfig, Result};
use millstream_types::{Rng, SeededRng};

use crate::workload::{Planned, Workload};

/// How often a producer tries to get its id before the worker gives up.
const INIT_ATTEMPTS: u32 = 40;

/// Runs transactions under one id until the run stops; none is open when this returns.
pub(crate) async fn transactional(load: Arc<Workload>, id: String, mut rng: SeededRng) -> Result<()> {
    loop {
        let cluster = load.cluster(&mut rng)?;
        let config = ProducerConfig {
            transactional_id: Some(id.clone()),
            transaction_timeout: Duration::from_secs(60),
            ..load.producer_config(&mut rng)
        };
        let producer = Producer::new(&cluster, config)?;
        // Also where the run has stopped: what was left open has to be ended before the last reader comes.
        init(&producer).await?;
        let mut worker = Worker { load: &load, producer, process: load.recorder.process() };
        while !load.is_stopped() {
            if worker.one(&mut rng).await == Next::Replace {
                break;
            }
            load.pace(&mut rng).await;
        }
        if load.is_stopped() {
            // A transaction that could not be ended is ended by whoever takes the id next.
            let next = Producer::new(&cluster, worker.producer_config_of(&id))?;
            init(&next).await?;
            next.close(Duration::from_secs(1)).await;
            return Ok(());
        }
        // Dropped, not closed: what it still holds is sent behind its successor's back.
    }
}

/// Gets the producer's id, however often that takes.
pub(crate) async fn init(producer: &Producer) -> Result<()> {
    let mut attempt = 1;
    loop {
        match producer.init_transactions().await {
            Ok(()) => return Ok(()),
            Err(error) if attempt == INIT_ATTEMPTS => return Err(error),
            Err(error) => tracing::debug!(%error, attempt, "init_transactions failed"),
        }
        attempt += 1;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    /// The producer is of no more use.
    Replace,
}

struct Worker<'a> {
    load: &'a Workload,
    producer: Producer,
    process: u32,
}

impl Worker<'_> {
    fn producer_config_of(&self, id: &str) -> ProducerConfig {
        ProducerConfig { transactional_id: Some(id.to_owned()), ..ProducerConfig::default() }
    }

    fn ended(&self, stage: Stage, sends: Vec<Sent<'_>>, failed: Option<&ClientError>) {
        let line = Line::new(0, self.process, Function::Txn, stage);
        self.load.recorder.write(Line { sends, note: failed.map(ToString::to_string), ..line });
    }

    /// One transaction.
    async fn one(&mut self, rng: &mut SeededRng) -> Next {
        let load = self.load;
        let plan = load.plan(rng, 20, 4);
        let commit = rng.below(4) > 0;
        let line = Line::new(0, self.process, Function::Txn, Stage::Invoke);
        load.recorder.write(Line { sends: load.invoked(&plan), commit: Some(commit), ..line });
        if let Err(error) = self.producer.begin_transaction() {
            self.ended(Stage::Fail, Vec::new(), Some(&error));
            return Next::Replace;
        }
        let mut deliveries = Vec::new();
        for planned in &plan {
            deliveries.push(load.send(&self.producer, *planned).await);
        }
        if rng.below(2) == 0 {
            self.producer.flush().await;
        }
        let taken = deliveries.iter().all(Result::is_ok);
        if rng.below(40) == 0 {
            // A commit was never asked for: nothing of it may be seen, whatever the zombie still sends.
            self.ended(Stage::Fail, Vec::new(), None);
            return Next::Replace;
        }
        if commit && taken {
            self.commit(&plan, deliveries).await
        } else {
            self.abort(&plan, deliveries).await
        }
    }

    async fn commit(&mut self, plan: &[Planned], deliveries: Vec<Result<Delivery>>) -> Next {
        let load = self.load;
        load.recorder.write(Line::new(0, self.process, Function::End, Stage::Invoke));
        let committed = self.producer.commit_transaction().await;
        match committed {
            Ok(()) => {
                let (sends, failed) = load.outcomes(plan, deliveries).await;
                load.recorder.acknowledge(sends.len() as u64);
                self.ended(Stage::Ok, sends, failed.as_ref());
                Next::GoOn
            }
            Err(error) => {
                // Whether it was committed is not known, however the abort goes.
                let aborted = self.producer.abort_transaction().await;
                let (sends, _) = load.outcomes(plan, deliveries).await;
                self.ended(Stage::Info, sends, Some(&error));
                self.process = load.recorder.process();
                if aborted.is_ok() { Next::GoOn } else { Next::Replace }
            }
        }
    }

    async fn abort(&mut self, plan: &[Planned], deliveries: Vec<Result<Delivery>>) -> Next {
        let aborted = self.producer.abort_transaction().await;
        let (sends, _) = match &aborted {
            Ok(()) => self.load.outcomes(plan, deliveries).await,
            // What is under way may have no outcome for long.
            Err(_) => (Vec::new(), None),
        };
        self.ended(Stage::Fail, sends, aborted.as_ref().err());
        if aborted.is_ok() { Next::GoOn } else { Next::Replace }
    }
}
