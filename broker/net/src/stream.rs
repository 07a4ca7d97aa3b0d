//! The two ways a connection runs: over TCP, or inside one process through a pair of buffers. Both are one type, so
//! that no caller is generic. Never enters: frames.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that an in-process connection holds in each direction before its writer waits.
const IN_PROCESS_BUFFER_BYTES: usize = 1024 * 1024;

/// One connection's byte stream.
#[derive(Debug)]
pub enum Stream {
    /// A TCP socket.
    Tcp(TcpStream),
    /// One end of a pair inside this process.
    InProcess(DuplexStream),
}

impl Stream {
    /// Both ends of a connection inside this process.
    pub fn pair() -> (Stream, Stream) {
        let (a, b) = tokio::io::duplex(IN_PROCESS_BUFFER_BYTES);
        (Stream::InProcess(a), Stream::InProcess(b))
    }

    /// Connects to `address` (`host:port`) by TCP, with Nagle's delay off.
    pub async fn connect(address: &str) -> io::Result<Stream> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Stream::Tcp(socket))
    }

    /// The peer's address for logs and for a group member's host; `in-process` inside this process.
    pub fn peer(&self) -> String {
        match self {
            Stream::Tcp(socket) => {
                socket.peer_addr().map_or_else(|_| "unknown".to_owned(), |a| a.ip().to_string())
            }
            Stream::InProcess(_) => "in-process".to_owned(),
        }
    }
}

/// Makes connections; a client is given one, and the broker inside its own process gives another.
pub trait Connector: Send + Sync {
    /// Connects to `address` (`host:port`).
    fn connect<'a>(
        &'a self,
        address: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + 'a>>;
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Stream::InProcess(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(s) => Pin::new(s).poll_write(cx, buf),
            Stream::InProcess(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(s) => Pin::new(s).poll_flush(cx),
            Stream::InProcess(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Stream::InProcess(s) => Pin::new(s).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Stream::InProcess(s) => Pin::new(s).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Tcp(s) => s.is_write_vectored(),
            Stream::InProcess(s) => s.is_write_vectored(),
        }
    }
}
