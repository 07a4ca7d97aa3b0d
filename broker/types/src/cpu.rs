//! A budget of CPU: a number of cores, over time. Threads that work for it are charged with the CPU that they have used, and
//! whoever takes in work asks first whether the budget is overdrawn, and for how long. What is not used is kept for a short
//! burst; what was used beyond it is waited for later, however long it takes, so that the share holds on the whole. A budget without a
//! limit only counts. Never enters: clocks (they are handed in), waiting.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is not used is kept for so long.
const BURST: Duration = Duration::from_millis(100);

/// How a process tells time. A thread's CPU never falls, and costs little to ask for.
#[derive(Clone, Copy, Debug)]
pub struct CpuClock {
    /// The time since an unknown start, never falling.
    pub now: fn() -> Duration,
    /// The CPU that the calling thread has used.
    pub thread: fn() -> Duration,
}

/// A share of the processors, in thousandths of a core, as a bucket of CPU time that fills at that rate.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    millicores: u64,
    /// What may be used at once; below zero what was used too much.
    left_ns: i64,
    filled_at: Duration,
}

impl Bucket {
    fn new(millicores: u64, now: Duration) -> Bucket {
        let mut bucket = Bucket { millicores, left_ns: 0, filled_at: now };
        bucket.left_ns = bucket.most_ns();
        bucket
    }

    fn most_ns(&self) -> i64 {
        self.filled_in(BURST)
    }

    fn filled_in(&self, time: Duration) -> i64 {
        let ns = time.as_nanos().saturating_mul(u128::from(self.millicores)) / 1_000;
        i64::try_from(ns).unwrap_or(i64::MAX)
    }

    /// Takes what was used; how long until there is something again, where there is nothing left.
    fn charge(&mut self, used: Duration, now: Duration) -> Option<Duration> {
        let more = self.filled_in(now.saturating_sub(self.filled_at));
        self.filled_at = now;
        self.left_ns = self.left_ns.saturating_add(more).min(self.most_ns());
        self.left_ns = self.left_ns.saturating_sub(i64::try_from(used.as_nanos()).unwrap_or(i64::MAX));
        let missing = u64::try_from(-self.left_ns).ok().filter(|missing| *missing > 0)?;
        let wait = u128::from(missing) * 1_000 / u128::from(self.millicores);
        Some(Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)))
    }
}

/// A budget of CPU. Clones are the same budget.
#[derive(Clone, Default)]
pub struct CpuBudget(Option<Arc<Shared>>);

struct Shared {
    clock: CpuClock,
    used_ns: AtomicU64,
    bucket: Option<Mutex<Bucket>>,
}

thread_local! {
    /// What this thread works for, and what it had used when that was last charged.
    static OF_THREAD: RefCell<(CpuBudget, Duration)> = RefCell::default();
}

impl CpuBudget {
    /// A budget of so many thousandths of a core; without a limit it only counts. The default one does not even that.
    pub fn new(millicores: Option<u64>, clock: CpuClock) -> CpuBudget {
        let bucket = millicores.map(|limit| Mutex::new(Bucket::new(limit.max(1), (clock.now)())));
        CpuBudget(Some(Arc::new(Shared { clock, used_ns: AtomicU64::new(0), bucket })))
    }

    /// What the calling thread works for; a budget that counts nothing where it works for none.
    pub fn of_thread() -> CpuBudget {
        OF_THREAD.with_borrow(|(budget, _)| budget.clone())
    }

    /// Charges this budget with what the calling thread uses, until the answer is dropped.
    pub fn enter(&self) -> Entered {
        // What was used until now is whose it was.
        settle();
        let mark = self.0.as_ref().map_or(Duration::ZERO, |shared| (shared.clock.thread)());
        let before = OF_THREAD.replace((self.clone(), mark));
        Entered { before: Some(before) }
    }

    /// Does some work on the calling thread, and charges this budget with it.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        let _entered = self.enter();
        work()
    }

    /// Charges what the calling thread has used since it was last charged. How long to take nothing in, where more was used
    /// than there is.
    pub fn overdrawn(&self) -> Option<Duration> {
        settle();
        let shared = self.0.as_ref()?;
        let bucket = shared.bucket.as_ref()?;
        bucket.lock().expect("no panic while held").charge(Duration::ZERO, (shared.clock.now)())
    }

    /// The CPU that was used.
    pub fn used(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |s| Duration::from_nanos(s.used_ns.load(Ordering::Relaxed)))
    }

    /// The thousandths of a core that there are; nothing where they are not limited.
    pub fn millicores(&self) -> Option<u64> {
        let bucket = self.0.as_ref()?.bucket.as_ref()?;
        Some(bucket.lock().expect("no panic while held").millicores)
    }

    fn charge(&self, used: Duration) {
        let Some(shared) = &self.0 else { return };
        let ns = u64::try_from(used.as_nanos()).unwrap_or(u64::MAX);
        shared.used_ns.fetch_add(ns, Ordering::Relaxed);
        if let Some(bucket) = &shared.bucket {
            let _ = bucket.lock().expect("no panic while held").charge(used, (shared.clock.now)());
        }
    }
}

