//! What a connector is given when it is made: who it is, the time, the door to the network, and where a test wants it
//! to die. Never enters: a socket, a runtime.

use std::fmt;
use std::sync::Arc;

use millstream_types::{Clock, MemoryBudget, Millis};

use crate::Egress;

/// What a connector is given when it is made. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The pipeline's name; part of what is stored in targets, so a contract.
    pub pipeline: Arc<str>,
    /// The component's id in the pipeline; a contract too.
    pub component: Arc<str>,
    /// A number that no other living or dead instance has; random. Tells one's own write, whose answer was lost, from
    /// another owner's.
    pub instance: u64,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The door to the network.
    pub egress: Arc<dyn Egress>,
    /// Where to die, in tests.
    pub crash: CrashPoints,
    /// What this process may hold, and what its parts claim of it.
    pub memory: MemoryBudget,
}

impl Context {
    /// Wall time, in milliseconds since 1970.
    pub fn now(&self) -> Millis {
        self.clock.wall_ms()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("pipeline", &self.pipeline)
            .field("component", &self.component)
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

/// The process was to die here. Whoever gets it passes it up untouched and cleans up nothing, as a dead process would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped at the crash point {0}, as the test asked")]
pub struct Crashed(pub &'static str);

type Decide = dyn Fn(&'static str) -> bool + Send + Sync;

/// Named places between the steps of a commit at which a test (or a pipeline's `fail_at`) lets the process die. In
/// production nothing is set, and reaching a point costs one comparison.
#[derive(Clone, Default)]
pub struct CrashPoints(Option<Arc<Decide>>);

impl CrashPoints {
    /// No place: production.
    pub fn none() -> CrashPoints {
        CrashPoints(None)
    }

    /// Dies where `decide` says so; it is asked each time that a point is reached.
    pub fn when(decide: impl Fn(&'static str) -> bool + Send + Sync + 'static) -> CrashPoints {
        CrashPoints(Some(Arc::new(decide)))
    }

    /// Dies the first time that `point` is reached.
    pub fn at(point: &'static str) -> CrashPoints {
        let spent = std::sync::atomic::AtomicBool::new(false);
        CrashPoints::when(move |reached| {
            reached == point && !spent.swap(true, std::sync::atomic::Ordering::SeqCst)
        })
    }

    /// To be called between steps, with `?`.
    pub fn reach(&self, point: &'static str) -> Result<(), Crashed> {
        match &self.0 {
            Some(decide) if decide(point) => Err(Crashed(point)),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for CrashPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "CrashPoints(set)" } else { "CrashPoints(none)" })
    }
}
