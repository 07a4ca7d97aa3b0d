//! A broker as a process of its own: it can be stopped by SIGTERM, killed as by `kill -9`, paused, and started again on
//! the same data and port. It is killed when the value is dropped.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_client::Cluster;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::SMALL;

/// See the module.
pub struct Process {
    by: Vec<String>,
    program: PathBuf,
    data: PathBuf,
    settings: Vec<String>,
    address: String,
    child: Option<Child>,
    /// From `exec` to `ready`.
    pub ready_after: Duration,
    _own: Option<TempDir>,
}

impl Process {
    /// Starts `program` (`millstream-broker`) with the small settings and `settings` on a directory of its own.
    ///
    /// # Panics
    /// Where it does not get ready.
    pub fn start(program: &Path, settings: &[&str]) -> Process {
        let own = tempfile::tempdir().unwrap_or_else(|e| panic!("making a directory for a broker: {e}"));
        let mut process = Process::on(program, own.path(), settings);
        process._own = Some(own);
        process
    }

    /// As [`Process::start`], on a directory of the caller's.
    ///
    /// # Panics
    /// Where it does not get ready.
    pub fn on(program: &Path, data: &Path, settings: &[&str]) -> Process {
        Process::wrapped(&[], program, data, settings)
    }

    /// As [`Process::on`], started by another command, which has to become the broker by `exec`: its arguments are
    /// followed by the broker's.
    ///
    /// # Panics
    /// Where it does not get ready.
    pub fn wrapped(by: &[&str], program: &Path, data: &Path, settings: &[&str]) -> Process {
        let mut process = Process {
            by: by.iter().map(|s| (*s).to_owned()).collect(),
            program: program.to_owned(),
            data: data.to_owned(),
            settings: SMALL.iter().chain(settings).map(|s| (*s).to_owned()).collect(),
            address: "127.0.0.1:0".to_owned(),
            child: None,
            ready_after: Duration::ZERO,
            _own: None,
        };
        process.spawn();
        process
    }

    /// `host:port`; the same after a restart.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where its data is.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Its process id.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap_or_else(|| panic!("the test's broker does not run")).id()
    }

    /// A client of it.
    pub fn cluster(&self) -> Arc<Cluster> {
        crate::in_process::cluster(&self.address)
    }

    /// Kills it at once, as `kill -9` does.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap_or_else(|| panic!("the test's broker does not run"));
        child.kill().and_then(|()| child.wait()).unwrap_or_else(|e| panic!("killing a broker: {e}"));
    }

    /// Asks it to stop, and waits for its end.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap_or_else(|| panic!("the test's broker does not run"));
        signal(&child, Signal::TERM);
        child.wait().unwrap_or_else(|e| panic!("waiting for a broker's end: {e}"))
    }

    /// Halts it where it stands.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn pause(&self) {
        signal(self.child.as_ref().unwrap_or_else(|| panic!("the test's broker does not run")), Signal::STOP);
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn resume(&self) {
        signal(self.child.as_ref().unwrap_or_else(|| panic!("the test's broker does not run")), Signal::CONT);
    }

    /// Starts it again on its data and port.
    ///
    /// # Panics
    /// Where it does not get ready.
    pub fn start_again(&mut self) {
        self.spawn();
    }

    fn spawn(&mut self) {
        let begin = Instant::now();
        let mut command = match self.by.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command.arg("--listen").arg(&self.address).arg("--data").arg(&self.data);
        for setting in &self.settings {
            command.arg("--set").arg(setting);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|e| panic!("starting {}: {e}", self.program.display()));
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            let _ = BufReader::new(out).read_line(&mut line);
        }
        let Some(address) = line.trim_end().strip_prefix("ready ") else {
            let _ = child.kill();
            let end = child.wait();
            panic!("the broker is not ready: it printed {line:?} and ended with {end:?}");
        };
        self.ready_after = begin.elapsed();
        self.address = address.to_owned();
        self.child = Some(child);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let sent = pid.map(|pid| kill_process(pid, signal));
    assert!(matches!(sent, Some(Ok(()))), "signalling the broker {}: {sent:?}", child.id());
}
