//! Where the replicas of new partitions go. With racks, as Kafka's `StripedReplicaPlacer`: racks in turn from a
//! random start, brokers of a rack in turn, fenced brokers last; a rack's balance outranks a broker's. Without racks:
//! partition i leads at broker i mod n, and its replica j is broker (i + j) mod n; a topic with fewer partitions than
//! there are brokers starts at a random one, or small topics would all lie on the first. Never enters: free space,
//! load, and moving what is placed.

use std::collections::BTreeMap;

use millstream_types::{ErrorCode, NodeId, Rng};

use crate::error::{Refusal, refuse};

/// A broker that may be given replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsableBroker {
    /// Its id.
    pub id: NodeId,
    /// Its rack.
    pub rack: Option<String>,
    /// Whether it is fenced; it gets replicas only if there are not enough others, and never the first one.
    pub fenced: bool,
}

/// What to place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacementSpec {
    /// The index of the first new partition.
    pub start_partition: usize,
    /// How many new partitions.
    pub partitions: usize,
    /// How many replicas for each.
    pub replication_factor: i16,
}

/// Brokers of one kind (fenced or not) in one rack, in turn. With each new partition (`epoch`) the start moves on.
#[derive(Default)]
struct Ring {
    brokers: Vec<NodeId>,
    epoch: usize,
    index: usize,
    offset: usize,
}

impl Ring {
    fn start(&mut self, rng: &mut dyn Rng) {
        self.brokers.sort_unstable();
        if !self.brokers.is_empty() {
            self.offset = rng.below(self.brokers.len() as u64) as usize;
        }
    }

    fn next(&mut self, epoch: usize) -> Option<NodeId> {
        if self.brokers.is_empty() {
            return None;
        }
        if self.epoch != epoch {
            self.epoch = epoch;
            self.index = 0;
            self.offset = (self.offset + 1) % self.brokers.len();
        }
        if self.index >= self.brokers.len() {
            return None;
        }
        let broker = self.brokers[(self.index + self.offset) % self.brokers.len()];
        self.index += 1;
        Some(broker)
    }
}

#[derive(Default)]
struct Rack {
    fenced: Ring,
    unfenced: Ring,
}

/// The replicas of each new partition, the leader to be first.
///
/// Errors: INVALID_REPLICATION_FACTOR if there are not enough brokers, or all are fenced.
pub fn place(
    spec: PlacementSpec,
    brokers: &[UsableBroker],
    rng: &mut dyn Rng,
) -> Result<Vec<Vec<NodeId>>, Refusal> {
    let code = ErrorCode::InvalidReplicationFactor;
    let factor = match usize::try_from(spec.replication_factor) {
        Ok(factor) if factor > 0 => factor,
        _ => {
            return refuse(
                code,
                format!("the replication factor is {}; it must be 1 or more", spec.replication_factor),
            );
        }
    };
    if factor > brokers.len() {
        return refuse(
            code,
            format!(
                "the replication factor is {factor}, but only {} broker(s) are registered",
                brokers.len()
            ),
        );
    }
    if brokers.iter().all(|broker| broker.fenced) {
        return refuse(code, "all brokers are fenced at present; try again when one is up");
    }
    if brokers.iter().all(|broker| broker.rack.is_none()) {
        return Ok(place_without_racks(spec, factor, brokers, rng));
    }
    Ok(place_over_racks(spec, factor, brokers, rng))
}

fn place_without_racks(
    spec: PlacementSpec,
    factor: usize,
    brokers: &[UsableBroker],
    rng: &mut dyn Rng,
) -> Vec<Vec<NodeId>> {
    let pick = |fenced| {
        let mut ids: Vec<NodeId> = brokers.iter().filter(|b| b.fenced == fenced).map(|b| b.id).collect();
        ids.sort_unstable();
        ids
    };
    let (up, fenced) = (pick(false), pick(true));
    let whole = spec.start_partition + spec.partitions >= up.len();
    let start = if whole { 0 } else { rng.below(up.len() as u64) as usize };
    (spec.start_partition..spec.start_partition + spec.partitions)
        .map(|i| {
            let first = (0..up.len()).map(|j| up[(start + i + j) % up.len()]);
            let then = (0..fenced.len()).map(|j| fenced[(i + j) % fenced.len()]);
            first.chain(then).take(factor).collect()
        })
        .collect()
}

