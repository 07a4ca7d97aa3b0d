//! The store-invoice check over `invoices.txt`: what it refuses and why, and the normal form of what it passes.

use crate::support::{batch, build, check_invoice, check_invoice_at};
use bytes::Bytes;
use millstream_wasm::{Batch, Function};

/// A line of the corpus: `reason<TAB>invoice`, or `ok<TAB>invoice<TAB>normal form`; `%XX` is a byte.
struct Case {
    line: usize,
    reason: String,
    invoice: Vec<u8>,
    normal: Vec<u8>,
}

fn unpercent(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'%' {
            let hex = std::str::from_utf8(&after[..2]).expect("two digits follow %");
            bytes.push(u8::from_str_radix(hex, 16).expect("two digits follow %"));
            rest = &after[2..];
        } else {
            bytes.push(*byte);
        }
    }
    bytes
}

fn corpus() -> Vec<Case> {
    let lines = include_str!("invoices.txt").lines().enumerate();
    lines
        .filter(|(_, text)| !text.is_empty() && !text.starts_with('#'))
        .map(|(at, text)| {
            let mut parts = text.split('\t');
            let mut part = || parts.next().unwrap_or_default();
            let reason = part().to_owned();
            Case { line: at + 1, reason, invoice: unpercent(part()), normal: unpercent(part()) }
        })
        .collect()
}

#[test]
fn every_invoice_of_the_corpus_gets_its_verdict() {
    let (function, _) = check_invoice(&["S1", "S é", "S\"2"]);
    check_corpus(&function);
}

#[test]
fn the_component_built_from_its_source_behaves_as_the_committed_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let built = folder.path().join("check_invoice.wasm");
    if !build("store-invoices/check-invoice", &built) {
        return;
    }
    let (function, _) = check_invoice_at(&built, &["S1", "S é", "S\"2"]);
    check_corpus(&function);
}

fn check_corpus(function: &Function) {
    let cases = corpus();
    assert!(cases.len() > 100, "the corpus has {} cases", cases.len());
    // All in one batch, and each alone: the verdict is the same (WA-1).
    let together =
        function.process(&batch(cases.iter().map(|case| &case.invoice))).expect("nothing transient");
    for (at, case) in cases.iter().enumerate() {
        let alone = function.process(&batch([&case.invoice])).expect("nothing transient");
        let shown = String::from_utf8_lossy(&case.invoice);
        let failed = together.failed.iter().find(|failed| failed.input as usize == at);
        let emitted: Vec<_> = together.emits.iter().filter(|emit| emit.input as usize == at).collect();
        if case.reason == "ok" {
            assert_eq!(failed, None, "line {}: {shown}", case.line);
            assert_eq!(emitted.len(), 1, "line {}: {shown}", case.line);
            assert_eq!(alone.emits[0].value, emitted[0].value, "line {}", case.line);
            let value = emitted[0].value.as_deref().unwrap_or_default();
            if !case.normal.is_empty() {
                let (is, wanted) = (String::from_utf8_lossy(value), String::from_utf8_lossy(&case.normal));
                assert_eq!(is, wanted, "line {}", case.line);
            }
            let json: serde_json::Value = serde_json::from_slice(value).expect("the normal form is JSON");
            let key = emitted[0].key.as_deref().unwrap_or_default();
            assert_eq!(json["store_id"].as_str().map(str::as_bytes), Some(key), "line {}", case.line);
            // Normal is normal: it passes again, unchanged.
            let again = function.process(&batch([value])).expect("nothing transient");
            assert_eq!(again.emits[0].value.as_deref(), Some(value), "line {}", case.line);
            assert_eq!(again.emits[0].timestamp_ms, emitted[0].timestamp_ms, "line {}", case.line);
        } else {
            assert_eq!(emitted, Vec::<&millstream_wasm::Emit>::new(), "line {}: {shown}", case.line);
            let code = failed.map(|failed| &*failed.code);
            assert_eq!(code, Some(&*case.reason), "line {}: {shown}: {failed:?}", case.line);
            assert_eq!(alone.failed[0].code, case.reason, "line {}: {shown}", case.line);
            assert_eq!(failed.map(|failed| &failed.reason), Some(&alone.failed[0].reason));
        }
    }
}

