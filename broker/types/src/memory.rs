//! One budget of memory for a process. Whoever holds much says how much that is, in a [`MemoryClaim`]; whoever can do
//! with less asks whether the budget is short, and then does: a stage commits what it has gathered, a consumer fetches
//! nothing ahead, a writer lets go of what it has encoded. Nobody is refused, so that nothing can wait for itself: each
//! part keeps a bound of its own for what it cannot do without. A budget may be a part of another: what is claimed of it
//! counts in both, and it is short when either is. Never enters: what a part does when it is short.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

/// A budget that all parts of a process share. Clones are the same budget.
#[derive(Clone)]
pub struct MemoryBudget(Arc<Shared>);

struct Shared {
    limit_bytes: i64,
    whole: Option<MemoryBudget>,
    total: AtomicI64,
    kinds: Mutex<BTreeMap<&'static str, Arc<AtomicI64>>>,
}

impl MemoryBudget {
    /// A budget of so many bytes.
    pub fn new(limit_bytes: u64) -> MemoryBudget {
        MemoryBudget::of(limit_bytes, None)
    }

    fn of(limit_bytes: u64, whole: Option<MemoryBudget>) -> MemoryBudget {
        let limit_bytes = i64::try_from(limit_bytes).unwrap_or(i64::MAX);
        let shared = Shared { limit_bytes, whole, total: AtomicI64::new(0), kinds: Mutex::default() };
        MemoryBudget(Arc::new(shared))
    }

    /// A budget that is never short.
    pub fn unlimited() -> MemoryBudget {
        MemoryBudget::new(u64::MAX)
    }

    /// A budget that is a part of this one, of so many bytes; without a limit it has what all of this one may have.
    pub fn part(&self, limit_bytes: Option<u64>) -> MemoryBudget {
        MemoryBudget::of(limit_bytes.unwrap_or(u64::MAX), Some(self.clone()))
    }

    /// A claim of nothing yet, by a part of this kind, such as `fetched`. Any number of parts may be of one kind.
    pub fn claim(&self, kind: &'static str) -> MemoryClaim {
        let mut kinds = self.0.kinds.lock().expect("no panic while held");
        let of_kind = Arc::clone(kinds.entry(kind).or_default());
        let of_whole = self.0.whole.as_ref().map(|whole| Box::new(whole.claim(kind)));
        MemoryClaim { budget: self.clone(), of_kind, of_whole, held: AtomicI64::new(0) }
    }

    /// Whether more is claimed than there is, of this one or of the one that it is a part of.
    pub fn is_short(&self) -> bool {
        self.short_by() > 0
    }

    /// How many more bytes are claimed than there are; 0 where there are enough.
    pub fn short_by(&self) -> u64 {
        let own = self.0.total.load(Ordering::Relaxed).saturating_sub(self.0.limit_bytes).max(0);
        let of_whole = self.0.whole.as_ref().map_or(0, MemoryBudget::short_by);
        own.cast_unsigned().max(of_whole)
    }

    /// The bytes that there are; `u64::MAX` where they are not limited.
    pub fn limit_bytes(&self) -> u64 {
        let own = match self.0.limit_bytes {
            i64::MAX => u64::MAX,
            limit => limit.cast_unsigned(),
        };
        self.0.whole.as_ref().map_or(own, |whole| own.min(whole.limit_bytes()))
    }

    /// The bytes that are claimed, by kind.
    pub fn claimed(&self) -> Vec<(&'static str, u64)> {
        let kinds = self.0.kinds.lock().expect("no panic while held");
        let bytes = |held: &AtomicI64| held.load(Ordering::Relaxed).max(0).cast_unsigned();
        kinds.iter().map(|(kind, held)| (*kind, bytes(held))).collect()
    }
}

impl Default for MemoryBudget {
    fn default() -> MemoryBudget {
        MemoryBudget::unlimited()
    }
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudget")
            .field("limit_bytes", &self.limit_bytes())
            .field("claimed", &self.claimed())
            .finish()
    }
}

