//! What is written, byte by byte and as `prost-reflect` reads it, and what is refused.

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int32Array, Int64Array, LargeStringArray, ListArray, NullArray, StringArray, StructArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
    UInt32Array, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType::*, Int64Type};
use prost_reflect::DynamicMessage;

use super::*;
use crate::Encoder;

fn arc(array: impl Array + 'static) -> ArrayRef {
    Arc::new(array)
}

fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    let columns = columns.iter().map(|(name, array)| (*name, Arc::clone(array), true));
    RecordBatch::try_from_iter_with_nullable(columns).expect("a batch")
}

fn written(format: &Format, batch: &RecordBatch) -> Result<Vec<Vec<u8>>, String> {
    let encoder = Encoder::new(format, "t", &batch.schema()).map_err(|error| error.to_string())?;
    let rows = encoder.rows(batch);
    let one = |row| {
        let mut out = Vec::new();
        rows.write(row, &mut out).map(|_| out)
    };
    (0..batch.num_rows()).map(one).collect()
}

/// One value of a column `a` to a field `a` of a type.
fn one(kind: &str, array: ArrayRef) -> Result<Vec<u8>, String> {
    let imports = r#"import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto";
        import "google/type/date.proto"; import "google/type/decimal.proto"; import "confluent/type/decimal.proto";"#;
    let format = proto3(&format!("{imports} enum E {{ NONE = 0; ONE = 1; }} message M {{ {kind} a = 1; }}"));
    written(&format, &batch(&[("a", array)])).map(|mut rows| rows.remove(0))
}

fn decimal(value: i128, scale: i8) -> ArrayRef {
    arc(Decimal128Array::from(vec![value]).with_precision_and_scale(38, scale).expect("a decimal"))
}

fn ints(values: &[Option<i64>]) -> ArrayRef {
    arc(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(values.to_vec())]))
}

#[test]
fn values_of_every_type() {
    let at = |millis: i64| arc(TimestampMillisecondArray::from(vec![millis]).with_timezone("UTC"));
    let text = |text: &str| arc(StringArray::from(vec![text]));
    let long = "x".repeat(200);
    let cases: Vec<(&str, ArrayRef, Vec<u8>)> = vec![
        ("int32", arc(Int64Array::from(vec![-5])), v(1, -5)),
        ("int32", arc(Int64Array::from(vec![0])), vec![]),
        ("optional int32", arc(Int64Array::from(vec![0])), v(1, 0)),
        ("optional int32", arc(Int64Array::from(vec![None])), vec![]),
        ("int32", arc(NullArray::new(1)), vec![]),
        ("sint32", arc(Int8Array::from(vec![-2])), v(1, 3)),
        ("sint64", arc(Int64Array::from(vec![i64::MIN])), v(1, -1)),
        ("uint32", arc(UInt32Array::from(vec![u32::MAX])), v(1, 0xffff_ffff)),
        ("uint64", arc(UInt64Array::from(vec![u64::MAX])), v(1, -1)),
        ("fixed32", arc(Int64Array::from(vec![1])), fixed(1, &[1, 0, 0, 0])),
        ("sfixed32", arc(Int64Array::from(vec![-1])), fixed(1, &[0xff; 4])),
        ("fixed64", arc(UInt64Array::from(vec![u64::MAX])), fixed(1, &[0xff; 8])),
        ("sfixed64", arc(Int64Array::from(vec![-1])), fixed(1, &[0xff; 8])),
        ("bool", arc(BooleanArray::from(vec![true])), v(1, 1)),
        ("bool", arc(BooleanArray::from(vec![false])), vec![]),
        ("double", arc(Float32Array::from(vec![0.5])), fixed(1, &0.5f64.to_le_bytes())),
        ("double", arc(Float64Array::from(vec![-0.0])), fixed(1, &(-0.0f64).to_le_bytes())),
        ("double", arc(Int32Array::from(vec![3])), fixed(1, &3f64.to_le_bytes())),
        ("float", arc(Float64Array::from(vec![0.1])), fixed(1, &0.1f32.to_le_bytes())),
        ("string", text(&long), len(1, &long)),
        ("string", arc(LargeStringArray::from(vec!["\0"])), len(1, "\0")),
        ("string", arc(BinaryArray::from(vec![&b"ok"[..]])), len(1, "ok")),
        ("bytes", arc(BinaryArray::from(vec![&[0xff][..]])), len(1, [0xff])),
        ("string", decimal(-5, 2), len(1, "-0.05")),
        ("int64", decimal(300, 2), v(1, 3)),
        ("google.type.Decimal", decimal(150, 2), len(1, len(1, "1.50"))),
        ("confluent.type.Decimal", decimal(-200, 2), len(1, all(&[len(1, [0xff, 0x38]), v(2, 38), v(3, 2)]))),
        ("confluent.type.Decimal", decimal(200, 0), len(1, all(&[len(1, [0, 200]), v(2, 38)]))),
        ("confluent.type.Decimal", decimal(0, 0), len(1, all(&[len(1, [0]), v(2, 38)]))),
        ("string", arc(Date32Array::from(vec![20_513])), len(1, "2026-03-01")),
        ("int32", arc(Date32Array::from(vec![-1])), v(1, -1)),
        (
            "google.type.Date",
            arc(Date32Array::from(vec![20_513])),
            len(1, all(&[v(1, 2026), v(2, 3), v(3, 1)])),
        ),
        ("string", at(1_772_446_530_250), len(1, "2026-03-02T10:15:30.250Z")),
        ("int64", at(5), v(1, 5)),
        ("int64", arc(TimestampSecondArray::from(vec![5])), v(1, 5_000)),
        ("int64", arc(TimestampMicrosecondArray::from(vec![5])), v(1, 5)),
        ("google.protobuf.Timestamp", at(-1), len(1, all(&[v(1, -1), v(2, 999_000_000)]))),
        ("google.protobuf.Timestamp", at(0), len(1, "")),
        (
            "google.protobuf.Timestamp",
            arc(TimestampNanosecondArray::from(vec![1_000_000_001])),
            len(1, all(&[v(1, 1), v(2, 1)])),
        ),
        ("google.protobuf.StringValue", text(""), len(1, "")),
        ("google.protobuf.Int64Value", arc(Int64Array::from(vec![9])), len(1, v(1, 9))),
        ("E", text("ONE"), v(1, 1)),
        ("E", text("77"), v(1, 77)),
        ("E", arc(Int64Array::from(vec![-9])), v(1, -9)),
        ("repeated int64", ints(&[Some(1), Some(300)]), len(1, [1, 0xac, 2])),
        ("repeated int64", ints(&[]), vec![]),
        (
            "repeated google.protobuf.Int64Value",
            ints(&[Some(0), Some(1)]),
            all(&[len(1, ""), len(1, v(1, 1))]),
        ),
    ];
    for (kind, array, want) in cases {
        let name = format!("{} to {kind}", array.data_type());
        assert_eq!(one(kind, array), Ok(want), "{name}");
    }
}

