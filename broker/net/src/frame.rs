//! Reading size-prefixed frames: the size is checked against its bound before a byte of room is made for it, and a
//! frame leaves uncopied: small ones as slices of the read buffer, a large one as the only owner of its bytes, so that
//! whoever takes it may change them in place. Never enters: what is in a frame.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Room that is made for each read, in bytes.
const READ_BYTES: usize = 64 * 1024;
/// Frames above this many bytes get an allocation of their own.
const SHARED_BYTES_MAX: usize = 16 * 1024;
/// Room that a prefix alone makes for its frame, unless the peer is trusted with more; more comes as the frame does.
const TRUSTED_BYTES: usize = 1024 * 1024;

/// Why no further frame can be read from a connection.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The socket failed.
    #[error("reading from the connection: {0}")]
    Io(#[from] std::io::Error),
    /// The size in front of the frame is negative or above the bound.
    #[error(
        "reading a frame: its size is {size} bytes, allowed are 0 to {bound}; is the peer speaking Kafka's protocol?"
    )]
    Size {
        /// What the prefix says.
        size: i32,
        /// The largest size allowed.
        bound: usize,
    },
    /// The other side closed the connection inside a frame.
    #[error("reading a frame: the connection was closed after {have} of {want} bytes")]
    Cut {
        /// Bytes of the frame that came.
        have: usize,
        /// Bytes that its prefix promised, prefix included.
        want: usize,
    },
}

/// Takes frames out of a byte stream.
#[derive(Debug)]
pub struct FrameReader {
    buffer: BytesMut,
    bound: usize,
    /// Room that a prefix alone makes.
    trusted: usize,
    /// Bytes of the last frame, where it was large: the next is likely to be of its size, and then ends where its
    /// allocation does.
    expected: usize,
}

impl FrameReader {
    /// A reader of frames of at most `bound` bytes, the prefix not counted.
    pub fn new(bound: usize) -> FrameReader {
        FrameReader { buffer: BytesMut::new(), bound, trusted: TRUSTED_BYTES, expected: 0 }
    }

    /// Makes room for frames of up to so many bytes by their prefix alone, so that they are not moved as they grow: for a peer that
    /// was asked for as much.
    pub fn trusting(mut self, bytes: usize) -> FrameReader {
        self.trusted = bytes;
        self
    }

    /// Changes the bound, once the peer is known.
    pub fn set_bound(&mut self, bound: usize) {
        self.bound = bound;
    }

    /// The next frame that is whole in the buffer, without its prefix.
    pub fn take_buffered(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(want) = self.wanted()? else { return Ok(None) };
        if self.buffer.len() < want {
            return Ok(None);
        }
        let mut frame = if self.buffer.len() == want {
            std::mem::take(&mut self.buffer)
        } else {
            self.buffer.split_to(want)
        };
        self.expected = if want > SHARED_BYTES_MAX { want } else { 0 };
        bytes::Buf::advance(&mut frame, 4);
        Ok(Some(frame.freeze()))
    }

    /// Bytes of the frame at the front, prefix included, once its prefix is here.
    fn wanted(&self) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let size = i32::from_be_bytes(*prefix);
        match usize::try_from(size) {
            Ok(bytes) if bytes <= self.bound => Ok(Some(bytes + 4)),
            _ => Err(FrameError::Size { size, bound: self.bound }),
        }
    }

    /// Bytes of the frame at the front, prefix included, where it has begun and is not whole yet.
    pub fn unfinished(&self) -> Result<Option<usize>, FrameError> {
        Ok(self.wanted()?.filter(|want| self.buffer.len() < *want))
    }

    /// Makes room for the whole frame at the front, for a caller that has found its bytes a budget.
    pub fn make_room(&mut self) -> Result<(), FrameError> {
        if let Some(want) = self.unfinished()?
            && self.buffer.capacity() != want
        {
            let mut own = BytesMut::with_capacity(want);
            own.extend_from_slice(&self.buffer);
            self.buffer = own;
        }
        Ok(())
    }

    /// Reads what is there, waiting for at least one byte. `false` at the end of the stream. A caller that drops
    /// this future loses nothing: bytes that were read are in the buffer.
    pub async fn fill<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Result<bool, FrameError> {
        match self.wanted()? {
            Some(want) if want > SHARED_BYTES_MAX && self.buffer.len() < want => self.make_room_for(want),
            None if self.buffer.is_empty() && self.expected > 0 => {
                self.buffer = BytesMut::with_capacity(self.expected.min(self.trusted));
            }
            _ => self.buffer.reserve(READ_BYTES),
        }
        if stream.read_buf(&mut self.buffer).await? > 0 {
            return Ok(true);
        }
        if self.buffer.is_empty() {
            return Ok(false);
        }
        Err(FrameError::Cut { have: self.buffer.len(), want: self.wanted()?.unwrap_or(4) })
    }

    /// Room for one large frame and no byte more, so that it ends where its allocation does.
    fn make_room_for(&mut self, want: usize) {
        let have = self.buffer.len();
        let room = want.min(self.trusted.max(2 * have));
        if self.buffer.capacity() < room || self.buffer.capacity() > want {
            let mut own = BytesMut::with_capacity(room);
            own.extend_from_slice(&self.buffer);
            self.buffer = own;
        }
    }

    /// The next frame without its prefix, waiting for it; `None` at the end of the stream.
    pub async fn next<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Result<Option<Bytes>, FrameError> {
        loop {
            if let Some(frame) = self.take_buffered()? {
                return Ok(Some(frame));
            }
            if !self.fill(stream).await? {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(mut input: &[u8], bound: usize) -> Result<Vec<Bytes>, FrameError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(FrameError::Io)?;
        runtime.block_on(async {
            let mut reader = FrameReader::new(bound);
            let mut found = Vec::new();
            while let Some(frame) = reader.next(&mut input).await? {
                found.push(frame);
            }
            Ok(found)
        })
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        let input = [0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0, 0, 1, 9];
        assert_eq!(frames(&input, 10).unwrap(), vec![&[7, 8][..], &[], &[9]]);
    }

    #[test]
    fn a_size_out_of_bounds_is_refused_before_room_is_made() {
        for prefix in [[0xff, 0xff, 0xff, 0xff], [0x7f, 0xff, 0xff, 0xff], [0, 0, 0, 11]] {
            assert!(matches!(frames(&prefix, 10), Err(FrameError::Size { bound: 10, .. })), "{prefix:?}");
        }
    }

    #[test]
    fn a_large_frame_is_the_only_owner_of_its_bytes() {
        for size in [65_600, TRUSTED_BYTES - 4, 3 * TRUSTED_BYTES] {
            let content: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
            let mut input = Vec::new();
            for part in [&content[..], &content, &content, &[7]] {
                input.extend_from_slice(&(part.len() as i32).to_be_bytes());
                input.extend_from_slice(part);
            }
            let found = frames(&input, 4 * TRUSTED_BYTES).unwrap();
            assert_eq!(found.len(), 4);
            for frame in found.into_iter().take(3) {
                let own = frame.try_into_mut();
                assert!(own.is_ok_and(|own| own == content), "{size}");
            }
        }
    }

    #[test]
    fn an_end_inside_a_frame_is_told() {
        assert!(matches!(frames(&[0, 0, 0, 5, 1], 10), Err(FrameError::Cut { have: 5, want: 9 })));
        assert!(matches!(frames(&[0, 0], 10), Err(FrameError::Cut { .. })));
    }
}
