//! Writing answers: a list of segments, each bytes in memory or a range of a file. Over TCP a big range goes by
//! sendfile, so that its bytes never enter this process; everything else is gathered into few writes. A fetch
//! larger than its file gives is an error, never padding. Never enters: which range an answer needs.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use crate::Stream;

/// Ranges below this many bytes are read and gathered with their neighbours: a system call of their own costs more
/// than the copy.
const SENDFILE_BYTES_MIN: usize = 16 * 1024;
/// Bytes gathered into one write.
const GATHER_BYTES: usize = 64 * 1024;
/// Bytes of a range that are read at a time where sendfile cannot serve.
const READ_BYTES: usize = 256 * 1024;

/// A file that ranges can be read from.
pub trait RangeSource: Send + Sync {
    /// The file descriptor, where there is one that sendfile takes.
    fn raw_fd(&self) -> Option<RawFd>;
    /// Fills `buffer` from `position` on; fewer bytes only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
}

/// Bytes of a file.
#[derive(Clone)]
pub struct FileRange {
    /// The file; kept open until the range is sent, also if the segment is deleted meanwhile.
    pub source: Arc<dyn RangeSource>,
    /// Where the range begins, in bytes.
    pub position: u64,
    /// How long it is, in bytes.
    pub len: usize,
}

/// A part of an answer.
#[derive(Clone)]
pub enum OutSegment {
    /// Bytes in memory.
    Bytes(Bytes),
    /// Bytes of a file.
    File(FileRange),
}

