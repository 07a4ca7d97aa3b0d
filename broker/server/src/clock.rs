//! The machine's clocks, behind the `Clock` trait. The monotonic one is set to the wall once, at start: it reads as
//! wall time, never falls and never jumps, so that time-outs and the times in coordinators' records are one number.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use millstream_types::{Clock, Millis};

/// See the module.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    started_ms: Millis,
}

fn wall() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as Millis)
}

impl SystemClock {
    /// A clock that is set now.
    pub fn new() -> SystemClock {
        SystemClock { started: Instant::now(), started_ms: wall() }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn wall_ms(&self) -> Millis {
        wall()
    }

    fn monotonic_ms(&self) -> Millis {
        self.started_ms + self.started.elapsed().as_millis() as Millis
    }
}

/// A seed that differs between starts and processes, for ids that need not be secret.
pub fn seed() -> u64 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    nanos ^ (u64::from(std::process::id()) << 40) ^ std::ptr::from_ref(&nanos) as u64
}
