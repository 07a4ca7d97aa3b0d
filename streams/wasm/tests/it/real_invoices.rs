//! The check over a real retailer's invoices (Online Retail, UCI Machine Learning Repository,
//! https://doi.org/10.24432/C5BW33), where they are present: in the folder that MILLSTREAM_REAL_INVOICES names, or in
//! `../shared/data` beside the repository.

use crate::support::{batch, check_invoice, repository};
use std::io::Read;
use std::path::PathBuf;

#[test]
fn the_real_invoices_give_the_known_counts() {
    let folder = std::env::var_os("MILLSTREAM_REAL_INVOICES").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| repository().join("../shared/data"));
    let Ok(packed) = std::fs::read(folder.join("uci_invoices.jsonl.gz")) else {
        let named = std::env::var_os("MILLSTREAM_REAL_INVOICES").is_some();
        assert!(
            !named,
            "MILLSTREAM_REAL_INVOICES names {}, which has no uci_invoices.jsonl.gz",
            folder.display()
        );
        eprintln!(
            "SKIP the_real_invoices_give_the_known_counts: no uci_invoices.jsonl.gz in {}",
            folder.display()
        );
        return;
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).expect("the file is whole");
    let stores = std::fs::read_to_string(folder.join("uci_stores.csv")).expect("the stores lie beside");
    let stores: Vec<&str> = stores.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
    let (function, _) = check_invoice(&stores);

    let lines: Vec<&str> = text.lines().collect();
    let (mut valid, mut negative, mut hundredths) = (0, 0, 0_i64);
    for part in lines.chunks(500) {
        let outcome = function.process(&batch(part)).expect("nothing transient");
        valid += outcome.emits.len();
        for failed in &outcome.failed {
            assert_eq!(failed.code, "negative_qty", "{failed:?}: {}", part[failed.input as usize]);
            negative += 1;
        }
        for emit in &outcome.emits {
            let value = std::str::from_utf8(emit.value.as_deref().unwrap_or_default()).expect("it is JSON");
            let total = value.rsplit_once(r#""total":"#).expect("the total comes last").1;
            hundredths +=
                total.trim_end_matches('}').replace('.', "").parse::<i64>().expect("two decimal places");
        }
    }
    assert_eq!((lines.len(), valid, negative, hundredths), (1_893, 1_525, 368, 75_571_718));
}
