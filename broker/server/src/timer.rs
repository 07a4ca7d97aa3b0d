//! The purgatory's clock: a hierarchical timing wheel (Varghese and Lauck, 1987) of one-millisecond ticks, with
//! cancelling in constant time and nothing that lingers. Waiting fetches and produces arm it; one thread drives it.
//! Never enters: what waits, and for what.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// Slots of each level; a level's slot spans all of the level below.
const SLOTS: usize = 64;
const SLOT_BITS: u32 = 6;
/// Levels: 64^5 ms are 12 days, far above any time-out; longer ones are cut to it.
const LEVELS: usize = 5;
const NONE: u32 = u32::MAX;

/// Names an armed time-out; a key of one that fired or was cancelled is never taken for another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerKey {
    index: u32,
    generation: u32,
}

struct Entry {
    generation: u32,
    deadline: u64,
    waker: Option<Waker>,
    slot: u32,
    next: u32,
    previous: u32,
}

/// The wheel itself, in ticks; pure, so that it is tested without a clock.
struct Wheel {
    now: u64,
    heads: [u32; SLOTS * LEVELS],
    occupied: [u64; LEVELS],
    entries: Vec<Entry>,
    free: u32,
    armed: usize,
}

impl Wheel {
    fn new() -> Wheel {
        Wheel {
            now: 0,
            heads: [NONE; SLOTS * LEVELS],
            occupied: [0; LEVELS],
            entries: Vec::new(),
            free: NONE,
            armed: 0,
        }
    }

    fn slot_of(&self, deadline: u64) -> usize {
        let delta = deadline ^ self.now;
        let level = if delta == 0 { 0 } else { ((63 - delta.leading_zeros()) / SLOT_BITS) as usize };
        let level = level.min(LEVELS - 1);
        level * SLOTS + ((deadline >> (SLOT_BITS * level as u32)) as usize & (SLOTS - 1))
    }

    fn link(&mut self, index: u32) {
        let slot = self.slot_of(self.entries[index as usize].deadline);
        let head = self.heads[slot];
        let entry = &mut self.entries[index as usize];
        entry.slot = slot as u32;
        entry.previous = NONE;
        entry.next = head;
        if head != NONE {
            self.entries[head as usize].previous = index;
        }
        self.heads[slot] = index;
        self.occupied[slot / SLOTS] |= 1 << (slot % SLOTS);
    }

    fn unlink(&mut self, index: u32) {
        let (slot, next, previous) = {
            let entry = &self.entries[index as usize];
            (entry.slot as usize, entry.next, entry.previous)
        };
        if previous == NONE {
            self.heads[slot] = next;
            if next == NONE {
                self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
            }
        } else {
            self.entries[previous as usize].next = next;
        }
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
    }

    fn release(&mut self, index: u32) {
        let free = self.free;
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.waker = None;
        entry.next = free;
        self.free = index;
        self.armed -= 1;
    }

    fn arm(&mut self, deadline: u64, waker: Waker) -> TimerKey {
        let longest = 1u64 << (SLOT_BITS * LEVELS as u32);
        let deadline = deadline.clamp(self.now + 1, self.now + longest - 1);
        let index = if self.free == NONE {
            self.entries.push(Entry {
                generation: 0,
                deadline: 0,
                waker: None,
                slot: 0,
                next: NONE,
                previous: NONE,
            });
            (self.entries.len() - 1) as u32
        } else {
            let index = self.free;
            self.free = self.entries[index as usize].next;
            index
        };
        let entry = &mut self.entries[index as usize];
        entry.deadline = deadline;
        entry.waker = Some(waker);
        let generation = entry.generation;
        self.link(index);
        self.armed += 1;
        TimerKey { index, generation }
    }

    fn cancel(&mut self, key: TimerKey) -> bool {
        match self.entries.get(key.index as usize) {
            Some(entry) if entry.generation == key.generation && entry.waker.is_some() => {
                self.unlink(key.index);
                self.release(key.index);
                true
            }
            _ => false,
        }
    }

    /// The tick at which something has to be looked at next; not later than the first deadline.
    fn next_tick(&self) -> Option<u64> {
        (0..LEVELS)
            .filter_map(|level| {
                let shift = SLOT_BITS * level as u32;
                let position = (self.now >> shift) as u32 & (SLOTS as u32 - 1);
                let occupied = self.occupied[level];
                if occupied == 0 {
                    return None;
                }
                // Slots behind the hand are those of the next turn; only the top level has any.
                let ahead = occupied.rotate_right(position);
                let distance = u64::from(if ahead & 1 == 1 && level > 0 && ahead != 1 {
                    (ahead & !1).trailing_zeros()
                } else {
                    ahead.trailing_zeros()
                });
                let turn = (self.now >> shift) + distance;
                Some((turn << shift).max(self.now + u64::from(distance == 0)))
            })
            .min()
    }

    /// Moves the hand to `to` and gives out the wakers that are due.
    fn advance(&mut self, to: u64, due: &mut Vec<Waker>) {
        while self.now < to {
            let Some(next) = self.next_tick().filter(|next| *next <= to) else {
                self.now = to;
                return;
            };
            self.now = next;
            for level in (0..LEVELS).rev() {
                let shift = SLOT_BITS * level as u32;
                if level > 0 && self.now & ((1 << shift) - 1) != 0 {
                    continue;
                }
                let slot = level * SLOTS + ((self.now >> shift) as usize & (SLOTS - 1));
                let mut index = self.heads[slot];
                self.heads[slot] = NONE;
                self.occupied[level] &= !(1 << (slot % SLOTS));
                while index != NONE {
                    let next = self.entries[index as usize].next;
                    if self.entries[index as usize].deadline <= self.now {
                        due.extend(self.entries[index as usize].waker.take());
                        self.release(index);
                    } else {
                        self.link(index);
                    }
                    index = next;
                }
            }
        }
    }
}

