//! Writes the history: the one place where lines get their time and their order. Never enters: what a line means.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use millstream_checker::{Function, Line, Stage};
use parking_lot::Mutex;

/// The history of one run, open for writing.
#[derive(Debug)]
pub struct Recorder {
    out: Mutex<BufWriter<File>>,
    begun: Instant,
    processes: AtomicU32,
    values: AtomicU64,
    acknowledged: AtomicU64,
    /// The first failure to write; told when the history is finished.
    failed: Mutex<Option<io::Error>>,
}

impl Recorder {
    /// Begins a history in a new file.
    pub fn create(path: &Path) -> io::Result<Recorder> {
        Ok(Recorder {
            out: Mutex::new(BufWriter::with_capacity(1 << 18, File::create(path)?)),
            begun: Instant::now(),
            processes: AtomicU32::new(1),
            values: AtomicU64::new(1),
            acknowledged: AtomicU64::new(0),
            failed: Mutex::new(None),
        })
    }

    /// A process number that nobody has.
    pub fn process(&self) -> u32 {
        self.processes.fetch_add(1, Ordering::Relaxed)
    }

    /// A value that nobody has sent.
    pub fn value(&self) -> u64 {
        self.values.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts acknowledged records: what the faults look at to see that the cluster works again.
    pub fn acknowledge(&self, records: u64) {
        self.acknowledged.fetch_add(records, Ordering::Relaxed);
    }

    /// How many records were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Writes a line. What is known when this returns is in front of what others write afterwards.
    pub fn write(&self, mut line: Line<'_>) {
        let mut out = self.out.lock();
        line.time = self.begun.elapsed().as_micros() as u64;
        if let Err(error) = writeln!(out, "{}", line.to_json()) {
            self.failed.lock().get_or_insert(error);
        }
    }

    /// Notes something that was done to the cluster.
    pub fn fault(&self, note: &str) {
        let line = Line::new(0, 0, Function::Fault, Stage::Info);
        self.write(Line { note: Some(note.to_owned()), ..line });
    }

    /// Everything is in the file, or why not.
    pub fn finish(&self) -> io::Result<()> {
        self.out.lock().flush()?;
        match self.failed.lock().take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}
