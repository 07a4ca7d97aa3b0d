//! Bombs: a few bytes that claim or become megabytes. Each stops at the bound, and what is held meanwhile stays below the
//! bound plus 1 MiB (T7, BA-1). A counting allocator measures it; zstd's own C allocations (a context of a fixed size)
//! are not in its count.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use millstream_batch::{BatchError, Codec, Compressor, Decompressor, Level};

struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // A thread that is being torn down has no counters any more.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        PEAK.with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: every call is handed on unchanged to the system's allocator.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller's promise is the system allocator's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const LIMIT: usize = 4 << 20;
const MIB: isize = 1 << 20;

/// Decompresses with the bound, and returns the result and the most bytes held beyond what was held before.
fn measured(codec: Codec, bytes: &[u8]) -> (Result<usize, BatchError>, isize) {
    let before = HELD.with(Cell::get);
    PEAK.with(|peak| peak.set(before));
    let mut scratch = Decompressor::new(LIMIT);
    let result = scratch.decompress(codec, bytes).map(<[u8]>::len);
    (result, PEAK.with(Cell::get) - before)
}

fn compressed(codec: Codec, level: Level, len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::default().compress(codec, level, &vec![0u8; len], &mut out).unwrap();
    out
}

#[test]
fn bombs_stop_at_the_bound() {
    // gzip and zstd reach 1000:1 with a plain stream of zeros; lz4 and snappy cannot stand for so much (255:1 and 21:1
    // at most), so theirs are as large as they get, and others lie about their length.
    let huge = 64 << 20;
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bomb = compressed(codec, Level::Default, huge);
        if matches!(codec, Codec::Gzip | Codec::Zstd) {
            assert!(huge / bomb.len() >= 1_000, "{codec}: {} bytes", bomb.len());
        }
        let (result, peak) = measured(codec, &bomb);
        assert_eq!(result, Err(BatchError::UncompressedTooLarge { codec, max: LIMIT }));
        assert!(peak <= LIMIT as isize + MIB, "{codec} held {peak} bytes");
        // Exactly the bound is taken; a byte more is not.
        let (result, peak) = measured(codec, &compressed(codec, Level::Default, LIMIT));
        assert_eq!(result, Ok(LIMIT), "{codec}");
        assert!(peak <= LIMIT as isize + MIB, "{codec} held {peak} bytes");
        let (result, _) = measured(codec, &compressed(codec, Level::Default, LIMIT + 1));
        assert_eq!(result, Err(BatchError::UncompressedTooLarge { codec, max: LIMIT }));
    }
}

#[test]
fn a_length_that_is_only_claimed_allocates_little() {
    // A raw snappy block that claims 2^32 - 1 bytes, one that claims the bound, and a framed block of 2^32 - 1 bytes.
    let framed = [&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01"[..], &[0xff, 0xff, 0xff, 0xff], b"abc"].concat();
    // A zstd frame header: single segment, content size of 4 MiB (bound) in 4 bytes, and one byte of rest.
    let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0x40, 0, 0x01];
    // The same with a content size of 8 bytes, all ones.
    let zstd_huge = [0x28, 0xb5, 0x2f, 0xfd, 0xe0, 255, 255, 255, 255, 255, 255, 255, 127, 0x01];
    // A zstd frame with a window of 128 MiB and nothing in it.
    let zstd_window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x01, 0, 0];
    // An lz4 frame with blocks of 4 MiB and a block that says it has them.
    let mut lz4 = vec![0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73];
    lz4.extend_from_slice(&(4u32 << 20).to_le_bytes());
    lz4.push(0);
    for (name, codec, bytes) in [
        ("raw 4 GiB", Codec::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0][..]),
        ("raw 4 MiB", Codec::Snappy, &[0x80, 0x80, 0x80, 0x02, 0]),
        ("framed 4 GiB", Codec::Snappy, &framed),
        ("zstd 4 MiB", Codec::Zstd, &zstd),
        ("zstd 2^63", Codec::Zstd, &zstd_huge),
        ("zstd window", Codec::Zstd, &zstd_window),
        ("lz4 block", Codec::Lz4, &lz4),
        ("nothing", Codec::Gzip, &[]),
    ] {
        let (result, peak) = measured(codec, bytes);
        assert!(result.is_err() || matches!(result, Ok(0)), "{name}: {result:?}");
        assert!(peak < MIB / 4, "{name} held {peak} bytes");
    }
}

#[test]
fn a_zstd_stream_without_a_content_size_is_bounded_too() {
    use std::io::Write;
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 19).unwrap();
    let zeros = vec![0u8; 1 << 20];
    for _ in 0..32 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!((32 << 20) / bomb.len() >= 1_000);
    let (result, peak) = measured(Codec::Zstd, &bomb);
    assert_eq!(result, Err(BatchError::UncompressedTooLarge { codec: Codec::Zstd, max: LIMIT }));
    assert!(peak <= LIMIT as isize + MIB, "{peak}");
}
