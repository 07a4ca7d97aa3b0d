//! Records by hand: values and their types, presence, merging, what is passed over, and the places of faults.

use arrow::datatypes::DataType::{self, *};

use super::*;

#[test]
fn values_of_every_type() {
    let i64_min = i64::MIN.to_le_bytes();
    let cases: &[(&str, DataType, Vec<u8>, &str)] = &[
        ("int32", Int32, v(1, -5), "-5"),
        ("int32", Int64, v(1, i64::from(i32::MAX)), "2147483647"),
        // Of a longer varint an int32 is the lower half, as everywhere.
        ("int32", Int64, v(1, 0x1_0000_0007), "7"),
        ("uint32", Int64, v(1, 0xffff_ffff), "4294967295"),
        ("sint32", Int32, v(1, 3), "-2"),
        ("sint64", Int64, v(1, -1), &i64::MIN.to_string()),
        ("uint64", Int64, v(1, 7), "7"),
        ("uint64", Decimal128(38, 0), v(1, -1), "18446744073709551615"),
        ("fixed32", Int64, fixed(1, &[0xff; 4]), "4294967295"),
        ("sfixed32", Int32, fixed(1, &[0xff; 4]), "-1"),
        ("sfixed64", Int64, fixed(1, &i64_min), &i64::MIN.to_string()),
        ("bool", Boolean, v(1, 2), "true"),
        ("E", Utf8, v(1, 1), "\"ONE\""),
        ("E", Utf8, v(1, -9), "\"-9\""),
        ("E", Utf8, v(1, i64::from(i32::MIN)), "\"-2147483648\""),
        ("E", Int32, v(1, 77), "77"),
        ("double", Float64, fixed(1, &1.5f64.to_le_bytes()), "1.5"),
        ("float", Float64, fixed(1, &0.25f32.to_le_bytes()), "0.25"),
        ("uint32", Float64, v(1, 3), "3.0"),
        ("string", Utf8, len(1, "é"), "\"é\""),
        ("string", Binary, len(1, "é"), "[c3, a9]"),
        ("bytes", Binary, len(1, [0xff]), "[ff]"),
        ("string", money(), len(1, "-88.50"), "-8850"),
        ("int64", money(), v(1, 3), "300"),
        ("string", Date32, len(1, "2026-03-01"), "20513"),
        ("int32", Date32, v(1, -1), "-1"),
        ("string", millis(), len(1, "2026-03-02T10:15:30.250Z"), "1772446530250"),
        ("int64", millis(), v(1, 5), "5"),
        ("fixed64", micros(), fixed(1, &7u64.to_le_bytes()), "7"),
        ("google.protobuf.Timestamp", millis(), len(1, all(&[v(1, -1), v(2, 999_999_999)])), "-1"),
        ("google.protobuf.Timestamp", micros(), len(1, all(&[v(2, 1_999), v(1, 1)])), "1000001"),
        ("google.protobuf.Timestamp", millis(), len(1, ""), "0"),
        ("google.protobuf.StringValue", Utf8, len(1, len(1, "a")), "\"a\""),
        ("google.protobuf.StringValue", Utf8, len(1, ""), "\"\""),
        ("google.protobuf.BoolValue", Boolean, len(1, v(1, 1)), "true"),
        ("google.protobuf.UInt64Value", Int64, len(1, v(1, 9)), "9"),
        ("google.protobuf.DoubleValue", Float64, len(1, ""), "0.0"),
        ("google.protobuf.Int64Value", money(), len(1, v(1, 2)), "200"),
        ("google.type.Date", Date32, len(1, all(&[v(1, 2026), v(2, 3), v(3, 1)])), "20513"),
        ("google.type.Decimal", money(), len(1, len(1, "1.5")), "150"),
        ("confluent.type.Decimal", money(), len(1, all(&[len(1, [0xff, 0x38]), v(3, 1)])), "-2000"),
        ("confluent.type.Decimal", money(), len(1, all(&[len(1, [3, 0xe8]), v(3, 4)])), "10"),
        ("confluent.type.Decimal", money(), len(1, len(1, [2])), "200"),
        ("confluent.type.Decimal", money(), len(1, len(1, [vec![0xff; 20], vec![0xfe]].concat())), "-200"),
        ("confluent.type.Decimal", money(), len(1, ""), "0"),
        ("google.protobuf.Timestamp", object(vec![null("nanos", Int32)]), len(1, v(2, 3)), "{3}"),
    ];
    for (kind, column, record, want) in cases {
        let imports = r#"import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto";
            import "google/type/date.proto"; import "google/type/decimal.proto"; import "confluent/type/decimal.proto";"#;
        let format =
            proto3(&format!("{imports} enum E {{ NONE = 0; ONE = 1; }} message M {{ {kind} a = 1; }}"));
        let got = read(&format, &[null("a", column.clone())], record);
        assert_eq!(got.as_deref(), Ok(*want), "{kind} to {column}");
    }
}

