//! Against apache-avro: random records that it has written are read as the same values, and what is written here it reads
//! as the same values. Faults by hand and at random: told, and without a trace.

use std::sync::Arc;

use apache_avro::types::Value;
use apache_avro::{Schema as Peer, from_avro_datum, to_avro_datum};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use millstream_types::{Rng, SeededRng};

use super::AvroForm;
use crate::json::JsonRows;
use crate::{Decoder, Encoder, Format, Registered, SchemaType, Schemas};

fn columns() -> Schema {
    let instant = |unit| DataType::Timestamp(unit, Some("UTC".into()));
    let line = Fields::from(vec![
        Field::new("sku", DataType::Utf8, false),
        Field::new("qty", DataType::Int32, false),
        Field::new("price", DataType::Decimal128(18, 2), true),
    ]);
    let entry = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Int64, true),
    ]);
    let list = |item: Field| DataType::List(Arc::new(item));
    Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("n", DataType::Int64, true),
        Field::new("at", instant(TimeUnit::Millisecond), false),
        Field::new("us", instant(TimeUnit::Microsecond), true),
        Field::new("day", DataType::Date32, true),
        Field::new("ok", DataType::Boolean, true),
        Field::new("x", DataType::Float64, true),
        Field::new("total", DataType::Decimal128(38, 4), true),
        Field::new("raw", DataType::Binary, true),
        Field::new("kind", DataType::Utf8, true),
        Field::new("lines", list(Field::new("item", DataType::Struct(line), false)), true),
        Field::new("tags", list(Field::new("item", DataType::Utf8, true)), true),
        Field::new("who", DataType::Struct(vec![Field::new("age", DataType::Int32, true)].into()), true),
        Field::new("seen", list(Field::new("item", DataType::Struct(entry), false)), true),
    ])
}

/// A writer's schema: other order, other numbers, fields that the columns do not have, one that holds itself.
const WRITER: &str = r#"{"type":"record","name":"Sale","namespace":"shop","fields":[
  {"name":"extra","type":["null",{"type":"record","name":"Node","fields":[
    {"name":"value","type":{"type":"fixed","name":"Four","size":4}},
    {"name":"next","type":["null","Node"]},
    {"name":"marks","type":{"type":"map","values":{"type":"array","items":"double"}}}]}]},
  {"name":"n","type":["long","null"]},
  {"name":"id","type":"string"},
  {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
  {"name":"us","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
  {"name":"day","type":["null",{"type":"int","logicalType":"date"}]},
  {"name":"x","type":["null","float","double","int"]},
  {"name":"ok","type":["null","boolean"]},
  {"name":"total","type":["null",{"type":"fixed","name":"Money","size":12,"logicalType":"decimal","precision":28,"scale":2}]},
  {"name":"raw","type":["null","bytes","Four"]},
  {"name":"kind","type":["null",{"type":"enum","name":"Kind","symbols":["SALE","RETURN"]},"string"]},
  {"name":"lines","type":["null",{"type":"array","items":{"type":"record","name":"Line","fields":[
    {"name":"qty","type":"int"},{"name":"note","type":["null","string"]},{"name":"sku","type":"string"},
    {"name":"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":10,"scale":1}]}]}}]},
  {"name":"tags","type":{"type":"array","items":["null","string"]}},
  {"name":"who","type":["null",{"type":"record","name":"Who","fields":[{"name":"age","type":"int"},{"name":"of","type":["null","Who"]}]}]},
  {"name":"seen","type":{"type":"map","values":["null","int"]}}]}"#;

fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

fn digits(unscaled: i128, scale: usize) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let text = format!("{:0>1$}", unscaled.unsigned_abs(), scale + 1);
    let (whole, part) = text.split_at(text.len() - scale);
    format!("{sign}{whole}.{part}")
}

fn number(rng: &mut SeededRng, below: i128) -> i128 {
    let bits = rng.below(100);
    let mask = (1i128 << bits) - 1;
    let value = (i128::from(rng.below(u64::MAX)) << 64 | i128::from(rng.below(u64::MAX))) & mask & i128::MAX;
    let value = value % below;
    if rng.chance(1, 2) { -value } else { value }
}

