//! What one flush costs when a commit has touched many of 600 partition files: the measurement behind
//! docs/adr/0001-flush.md. Every way writes the same bytes to the same files and then makes them durable by its own
//! means; all ways run in turn, in one process, round after round, so that their ratios come from one run.
//!
//! `cargo bench -p millstream-disk --bench flush -- [--dir D] [--seconds S] [--neighbour MB/s] [--quick]`
//!
//! Never enters: the log. The files here are plain.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const FILES: usize = 600;
/// A file is begun again when it has grown to this, so that the disk does not fill.
const FILE_BYTES_MAX: u64 = 4 << 20;
const JOURNAL_BYTES: u64 = 128 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    NoSync,
    Serial,
    Parallel(usize),
    Syncfs,
    /// Bytes go to the journal, which is synced, and to the files, which are synced when the journal is full.
    Journal,
    /// Bytes go to one file only: the floor of what a shared log could cost (not a choice for us).
    SharedOnly,
}

const WAYS: [Way; 8] = [
    Way::NoSync,
    Way::Serial,
    Way::Parallel(4),
    Way::Parallel(16),
    Way::Parallel(64),
    Way::Syncfs,
    Way::Journal,
    Way::SharedOnly,
];

struct Set {
    way: Way,
    root: File,
    files: Vec<File>,
    ends: Vec<u64>,
    journal: File,
    journal_end: u64,
    dirty: Vec<bool>,
    next: usize,
}

impl Set {
    fn new(dir: &Path, way: Way) -> io::Result<Set> {
        std::fs::create_dir_all(dir)?;
        let open =
            |path: PathBuf| OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path);
        let files =
            (0..FILES).map(|i| open(dir.join(format!("{i:03}.log")))).collect::<io::Result<Vec<_>>>()?;
        let journal = open(dir.join("journal"))?;
        if matches!(way, Way::Journal | Way::SharedOnly) {
            // Written once in full: later rounds overwrite blocks that the file system has already given.
            let zeros = vec![0u8; 1 << 20];
            for at in 0..JOURNAL_BYTES >> 20 {
                journal.write_all_at(&zeros, at << 20)?;
            }
        }
        let root = File::open(dir)?;
        rustix::fs::syncfs(&root)?;
        Ok(Set {
            way,
            root,
            files,
            ends: vec![0; FILES],
            journal,
            journal_end: 0,
            dirty: vec![false; FILES],
            next: 0,
        })
    }

    /// One commit: `bytes` to each of `touched` files, then durable. Returns the time of the writes and of the flush.
    fn commit(&mut self, touched: usize, bytes: &[u8]) -> io::Result<(Duration, Duration)> {
        let begun = Instant::now();
        let mut chosen = Vec::with_capacity(touched);
        for _ in 0..touched {
            let i = self.next;
            self.next = (self.next + 7) % FILES;
            chosen.push(i);
            if self.way == Way::SharedOnly {
                continue;
            }
            if self.ends[i] + bytes.len() as u64 > FILE_BYTES_MAX {
                self.files[i].set_len(0)?;
                self.ends[i] = 0;
            }
            self.files[i].write_all_at(bytes, self.ends[i])?;
            self.ends[i] += bytes.len() as u64;
            self.dirty[i] = true;
        }
        let written = begun.elapsed();
        let flush = Instant::now();
        match self.way {
            Way::NoSync => {}
            Way::Serial => {
                for &i in &chosen {
                    self.files[i].sync_data()?;
                }
            }
            Way::Parallel(threads) => self.sync_parallel(&chosen, threads)?,
            Way::Syncfs => rustix::fs::syncfs(&self.root)?,
            Way::Journal | Way::SharedOnly => self.append_journal(&chosen, bytes)?,
        }
        Ok((written, flush.elapsed()))
    }

    fn sync_parallel(&self, chosen: &[usize], threads: usize) -> io::Result<()> {
        let next = AtomicUsize::new(0);
        let threads = threads.min(chosen.len());
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        loop {
                            let at = next.fetch_add(1, Ordering::Relaxed);
                            match chosen.get(at) {
                                Some(&i) => self.files[i].sync_data()?,
                                None => return io::Result::Ok(()),
                            }
                        }
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|w| w.join().expect("a sync thread"))
        })
    }

    fn append_journal(&mut self, chosen: &[usize], bytes: &[u8]) -> io::Result<()> {
        let total = (chosen.len() * bytes.len()) as u64;
        if self.journal_end + total > JOURNAL_BYTES {
            if self.way == Way::Journal {
                // The journal can only be begun again once what it holds is durable in the files.
                rustix::fs::syncfs(&self.root)?;
                self.dirty.fill(false);
            }
            self.journal_end = 0;
        }
        let header = [0u8; 32];
        for group in chosen.chunks(256) {
            let slices: Vec<IoSlice<'_>> =
                group.iter().flat_map(|_| [IoSlice::new(&header), IoSlice::new(bytes)]).collect();
            let mut left = &slices[..];
            while !left.is_empty() {
                let some = &left[..left.len().min(512)];
                let want: usize = some.iter().map(|s| s.len()).sum();
                let n = rustix::io::pwritev(&self.journal, some, self.journal_end)?;
                assert_eq!(n, want, "a short write to the journal");
                self.journal_end += n as u64;
                left = &left[some.len()..];
            }
        }
        self.journal.sync_data()
    }
}

