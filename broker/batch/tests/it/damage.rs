//! Damage: every bit of a 4 KiB batch flipped, and every batch cut at every byte. All of it is detected or harmless, and
//! nothing panics (T6b, BA-1).

use millstream_batch::{
    BatchBuilder, BatchConfig, BatchView, Codec, Decompressor, HeaderView, Limits, RecordRef, batches,
    validate_for_append, validate_with,
};

fn four_kib(codec: Codec) -> Vec<u8> {
    let config = BatchConfig { codec, batch_bytes_max: usize::MAX, ..BatchConfig::default() };
    let mut builder = BatchBuilder::new(config);
    let mut i = 0u32;
    let mut state = 1u32;
    while builder.estimated_size() < 4_000 {
        // Values that do not compress, so that the batch stays at about 4 KiB in every codec.
        let value: Vec<u8> = (0..90)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let headers = [HeaderView { key: b"origin", value: Some(b"x") }];
        let key = i.to_be_bytes();
        let record = RecordRef { timestamp: 5, key: Some(&key), value: Some(&value), headers: &headers };
        builder.append(&record).unwrap();
        i += 1;
    }
    builder.build().unwrap().to_vec()
}

#[test]
fn every_flipped_bit_of_a_4_kib_batch_is_detected_or_harmless() {
    for codec in Codec::ALL {
        let good = four_kib(codec);
        let limits = Limits::default();
        let mut scratch = Decompressor::new(1 << 20);
        let expected = validate_with(&good, &limits, &mut scratch).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            match validate_with(&bad, &limits, &mut scratch) {
                Err(_) => {}
                Ok(summary) => {
                    // Harmless: base offset and leader epoch, which the leader writes over.
                    assert!(bit / 8 < 8 || (12..16).contains(&(bit / 8)), "{codec}: bit {bit} went unseen");
                    assert_eq!(summary, expected);
                }
            }
        }
    }
}

#[test]
fn without_a_checksum_damage_still_never_panics() {
    for codec in Codec::ALL {
        let good = four_kib(codec);
        let mut scratch = Decompressor::new(1 << 20);
        // Through a codec a flip costs a decompression: a seventh of them there, at every bit of a byte in turn.
        let step = if codec == Codec::None { 1 } else { 7 };
        for bit in (0..good.len() * 8).step_by(step) {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            for batch in batches(&bad).flatten() {
                if let Ok(records) = batch.records(&mut scratch) {
                    for record in records.flatten() {
                        std::hint::black_box(record.headers.count());
                    }
                }
            }
        }
    }
}

#[test]
fn a_batch_cut_at_any_byte_is_torn() {
    for codec in Codec::ALL {
        let good = four_kib(codec);
        let two = [&good[..], &good[..]].concat();
        for cut in 0..two.len() {
            assert!(cut == good.len() || validate_for_append(&two[..cut], &Limits::default()).is_err());
            let mut walk = batches(&two[..cut]);
            let whole = walk.by_ref().filter(Result::is_ok).count();
            assert_eq!((whole, walk.position()), (cut / good.len(), cut / good.len() * good.len()));
        }
        // The payload cut: the codec's own error, or a record's.
        let batch = BatchView::parse(&good).unwrap();
        let mut scratch = Decompressor::new(1 << 20);
        for cut in 0..batch.payload().len() {
            match scratch.decompress(codec, &batch.payload()[..cut]) {
                Err(_) => {}
                Ok(bytes) => {
                    let mut records = millstream_batch::Records::new(batch.header(), bytes);
                    assert!(records.any(|record| record.is_err()), "{codec} cut at {cut} went unseen");
                }
            }
        }
    }
}
