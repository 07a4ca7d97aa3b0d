//! `millstream query`: questions about what a pipeline keeps, answered once or served. Never enters: reading and answering
//! (`millstream-query`).

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use millstream_query::serve::{self, Server};
use millstream_query::{Answer, Desk, DeskError, form};
use millstream_spec::Pipeline;
use millstream_spec::ast;
use millstream_worker::query::Reader;
use millstream_worker::{Opened, WorkerError};

use super::{embedded, failed, limit, opened, refuse_faults, usage};
use crate::args::{Query, QueryFormat};
use crate::exit::Failure;
use crate::render::{self, Stopped};

/// Answers, or serves.
pub fn command(options: Query) -> Result<(), Failure> {
    crate::cmd::log_from("warn");
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        // Texts are planned on these.
        .thread_stack_size(millstream_query::STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|error| failed(format!("starting {threads} threads: {error}")))?;
    let work = runtime.spawn(run(options));
    match runtime.block_on(work) {
        Ok(Ok(()) | Err(Stopped::ReaderGone)) => Ok(()),
        Ok(Err(Stopped::Failed(failure))) => Err(failure),
        Err(error) => Err(failed(format!("answering: {error}; this is a fault of the program"))),
    }
}

async fn run(options: Query) -> Result<(), Stopped> {
    // Before anything is read: it may take long.
    let at = match &options.listen {
        Some(listen) => Some(serve::address(listen, options.allow_remote).await.map_err(usage)?),
        None => None,
    };
    let opened = opened(&options.file, &options.set).await?;
    refuse_faults(&opened)?;
    let Some((pipeline, _)) = &opened.parts else {
        return Err(usage("there is no pipeline".to_owned()).into());
    };
    let broker = reach(pipeline, &opened, &options).await?;
    let result = ask(&opened, &broker, at, &options).await;
    broker.stop().await;
    result
}

/// The pipeline's cluster; that of a file that says `embedded` is where one listens, or is started here over what it kept.
async fn reach(pipeline: &Pipeline, opened: &Opened, options: &Query) -> Result<embedded::Broker, Failure> {
    let outside = |bootstrap: &str| embedded::Broker::outside(bootstrap).map_err(failed);
    if let Some(bootstrap) = &options.bootstrap {
        return outside(bootstrap);
    }
    match &pipeline.broker {
        ast::Broker::Cluster(cluster) => {
            let hosts: Vec<&str> = cluster.bootstrap.iter().map(|b| b.value.as_str()).collect();
            outside(&hosts.join(","))
        }
        ast::Broker::Embedded => {
            let data = options.data.clone().unwrap_or_else(|| opened.root.join(".millstream"));
            refuse_nothing(&data)?;
            let started = embedded::Broker::start(None, data, &[], &limit::budget(options.memory)).await;
            started.map_err(|error| {
                failed(format!(
                    "{error}; where the pipeline runs now, give its `run` a --listen and ask there with --bootstrap"
                ))
            })
        }
    }
}

/// A folder in which nothing ran is not made a broker's.
fn refuse_nothing(data: &Path) -> Result<(), Failure> {
    match data.join("broker").is_dir() {
        true => Ok(()),
        false => Err(failed(format!(
            "{} holds no broker's data: the pipeline has not run there; name its folder with --data, or a broker with --bootstrap",
            data.display()
        ))),
    }
}

async fn ask(
    opened: &Opened,
    broker: &embedded::Broker,
    at: Option<SocketAddr>,
    options: &Query,
) -> Result<(), Stopped> {
    let memory = limit::budget(options.memory);
    let reader = Reader::open(opened, broker.cluster(), &memory).await.map_err(read_failed)?;
    let desk = Arc::new(Desk::new(reader));
    if let Some(at) = at {
        let server = Server::bind(at, desk).await.map_err(failed)?;
        render::print(format!("ready {}\n", server.address()).as_bytes())?;
        tokio::select! {
            result = server.run() => result.map_err(failed)?,
            () = embedded::stop_asked() => {}
        }
        return Ok(());
    }
    // A text without a question asks what there is to ask, as none does.
    let asked = options.sql.as_ref().filter(|sql| !sql.trim_matches([' ', '\t', '\n', ';']).is_empty());
    let answers = match asked {
        None => vec![desk.tables().await.map_err(told)?],
        Some(sql) => serve::answers(&desk, sql).await.map_err(told)?,
    };
    for answer in answers {
        answer.notices.iter().for_each(|notice| eprintln!("millstream: {notice}"));
        render::print(shown(&answer, options.format)?.as_bytes())?;
    }
    Ok(())
}

fn shown(answer: &Answer, format: QueryFormat) -> Result<String, Stopped> {
    let text = match format {
        QueryFormat::Table => form::table(answer),
        QueryFormat::Json => form::json(answer),
        QueryFormat::Csv => form::csv(answer),
    };
    text.map_err(|error| Stopped::failure(format!("printing the answer: {error}")))
}

fn read_failed(error: WorkerError) -> Failure {
    failed(error.to_string())
}

/// An error of an answer; of the SQL with its place in it.
fn told(error: DeskError) -> Failure {
    match error {
        DeskError::Problem(_) | DeskError::ReadOnly(_) | DeskError::NoRelation(_) => usage(error.to_string()),
        _ => failed(error.to_string()),
    }
}