#[test]
fn values_that_do_not_fit_are_named() {
    let int = |value: i64| arc(Int64Array::from(vec![value]));
    let big = Decimal128Array::from(vec![10i128.pow(30)]).with_precision_and_scale(38, 0).expect("a decimal");
    for (kind, array, want) in [
        ("int32", int(1 << 31), "2147483648 does not fit a field of type int32"),
        ("uint64", int(-1), "-1 does not fit a field of type uint64"),
        ("E", arc(StringArray::from(vec!["TWO"])), "\"TWO\" does not fit a field of type E"),
        ("E", int(1 << 40), "1099511627776 does not fit a field of type E"),
        ("int64", decimal(150, 2), "1.50 does not fit a field of type int64"),
        ("int64", arc(big), "1000000000000000000000000000000 does not fit a field of type int64"),
        ("float", arc(Float64Array::from(vec![1e300])), "1e300 does not fit a field of type float"),
        ("string", arc(BinaryArray::from(vec![&[0xff][..]])), "1 bytes does not fit a field of type string"),
        (
            "google.type.Date",
            arc(Date32Array::from(vec![-719_469])),
            "0000-02-29 does not fit a field of type google.type.Date",
        ),
        ("google.protobuf.Timestamp", arc(TimestampSecondArray::from(vec![i64::MAX / 2_000])), "+"),
        (
            "google.protobuf.Int32Value",
            int(1 << 31),
            "2147483648 does not fit a field of type google.protobuf.Int32Value",
        ),
        (
            "repeated int32",
            ints(&[Some(1), Some(1 << 31)]),
            "2147483648 does not fit a field of type repeated int32",
        ),
        (
            "repeated int64",
            ints(&[Some(1), None]),
            "an item of the list is null, and no repeated field has nulls",
        ),
        (
            "repeated google.protobuf.Int64Value",
            ints(&[None]),
            "an item of the list is null, and no repeated field has nulls",
        ),
    ] {
        let said = one(kind, array).expect_err(kind);
        assert!(said == format!("column a: {want}") || want == "+", "{said}");
        assert!(said.starts_with("column a: "));
    }
}

