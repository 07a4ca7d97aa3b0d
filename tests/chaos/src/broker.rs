//! A broker process: started, killed, paused, started again on the same port and folder. Never enters: when.

use std::fs::OpenOptions;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long a start may take, recovery included.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long a clean stop may take.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// What to start: `program [arguments] --listen ADDRESS --data DIR [--set …]`, which prints `ready` once it serves.
#[derive(Clone, Debug)]
pub struct BrokerCommand {
    /// The program.
    pub program: PathBuf,
    /// What comes before `--listen`.
    pub arguments: Vec<String>,
    /// Its data folder.
    pub data: PathBuf,
    /// Settings, `key=value` each.
    pub settings: Vec<String>,
    /// Where its log goes, all starts one after another.
    pub log: PathBuf,
}

/// A broker that runs, or was killed.
#[derive(Debug)]
pub struct BrokerProcess {
    command: BrokerCommand,
    address: String,
    running: Option<(Child, Lines<BufReader<ChildStdout>>)>,
}

impl BrokerProcess {
    /// Takes a free port and starts a broker there.
    pub async fn start(command: BrokerCommand) -> io::Result<BrokerProcess> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut broker = BrokerProcess { command, address, running: None };
        broker.start_again().await?;
        Ok(broker)
    }

    /// Where it listens, through all of its lives.
    pub fn address(&self) -> &str {
        &self.address
    }

    fn spawn(&self) -> io::Result<(Child, Lines<BufReader<ChildStdout>>)> {
        let log = OpenOptions::new().create(true).append(true).open(&self.command.log)?;
        let mut command = Command::new(&self.command.program);
        command.args(&self.command.arguments).args(["--listen", &self.address]);
        command.arg("--data").arg(&self.command.data);
        for setting in &self.command.settings {
            command.args(["--set", setting]);
        }
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true).spawn();
        let mut child = child?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the broker has no stdout"))?;
        Ok((child, BufReader::new(stdout).lines()))
    }

    /// Starts it and kills it before, or shortly after, it is ready: a crash within recovery.
    pub async fn start_and_kill(&mut self, after: Duration) -> io::Result<()> {
        let (mut child, _lines) = self.spawn()?;
        tokio::time::sleep(after).await;
        child.kill().await
    }

    /// Starts it on the port and folder that it had. Returns how long it took until it was ready.
    pub async fn start_again(&mut self) -> io::Result<Duration> {
        let begun = Instant::now();
        let (child, mut lines) = self.spawn()?;
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if line.starts_with("ready ") {
                    return Ok(());
                }
            }
            Err(io::Error::other(format!("the broker ended; see {}", self.command.log.display())))
        };
        tokio::time::timeout(READY_WITHIN, ready)
            .await
            .map_err(|_| io::Error::other(format!("the broker is not ready after {READY_WITHIN:?}")))??;
        self.running = Some((child, lines));
        Ok(begun.elapsed())
    }

    /// kill -9, and waits until the process is gone.
    pub async fn kill(&mut self) -> io::Result<()> {
        match self.running.take() {
            Some((mut child, _)) => child.kill().await,
            None => Ok(()),
        }
    }

    /// SIGTERM, and waits until the process has ended.
    pub async fn stop(&mut self) -> io::Result<()> {
        self.signal(Signal::TERM)?;
        if let Some((mut child, _)) = self.running.take() {
            let ended = tokio::time::timeout(STOPPED_WITHIN, child.wait()).await;
            ended.map_err(|_| {
                io::Error::other(format!("the broker runs on {STOPPED_WITHIN:?} after SIGTERM"))
            })??;
        }
        Ok(())
    }

    /// SIGSTOP, SIGCONT, SIGTERM.
    fn signal(&self, signal: Signal) -> io::Result<()> {
        let id = self.running.as_ref().and_then(|(child, _)| child.id());
        let pid = id.and_then(|id| Pid::from_raw(id as i32));
        let pid = pid.ok_or_else(|| io::Error::other("the broker does not run"))?;
        Ok(kill_process(pid, signal)?)
    }

    /// Freezes the process.
    pub fn pause(&self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn resume(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }
}