#[test]
fn values_that_do_not_fit_are_refused_at_their_place() {
    let cases: &[(&str, DataType, Vec<u8>, usize)] = &[
        ("int64", Int32, v(1, 1 << 31), 1),
        ("uint64", Int64, v(1, -1), 1),
        ("double", Float64, fixed(1, &f64::NAN.to_le_bytes()), 1),
        ("float", Float64, fixed(1, &f32::INFINITY.to_le_bytes()), 1),
        ("string", money(), len(1, "1.005"), 2),
        ("string", money(), len(1, "1,5"), 2),
        ("string", Date32, len(1, "2026-02-30"), 2),
        ("string", millis(), len(1, "yesterday"), 2),
        ("int64", millis(), v(1, i64::MAX), 1),
        ("int64", micros(), v(1, i64::MIN), 1),
        ("int32", Date32, v(1, i64::from(i32::MAX)), 1),
        ("google.protobuf.Timestamp", millis(), len(1, v(2, 1_000_000_000)), 2),
        ("google.protobuf.Timestamp", millis(), len(1, v(2, -1)), 2),
        ("google.protobuf.Timestamp", micros(), len(1, v(1, i64::MAX)), 2),
        ("google.type.Date", Date32, len(1, v(1, 2026)), 2),
        ("google.type.Date", Date32, len(1, all(&[v(1, 2026), v(2, 2), v(3, 29)])), 2),
        ("google.type.Decimal", money(), len(1, ""), 2),
        ("confluent.type.Decimal", money(), len(1, all(&[len(1, [1]), v(3, 3)])), 2),
        ("confluent.type.Decimal", money(), len(1, all(&[len(1, [1]), v(3, i64::from(i32::MIN))])), 2),
        ("confluent.type.Decimal", money(), len(1, len(1, [1; 17])), 2),
        ("confluent.type.Decimal", money(), len(1, len(1, [0x7f; 16])), 2),
    ];
    for (kind, column, record, at) in cases {
        let imports = r#"import "google/protobuf/timestamp.proto"; import "google/type/date.proto";
            import "google/type/decimal.proto"; import "confluent/type/decimal.proto";"#;
        let format = proto3(&format!("{imports} message M {{ {kind} a = 1; }}"));
        let got = read(&format, &[null("a", column.clone())], record).expect_err(kind);
        assert!(got.to_string().starts_with("field a is not "), "{kind} to {column}: {got}");
        assert_eq!(got.at, *at, "{kind} to {column}");
    }
    let format = proto3("message M { string a = 1; N n = 2; message N { repeated string s = 1; } }");
    let columns = [null("a", Utf8), null("n", object(vec![list("s", Utf8)]))];
    assert_eq!(says(&format, &columns, &len(1, b"ab\xff")), "not UTF-8 (at byte 4)");
    assert_eq!(says(&format, &[null("a", money())], &len(1, b"12\xff")), "not UTF-8 (at byte 4)");
    let nested = all(&[len(1, "a"), len(2, all(&[len(1, "b"), len(1, b"c\xc3")]))]);
    assert_eq!(says(&format, &columns, &nested), "not UTF-8 (at byte 11)");
}

