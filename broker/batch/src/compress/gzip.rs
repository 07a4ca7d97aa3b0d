//! gzip (RFC 1952), several members one after another included, as Java's reader takes them.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::{Bounded, Fault, Level};

pub(super) fn compress(level: Level, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let level = match level {
        Level::Default => Compression::default(),
        Level::Of(level) => Compression::new(level.clamp(1, 9) as u32),
    };
    let mut encoder = GzEncoder::new(out, level);
    encoder.write_all(bytes).map_err(|error| error.to_string())?;
    encoder.finish().map(drop).map_err(|error| error.to_string())
}

pub(super) fn decompress(bytes: &[u8], out: &mut Bounded<'_>) -> Result<(), Fault> {
    let mut decoder = MultiGzDecoder::new(bytes);
    // Text compresses about fourfold: most batches need one round.
    let mut step = bytes.len().saturating_mul(4).max(4_096);
    loop {
        let at = out.out.len();
        let len = step.min(out.room());
        if len == 0 {
            // Full: good if nothing more comes.
            return match decoder.read(&mut [0]).map_err(Fault::bad)? {
                0 => Ok(()),
                _ => Err(Fault::TooLarge),
            };
        }
        out.grow(len)?;
        let mut filled = at;
        while filled < at + len {
            match decoder.read(&mut out.out[filled..]) {
                Ok(0) => {
                    out.out.truncate(filled);
                    return Ok(());
                }
                Ok(read) => filled += read,
                Err(error) => return Err(Fault::bad(error)),
            }
        }
        step = out.out.len();
    }
}
