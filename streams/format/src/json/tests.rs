//! The decoder against `serde_json::Value`: edge records by hand, then random records with random damage. A reference
//! reads each record through `Value`, with the leaf rules written a second time; verdicts and values must agree,
//! whatever columns are read, whatever records came before.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Fields, Float64Type, Int32Type, Int64Type, Schema, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType,
};
use millstream_types::{Rng, SeededRng};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::Decoder;

fn schema() -> Schema {
    let line = Fields::from(vec![
        Field::new("sku", DataType::Utf8, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("qty", DataType::Int32, false),
        Field::new("price", DataType::Decimal128(18, 2), true),
    ]);
    Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("n", DataType::Int64, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
        Field::new("ok", DataType::Boolean, true),
        Field::new("x", DataType::Float64, true),
        Field::new("total", DataType::Decimal128(18, 2), true),
        Field::new(
            "lines",
            DataType::List(Arc::new(Field::new("item", DataType::Struct(line), false))),
            true,
        ),
        Field::new("tags", DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))), true),
        Field::new("who", DataType::Struct(vec![Field::new("age", DataType::Int32, true)].into()), true),
        Field::new("day", DataType::Date32, true),
        Field::new("us", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("bin", DataType::Binary, true),
    ])
}

/// What the reference makes of a record: text for each field, or a refusal.
type Row = Vec<String>;

fn reference(schema: &Schema, record: &[u8]) -> Option<Row> {
    let text = std::str::from_utf8(record).ok()?;
    let fields: BTreeMap<String, &RawValue> = match serde_json::from_str(text) {
        Ok(fields) => fields,
        // What `Value` refuses in values that nobody names, and the decoder does not: see the module's header.
        Err(_) => return None,
    };
    schema.fields().iter().map(|f| cell(f, fields.get(f.name()).map(|raw| raw.get()))).collect()
}

fn cell(field: &Field, text: Option<&str>) -> Option<String> {
    let text = match text {
        None | Some("null") => return field.is_nullable().then(|| "null".to_owned()),
        Some(text) => text,
    };
    if matches!(field.data_type(), DataType::Struct(_) | DataType::List(_)) {
        return nested(field.data_type(), text);
    }
    let value: Value = serde_json::from_str(text).ok()?;
    Some(match field.data_type() {
        DataType::Utf8 => format!("{:?}", value.as_str()?),
        DataType::Boolean => value.as_bool()?.to_string(),
        DataType::Int64 if !text.contains(['.', 'e', 'E']) => text.parse::<i64>().ok()?.to_string(),
        DataType::Int32 if !text.contains(['.', 'e', 'E']) => text.parse::<i32>().ok()?.to_string(),
        // The standard library rounds correctly; serde_json, without its slower mode, may be one bit off.
        DataType::Float64 if value.is_number() => format!("{:?}", text.parse::<f64>().ok()?),
        DataType::Decimal128(precision, scale) if value.is_number() => {
            plain_decimal(text, usize::from(*precision), *scale as usize)?
        }
        DataType::Date32 => super::scalar::date(value.as_str()?.as_bytes())?.to_string(),
        DataType::Binary => format!("{:?}", super::scalar::base64(value.as_str()?.as_bytes())?),
        DataType::Timestamp(TimeUnit::Microsecond, _) => match &value {
            Value::String(s) => super::scalar::instant_micros(s.as_bytes())?.to_string(),
            Value::Number(_) if !text.contains(['.', 'e', 'E']) => {
                let in_range = |at: &i64| millstream_model::time::in_range(at.div_euclid(1_000));
                text.parse().ok().filter(in_range)?.to_string()
            }
            _ => return None,
        },
        DataType::Timestamp(..) => match &value {
            Value::String(s) => super::scalar::instant(s.as_bytes())?.to_string(),
            Value::Number(_) if !text.contains(['.', 'e', 'E']) => {
                text.parse().ok().filter(|at: &i64| millstream_model::time::in_range(*at))?.to_string()
            }
            _ => return None,
        },
        _ => return None,
    })
}

fn nested(kind: &DataType, text: &str) -> Option<String> {
    match kind {
        DataType::Struct(fields) => {
            let values: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            let cells: Option<Vec<String>> =
                fields.iter().map(|f| cell(f, values.get(f.name()).map(|raw| raw.get()))).collect();
            Some(format!("{{{}}}", cells?.join(",")))
        }
        DataType::List(item) => {
            let values: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            let cells: Option<Vec<String>> = values.iter().map(|raw| cell(item, Some(raw.get()))).collect();
            Some(format!("[{}]", cells?.join(",")))
        }
        _ => None,
    }
}

