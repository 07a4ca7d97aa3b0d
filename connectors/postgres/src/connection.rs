//! One connection: made through the egress guard to an address that it passed, and gone at the first failure whose
//! outcome is unknown. Never enters: what is said over it.

use std::collections::BTreeSet;
use std::time::Duration;

use millstream_connector::{Context, SinkError};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, NoTls};

use crate::config::{Access, PostgresSinkConfig};
use crate::error::sink_error;
use crate::offsets;
use crate::tls::Tls;

/// A connection and the task that drives it.
pub struct Connection {
    /// To speak over it.
    pub client: Client,
    /// Temporary tables that exist on it.
    pub stages: BTreeSet<String>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Closes the socket at once; the server rolls back what was open.
        self.driver.abort();
    }
}

/// Connects to read only, with times in UTC.
pub(crate) async fn connect_to_read(access: &Access<'_>, context: &Context) -> Result<Connection, SinkError> {
    let prepare = "SET default_transaction_read_only = on; SET TimeZone = 'UTC'; SET DateStyle = ISO";
    let connecting = async {
        let connection = opened(access, context).await?;
        let prepared = connection.client.batch_execute(prepare).await;
        prepared.map_err(|error| sink_error("preparing the connection", &error))?;
        Ok(connection)
    };
    within(access, connecting).await
}

/// Connects, with the limits of time set.
async fn opened(access: &Access<'_>, context: &Context) -> Result<Connection, SinkError> {
    let connection = dial(access, context).await?;
    let timeout = format!(
        "SET statement_timeout = {}; SET client_min_messages = warning; SET lock_timeout = {0}; \
         SET idle_in_transaction_session_timeout = {0}",
        access.statement_timeout.0
    );
    let limited = connection.client.batch_execute(&timeout).await;
    limited.map_err(|error| sink_error("preparing the connection", &error))?;
    Ok(connection)
}

async fn within(
    access: &Access<'_>,
    connecting: impl Future<Output = Result<Connection, SinkError>>,
) -> Result<Connection, SinkError> {
    let limit = Duration::from_millis(access.connect_timeout.0);
    tokio::time::timeout(limit, connecting).await.map_err(|_| {
        SinkError::transient(format!(
            "connecting to the database: no answer within {}",
            access.connect_timeout
        ))
    })?
}

/// Connects, and makes the offsets' table where it is not there.
pub async fn connect(config: &PostgresSinkConfig, context: &Context) -> Result<Connection, SinkError> {
    let access = config.access();
    let connecting = async {
        let connection = opened(&access, context).await?;
        match connection.client.batch_execute(offsets::CREATE).await {
            Ok(()) => Ok(connection),
            // Two that make it at once: one of them gets this, and finds it made the next time.
            Err(error) if error.code().is_some_and(|code| code.code() == "23505") => Err(
                SinkError::transient("making the table _millstream_offsets: another connection makes it too"),
            ),
            Err(error) => Err(sink_error("making the table _millstream_offsets", &error)),
        }
    };
    within(&access, connecting).await
}

/// The DSN; the reason when it cannot be read.
pub(crate) fn parsed(access: &Access<'_>) -> Result<tokio_postgres::Config, String> {
    // The driver's complaint may quote the DSN: it is not repeated.
    let dsn: tokio_postgres::Config = access
        .dsn
        .expose()
        .parse()
        .map_err(|_| "reading `dsn`: write postgres://user:password@host:5432/database".to_owned())?;
    match dsn.get_hosts() {
        [] => Err("reading `dsn`: it names no host".to_owned()),
        _ => Ok(dsn),
    }
}

async fn dial(access: &Access<'_>, context: &Context) -> Result<Connection, SinkError> {
    let dsn = parsed(access).map_err(SinkError::Setup)?;
    let mut last = None;
    for (i, host) in dsn.get_hosts().iter().enumerate() {
        let port = dsn.get_ports().get(i).or(dsn.get_ports().first()).copied().unwrap_or(5432);
        match dial_host(&dsn, host, port, access, context).await {
            Ok(connection) => return Ok(connection),
            // A refusal by the guard is not to be got round by the next host.
            Err(error @ SinkError::Setup(_)) => return Err(error),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("there is at least one host"))
}

async fn dial_host(
    dsn: &tokio_postgres::Config,
    host: &Host,
    port: u16,
    access: &Access<'_>,
    context: &Context,
) -> Result<Connection, SinkError> {
    let doing = || format!("connecting to the database at {}", shown(host, port));
    let failed = |error: std::io::Error| SinkError::transient(format!("{}: {error}", doing()));
    let refused = |error: tokio_postgres::Error| sink_error(&doing(), &error);
    match host {
        Host::Unix(folder) => {
            let path = folder.join(format!(".s.PGSQL.{port}"));
            context.egress.local_socket(&path.display().to_string()).await?;
            let stream = UnixStream::connect(&path).await.map_err(failed)?;
            let (client, driver) = dsn.connect_raw(stream, NoTls).await.map_err(refused)?;
            Ok(Connection { client, stages: BTreeSet::new(), driver: tokio::spawn(drive(driver)) })
        }
        Host::Tcp(name) => {
            let addresses = context.egress.resolve(name, port).await?;
            let stream = TcpStream::connect(&addresses[..]).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            if dsn.get_ssl_mode() == SslMode::Disable {
                let (client, driver) = dsn.connect_raw(stream, NoTls).await.map_err(refused)?;
                return Ok(Connection {
                    client,
                    stages: BTreeSet::new(),
                    driver: tokio::spawn(drive(driver)),
                });
            }
            let tls = Tls::new(name, access.ca_file).map_err(SinkError::Setup)?;
            let (client, driver) = dsn.connect_raw(stream, tls).await.map_err(refused)?;
            Ok(Connection { client, stages: BTreeSet::new(), driver: tokio::spawn(drive(driver)) })
        }
    }
}

/// Runs until the connection ends; how it ended, whoever speaks next is told.
async fn drive(driver: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    if let Err(error) = driver.await {
        tracing::debug!(%error, "the connection to the database ended");
    }
}

fn shown(host: &Host, port: u16) -> String {
    match host {
        Host::Tcp(name) => format!("{name}:{port}"),
        Host::Unix(folder) => folder.display().to_string(),
    }
}
