//! What the invoice check costs: nanoseconds and fuel for each record, crossing into the guest and back included, over
//! a file of invoices (argument; one a line) or over invoices made here of about 680 B. `cargo bench -p
//! millstream-wasm --bench check -- FILE`.

use bytes::Bytes;
use millstream_wasm::{Batch, Engine, EngineConfig, FunctionConfig, Record, Table};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

fn made(count: usize) -> Vec<Vec<u8>> {
    let invoice = |n: usize| {
        let lines: Vec<String> = (0..n % 7 + 2)
            .map(|line| {
                let (qty, cents) = (line % 4 + 1, 95 + (n * 7 + line * 131) % 9_000);
                format!(
                    r#"{{"sku":"K-{:05}","name":"चाय tea {} g","qty":{qty},"unit_price":{}.{:02},"discount":0.5,"tax":1.25}}"#,
                    (n * 31 + line) % 20_000,
                    line * 50,
                    cents / 100,
                    cents % 100
                )
            })
            .collect();
        let cents: usize =
            (0..lines.len()).map(|line| (line % 4 + 1) * (95 + (n * 7 + line * 131) % 9_000) + 75).sum();
        format!(
            r#"{{"invoice_id":"S{:03}-{}-{n:06}","store_id":"S{:03}","counter_id":{},"issued_at":"2026-03-02T10:15:30.250Z","currency":"INR","customer_id":"C{n}","payment_method":"card","lines":[{}],"total":{}.{:02}}}"#,
            n % 400,
            n % 5,
            n % 400,
            n % 5,
            lines.join(","),
            cents / 100,
            cents % 100
        )
        .into_bytes()
    };
    (0..count).map(invoice).collect()
}

fn main() {
    let file = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let invoices: Vec<Vec<u8>> = match &file {
        Some(path) => {
            let text = std::fs::read(path).unwrap_or_else(|error| panic!("reading {path}: {error}"));
            text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
        }
        None => made(100_000),
    };
    let bytes: usize = invoices.iter().map(Vec::len).sum();
    println!("{} invoices, {} bytes each on average", invoices.len(), bytes / invoices.len().max(1));

    let engine = Engine::new(EngineConfig::default()).expect("the engine starts");
    let stores = (0..1000).map(|n| (Bytes::from(format!("S{n:03}")), Bytes::new()));
    let config = FunctionConfig {
        name: "checked".to_owned(),
        tables: BTreeMap::from([("stores".to_owned(), Arc::new(Table::new(stores)))]),
        ..FunctionConfig::default()
    };
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../pipelines/examples/store-invoices/check_invoice.wasm");
    let start = Instant::now();
    let function = engine.load_file(path.as_ref(), config).expect("the component loads");
    println!("load (compile, link, init): {:.1} ms", start.elapsed().as_secs_f64() * 1e3);

    for size in [1, 10, 100, 1000] {
        // The least time of each batch over the rounds, added up: what other processes take does not count.
        let mut best = vec![f64::MAX; invoices.len().div_ceil(size)];
        let (mut emits, mut failed, mut fuel, mut batch) = (0, 0, 0, Batch::new());
        for _ in 0..10 {
            (emits, failed, fuel) = (0, 0, function.fuel_spent());
            for (part, best) in invoices.chunks(size).zip(&mut best) {
                let start = Instant::now();
                batch.clear();
                for value in part {
                    batch.push(&Record { value: Some(value), ..Record::default() });
                }
                let outcome = function.process(&batch).expect("nothing transient");
                emits += outcome.emits.len();
                failed += outcome.failed.len();
                drop(outcome);
                *best = best.min(start.elapsed().as_secs_f64());
            }
        }
        let fuel = (function.fuel_spent() - fuel) / invoices.len() as u64;
        let best: f64 = best.iter().sum();
        println!(
            "batch {size:>4}: {:>6.0} ns a record, {:>4.0} MB/s, {fuel} fuel a record, {emits} pass, {failed} fail",
            best * 1e9 / invoices.len() as f64,
            bytes as f64 / best / 1e6
        );
    }
}
