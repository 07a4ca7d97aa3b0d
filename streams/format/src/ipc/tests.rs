//! Records of Arrow against arrow-ipc, which writes and reads them in its own way: each rule of types as data, drawn rows in
//! both directions, streams of all that is passed over, damage, and what claims to be larger than it is.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema, TimeUnit, UnionFields, i256};
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use millstream_types::{Rng, SeededRng};

use crate::json::JsonRows;
use crate::{Decoder, Encoder, Format};

fn written(batches: &[RecordBatch], compression: Option<CompressionType>) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(compression).expect("a codec");
    let mut out = Vec::new();
    let mut writer =
        StreamWriter::try_new_with_options(&mut out, &batches[0].schema(), options).expect("a stream");
    batches.iter().for_each(|batch| writer.write(batch).expect("a batch"));
    writer.finish().expect("its end");
    drop(writer);
    out
}

fn of(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .expect("a batch")
}

fn decoder(columns: &Schema) -> Decoder {
    let all: Vec<usize> = (0..columns.fields().len()).collect();
    Decoder::new(&Format::Arrow, columns, &all).expect("a decoder")
}

/// The rows of a record as JSON, or what is wrong with it.
fn read(columns: &Schema, record: &[u8]) -> Result<Vec<String>, String> {
    let mut decoder = decoder(columns);
    decoder.push(record).map_err(|bad| bad.to_string())?;
    let batch = decoder.finish();
    let rows = JsonRows::new(&batch);
    let row = |row| {
        let mut out = Vec::new();
        rows.write(row, &mut out);
        String::from_utf8(out).expect("text")
    };
    Ok((0..batch.num_rows()).map(row).collect())
}

fn one(kind: DataType, nullable: bool) -> Schema {
    Schema::new(vec![Field::new("a", kind, nullable)])
}

fn utc(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, Some("UTC".into()))
}