/// A decimal the long way: as a string of digits in which the point is moved.
fn plain_decimal(text: &str, precision: usize, scale: usize) -> Option<String> {
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.bytes().all(|b| b == b'0') {
        return Some("0".to_owned());
    }
    let exponent: i64 = exponent.parse().ok().filter(|e: &i64| e.abs() < 1_000)?;
    let point = whole.len() as i64 + exponent + scale as i64;
    let mut moved = digits.clone();
    if point < 0 {
        return None;
    }
    let point = point as usize;
    if moved.len() < point {
        moved.push_str(&"0".repeat(point - moved.len()));
    }
    if moved[point..].bytes().any(|b| b != b'0') {
        return None;
    }
    let value = moved[..point].trim_start_matches('0');
    if value.len() > precision || value.is_empty() { None } else { Some(format!("{sign}{value}")) }
}

/// A row of a batch in the reference's words.
fn row(batch: &RecordBatch, row: usize) -> Row {
    batch.columns().iter().map(|c| printed(c.as_ref(), row)).collect()
}

fn printed(array: &dyn Array, row: usize) -> String {
    if array.is_null(row) {
        return "null".to_owned();
    }
    match array.data_type() {
        DataType::Utf8 => format!("{:?}", array.as_string::<i32>().value(row)),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Float64 => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value(row).to_string(),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(row).to_string(),
        DataType::Binary => format!("{:?}", array.as_binary::<i32>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            array.as_primitive::<TimestampMicrosecondType>().value(row).to_string()
        }
        DataType::Timestamp(..) => array.as_primitive::<TimestampMillisecondType>().value(row).to_string(),
        DataType::Struct(_) => {
            let cells: Vec<String> =
                array.as_struct().columns().iter().map(|c| printed(c.as_ref(), row)).collect();
            format!("{{{}}}", cells.join(","))
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let cells: Vec<String> = (0..items.len()).map(|i| printed(items.as_ref(), i)).collect();
            format!("[{}]", cells.join(","))
        }
        other => panic!("no column of type {other} is decoded"),
    }
}

/// Decodes the records in one go and compares each with the reference, for several choices of columns.
fn check(seed: u64, records: &[Vec<u8>]) {
    let schema = schema();
    let wanted: Vec<Option<Row>> = records.iter().map(|r| reference(&schema, r)).collect();
    for read in [vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], vec![2, 0], vec![11, 6], vec![]] {
        let mut decoder = Decoder::json(&schema, &read).expect("a schema that can be decoded");
        let mut kept = Vec::new();
        for (i, record) in records.iter().enumerate() {
            let verdict = decoder.push(record);
            let show = String::from_utf8_lossy(record);
            assert_eq!(
                verdict.is_ok(),
                wanted[i].is_some(),
                "seed {seed}, record {i}: {show} gave {verdict:?}"
            );
            if let Err(bad) = &verdict {
                assert!(bad.at <= record.len(), "seed {seed}, record {i}: {bad:?}");
                let mut alone = Decoder::json(&schema, &[]).expect("a schema that can be decoded");
                assert_eq!(
                    alone.push(record),
                    verdict,
                    "seed {seed}, record {i}: what came before changed the reason"
                );
            } else {
                kept.push(i);
            }
            assert_eq!(decoder.rows(), kept.len());
        }
        let batch = decoder.finish();
        assert_eq!(batch.num_rows(), kept.len(), "seed {seed}");
        for (at, i) in kept.iter().enumerate() {
            let want = wanted[*i].as_ref().expect("a record that was kept");
            let want: Vec<&String> = read.iter().map(|c| &want[*c]).collect();
            let show = String::from_utf8_lossy(&records[*i]);
            assert_eq!(row(&batch, at).iter().collect::<Vec<_>>(), want, "seed {seed}, record {i}: {show}");
        }
    }
}

