//! Random batches: what is appended comes back, in order, duplicate header keys included (BA-3), and random bytes never
//! panic (BA-1).

use millstream_batch::{
    Append, BatchBuilder, BatchConfig, BatchView, Codec, Decompressor, HeaderView, Level, Limits, RecordRef,
    batches, validate_for_append,
};
use proptest::prelude::*;

type Field = Option<Vec<u8>>;

#[derive(Clone, Debug)]
struct Model {
    timestamp: i64,
    gap: u8,
    key: Field,
    value: Field,
    headers: Vec<(Vec<u8>, Field)>,
}

fn field(most: usize) -> impl Strategy<Value = Field> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..most))
}

fn record() -> impl Strategy<Value = Model> {
    // Keys of one letter out of three: duplicates are the rule.
    let headers = proptest::collection::vec(("[abc]".prop_map(String::into_bytes), field(10)), 0..6);
    (any::<i64>(), 0..5u8, field(20), field(300), headers)
        .prop_map(|(timestamp, gap, key, value, headers)| Model { timestamp, gap, key, value, headers })
}

fn codec() -> impl Strategy<Value = Codec> {
    (0..5u8).prop_map(|id| Codec::from_id(id).unwrap())
}

fn views(headers: &[(Vec<u8>, Field)]) -> Vec<HeaderView<'_>> {
    headers.iter().map(|(key, value)| HeaderView { key, value: value.as_deref() }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_is_built_is_accepted_and_comes_back(
        records in proptest::collection::vec(record(), 1..40), codec in codec(), level in -3..12i32,
    ) {
        let config = BatchConfig { codec, level: Level::Of(level), batch_bytes_max: usize::MAX, ..BatchConfig::default() };
        let mut builder = BatchBuilder::new(config);
        for record in &records {
            let headers = views(&record.headers);
            let record = RecordRef {
                timestamp: record.timestamp, key: record.key.as_deref(), value: record.value.as_deref(), headers: &headers,
            };
            let most = BatchBuilder::record_bytes_max(record.key, record.value, record.headers);
            let before = builder.uncompressed_size();
            let added = matches!(builder.append(&record), Ok(Append::Added { .. }));
            prop_assert!(added);
            prop_assert!(builder.uncompressed_size() - before <= most);
        }
        let bytes = builder.build().unwrap();
        let limits = Limits { timestamp_after_ms_max: i64::MAX, ..Limits::default() };
        let summary = validate_for_append(&bytes, &limits).unwrap();
        prop_assert_eq!(summary.record_count as usize, records.len());
        prop_assert!(!summary.max_timestamp_differs);
        let mut scratch = Decompressor::new(1 << 22);
        let batch = BatchView::parse(&bytes).unwrap();
        let mut read = batch.records(&mut scratch).unwrap();
        for (i, record) in records.iter().enumerate() {
            let view = read.next().unwrap().unwrap();
            prop_assert_eq!((view.offset, view.timestamp), (i as i64, record.timestamp));
            prop_assert_eq!((view.key, view.value), (record.key.as_deref(), record.value.as_deref()));
            prop_assert_eq!(view.headers.collect::<Vec<_>>(), views(&record.headers));
            let last = record.headers.iter().rev().find(|(key, _)| key == b"b").map(|(_, value)| value.as_deref());
            prop_assert_eq!(view.headers.find_last("b").map(|header| header.value), last);
        }
        prop_assert!(read.next().is_none());
    }

    /// What compaction does: a batch read, some records left out, written again at their own offsets.
    #[test]
    fn records_are_copied_at_their_offsets(
        records in proptest::collection::vec(record(), 1..30), base in 0..1i64 << 50, codec in codec(),
    ) {
        let config = BatchConfig { base_offset: base, batch_bytes_max: usize::MAX, ..BatchConfig::default() };
        let mut builder = BatchBuilder::new(config.clone());
        let mut offset = base;
        let mut offsets = Vec::new();
        for record in &records {
            offset += i64::from(record.gap);
            let headers = views(&record.headers);
            let record = RecordRef {
                timestamp: record.timestamp, key: record.key.as_deref(), value: record.value.as_deref(), headers: &headers,
            };
            builder.append_at(offset, &record).unwrap();
            offsets.push(offset);
            offset += 1;
        }
        // An offset that was passed is refused.
        prop_assert!(builder.append_at(base, &RecordRef::default()).is_err());
        let first = builder.build().unwrap();
        let mut copy = BatchBuilder::new(BatchConfig { codec, ..config });
        let mut scratch = Decompressor::new(1 << 22);
        for view in BatchView::parse(&first).unwrap().records(&mut scratch).unwrap() {
            copy.append_view(&view.unwrap()).unwrap();
        }
        let second = copy.build().unwrap();
        let batch = BatchView::parse(&second).unwrap();
        let read: Vec<_> = batch.records(&mut scratch).unwrap().map(Result::unwrap).collect();
        prop_assert_eq!(read.iter().map(|view| view.offset).collect::<Vec<_>>(), offsets);
        prop_assert_eq!(batch.header().last_offset(), offset - 1);
        for (view, record) in read.iter().zip(&records) {
            prop_assert_eq!(view.headers.collect::<Vec<_>>(), views(&record.headers));
            prop_assert_eq!(view.timestamp, record.timestamp);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), codec in codec()) {
        let mut scratch = Decompressor::new(1 << 16);
        let _ = scratch.decompress(codec, &bytes);
        let _ = validate_for_append(&bytes, &Limits::default());
        for batch in batches(&bytes).flatten() {
            let _ = batch.records(&mut scratch).map(Iterator::count);
        }
    }
}
