//! `millstream generate invoices`: stable bytes, the promised faults, counts that an independent recount confirms.

use millstream::generate::{Expected, Settings, invoices};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder can be listed") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let inside = path.strip_prefix(dir).expect("it lies inside").to_owned();
                found.insert(inside, std::fs::read(&path).expect("the file can be read"));
            }
        }
    }
    found
}

fn made(settings: Settings) -> (tempfile::TempDir, Expected) {
    let dir = tempfile::tempdir().expect("a folder");
    let expected = invoices(&settings, dir.path()).expect("the files are written");
    (dir, expected)
}

#[test]
fn a_seed_gives_the_same_bytes_and_another_seed_others() {
    let settings = Settings { lines: 3_000, seed: 5, stores: 20 };
    let (first, second) = (made(settings), made(settings));
    assert_eq!(files(first.0.path()), files(second.0.path()));
    let other = made(Settings { seed: 6, ..settings });
    assert_ne!(files(first.0.path()), files(other.0.path()));
    // Of every version, on every machine: a change of these bytes is a change of every demo's figures.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for (path, content) in files(first.0.path()) {
        for byte in path.to_string_lossy().bytes().chain(content) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    assert_eq!(format!("{hash:016x}"), "54b03a54306ab04a", "the bytes of seed 5 have changed");
}

#[test]
fn the_files_hold_the_faults_that_were_promised_in_their_shares() {
    let lines = 60_000;
    let (dir, expected) = made(Settings { lines, seed: 1, stores: 400 });
    let share = |count: u64| count * 100_000 / lines;
    assert_eq!(expected.lines, lines);
    assert!((450..550).contains(&share(expected.repeats)), "{expected:?}");
    assert!((5..50).contains(&share(expected.conflicting_repeat)), "{expected:?}");
    assert!((230..370).contains(&share(expected.malformed_json)), "{expected:?}");
    assert!((150..250).contains(&share(expected.missing_store)), "{expected:?}");
    assert!((190..310).contains(&share(expected.negative_qty)), "{expected:?}");
    assert!((190..310).contains(&share(expected.bad_total)), "{expected:?}");
    assert!((20..80).contains(&share(expected.an_hour_late)), "{expected:?}");
    assert!((650..710).contains(&(expected.bytes / lines)), "{} bytes a line", expected.bytes / lines);

    let (mut count, mut bytes, mut broken, mut longest) = (0, 0, 0, 0);
    for (path, content) in files(dir.path()) {
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            assert_eq!(content.last(), Some(&b'\n'), "{}", path.display());
            for line in content.split_inclusive(|byte| *byte == b'\n') {
                count += 1;
                bytes += line.len() as u64;
                broken += u64::from(std::str::from_utf8(line).is_err());
                longest = longest.max(line.len());
            }
        }
    }
    assert_eq!((count, bytes), (expected.lines, expected.bytes));
    // A cut anywhere may fall inside a character too.
    assert!((expected.cut_in_a_character..expected.cut_in_a_character + 40).contains(&broken), "{broken}");
    assert!((2_000..5_000).contains(&longest), "the longest line has {longest} bytes");
    let stores = std::fs::read_to_string(dir.path().join("stores.csv")).expect("the store table is there");
    assert_eq!(stores.lines().count(), 401);
    let cities: std::collections::BTreeSet<&str> =
        stores.lines().skip(1).filter_map(|line| line.split(',').nth(2)).collect();
    assert_eq!(cities.len(), 40);
    let json = std::fs::read_to_string(dir.path().join("expected.json")).expect("it is there");
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    let total = ["unique", "repeats"].iter().map(|name| json[name].as_u64()).sum::<Option<u64>>();
    let rejected = json["rejected"].as_object().expect("it is an object").values();
    let rejected: Option<u64> = rejected.map(serde_json::Value::as_u64).sum();
    assert_eq!(total.zip(rejected).map(|(a, b)| a + b), json["lines"].as_u64());
}

#[test]
fn a_recount_by_other_code_finds_what_is_expected() {
    if Command::new("python3").arg("--version").output().is_err() {
        millstream_skip::skip("a recount by other code", "python3 is missing");
        return;
    }
    for (lines, seed, stores) in [(1, 1, 1), (500, 2, 3), (40_000, 3, 400)] {
        let (dir, expected) = made(Settings { lines, seed, stores });
        let recount = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/e2e/recount.py"))
            .arg(dir.path())
            .arg("--expect")
            .arg(dir.path().join("expected.json"))
            .output()
            .expect("python3 runs");
        let errors = String::from_utf8_lossy(&recount.stderr);
        assert!(recount.status.success(), "{lines} lines, seed {seed}: {errors}\n{expected:?}");
    }
}

#[test]
fn exit_codes_and_messages() {
    let run = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_millstream")).args(arguments).output().expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let dir = tempfile::tempdir().expect("a folder");
    let inside = dir.path().join("in");
    let path = inside.to_str().expect("the path is UTF-8");
    let generate = ["generate", "invoices", "--dir", path, "--n"];
    let (code, text) = run(&[&generate[..], &["100"]].concat());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("100 lines of "), "{text}");
    let (code, text) = run(&[&generate[..], &["100"]].concat());
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("is not empty; name an empty folder"), "{text}");
    for (arguments, wanted) in [
        (&["generate", "invoices", "--n", "0", "--dir", "x"][..], "0 is not in 1..=1000000000"),
        (&["generate", "invoices", "--n", "5"], "--dir"),
        (&["generate", "invoices", "--n", "5", "--dir", "x", "--stores", "0"], "0 is not in"),
        (&["generate", "nothing"], "nothing"),
        (&[], "Usage"),
    ] {
        let (code, text) = run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
        assert!(text.contains(wanted), "{arguments:?}: {text}");
    }
    let (code, text) = run(&["generate", "invoices", "--help"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("Example: millstream generate invoices"), "{text}");
    let (code, text) = run(&["generate", "invoices", "--n", "5", "--dir", "/dev/null/x"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("writing /dev/null/x"), "{text}");
}
