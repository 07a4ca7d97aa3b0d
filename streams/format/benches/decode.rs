//! What decoding costs, per record and core: store invoices of about 680 bytes, one in 400 cut short, four columns and
//! all of them, against arrow-json in the same run; then the same invoices as Avro and Protobuf. CPU time of this thread, best of
//! the rounds.
//!
//! `cargo bench -p millstream-format --bench decode [-- <records>] [ours]`; `ours` leaves arrow-json out.

use std::hint::black_box;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use millstream_format::avro::AvroForm;
use millstream_format::protobuf::{ProtobufForm, ProtobufSchema};
use millstream_format::{Decoder, Encoder, Format};
use millstream_types::{Rng, SeededRng};

const BATCH: usize = 4_096;
const ROUNDS: usize = 7;

fn schema() -> Schema {
    let money = || DataType::Decimal128(18, 2);
    let line = Fields::from(vec![
        Field::new("sku", DataType::Utf8, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("qty", DataType::Int32, false),
        Field::new("unit_price", money(), false),
        Field::new("discount", money(), false),
        Field::new("tax", money(), false),
    ]);
    Schema::new(vec![
        Field::new("invoice_id", DataType::Utf8, false),
        Field::new("store_id", DataType::Utf8, false),
        Field::new("counter_id", DataType::Int32, false),
        Field::new("issued_at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
        Field::new("currency", DataType::Utf8, false),
        Field::new("customer_id", DataType::Utf8, true),
        Field::new("payment_method", DataType::Utf8, false),
        Field::new(
            "lines",
            DataType::List(Arc::new(Field::new("item", DataType::Struct(line), false))),
            false,
        ),
        Field::new("total", money(), false),
    ])
}

fn invoice(rng: &mut SeededRng, i: usize) -> Vec<u8> {
    let store = rng.below(400);
    let counter = rng.below(5) + 1;
    let mut cents = 0;
    let mut lines = Vec::new();
    for _ in 0..1 + rng.below(8) {
        let (qty, price) = (1 + rng.below(5), 100 + rng.below(50_000));
        cents += qty * price;
        let sku = rng.below(20_000);
        lines.push(format!(
            r#"{{"sku":"K-{sku:05}","name":"tea {} g","qty":{qty},"unit_price":{}.{:02},"discount":0.0,"tax":0.00}}"#,
            sku % 1_000,
            price / 100,
            price % 100
        ));
    }
    let customer =
        if rng.chance(1, 3) { String::new() } else { format!(r#""customer_id":"C{}","#, rng.below(90_000)) };
    let mut text = format!(
        r#"{{"invoice_id":"S{store:03}-{counter}-{i:06}","store_id":"S{store:03}","counter_id":{counter},"issued_at":"2026-03-02T{:02}:{:02}:{:02}.{:03}Z","currency":"INR",{customer}"payment_method":"card","lines":[{}],"total":{}.{:02}}}"#,
        rng.below(24),
        rng.below(60),
        rng.below(60),
        rng.below(1_000),
        lines.join(","),
        cents / 100,
        cents % 100
    )
    .into_bytes();
    if rng.chance(1, 400) {
        text.truncate(text.len() / 2);
    }
    text
}

/// Nanoseconds that this thread has run, as the kernel counts them.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a Linux kernel with schedstat");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds")
}

fn best(records: usize, mut round: impl FnMut()) -> f64 {
    round();
    let times = (0..ROUNDS).map(|_| {
        let start = cpu_ns();
        round();
        cpu_ns() - start
    });
    times.min().expect("a round") as f64 / records as f64
}

fn ours(format: &Format, schema: &Schema, read: &[usize], records: &[Vec<u8>]) -> f64 {
    best(records.len(), || {
        let mut decoder = Decoder::new(format, schema, read).expect("a schema that can be decoded");
        for batch in records.chunks(BATCH) {
            for record in batch {
                let _ = black_box(decoder.push(record));
            }
            black_box(decoder.finish());
        }
    })
}

/// arrow-json as it can be used where a bad record must not take its batch along: one record at a time, checked for
/// completeness after each, and a new decoder after an error.
fn arrow_json(schema: &Schema, read: &[usize], records: &[Vec<u8>]) -> f64 {
    // Without a database of time zones it takes no names of them.
    let offset = |field: &Arc<Field>| match field.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            let kind = DataType::Timestamp(*unit, Some("+00:00".into()));
            Arc::new(Field::new(field.name(), kind, field.is_nullable()))
        }
        _ => Arc::clone(field),
    };
    let schema = schema.project(read).expect("columns of the schema");
    let schema = Arc::new(Schema::new(schema.fields().iter().map(offset).collect::<Vec<_>>()));
    let make = || {
        arrow_json::ReaderBuilder::new(Arc::clone(&schema))
            .with_batch_size(BATCH)
            .build_decoder()
            .expect("a decoder")
    };
    best(records.len(), || {
        for batch in records.chunks(BATCH) {
            let mut decoder = make();
            let mut good: Vec<&[u8]> = Vec::with_capacity(batch.len());
            for record in batch {
                if decoder.decode(record).is_err() || decoder.has_partial_record() {
                    decoder = make();
                    for record in &good {
                        decoder.decode(record).expect("a record that was good before");
                    }
                } else {
                    good.push(record);
                }
            }
            let _ = black_box(decoder.flush());
        }
    })
}

/// The message of an invoice: money as text, as registries have it of SQL's decimals.
const PROTO: &str = r#"
syntax = "proto3";
import "google/protobuf/timestamp.proto";
message Invoice {
  string invoice_id = 1;
  string store_id = 2;
  int32 counter_id = 3;
  google.protobuf.Timestamp issued_at = 4;
  string currency = 5;
  optional string customer_id = 6;
  string payment_method = 7;
  repeated Line lines = 8;
  string total = 9;
}
message Line {
  string sku = 1;
  optional string name = 2;
  int32 qty = 3;
  string unit_price = 4;
  string discount = 5;
  string tax = 6;
}"#;

/// The same invoices in another format, and what writing them costs. As many are cut.
fn written(format: &Format, schema: &Schema, records: &[Vec<u8>]) -> (Vec<Vec<u8>>, f64) {
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let mut decoder = Decoder::json(schema, &all).expect("a schema that can be decoded");
    let encoder = Encoder::new(format, "invoice", schema).expect("columns that have a form");
    let batches: Vec<_> = records
        .chunks(BATCH)
        .map(|batch| {
            for record in batch {
                // Those that are cut are left out here, and others are cut below.
                let _ = decoder.push(record);
            }
            decoder.finish()
        })
        .collect();
    let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
    let mut out = Vec::new();
    let cost = best(rows, || {
        for batch in &batches {
            let rows = encoder.rows(batch);
            for row in 0..batch.num_rows() {
                out.clear();
                rows.write(row, &mut out).expect("a row that can be written");
                black_box(&out);
            }
        }
    });
    let mut rng = SeededRng::new(43);
    let mut all = Vec::with_capacity(rows);
    for batch in &batches {
        let rows = encoder.rows(batch);
        for row in 0..batch.num_rows() {
            let mut out = Vec::new();
            rows.write(row, &mut out).expect("a row that can be written");
            let len = if rng.chance(1, 400) { out.len() / 2 } else { out.len() };
            out.truncate(len);
            all.push(out);
        }
    }
    (all, cost)
}

fn main() {
    // `cargo test` runs benchmarks once to see that they work; a few records do for that.
    let testing = !std::env::args().any(|a| a == "--bench");
    let asked = std::env::args().skip(1).find_map(|a| a.parse().ok());
    let count = asked.unwrap_or(if testing { 2_000 } else { 100_000 });
    let mut rng = SeededRng::new(42);
    let records: Vec<Vec<u8>> = (0..count).map(|i| invoice(&mut rng, i)).collect();
    let clean: Vec<Vec<u8>> = records.iter().filter(|r| r.ends_with(b"}")).cloned().collect();
    let bytes = records.iter().map(Vec::len).sum::<usize>() / records.len();
    let schema = schema();
    println!(
        "{count} invoices of {bytes} bytes, {} of them cut; ns for a record",
        records.len() - clean.len()
    );
    println!("{:<44}{:>8}{:>8}", "", "4 cols", "all");
    let (four, all) = ([0, 1, 3, 8], [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    println!(
        "{:<44}{:>8.0}{:>8.0}",
        "millstream",
        ours(&Format::Json, &schema, &four, &records),
        ours(&Format::Json, &schema, &all, &records)
    );
    if !std::env::args().any(|a| a == "ours") {
        println!(
            "{:<44}{:>8.0}{:>8.0}",
            "arrow-json, clean records only",
            arrow_json(&schema, &four, &clean),
            arrow_json(&schema, &all, &clean)
        );
        println!(
            "{:<44}{:>8.0}{:>8.0}",
            "arrow-json, batch redone after a bad record",
            arrow_json(&schema, &four, &records),
            arrow_json(&schema, &all, &records)
        );
    }
    let message = ProtobufSchema::compile("invoice.proto", PROTO, Some("Invoice"), &|_| None);
    let message = Arc::new(message.expect("a file that compiles"));
    let protobuf = Format::Protobuf(ProtobufForm { schema: Some(message), registry: None });
    for (name, format) in [("Avro", Format::Avro(AvroForm::default())), ("Protobuf", protobuf)] {
        let (messages, writing) = written(&format, &schema, &records);
        let bytes = messages.iter().map(Vec::len).sum::<usize>() / messages.len();
        println!(
            "{:<44}{:>8.0}{:>8.0}",
            format!("millstream, {name} of {bytes} bytes"),
            ours(&format, &schema, &four, &messages),
            ours(&format, &schema, &all, &messages)
        );
        println!("{:<44}{:>8}{:>8.0}", format!("millstream, {name} written"), "", writing);
    }
}
