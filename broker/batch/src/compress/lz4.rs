//! The lz4 frame format, read and written block by block straight from and to the batch's buffers: a reader of the
//! library's would keep up to 12 MiB beside them for frames that declare blocks of 4 MiB. Independent blocks are written,
//! as by Java's clients; linked ones are read too. Header, block and content checksums are checked where present.

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into_with_dict, get_maximum_output_size,
};
use twox_hash::XxHash32;

use super::{Bounded, Fault};

const MAGIC: u32 = 0x184d_2204;
/// Skippable frames have one of 16 magic numbers, this one and those behind it.
const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;
const BLOCK_BYTES: usize = 64 * 1024;
/// Version 1, independent blocks, no checksums, no content size.
const FLAGS: u8 = 0x60;
/// Blocks of 64 KiB.
const BLOCK_DESCRIPTOR: u8 = 0x40;
/// The bit of a block's length that says that the block is not compressed.
const STORED: u32 = 1 << 31;
/// How far back a linked block may reach.
const WINDOW: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct Encoder {
    table: CompressTable,
}

impl Encoder {
    pub(super) fn compress(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(&MAGIC.to_le_bytes());
        let descriptor = [FLAGS, BLOCK_DESCRIPTOR];
        out.extend_from_slice(&descriptor);
        out.push(header_checksum(&descriptor));
        for block in bytes.chunks(BLOCK_BYTES) {
            let at = out.len();
            out.resize(at + 4 + get_maximum_output_size(block.len()), 0);
            let len = compress_into_with_table(block, &mut out[at + 4..], &mut self.table)
                .map_err(|error| error.to_string())?;
            let (len, mark) = if len < block.len() {
                (len, 0)
            } else {
                out[at + 4..at + 4 + block.len()].copy_from_slice(block);
                (block.len(), STORED)
            };
            out[at..at + 4].copy_from_slice(&(len as u32 | mark).to_le_bytes());
            out.truncate(at + 4 + len);
        }
        out.extend_from_slice(&[0; 4]);
        Ok(())
    }
}

fn header_checksum(descriptor: &[u8]) -> u8 {
    (XxHash32::oneshot(0, descriptor) >> 8) as u8
}

pub(super) fn decompress(bytes: &[u8], out: &mut Bounded<'_>) -> Result<(), Fault> {
    let mut rest = bytes;
    // Frames may follow one another.
    while !rest.is_empty() {
        rest = frame(rest, out)?;
    }
    Ok(())
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], Fault> {
    let (taken, after) = rest.split_at_checked(len).ok_or_else(|| Fault::bad("the frame is cut short"))?;
    *rest = after;
    Ok(taken)
}