/// Charges what the calling thread has used since it was last charged.
fn settle() {
    OF_THREAD.with_borrow_mut(|(budget, mark)| {
        let Some(shared) = &budget.0 else { return };
        let now = (shared.clock.thread)();
        budget.charge(now.saturating_sub(*mark));
        *mark = now;
    });
}

/// The calling thread works for a budget while this is there.
#[must_use = "the thread is charged until it is dropped"]
pub struct Entered {
    before: Option<(CpuBudget, Duration)>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        settle();
        let Some((budget, mark)) = self.before.take() else { return };
        // What was used meanwhile is charged here alone.
        let mark = budget.0.as_ref().map_or(mark, |shared| (shared.clock.thread)());
        OF_THREAD.set((budget, mark));
    }
}

impl fmt::Debug for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}

impl fmt::Debug for CpuBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CpuBudget")
            .field("millicores", &self.millicores())
            .field("used", &self.used())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_share_holds_on_the_whole_with_a_short_burst() {
        let mut bucket = Bucket::new(200, MS(0));
        // A fifth of a core for a tenth of a second is there at once.
        assert_eq!(bucket.charge(MS(20), MS(0)), None);
        assert_eq!(bucket.charge(MS(1), MS(0)), Some(MS(5)));
        assert_eq!(bucket.charge(MS(0), MS(3)), Some(MS(2)));
        assert_eq!(bucket.charge(MS(0), MS(5)), None);
        // A long commit is waited for in full, and long idleness buys no more than the burst.
        assert_eq!(bucket.charge(MS(2_000), MS(5)), Some(MS(10_000)));
        assert_eq!(bucket.charge(MS(0), MS(10_005)), None);
        assert_eq!(bucket.charge(MS(21), MS(90_000)), Some(MS(5)));
        // Two cores and a half, of which two are used.
        let mut bucket = Bucket::new(2_500, MS(0));
        assert!((1..100).all(|at| bucket.charge(MS(20), MS(at * 10)).is_none()));
        assert_eq!(bucket.charge(MS(1_250), MS(1_000)), Some(MS(400)));
    }

    #[test]
    fn whoever_takes_in_while_nothing_is_overdrawn_keeps_the_share() {
        for millicores in [10, 200, 1_000, 3_700] {
            let (mut bucket, mut now, mut used) = (Bucket::new(millicores, MS(0)), MS(0), MS(0));
            for round in 0..1_000u64 {
                let work = Duration::from_micros(round * 7_919 % 30_000);
                (now, used) = (now + work, used + work);
                // Held still in pieces, as a stage is.
                while let Some(wait) = bucket.charge(std::mem::take(&mut used), now) {
                    now += wait.min(MS(50));
                }
            }
            let all: u64 = (0..1_000).map(|round| round * 7_919 % 30_000).sum();
            let share = all as f64 / now.as_micros() as f64;
            let most = millicores as f64 / 1e3;
            assert!(share <= most * 1.01 && share >= most.min(1.0) * 0.97, "{millicores}: {share}");
        }
    }

    thread_local! {
        static CPU: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    const CLOCK: CpuClock = CpuClock { now: || Duration::ZERO, thread: || CPU.get() };

    fn work(ms: u64) {
        CPU.set(CPU.get() + MS(ms));
    }

    #[test]
    fn threads_are_charged_where_they_work() {
        let (one, other) = (CpuBudget::new(Some(1_000), CLOCK), CpuBudget::new(None, CLOCK));
        work(7);
        let entered = one.enter();
        work(60);
        assert_eq!((one.overdrawn(), one.used()), (None, MS(60)));
        work(3);
        other.run(|| work(1_000));
        let beside = CpuBudget::of_thread();
        std::thread::spawn(move || beside.run(|| work(30))).join().expect("it ends");
        work(17);
        assert_eq!((one.overdrawn(), one.used()), (Some(MS(10)), MS(110)));
        assert_eq!((other.overdrawn(), other.used(), other.millicores()), (None, MS(1_000), None));
        work(5);
        drop(entered);
        work(1);
        assert_eq!((one.used(), CpuBudget::of_thread().used()), (MS(115), MS(0)));
        assert_eq!(CpuBudget::default().overdrawn(), None);
    }
}
