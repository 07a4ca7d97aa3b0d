//! The thread that makes one log directory's appends durable. It takes every partition that was written since it
//! last looked, flushes them together (docs/adr/0001-flush.md), and tells each; what is appended meanwhile makes the
//! next flush. With `flush.mode=interval` it does so at its interval. Never enters: what a flush allows to be
//! answered (`millstream-replica`).

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use millstream_disk::Disk;
use millstream_replica::FlushMode;
use millstream_types::Clock;
use parking_lot::{Condvar, Mutex};

use crate::partition::Partition;

#[derive(Default)]
struct Queue {
    /// To be flushed at once.
    now: Vec<Weak<Partition>>,
    /// To be flushed at the next interval.
    later: Vec<Weak<Partition>>,
    stopped: bool,
}

/// See the module.
pub struct Flusher {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    interval: Duration,
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Flusher {
    /// Starts the thread of a directory.
    pub fn start(
        name: &str,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        interval: Duration,
    ) -> std::io::Result<(Arc<Flusher>, std::thread::JoinHandle<()>)> {
        let flusher =
            Arc::new(Flusher { disk, clock, interval, queue: Mutex::default(), changed: Condvar::new() });
        let own = Arc::clone(&flusher);
        let thread = crate::critical::spawn(&format!("flush-{name}"), move || own.run())?;
        Ok((flusher, thread))
    }

    /// A partition was written.
    pub fn dirty(&self, partition: &Arc<Partition>, mode: FlushMode) {
        let queued = match mode {
            FlushMode::Interval => &partition.queued_later,
            FlushMode::BeforeAck => &partition.queued_now,
        };
        if queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut queue = self.queue.lock();
        match mode {
            FlushMode::Interval => queue.later.push(Arc::downgrade(partition)),
            FlushMode::BeforeAck => {
                queue.now.push(Arc::downgrade(partition));
                if queue.now.len() == 1 {
                    self.changed.notify_one();
                }
            }
        }
    }

    /// Ends the thread after a last flush of everything.
    pub fn stop(&self) {
        self.queue.lock().stopped = true;
        self.changed.notify_one();
    }

    fn run(&self) {
        let mut next = Instant::now() + self.interval;
        loop {
            let (batch, stopped) = {
                let mut queue = self.queue.lock();
                while queue.now.is_empty() && !queue.stopped && Instant::now() < next {
                    self.changed.wait_until(&mut queue, next);
                }
                let mut batch = std::mem::take(&mut queue.now);
                if queue.stopped || Instant::now() >= next {
                    batch.append(&mut queue.later);
                    next = Instant::now() + self.interval;
                }
                (batch, queue.stopped)
            };
            self.flush(batch.into_iter().filter_map(|p| p.upgrade()).collect());
            if stopped {
                return;
            }
        }
    }

    fn flush(&self, partitions: Vec<Arc<Partition>>) {
        let mut tickets = Vec::with_capacity(partitions.len());
        let mut owners = Vec::with_capacity(partitions.len());
        for partition in partitions {
            match partition.begin_flush() {
                Ok(Some(ticket)) => {
                    tickets.push(ticket);
                    owners.push(partition);
                }
                Ok(None) => {}
                Err(error) => tracing::error!(partition = %partition.name, %error, "a log cannot be flushed"),
            }
        }
        if tickets.is_empty() {
            return;
        }
        let result = millstream_log::flush_all(&*self.disk, &tickets);
        if let Err(error) = &result {
            tracing::error!(%error, "a flush failed: the log directory is offline");
        }
        let now = self.clock.monotonic_ms();
        let mut wake = Vec::new();
        for (partition, ticket) in owners.into_iter().zip(tickets) {
            wake.extend(partition.complete_flush(now, ticket, &result));
        }
        wake.into_iter().for_each(Waker::wake);
    }
}