#[test]
fn edge_records() {
    let long = format!(r#"{{"id":"a","at":0,"deep":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    let objects = format!(r#"{{"id":"a","at":0,"deep":{}1{}}}"#, r#"{"a":"#.repeat(200), "}".repeat(200));
    let many: Vec<String> = (0..200).map(|i| format!(r#""k{i}":{{"z{i}":[{i}]}}"#)).collect();
    let many = format!(r#"{{"id":"a",{},"at":0}}"#, many.join(","));
    let records = [
        r#"{"id":"a","at":0}"#,
        r#" { "id" : "a" , "at" : 0 } "#,
        r#"{"at":0,"id":"a"}"#,
        r#"{"id":"a","at":0,}"#,
        r#"{"id":"a","at":0} x"#,
        r#"{"id":"a","at":0}{"id":"a","at":0}"#,
        r#"{"id":"a""at":0}"#,
        r#"{,"id":"a","at":0}"#,
        r#"{"id":"a","at":0"#,
        r#"{"id":"a","at":"2026-03-02T10:15:30.250Z"}"#,
        r#"{"id":"a","at":"2026-03-02T10:15:30"}"#,
        r#"{"id":"a","at":"2026\u002d03-02T10:15:30Z"}"#,
        r#"{"id":"a","at":1.0}"#,
        r#"{"id":"a","at":9223372036854775807}"#,
        r#"{"id":"a","at":null}"#,
        r#"{"id":null,"at":0}"#,
        r#"{"id":5,"at":0}"#,
        r#"{"at":0}"#,
        r#"{"id":"a","id":"b","at":0}"#,
        r#"{"id":7,"id":"b","at":0}"#,
        r#"{"id":"b","at":0,"id":7}"#,
        r#"{"\u0069d":"escaped key","at":0}"#,
        r#"{"id":"\u00e9\ud83d\ude00\n","at":0}"#,
        r#"{"id":"\ud83d","at":0}"#,
        r#"{"id":"a","at":0,"extra":"\ud83d"}"#,
        r#"{"id":"a","at":0,"extra":"\x"}"#,
        r#"{"id":"a","at":0,"extra":1e400}"#,
        r#"{"id":"a","at":0,"extra":[1,,2]}"#,
        r#"{"id":"a","at":0,"extra":[1,2,]}"#,
        r#"{"id":"a","at":0,"extra":{"a":01}}"#,
        r#"{"id":"a","at":0,"extra":{"a":1.}}"#,
        r#"{"id":"a","at":0,"extra":{"a":.5}}"#,
        r#"{"id":"a","at":0,"extra":{"a":-}}"#,
        r#"{"id":"a","at":0,"extra":{"a":tru}}"#,
        r#"{"id":"a","at":0,"extra":{"a":1,"a":2,"b":[{},[],{"c":null}]}}"#,
        r#"{"id":"a","at":0,"extra":"raw	tab"}"#,
        r#"{"id":"a","at":0,"x":1e400}"#,
        r#"{"id":"a","at":0,"x":-0.0}"#,
        r#"{"id":"a","at":0,"x":5}"#,
        r#"{"id":"a","at":0,"x":"5"}"#,
        r#"{"id":"a","at":0,"n":"5"}"#,
        r#"{"id":"a","at":0,"n":-9223372036854775808}"#,
        r#"{"id":"a","at":0,"n":9223372036854775808}"#,
        r#"{"id":"a","at":0,"total":88.5}"#,
        r#"{"id":"a","at":0,"total":1.005}"#,
        r#"{"id":"a","at":0,"total":1.500}"#,
        r#"{"id":"a","at":0,"total":1e2}"#,
        r#"{"id":"a","at":0,"total":"1"}"#,
        r#"{"id":"a","at":0,"total":123456789012345.67}"#,
        r#"{"id":"a","at":0,"total":12345678901234567.8}"#,
        r#"{"id":"a","at":0,"ok":true,"who":{"age":3},"tags":["x",null],"lines":[]}"#,
        r#"{"id":"a","at":0,"who":{},"tags":null,"lines":[{"sku":"k","qty":1}]}"#,
        r#"{"id":"a","at":0,"lines":[null]}"#,
        r#"{"id":"a","at":0,"lines":[{"sku":"k"}]}"#,
        r#"{"id":"a","at":0,"lines":[{"sku":"k","qty":2147483648}]}"#,
        r#"{"id":"a","at":0,"lines":[{"sku":"k","qty":1},{"sku":"l","qty":"1"}]}"#,
        r#"{"id":"a","at":0,"lines":{}}"#,
        r#"{"id":"a","at":0,"who":[]}"#,
        "[]",
        "7",
        "",
        "   ",
        "nul",
        "{",
        "\u{feff}{\"id\":\"a\",\"at\":0}",
        &long,
        &objects,
        &many,
    ];
    let mut all: Vec<Vec<u8>> = records.iter().map(|r| r.as_bytes().to_vec()).collect();
    all.push(b"{\"id\":\"a\",\"at\":0,\"extra\":\"\xff\"}".to_vec());
    all.push(b"{\"id\":\"caf\xc3\",\"at\":0}".to_vec());
    let good = all[0].clone();
    let between: Vec<Vec<u8>> = all.iter().flat_map(|r| [r.clone(), good.clone()]).collect();
    check(0, &between);
}

/// Digits are read eight at a time: whole numbers of every length, and what may stand behind them, near the end and far from it.
#[test]
fn whole_numbers_of_every_length() {
    let mut records = Vec::new();
    for length in 1..=20 {
        for digit in ["9", "0", "1"] {
            for sign in ["", "-"] {
                let number =
                    format!("{sign}{}{}", digit, "1234567890123456789".get(..length - 1).unwrap_or_default());
                let tails = [
                    "}",
                    " }",
                    ",\"extra\":\"so long that eight bytes can be read behind\"}",
                    ".5}",
                    "e1}",
                    "E1}",
                    "x}",
                    "/}",
                    ":}",
                    "",
                ];
                records.extend(
                    tails.map(|tail| format!("{{\"id\":\"a\",\"at\":0,\"n\":{number}{tail}").into_bytes()),
                );
            }
        }
    }
    check(0, &records);
}

/// Texts are passed over in blocks: what ends one, or must not stand in it, at every place.
#[test]
fn texts_of_every_length() {
    let mut records = Vec::new();
    for length in 0..100 {
        let text = "x".repeat(length);
        for end in ["\"", "\\n\"", "\u{1}\"", "\\\"\"", "é\"", ""] {
            records.push(format!("{{\"id\":\"{text}{end},\"at\":0}}").into_bytes());
            records.push(format!("{{\"id\":\"a\",\"at\":0,\"extra\":\"{text}{end}}}").into_bytes());
        }
    }
    check(0, &records);
}

#[test]
fn what_is_inside_an_undeclared_value_is_judged_by_its_grammar_alone() {
    let deep = format!(r#"{{"id":"a","at":0,"extra":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
    for record in [r#"{"id":"a","at":0,"extra":1e400}"#, r#"{"id":"a","at":0,"extra":"\ud83d"}"#, &deep] {
        assert!(serde_json::from_str::<Value>(record).is_err(), "{record}");
        let mut decoder = Decoder::json(&schema(), &[0]).expect("a schema that can be decoded");
        assert_eq!(decoder.push(record.as_bytes()), Ok(()), "{record}");
    }
}

#[test]
fn a_refusal_says_what_and_where() {
    let says = |record: &str| {
        let mut decoder = Decoder::json(&schema(), &[0]).expect("a schema that can be decoded");
        decoder.push(record.as_bytes()).expect_err(record).to_string()
    };
    assert_eq!(says(r#"{"id":"A2""#), "not JSON: EOF while parsing an object (at byte 10)");
    assert_eq!(says(r#"{"at":0}"#), "required field id is missing (at byte 8)");
    assert_eq!(
        says(r#"{"id":"a","at":0,"lines":[{"sku":"k","qty":"1"}]}"#),
        "field lines.qty is not an integer of 32 bits (at byte 43)"
    );
    assert_eq!(says("[1]"), "the record is not a JSON object (at byte 0)");
}

/// A random record: keys in random or usual order, random white space, values of the right kind mostly.
fn random_record(rng: &mut SeededRng) -> String {
    let mut fields = Vec::new();
    let schema = schema();
    for field in schema.fields() {
        if field.is_nullable() && rng.chance(1, 4) {
            continue;
        }
        fields.push((field.name().clone(), random_value(rng, field.data_type(), field.is_nullable())));
    }
    while rng.chance(1, 3) {
        let name = format!("u{}", rng.below(6));
        fields.push((name, random_any(rng, 0)));
    }
    if rng.chance(1, 5) {
        for i in (1..fields.len()).rev() {
            fields.swap(i, rng.below(i as u64 + 1) as usize);
        }
    }
    if rng.chance(1, 20) {
        let again = rng.below(fields.len() as u64) as usize;
        fields.push(fields[again].clone());
    }
    let spaced = rng.chance(1, 5);
    let gap = |rng: &mut SeededRng| {
        if spaced && rng.chance(1, 2) { [" ", "\t", "\n", "  "][rng.below(4) as usize] } else { "" }
    };
    let mut text = String::from("{");
    for (i, (name, value)) in fields.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let key = if rng.chance(1, 60) {
            format!("\\u{:04x}{}", name.as_bytes()[0], &name[1..])
        } else {
            name.clone()
        };
        text += &format!("{comma}{}\"{key}\"{}:{}{value}{}", gap(rng), gap(rng), gap(rng), gap(rng));
    }
    text + "}"
}

fn random_text(rng: &mut SeededRng) -> String {
    let pieces = [
        "a",
        "store-17",
        "é",
        "😀",
        r"\n",
        r#"\""#,
        r"\\",
        r"\u00e9",
        r"\ud83d\ude00",
        " ",
        "\\/",
        "x,y",
        "{",
        "]",
    ];
    let count = rng.below(5);
    let text: String = (0..count).map(|_| pieces[rng.below(pieces.len() as u64) as usize]).collect();
    format!("\"{text}\"")
}

fn random_number(rng: &mut SeededRng) -> String {
    let sign = if rng.chance(1, 4) { "-" } else { "" };
    let bits = rng.below(64) as u32;
    let whole = rng.next_u64().checked_shr(bits).unwrap_or(0);
    match rng.below(6) {
        0 => format!("{sign}{whole}.{}", rng.below(1_000)),
        1 => format!("{sign}{}.{:02}", whole % 100_000, rng.below(100)),
        2 => format!("{sign}{}e{}", whole % 1_000, rng.below(30) as i64 - 10),
        _ => format!("{sign}{whole}"),
    }
}

fn random_value(rng: &mut SeededRng, kind: &DataType, nullable: bool) -> String {
    if nullable && rng.chance(1, 10) {
        return "null".to_owned();
    }
    if rng.chance(1, 60) {
        return random_any(rng, 0);
    }
    match kind {
        DataType::Utf8 => random_text(rng),
        DataType::Boolean => ["true", "false"][rng.below(2) as usize].to_owned(),
        DataType::Int32 => (rng.below(2_000) as i64 - 1_000).to_string(),
        DataType::Date32 => format!("\"20{:02}-{:02}-{:02}\"", rng.below(100), rng.below(13), rng.below(32)),
        DataType::Binary => {
            format!("\"{}\"", ["", "AA==", "AAE=", "AAEC", "AAE", "é", "AA\\u0045C"][rng.below(7) as usize])
        }
        DataType::Timestamp(..) if rng.chance(1, 2) => format!(
            "\"20{:02}-{:02}-{:02}T{:02}:{:02}:{:02}.{}{}\"",
            rng.below(100),
            rng.below(13),
            rng.below(32),
            rng.below(25),
            rng.below(60),
            rng.below(60),
            rng.below(1_000),
            ["Z", "+05:30", "-08:00"][rng.below(3) as usize]
        ),
        DataType::Timestamp(..) => rng.below(2_000_000_000_000).to_string(),
        DataType::Decimal128(..) if rng.chance(3, 4) => {
            format!("{}.{:02}", rng.below(10_000), rng.below(100))
        }
        DataType::List(item) => {
            let count = rng.below(4);
            let items: Vec<String> =
                (0..count).map(|_| random_value(rng, item.data_type(), item.is_nullable())).collect();
            format!("[{}]", items.join(","))
        }
        DataType::Struct(fields) => {
            let mut members = Vec::new();
            for field in fields {
                if field.is_nullable() && rng.chance(1, 3) {
                    continue;
                }
                let value = random_value(rng, field.data_type(), field.is_nullable());
                members.push(format!("\"{}\":{value}", field.name()));
            }
            if rng.chance(1, 10) {
                members.push(format!("\"more\":{}", random_any(rng, 2)));
            }
            format!("{{{}}}", members.join(","))
        }
        _ => random_number(rng),
    }
}

fn random_any(rng: &mut SeededRng, depth: u32) -> String {
    match rng.below(if depth < 3 { 7 } else { 5 }) {
        0 => random_text(rng),
        1 | 2 => random_number(rng),
        3 => "null".to_owned(),
        4 => ["true", "false"][rng.below(2) as usize].to_owned(),
        5 => {
            let count = rng.below(4);
            format!("[{}]", (0..count).map(|_| random_any(rng, depth + 1)).collect::<Vec<_>>().join(","))
        }
        _ => {
            let count = rng.below(4);
            let members: Vec<String> =
                (0..count).map(|_| format!("\"m{}\":{}", rng.below(4), random_any(rng, depth + 1))).collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

/// Damage such as a cut line, a flipped bit or a doubled byte.
fn damage(rng: &mut SeededRng, record: &mut Vec<u8>) {
    let at = rng.below(record.len() as u64) as usize;
    match rng.below(5) {
        0 => record.truncate(at),
        1 => record[at] ^= 1 << rng.below(8),
        2 => drop(record.remove(at)),
        3 => {
            let marks = b"\"\\{}[],:0e-.nt \xc3";
            record.insert(at, marks[rng.below(marks.len() as u64) as usize]);
        }
        _ => record.insert(at, record[at]),
    }
}

#[test]
fn random_records_with_random_damage_agree_with_the_reference() {
    // More seeds for a longer hunt: MILLSTREAM_SEEDS=5000.
    let seeds = std::env::var("MILLSTREAM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    for seed in 0..seeds {
        let mut rng = SeededRng::new(seed);
        let records: Vec<Vec<u8>> = (0..150)
            .map(|_| {
                let mut record = random_record(&mut rng).into_bytes();
                while !record.is_empty() && rng.chance(1, 3) {
                    damage(&mut rng, &mut record);
                }
                record
            })
            .collect();
        check(seed, &records);
    }
}

#[test]
fn usual_records_never_take_the_slow_path() {
    let mut decoder = Decoder::json(&schema(), &[0, 2, 6]).expect("a schema that can be decoded");
    for i in 0..100 {
        let optional = if i % 3 == 0 { "" } else { r#","n":5"# };
        let record = format!(
            r#"{{"id":"caf\u00e9","at":"2026-03-02T10:15:30.250Z"{optional},"other":{{"a":[{{"b":1}}]}},"lines":[{{"sku":"k","qty":{i},"price":1.5}}]}}"#
        );
        decoder.push(record.as_bytes()).expect("a good record");
    }
    assert_eq!((decoder.slow_records(), decoder.rows()), (0, 100));
}

#[test]
fn frozen_columns_refuse_fields_that_are_not_declared() {
    let mut decoder = Decoder::json(&schema(), &[0]).and_then(|all| all.freeze(true)).expect("a decoder");
    let lines =
        |inner: &str| format!(r#"{{"id":"a","at":1,"lines":[{{"sku":"k","qty":1,"price":1.5{inner}}}]}}"#);
    let good = lines("");
    decoder.push(good.as_bytes()).expect("a good record");
    for (record, field, at) in [
        (good.replace("\"at\"", "\"new\":[{\"x\":1}],\"at\""), "new", 16),
        (good.replace("\"at\"", "\"n\\u0065w\":2,\"at\""), "new", 21),
        (lines(r#", "tax" : null"#), "lines.tax", 66),
    ] {
        let bad = decoder.push(record.as_bytes()).expect_err("a field that is not declared");
        assert_eq!((bad.why.clone(), bad.at), (crate::BadReason::Unknown(field.to_owned()), at), "{record}");
        assert_eq!(bad.word("json"), "unknown_column");
        // The same record again, now that its keys are known.
        assert_eq!(decoder.push(record.as_bytes()), Err(bad), "{record}");
    }
    // What is no record at all is told first.
    let cut = decoder.push(br#"{"new":1,"id":"#).expect_err("no JSON");
    assert_eq!(cut.word("json"), "malformed_json");
    decoder.push(good.as_bytes()).expect("a good record");
    assert_eq!((decoder.rows(), decoder.slow_records()), (2, 7));
    let raw = Schema::new(vec![Field::new("line", DataType::Utf8, true)]);
    let refused = Decoder::new(&crate::Format::Raw, &raw, &[0]).and_then(|all| all.freeze(true)).err();
    assert!(refused.is_some_and(|error| error.to_string().starts_with("columns of raw cannot be frozen")));
}