struct State {
    wheel: Wheel,
    stopped: bool,
    /// The tick that the driver sleeps until; an earlier deadline has to wake it.
    asleep_until: u64,
}

/// A wheel and the thread that drives it.
pub struct Timer {
    started: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

impl Timer {
    /// Starts the wheel; [`Timer::stop`] ends its thread.
    pub fn start() -> std::io::Result<Arc<Timer>> {
        let timer = Arc::new(Timer {
            started: Instant::now(),
            state: Mutex::new(State { wheel: Wheel::new(), stopped: false, asleep_until: 0 }),
            changed: Condvar::new(),
        });
        let driver = Arc::clone(&timer);
        crate::critical::spawn("timer", move || driver.drive())?;
        Ok(timer)
    }

    fn tick(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Wakes `waker` in `ms` milliseconds, unless [`Timer::cancel`] comes first.
    pub fn arm(&self, ms: u64, waker: Waker) -> TimerKey {
        // A deadline counts from the next whole tick, so that it is never early.
        let deadline = self.tick() + ms + 1;
        let mut state = self.state.lock();
        let key = state.wheel.arm(deadline, waker);
        if deadline < state.asleep_until {
            self.changed.notify_one();
        }
        key
    }

    /// Takes a time-out back; `false` where it has fired.
    pub fn cancel(&self, key: TimerKey) -> bool {
        self.state.lock().wheel.cancel(key)
    }

    /// Time-outs that are armed.
    pub fn armed(&self) -> usize {
        self.state.lock().wheel.armed
    }

    /// Ends the driving thread; what is armed never fires.
    pub fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_one();
    }

    fn drive(&self) {
        let mut due = Vec::new();
        let mut state = self.state.lock();
        while !state.stopped {
            let now = self.tick();
            state.wheel.advance(now, &mut due);
            if !due.is_empty() {
                parking_lot::MutexGuard::unlocked(&mut state, || due.drain(..).for_each(Waker::wake));
                continue;
            }
            match state.wheel.next_tick() {
                Some(next) => {
                    state.asleep_until = next;
                    let until = self.started + std::time::Duration::from_millis(next);
                    self.changed.wait_until(&mut state, until);
                }
                None => {
                    state.asleep_until = u64::MAX;
                    self.changed.wait(&mut state);
                }
            }
            state.asleep_until = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::Wake;

    use millstream_types::{Rng, SeededRng};

    use super::*;

    struct Count(AtomicU64);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// The wheel against a sorted map: everything fires in the tick of its deadline, once, unless cancelled.
    fn check(seed: u64) {
        let mut rng = SeededRng::new(seed);
        let mut wheel = Wheel::new();
        let mut model: BTreeMap<u64, Vec<(TimerKey, Arc<Count>)>> = BTreeMap::new();
        let mut due = Vec::new();
        for _ in 0..2_000 {
            match rng.below(3) {
                0 => {
                    let reach = 1 << rng.below(22);
                    let deadline = wheel.now + 1 + rng.below(reach);
                    let count = Arc::new(Count(AtomicU64::new(0)));
                    let key = wheel.arm(deadline, Waker::from(Arc::clone(&count)));
                    model.entry(deadline).or_default().push((key, count));
                }
                1 => {
                    let reach = 1 << rng.below(18);
                    let to = wheel.now + rng.below(reach);
                    wheel.advance(to, &mut due);
                    due.drain(..).for_each(Waker::wake);
                    assert_eq!(wheel.now, to.max(wheel.now), "seed {seed}");
                    for (deadline, armed) in &model {
                        let fired = u64::from(*deadline <= to);
                        for (_, count) in armed {
                            assert_eq!(
                                count.0.load(Ordering::SeqCst),
                                fired,
                                "seed {seed}: due at {deadline}, now {to}"
                            );
                        }
                    }
                    model.retain(|deadline, _| *deadline > to);
                }
                _ => {
                    let deadlines: Vec<u64> = model.keys().copied().collect();
                    if !deadlines.is_empty() {
                        let deadline = deadlines[rng.below(deadlines.len() as u64) as usize];
                        if let Some((key, _)) = model.get_mut(&deadline).and_then(Vec::pop) {
                            assert!(wheel.cancel(key), "seed {seed}");
                            assert!(!wheel.cancel(key), "seed {seed}: cancelled twice");
                        }
                    }
                }
            }
            assert_eq!(wheel.armed, model.values().map(Vec::len).sum::<usize>(), "seed {seed}");
        }
    }

    #[test]
    fn the_wheel_fires_when_a_sorted_map_would() {
        for seed in 0..40 {
            check(seed);
        }
    }

    #[test]
    fn a_driven_wheel_wakes_and_stops() {
        let timer = Timer::start().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        struct Tell(std::sync::mpsc::Sender<()>);
        impl Wake for Tell {
            fn wake(self: Arc<Self>) {
                let _ = self.0.send(());
            }
        }
        timer.arm(3_600_000, Waker::from(Arc::new(Tell(sender.clone()))));
        timer.arm(2, Waker::from(Arc::new(Tell(sender))));
        receiver.recv().unwrap();
        assert_eq!(timer.armed(), 1);
        timer.stop();
    }
}