/// CPU seconds of this process, and of the whole machine less idle and waiting.
fn cpu_seconds() -> (f64, f64) {
    let own = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = own.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let tick = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0) / 100.0;
    let all = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let machine: Vec<f64> = all
        .lines()
        .next()
        .unwrap_or("")
        .split_whitespace()
        .skip(1)
        .filter_map(|f| f.parse::<f64>().ok())
        .collect();
    let busy = machine.iter().enumerate().filter(|(i, _)| !matches!(i, 3 | 4)).map(|(_, v)| v).sum::<f64>();
    (tick(11) + tick(12), busy / 100.0)
}

/// Bytes written to block devices so far, loop and ram devices apart.
fn device_bytes() -> u64 {
    let Ok(text) = std::fs::read_to_string("/proc/diskstats") else { return 0 };
    text.lines()
        .map(|l| l.split_whitespace().collect::<Vec<_>>())
        .filter(|f| f.len() > 9 && !f[2].starts_with("loop") && !f[2].starts_with("ram"))
        .filter_map(|f| f[9].parse::<u64>().ok())
        .sum::<u64>()
        * 512
}

#[derive(Default)]
struct Tally {
    commits: u64,
    bytes: u64,
    write: Duration,
    flush: Vec<Duration>,
    wall: Duration,
    own_cpu: f64,
    machine_cpu: f64,
    device: u64,
}

