//! `millstream new` from the outside: whatever it writes validates, passes its own tests and runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_millstream");

fn run(folder: &Path, line: &str) -> (i32, String, String) {
    let output = Command::new(BINARY)
        .args(line.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8");
    (output.status.code().expect("it exits"), text(output.stdout), text(output.stderr))
}

/// Makes a pipeline, and holds what it is against what was promised of it. The folder it is in.
fn made(from: &str, to: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, out, err) = run(folder.path(), &format!("new shop-1 --from {from} --to {to}"));
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, "millstream test shop-1/pipeline.yaml\nmillstream run shop-1/pipeline.yaml\n");
    let (code, out, err) = run(folder.path(), "validate shop-1/pipeline.yaml");
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", ""));
    let (code, out, err) = run(folder.path(), "test shop-1/pipeline.yaml");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.ends_with("2 passed, 0 failed\n"), "{out}");
    folder
}

/// The names of files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("it is there") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path.display().to_string()),
        }
    }
    found
}

#[test]
fn files_end_in_parquet() {
    let folder = made("file", "parquet");
    let (code, out, err) = run(folder.path(), "run shop-1/pipeline.yaml");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("rows of priced") && out.contains("read 5 = unique 4 + repeats 1"), "{out}");
    let lake = files(&folder.path().join("shop-1/out/orders/at_day=2026-03-02"));
    assert!(!lake.is_empty() && lake.iter().all(|name| name.ends_with(".parquet")), "{lake:?}");
    // Again: everything has been read.
    let (code, _, _) = run(folder.path(), "run shop-1/pipeline.yaml");
    assert_eq!((code, files(&folder.path().join("shop-1/out/orders/at_day=2026-03-02"))), (0, lake));
}

#[test]
fn files_end_in_a_table() {
    let folder = made("file", "sqlite");
    let (code, out, err) = run(folder.path(), "run shop-1/pipeline.yaml");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(folder.path().join("shop-1/out/orders.db").is_file());
    // What an edit would do to what has run is told, and is so.
    let plan = || run(folder.path(), "plan shop-1/pipeline.yaml").1;
    assert!(plan().ends_with("\nsince it last ran\n  = once keeps its state\n"), "{}", plan());
    let file = folder.path().join("shop-1/pipeline.yaml");
    let text = std::fs::read_to_string(&file).expect("it is there");
    let edited =
        text.replace("key: [customer, order_id]\n    within", "key: [customer, order_id, item]\n    within");
    assert_ne!(text, edited);
    std::fs::write(&file, edited).expect("it is written");
    assert!(
        plan().ends_with("  ~ once starts anew, with no state: its definition has changed\n"),
        "{}",
        plan()
    );
    let (code, out, err) = run(folder.path(), "run shop-1/pipeline.yaml");
    assert!(code == 0 && err.contains("its definition has changed since it last ran"), "{out}{err}");
}

#[test]
fn requests_are_served() {
    for to in ["parquet", "sqlite"] {
        let folder = made("http_server", to);
        let mut running = Command::new(BINARY)
            .args(["run", "shop-1/pipeline.yaml", "--set", "sources.shop.listen=127.0.0.1:0"])
            .current_dir(folder.path())
            .env("MILLSTREAM_LOG", "millstream_http=info")
            .env("NO_COLOR", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut said = BufReader::new(running.stderr.take().expect("it is piped")).lines();
        let address = said.find_map(|line| {
            let line = line.expect("it prints UTF-8");
            line.split_once("address=").map(|(_, rest)| rest.split(' ').next().unwrap_or_default().to_owned())
        });
        let order = r#"{"order_id":"1","customer":"ada","at":"2026-01-01T10:00:00Z","item":"tea","quantity":2,"price":3.5}"#;
        let mut peer = std::net::TcpStream::connect(address.expect("it tells")).expect("it listens");
        let length = order.len();
        write!(
            peer,
            "POST /orders HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{order}"
        )
        .expect("it takes the request");
        let mut answer = String::new();
        peer.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let pid = running.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("it is there").success());
        assert!(running.wait().expect("it ends").success());
    }
}

#[test]
fn nothing_is_overwritten_and_names_have_rules() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("taken")).expect("it is made");
    for (name, said) in [
        ("taken", "it is there already"),
        ("nowhere/shop", "the folder that it would be in is not there"),
        ("Shop", "cannot name a pipeline"),
        ("shop-", "cannot name a pipeline"),
        ("..", "naming a pipeline after its folder, \"\""),
    ] {
        let (code, out, err) = run(folder.path(), &format!("new {name} --from file --to sqlite"));
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains(said), "{err}");
    }
    let (code, _, err) = run(folder.path(), "new shop --from file --to oracle");
    assert!(code == 2 && err.contains("sqlite"), "{err}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 1);
}