#[test]
fn fields_are_written_in_the_order_of_their_numbers() {
    let format = proto2(
        "message M { required int32 r = 9; optional E e = 2; repeated N n = 20; oneof x { string p = 4; string q = 5; }
         optional group G = 7 { optional int32 z = 1; } repeated int32 l = 3; map<string, int32> m = 8;
         enum E { A = 1; B = 2; } } message N { optional bool b = 1 [default = true]; }",
    );
    let (x, y) = (Some("x"), Some("y"));
    let struct_of = |name: &str, array: ArrayRef| {
        let field = Arc::new(Field::new(name, array.data_type().clone(), true));
        arc(StructArray::from(vec![(field, array)]))
    };
    let list_of = |items: ArrayRef, ends: &[usize]| {
        let field = Arc::new(Field::new("item", items.data_type().clone(), true));
        arc(ListArray::new(field, OffsetBuffer::from_lengths(ends.iter().copied()), items, None))
    };
    let pairs = StructArray::from(vec![
        (Arc::new(null("key", Utf8)), arc(StringArray::from(vec!["", "k"]))),
        (Arc::new(null("value", Int64)), arc(Int64Array::from(vec![4, 0]))),
    ]);
    let n = struct_of("b", arc(BooleanArray::from(vec![Some(false), None])));
    let columns = [
        ("n", list_of(n, &[2, 0])),
        ("r", arc(Int64Array::from(vec![1, 2]))),
        ("p", arc(StringArray::from(vec![x, None]))),
        ("q", arc(StringArray::from(vec![None, y]))),
        ("e", arc(StringArray::from(vec![Some("B"), None]))),
        ("g", struct_of("z", arc(Int64Array::from(vec![5, 0])))),
        ("l", arc(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), Some(0)]), None]))),
        ("m", list_of(arc(pairs), &[2, 0])),
    ];
    let rows = written(&format, &batch(&columns)).expect("rows that can be written");
    let want = all(&[
        v(2, 2),
        v(3, 1),
        v(3, 0),
        len(4, "x"),
        group(7, v(1, 5)),
        len(8, all(&[len(1, ""), v(2, 4)])),
        len(8, all(&[len(1, "k"), v(2, 0)])),
        v(9, 1),
        len(20, v(1, 0)),
        len(20, ""),
    ]);
    assert_eq!(rows, [want, all(&[len(5, "y"), group(7, v(1, 0)), v(9, 2)])]);

    let refused = |place: usize, array: ArrayRef| {
        let mut columns = columns.clone();
        columns[place].1 = array;
        written(&format, &batch(&columns)).expect_err("columns that are refused")
    };
    assert_eq!(
        refused(2, arc(StringArray::from(vec!["a", "b"]))),
        "columns p and q both have a value, and only one of a oneof may"
    );
    assert_eq!(
        refused(1, arc(Int64Array::from(vec![Some(1), None]))),
        "column r is null, and its field is required"
    );
    assert_eq!(refused(4, arc(Int64Array::from(vec![1, 7]))), "column e: 7 does not fit a field of type M.E");
    assert_eq!(
        written(&format, &batch(&columns[..1])),
        Err("field r of message M is required and has no column".to_owned())
    );
    let said =
        written(&format, &batch(&[("other", arc(Int64Array::from(vec![1])))])).expect_err("no such field");
    assert_eq!(said, "column other has no field in message M, which has e, l, p, q, g, m, r, n");
}

#[test]
fn what_is_derived_is_read_by_others() {
    let form = ProtobufForm { schema: None, registry: Some(Arc::default()) };
    let nested =
        StructArray::from(vec![(Arc::new(null("x", Int64)), arc(Int64Array::from(vec![Some(1), None])))]);
    let batch = batch(&[
        (
            "d",
            arc(Decimal128Array::from(vec![Some(-150), None])
                .with_precision_and_scale(18, 2)
                .expect("a decimal")),
        ),
        ("at", arc(TimestampMicrosecondArray::from(vec![Some(1_500_000), None]).with_timezone("UTC"))),
        ("u", arc(UInt64Array::from(vec![Some(u64::MAX), Some(0)]))),
        ("s", arc(nested)),
        ("l", arc(ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(3)]), None]))),
    ]);
    let mut encoder =
        Encoder::new(&Format::Protobuf(form), "t", &batch.schema()).expect("columns that have a form");
    let (_, text) = encoder.to_register().expect("a schema");
    let schema = compiled(text, None);
    encoder.set_id(1);
    let rows = encoder.rows(&batch);
    let shown = |row| {
        let mut out = Vec::new();
        rows.write(row, &mut out).expect("a row that can be written");
        let message = DynamicMessage::decode(schema.descriptor().clone(), &out[6..]).expect("a message");
        message.to_string()
    };
    assert_eq!(shown(0), r#"d:"-1.50",at{seconds:1,nanos:500000000},u:18446744073709551615,s{x:1},l:[3]"#);
    assert_eq!(shown(1), "u:0,s{}");
}
