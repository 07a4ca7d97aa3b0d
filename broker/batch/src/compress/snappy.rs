//! Snappy, in the framing of Java's clients (xerial's snappy-java): a 16-byte header, then blocks of a big-endian length
//! and raw snappy. librdkafka and others may send one raw block without framing; both are read, the framing is written.

use super::{Bounded, Fault};

/// `\x82SNAPPY\0`; no raw block begins so, since its first tag would be a copy of bytes that are not there.
const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Version 1, readable by version 1 and later.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// Java's block size.
const BLOCK_BYTES: usize = 32 * 1024;
/// No tag of the format, of at least 2 bytes, stands for more than this many bytes: what a length may claim.
const BYTES_PER_TAG_MAX: usize = 64;

pub(super) struct Encoder {
    raw: snap::raw::Encoder,
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder { raw: snap::raw::Encoder::new() }
    }
}

impl Encoder {
    pub(super) fn compress(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSIONS);
        for block in bytes.chunks(BLOCK_BYTES) {
            let at = out.len();
            out.resize(at + 4 + snap::raw::max_compress_len(block.len()), 0);
            let len = self.raw.compress(block, &mut out[at + 4..]).map_err(|error| error.to_string())?;
            out[at..at + 4].copy_from_slice(&(len as u32).to_be_bytes());
            out.truncate(at + 4 + len);
        }
        Ok(())
    }
}

pub(super) struct Decoder {
    raw: snap::raw::Decoder,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { raw: snap::raw::Decoder::new() }
    }
}

impl Decoder {
    pub(super) fn decompress(&mut self, bytes: &[u8], out: &mut Bounded<'_>) -> Result<(), Fault> {
        let Some(mut rest) = bytes.strip_prefix(&MAGIC) else {
            return self.block(bytes, out);
        };
        // The versions are not looked at: no other was ever written.
        rest = rest.get(VERSIONS.len()..).ok_or_else(|| Fault::bad("its header is cut short"))?;
        while !rest.is_empty() {
            let (len, after) =
                rest.split_first_chunk().ok_or_else(|| Fault::bad("a block's length is cut short"))?;
            let len = u32::from_be_bytes(*len) as usize;
            let (block, after) = after.split_at_checked(len).ok_or_else(|| {
                Fault::bad(format!("a block of {len} bytes is declared, {} are left", after.len()))
            })?;
            self.block(block, out)?;
            rest = after;
        }
        Ok(())
    }

    fn block(&mut self, bytes: &[u8], out: &mut Bounded<'_>) -> Result<(), Fault> {
        let len = snap::raw::decompress_len(bytes).map_err(Fault::bad)?;
        // The bound first: a length above it is refused before it is believed.
        if len > out.room() {
            return Err(Fault::TooLarge);
        }
        if len > bytes.len().saturating_mul(BYTES_PER_TAG_MAX) {
            return Err(Fault::bad(format!(
                "{} bytes cannot stand for the {len} that are declared",
                bytes.len()
            )));
        }
        let at = out.out.len();
        out.grow(len)?;
        let written = self.raw.decompress(bytes, &mut out.out[at..]).map_err(Fault::bad)?;
        out.out.truncate(at + written);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::compress::{Codec, Compressor, Decompressor, Level};

    #[test]
    fn framed_and_raw_blocks_are_read() {
        let text: Vec<u8> = (0..100_000u32).map(|i| (i / 7 % 251) as u8).collect();
        let mut framed = Vec::new();
        Compressor::default().compress(Codec::Snappy, Level::Default, &text, &mut framed).unwrap();
        assert_eq!(&framed[..16], b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
        let raw = snap::raw::Encoder::new().compress_vec(&text).unwrap();
        let mut scratch = Decompressor::new(100_000);
        assert_eq!(scratch.decompress(Codec::Snappy, &framed).unwrap(), text);
        assert_eq!(scratch.decompress(Codec::Snappy, &raw).unwrap(), text);
        // The framing alone is an empty batch.
        assert_eq!(scratch.decompress(Codec::Snappy, &framed[..16]).unwrap(), b"");
    }

    #[test]
    fn a_length_that_cannot_be_is_refused_before_it_is_believed() {
        let mut scratch = Decompressor::new(1 << 24);
        // A varint of 2^24 bytes, and three bytes of data.
        let error = scratch.decompress(Codec::Snappy, &[0x80, 0x80, 0x80, 0x08, 1, 2, 3]).unwrap_err();
        assert!(error.to_string().contains("cannot stand for"), "{error}");
    }
}
