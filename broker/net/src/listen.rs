//! Accepting connections: a listening socket with the settings a broker needs, and an accept loop that outlives
//! errors of single connections. Never enters: what is done with a connection.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// The kernel's buffers of each connection, in bytes; nothing leaves it to the system, which lets them grow.
#[derive(Clone, Copy, Debug, Default)]
pub struct SocketBuffers {
    /// `socket.send.buffer.bytes`.
    pub send: Option<usize>,
    /// `socket.receive.buffer.bytes`.
    pub receive: Option<usize>,
}

/// Listens on `address` (`host:port`; port 0 takes a free one). Fails where nothing of that name can be bound.
pub fn listen(address: &str, buffers: SocketBuffers) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, format!("\"{address}\" names no address"));
    for candidate in address.to_socket_addrs()? {
        match bind(candidate, buffers) {
            Ok(listener) => return Ok(listener),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn bind(address: SocketAddr, buffers: SocketBuffers) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets take these over; set before listening, so that the window is told right from the start.
    if let Some(bytes) = buffers.send {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = buffers.receive {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The next connection, with Nagle's delay off. Errors of one connection are passed over; where the process has no
/// file descriptors left this waits a moment, since the error would come back at once.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                if socket.set_nodelay(true).is_ok() {
                    return (socket, peer);
                }
            }
            Err(e)
                if matches!(
                    e.raw_os_error(),
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
                ) =>
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(_) => {}
        }
    }
}

/// Raises this process's soft limit of open files to its hard limit, and returns what it is then: 600 partitions
/// are 1,800 files.
pub fn raise_open_files_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    get_limit(&mut limit)?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        set_limit(&limit)?;
    }
    Ok(limit.rlim_cur)
}

#[allow(unsafe_code)]
fn get_limit(limit: &mut libc::rlimit) -> io::Result<()> {
    // SAFETY: the pointer is to a live, exclusively borrowed struct of the type that the call fills.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limit) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[allow(unsafe_code)]
fn set_limit(limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: the pointer is to a live struct that the call only reads.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