#[test]
fn absent_fields() {
    let enums = "enum E { ZERO = 0; ONE = 1; }";
    let format = proto3(&format!(
        "{enums} message M {{ string s = 1; int64 i = 2; bool b = 3; E e = 4; double d = 5; bytes y = 6; string m = 7;
         optional int64 o = 8; oneof x {{ int64 p = 9; string q = 10; }} M n = 11; repeated int64 l = 12; int64 at = 13;
         string day = 14; map<string, M> map = 15; }}"
    ));
    let columns = [
        null("s", Utf8),
        null("i", Int64),
        null("b", Boolean),
        null("e", Utf8),
        null("d", Float64),
        null("y", Binary),
        null("m", money()),
        null("o", Int64),
        null("p", Int64),
        null("q", Utf8),
        null("n", object(vec![must("i", Int32)])),
        list("l", Int64),
        null("at", millis()),
        null("day", Date32),
        list("map", object(vec![must("key", Utf8), must("value", object(vec![null("i", Int64)]))])),
        null("other", Utf8),
    ];
    let want = r#""" 0 false "ZERO" 0.0 [] null null null null null [] 0 null [] null"#;
    assert_eq!(read(&format, &columns, b"").as_deref(), Ok(want));
    // Empty text is absent where it could be neither a number nor a date; so it is when it is written.
    assert_eq!(read(&format, &columns, &all(&[len(7, ""), len(14, "")])).as_deref(), Ok(want));
    // Defaults that are written where they mean something.
    let set = all(&[v(8, 0), len(10, ""), len(11, ""), len(12, ""), len(15, "")]);
    let want = r#""" 0 false "ZERO" 0.0 [] null 0 null "" {0} [] 0 null [{"" {0}}] null"#;
    assert_eq!(read(&format, &columns, &set).as_deref(), Ok(want));
    for (name, kind) in [("o", Int64), ("m", money()), ("n", object(vec![])), ("q", Utf8), ("day", Date32)] {
        let got = says(&format, &[must(name, kind)], &v(2, 7));
        assert_eq!(got, format!("required field {name} is missing (at byte 2)"));
    }
    let got = says(&format, &[null("n", object(vec![must("o", Int64)]))], &all(&[len(11, v(2, 1)), v(2, 7)]));
    assert_eq!(got, "required field n.o is missing (at byte 4)");
}

#[test]
fn defaults_of_proto2() {
    let format = proto2(
        "enum E { A = 3; B = 4; } message M { optional string s = 1 [default = 'x']; optional sint64 i = 2 [default = -3];
         optional E e = 3 [default = B]; optional double d = 4 [default = 1.5]; optional bytes y = 5 [default = '\\001'];
         optional sfixed32 f = 6 [default = -7]; optional int32 n = 7; optional string m = 8 [default = '2.50'];
         optional bool b = 9 [default = true]; optional E plain = 10; required int32 r = 11; optional E words = 3001 [default = A]; }",
    );
    let columns = [
        must("s", Utf8),
        null("i", Int64),
        null("e", Utf8),
        null("d", Float64),
        null("y", Binary),
        null("f", Int32),
        null("n", Int32),
        null("m", money()),
        null("b", Boolean),
        null("plain", Utf8),
        null("r", Int32),
        null("words", Int32),
    ];
    let want = r#""x" -3 "B" 1.5 [01] -7 null 250 true null null 3"#;
    assert_eq!(read(&format, &columns, b"").as_deref(), Ok(want));
    let record = all(&[v(3001, 4), len(1, ""), v(10, 9)]);
    let want = r#""" -3 "B" 1.5 [01] -7 null 250 true "9" null 4"#;
    assert_eq!(read(&format, &columns, &record).as_deref(), Ok(want));
}