/// Of a thousand words, some of them odd.
fn word(rng: &mut SeededRng) -> String {
    let odd = ["", "é", "\"", "a,b", "line\nbreak", "\u{0}", "😀"];
    if rng.chance(1, 5) { odd[rng.below(7) as usize].to_owned() } else { format!("w{}", rng.below(1_000)) }
}

fn union(branch: u32, value: Value) -> Value {
    Value::Union(branch, Box::new(value))
}

fn decimal(unscaled: i128, bytes: usize) -> Value {
    let all = unscaled.to_be_bytes();
    Value::Decimal(apache_avro::Decimal::from(all[16 - bytes..].to_vec()))
}

/// A random record of [`WRITER`], and the JSON of what the columns take of it.
fn random(rng: &mut SeededRng) -> (Value, String) {
    let mut cells: Vec<(&str, String)> = Vec::new();
    let mut fields: Vec<(&str, Value)> = Vec::new();
    let mut extra = union(0, Value::Null);
    for _ in 0..rng.below(4) {
        let marks =
            (0..rng.below(3)).map(|i| (format!("m{i}"), Value::Array(vec![Value::Double(1.5); i as usize])));
        extra = union(
            1,
            Value::Record(vec![
                ("value".into(), Value::Fixed(4, vec![1, 2, 3, 4])),
                ("next".into(), extra),
                ("marks".into(), Value::Map(marks.collect())),
            ]),
        );
    }
    fields.push(("extra", extra));
    let null = |rng: &mut SeededRng| rng.chance(1, 4);
    let nothing = || "null".to_owned();
    let n = number(rng, i128::from(i64::MAX)) as i64;
    match null(rng) {
        true => (fields.push(("n", union(1, Value::Null))), cells.push(("n", nothing()))),
        false => (fields.push(("n", union(0, Value::Long(n)))), cells.push(("n", n.to_string()))),
    };
    let id = word(rng);
    cells.push(("id", text(&id)));
    fields.push(("id", Value::String(id)));
    // Whole seconds have the same text in every unit.
    let second = rng.below(4_000_000_000) as i64 - 2_000_000_000;
    let instant = |fraction: &str| {
        let batch = RecordBatch::try_from_iter([(
            "t",
            Arc::new(arrow::array::TimestampSecondArray::from(vec![second])) as arrow::array::ArrayRef,
        )]);
        let mut out = Vec::new();
        JsonRows::new(&batch.expect("a batch")).write_plain(0, 0, &mut out);
        let at = String::from_utf8(out).expect("text");
        format!("\"{}.{fraction}Z\"", at.trim_end_matches('Z'))
    };
    let micros = rng.below(1_000_000) as i64;
    fields.push(("at", Value::TimestampMicros(second * 1_000_000 + micros)));
    cells.push(("at", instant(&format!("{:03}", micros / 1_000))));
    match null(rng) {
        true => (fields.push(("us", union(0, Value::Null))), cells.push(("us", nothing()))),
        false => (
            fields.push(("us", union(1, Value::TimestampMillis(second * 1_000 + 7)))),
            cells.push(("us", instant("007000"))),
        ),
    };
    match null(rng) {
        true => (fields.push(("day", union(0, Value::Null))), cells.push(("day", nothing()))),
        false => {
            (fields.push(("day", union(1, Value::Date(20_513)))), cells.push(("day", text("2026-03-01"))))
        }
    };
    let (value, cell) = match rng.below(4) {
        0 => (union(0, Value::Null), nothing()),
        1 => (union(1, Value::Float(0.5)), "0.5".to_owned()),
        2 => (union(2, Value::Double(0.1)), "0.1".to_owned()),
        _ => (union(3, Value::Int(-3)), "-3.0".to_owned()),
    };
    fields.push(("x", value));
    cells.push(("x", cell));
    let yes = rng.chance(1, 2);
    fields.push(("ok", union(1, Value::Boolean(yes))));
    cells.push(("ok", yes.to_string()));
    let total = number(rng, 10i128.pow(28));
    fields.push(("total", union(1, decimal(total, 12))));
    cells.push(("total", digits(total * 100, 4)));
    let (value, cell) = match rng.below(3) {
        0 => (union(0, Value::Null), nothing()),
        1 => (union(1, Value::Bytes(vec![0, 255])), text("AP8=")),
        _ => (union(2, Value::Fixed(4, vec![0, 1, 2, 3])), text("AAECAw==")),
    };
    fields.push(("raw", value));
    cells.push(("raw", cell));
    let (value, cell) = match rng.below(3) {
        0 => (union(0, Value::Null), nothing()),
        1 => (union(1, Value::Enum(1, "RETURN".into())), text("RETURN")),
        _ => (union(2, Value::String("x".into())), text("x")),
    };
    fields.push(("kind", value));
    cells.push(("kind", cell));
    let mut lines = (Vec::new(), Vec::new());
    for _ in 0..rng.below(4) {
        let (sku, qty, price) = (word(rng), number(rng, 1 << 31) as i32, number(rng, 10i128.pow(10)));
        lines.1.push(format!("{{\"sku\":{},\"qty\":{qty},\"price\":{}}}", text(&sku), digits(price * 10, 2)));
        lines.0.push(Value::Record(vec![
            ("qty".into(), Value::Int(qty)),
            ("note".into(), union(1, Value::String("n".into()))),
            ("sku".into(), Value::String(sku)),
            ("price".into(), union(1, decimal(price, 6))),
        ]));
    }
    match null(rng) {
        true => (fields.push(("lines", union(0, Value::Null))), cells.push(("lines", nothing()))),
        false => (
            fields.push(("lines", union(1, Value::Array(lines.0)))),
            cells.push(("lines", format!("[{}]", lines.1.join(",")))),
        ),
    };
    let tags: Vec<Option<String>> =
        (0..rng.below(4)).map(|_| if rng.chance(1, 3) { None } else { Some(word(rng)) }).collect();
    let shown: Vec<String> = tags.iter().map(|t| t.as_deref().map_or(nothing(), text)).collect();
    let tag = |t: Option<String>| t.map_or(union(0, Value::Null), |t| union(1, Value::String(t)));
    fields.push(("tags", Value::Array(tags.into_iter().map(tag).collect())));
    cells.push(("tags", format!("[{}]", shown.join(","))));
    let who = Value::Record(vec![("age".into(), Value::Int(7)), ("of".into(), union(0, Value::Null))]);
    match null(rng) {
        true => (fields.push(("who", union(0, Value::Null))), cells.push(("who", nothing()))),
        false => (fields.push(("who", union(1, who))), cells.push(("who", "{\"age\":7}".to_owned()))),
    };
    // One entry, since the peer writes a map in any order.
    let seen = rng.chance(1, 2).then(|| ("k".to_owned(), union(1, Value::Int(5))));
    cells.push((
        "seen",
        if seen.is_some() { r#"[{"key":"k","value":5}]"#.to_owned() } else { "[]".to_owned() },
    ));
    fields.push(("seen", Value::Map(seen.into_iter().collect())));
    let columns = columns();
    let shown: Vec<String> = columns
        .fields()
        .iter()
        .map(|f| {
            let cell = cells.iter().find(|(name, _)| name == f.name()).expect("a cell for each column");
            format!("{}:{}", text(f.name()), cell.1)
        })
        .collect();
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    (Value::Record(fields), format!("{{{}}}", shown.join(",")))
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let rows = JsonRows::new(batch);
    let line = |row| {
        let mut out = Vec::new();
        rows.write(row, &mut out);
        String::from_utf8(out).expect("UTF-8")
    };
    (0..batch.num_rows()).map(line).collect()
}

fn given(schema: &str) -> Format {
    Format::Avro(AvroForm { schema: Some(schema.into()), registry: None })
}

fn all(columns: &Schema) -> Vec<usize> {
    (0..columns.fields().len()).collect()
}

fn seeds(few: u64) -> u64 {
    std::env::var("MILLSTREAM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(few)
}

/// Records of the peer are read; what is written of them the peer reads, and gives the same again.
#[test]
fn records_are_read_and_written_as_the_peer_does() {
    let peer = Peer::parse_str(WRITER).expect("a schema");
    let columns = columns();
    for seed in 0..seeds(60) {
        let mut rng = SeededRng::new(seed);
        let drawn: Vec<(Value, String)> = (0..40).map(|_| random(&mut rng)).collect();
        let mut decoder = Decoder::new(&given(WRITER), &columns, &all(&columns)).expect("a decoder");
        let mut some = Decoder::new(&given(WRITER), &columns, &[9, 2]).expect("a decoder");
        for (value, _) in &drawn {
            let record = to_avro_datum(&peer, value.clone()).expect("a record of the peer");
            decoder.push(&record).unwrap_or_else(|bad| panic!("seed {seed}: {value:?}: {bad}"));
            some.push(&record).expect("a good record");
        }
        let batch = decoder.finish();
        let wanted: Vec<&String> = drawn.iter().map(|(_, line)| line).collect();
        assert_eq!(lines(&batch).iter().collect::<Vec<_>>(), wanted, "seed {seed}");
        assert_eq!(some.finish(), batch.project(&[9, 2]).expect("columns"), "seed {seed}");
        let form = Format::Avro(AvroForm::default());
        let encoder = Encoder::new(&form, "sale", &columns).expect("an encoder");
        let rows = encoder.rows(&batch);
        let own =
            super::schema::derived("sale", &columns, super::schema::Nulls::Everywhere).expect("a schema");
        let own = Peer::parse_str(&own).expect("a schema of ours");
        let mut again = Decoder::new(&form, &columns, &all(&columns)).expect("a decoder");
        for row in 0..batch.num_rows() {
            let mut record = Vec::new();
            rows.write(row, &mut record).expect("a row").expect("a value");
            let read = from_avro_datum(&own, &mut record.as_slice(), None).expect("a record the peer reads");
            assert_eq!(to_avro_datum(&own, read).expect("a record"), record, "seed {seed}, row {row}");
            again.push(&record).expect("a record of ours");
        }
        assert_eq!(again.finish(), batch, "seed {seed}");
    }
}

#[test]
fn damage_is_told_and_leaves_no_trace() {
    let peer = Peer::parse_str(WRITER).expect("a schema");
    let columns = columns();
    for seed in 0..seeds(30) {
        let mut rng = SeededRng::new(seed);
        let (value, line) = random(&mut rng);
        let good = to_avro_datum(&peer, value).expect("a record of the peer");
        let mut decoder = Decoder::new(&given(WRITER), &columns, &all(&columns)).expect("a decoder");
        let mut kept = 0;
        for cut in 0..good.len() {
            let bad = decoder.push(&good[..cut]).expect_err("a cut record");
            assert!(bad.at <= cut, "seed {seed}: {bad}");
            decoder.push(&good).expect("a good record");
            kept += 1;
            let mut hurt = good.clone();
            hurt[cut] = rng.below(256) as u8;
            if decoder.push(&hurt).is_ok() {
                kept += 1;
            }
        }
        let batch = decoder.finish();
        assert_eq!(batch.num_rows(), kept, "seed {seed}");
        assert!(lines(&batch).iter().filter(|found| **found == line).count() >= good.len(), "seed {seed}");
    }
}

#[test]
fn refusals_say_what_and_where() {
    let columns = Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("n", DataType::Int32, true),
        Field::new("d", DataType::Decimal128(4, 1), true),
    ]);
    let says = |fields: &str, record: &[u8]| {
        let schema = format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
        let mut decoder = Decoder::new(&given(&schema), &columns, &[0, 1, 2]).expect("a decoder");
        decoder
            .push(record)
            .map(|()| lines(&decoder.finish()).remove(0))
            .unwrap_or_else(|bad| bad.to_string())
    };
    let id = r#"{"name":"id","type":"string"}"#;
    let with = |kind: &str, of: &str| format!(r#"{id},{{"name":"{of}","type":{kind}}}"#);
    for (fields, record, wanted) in [
        (id.to_owned(), &b"\x02a"[..], r#"{"id":"a","n":null,"d":null}"#),
        (id.to_owned(), b"\x02a\x00", "1 bytes behind the Avro record (at byte 2)"),
        (id.to_owned(), b"\x02\xff", "not UTF-8 (at byte 1)"),
        (id.to_owned(), b"\x01", "a length of -1 (at byte 0)"),
        (
            id.to_owned(),
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
            "a number of more than 64 bits (at byte 0)",
        ),
        (
            r#"{"name":"id","type":["null","string"]}"#.to_owned(),
            b"\x00",
            "required field id is missing (at byte 1)",
        ),
        (
            r#"{"name":"id","type":["null","string"]}"#.to_owned(),
            b"\x04",
            "branch 2 of a union of 2 (at byte 0)",
        ),
        (
            with("\"long\"", "n"),
            b"\x02a\x80\x80\x80\x80\x10",
            "field n is not an integer of 32 bits (at byte 2)",
        ),
        (with("\"long\"", "d"), b"\x02a\xce\x0f", r#"{"id":"a","n":null,"d":999.0}"#),
        (
            with("\"long\"", "d"),
            b"\x02a\xd0\x0f",
            "field d is not a decimal number within the declared precision and scale (at byte 2)",
        ),
        (
            with(r#"{"type":"bytes","logicalType":"decimal","precision":5,"scale":2}"#, "d"),
            b"\x02a\x02\x0f",
            "field d is not a decimal number within the declared precision and scale (at byte 2)",
        ),
        (
            with(r#"{"type":"bytes","logicalType":"decimal","precision":5,"scale":2}"#, "d"),
            b"\x02a\x02\xf6",
            r#"{"id":"a","n":null,"d":-0.1}"#,
        ),
        (
            with(r#"{"type":"enum","name":"E","symbols":["A"]}"#, "n"),
            b"\x02a\x00",
            "field n is not an integer of 32 bits (at byte 2)",
        ),
        (
            format!(r#"{id},{{"name":"z","type":{{"type":"array","items":"null"}}}}"#),
            b"\x02a\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            "values that would take more than 65536 bytes, of a record of 12 (at byte 12)",
        ),
    ] {
        assert_eq!(says(&fields, record), wanted, "{fields}");
    }
}

#[test]
fn records_name_their_schemas() {
    let columns = Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("at", DataType::Struct(vec![Field::new("city", DataType::Utf8, true)].into()), true),
    ]);
    let schemas = Arc::new(Schemas::default());
    let put = |id, kind, text: &str, references: &[(&str, &str)]| {
        let references =
            references.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        schemas.put(id, Ok(Registered { kind, text: text.to_owned(), references }));
    };
    put(7, SchemaType::Avro, r#"{"type":"record","name":"R","fields":[{"name":"id","type":"string"}]}"#, &[]);
    let place = r#"{"type":"record","name":"shop.Place","fields":[{"name":"city","type":"string"}]}"#;
    let with = r#"{"type":"record","name":"shop.R","fields":[{"name":"at","type":"Place"},{"name":"id","type":"string"}]}"#;
    put(8, SchemaType::Avro, with, &[("place", place)]);
    put(9, SchemaType::Json, "{}", &[]);
    put(
        10,
        SchemaType::Avro,
        r#"{"type":"record","name":"R","fields":[{"name":"id","type":"Nowhere"}]}"#,
        &[],
    );
    put(11, SchemaType::Avro, "\"string\"", &[]);
    schemas.put(12, Err("the registry does not know it".to_owned()));
    let format = Format::Avro(AvroForm { schema: None, registry: Some(Arc::clone(&schemas)) });
    let mut decoder = Decoder::new(&format, &columns, &[0, 1]).expect("a decoder");
    let framed = |id: u8, value: &[u8]| [&[0, 0, 0, 0, id], value].concat();
    decoder.push(&framed(7, b"\x02a")).expect("a record");
    decoder.push(&framed(8, b"\x08Pune\x02b")).expect("a record");
    decoder.push(&framed(7, b"\x02c")).expect("a record");
    let mut says = |record: &[u8]| decoder.push(record).expect_err("a bad record").to_string();
    for (record, wanted) in [
        (framed(7, b"\x04a"), "the Avro record ends in the middle of a value (at byte 7)"),
        (framed(9, b""), "its schema, id 9, is of type JSON, and the topic's format is avro (at byte 1)"),
        (
            framed(10, b""),
            "its schema, id 10: the Avro schema names the type \"Nowhere\", which it does not define before (at byte 1)",
        ),
        (framed(11, b""), "its schema, id 11: the Avro schema is no record; rows are records (at byte 1)"),
        (framed(12, b""), "its schema, id 12: the registry does not know it (at byte 1)"),
        (framed(13, b""), "its schema, id 13, was not asked for (at byte 1)"),
        (
            b"{\"id\"".to_vec(),
            "it has no frame of a schema registry (a zero byte and the schema's id in four; 5 bytes, the first 0x7b) (at byte 0)",
        ),
    ] {
        assert_eq!(says(&record), wanted);
    }
    let wanted = [r#"{"id":"a","at":null}"#, r#"{"id":"b","at":{"city":"Pune"}}"#, r#"{"id":"c","at":null}"#];
    assert_eq!(lines(&decoder.finish()), wanted);
}

/// A schema that is given decides: order, unions, enums, absent fields; what it cannot hold is told.
#[test]
fn rows_are_written_by_a_given_schema() {
    let columns = Schema::new(vec![
        Field::new("kind", DataType::Utf8, true),
        Field::new("total", DataType::Decimal128(10, 2), true),
    ]);
    let kind = r#"{"name":"kind","type":{"type":"enum","name":"Kind","symbols":["SALE","RETURN"]}}"#;
    let total = r#"{"name":"total","type":["null",{"type":"fixed","name":"M","size":2,"logicalType":"decimal","precision":4,"scale":1}]}"#;
    let more = r#"{"name":"more","type":["string","null"]}"#;
    let schema =
        |fields: &[&str]| format!(r#"{{"type":"record","name":"R","fields":[{}]}}"#, fields.join(","));
    let format = given(&schema(&[total, more, kind]));
    let encoder = Encoder::new(&format, "r", &columns).expect("an encoder");
    let mut json = Decoder::json(&columns, &[0, 1]).expect("a decoder");
    for line in [
        r#"{"kind":"RETURN","total":-0.1}"#,
        r#"{"kind":"SALE"}"#,
        r#"{"kind":"LOAN"}"#,
        r#"{"total":1}"#,
        r#"{"kind":"SALE","total":1.25}"#,
    ] {
        json.push(line.as_bytes()).expect("a record");
    }
    let batch = json.finish();
    let rows = encoder.rows(&batch);
    let found: Vec<Result<Vec<u8>, String>> = (0..5)
        .map(|row| {
            let mut out = Vec::new();
            rows.write(row, &mut out).map(|_| out)
        })
        .collect();
    assert_eq!(found[0], Ok(vec![2, 0xff, 0xff, 2, 2]));
    assert_eq!(found[1], Ok(vec![0, 2, 0]));
    let wanted = [
        "column kind: \"LOAN\" is no symbol of the Avro schema's enum",
        "column kind is null, and its field of the Avro schema cannot be",
        "column total: 125e-2 does not fit decimal(4, 1) of the Avro schema",
    ];
    for (found, wanted) in found[2..].iter().zip(wanted) {
        assert_eq!(found.as_ref().err().map(String::as_str), Some(wanted));
    }
    let refused = |fields: &[&str]| {
        Encoder::new(&given(&schema(fields)), "r", &columns).err().expect("a refusal").to_string()
    };
    assert_eq!(refused(&[kind]), "the Avro schema has no field for column total; it has kind");
    let must = r#"{"name":"must","type":"int"}"#;
    assert!(refused(&[kind, total, must]).starts_with("field must of the Avro schema has no column"));
    let whole = r#"{"name":"total","type":"int"}"#;
    assert_eq!(
        refused(&[kind, whole]),
        "column total, of type Decimal128(10, 2), is not written to its type of the Avro schema"
    );
}

/// Without a schema of their own, writer and reader need not agree on what is required.
#[test]
fn a_derived_schema_is_the_same_for_all() {
    let of = |nullable| {
        let inner = Fields::from(vec![Field::new("sku", DataType::Utf8, nullable)]);
        let item = Field::new("item", DataType::Struct(inner.clone()), nullable);
        Schema::new(vec![
            Field::new("id", DataType::Utf8, nullable),
            Field::new(
                "a_b",
                DataType::Struct(vec![Field::new("c", DataType::Struct(inner), nullable)].into()),
                nullable,
            ),
            Field::new(
                "a",
                DataType::Struct(vec![Field::new("b_c", DataType::List(Arc::new(item)), nullable)].into()),
                nullable,
            ),
        ])
    };
    let line = r#"{"id":"x","a_b":{"c":{"sku":"k"}},"a":{"b_c":[{"sku":"l"}]}}"#;
    let format = Format::Avro(AvroForm::default());
    for (writes, reads) in [(true, false), (false, true)] {
        let (writes, reads) = (of(writes), of(reads));
        let mut json = Decoder::json(&writes, &[0, 1, 2]).expect("a decoder");
        json.push(line.as_bytes()).expect("a record");
        let mut record = Vec::new();
        let encoder = Encoder::new(&format, "r", &writes).expect("an encoder");
        encoder.rows(&json.finish()).write(0, &mut record).expect("a row");
        let mut decoder = Decoder::new(&format, &reads, &[0, 1, 2]).expect("a decoder");
        decoder.push(&record).unwrap_or_else(|bad| panic!("{bad}"));
        assert_eq!(lines(&decoder.finish()), [line]);
    }
    let missing = r#"{"type":"record","name":"R","fields":[{"name":"n","type":"int"}]}"#;
    let refused = Decoder::new(&given(missing), &of(false), &[0]).err().expect("a refusal").to_string();
    assert_eq!(refused, "column id is required, and the Avro schema has no such field");
}

/// Schemas that others write, and records that are small and would become large.
#[test]
fn hostile_schemas_and_records_are_refused() {
    let columns = Schema::new(vec![
        Field::new("id", DataType::Utf8, true),
        Field::new("tags", DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))), true),
    ]);
    let schemas = Arc::new(Schemas::default());
    // A chain of ten thousand records, none of which is in the one that refers to the last.
    let chain: Vec<(String, String)> = (0..10_000)
        .map(|i| {
            let of = if i == 0 { "int".to_owned() } else { format!("R{}", i - 1) };
            let text =
                format!(r#"{{"type":"record","name":"R{i}","fields":[{{"name":"f","type":"{of}"}}]}}"#);
            (format!("r{i}"), text)
        })
        .collect();
    let text = r#"{"type":"record","name":"R","fields":[{"name":"far","type":"R9999"},{"name":"id","type":"string"}]}"#;
    schemas.put(1, Ok(Registered { kind: SchemaType::Avro, text: text.to_owned(), references: chain }));
    let long = "S".repeat(5_000);
    let text = format!(
        r#"{{"type":"record","name":"R","fields":[{{"name":"tags","type":{{"type":"array","items":{{"type":"enum","name":"E","symbols":["{long}"]}}}}}}]}}"#
    );
    schemas.put(2, Ok(Registered { kind: SchemaType::Avro, text, references: Vec::new() }));
    let format = Format::Avro(AvroForm { schema: None, registry: Some(schemas) });
    let mut decoder = Decoder::new(&format, &columns, &[0, 1]).expect("a decoder");
    let mut says = |record: &[u8]| decoder.push(record).expect_err("a bad record").to_string();
    assert_eq!(says(b"\0\0\0\0\x01\x02"), "values nested more than 64 deep (at byte 5)");
    let mut many = b"\0\0\0\0\x02\x80\x08".to_vec();
    many.extend([0; 513]);
    assert!(says(&many).starts_with("values that would take more than 65536 bytes"), "{}", says(&many));
}
