//! Verdicts as data: what is wanted, as it stands in a file, what is there, and what is said.

use super::*;
use crate::bench::found::row_of_json;

/// A value as a pipeline file would give it.
fn value(json: &serde_json::value::RawValue) -> Value {
    match Found::of_json(json) {
        Found::Null => Value::Null,
        Found::Bool(value) => Value::Bool(value),
        Found::Number(text) => Value::Number(text),
        Found::Text(text) => Value::Text(text),
        Found::List(_) => {
            let items: Vec<Box<serde_json::value::RawValue>> = serde_json::from_str(json.get()).unwrap();
            Value::List(items.iter().map(|item| value(item)).collect())
        }
        _ => {
            let map: BTreeMap<String, Box<serde_json::value::RawValue>> =
                serde_json::from_str(json.get()).unwrap();
            Value::Map(map.into_iter().map(|(name, item)| (name, value(&item))).collect())
        }
    }
}

fn spanned(json: &str) -> Spanned<Value> {
    Spanned::new(
        value(&serde_json::from_str::<Box<serde_json::value::RawValue>>(json).unwrap()),
        Span::default(),
    )
}

fn word(text: &str) -> Spanned<String> {
    Spanned::new(text.to_owned(), Span::default())
}

fn said(verdict: &Verdict) -> String {
    verdict.misses.iter().map(|miss| miss.text.as_str()).collect::<Vec<_>>().join(" | ")
}

fn rows(found: &[&str]) -> Vec<Row> {
    found.iter().map(|row| row_of_json(row.as_bytes())).collect()
}

#[test]
fn rows_are_found_in_any_order() {
    let exact = |wanted: &[&str], found: &[&str], subset| {
        let rows_wanted = Some(wanted.iter().map(|row| spanned(row)).collect());
        let expect = Expect { rows: rows_wanted, subset, count: None, unique_by: Vec::new() };
        said(&judge(&word("t"), &expect, &rows(found)))
    };
    let a = r#"{"a":1,"b":"x"}"#;
    for (wanted, found, subset, expected) in [
        (&[][..], &[][..], false, ""),
        (&[a], &[a], false, ""),
        (&[a, r#"{"a":2}"#], &[r#"{"a":2}"#, a], false, ""),
        (&[a], &[r#"{"a":1.00,"b":"x","c":null}"#], false, ""),
        (&[a], &[r#"{"a":1,"b":"x","c":0}"#], false, r#"t: no row is {"a":1,"b":"x"}"#),
        (&[a], &[r#"{"a":1,"b":"x","c":0}"#], true, ""),
        (&[a], &[a, a], false, "t: 1 row wanted, and 1 is beside them; `match: subset` lets others be there"),
        (&[a, a], &[a], true, r#"t: no row has {"a":1,"b":"x"}"#),
        (&[r#"{"a":1,"b":null}"#], &[r#"{"a":1}"#], false, ""),
        (&[r#"{"a":"1"}"#], &[r#"{"a":1}"#], false, r#"t: no row is {"a":"1"}"#),
        // The first wanted row could take either, and has to leave the first one to the second.
        (&[r#"{"a":1}"#, a], &[a, r#"{"a":1,"b":"y"}"#], true, ""),
        (&[r#"{"l":[{"q":1}]}"#], &[r#"{"l":[{"q":1.0,"r":2}]}"#], true, ""),
        (&[r#"{"l":[{"q":1}]}"#], &[r#"{"l":[{"q":1.0,"r":2}]}"#], false, r#"t: no row is {"l":[{"q":1}]}"#),
        (&[r#"{"l":[1]}"#], &[r#"{"l":[1,2]}"#], true, r#"t: no row has {"l":[1]}"#),
    ] {
        assert_eq!(exact(wanted, found, subset), expected, "{wanted:?} of {found:?}");
    }
}

#[test]
fn numbers_and_times_are_what_they_mean() {
    let sql = |text: &str| Found::SqlText(text.to_owned());
    let json = |text: &str| row_of_json(text.as_bytes()).remove(0).1;
    let time = Found::Time(1_767_261_600_000_000);
    for (wanted, found, expected) in [
        ("120.5", sql("120.50"), true),
        ("120.50", json("120.5"), true),
        ("-0.0", json("0"), true),
        ("1200", json("1.2e3"), true),
        ("120.51", json("120.50"), false),
        ("120.5", json("\"120.5\""), false),
        ("9007199254740993", json("9007199254740992"), false),
        ("\"2026-01-01T10:00:00Z\"", time.clone(), true),
        ("\"2026-01-01T15:30:00.000+05:30\"", time.clone(), true),
        ("1767261600000", time.clone(), true),
        ("1767261600001", time, false),
        ("\"2026-01-01T10:00:00Z\"", json("1767261600000"), true),
        ("\"2026-01-01T10:00:00Z\"", json("\"2026-01-01T10:00:00.000Z\""), true),
        ("1767261600000", sql("2026-01-01T10:00:00.000Z"), true),
        ("\"2026-01-01\"", Found::Date(20_454), true),
        ("true", Found::SqlNumber("1".to_owned()), true),
        ("true", json("1"), false),
        ("null", json("null"), true),
        ("null", json("0"), false),
    ] {
        assert_eq!(same(&spanned(wanted).value, &found, false), expected, "{wanted} and {found:?}");
    }
}

#[test]
fn counts_and_keys_are_held_against_the_rows() {
    let found = rows(&[r#"{"s":"A","i":1}"#, r#"{"s":"A","i":2}"#, r#"{"s":"A","i":2}"#]);
    let expect = |count, columns: &[&str]| Expect {
        rows: None,
        subset: false,
        count,
        unique_by: columns.iter().map(|column| word(column)).collect(),
    };
    for (expect, expected) in [
        (expect(Some(3), &[]), ""),
        (expect(Some(1), &[]), "t: 1 row wanted, 3 are there"),
        (expect(None, &["s", "i"]), r#"t: one row at most may have {"s":"A","i":2}, 2 have it"#),
        (expect(None, &["s", "j"]), "t: no row has a column \"j\""),
    ] {
        let verdict = judge(&word("t"), &expect, &found);
        assert_eq!(said(&verdict), expected);
        assert_eq!(verdict.found.len(), if expected.is_empty() { 0 } else { 3 });
    }
    assert_eq!(said(&judge(&word("t"), &expect(Some(0), &["s"]), &[])), "");
    let long = rows(&[&format!("{{\"t\":\"{}\"}}", "é".repeat(1_000))]);
    let verdict = judge(&word("t"), &expect(Some(0), &[]), &long);
    assert!(verdict.found[0].ends_with('…') && verdict.found[0].chars().count() == ROW_TEXT_MAX + 1);
}