fn take_u32(rest: &mut &[u8]) -> Result<u32, Fault> {
    let bytes = take(rest, 4)?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// Reads one frame and returns what follows it.
fn frame<'a>(bytes: &'a [u8], out: &mut Bounded<'_>) -> Result<&'a [u8], Fault> {
    let mut rest = bytes;
    let magic = take_u32(&mut rest)?;
    if magic & 0xffff_fff0 == SKIPPABLE_MAGIC {
        let len = take_u32(&mut rest)? as usize;
        take(&mut rest, len)?;
        return Ok(rest);
    }
    if magic != MAGIC {
        return Err(Fault::bad(format!("{magic:#010x} is not an lz4 frame's magic number")));
    }
    let start = rest;
    let flags = take(&mut rest, 1)?[0];
    let block = take(&mut rest, 1)?[0];
    if flags >> 6 != 1 {
        return Err(Fault::bad("its version is not 1"));
    }
    if flags & 0x03 != 0 {
        return Err(Fault::bad("it needs a dictionary"));
    }
    let block_bytes_max = match block >> 4 & 7 {
        4 => 64 * 1024,
        5 => 256 * 1024,
        6 => 1024 * 1024,
        7 => 4 * 1024 * 1024,
        other => return Err(Fault::bad(format!("{other} is not a block size"))),
    };
    let (linked, block_checksums) = (flags & 0x20 == 0, flags & 0x10 != 0);
    let content_size = match flags & 0x08 {
        0 => None,
        _ => {
            let field = take(&mut rest, 8)?;
            Some(field.iter().rev().fold(0u64, |size, byte| size << 8 | u64::from(*byte)))
        }
    };
    let descriptor = &start[..start.len() - rest.len()];
    if take(&mut rest, 1)?[0] != header_checksum(descriptor) {
        return Err(Fault::bad("its header's checksum is wrong"));
    }
    let begin = out.out.len();
    loop {
        let word = take_u32(&mut rest)?;
        if word == 0 {
            break;
        }
        let len = (word & !STORED) as usize;
        if len > block_bytes_max {
            return Err(Fault::bad(format!(
                "a block of {len} bytes is declared, at most {block_bytes_max} may be"
            )));
        }
        let data = take(&mut rest, len)?;
        if block_checksums && take_u32(&mut rest)? != XxHash32::oneshot(0, data) {
            return Err(Fault::bad("a block's checksum is wrong"));
        }
        if word & STORED != 0 {
            out.extend(data)?;
        } else {
            let from = if linked { begin.max(out.out.len().saturating_sub(WINDOW)) } else { out.out.len() };
            compressed_block(data, from, block_bytes_max, out)?;
        }
    }
    if flags & 0x04 != 0 && take_u32(&mut rest)? != XxHash32::oneshot(0, &out.out[begin..]) {
        return Err(Fault::bad("its content's checksum is wrong"));
    }
    match content_size {
        Some(size) if size != (out.out.len() - begin) as u64 => {
            Err(Fault::bad("its content's size is wrong"))
        }
        _ => Ok(rest),
    }
}

/// Decompresses a block behind `out`, which it may refer back to from `window_from` on.
fn compressed_block(
    data: &[u8],
    window_from: usize,
    block_bytes_max: usize,
    out: &mut Bounded<'_>,
) -> Result<(), Fault> {
    let at = out.out.len();
    // A byte of input stands for at most 255 of output.
    let possible = block_bytes_max.min(data.len().saturating_mul(255).saturating_add(64));
    let room = possible.min(out.room());
    out.grow(room)?;
    let (before, target) = out.out.split_at_mut(at);
    match decompress_into_with_dict(data, target, &before[window_from..]) {
        Ok(len) => {
            out.out.truncate(at + len);
            Ok(())
        }
        Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) if room < possible => {
            Err(Fault::TooLarge)
        }
        Err(error) => Err(Fault::bad(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

    use crate::compress::{Codec, Compressor, Decompressor, Level};

    fn text() -> Vec<u8> {
        (0..300_000u32).map(|i| (i / 5 % 241) as u8 ^ (i / 1_000) as u8).collect()
    }

    #[test]
    fn frames_of_other_writers_are_read() {
        let text = text();
        let mut scratch = Decompressor::new(text.len());
        for block_size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
            for mode in [BlockMode::Independent, BlockMode::Linked] {
                for checks in [false, true] {
                    let info = FrameInfo::new()
                        .block_size(block_size)
                        .block_mode(mode)
                        .block_checksums(checks)
                        .content_checksum(checks)
                        .content_size(checks.then_some(text.len() as u64));
                    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                    encoder.write_all(&text).unwrap();
                    let frame = encoder.finish().unwrap();
                    assert_eq!(
                        scratch.decompress(Codec::Lz4, &frame).unwrap(),
                        text,
                        "{block_size:?} {mode:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn our_frames_are_read_by_others() {
        let text = text();
        for len in [0, 1, 100, 65_535, 65_536, 65_537, 300_000] {
            let mut frame = Vec::new();
            Compressor::default().compress(Codec::Lz4, Level::Default, &text[..len], &mut frame).unwrap();
            let mut back = Vec::new();
            std::io::Read::read_to_end(&mut lz4_flex::frame::FrameDecoder::new(&frame[..]), &mut back)
                .unwrap();
            assert_eq!(back, &text[..len]);
        }
    }
}