impl OutSegment {
    /// How many bytes this part is.
    pub fn len(&self) -> usize {
        match self {
            OutSegment::Bytes(bytes) => bytes.len(),
            OutSegment::File(range) => range.len,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl FileRange {
    /// The bytes of the range, read into memory.
    pub fn read(&self) -> io::Result<Bytes> {
        let mut buffer = BytesMut::zeroed(self.len);
        read_exact_at(self.source.as_ref(), &mut buffer, self.position)?;
        Ok(buffer.freeze())
    }
}

fn read_exact_at(source: &dyn RangeSource, mut buffer: &mut [u8], mut position: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        let n = source.read_at(buffer, position)?;
        if n == 0 {
            return Err(cut(position));
        }
        buffer = &mut buffer[n..];
        position += n as u64;
    }
    Ok(())
}

fn cut(position: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("sending a file's range: the file ends at {position}"),
    )
}

/// Writes all of `segments` in order and leaves the queue empty. After an error the connection is to be closed.
pub async fn send(stream: &mut Stream, segments: &mut VecDeque<OutSegment>) -> io::Result<()> {
    let mut gathered = BytesMut::new();
    while let Some(segment) = segments.pop_front() {
        match segment {
            OutSegment::Bytes(bytes)
                if gathered.is_empty() && (bytes.len() >= GATHER_BYTES || segments.is_empty()) =>
            {
                stream.write_all(&bytes).await?;
            }
            OutSegment::Bytes(bytes) => {
                if gathered.len() + bytes.len() > GATHER_BYTES {
                    stream.write_all(&gathered).await?;
                    gathered.clear();
                }
                if bytes.len() >= GATHER_BYTES {
                    stream.write_all(&bytes).await?;
                } else {
                    gathered.extend_from_slice(&bytes);
                }
            }
            OutSegment::File(range) if range.len < SENDFILE_BYTES_MIN => {
                let at = gathered.len();
                gathered.resize(at + range.len, 0);
                read_exact_at(range.source.as_ref(), &mut gathered[at..], range.position)?;
                if gathered.len() >= GATHER_BYTES {
                    stream.write_all(&gathered).await?;
                    gathered.clear();
                }
            }
            OutSegment::File(range) => {
                if !gathered.is_empty() {
                    stream.write_all(&gathered).await?;
                    gathered.clear();
                }
                match (&mut *stream, range.source.raw_fd()) {
                    (Stream::Tcp(socket), Some(fd)) => sendfile(socket, fd, &range).await?,
                    (stream, _) => copy(stream, &range).await?,
                }
            }
        }
    }
    if !gathered.is_empty() {
        stream.write_all(&gathered).await?;
    }
    Ok(())
}

async fn copy(stream: &mut Stream, range: &FileRange) -> io::Result<()> {
    let mut buffer = vec![0; range.len.min(READ_BYTES)];
    let mut sent = 0;
    while sent < range.len {
        let part = &mut buffer[..(range.len - sent).min(READ_BYTES)];
        read_exact_at(range.source.as_ref(), part, range.position + sent as u64)?;
        stream.write_all(part).await?;
        sent += part.len();
    }
    Ok(())
}

async fn sendfile(socket: &TcpStream, file: RawFd, range: &FileRange) -> io::Result<()> {
    let mut sent = 0;
    while sent < range.len {
        socket.writable().await?;
        let result = socket.try_io(Interest::WRITABLE, || {
            sendfile_once(socket.as_raw_fd(), file, range.position + sent as u64, range.len - sent)
        });
        match result {
            Ok(0) => return Err(cut(range.position + sent as u64)),
            Ok(n) => sent += n,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[allow(unsafe_code)]
fn sendfile_once(socket: RawFd, file: RawFd, position: u64, len: usize) -> io::Result<usize> {
    let mut offset = libc::off_t::try_from(position).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: both descriptors are open for the whole call (the caller holds the socket and the file's `Arc`), and
    // `offset` is a local that the kernel only writes during the call.
    let n = unsafe { libc::sendfile(socket, file, &mut offset, len) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    struct Plain(File);

    impl RangeSource for Plain {
        fn raw_fd(&self) -> Option<RawFd> {
            Some(self.0.as_raw_fd())
        }

        fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
            self.0.read_at(buffer, position)
        }
    }

    async fn check(mut to: Stream, mut from: Stream) {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..300_000u32).map(|i| (i * 7 % 251) as u8).collect();
        io::Write::write_all(&mut file, &content).unwrap();
        let source: Arc<dyn RangeSource> = Arc::new(Plain(file));
        let range =
            |position, len| OutSegment::File(FileRange { source: Arc::clone(&source), position, len });
        let big = Bytes::from(vec![3; 100_000]);
        let mut segments = VecDeque::from([
            OutSegment::Bytes(Bytes::from_static(b"head")),
            range(10, 200_000),
            OutSegment::Bytes(big.clone()),
            range(5, 100),
            OutSegment::Bytes(Bytes::from_static(b"tail")),
        ]);
        let mut expected = b"head".to_vec();
        expected.extend_from_slice(&content[10..200_010]);
        expected.extend_from_slice(&big);
        expected.extend_from_slice(&content[5..105]);
        expected.extend_from_slice(b"tail");
        let reader = tokio::spawn(async move {
            let mut got = Vec::new();
            from.read_to_end(&mut got).await.unwrap();
            got
        });
        send(&mut to, &mut segments).await.unwrap();
        drop(to);
        assert!(reader.await.unwrap() == expected);
    }

    fn run(future: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
    }

    #[test]
    fn segments_arrive_in_order_over_tcp() {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let from = Stream::connect(&address).await.unwrap();
            let (to, _) = listener.accept().await.unwrap();
            check(Stream::Tcp(to), from).await;
        });
    }

    #[test]
    fn segments_arrive_in_order_inside_a_process() {
        run(async {
            let (to, from) = Stream::pair();
            check(to, from).await;
        });
    }

    #[test]
    fn a_range_past_the_end_is_an_error() {
        run(async {
            let source: Arc<dyn RangeSource> = Arc::new(Plain(tempfile::tempfile().unwrap()));
            let mut segments = VecDeque::from([OutSegment::File(FileRange { source, position: 0, len: 10 })]);
            let (mut to, _from) = Stream::pair();
            let error = send(&mut to, &mut segments).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        });
    }
}
