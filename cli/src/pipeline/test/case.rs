//! One case: its pipeline run to the end on a broker of its own, through the crash that its scenario asks for, and what
//! came out held against what it expects.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use millstream_plan::Job;
use millstream_spec::SourceMap;
use millstream_spec::ast::{Pipeline, Scenario, TestCase};
use millstream_types::MemoryBudget;
use millstream_worker::Options;
use millstream_worker::bench::{self, Prepared, check, judge};
use millstream_worker::failpoint;
use tokio::sync::watch;

use super::report::Fault;
use crate::pipeline::embedded;

/// A case that runs longer than this is given up.
const RUN_MAX: Duration = Duration::from_secs(120);
/// The signal of a process that aborts.
const SIGABRT: i32 = 6;

/// What cases of one file run with.
pub struct Bench<'a> {
    /// The pipeline's file, as it was given.
    pub file: &'a Path,
    /// The values that were changed.
    pub sets: &'a [String],
    /// The file's own folder.
    pub root: &'a Path,
    /// The texts that places point into.
    pub sources: &'a SourceMap,
    /// Where compiled functions are kept from case to case.
    pub functions: &'a Path,
}

/// A broker whose data are in a case's folder, for nobody but this process.
pub async fn broker(folder: &Path) -> Result<embedded::Broker, String> {
    embedded::Broker::start(None, folder.to_owned(), &[], &MemoryBudget::unlimited()).await
}

/// Runs a case's pipeline until its input is done.
pub async fn run_pipeline(
    prepared: &Prepared,
    root: &Path,
    functions: &Path,
    broker: &embedded::Broker,
) -> Result<(), String> {
    let (stop, stopped) = watch::channel(false);
    let timer = tokio::spawn(async move {
        tokio::time::sleep(RUN_MAX).await;
        let _ = stop.send(true);
    });
    let options = Options {
        instance: "0".to_owned(),
        cache: Some(functions.to_owned()),
        scratch: None,
        stop: stopped,
        bench: Some(prepared.bench.clone()),
        memory: MemoryBudget::unlimited(),
    };
    let parts = (&prepared.pipeline, &prepared.job);
    let ended = millstream_worker::run(parts, root, broker.cluster(), options, |_| {}).await;
    timer.abort();
    match ended {
        Ok(report) if report.done => Ok(()),
        Ok(_) => Err(format!("the pipeline did not come to its end within {} s", RUN_MAX.as_secs())),
        Err(error) => Err(format!("the pipeline failed: {error}")),
    }
}

impl Bench<'_> {
    /// Runs a case in `folder`, which is made; what is not as it should be.
    pub async fn run(&self, parts: (&Pipeline, &Job), case: &TestCase, folder: &Path) -> Vec<Fault> {
        let plain =
            |text| Fault { at: self.sources.locate(case.name.span), text, found: Vec::new(), rows: None };
        match self.faults(parts, case, folder).await {
            Ok(faults) => faults,
            Err(text) => vec![plain(text)],
        }
    }

    async fn faults(
        &self,
        (pipeline, job): (&Pipeline, &Job),
        case: &TestCase,
        folder: &Path,
    ) -> Result<Vec<Fault>, String> {
        std::fs::create_dir(folder).map_err(|error| format!("making {}: {error}", folder.display()))?;
        let prepared =
            bench::prepare(pipeline, self.root, case, folder).map_err(|error| error.to_string())?;
        let mut runs = true;
        if let Some(scenario) = &case.scenario {
            let point = check::fail_point(pipeline, job, scenario);
            let point = point.ok_or_else(|| format!("no stage has the point {}", shown(scenario)))?;
            self.crash(case, scenario, &point, folder).await?;
            runs = scenario.restart;
        }
        let broker = broker(folder).await?;
        let ran = match runs {
            true => run_pipeline(&prepared, self.root, self.functions, &broker).await,
            false => Ok(()),
        };
        let faults = match ran {
            Ok(()) => self.look(&prepared, case, &broker).await,
            Err(text) => Err(text),
        };
        broker.stop().await;
        faults
    }

    /// Holds what came out against what is expected.
    async fn look(
        &self,
        prepared: &Prepared,
        case: &TestCase,
        broker: &embedded::Broker,
    ) -> Result<Vec<Fault>, String> {
        let mut faults = Vec::new();
        for (id, expect) in &case.expect {
            let rows = prepared.rows_of(&id.value, broker.cluster()).await.map_err(|e| e.to_string())?;
            let verdict = judge::judge(id, expect, &rows);
            let count = verdict.misses.len();
            for (at, miss) in verdict.misses.into_iter().enumerate() {
                // What is there is shown once, behind the last.
                let last = at + 1 == count;
                faults.push(Fault {
                    at: self.sources.locate(miss.at),
                    text: miss.text,
                    found: if last { verdict.found.clone() } else { Vec::new() },
                    rows: last.then_some(verdict.count),
                });
            }
        }
        Ok(faults)
    }

    /// Runs the case in a process that dies at the scenario's point.
    async fn crash(
        &self,
        case: &TestCase,
        scenario: &Scenario,
        point: &str,
        folder: &Path,
    ) -> Result<(), String> {
        let doing = |error: std::io::Error| format!("starting the process that is to die: {error}");
        let mut command = Command::new(std::env::current_exe().map_err(doing)?);
        command.arg("run-case").arg(absolute(self.file)?).arg("--case").arg(&case.name.value);
        command.arg("--folder").arg(folder).arg("--functions").arg(self.functions);
        for set in self.sets {
            command.arg("--set").arg(set);
        }
        // What dies leaves what it leaves in the case's own folder.
        command.current_dir(folder).env(failpoint::VARIABLE, point);
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.map_err(|error| error.to_string())?.map_err(doing)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let stopped = said.lines().any(|line| line.starts_with(&format!("stopped at {point},")));
        if output.status.signal() == Some(SIGABRT) && stopped {
            return Ok(());
        }
        let point = shown(scenario);
        match output.status.success() {
            true => Err(format!("the worker was to die at {point}, which it never reached")),
            false => Err(format!(
                "the worker was to die at {point} and ended before it ({}): {}",
                output.status,
                said.lines().last().unwrap_or("it said nothing")
            )),
        }
    }
}

fn shown(scenario: &Scenario) -> String {
    format!("{}.{}", scenario.component.value, scenario.point)
}

fn absolute(file: &Path) -> Result<PathBuf, String> {
    std::path::absolute(file).map_err(|error| format!("finding {}: {error}", file.display()))
}
