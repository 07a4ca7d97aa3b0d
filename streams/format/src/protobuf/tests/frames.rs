//! Records behind a registry's frame.

use arrow::datatypes::DataType::*;

use super::*;
use crate::{Encoder, Registered, SchemaType, Schemas};

fn registry() -> (Arc<Schemas>, Format) {
    let schemas = Arc::new(Schemas::default());
    let form = ProtobufForm { schema: None, registry: Some(Arc::clone(&schemas)) };
    (schemas, Format::Protobuf(form))
}

fn put(schemas: &Schemas, id: u32, text: &str, references: &[(&str, &str)]) {
    let owned = |(name, text): &(&str, &str)| (String::from(*name), String::from(*text));
    let references = references.iter().map(owned).collect();
    let text = format!("syntax = \"proto3\"; {text}");
    schemas.put(id, Ok(Registered { kind: SchemaType::Protobuf, text, references }));
}

fn framed(id: u32, indexes: &[u8], message: Vec<u8>) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], indexes, &message].concat()
}

#[test]
fn records_are_read_by_the_schema_that_their_frame_names() {
    let (schemas, format) = registry();
    put(
        &schemas,
        7,
        "import 'common/n.proto'; message M { common.N n = 3; int64 a = 1; }",
        &[
            (
                "common/k.proto",
                "syntax = \"proto2\"; package common; message K { optional string s = 4 [default = 'k']; }",
            ),
            (
                "common/n.proto",
                "syntax = \"proto3\"; package common; import \"common/k.proto\"; message N { K k = 2; }",
            ),
        ],
    );
    // The message of a map's entries and the one of a group have no index.
    put(
        &schemas,
        8,
        "message A { map<string, int32> m = 1; message B { message C {} message D { sint32 a = 9; } } int32 a = 2; } message Z { string a = 1; }",
        &[],
    );
    let two =
        "syntax = \"proto2\"; message A { optional group G = 1 {} message B { optional int64 a = 1; } }"
            .to_owned();
    schemas.put(9, Ok(Registered { kind: SchemaType::Protobuf, text: two, references: vec![] }));
    let n = object(vec![null("k", object(vec![null("s", Utf8)]))]);
    let columns = [null("a", Int64), null("n", n)];
    for (record, want) in [
        (framed(7, &[0], all(&[v(1, 5), len(3, len(2, ""))])), "5 {{\"k\"}}"),
        (framed(7, &[2, 0], v(1, 6)), "6 null"),
        (framed(8, &[0], v(2, 7)), "7 null"),
        (framed(8, &[6, 0, 0, 2], v(9, 1)), "-1 null"),
        (framed(8, &[4, 0, 0], v(9, 1)), "null null"),
        (framed(9, &[4, 0, 0], v(1, 3)), "3 null"),
    ] {
        assert_eq!(read(&format, &columns, &record).as_deref(), Ok(want), "{record:x?}");
    }
    for (record, want) in [
        (framed(8, &[2, 2], len(1, "x")), "field a is not an integer of 64 bits (at byte 5)"),
        (framed(7, &[0], vec![8]), "not Protobuf: a varint is cut off (at byte 7)"),
        (framed(7, &[2, 2], vec![]), "its schema, id 7, has no message with the indexes [1] (at byte 5)"),
        (framed(7, &[1], vec![]), "not Protobuf: -1 message indexes (at byte 5)"),
        (framed(7, &[0xff, 1], vec![]), "not Protobuf: -128 message indexes (at byte 5)"),
        (framed(7, &[0xfe, 1], vec![]), "not Protobuf: 127 message indexes (at byte 5)"),
        (framed(7, &[2, 1], vec![]), "not Protobuf: message index -1 (at byte 6)"),
        (framed(7, &[4, 0], vec![]), "not Protobuf: a varint is cut off (at byte 7)"),
        (framed(7, &[], vec![]), "not Protobuf: a varint is cut off (at byte 5)"),
        (framed(5, &[0], vec![]), "its schema, id 5, was not fetched (at byte 1)"),
    ] {
        assert_eq!(says(&format, &columns, &record), want, "{record:x?}");
    }
    assert!(says(&format, &columns, b"\x01").starts_with("it has no frame of a schema registry"));
}