#[test]
fn values_are_taken_where_no_digit_is_lost() {
    let array = |array: &dyn Array| make_array(array.to_data());
    let text = || DataType::Utf8;
    let millis = || utc(TimeUnit::Millisecond);
    let decimal = |scale| DataType::Decimal128(10, scale);
    let map = {
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
        map.keys().append_value("x");
        map.values().append_value(1);
        map.append(true).expect("an entry");
        map.finish()
    };
    let pair =
        Fields::from(vec![Field::new("key", text(), false), Field::new("value", DataType::Int64, true)]);
    let list = |item: DataType| DataType::List(Arc::new(Field::new("item", item, true)));
    let parts = Fields::from(vec![Field::new("b", text(), false), Field::new("c", DataType::Int64, true)]);
    let structs = StructArray::from(vec![
        (Arc::new(Field::new("x", DataType::Boolean, true)), array(&BooleanArray::from(vec![true]))),
        (Arc::new(Field::new("b", text(), true)), array(&StringArray::from(vec!["y"]))),
    ]);
    let fixed = FixedSizeListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None])], 2);
    let lists = LargeListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None])]);
    let cases: Vec<(ArrayRef, DataType, Result<&str, &str>)> = vec![
        (array(&Int8Array::from(vec![-3])), DataType::Int64, Ok("-3")),
        (array(&UInt64Array::from(vec![7])), DataType::Int32, Ok("7")),
        (
            array(&UInt64Array::from(vec![u64::MAX])),
            DataType::Int64,
            Err("row 0: field a is not an integer of 64 bits"),
        ),
        (array(&UInt64Array::from(vec![u64::MAX])), DataType::Decimal128(20, 0), Ok("18446744073709551615")),
        (
            array(&Int64Array::from(vec![1 << 40])),
            DataType::Int32,
            Err("row 0: field a is not an integer of 32 bits"),
        ),
        (array(&Int64Array::from(vec![1 << 53])), DataType::Float64, Ok("9007199254740992.0")),
        (array(&Int64Array::from(vec![(1 << 53) + 1])), DataType::Float64, Err("not a finite number")),
        (array(&Int64Array::from(vec![12])), decimal(2), Ok("12.00")),
        (array(&Int64Array::from(vec![1_500])), millis(), Ok("\"1970-01-01T00:00:01.500Z\"")),
        (array(&Float32Array::from(vec![0.5])), DataType::Float64, Ok("0.5")),
        (
            array(&Float16Array::new(ScalarBuffer::new(Buffer::from_vec(vec![0xbe00u16]), 0, 1), None)),
            DataType::Float64,
            Ok("-1.5"),
        ),
        (array(&Float64Array::from(vec![f64::NAN])), DataType::Float64, Err("not a finite number")),
        (
            array(&Float64Array::from(vec![1.0])),
            DataType::Int64,
            Err("column a is of type float64, and int64 is declared"),
        ),
        (
            array(&Decimal128Array::from(vec![1_500]).with_precision_and_scale(10, 3).expect("a decimal")),
            decimal(1),
            Ok("1.5"),
        ),
        (
            array(&Decimal128Array::from(vec![1_505]).with_precision_and_scale(10, 3).expect("a decimal")),
            decimal(2),
            Err("field a is not a decimal number"),
        ),
        (
            array(&Decimal32Array::from(vec![-5]).with_precision_and_scale(5, 1).expect("a decimal")),
            decimal(1),
            Ok("-0.5"),
        ),
        (
            array(
                &Decimal256Array::from(vec![i256::from_i128(-25)])
                    .with_precision_and_scale(50, 1)
                    .expect("a decimal"),
            ),
            decimal(1),
            Ok("-2.5"),
        ),
        (
            array(&Decimal256Array::from(vec![i256::from_i128(i128::MAX).wrapping_mul(i256::from_i128(4))])),
            decimal(1),
            Err("not a decimal number"),
        ),
        (array(&StringArray::from(vec!["1.25"])), decimal(2), Ok("1.25")),
        (array(&LargeStringArray::from(vec!["é"])), text(), Ok("\"é\"")),
        (
            array(&StringViewArray::from(vec!["one that is longer than twelve bytes"])),
            text(),
            Ok("\"one that is longer than twelve bytes\""),
        ),
        (array(&StringViewArray::from(vec!["short"])), text(), Ok("\"short\"")),
        (array(&vec![Some("d")].into_iter().collect::<DictionaryArray<Int32Type>>()), text(), Ok("\"d\"")),
        (
            array(&vec![Some("d")].into_iter().collect::<DictionaryArray<arrow::datatypes::UInt8Type>>()),
            text(),
            Ok("\"d\""),
        ),
        (array(&BinaryArray::from(vec![&b"b"[..]])), text(), Ok("\"b\"")),
        (array(&BinaryArray::from(vec![&b"\xff"[..]])), text(), Err("field a is not a string")),
        (array(&LargeBinaryArray::from(vec![&b"\xff"[..]])), DataType::Binary, Ok("\"/w==\"")),
        (array(&BinaryViewArray::from(vec![&b"\xff"[..]])), DataType::Binary, Ok("\"/w==\"")),
        (
            array(&FixedSizeBinaryArray::try_from_iter([[255u8]].into_iter()).expect("bytes")),
            DataType::Binary,
            Ok("\"/w==\""),
        ),
        (array(&StringArray::from(vec!["2026-01-31"])), DataType::Date32, Ok("\"2026-01-31\"")),
        (array(&Date32Array::from(vec![31])), DataType::Date32, Ok("\"1970-02-01\"")),
        (array(&Date64Array::from(vec![-1])), DataType::Date32, Ok("\"1969-12-31\"")),
        (array(&TimestampSecondArray::from(vec![2])), millis(), Ok("\"1970-01-01T00:00:02.000Z\"")),
        (
            array(&TimestampMillisecondArray::from(vec![2]).with_timezone("Asia/Kolkata")),
            utc(TimeUnit::Microsecond),
            Ok("\"1970-01-01T00:00:00.002000Z\""),
        ),
        (array(&TimestampNanosecondArray::from(vec![-1])), millis(), Ok("\"1969-12-31T23:59:59.999Z\"")),
        (array(&TimestampSecondArray::from(vec![i64::MAX])), millis(), Err("within the years 1 to 9999")),
        (
            array(&StringArray::from(vec!["2026-01-31T00:00:00Z"])),
            millis(),
            Ok("\"2026-01-31T00:00:00.000Z\""),
        ),
        (
            array(&Date32Array::from(vec![31])),
            millis(),
            Err("column a is of type date32, and timestamp_ms is declared"),
        ),
        (array(&BooleanArray::from(vec![true])), DataType::Boolean, Ok("true")),
        (array(&NullArray::new(1)), DataType::Int64, Ok("null")),
        (array(&lists), list(DataType::Int64), Ok("[1,null]")),
        (array(&fixed), list(DataType::Int64), Ok("[1,null]")),
        (array(&fixed), list(text()), Err("column a is of type int32, and string is declared")),
        (array(&map), list(DataType::Struct(pair)), Ok(r#"[{"key":"x","value":1}]"#)),
        (array(&structs), DataType::Struct(parts), Ok(r#"{"b":"y","c":null}"#)),
        (
            array(&Time64MicrosecondArray::from(vec![1])),
            DataType::Int64,
            Err("column a is of type time, and int64 is declared"),
        ),
    ];
    for (array, kind, wanted) in cases {
        let record = written(&[of(vec![("a", array.clone())])], None);
        let found = read(&one(kind.clone(), true), &record);
        match wanted {
            Ok(value) => assert_eq!(found, Ok(vec![format!("{{\"a\":{value}}}")]), "{array:?} as {kind}"),
            Err(why) => {
                let found = found.expect_err("a refusal");
                assert!(found.contains(why), "{array:?} as {kind}: {found}");
            }
        }
    }
}

#[test]
fn columns_meet_fields_by_name_and_required_ones_are_there() {
    let int = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let columns = Schema::new(vec![
        Field::new("b", DataType::Int64, false),
        Field::new("none", DataType::Utf8, true),
        Field::new("a", DataType::Int64, true),
    ]);
    let two = of(vec![
        ("a", int(vec![None, Some(2)])),
        ("x", int(vec![None, None])),
        ("b", int(vec![Some(1), Some(3)])),
    ]);
    let rows = read(&columns, &written(&[two.clone(), two.slice(1, 1), two.slice(0, 0)], None));
    let wanted =
        [r#"{"b":1,"none":null,"a":null}"#, r#"{"b":3,"none":null,"a":2}"#, r#"{"b":3,"none":null,"a":2}"#];
    assert_eq!(rows.expect("rows"), wanted);
    let gap = of(vec![("b", int(vec![Some(1), None]))]);
    let bad = read(&columns, &written(&[two.slice(0, 1).project(&[2]).expect("b"), gap], None));
    assert!(bad.expect_err("a null").contains("row 2: required field b is missing"));
    let without = written(&[of(vec![("a", int(vec![Some(1)]))])], None);
    assert_eq!(read(&columns, &without).expect_err("no b"), "required field b is missing (at byte 0)");
    let twice =
        Schema::new(vec![Field::new("b", DataType::Int64, true), Field::new("b", DataType::Int64, true)]);
    let twice =
        RecordBatch::try_new(Arc::new(twice), vec![int(vec![None]), int(vec![None])]).expect("a batch");
    assert!(
        read(&columns, &written(&[twice], None)).expect_err("two").contains("several columns of the name b")
    );
    // No rows are rows, of a stream that says no more than its columns too.
    let mut stream = written(&[two.slice(0, 0)], None);
    assert_eq!(read(&columns, &stream), Ok(Vec::new()));
    stream.extend(b"more");
    assert!(read(&columns, &stream).expect_err("more").contains("4 bytes behind the end"));
    for nothing in [&b""[..], b"{\"b\":1}", b"\0\0\0\0", b"\xff\xff\xff\xff"] {
        read(&columns, nothing).expect_err("no stream");
    }
    // A refused record leaves nothing behind.
    let mut decoder = decoder(&columns);
    decoder.push(&written(std::slice::from_ref(&two), None)).expect("rows");
    decoder.push(&without).expect_err("no b");
    assert_eq!((decoder.rows(), decoder.finish().num_rows()), (2, 2));
}

#[test]
fn what_no_column_names_is_passed_over() {
    let rows = 3;
    let ints = || Arc::new(Int32Array::from(vec![1, 2, 3])) as ArrayRef;
    let union = |offsets: Option<ScalarBuffer<i32>>| {
        let fields = UnionFields::try_new([0], [Field::new("i", DataType::Int32, true)]).expect("fields");
        let kinds = ScalarBuffer::from(vec![0i8; rows]);
        Arc::new(UnionArray::try_new(fields, kinds, offsets, vec![ints()]).expect("a union")) as ArrayRef
    };
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    let views = ListViewArray::try_new(item, vec![0, 0, 1].into(), vec![3, 0, 1].into(), ints(), None);
    let runs =
        RunArray::<Int32Type>::try_new(&Int32Array::from(vec![1, 3]), &StringArray::from(vec!["a", "b"]));
    let long = "a text that is longer than twelve bytes";
    let passed: Vec<(&str, ArrayRef)> = vec![
        ("null", Arc::new(NullArray::new(rows))),
        ("sparse", union(None)),
        ("dense", union(Some(vec![0, 1, 2].into()))),
        ("runs", Arc::new(runs.expect("runs"))),
        ("views", Arc::new(views.expect("views"))),
        ("text", Arc::new(StringViewArray::from(vec![long, "b", long]))),
        ("time", Arc::new(Time32SecondArray::from(vec![1, 2, 3]))),
        ("span", Arc::new(DurationSecondArray::from(vec![1, 2, 3]))),
        ("known", Arc::new(vec!["a", "b", "a"].into_iter().collect::<DictionaryArray<Int32Type>>())),
        ("fixed", Arc::new(FixedSizeBinaryArray::try_from_iter([[1u8; 5]; 3].into_iter()).expect("bytes"))),
        ("last", ints()),
    ];
    let columns = Schema::new(vec![Field::new("last", DataType::Int64, false)]);
    for compression in [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)] {
        let record = written(&[of(passed.clone())], compression);
        let wanted = [1, 2, 3].map(|at| format!("{{\"last\":{at}}}"));
        assert_eq!(read(&columns, &record).expect("rows"), wanted);
    }
}

/// Drawn rows of every type that columns have.
fn drawn(rng: &mut SeededRng, rows: usize) -> RecordBatch {
    let mut maybe = {
        let mut rng = SeededRng::new(rng.next_u64());
        move || !rng.next_u64().is_multiple_of(4)
    };
    let mut number = |within: u64| (rng.next_u64() % (2 * within)) as i64 - within as i64;
    let texts = ["", "naïve ☂", "null", "a text that is longer than twelve bytes", "b"];
    let mut ints =
        |within: u64| -> Vec<Option<i64>> { (0..rows).map(|_| maybe().then(|| number(within))).collect() };
    let text: Vec<Option<&str>> =
        ints(5).iter().map(|n| n.map(|n| texts[n.unsigned_abs() as usize % 5])).collect();
    let (small, time, days) = (ints(1_000), ints(EVENT_MS), ints(700_000));
    let ends: Vec<usize> = ints(3).iter().map(|n| n.unwrap_or(0).unsigned_abs() as usize).collect();
    let items: usize = ends.iter().sum();
    let item = Field::new("item", DataType::Utf8, true);
    let items = StringArray::from_iter((0..items).map(|at| (at % 3 > 0).then(|| texts[at % 5])));
    let lists = ListArray::new(Arc::new(item), OffsetBuffer::from_lengths(ends), Arc::new(items), None);
    let parts: Vec<(Arc<Field>, ArrayRef)> = vec![
        (
            Arc::new(Field::new("b", DataType::Boolean, true)),
            Arc::new(BooleanArray::from_iter(small.iter().map(|n| n.map(|n| n > 0)))),
        ),
        (Arc::new(Field::new("t", DataType::Utf8, true)), Arc::new(StringArray::from(text.clone()))),
    ];
    let (fields, parts): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let valid = NullBuffer::from(small.iter().map(Option::is_some).collect::<Vec<bool>>());
    let structs = StructArray::new(fields.into(), parts, Some(valid).filter(|valid| valid.null_count() > 0));
    of(vec![
        ("text", Arc::new(StringArray::from(text.clone()))),
        ("bytes", Arc::new(BinaryArray::from_iter(text.iter().map(|t| t.map(str::as_bytes))))),
        ("int", Arc::new(Int32Array::from_iter(small.iter().map(|n| n.map(|n| n as i32))))),
        ("long", Arc::new(Int64Array::from(time.clone()))),
        ("float", Arc::new(Float64Array::from_iter(days.iter().map(|n| n.map(|n| n as f64 / 8.0))))),
        ("flag", Arc::new(BooleanArray::from_iter(days.iter().map(|n| n.map(|n| n > 0))))),
        ("at", Arc::new(TimestampMillisecondArray::from(time.clone()).with_timezone("UTC"))),
        ("at_us", Arc::new(TimestampMicrosecondArray::from(time).with_timezone("UTC"))),
        ("day", Arc::new(Date32Array::from_iter(days.iter().map(|n| n.map(|n| n as i32))))),
        (
            "money",
            Arc::new(
                Decimal128Array::from_iter(small.iter().map(|n| n.map(i128::from)))
                    .with_precision_and_scale(18, 2)
                    .expect("a decimal"),
            ),
        ),
        ("list", Arc::new(lists)),
        ("struct", Arc::new(structs)),
    ])
}

/// Fifty years.
const EVENT_MS: u64 = 1_600_000_000_000;

fn seeds() -> u64 {
    std::env::var("MILLSTREAM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(40)
}

#[test]
fn drawn_rows_come_back_from_both_sides() {
    let compressions = [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)];
    for seed in 0..seeds() {
        let mut rng = SeededRng::new(seed);
        let batches: Vec<RecordBatch> = (0..1 + rng.next_u64() % 3)
            .map(|_| {
                let rows = (rng.next_u64() % 50) as usize;
                drawn(&mut rng, rows)
            })
            .collect();
        let whole = arrow::compute::concat_batches(&batches[0].schema(), &batches).expect("one batch");
        let schema = whole.schema();
        let mut decoder = decoder(&schema);
        // Theirs, read by us; in several records too.
        decoder.push(&written(&batches, compressions[seed as usize % 3])).expect("rows");
        assert_eq!(decoder.finish(), whole, "seed {seed}");
        batches
            .iter()
            .for_each(|batch| decoder.push(&written(std::slice::from_ref(batch), None)).expect("rows"));
        assert_eq!(decoder.finish(), whole, "seed {seed}, in records");
        // Ours, read by them and by us, as a whole and row by row.
        let encoder = Encoder::new(&Format::Arrow, "rows", &schema).expect("an encoder");
        assert!(encoder.is_of_many());
        let mut out = Vec::new();
        super::write(&whole, &mut out).expect("a record");
        let back: Vec<RecordBatch> = StreamReader::try_new(out.as_slice(), None)
            .expect("a stream")
            .map(|b| b.expect("a batch"))
            .collect();
        assert_eq!(back, std::slice::from_ref(&whole), "seed {seed}");
        let rows = encoder.rows(&whole);
        for row in 0..whole.num_rows() {
            out.clear();
            rows.write(row, &mut out).expect("a record");
            decoder.push(&out).expect("a row");
        }
        assert_eq!(decoder.finish(), whole, "seed {seed}, row by row");
    }
}

#[test]
fn damage_is_a_bad_record_and_nothing_else() {
    for seed in 0..seeds() {
        let mut rng = SeededRng::new(seed);
        let rows = 1 + (rng.next_u64() % 8) as usize;
        let batch = drawn(&mut rng, rows);
        let known: DictionaryArray<Int32Type> = (0..rows).map(|at| ["a", "b"][at % 2]).collect();
        let long = StringViewArray::from_iter_values((0..rows).map(|at| "view".repeat(at + 1)));
        let mut columns: Vec<(String, ArrayRef)> =
            vec![("known".to_owned(), Arc::new(known)), ("view".to_owned(), Arc::new(long))];
        let fields = batch.schema();
        columns.extend(fields.fields().iter().map(|f| f.name().clone()).zip(batch.columns().iter().cloned()));
        let batch = of(columns.iter().map(|(name, array)| (name.as_str(), array.clone())).collect());
        let compression =
            [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)][seed as usize % 3];
        let record = written(&[batch.clone(), batch.clone()], compression);
        let mut fields: Vec<Field> = fields.fields().iter().map(|field| field.as_ref().clone()).collect();
        fields.extend(["known", "view"].map(|name| Field::new(name, DataType::Utf8, true)));
        let schema = Schema::new(fields);
        let mut decoder = decoder(&schema);
        let mut try_one = |bytes: &[u8]| {
            // Columns that were made of it are valid by Arrow's own check, texts among them.
            let taken = decoder.push(bytes).is_ok();
            let rows = decoder.rows();
            assert!(rows <= bytes.len() * 8 + (1 << 20) && (taken || rows == 0), "seed {seed}: {rows} rows");
            decoder
                .finish()
                .columns()
                .iter()
                .for_each(|column| column.to_data().validate_full().expect("an array"));
        };
        for cut in 0..record.len() {
            if seed < 3 || rng.next_u64().is_multiple_of(32) {
                try_one(&record[..cut]);
            }
        }
        for _ in 0..150 {
            let mut bytes = record.clone();
            for _ in 0..1 + rng.next_u64() % 3 {
                let at = (rng.next_u64() % bytes.len() as u64) as usize;
                bytes[at] = match rng.next_u64() % 3 {
                    0 => bytes[at] ^ 1 << (rng.next_u64() % 8),
                    1 => rng.next_u64() as u8,
                    _ => [0, 0x7f, 0x80, 0xff][(rng.next_u64() % 4) as usize],
                };
            }
            try_one(&bytes);
        }
    }
}

#[test]
fn a_record_grows_no_further_than_its_size_lets_it() {
    let columns =
        Schema::new(vec![Field::new("a", DataType::Utf8, true), Field::new("b", DataType::Int64, true)]);
    let empty = Arc::new(Schema::empty());
    let options = RecordBatchOptions::new().with_row_count(Some(1 << 40));
    let rowless = RecordBatch::try_new_with_options(empty, Vec::new(), &options).expect("a batch");
    let nulls = of(vec![("a", Arc::new(NullArray::new(1 << 30)) as ArrayRef)]);
    for batch in [rowless, nulls] {
        let bad = read(&columns, &written(&[batch], None)).expect_err("rows without bytes");
        assert!(bad.contains("1048576 at most, and one for each of its bits"), "{bad}");
    }
    // A text that stands a hundred thousand times for its hundred kilobytes; a body that is packed to nothing.
    let long = "x".repeat(100_000);
    let keys = Int32Array::from(vec![0; 100_000]);
    let dictionary = DictionaryArray::new(keys, Arc::new(StringArray::from(vec![long.as_str()])));
    let grown = written(&[of(vec![("a", Arc::new(dictionary) as ArrayRef)])], None);
    let packed = of(vec![("b", Arc::new(Int64Array::from(vec![7; 5_000_000])) as ArrayRef)]);
    for record in [grown, written(&[packed], Some(CompressionType::ZSTD))] {
        let bad = read(&columns, &record).expect_err("more than it may be");
        assert!(bad.contains("it grows to more than"), "{bad}");
    }
    // What is as large as other records are is read.
    let packed = of(vec![("b", Arc::new(Int64Array::from(vec![7; 500_000])) as ArrayRef)]);
    let mut decoder = decoder(&columns);
    decoder.push(&written(&[packed], Some(CompressionType::ZSTD))).expect("rows");
    assert!(decoder.rows() == 500_000 && decoder.input_bytes() > 4_000_000, "{}", decoder.input_bytes());
}
