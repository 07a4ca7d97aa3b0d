//! A running pipeline as people see it: on a terminal a picture that is drawn over itself, else a line every two seconds.
//! Never enters: what is shown (`millstream_worker::progress`).

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millstream_worker::progress::Progress;
use parking_lot::Mutex;

const BAR: usize = 40;

/// Draws until it is ended.
#[derive(Clone)]
pub struct Live {
    name: Arc<str>,
    ended: Arc<AtomicBool>,
    thread: Arc<Mutex<Option<std::thread::JoinHandle<()>>>>,
}

impl Live {
    /// Nothing to draw yet.
    pub fn new(name: &str) -> Live {
        Live { name: name.into(), ended: Arc::default(), thread: Arc::default() }
    }

    /// Begins to draw.
    pub fn begin(&self, progress: Arc<Progress>) {
        let (name, ended) = (Arc::clone(&self.name), Arc::clone(&self.ended));
        let drawing = std::thread::Builder::new().name("live".to_owned()).spawn(move || {
            draw(&name, &progress, &ended);
        });
        *self.thread.lock() = drawing.ok();
    }

    /// Draws a last time and ends.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        if let Some(thread) = self.thread.lock().take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn draw(name: &str, progress: &Progress, ended: &AtomicBool) {
    let terminal = std::io::stdout().is_terminal();
    let every = Duration::from_millis(if terminal { 250 } else { 2_000 });
    let began = Instant::now();
    let mut drawn = 0;
    let mut last: Option<(Instant, u64, f64)> = None;
    loop {
        let over = ended.load(Ordering::Acquire);
        let (read, total) = progress.bytes();
        let stages = progress.stages();
        let records = stages.first().map_or(0, |(_, f)| f.taken);
        let rate = match last {
            Some((at, _, rate)) if at.elapsed() < Duration::from_millis(900) => rate,
            Some((at, before, _)) => {
                let rate = records.saturating_sub(before) as f64 / at.elapsed().as_secs_f64();
                last = Some((Instant::now(), records, rate));
                rate
            }
            None => {
                last = Some((Instant::now(), records, 0.0));
                0.0
            }
        };
        if terminal {
            let text = picture(name, began, (read, total), rate, &stages);
            let mut out = std::io::stdout().lock();
            if drawn > 0 {
                let _ = write!(out, "\x1b[{drawn}A\x1b[J");
            }
            let _ = out.write_all(text.as_bytes());
            let _ = out.flush();
            drawn = text.lines().count();
        } else {
            println!("{}", line(began, (read, total), rate, &stages));
        }
        if over {
            return;
        }
        std::thread::park_timeout(every);
    }
}

type Stages = [(String, millstream_worker::progress::StageFigures)];

fn line(began: Instant, (read, total): (u64, u64), rate: f64, stages: &Stages) -> String {
    let mut text = format!("{:6.1}s  read {}", began.elapsed().as_secs_f64(), megabytes(read));
    if total > 0 {
        let _ = write!(text, " of {}", megabytes(total));
    }
    let _ = write!(text, "  {rate:.0}/s");
    for (id, figures) in stages {
        let _ = write!(text, "  {id} {}", figures.taken);
        if let Some(lag) = figures.lag.filter(|lag| *lag > 0) {
            let _ = write!(text, " (lag {lag})");
        }
        if figures.done {
            text.push_str(" done");
        }
    }
    if let Some(watermark) = stages.iter().find_map(|(_, f)| f.watermark) {
        let _ = write!(text, "  watermark {}", time(watermark));
    }
    text
}

fn picture(name: &str, began: Instant, (read, total): (u64, u64), rate: f64, stages: &Stages) -> String {
    let mut text = format!("{name}  {:.1} s\n", began.elapsed().as_secs_f64());
    if total > 0 {
        let part = (read as f64 / total as f64).min(1.0);
        let full = (part * BAR as f64) as usize;
        let _ = writeln!(
            text,
            "  [{}{}] {:3.0} %  {} of {}  {rate:.0} records/s",
            "#".repeat(full),
            ".".repeat(BAR - full),
            part * 100.0,
            megabytes(read),
            megabytes(total)
        );
    } else {
        let _ = writeln!(text, "  {} read  {rate:.0} records/s", megabytes(read));
    }
    for (id, figures) in stages {
        let state = if figures.done { "done" } else { "" };
        let lag = figures.lag.map_or(String::new(), |lag| format!("lag {lag}"));
        let _ = write!(
            text,
            "  {id:<12} {:>12}  {:>5} commits  {lag:<14}{state:<5}",
            figures.taken, figures.commits
        );
        if let Some(watermark) = figures.watermark {
            let _ = write!(text, " watermark {}", time(watermark));
        }
        if let Some(trouble) = figures.trouble.as_ref().filter(|_| !figures.done) {
            let _ = write!(text, "\n    {trouble}");
        }
        text.push('\n');
    }
    text
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// An event time of today's calendar, to the second, in UTC.
pub(super) fn time(ms: i64) -> String {
    let text = millstream_connector::cell::timestamp_text(ms.saturating_mul(1_000));
    text.split('.').next().unwrap_or(&text).to_owned() + "Z"
}
