//! `millstream-chaos`: a run from the command line. Prints its seed, its figures and the verdict; exits with 0 where nothing
//! is wrong, 1 where something is or the run could not be ended, 2 on bad arguments. `millstream-chaos broker …` is the
//! broker that it starts where no other program is named.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millstream_chaos::broker::BrokerCommand;
use millstream_chaos::faults::FaultPlan;
use millstream_chaos::run::Target;
use millstream_chaos::{Outcome, RunOptions, run};

const USAGE: &str = "usage: millstream-chaos [--bootstrap HOST:PORT | --broker PROGRAM] [--dir DIR] [--seconds N] [--kills N]
       [--stops N] [--pauses N] [--seed N] [--partitions N] [--writers N] [--transactional N] [--pace-ms N] [--groups yes|no] [--set KEY=VALUE …]
DIR takes the history (history.jsonl), the broker's data and its log; without --bootstrap a broker is started there.";

fn broker(arguments: &[String]) -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MILLSTREAM_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
    let (mut listen, mut data, mut settings) = (String::new(), PathBuf::new(), Vec::new());
    for pair in arguments.chunks_exact(2) {
        match pair[0].as_str() {
            "--listen" => listen.clone_from(&pair[1]),
            "--data" => data = PathBuf::from(&pair[1]),
            _ => settings.push(pair[1].clone()),
        }
    }
    millstream_server::command::run(&listen, data, &settings)
}

fn parse(arguments: &[String]) -> Result<RunOptions, String> {
    let mut dir = std::env::temp_dir().join(format!("millstream-chaos-{}", std::process::id()));
    let (mut bootstrap, mut program, mut settings) = (None, None, Vec::new());
    let seed =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64 % 1_000_000);
    let mut options = RunOptions {
        target: Target::Cluster(String::new()),
        seconds: 30,
        faults: FaultPlan::default(),
        seed,
        history: PathBuf::new(),
        partitions: 6,
        writers: 3,
        transactional: 3,
        pace_max: Duration::from_millis(20),
        groups: true,
    };
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{name} takes a number, not {value}"));
        match name.as_str() {
            "--bootstrap" => bootstrap = Some(value.clone()),
            "--broker" => program = Some(PathBuf::from(value)),
            "--dir" => dir = PathBuf::from(value),
            "--seconds" => options.seconds = number()?,
            "--kills" => options.faults.kills = number()? as u32,
            "--stops" => options.faults.stops = number()? as u32,
            "--pauses" => options.faults.pauses = number()? as u32,
            "--seed" => options.seed = number()?,
            "--partitions" => options.partitions = number()?.clamp(1, 1_000) as usize,
            "--writers" => options.writers = number()? as u32,
            "--transactional" => options.transactional = number()? as u32,
            "--pace-ms" => options.pace_max = Duration::from_millis(number()?),
            "--groups" => options.groups = value == "yes",
            "--set" => settings.push(value.clone()),
            _ => return Err(format!("there is no {name}")),
        }
    }
    std::fs::create_dir_all(&dir).map_err(|error| format!("making {}: {error}", dir.display()))?;
    options.history = dir.join("history.jsonl");
    let (data, log) = (dir.join("data"), dir.join("broker.log"));
    options.target = match (bootstrap, program) {
        (Some(_), Some(_)) => return Err("--bootstrap and --broker exclude each other".to_owned()),
        (Some(bootstrap), None) => {
            let faults = options.faults;
            if faults.kills + faults.stops + faults.pauses > 0 {
                return Err(
                    "a cluster that runs already is not killed, stopped or paused; leave --bootstrap out"
                        .to_owned(),
                );
            }
            Target::Cluster(bootstrap)
        }
        (None, Some(program)) => {
            Target::Broker(BrokerCommand { program, arguments: Vec::new(), data, settings, log })
        }
        (None, None) => {
            let program =
                std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
            Target::Broker(BrokerCommand {
                program,
                arguments: vec!["broker".to_owned()],
                data,
                settings,
                log,
            })
        }
    };
    Ok(options)
}

fn show(outcome: &Outcome) {
    let faults = &outcome.faults;
    let worst = |times: &[Duration]| times.iter().max().map_or(0, |time| time.as_millis());
    println!(
        "load for {:.1} s, {} kills, {} stops, {} pauses; at worst {} ms from exec to ready, {} ms from there to the next acknowledged record",
        outcome.load.as_secs_f64(),
        faults.kills,
        faults.stops,
        faults.pauses,
        worst(&faults.ready),
        worst(&faults.progress)
    );
    println!("{}", outcome.verdict);
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "broker") {
        return broker(&arguments[1..]);
    }
    let options = match parse(&arguments) {
        Ok(options) => options,
        Err(fault) => {
            eprintln!("{fault}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("MILLSTREAM_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    println!("seed={} history={}", options.seed, options.history.display());
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("starting threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&options)) {
        Ok(outcome) => {
            show(&outcome);
            if outcome.verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("the run could not be ended: {error}");
            ExitCode::FAILURE
        }
    }
}