#[test]
fn repeated_values_packed_or_not() {
    let format = proto3(
        "message M { repeated int32 a = 1; repeated fixed32 b = 2 [packed = false]; repeated string c = 3; repeated E e = 4;
         repeated N n = 5; enum E { X = 0; Y = 1; } message N { repeated sint64 z = 1; int32 one = 2; } map<int32, bool> m = 6; }",
    );
    let pair = object(vec![must("key", Int64), must("value", Boolean)]);
    let columns = [
        list("a", Int64),
        list("b", Int64),
        list("c", Utf8),
        list("e", Utf8),
        list("n", object(vec![list("z", Int64), null("one", Int32)])),
        list("m", pair),
    ];
    let record = all(&[
        v(1, 1),
        len(1, [2, 3]),
        len(3, "p"),
        v(1, 4),
        len(2, [5, 0, 0, 0, 6, 0, 0, 0]),
        fixed(2, &[7, 0, 0, 0]),
        len(1, []),
        len(5, all(&[v(1, 1), len(1, [2, 4]), v(2, 9)])),
        len(3, ""),
        len(4, [0, 1, 7]),
        len(5, ""),
        len(6, all(&[v(2, 1), v(1, 4)])),
        v(4, 1),
        len(6, v(1, 4)),
        len(1, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
    ]);
    let want =
        r#"[1 2 3 4 -1] [5 6 7] ["p" ""] ["X" "Y" "7" "Y"] [{[-1 1 2] 9} {[] 0}] [{4 true} {4 false}]"#;
    assert_eq!(read(&format, &columns, &record).as_deref(), Ok(want));
    assert_eq!(
        says(&format, &columns, &len(2, [1, 0, 0, 0, 2, 0])),
        "not Protobuf: a number of 4 bytes is cut off (at byte 8)"
    );
    assert_eq!(says(&format, &columns, &len(1, [1, 0x80])), "not Protobuf: a varint is cut off (at byte 4)");
}

#[test]
fn the_last_value_counts_and_messages_are_merged() {
    let format = proto3(
        "import 'google/protobuf/timestamp.proto'; message M { int32 a = 1; N n = 2; google.protobuf.Timestamp t = 3;
         oneof x { int32 p = 4; N q = 5; int32 gone = 6; } } message N { int32 b = 1; repeated int32 l = 2; N n = 3; optional int32 c = 4; }",
    );
    let inner = object(vec![null("b", Int32), list("l", Int32), null("c", Int32)]);
    let n = object(vec![null("b", Int32), list("l", Int32), null("n", inner.clone()), null("c", Int32)]);
    let columns =
        [null("a", Int32), null("n", n), null("t", millis()), null("p", Int32), null("q", inner.clone())];
    let record = all(&[
        len(2, all(&[v(1, 1), v(2, 10), len(3, all(&[v(1, 5), v(2, 50)]))])),
        v(1, 7),
        len(3, v(1, 2)),
        len(2, ""),
        len(2, all(&[len(2, [11, 12]), v(4, 0), len(3, v(2, 51))])),
        v(1, 8),
        len(3, v(2, 3_000_000)),
        len(2, all(&[len(3, all(&[v(1, 6), len(2, [52])])), v(2, 13)])),
    ]);
    let want = "8 {0 [10 11 12 13] {6 [50 51 52] null} 0} 2003 null null";
    // The first part has b = 1, which no later part changes.
    let want = want.replacen("{0 ", "{1 ", 1);
    assert_eq!(read(&format, &columns, &record), Ok(want));
    // Of a oneof the last member counts, and what it had before is gone.
    let q = |b: i64| len(5, v(2, b));
    let tail = |record: &[Vec<u8>]| {
        let row = read(&format, &columns[3..], &all(record)).expect("a good record");
        row.replace("{0 ", "{")
    };
    assert_eq!(tail(&[v(4, 1), q(1), q(2)]), "null {[1 2] null}");
    assert_eq!(tail(&[q(1), v(4, 1), q(2)]), "null {[2] null}");
    assert_eq!(tail(&[q(1), q(2), v(4, 1)]), "1 null");
    assert_eq!(tail(&[v(4, 1), q(2)]), "null {[2] null}");
    assert_eq!(tail(&[v(4, 1), v(6, 1)]), "null null");
    assert_eq!(tail(&[q(1), v(4, 2), v(6, 1)]), "null null");
    // A value of another wire type is no value.
    assert_eq!(tail(&[v(4, 2), len(6, "x")]), "2 null");
}

