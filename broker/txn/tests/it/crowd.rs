//! A seeded crowd: producers, zombies of them, markers that come late, twice and out of order, time-outs, and a
//! coordinator that is unloaded and loaded from its records at any moment. Checked at every step: TX-2 (all
//! partitions of a transaction get one outcome; version 2 only), TX-3 (an epoch that was passed never acts again), and that a
//! coordinator loaded from its log does what the old one would have.

use std::collections::BTreeMap;

use millstream_txn::{
    Answer, Config, Coordinator, Input, MarkerOrder, Outcome, Partitions, Then, TxnState, Version,
};
use millstream_types::{ErrorCode, ProducerEpoch, ProducerId, Rng, SeededRng};
use millstream_wire::record::txn::{TransactionLogKey, TransactionLogValue};

const IDS: [&str; 3] = ["a", "b", "c"];

#[derive(Default)]
struct World {
    now: i64,
    next_id: ProducerId,
    log: Vec<(TransactionLogKey, Option<TransactionLogValue>)>,
    /// Producers as clients know them, old ones too.
    producers: Vec<(&'static str, ProducerId, ProducerEpoch)>,
    markers: Vec<MarkerOrder>,
    /// The outcome that markers of a (producer, epoch) announced.
    outcomes: BTreeMap<(ProducerId, ProducerEpoch), bool>,
    /// The newest epoch that any answer named.
    newest: BTreeMap<ProducerId, ProducerEpoch>,
    answers: u64,
    loads: u64,
}

impl World {
    fn carry_out(
        &mut self,
        coordinator: &mut Coordinator,
        outcomes: Vec<Outcome>,
        asked: Option<(ProducerId, ProducerEpoch)>,
    ) {
        for outcome in outcomes {
            self.log.extend(outcome.append);
            for then in outcome.then {
                match then {
                    Then::Answer(_, answer) => {
                        self.answers += 1;
                        self.answered(answer, asked);
                    }
                    Then::WriteMarkers(order) => {
                        // Version 1 uses an epoch for many transactions: there the promise is not to be had.
                        if order.version == Version::V1 {
                            self.markers.push(order);
                            continue;
                        }
                        let told = self
                            .outcomes
                            .entry((order.producer_id, order.producer_epoch))
                            .or_insert(order.commit);
                        assert_eq!(*told, order.commit, "TX-2: one transaction was ended both ways");
                        self.markers.push(order);
                    }
                    Then::AllocateProducerIds => {
                        self.next_id += 2;
                        let input = Input::ProducerIds { first: self.next_id - 2, count: 2 };
                        let more = coordinator.step(self.now, input);
                        self.carry_out(coordinator, more, asked);
                    }
                }
            }
        }
    }

