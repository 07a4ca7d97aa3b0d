//! The machine's two clocks, as the simulator sets them. Wall time jumps; monotonic time only passes, and begins anew at
//! the wall's time with every start of the node, as the server's does. Never enters: when they move (`world.rs`).

use std::sync::atomic::{AtomicI64, Ordering};

use millstream_types::{Clock, Millis};

/// See the module.
#[derive(Debug)]
pub struct SimClock {
    wall: AtomicI64,
    monotonic: AtomicI64,
}

impl SimClock {
    /// Both clocks at `start`.
    pub fn new(start: Millis) -> SimClock {
        SimClock { wall: AtomicI64::new(start), monotonic: AtomicI64::new(start) }
    }

    /// Time passes.
    pub fn pass(&self, ms: Millis) {
        assert!(ms >= 0, "time passes forward");
        self.wall.fetch_add(ms, Ordering::Relaxed);
        self.monotonic.fetch_add(ms, Ordering::Relaxed);
    }

    /// The wall clock is set to another time; the monotonic one does not notice.
    pub fn jump(&self, ms: Millis) {
        self.wall.fetch_add(ms, Ordering::Relaxed);
    }

    /// The process starts: its monotonic clock begins at the wall's time.
    pub fn restart(&self) {
        self.monotonic.store(self.wall.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn wall_ms(&self) -> Millis {
        self.wall.load(Ordering::Relaxed)
    }

    fn monotonic_ms(&self) -> Millis {
        self.monotonic.load(Ordering::Relaxed)
    }
}