#[test]
fn every_cut_of_an_invoice_is_malformed_and_serde_agrees_on_every_flipped_byte() {
    let (function, _) = check_invoice(&["S1"]);
    let good = r#"{"invoice_id":"a-1","store_id":"S1","counter_id":3,"issued_at":"2026-03-02T10:15:30.250Z","currency":"INR","payment_method":"card","lines":[{"sku":"K","name":"चाय \n 250 g","qty":2,"unit_price":88.5,"discount":7.0,"tax":17.0}],"total":187.0}"#;
    let good = good.as_bytes();
    let cuts = function.process(&batch((0..good.len()).map(|cut| &good[..cut]))).expect("nothing transient");
    assert_eq!(cuts.emits, vec![]);
    assert_eq!(cuts.failed.len(), good.len());
    assert!(cuts.failed.iter().all(|failed| failed.code == "malformed_json"));

    let mut flipped = Vec::new();
    for at in 0..good.len() {
        for byte in [0, b' ', b'"', b'\\', b',', b'0', b'a', b'{', b'}', 0x80, 0xc3, 0xff, good[at] ^ 1] {
            let mut bad = good.to_vec();
            bad[at] = byte;
            flipped.push(bad);
        }
    }
    let outcome = function.process(&batch(&flipped)).expect("nothing transient");
    let mut refused = outcome.failed.iter().peekable();
    for (at, invoice) in flipped.iter().enumerate() {
        let failed = refused.next_if(|failed| failed.input as usize == at);
        let json: Option<serde_json::Value> = serde_json::from_slice(invoice).ok();
        // What serde refuses is malformed; what is malformed though serde takes it has fields of wrong types or names.
        if json.is_none() {
            let code = failed.map(|failed| &*failed.code);
            assert_eq!(code, Some("malformed_json"), "{}", String::from_utf8_lossy(invoice));
        } else if let (Some(failed), Some(json)) = (failed, json)
            && failed.code == "malformed_json"
        {
            let line = &json["lines"][0];
            let well = json["invoice_id"].is_string()
                && json["store_id"].is_string()
                && json["counter_id"].is_i64()
                && json["issued_at"].as_str().is_some_and(|time| time.len() == 24)
                && json["currency"].is_string()
                && json["payment_method"].is_string()
                && line["sku"].is_string()
                && line["qty"].is_i64()
                && ["unit_price", "discount", "tax"].iter().all(|field| line[field].is_number())
                && json["total"].is_number();
            let time = json["issued_at"].as_str().unwrap_or_default();
            let exponent = invoice.windows(2).any(|pair| pair[0].is_ascii_digit() && pair[1] | 32 == b'e');
            assert!(
                !well || exponent || failed.reason.contains("issued_at"),
                "{failed:?}: {time}: {}",
                String::from_utf8_lossy(invoice)
            );
        }
    }
}

#[test]
fn an_invoice_of_a_megabyte_passes_and_one_beyond_the_memory_fails_alone() {
    let (function, _) = check_invoice(&["S1"]);
    let invoice = |lines: usize| {
        let line = r#"{"sku":"K-1","name":"a name of some length, as names go","qty":1,"unit_price":1.25,"discount":0,"tax":0}"#;
        let total = format!("{}.{:02}", lines * 125 / 100, lines * 125 % 100);
        format!(
            r#"{{"invoice_id":"a","store_id":"S1","counter_id":1,"issued_at":0,"currency":"INR","payment_method":"cash","lines":[{}],"total":{total}}}"#,
            vec![line; lines].join(",")
        )
    };
    let (small, large, huge) = (invoice(1), invoice(10_000), invoice(400_000));
    assert!(large.len() > 1_000_000, "{}", large.len());
    let outcome = function.process(&batch([&small, &large, &huge, &small])).expect("nothing transient");
    let emitted: Vec<u32> = outcome.emits.iter().map(|emit| emit.input).collect();
    assert_eq!(emitted, vec![0, 1, 3]);
    assert_eq!(outcome.failed.len(), 1);
    assert_eq!((outcome.failed[0].input, &*outcome.failed[0].code), (2, "function_memory"));
}

#[test]
fn a_store_that_is_added_or_removed_is_seen_by_the_next_batch() {
    let (function, stores) = check_invoice(&["S1"]);
    let invoice = r#"{"invoice_id":"a","store_id":"S2","counter_id":1,"issued_at":0,"currency":"INR","payment_method":"cash","lines":[{"sku":"K","qty":1,"unit_price":1,"discount":0,"tax":0}],"total":1}"#;
    let is_known = || function.process(&batch([invoice])).expect("nothing transient").failed.is_empty();
    assert!(!is_known());
    stores.update([(Bytes::from_static(b"S2"), Some(Bytes::new()))]);
    assert!(is_known());
    stores.replace([]);
    assert!(!is_known());
}

#[test]
fn a_tombstone_and_an_empty_batch_are_no_trap() {
    let (function, _) = check_invoice(&[]);
    let mut tombstone = Batch::new();
    tombstone.push(&millstream_wasm::Record::default());
    let outcome = function.process(&tombstone).expect("nothing transient");
    assert_eq!(outcome.failed[0].code, "malformed_json");
    assert_eq!(function.process(&Batch::new()).expect("nothing transient"), Default::default());
}
