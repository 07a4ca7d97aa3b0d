//! Whole texts answered at once; and a server that clients of PostgreSQL ask. It knows nobody: who reaches its address may ask,
//! so it takes no address that others than this machine reach unless it is told to. Never enters: what a connection says
//! (`session`).

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_engine::sql::at_rest::Statement;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};

use crate::desk::{Answer, Desk, DeskError};
use crate::session::{Identity, Session, begin};
use crate::wire::{Out, Refusal, Startup};

/// How many clients are served at once.
pub const CLIENTS_MAX: usize = 64;
/// After a failure to take a connection, such as for want of files.
const PAUSE: Duration = Duration::from_millis(100);

/// The answers to the statements of a text, in their order. Runs on threads with a stack of
/// [`millstream_engine::sql::at_rest::STACK_BYTES`].
pub async fn answers(desk: &Desk, sql: &str) -> Result<Vec<Answer>, DeskError> {
    let mut answers = Vec::new();
    for statement in desk.statements(sql)? {
        match statement {
            Statement::Query(question) => answers.push(desk.answer(&question, Vec::new()).await?),
            Statement::Tables => answers.push(desk.tables().await?),
            Statement::Columns(name) => answers.push(desk.columns(&name)?),
            Statement::Other(word) => return Err(DeskError::ReadOnly(word)),
            // Of a session, and there is none.
            Statement::Setting(_) | Statement::Set | Statement::Discard(_) => {}
            Statement::Begin | Statement::Commit | Statement::Rollback => {}
        }
    }
    Ok(answers)
}

/// The address to listen on. One that others can reach is refused, unless that is wanted.
pub async fn address(listen: &str, allow_remote: bool) -> Result<SocketAddr, String> {
    let found = tokio::net::lookup_host(listen).await;
    let mut found = found.map_err(|error| format!("--listen {listen}: {error}; write HOST:PORT"))?;
    let at = found.next().ok_or_else(|| format!("--listen {listen}: there is no such host"))?;
    if at.ip().is_loopback() || allow_remote {
        return Ok(at);
    }
    Err(format!(
        "--listen {listen}: others than this machine can reach it, and whoever does may ask, without a password and in the clear; say --allow-remote if that is wanted, or listen on 127.0.0.1"
    ))
}

#[cfg(test)]
mod tests;

/// The connections that can be stopped, by their number and their secret.
type Running = Arc<Mutex<HashMap<i32, (i32, Arc<Notify>)>>>;

/// See the module.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    desk: Arc<Desk>,
    running: Running,
    places: Arc<Semaphore>,
}

impl Server {
    /// Listens here.
    pub async fn bind(at: SocketAddr, desk: Arc<Desk>) -> Result<Server, String> {
        let bound = TcpListener::bind(at).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = bound.map_err(|error| format!("listening on {at}: {error}"))?;
        let places = Arc::new(Semaphore::new(CLIENTS_MAX));
        Ok(Server { listener, address, desk, running: Running::default(), places })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped.
    pub async fn run(self) -> Result<(), String> {
        for process in 1i32.. {
            let stream = loop {
                match self.listener.accept().await {
                    Ok((stream, _)) => break stream,
                    Err(error) => {
                        tracing::warn!(%error, "a client could not be taken; tried again");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            };
            let (desk, running, places) =
                (Arc::clone(&self.desk), Arc::clone(&self.running), Arc::clone(&self.places));
            tokio::spawn(async move {
                if let Err(error) = serve(stream, process, desk, running, places).await {
                    tracing::debug!(%error, "a client's connection ended");
                }
            });
        }
        Err("two thousand million clients have been served; start again".to_owned())
    }
}

async fn serve(
    mut stream: TcpStream,
    process: i32,
    desk: Arc<Desk>,
    running: Running,
    places: Arc<Semaphore>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let refuse = |code, text: String| {
        let mut out = Out::default();
        out.refuse(&Refusal::new(code, text));
        out.0
    };
    let minor = match begin(&mut stream).await? {
        Startup::Begin { minor } => minor,
        Startup::Cancel { process, secret } => {
            let found = running.lock().expect("no panic while held").get(&process).cloned();
            // Only one that runs now: what it asks next is not stopped.
            found.filter(|(known, _)| *known == secret).inspect(|(_, cancel)| cancel.notify_waiters());
            return Ok(());
        }
        Startup::Encrypt => return Ok(()),
        Startup::Unknown(code) => {
            let text = format!("protocol {}.{} is not served; 3.0 is", code >> 16, code & 0xffff);
            return tokio::io::AsyncWriteExt::write_all(&mut stream, &refuse("0A000", text)).await;
        }
    };
    let Ok(_place) = places.try_acquire() else {
        let text = format!("{CLIENTS_MAX} clients are served already");
        return tokio::io::AsyncWriteExt::write_all(&mut stream, &refuse("53300", text)).await;
    };
    let mut chance = RandomState::new().build_hasher();
    chance.write_i32(process);
    let secret = chance.finish() as i32;
    let cancel = Arc::new(Notify::new());
    running.lock().expect("no panic while held").insert(process, (secret, Arc::clone(&cancel)));
    let session = Session::new(stream, desk, Identity { process, secret, cancel });
    let result = session.run(minor).await;
    running.lock().expect("no panic while held").remove(&process);
    result
}
