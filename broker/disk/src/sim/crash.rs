//! Which of the unsynced changes a crash keeps. Each change is a choice point with some number of outcomes; a crash
//! state is one outcome for each. [`CrashStates`] counts them, builds the n-th, or one by chance. Never enters: how the
//! changes came about (`state.rs`).

use std::collections::{BTreeMap, BTreeSet};

use millstream_types::Rng;

use super::state::{Dir, File, Inode, InodeId, World, block_of};
use super::{BLOCK, SimDisk};

#[derive(Clone, Debug)]
enum Point {
    /// The file's length: one of these.
    Length(InodeId, Vec<usize>),
    /// A block: as it was synced, or one of its versions since.
    Block(InodeId, usize, usize),
    /// A directory's change: lost or kept.
    Change(InodeId, usize),
}

impl Point {
    fn outcomes(&self) -> u64 {
        match self {
            Point::Length(_, lengths) => lengths.len() as u64,
            Point::Block(_, _, versions) => *versions as u64 + 1,
            Point::Change(..) => 2,
        }
    }
}

/// The states that a crash may leave a [`SimDisk`] in.
#[derive(Clone, Debug)]
pub struct CrashStates {
    world: World,
    points: Vec<Point>,
}

impl CrashStates {
    pub(super) fn of(world: &World) -> CrashStates {
        let mut points = Vec::new();
        for (&id, inode) in &world.inodes {
            match inode {
                Inode::Dir(dir) => points.extend((0..dir.unsynced.len()).map(|i| Point::Change(id, i))),
                Inode::File(file) => {
                    let lengths = lengths(file);
                    if lengths.len() > 1 {
                        points.push(Point::Length(id, lengths));
                    }
                    points
                        .extend(file.blocks.iter().map(|(&b, versions)| Point::Block(id, b, versions.len())));
                }
            }
        }
        CrashStates { world: world.clone(), points }
    }

    /// How many combinations there are, counting those that come to the same; `None` beyond 2^64.
    pub fn count(&self) -> Option<u64> {
        self.points.iter().try_fold(1u64, |n, p| n.checked_mul(p.outcomes()))
    }

    /// Combination number `n` below [`CrashStates::count`]. Number 0 keeps nothing unsynced.
    pub fn nth(&self, mut n: u64) -> SimDisk {
        self.build(|point| {
            let outcome = n % point.outcomes();
            n /= point.outcomes();
            outcome
        })
    }

    /// The state in which every unsynced change was kept.
    pub fn all_kept(&self) -> SimDisk {
        self.build(|point| point.outcomes() - 1)
    }

    /// One state by chance. Half of the draws keep all or nothing of most files, since a crash that tears one thing is
    /// likelier, and more telling, than one that tears everything.
    pub fn sample(&self, rng: &mut dyn Rng) -> SimDisk {
        let style = rng.below(4);
        self.build(|point| {
            let last = point.outcomes() - 1;
            match style {
                0 => {
                    if rng.chance(1, 8) {
                        rng.below(last + 1)
                    } else {
                        last
                    }
                }
                1 => {
                    if rng.chance(1, 8) {
                        rng.below(last + 1)
                    } else {
                        0
                    }
                }
                _ => rng.below(last + 1),
            }
        })
    }

    fn build(&self, mut choose: impl FnMut(&Point) -> u64) -> SimDisk {
        let mut length: BTreeMap<InodeId, usize> = BTreeMap::new();
        let mut blocks: BTreeMap<InodeId, Vec<(usize, u64)>> = BTreeMap::new();
        let mut kept: BTreeMap<InodeId, BTreeSet<usize>> = BTreeMap::new();
        for point in &self.points {
            let outcome = choose(point);
            match point {
                Point::Length(id, lengths) => {
                    length.insert(*id, lengths[outcome as usize]);
                }
                Point::Block(id, block, _) => blocks.entry(*id).or_default().push((*block, outcome)),
                Point::Change(id, at) if outcome == 1 => {
                    kept.entry(*id).or_default().insert(*at);
                }
                Point::Change(..) => {}
            }
        }
        let mut world = self.world.settled();
        for (&id, inode) in &self.world.inodes {
            let survived = match inode {
                Inode::Dir(dir) => {
                    let empty = BTreeSet::new();
                    let entries = surviving_entries(dir, kept.get(&id).unwrap_or(&empty));
                    Inode::Dir(Dir { synced: entries.clone(), entries, unsynced: Vec::new() })
                }
                Inode::File(file) => {
                    let len = length.get(&id).copied().unwrap_or(file.synced.len());
                    let data = surviving_bytes(file, len, blocks.get(&id).map_or(&[][..], Vec::as_slice));
                    let lengths = vec![data.len()];
                    let modified = file.modified;
                    Inode::File(File {
                        synced: data.clone(),
                        data,
                        lengths,
                        blocks: BTreeMap::new(),
                        modified,
                    })
                }
            };
            world.inodes.insert(id, survived);
        }
        SimDisk::with(world)
    }
}

/// The lengths that a crash may leave: the durable one, those since, and every block's edge between the smallest and
/// the largest; the present one last.
fn lengths(file: &File) -> Vec<usize> {
    let mut all: BTreeSet<usize> = file.lengths.iter().copied().collect();
    all.insert(file.synced.len());
    let (low, high) = (*all.first().unwrap_or(&0), *all.last().unwrap_or(&0));
    all.extend((low / BLOCK + 1..=high / BLOCK).map(|b| b * BLOCK).filter(|&at| at > low && at < high));
    let now = file.data.len();
    let first = file.synced.len();
    all.remove(&now);
    all.remove(&first);
    let mut lengths = vec![first];
    lengths.extend(all);
    if now != first {
        lengths.push(now);
    }
    lengths
}

fn surviving_bytes(file: &File, len: usize, blocks: &[(usize, u64)]) -> Vec<u8> {
    let mut data = file.synced.clone();
    data.resize(len, 0);
    for &(block, outcome) in blocks {
        let contents = match outcome {
            0 => block_of(&file.synced, block),
            version => file.blocks[&block][version as usize - 1].clone(),
        };
        let from = (block * BLOCK).min(len);
        let to = (from + BLOCK).min(len);
        data[from..to].copy_from_slice(&contents[..to - from]);
    }
    data
}

/// The durable entries with the kept changes, in order. A change is possible only if those before it that touch one of
/// its names were kept too.
fn surviving_entries(dir: &Dir, kept: &BTreeSet<usize>) -> BTreeMap<String, InodeId> {
    let mut entries = dir.synced.clone();
    let mut lost_names: BTreeSet<&str> = BTreeSet::new();
    for (at, change) in dir.unsynced.iter().enumerate() {
        let names = change.names();
        if kept.contains(&at) && !names.iter().any(|n| lost_names.contains(n)) {
            change.apply(&mut entries);
        } else {
            lost_names.extend(names);
        }
    }
    entries
}
