//! Reading size-prefixed frames: the size is checked against its bound before a byte of room is made for it, and a
//! frame leaves uncopied: small ones as slices of the read buffer, a large one as the only owner of its bytes, so that
//! whoever takes it may change them in place; or, where the reader is told so, with a claim to its memory for a later
//! one. Never enters: what is in a frame.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Room that is made for each read, in bytes.
const READ_BYTES: usize = 64 * 1024;
/// Frames above this many bytes get an allocation of their own.
const SHARED_BYTES_MAX: usize = 16 * 1024;
/// Room that a prefix alone makes for its frame, unless the peer is trusted with more; more comes as the frame does.
const TRUSTED_BYTES: usize = 1024 * 1024;
/// Memory that is used again is a multiple of so many bytes: frames of about one size fit.
const REUSED_STEP_BYTES: usize = 64 * 1024;

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
    /// Large frames that were given out and whose memory is used again, the oldest first, and their bytes at most.
    given: VecDeque<Bytes>,
    reused: usize,
}

impl FrameReader {
    /// A reader of frames of at most `bound` bytes, the prefix not counted.
    pub fn new(bound: usize) -> FrameReader {
        FrameReader {
            buffer: BytesMut::new(),
            bound,
            trusted: TRUSTED_BYTES,
            expected: 0,
            given: VecDeque::new(),
            reused: 0,
        }
    }

    /// Makes room for frames of up to so many bytes by their prefix alone, so that they are not moved as they grow: for a peer that
    /// was asked for as much.
    pub fn trusting(mut self, bytes: usize) -> FrameReader {
        self.trusted = bytes;
        self
    }

    /// Uses the memory of large frames again once nobody else holds them, keeping up to so many bytes; a small frame lets go of
    /// them. Fresh memory for each costs as much as copying into it. Frames then have no only owner.
    pub fn reusing(mut self, bytes: usize) -> FrameReader {
        self.reused = bytes;
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
        frame.advance(4);
        let frame = frame.freeze();
        if self.reused > 0 {
            self.keep(&frame);
        }
        Ok(Some(frame))
    }

    /// Keeps a claim to a large frame's memory; lets go of all after a small one.
    fn keep(&mut self, frame: &Bytes) {
        if self.expected == 0 {
            self.given.clear();
            return;
        }
        self.given.push_back(frame.clone());
        let mut bytes: usize = self.given.iter().map(Bytes::len).sum();
        while bytes > self.reused {
            bytes -= self.given.pop_front().map_or(bytes, |oldest| oldest.len());
        }
    }

    /// Room for so many bytes: that of a frame that was given out and is no longer held, or new.
    fn room(&mut self, bytes: usize) -> BytesMut {
        if self.reused == 0 {
            return BytesMut::with_capacity(bytes);
        }
        while let Some(free) = self.given.iter().position(Bytes::is_unique) {
            let own = self.given.remove(free).map(Bytes::try_into_mut);
            if let Some(Ok(mut own)) = own {
                own.clear();
                if own.try_reclaim(bytes) {
                    return own;
                }
            }
        }
        BytesMut::with_capacity(bytes.next_multiple_of(REUSED_STEP_BYTES))
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
        // A large frame ends where what is read does: what follows it is in other memory.
        let most = match self.wanted()? {
            Some(want) if want > SHARED_BYTES_MAX && self.buffer.len() < want => {
                self.make_room_for(want);
                want - self.buffer.len()
            }
            None if self.buffer.is_empty() && self.expected > 0 => {
                self.buffer = self.room(self.expected.min(self.trusted));
                self.expected
            }
            _ => {
                self.buffer.reserve(READ_BYTES);
                usize::MAX
            }
        };
        if stream.read_buf(&mut (&mut self.buffer).limit(most)).await? > 0 {
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
        if self.buffer.capacity() < room || (self.buffer.capacity() > want && self.reused == 0) {
            let mut own = self.room(room);
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

    fn frames(input: &[u8], bound: usize) -> Result<Vec<Bytes>, FrameError> {
        let mut found = Vec::new();
        each_frame(FrameReader::new(bound), input, |frame, _| found.push(frame))?;
        Ok(found)
    }

    fn each_frame(
        mut reader: FrameReader,
        mut input: &[u8],
        mut take: impl FnMut(Bytes, &FrameReader),
    ) -> Result<(), FrameError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(FrameError::Io)?;
        runtime.block_on(async {
            while let Some(frame) = reader.next(&mut input).await? {
                take(frame, &reader);
            }
            Ok(())
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
    fn memory_is_used_again_once_nobody_holds_it() {
        let mut input = Vec::new();
        let sizes = [TRUSTED_BYTES, TRUSTED_BYTES - 70, 3, 70_000, 70_001, TRUSTED_BYTES - 1, 69_000, 69_001];
        for (at, size) in sizes.into_iter().enumerate() {
            input.extend_from_slice(&(size as i32).to_be_bytes());
            input.extend((0..size).map(|i| (i % 251) as u8 ^ at as u8));
        }
        let (mut held, mut places, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        let reader = FrameReader::new(4 * TRUSTED_BYTES).reusing(2 * TRUSTED_BYTES);
        let take = |frame: Bytes, reader: &FrameReader| {
            let at = places.len();
            assert!(frame.iter().enumerate().all(|(i, byte)| *byte == (i % 251) as u8 ^ at as u8), "{at}");
            assert_eq!(frame.len(), sizes[at]);
            places.push(frame.as_ptr().addr());
            kept.push(reader.given.len());
            if at == 3 {
                held.push(frame);
            }
        };
        each_frame(reader, &input, take).unwrap();
        let is_same = |one: usize, other: usize| places[one].abs_diff(places[other]) < 1_024;
        assert!(is_same(0, 1) && is_same(5, 6), "{places:?}");
        assert!(!is_same(3, 4), "the one before is still held");
        assert_eq!(kept, [1, 1, 0, 1, 2, 2, 2, 3], "a small one lets go of all");
        assert!(held[0].iter().enumerate().all(|(i, byte)| *byte == (i % 251) as u8 ^ 3));
    }

    #[test]
    fn an_end_inside_a_frame_is_told() {
        assert!(matches!(frames(&[0, 0, 0, 5, 1], 10), Err(FrameError::Cut { have: 5, want: 9 })));
        assert!(matches!(frames(&[0, 0], 10), Err(FrameError::Cut { .. })));
    }
}
