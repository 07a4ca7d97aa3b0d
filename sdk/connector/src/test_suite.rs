//! The conformance suite: scripts, as data, that each connector passes over its real foreign system. A connector
//! brings a fixture that knows the system; the suite plays the worker, keeps its own account of what was committed, and
//! compares (CN-1). A failure names the case and the line.
//!
//! Never enters: anything about one system. What a system cannot do (replay, refuse a row) its fixture says, and the
//! cases that need it are left out and counted.

pub mod sink;
pub mod sink_cases;
pub mod source;
pub mod source_cases;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use millstream_types::{Clock, MemoryBudget, Millis};

use crate::{Context, CrashPoints, Egress, EgressError, async_trait};

/// How many cases ran and how many a connector left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Ran and passed.
    pub passed: usize,
    /// Needed what the system cannot do.
    pub left_out: usize,
}

/// A case: a name, what it needs, and a script, one step to a line.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What it shows.
    pub name: &'static str,
    /// What the system must be able to do.
    pub needs: &'static [Need],
    /// The steps.
    pub script: &'static str,
}

/// What not every system can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The system gives the same record again after a restart.
    Replay,
    /// More than one split at a time.
    ManySplits,
    /// A split can be opened while another reader of it is alive.
    TwoReaders,
    /// The target refuses some rows for what they hold.
    RefusesRows,
    /// The sink has a key, and a later row takes an earlier one's place.
    Keyed,
    /// The sink takes deletions.
    Deletes,
}

/// A clock that a test moves.
#[derive(Debug)]
pub struct HandClock(AtomicI64);

impl HandClock {
    /// A clock that stands at `now`.
    pub fn new(now: Millis) -> Arc<HandClock> {
        Arc::new(HandClock(AtomicI64::new(now)))
    }

    /// Moves it on.
    pub fn advance(&self, by_ms: Millis) {
        self.0.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn wall_ms(&self) -> Millis {
        self.0.load(Ordering::SeqCst)
    }
    fn monotonic_ms(&self) -> Millis {
        self.0.load(Ordering::SeqCst)
    }
}

/// Lets only this machine's own addresses through: tests talk to servers that they started themselves.
#[derive(Debug)]
pub struct LoopbackOnly;

#[async_trait]
impl Egress for LoopbackOnly {
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, EgressError> {
        let address =
            if host == "localhost" { Ok(std::net::Ipv4Addr::LOCALHOST.into()) } else { host.parse() };
        match address {
            Ok(address) if std::net::IpAddr::is_loopback(&address) => {
                Ok(vec![SocketAddr::new(address, port)])
            }
            _ => Err(EgressError::Refused {
                host: host.to_owned(),
                port,
                why: "a test dials loopback addresses only".to_owned(),
            }),
        }
    }

    async fn local_socket(&self, _path: &str) -> Result<(), EgressError> {
        Ok(())
    }
}

/// A context for tests: a new instance number each time.
pub fn context(clock: &Arc<HandClock>, crash: CrashPoints) -> Context {
    static INSTANCE: AtomicU64 = AtomicU64::new(1);
    Context {
        pipeline: "suite".into(),
        component: "under_test".into(),
        instance: INSTANCE.fetch_add(1, Ordering::SeqCst),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        egress: Arc::new(LoopbackOnly),
        crash,
        memory: MemoryBudget::unlimited(),
    }
}

/// The steps of a script: words of each line that is neither empty nor a comment.
fn steps(script: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    script
        .split(['\n', ';'])
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect())
}

fn number(word: &str) -> usize {
    word.parse().unwrap_or_else(|_| panic!("a script says \"{word}\" where a number belongs"))
}