/// Some clients register a file as its descriptor in base64, and so may what it refers to be.
#[test]
fn a_schema_may_be_a_descriptor() {
    use base64::Engine as _;
    use prost_reflect::prost::Message as _;
    let described = |name: &str, text: &str| {
        let file = protox::file::File::from_source(name, text).expect("a file");
        let bytes = file.file_descriptor_proto().encode_to_vec();
        base64::engine::general_purpose::STANDARD.encode(bytes)
    };
    let (schemas, format) = registry();
    let inner = described("n.proto", "syntax = \"proto3\"; package common; message N { int64 k = 2; }");
    let text = described(
        "any.proto",
        "syntax = \"proto3\"; import \"n.proto\"; message M { optional common.N n = 3; int64 a = 1; }",
    );
    let references = vec![("n.proto".to_owned(), inner)];
    schemas.put(7, Ok(Registered { kind: SchemaType::Protobuf, text, references }));
    let columns = [null("a", Int64), null("n", object(vec![null("k", Int64)]))];
    let record = framed(7, &[0], all(&[v(1, 5), len(3, v(2, 9))]));
    assert_eq!(read(&format, &columns, &record).as_deref(), Ok("5 {9}"));
}

#[test]
fn what_is_learnt_of_schemas_is_kept() {
    let (schemas, format) = registry();
    let mut decoder = decoder(&format, &Schema::new(vec![must("a", Int64)]));
    let mut push = |id: u32| decoder.push(&framed(id, &[0], v(1, 1))).map_err(|bad| bad.to_string());
    assert_eq!(push(3), Err("its schema, id 3, was not fetched (at byte 1)".to_owned()));
    put(&schemas, 3, "message M { int64 a = 1; }", &[]);
    assert_eq!(push(3), Ok(()));
    schemas.put(4, Err("no schema has this id".to_owned()));
    assert_eq!(push(4), Err("its schema, id 4: no schema has this id (at byte 1)".to_owned()));
    schemas.put(5, Ok(Registered { kind: SchemaType::Avro, text: String::new(), references: vec![] }));
    assert_eq!(push(5), Err("its schema, id 5: it is of AVRO, not of PROTOBUF (at byte 1)".to_owned()));
    put(&schemas, 6, "message M { int64 a = 1 }", &[]);
    let broken = push(6).expect_err("a schema that does not compile");
    assert!(broken.starts_with("its schema, id 6: schema-6.proto:1:"), "{broken}");
    put(&schemas, 6, "message M { int64 a = 1; }", &[]);
    assert_eq!(push(6), Err(broken), "an id has one schema for ever");
    put(&schemas, 8, "message M { string b = 1; }", &[]);
    assert_eq!(push(8), Err("required field a is missing (at byte 8)".to_owned()));
    for id in 10..2_100 {
        put(&schemas, id, "message M { int64 a = 1; }", &[]);
        assert_eq!(push(id), Ok(()), "{id}");
    }
    assert_eq!(push(3), Ok(()));
    assert_eq!(decoder.rows(), 2_092);
}

#[test]
fn rows_are_written_behind_frames() {
    let (schemas, format) = registry();
    let columns = Schema::new(vec![null("a", Int64), must("s", Utf8)]);
    let mut decoder = decoder(&format, &columns);
    let write = |format: &Format| {
        let mut encoder = Encoder::new(format, "shop.orders", &columns).expect("columns that have a form");
        let (kind, text) = encoder.to_register().expect("a schema");
        schemas.put(9, Ok(Registered { kind, text: text.to_owned(), references: vec![] }));
        encoder.set_id(9);
        let a = arrow::array::Int64Array::from(vec![Some(0), None]);
        let s = arrow::array::StringArray::from(vec!["", "x"]);
        let batch =
            RecordBatch::try_new(Arc::new(columns.clone()), vec![Arc::new(a), Arc::new(s)]).expect("a batch");
        let rows = encoder.rows(&batch);
        let record = |row| {
            let mut out = Vec::new();
            rows.write(row, &mut out).expect("a row that can be written");
            out
        };
        ([record(0), record(1)], batch)
    };
    let (records, batch) = write(&format);
    assert_eq!(records, [framed(9, &[0], v(1, 0)), framed(9, &[0], len(2, "x"))]);
    records.iter().for_each(|record| decoder.push(record).expect("a good record"));
    assert_eq!(decoder.finish(), batch);

    // A given schema is what is registered, with the place of its message.
    let text = "syntax = \"proto3\"; message A { map<string, string> m = 1; message B { string s = 2; optional int64 a = 1; } message C {} }";
    let schema = Some(Arc::new(compiled(text, Some("A.B"))));
    let format = Format::Protobuf(ProtobufForm { schema, registry: Some(schemas.clone()) });
    let (records, batch) = write(&format);
    let header = &[4, 0, 0];
    assert_eq!(records, [framed(9, header, v(1, 0)), framed(9, header, len(2, "x"))]);
    let mut decoder = super::decoder(&format, &columns);
    records.iter().for_each(|record| decoder.push(record).expect("a good record"));
    assert_eq!(decoder.finish(), batch);
}
