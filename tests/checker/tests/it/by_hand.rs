//! Histories in `testdata`: everything in `good` is good; each file in `bad` names in its first line what it shows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use millstream_checker::{Kind, judge};

fn histories(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(folder);
    let mut found: Vec<(PathBuf, String)> = fs::read_dir(&folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.clone(), fs::read_to_string(path).expect("a history")))
        .collect();
    found.sort();
    found
}

fn kinds(path: &Path, text: &str) -> BTreeSet<&'static str> {
    let verdict = judge(text.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    verdict.anomalies.keys().map(|kind| kind.name()).collect()
}

#[test]
fn good_histories_are_good() {
    let histories = histories("good");
    assert!(histories.len() >= 6, "{} good histories", histories.len());
    for (path, text) in histories {
        assert_eq!(kinds(&path, &text), BTreeSet::new(), "{}", path.display());
    }
}

#[test]
fn bad_histories_show_what_they_name_and_nothing_else() {
    let mut shown = BTreeSet::new();
    for (path, text) in histories("bad") {
        let first = text.lines().next().unwrap_or_default();
        let expected: BTreeSet<&str> =
            first.strip_prefix("# expect:").expect("what it shows").split(',').map(str::trim).collect();
        assert_eq!(kinds(&path, &text), expected, "{}", path.display());
        let verdict = judge(text.as_bytes()).expect("judged before");
        for anomaly in verdict.anomalies.values().flat_map(|found| &found.examples) {
            assert!(!anomaly.lines.is_empty(), "{}: {}", path.display(), anomaly.text);
        }
        shown.extend(verdict.anomalies.into_keys());
    }
    for kind in Kind::ALL {
        assert!(shown.contains(&kind), "no history shows {kind}");
    }
}

#[test]
fn what_is_no_history_is_refused_with_its_line() {
    let invoke = r#"{"time":0,"process":1,"f":"send","type":"invoke","sends":[["t-0",1,null]]}"#;
    let cases = [
        ("{", "line 1"),
        (r#"{"time":0,"process":1,"f":"send","type":"ok"}"#, "ends what it has not begun"),
        (r#"{"time":0,"process":1,"f":"end","type":"invoke"}"#, "no open transaction"),
        (r#"{"time":0,"process":1,"f":"juggle","type":"ok"}"#, "line 1"),
        (r#"{"time":0,"process":1,"f":"log","type":"ok"}"#, "without log"),
        (&format!("{invoke}\n{invoke}"), "line 2"),
        (&format!("{invoke}\n{}", r#"{"time":0,"process":1,"f":"send","type":"ok"}"#), "0 of 1 sends"),
    ];
    for (text, expected) in cases {
        let error = judge(text.as_bytes()).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
