//! Files that compile or do not, columns that fit a message or do not, and files that are made for columns.

use arrow::datatypes::DataType::{self, *};

use super::*;
use crate::protobuf::ProtobufWriter;
use crate::protobuf::derive::derive;
use crate::{FormatError, Schemas};

fn told<T>(done: Result<T, FormatError>) -> String {
    match done {
        Ok(_) => "fine".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn faults_of_files_are_told_with_their_place() {
    let compile = |text: &str, message: Option<&str>| {
        told(ProtobufSchema::compile("shop/order.proto", text, message, &|_| None))
    };
    let deep = format!("option (o) = {}", "{ a: ".repeat(200));
    let cases = [
        (
            "syntax = \"proto3\";\nmessage M {\n  strin a = 1;\n}",
            None,
            "shop/order.proto:3:3: name 'strin' is not defined",
        ),
        (
            "syntax = \"proto3\";\nmessage M {\n  string a 1;\n}",
            None,
            "shop/order.proto:3:12: expected '=', but found '1'",
        ),
        (
            "syntax = \"proto3\";\nimport \"other.proto\";\nmessage M {}",
            None,
            "shop/order.proto:2:1: import 'other.proto' not found",
        ),
        ("import \"shop/order.proto\";", None, "import cycle detected: shop/order.proto -> shop/order.proto"),
        ("syntax = \"proto3\";", None, "shop/order.proto declares no message"),
        (
            "package p; message A { message B {} } message C { map<string, A> m = 1; }",
            None,
            "shop/order.proto declares several messages; say which: p.A, p.A.B, p.C",
        ),
        ("package p; message A {}", Some("A"), "shop/order.proto declares no message A; it has p.A"),
        (&deep, None, "shop/order.proto:1: brackets are nested deeper than 100"),
    ];
    for (text, message, want) in cases {
        let syntax = if text.starts_with("syntax") { "" } else { "syntax = \"proto3\"; " };
        let said = compile(&format!("{syntax}{text}"), message);
        assert!(said.starts_with(want), "{said}\n{want}");
    }
    let many =
        format!("syntax = \"proto3\"; /* {} */ // {}\nmessage M {{ }}", "{".repeat(200), "[".repeat(200));
    assert_eq!(compile(&many, None), "fine");
    assert_eq!(compile("syntax = \"proto3\"; message M {} option java_package = \"<<[[{{'\";", None), "fine");
    assert!(compile("edition = \"2023\"; message M {}", None).starts_with("shop/order.proto:1:1: expected"));
}

#[test]
fn files_import_files() {
    let import = |name: &str| {
        Some(match name {
            "a.proto" => "syntax = \"proto3\"; import public \"b.proto\"; import \"google/protobuf/any.proto\"; message A { B b = 1; }".to_owned(),
            "b.proto" => "syntax = \"proto2\"; message B { optional string s = 1 [default = 'x']; }".to_owned(),
            "google/type/date.proto" => "syntax = \"proto3\"; package google.type; message Date { string own = 1; }".to_owned(),
            _ => return None,
        })
    };
    let text = r#"syntax = "proto3"; import "a.proto"; import "b.proto"; import "google/type/date.proto"; import "confluent/meta.proto";
        message M { A a = 1; B b = 2; google.type.Date day = 3 [(confluent.field_meta).doc = "d"]; }"#;
    let schema = ProtobufSchema::compile("t.proto", text, Some("M"), &import).expect("a file that compiles");
    assert_eq!((schema.text(), schema.message()), (text, "M"));
    assert_eq!(format!("{schema:?}"), "ProtobufSchema(M)");
    let format = Format::Protobuf(ProtobufForm { schema: Some(Arc::new(schema)), registry: None });
    let b = object(vec![null("s", Utf8)]);
    let columns = [null("a", object(vec![null("b", b)])), null("day", object(vec![null("own", Utf8)]))];
    let record = all(&[len(1, len(1, "")), len(3, len(1, "mine"))]);
    assert_eq!(read(&format, &columns, &record).as_deref(), Ok("{{\"x\"}} {\"mine\"}"));
    // A message that only has the name of a well-known one is no date.
    let said = told(Decoder::new(&format, &Schema::new(vec![null("day", Date32)]), &[0]));
    assert_eq!(said, "column day is of type date, and field day of message M is of type google.type.Date");
}

#[test]
fn columns_are_checked_against_the_message() {
    let body = "enum E { X = 0; } message N { int32 x = 1; string why_not = 2; } message M { string s = 1; repeated string l = 2;
        N n = 3; repeated N ns = 4; double d = 5; map<string, N> m = 6; E e = 7; bytes y = 8; bool b = 9; int32 i = 10; }";
    let format = proto3(body);
    let check = |field: Field| told(Decoder::new(&format, &Schema::new(vec![field]), &[]));
    let refused = |field: Field, column: &str, kind: &str, name: &str| {
        let said = check(field.clone());
        let path = if name == "x" { "n.x" } else { name };
        let message = if name == "x" { "N" } else { "M" };
        let want = format!(
            "column {path} is of type {column}, and field {name} of message {message} is of type {kind}"
        );
        assert_eq!(said, want);
        // The same by a writer, which has Arrow's names of types.
        let form = match &format {
            Format::Protobuf(form) => form,
            _ => panic!("another format"),
        };
        let said = told(ProtobufWriter::new(form, "t", &Schema::new(vec![field])));
        assert!(said.ends_with(&format!("field {name} of {message} is of type {kind}")), "{said}");
    };
    refused(null("s", Int32), "int32", "string", "s");
    refused(null("s", Boolean), "boolean", "string", "s");
    refused(null("l", Utf8), "string", "repeated string", "l");
    refused(list("l", Int64), "list of int64", "repeated string", "l");
    refused(list("s", Utf8), "list of string", "string", "s");
    refused(null("n", Utf8), "string", "N", "n");
    refused(null("n", object(vec![null("x", Utf8)])), "string", "int32", "x");
    refused(list("ns", Utf8), "list of string", "repeated N", "ns");
    refused(null("d", money()), "decimal(18, 2)", "double", "d");
    refused(null("m", Utf8), "string", "map<string, N>", "m");
    refused(null("e", money()), "decimal(18, 2)", "E", "e");
    refused(null("e", Boolean), "boolean", "E", "e");
    refused(null("y", Utf8), "string", "bytes", "y");
    refused(null("b", Int32), "int32", "bool", "b");
    refused(null("i", millis()), "timestamp in milliseconds", "int32", "i");
    refused(null("i", micros()), "timestamp in microseconds", "int32", "i");
    let twice = DataType::List(Arc::new(null("item", Utf8)));
    assert!(check(list("l", twice)).starts_with("column l is of type list of list of string, and field l"));
    // Columns that no field fills.
    assert_eq!(check(null("other", Utf8)), "fine");
    assert!(
        check(must("other", Utf8))
            .starts_with("column other is required, and message M has no such field; it has s, l, n,")
    );
    let said = check(list("ns", object(vec![must("z", Utf8)])));
    assert_eq!(said, "column ns.z is required, and message N has no such field; it has x, why_not");
    // Names as JSON has them.
    let n = |name| null("n", object(vec![null(name, Utf8)]));
    let record = len(3, len(2, "so"));
    assert_eq!(read(&format, &[n("whyNot")], &record).as_deref(), Ok("{\"so\"}"));
    let both = null("n", object(vec![null("whyNot", Utf8), null("why_not", Utf8)]));
    assert_eq!(read(&format, &[both], &record).as_deref(), Ok("{null \"so\"}"));
    // What is not given.
    let nothing = Format::Protobuf(ProtobufForm::default());
    assert!(told(Decoder::new(&nothing, &Schema::empty(), &[])).contains("give `schema: file.proto`"));
    assert!(
        told(ProtobufWriter::new(&ProtobufForm::default(), "t", &Schema::empty()))
            .contains("give `schema: file.proto`")
    );
}

#[test]
fn files_are_made_for_columns() {
    let line = Fields::from(vec![
        must("sku", Utf8),
        null("price", money()),
        null("at", micros()),
        null("line", object(vec![must("line", Boolean)])),
    ]);
    let schema = Schema::new(vec![
        must("id", LargeUtf8),
        null("day", Date32),
        null("u", UInt64),
        must("small", UInt8),
        null("f", Float32),
        null("message", Float64),
        null("optional", Int16),
        null("bytes", Binary),
        must("Lines", DataType::List(Arc::new(null("item", Struct(line))))),
        list("numbers", Int64),
        list("times", millis()),
        null("string", object(vec![])),
    ]);
    let want = r#"syntax = "proto3";

import "google/protobuf/timestamp.proto";

message ShopOrdersV2 {
  message Lines_ {
    message Line {
      bool line = 1;
    }
    string sku = 1;
    optional string price = 2;
    .google.protobuf.Timestamp at = 3;
    Line line = 4;
  }
  message String {
  }
  string id = 1;
  optional string day = 2;
  optional uint64 u = 3;
  uint32 small = 4;
  optional float f = 5;
  optional double message = 6;
  optional int32 optional = 7;
  optional bytes bytes = 8;
  repeated Lines_ Lines = 9;
  repeated int64 numbers = 10;
  repeated .google.protobuf.Timestamp times = 11;
  String string = 12;
}
"#;
    assert_eq!(derive("shop.orders-v2", &schema).as_deref(), Ok(want));
    let form = ProtobufForm { schema: None, registry: Some(Arc::new(Schemas::default())) };
    let writer = ProtobufWriter::new(&form, "shop.orders-v2", &schema).expect("columns that have a form");
    assert_eq!(writer.schema_text(), want);
    for (name, want) in [("9-lives", "message M9Lives {"), ("é", "message Record {"), ("a", "message A {")] {
        assert!(derive(name, &Schema::empty()).is_ok_and(|text| text.contains(want)), "{name}");
    }
    let refused = |field: Field| told(ProtobufWriter::new(&form, "t", &Schema::new(vec![field])));
    assert_eq!(
        refused(null("n", object(vec![null("count(*)", Int64)]))),
        "column n.count(*) has a name that no field of Protobuf may have (letters, digits and _); rename it, as in SELECT … AS count___"
    );
    assert!(refused(null("1st", Int64)).contains("AS c_1st"));
    assert_eq!(refused(null("x", Null)), "column x has no type; CAST it to one");
    assert_eq!(
        refused(null("x", Duration(TimeUnit::Second))),
        "column x is of type Duration(s), which has no form in Protobuf; cast it, as in CAST(x AS VARCHAR)"
    );
    assert!(
        refused(list("x", DataType::List(Arc::new(null("item", Utf8)))))
            .starts_with("column x is a list of lists")
    );
    let twins = Schema::new(vec![null("a_b", Int64), null("aB", Int64)]);
    let said = told(ProtobufWriter::new(&form, "t", &twins));
    assert!(said.starts_with("the message that is made for the columns: columns.proto:5:"), "{said}");
    let deep = (0..40).fold(Int64, |kind, _| object(vec![null("s", kind)]));
    assert!(refused(null("s", deep)).ends_with("is nested deeper than 30"));
    let wide: Vec<Field> = (0..19_100).map(|i| null(&format!("c{i}"), Int64)).collect();
    let text = derive("t", &Schema::new(wide)).expect("many columns");
    assert!(text.contains("c18998 = 18999;\n  optional int64 c18999 = 20000;"));
}