fn percentile(sorted: &[Duration], p: f64) -> f64 {
    let at = ((sorted.len() as f64 * p) as usize).min(sorted.len() - 1);
    sorted[at].as_secs_f64() * 1e3
}

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (mut dir, mut seconds, mut neighbour, mut quick) = (std::env::temp_dir(), 1.0f64, 0u64, false);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--dir" => dir = args.next().expect("--dir takes a folder").into(),
            "--seconds" => {
                seconds = args.next().and_then(|v| v.parse().ok()).expect("--seconds takes a number")
            }
            "--neighbour" => neighbour = args.next().and_then(|v| v.parse().ok()).expect("MB/s"),
            "--quick" => quick = true,
            _ => {}
        }
    }
    let dir = dir.join(format!("millstream-flush-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let stop = Arc::new(AtomicBool::new(false));
    let other = (neighbour > 0).then(|| {
        let (stop, path) = (stop.clone(), dir.join("neighbour"));
        std::thread::spawn(move || write_steadily(&path, neighbour, &stop))
    });
    let cells: &[(usize, usize)] = if quick {
        &[(600, 16 << 10)]
    } else {
        &[
            (1, 4 << 10),
            (8, 16 << 10),
            (64, 16 << 10),
            (300, 1 << 10),
            (300, 16 << 10),
            (600, 4 << 10),
            (600, 16 << 10),
            (600, 64 << 10),
        ]
    };
    println!("files {FILES}, neighbour {neighbour} MB/s, load {}", load());
    println!(
        "touched   bytes way            commits  write_ms flush_p50 flush_p99  flush_max    MB/s  own_cpu/GB  machine_cpu/GB device/payload"
    );
    for &(touched, bytes) in cells {
        cell(&dir, touched, &vec![0x5a; bytes], seconds)?;
    }
    println!("load at the end {}", load());
    stop.store(true, Ordering::Relaxed);
    if let Some(other) = other {
        other.join().expect("the neighbour")?;
    }
    std::fs::remove_dir_all(&dir)
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

/// One case for every way, in slices of a fifth of the time each, in turn.
fn cell(dir: &Path, touched: usize, bytes: &[u8], seconds: f64) -> io::Result<()> {
    let mut tallies: Vec<Tally> = WAYS.iter().map(|_| Tally::default()).collect();
    for round in 0..3 {
        for (way, tally) in WAYS.iter().zip(&mut tallies) {
            let sub = dir.join("set");
            let mut set = Set::new(&sub, *way)?;
            let (own, machine) = cpu_seconds();
            let device = device_bytes();
            let begun = Instant::now();
            let mut rounds = 0;
            while begun.elapsed().as_secs_f64() < seconds / 3.0 || rounds < 2 {
                let (write, flush) = set.commit(touched, bytes)?;
                tally.commits += 1;
                tally.bytes += (touched * bytes.len()) as u64;
                tally.write += write;
                tally.flush.push(flush);
                rounds += 1;
            }
            if *way == Way::Journal {
                // What the journal has put off is paid before the clock stops.
                rustix::fs::syncfs(&set.root)?;
            }
            tally.wall += begun.elapsed();
            let (own_after, machine_after) = cpu_seconds();
            tally.own_cpu += own_after - own;
            tally.machine_cpu += machine_after - machine;
            tally.device += device_bytes() - device;
            drop(set);
            std::fs::remove_dir_all(&sub)?;
            let _ = round;
        }
    }
    for (way, t) in WAYS.iter().zip(&mut tallies) {
        t.flush.sort_unstable();
        let gb = t.bytes as f64 / 1e9;
        println!(
            "{touched:7} {:7} {:14} {:7} {:9.2} {:9.2} {:9.2} {:10.2} {:7.1} {:11.2} {:15.2} {:14.2}",
            bytes.len(),
            format!("{way:?}"),
            t.commits,
            t.write.as_secs_f64() * 1e3 / t.commits as f64,
            percentile(&t.flush, 0.5),
            percentile(&t.flush, 0.99),
            percentile(&t.flush, 1.0),
            t.bytes as f64 / 1e6 / t.wall.as_secs_f64(),
            t.own_cpu / gb,
            t.machine_cpu / gb,
            t.device as f64 / t.bytes as f64,
        );
    }
    Ok(())
}

/// Another user of the same file system: writes `rate` MB/s to a file of its own and never syncs.
fn write_steadily(path: &Path, rate: u64, stop: &AtomicBool) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    let block = vec![7u8; 1 << 20];
    let begun = Instant::now();
    let mut written = 0u64;
    while !stop.load(Ordering::Relaxed) {
        if written as f64 / 1e6 > rate as f64 * begun.elapsed().as_secs_f64() {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        if written.is_multiple_of(2 << 30) {
            file.set_len(0)?;
        }
        file.write_all_at(&block, written % (2 << 30))?;
        written += 1 << 20;
    }
    Ok(())
}
