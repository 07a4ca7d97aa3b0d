//! The thread that makes one log directory's appends durable. It takes every partition that was written since it
//! last looked, flushes them together (docs/adr/0001-flush.md), and tells each; what is appended meanwhile makes the
//! next flush. With `flush.mode=interval` a partition says when it is due, by Kafka's rules: `flush.messages`, `flush.ms`,
//! a sealed segment. Never enters: those rules (`partition.rs`), what a flush allows to be answered
//! (`millstream-replica`).

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use millstream_disk::Disk;
use millstream_types::Clock;
use parking_lot::{Condvar, Mutex};

use crate::partition::Partition;

/// When a partition is to be flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// With the next flush.
    Now,
    /// This long after it was first said.
    Within(Duration),
}

#[derive(Default)]
struct Queue {
    /// To be flushed at once.
    now: Vec<Weak<Partition>>,
    /// To be flushed at a time.
    later: BTreeMap<Instant, Vec<Weak<Partition>>>,
    stopped: bool,
}

impl Queue {
    /// What is due, where anything is.
    fn take_due(&mut self, now: Instant) -> Vec<Weak<Partition>> {
        let mut due = std::mem::take(&mut self.now);
        while let Some(first) = self.later.first_entry()
            && (self.stopped || *first.key() <= now)
        {
            due.append(&mut first.remove());
        }
        due
    }
}

/// See the module.
pub struct Flusher {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Flusher {
    /// Starts the thread of a directory.
    pub fn start(
        name: &str,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<(Arc<Flusher>, std::thread::JoinHandle<()>)> {
        let flusher = Arc::new(Flusher { disk, clock, queue: Mutex::default(), changed: Condvar::new() });
        let own = Arc::clone(&flusher);
        let thread = crate::critical::spawn(&format!("flush-{name}"), move || own.run())?;
        Ok((flusher, thread))
    }

    /// A partition was written.
    pub fn dirty(&self, partition: &Arc<Partition>, due: Due) {
        let queued = match due {
            Due::Now => &partition.queued_now,
            Due::Within(_) => &partition.queued_later,
        };
        if queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut queue = self.queue.lock();
        let partition = Arc::downgrade(partition);
        let first = match due {
            Due::Now => {
                queue.now.push(partition);
                queue.now.len() == 1
            }
            Due::Within(time) => {
                let at = Instant::now() + time;
                queue.later.entry(at).or_default().push(partition);
                queue.later.first_key_value().is_some_and(|(first, _)| *first == at)
            }
        };
        if first {
            self.changed.notify_one();
        }
    }

    /// Ends the thread after a last flush of everything.
    pub fn stop(&self) {
        self.queue.lock().stopped = true;
        self.changed.notify_one();
    }

    fn run(&self) {
        loop {
            let (batch, stopped) = {
                let mut queue = self.queue.lock();
                loop {
                    let batch = queue.take_due(Instant::now());
                    if !batch.is_empty() || queue.stopped {
                        break (batch, queue.stopped);
                    }
                    match queue.later.first_key_value().map(|(at, _)| *at) {
                        Some(at) => drop(self.changed.wait_until(&mut queue, at)),
                        None => self.changed.wait(&mut queue),
                    }
                }
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