    fn answered(&mut self, answer: Answer, asked: Option<(ProducerId, ProducerEpoch)>) {
        match answer {
            Answer::ProducerId { error: ErrorCode::None, producer_id, producer_epoch } => {
                let newest = self.newest.entry(producer_id).or_insert(producer_epoch);
                assert!(*newest <= producer_epoch, "TX-3: an epoch was given out again");
                *newest = producer_epoch;
            }
            Answer::Partitions { error: ErrorCode::None, refused } if refused.is_empty() => {
                let (id, epoch) = asked.expect("a producer asked");
                assert!(
                    self.newest.get(&id).is_none_or(|newest| epoch >= *newest),
                    "TX-3: producer {id} added partitions with epoch {epoch} after {:?}",
                    self.newest.get(&id)
                );
            }
            Answer::End { error: ErrorCode::None, producer_id, producer_epoch } if producer_id >= 0 => {
                let newest = self.newest.entry(producer_id).or_insert(producer_epoch);
                *newest = (*newest).max(producer_epoch);
            }
            _ => {}
        }
    }
}

fn some_partitions(rng: &mut SeededRng) -> Partitions {
    let mut found = Partitions::new();
    for _ in 0..=rng.below(2) {
        found.entry(format!("t{}", rng.below(2))).or_default().insert(rng.below(3) as i32);
    }
    found
}

fn step(world: &mut World, coordinator: &mut Coordinator, rng: &mut SeededRng) {
    world.now += rng.below(40) as i64;
    let id = IDS[rng.below(3) as usize];
    let version = if rng.chance(1, 4) { Version::V1 } else { Version::V2 };
    let producer = if world.producers.is_empty() {
        (id, 0, 0)
    } else {
        let back = rng.below(world.producers.len().min(6) as u64) as usize;
        world.producers[world.producers.len() - 1 - back]
    };
    let asked = Some((producer.1, producer.2));
    let input = match rng.below(10) {
        0 => Input::InitProducerId {
            token: 0,
            transactional_id: Some(id.to_owned()),
            timeout_ms: 200,
            producer_id: -1,
            producer_epoch: -1,
        },
        1..=3 => Input::AddPartitions {
            token: 0,
            transactional_id: producer.0.to_owned(),
            producer_id: producer.1,
            producer_epoch: producer.2,
            version,
            partitions: some_partitions(rng),
            verify_only: false,
        },
        4 | 5 => Input::EndTxn {
            token: 0,
            transactional_id: producer.0.to_owned(),
            producer_id: producer.1,
            producer_epoch: producer.2,
            commit: rng.chance(2, 3),
            version,
        },
        6 => Input::Tick,
        7 if rng.chance(1, 5) => {
            world.loads += 1;
            coordinator.step(world.now, Input::Unload { shard: 0 });
            Input::Load { shard: 0, epoch: world.loads as i32, records: world.log.clone() }
        }
        _ if !world.markers.is_empty() => {
            let at = rng.below(world.markers.len() as u64) as usize;
            let order = world.markers[at].clone();
            for (topic, partitions) in &order.partitions {
                for partition in partitions {
                    let outcomes = coordinator.step(
                        world.now,
                        Input::MarkerWritten {
                            transactional_id: order.transactional_id.clone(),
                            producer_id: order.producer_id,
                            producer_epoch: order.producer_epoch,
                            topic: topic.clone(),
                            partition: *partition,
                        },
                    );
                    world.carry_out(coordinator, outcomes, None);
                }
            }
            if rng.chance(1, 2) {
                world.markers.swap_remove(at);
            }
            return;
        }
        _ => Input::Tick,
    };
    let outcomes = coordinator.step(world.now, input);
    world.carry_out(coordinator, outcomes, asked);
    for listed in coordinator.list() {
        let described = coordinator.describe(&listed.transactional_id).expect("it is listed");
        let known = IDS.into_iter().find(|i| *i == listed.transactional_id).expect("one of ours");
        let producer = (known, described.producer_id, described.producer_epoch);
        if described.state != TxnState::PrepareAbort && !world.producers.contains(&producer) {
            world.producers.push(producer);
        }
    }
}

fn check(seed: u64) -> (u64, u64) {
    let mut rng = SeededRng::new(seed);
    let mut world = World::default();
    let mut coordinator = Coordinator::new(Config { shards: 1, ..Config::default() });
    coordinator.step(0, Input::Load { shard: 0, epoch: 0, records: Vec::new() });
    for _ in 0..400 {
        step(&mut world, &mut coordinator, &mut rng);
    }
    // However it ended, a coordinator that reads the log agrees with the one that wrote it.
    let mut again = Coordinator::new(Config { shards: 1, ..Config::default() });
    again.step(world.now, Input::Load { shard: 0, epoch: 0, records: world.log.clone() });
    assert_eq!(again.list(), coordinator.list(), "the log tells another story than the memory");
    (world.answers, world.outcomes.len() as u64)
}

#[test]
fn a_crowd_of_producers_keeps_the_invariants() {
    let mut answers = 0;
    let mut ends = 0;
    for seed in 0..300 {
        let result = std::panic::catch_unwind(|| check(seed));
        let Ok((a, e)) = result else { panic!("seed {seed} fails") };
        answers += a;
        ends += e;
    }
    // The crowd did something: otherwise the checks above checked nothing.
    assert!(answers > 10_000 && ends > 1_000, "{answers} answers, {ends} transactions ended");
}