#[test]
fn unknown_fields_and_groups_are_passed_over() {
    let format = proto3("message M { int32 a = 1; }");
    let a = [must("a", Int32)];
    let deep = |depth: usize| (0..depth).fold(vec![], |inside, _| group(9, all(&[inside, v(1, 4)])));
    let record = all(&[
        v(2, 5),
        fixed(3, &[1; 4]),
        v(1, 3),
        fixed(4, &[1; 8]),
        len(5, [0xff; 300]),
        group(6, all(&[v(1, 9), group(7, len(1, "x")), fixed(1, &[0; 8])])),
        deep(64),
        v((1 << 29) - 1, 1),
    ]);
    assert_eq!(read(&format, &a, &record).as_deref(), Ok("3"));
    assert!(says(&format, &a, &deep(65)).starts_with("not Protobuf: groups that are nested deeper than 64"));

    let format = proto2(
        "message M { optional group A = 1 { optional int32 x = 1; repeated group B = 2 { optional int32 y = 1; } } }",
    );
    let b = list("b", object(vec![null("y", Int32)]));
    let columns = [null("a", object(vec![null("x", Int32), b]))];
    let record = all(&[
        group(1, all(&[v(1, 1), group(2, v(1, 5)), group(3, v(1, 6))])),
        v(7, 7),
        group(1, all(&[group(2, vec![]), v(1, 2)])),
    ]);
    assert_eq!(read(&format, &columns, &record).as_deref(), Ok("{2 [{5} {null}]}"));
}

#[test]
fn a_refusal_says_what_and_where() {
    let format = proto3("message M { int32 a = 1; string s = 2; N n = 3; message N { int32 x = 1; } }");
    let columns = [must("a", Int32), null("s", Utf8), null("n", object(vec![null("x", Int32)]))];
    let many: Vec<u8> = [vec![8], vec![0xff; 10], vec![1]].concat();
    for (record, want) in [
        (&[8][..], "not Protobuf: a varint is cut off (at byte 1)"),
        (&many, "not Protobuf: a varint of more than 64 bits (at byte 1)"),
        (
            &[8, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2],
            "not Protobuf: a varint of more than 64 bits (at byte 1)",
        ),
        (&[0x12, 3, b'a', b'b'], "not Protobuf: a length of 3 bytes, and 2 are left (at byte 1)"),
        (&[0x1a, 1, 0x12], "not Protobuf: a varint is cut off (at byte 3)"),
        (
            &[0x1a, 2, 0x12, 7, 8, 1, 8, 1, 8, 1, 8, 1],
            "not Protobuf: a length of 7 bytes, and 0 are left (at byte 3)",
        ),
        (&[8, 1, 0x25, 1, 2, 3], "not Protobuf: a number of 4 bytes is cut off (at byte 6)"),
        (&[8, 1, 0x00, 1], "not Protobuf: field number 0 (at byte 2)"),
        (&[8, 1, 0x0e], "not Protobuf: wire type 6 (at byte 2)"),
        (&[8, 1, 0x0c], "not Protobuf: the end of group 1, which was not begun (at byte 2)"),
        (&[8, 1, 0x2b, 0x08, 1], "not Protobuf: group 5 is not ended (at byte 5)"),
        (&[8, 1, 0x2b, 0x34], "not Protobuf: the end of group 6 in group 5 (at byte 3)"),
        // A value of the wrong wire type alone is a fault; beside a right one it is an unknown field.
        (&[8, 1, 0x10, 1], "field s is not a string (at byte 2)"),
        (&[0x0a, 1, 1], "field a is not an integer of 32 bits (at byte 0)"),
    ] {
        assert_eq!(says(&format, &columns, record), want, "{record:x?}");
    }
    let both = all(&[v(1, 1), v(2, 1), len(2, "s"), v(2, 9), len(1, "x")]);
    assert_eq!(read(&format, &columns, &both).as_deref(), Ok("1 \"s\" null"));
}

#[test]
fn names_and_defaults_cannot_fill_the_memory() {
    let long = "A".repeat(200);
    let format = proto2(&format!(
        "enum E {{ {long} = 0; }} message M {{ repeated E e = 1 [packed = true]; repeated N n = 2; }}
         message N {{ optional string s = 1 [default = '{long}']; }}"
    ));
    let columns = [list("e", Utf8), list("n", object(vec![null("s", Utf8)]))];
    assert!(read(&format, &columns, &len(1, vec![0; 5_000])).is_ok());
    for record in [len(1, vec![0; 20_000]), len(2, "").repeat(20_000)] {
        assert!(says(&format, &columns, &record).contains("have more than 1048576 bytes"));
    }
    let mut decoder = decoder(&format, &Schema::new(columns.to_vec()));
    decoder.push(&len(1, vec![0; 10])).expect("a good record");
    assert_eq!(decoder.input_bytes(), 12 + 2_000);
}
