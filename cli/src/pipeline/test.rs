//! `millstream test`: runs the cases of a file's `tests` section, one after another, each on a broker of its own in a
//! fresh temporary folder, and says of each whether everything that it expects is so. Never enters: what stands in for
//! sources and targets, how rows are compared (`millstream_worker::bench`).

mod case;
mod report;

use std::path::Path;
use std::time::Instant;

use millstream_spec::ast::{Pipeline, TestCase};
use millstream_worker::failpoint;

use super::{failed, open, refuse_faults, runtime, usage};
use crate::args::{RunCase, Test};
use crate::exit::Failure;
use crate::render::{Format, Stopped};

/// Runs the cases: 0 where all hold, 1 where one does not, 2 where the file has faults or no such case.
pub fn command(options: &Test) -> Result<(), Failure> {
    crate::cmd::log_from("error");
    if std::env::var_os(failpoint::VARIABLE).is_some() {
        let name = failpoint::VARIABLE;
        return Err(usage(format!(
            "{name} is set, which would end this process too; unset it, cases set it themselves"
        )));
    }
    let runtime = runtime()?;
    let opened = open(&runtime, &options.file, &options.set)?;
    refuse_faults(&opened)?;
    let Some((pipeline, job)) = &opened.parts else { return Err(usage("there is no pipeline".to_owned())) };
    let cases = chosen(pipeline, options)?;
    let folder = tempfile::Builder::new().prefix("millstream-test-").tempdir();
    let folder = folder.map_err(|error| failed(format!("making a folder for the tests: {error}")))?;
    let place = folder.path().to_owned();
    runtime.spawn(async move {
        super::embedded::stop_asked().await;
        let _ = std::fs::remove_dir_all(place);
        std::process::exit(130);
    });
    let bench = case::Bench {
        file: &options.file,
        sets: &options.set,
        root: &opened.root,
        sources: &opened.sources,
        functions: &folder.path().join("functions"),
    };
    let mut results = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let began = Instant::now();
        let folder = folder.path().join(number.to_string());
        let faults = runtime.block_on(bench.run((pipeline, job), case, &folder));
        let _ = std::fs::remove_dir_all(&folder);
        let result = report::CaseResult {
            name: case.name.value.clone(),
            passed: faults.is_empty(),
            seconds: began.elapsed().as_secs_f64(),
            faults,
        };
        if options.format == Format::Text {
            shown(report::case_text(&result))?;
        }
        results.push(result);
    }
    let count = results.iter().filter(|result| !result.passed).count();
    match options.format {
        Format::Text => shown(report::closing_text(&results))?,
        Format::Json => match crate::render::json(&report::json(&options.file, &results)) {
            Ok(()) | Err(Stopped::ReaderGone) => {}
            Err(Stopped::Failed(failure)) => return Err(failure),
        },
    }
    match count {
        0 => Ok(()),
        _ => {
            Err(failed(format!("{count} of {} failed", crate::render::counted(results.len() as u64, "test"))))
        }
    }
}

/// Prints, where somebody reads.
fn shown(text: String) -> Result<(), Failure> {
    match crate::render::print(text.as_bytes()) {
        Ok(()) | Err(Stopped::ReaderGone) => Ok(()),
        Err(Stopped::Failed(failure)) => Err(failure),
    }
}

/// The cases that were asked for.
fn chosen<'a>(pipeline: &'a Pipeline, options: &Test) -> Result<Vec<&'a TestCase>, Failure> {
    let file = options.file.display();
    if pipeline.tests.is_empty() {
        return Err(usage(format!(
            "{file} has no tests; write some under `tests:`, each with a name, inputs and what it expects"
        )));
    }
    let wanted = options.filter.as_deref().unwrap_or_default();
    let cases: Vec<&TestCase> =
        pipeline.tests.iter().filter(|case| case.name.value.contains(wanted)).collect();
    match cases.is_empty() {
        true => Err(usage(format!(
            "none of the {} tests of {file} has {wanted:?} in its name; the first is {:?}",
            pipeline.tests.len(),
            pipeline.tests[0].name.value
        ))),
        false => Ok(cases),
    }
}

/// The process that a scenario lets die: runs one case's pipeline in a folder that `millstream test` has made.
pub fn run_case(options: &RunCase) -> Result<(), Failure> {
    crate::cmd::log_from("error");
    let runtime = runtime()?;
    let opened = millstream_worker::open(&options.file, &options.set);
    let opened = opened.map_err(|error| usage(format!("reading {}: {error}", options.file.display())))?;
    refuse_faults(&opened)?;
    let Some((pipeline, _)) = &opened.parts else { return Err(usage("there is no pipeline".to_owned())) };
    let case = pipeline.tests.iter().find(|case| case.name.value == options.case);
    let case = case.ok_or_else(|| usage(format!("there is no test {:?}", options.case)))?;
    runtime.block_on(run_once(pipeline, case, &opened.root, options)).map_err(failed)
}

async fn run_once(
    pipeline: &Pipeline,
    case: &TestCase,
    root: &Path,
    options: &RunCase,
) -> Result<(), String> {
    let prepared = millstream_worker::bench::prepare(pipeline, root, case, &options.folder);
    let prepared = prepared.map_err(|error| error.to_string())?;
    let broker = case::broker(&options.folder).await?;
    let ran = case::run_pipeline(&prepared, root, &options.functions, &broker).await;
    broker.stop().await;
    ran
}