fn place_over_racks(
    spec: PlacementSpec,
    factor: usize,
    brokers: &[UsableBroker],
    rng: &mut dyn Rng,
) -> Vec<Vec<NodeId>> {
    let mut by_name: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
    for broker in brokers {
        let rack = by_name.entry(broker.rack.as_deref()).or_default();
        let ring = if broker.fenced { &mut rack.fenced } else { &mut rack.unfenced };
        ring.brokers.push(broker.id);
    }
    let mut racks: Vec<Rack> = by_name.into_values().collect();
    for rack in &mut racks {
        rack.unfenced.start(rng);
        rack.fenced.start(rng);
    }
    let mut offset = rng.below(racks.len() as u64) as usize;
    let mut out = Vec::with_capacity(spec.partitions);
    for epoch in 1..=spec.partitions {
        let mut rack = offset;
        offset = (offset + 1) % racks.len();
        let mut replicas = Vec::with_capacity(factor);
        // The leader to be is up: the first rack from here that has one. Some rack has, as the caller checked.
        while replicas.is_empty() {
            replicas.extend(racks[rack].unfenced.next(epoch));
            rack = (rack + 1) % racks.len();
        }
        while replicas.len() < factor {
            let taken = &mut racks[rack];
            replicas.extend(taken.unfenced.next(epoch).or_else(|| taken.fenced.next(epoch)));
            rack = (rack + 1) % racks.len();
        }
        out.push(replicas);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use millstream_types::SeededRng;

    use super::*;

    fn brokers(racks: &[Option<&str>], fenced: &[i32]) -> Vec<UsableBroker> {
        let broker = |(at, rack): (usize, &Option<&str>)| UsableBroker {
            id: NodeId(at as i32),
            rack: rack.map(str::to_owned),
            fenced: fenced.contains(&(at as i32)),
        };
        racks.iter().enumerate().map(broker).collect()
    }

    fn placed(
        start: usize,
        partitions: usize,
        factor: i16,
        brokers: &[UsableBroker],
        seed: u64,
    ) -> Vec<Vec<i32>> {
        let spec = PlacementSpec { start_partition: start, partitions, replication_factor: factor };
        let out = place(spec, brokers, &mut SeededRng::new(seed)).unwrap();
        out.into_iter().map(|replicas| replicas.into_iter().map(|node| node.0).collect()).collect()
    }

    #[test]
    fn without_racks_partitions_take_brokers_in_turn() {
        let three = brokers(&[None, None, None], &[]);
        assert_eq!(placed(0, 4, 2, &three, 1), [[0, 1], [1, 2], [2, 0], [0, 1]]);
        assert_eq!(placed(4, 2, 3, &three, 1), [[1, 2, 0], [2, 0, 1]]);
        // A fenced broker is the last choice.
        let one_down = brokers(&[None, None, None], &[0]);
        assert_eq!(placed(0, 2, 2, &one_down, 1), [[1, 2], [2, 1]]);
        assert_eq!(placed(0, 2, 3, &one_down, 1), [[1, 2, 0], [2, 1, 0]]);
        // Topics of one partition are spread.
        let starts: BTreeSet<i32> = (0..50).map(|seed| placed(0, 1, 1, &three, seed)[0][0]).collect();
        assert_eq!(starts.len(), 3);
    }

    #[test]
    fn each_partition_spans_as_many_racks_as_it_can() {
        let six = brokers(&[Some("a"), Some("a"), Some("b"), Some("b"), Some("c"), Some("c")], &[3]);
        for seed in 0..50 {
            let mut leaders = BTreeMap::new();
            for replicas in placed(0, 12, 3, &six, seed) {
                let racks: BTreeSet<i32> = replicas.iter().map(|id| id / 2).collect();
                assert_eq!(racks.len(), 3, "seed={seed}: {replicas:?}");
                assert!(!replicas.contains(&3), "seed={seed}: a fenced broker was not needed");
                *leaders.entry(replicas[0] / 2).or_insert(0) += 1;
            }
            assert!(leaders.values().all(|count| *count == 4), "seed={seed}: {leaders:?}");
        }
    }

    #[test]
    fn what_cannot_be_placed_is_refused() {
        let refused = |factor, brokers: &[UsableBroker]| {
            let spec = PlacementSpec { start_partition: 0, partitions: 1, replication_factor: factor };
            place(spec, brokers, &mut SeededRng::new(1)).unwrap_err().code
        };
        let two = brokers(&[None, Some("a")], &[0, 1]);
        for factor in [0, -1, 3, 1] {
            assert_eq!(refused(factor, &two), ErrorCode::InvalidReplicationFactor);
        }
    }
}
