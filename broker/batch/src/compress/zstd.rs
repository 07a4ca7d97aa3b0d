//! zstd (RFC 8878). A batch is decompressed in one call, into a buffer that doubles until it fits or the bound is reached:
//! the library then needs no window of its own, which a frame may declare as large as 128 MiB.

use zstd::zstd_safe::{self, CCtx, CParameter, DCtx, InBuffer, OutBuffer, compress_bound};

use super::{Bounded, Fault, Level};

/// `ZSTD_error_dstSize_tooSmall`, negated as the library returns it.
const OUTPUT_TOO_SMALL: usize = 0usize.wrapping_sub(70);

pub(super) struct Encoder {
    context: CCtx<'static>,
    level: i32,
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder { context: CCtx::create(), level: zstd::DEFAULT_COMPRESSION_LEVEL }
    }
}

impl Encoder {
    pub(super) fn compress(&mut self, level: Level, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let level = match level {
            Level::Default => zstd::DEFAULT_COMPRESSION_LEVEL,
            Level::Of(level) => level.clamp(zstd_safe::min_c_level(), zstd_safe::max_c_level()),
        };
        let name = |code: usize| zstd_safe::get_error_name(code).to_owned();
        if level != self.level {
            self.context.set_parameter(CParameter::CompressionLevel(level)).map_err(name)?;
            self.level = level;
        }
        self.context.set_pledged_src_size(Some(bytes.len() as u64)).map_err(name)?;
        let at = out.len();
        out.reserve(compress_bound(bytes.len()));
        let mut output = OutBuffer::around_pos(out, at);
        let mut input = InBuffer::around(bytes);
        self.context
            .compress_stream2(&mut output, &mut input, zstd_safe::zstd_sys::ZSTD_EndDirective::ZSTD_e_end)
            .map_err(name)
            .and_then(
                |left| {
                    if left == 0 { Ok(()) } else { Err("the output did not fit its own bound".to_owned()) }
                },
            )
    }
}

pub(super) struct Decoder {
    context: DCtx<'static>,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { context: DCtx::create() }
    }
}

impl Decoder {
    pub(super) fn decompress(&mut self, bytes: &[u8], out: &mut Bounded<'_>) -> Result<(), Fault> {
        // What the first frame says of itself is a hint: it cannot raise the bound.
        let mut guess = match zstd_safe::get_frame_content_size(bytes) {
            Ok(Some(size)) if size > out.max as u64 => return Err(Fault::TooLarge),
            Ok(Some(size)) => size as usize,
            Ok(None) => bytes.len().saturating_mul(4),
            Err(_) => return Err(Fault::bad("it does not begin with a zstd frame")),
        };
        // A frame of a few bytes may claim megabytes; they are given only when it has shown that it fills them.
        guess = guess.max(64 * 1024).min(bytes.len().saturating_mul(64).max(64 * 1024));
        loop {
            out.out.clear();
            out.reserve(guess);
            match self.context.decompress(out.out, bytes) {
                Ok(_) if out.out.len() > out.max => return Err(Fault::TooLarge),
                Ok(_) => return Ok(()),
                Err(OUTPUT_TOO_SMALL) if out.out.capacity() >= out.max => return Err(Fault::TooLarge),
                Err(OUTPUT_TOO_SMALL) => guess = out.out.capacity().saturating_mul(4),
                Err(code) => return Err(Fault::bad(zstd_safe::get_error_name(code))),
            }
        }
    }
}
