//! How fast batches are checked, built, read and (de)compressed, in MB/s of uncompressed record bytes, beside what
//! memcpy does in the same run: `cargo bench -p millstream-batch`. Owns no code of the crate; figures go to
//! docs/internals/measurements.md with the machine and the profile that gave them.

use std::hint::black_box;
// A benchmark is a shell: it may read a clock.
#[allow(clippy::disallowed_types)]
use std::time::Instant;

use bytes::Bytes;
use millstream_batch::{
    BatchBuilder, BatchConfig, BatchView, Codec, Compressor, Decompressor, Depth, Level, Limits, RecordRef,
    crc, validate_with,
};

/// The best of several rounds, in MB/s: other processes only ever make a round slower.
#[allow(clippy::disallowed_types)]
fn rate<T>(bytes: usize, mut work: impl FnMut() -> T) -> f64 {
    black_box(work());
    let rounds = 7;
    let mut best = f64::MAX;
    for _ in 0..rounds {
        let mut times = 0u32;
        let start = Instant::now();
        while start.elapsed().as_millis() < 60 {
            black_box(work());
            times += 1;
        }
        best = best.min(start.elapsed().as_secs_f64() / f64::from(times));
    }
    bytes as f64 / best / 1e6
}

/// Invoices like those of the example pipeline: about 680 bytes of JSON, no two alike.
fn invoices(count: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut state = 42u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    (0..count)
        .map(|i| {
            let store = next(400);
            let lines: Vec<String> = (0..6)
                .map(|line| {
                    format!(
                        r#"{{"line":{line},"sku":"SKU-{:06}","quantity":{},"unit_price":"{}.{:02}"}}"#,
                        next(20_000),
                        1 + next(9),
                        next(200),
                        next(100)
                    )
                })
                .collect();
            let value = format!(
                r#"{{"invoice_id":"INV-{i:010}","store":"S{store:04}","counter":{},"issued_at":"2026-03-{:02}T{:02}:{:02}:{:02}Z","customer":"C{:08}","currency":"EUR","total":"{}.{:02}","lines":[{}]}}"#,
                next(5), 1 + next(28), next(24), next(60), next(60), next(10_000_000), next(2_000), next(100),
                lines.join(",")
            );
            (format!("S{store:04}").into_bytes(), value.into_bytes())
        })
        .collect()
}

fn build(codec: Codec, records: &[(Vec<u8>, Vec<u8>)], compressor: &mut Compressor) -> Bytes {
    let mut builder =
        BatchBuilder::new(BatchConfig { codec, batch_bytes_max: usize::MAX, ..BatchConfig::default() });
    for (i, (key, value)) in records.iter().enumerate() {
        let record =
            RecordRef { timestamp: 1_000 + i as i64, key: Some(key), value: Some(value), headers: &[] };
        builder.append(&record).expect("a batch below 2^31 bytes");
    }
    builder.build_with(compressor).expect("a batch that builds")
}

fn main() {
    println!("crc32c runs on {}", crc::implementation());
    for (name, count) in [("64 KB", 94), ("1 MB", 1_480)] {
        let records = invoices(count);
        let mut compressor = Compressor::default();
        let mut scratch = Decompressor::new(16 << 20);
        let plain = build(Codec::None, &records, &mut compressor);
        let size = plain.len();
        println!("\nbatch of {name}: {size} bytes, {count} records");
        let mut copy = vec![0u8; size];
        let memcpy = rate(size, || copy.copy_from_slice(black_box(&plain)));
        let line =
            |what: &str, rate: f64| println!("{what:28} {rate:10.0} MB/s {:8.3} of memcpy", rate / memcpy);
        line("memcpy", memcpy);
        line("crc32c", rate(size, || crc::crc32c(black_box(&plain))));
        let limits = Limits { batch_bytes_max: usize::MAX, ..Limits::default() };
        let header_only = Limits { depth: Depth::Header, ..limits.clone() };
        line(
            "validate, header and crc",
            rate(size, || validate_with(&plain, &header_only, &mut scratch).expect("good")),
        );
        line(
            "validate, every record",
            rate(size, || validate_with(&plain, &limits, &mut scratch).expect("good")),
        );
        line("build", rate(size, || build(Codec::None, &records, &mut compressor)));
        line(
            "read every record",
            rate(size, || {
                let batch = BatchView::parse(&plain).expect("good");
                let bytes: usize = batch
                    .records(&mut scratch)
                    .expect("good")
                    .map(|record| record.expect("good").value.map_or(0, <[u8]>::len))
                    .sum();
                black_box(bytes);
            }),
        );
        for codec in &Codec::ALL[1..] {
            let packed = build(*codec, &records, &mut compressor);
            println!("  {codec}: {} bytes, ratio {:.2}", packed.len(), size as f64 / packed.len() as f64);
            line("  build", rate(size, || build(*codec, &records, &mut compressor)));
            let payload = &plain[61..];
            line(
                "  compress",
                rate(size, || {
                    let mut out = Vec::with_capacity(size);
                    compressor.compress(*codec, Level::Default, payload, &mut out).expect("it compresses");
                    black_box(out);
                }),
            );
            line(
                "  decompress",
                rate(size, || {
                    black_box(scratch.decompress(*codec, &packed[61..]).expect("good").len());
                }),
            );
            line(
                "  validate, every record",
                rate(size, || validate_with(&packed, &limits, &mut scratch).expect("good")),
            );
        }
    }
}
