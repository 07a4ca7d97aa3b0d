//! What makes a file the same file: its beginning, up to the end of its first line and at most [`HEAD_BYTES_MAX`], which
//! appending never changes. And what makes it the same up to a place: the bytes just before. Names change by rotation
//! and inodes are given out again; these do not.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How much of a file's first line counts.
pub const HEAD_BYTES_MAX: usize = 1_024;
/// How many bytes before a place count.
pub const TAIL_BYTES_MAX: u64 = 256;

pub use millstream_connector::hash::fnv128 as hash;

/// Fills `buffer` from `offset` as far as the file goes; the number of bytes read.
pub fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// The hash of a file's head, as text; `None` while it may still change: the file has neither a whole first line nor
/// [`HEAD_BYTES_MAX`], and `finite` does not say that nothing will be added. An empty file has none.
pub fn head(file: &File, finite: bool) -> io::Result<Option<String>> {
    let mut buffer = [0; HEAD_BYTES_MAX];
    let read = read_at(file, &mut buffer, 0)?;
    let bytes = &buffer[..read];
    let settled = match memchr::memchr(b'\n', bytes) {
        Some(end) => &bytes[..=end],
        None if read == HEAD_BYTES_MAX || (finite && read > 0) => bytes,
        None => return Ok(None),
    };
    Ok(Some(format!("{:032x}", hash(settled))))
}

/// The hash of the bytes just before `offset`, as text; `None` when the file does not reach that far.
pub fn tail(file: &File, offset: u64) -> io::Result<Option<String>> {
    let length = offset.min(TAIL_BYTES_MAX);
    let mut buffer = [0; TAIL_BYTES_MAX as usize];
    let buffer = &mut buffer[..length as usize];
    let read = read_at(file, buffer, offset - length)?;
    Ok((read == buffer.len()).then(|| format!("{:032x}", hash(buffer))))
}

/// [`tail`] of the place behind these bytes, which stand before it; `None` where they are too few to tell.
pub fn tail_of(before: &[u8]) -> Option<String> {
    before.last_chunk::<{ TAIL_BYTES_MAX as usize }>().map(|bytes| format!("{:032x}", hash(bytes)))
}