/// What one part holds of a budget; given back when it is dropped.
pub struct MemoryClaim {
    budget: MemoryBudget,
    of_kind: Arc<AtomicI64>,
    /// The same claim of the budget that this one's is a part of.
    of_whole: Option<Box<MemoryClaim>>,
    held: AtomicI64,
}

impl MemoryClaim {
    /// Says that the part now holds so many bytes. Costs three atomic additions, six where the budget is a part of another;
    /// nothing where nothing changed.
    pub fn set(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let more = bytes - self.held.swap(bytes, Ordering::Relaxed);
        if more != 0 {
            self.count(more);
        }
    }

    /// Says that the part now holds so many bytes more.
    pub fn grow(&self, bytes: u64) {
        self.change(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Says that the part now holds so many bytes less.
    pub fn shrink(&self, bytes: u64) {
        self.change(-i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn change(&self, more: i64) {
        self.held.fetch_add(more, Ordering::Relaxed);
        self.count(more);
    }

    fn count(&self, more: i64) {
        self.of_kind.fetch_add(more, Ordering::Relaxed);
        self.budget.0.total.fetch_add(more, Ordering::Relaxed);
        if let Some(of_whole) = &self.of_whole {
            of_whole.change(more);
        }
    }

    /// Whether more is claimed of the whole budget than there is.
    pub fn is_short(&self) -> bool {
        self.budget.is_short()
    }

    /// The budget that it is of.
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// The bytes that are claimed here.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed).max(0).cast_unsigned()
    }
}

impl Drop for MemoryClaim {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl fmt::Debug for MemoryClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryClaim").field("held", &self.held).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_short_while_its_claims_are_above_it() {
        let budget = MemoryBudget::new(100);
        let (read, fetched, more) = (budget.claim("read"), budget.claim("fetched"), budget.claim("fetched"));
        read.set(60);
        fetched.set(40);
        assert!(!budget.is_short());
        more.set(1);
        assert!(budget.is_short() && read.is_short());
        assert_eq!((budget.short_by(), read.held()), (1, 60));
        assert_eq!(budget.claimed(), [("fetched", 41), ("read", 60)]);
        read.set(30);
        read.shrink(25);
        read.grow(5);
        assert!(!budget.is_short());
        drop(fetched);
        assert_eq!(budget.claimed(), [("fetched", 1), ("read", 10)]);
    }

    #[test]
    fn a_part_is_short_alone_and_all_parts_are_with_the_whole() {
        let whole = MemoryBudget::new(1_000);
        let (small, other) = (whole.part(Some(100)), whole.part(None));
        assert_eq!((small.limit_bytes(), other.limit_bytes()), (100, 1_000));
        let (state, read) = (small.claim("state"), other.claim("read"));
        state.set(150);
        read.set(800);
        assert_eq!((small.short_by(), other.is_short(), whole.is_short()), (50, false, false));
        assert_eq!(whole.claimed(), [("read", 800), ("state", 150)]);
        read.grow(200);
        assert_eq!((small.short_by(), other.short_by(), whole.short_by()), (150, 150, 150));
        state.shrink(140);
        assert_eq!((small.short_by(), other.short_by()), (10, 10));
        drop(read);
        assert!(!small.is_short() && !other.is_short());
        assert_eq!((small.claimed(), other.claimed()), (vec![("state", 10)], vec![("read", 0)]));
        drop(state);
        assert_eq!(whole.claimed(), [("read", 0), ("state", 0)]);
        // A part of more than there is has no more for it.
        assert_eq!(whole.part(Some(5_000)).limit_bytes(), 1_000);
    }

    #[test]
    fn threads_that_claim_and_let_go_leave_nothing() {
        let whole = MemoryBudget::unlimited();
        let budget = whole.part(None);
        std::thread::scope(|scope| {
            for seed in 0..8u64 {
                let claim = budget.claim("read");
                scope.spawn(move || {
                    for n in 0..10_000 {
                        claim.set((n * 7 + seed) % 1_000);
                    }
                });
            }
        });
        assert_eq!((budget.claimed(), whole.claimed()), (vec![("read", 0)], vec![("read", 0)]));
        assert!(!budget.is_short());
    }
}
