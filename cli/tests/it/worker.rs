//! `millstream worker` from the outside, where it runs nothing. What it runs is tried by `tests/e2e/worker.sh`.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_millstream");

fn run(folder: &Path, options: &[&str]) -> (i32, String) {
    let output = Command::new(BINARY).args(options).current_dir(folder).output().expect("the binary starts");
    (output.status.code().expect("it exits"), String::from_utf8(output.stderr).expect("UTF-8"))
}

#[test]
fn what_two_files_have_is_refused_with_both_places() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["orders", "returns"] {
        let (code, err) = run(folder.path(), &["new", name, "--from", "file", "--to", "sqlite"]);
        assert_eq!(code, 0, "{err}");
    }
    let both = ["worker", "orders", "returns", "--no-watch"];
    let (code, err) = run(folder.path(), &both);
    assert!(
        code == 1
            && err.contains("the topic \"orders\" in the middle of a pipeline at orders/pipeline.yaml:")
    );
    assert!(err.contains(" is the one at returns/pipeline.yaml:"), "{err}");
    let file = folder.path().join("returns/pipeline.yaml");
    let text = std::fs::read_to_string(&file).expect("it is there");
    std::fs::write(&file, text.replace("name: returns", "name: orders")).expect("it is written");
    let (code, err) = run(folder.path(), &both);
    assert_eq!(code, 1, "{err}");
    for (here, there) in [("orders", "returns"), ("returns", "orders")] {
        let line = format!(
            "{here}/pipeline.yaml: the name \"orders\" at {here}/pipeline.yaml:6:7 is the one at {there}/pipeline.yaml:6:7"
        );
        assert!(err.contains(&line), "{err}");
    }
    let last =
        "not all ran as their files say: orders/pipeline.yaml (refused), returns/pipeline.yaml (refused)";
    assert!(err.trim_end().ends_with(last), "{err}");
}

#[test]
fn what_cannot_be_run_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, err) = run(folder.path(), &["worker", "nothing"]);
    assert!(code == 2 && err.contains("reading nothing"), "{err}");
    let (code, err) = run(folder.path(), &["worker", ".", "--no-watch"]);
    assert!(code == 2 && err.contains("there is no *.yaml or *.yml"), "{err}");
    std::fs::write(folder.path().join("broken.yaml"), "version: 1\n").expect("it is written");
    let (code, err) = run(folder.path(), &["worker", ".", "--no-watch"]);
    assert!(code == 1 && err.contains("error[MS") && err.contains("broken.yaml (faulty)"), "{err}");
}

/// A pipeline that keeps what is not `kept`, by the broker and with the sink that these lines say.
fn save(folder: &Path, kept: &str, broker: &str, sink: &str) {
    let text = format!(
        "version: 1\nname: waits\nbroker: {broker}\n\
         schemas: {{ event: {{ fields: {{ id: {{ type: string, required: true }} }} }} }}\n\
         topics: {{ events: {{ partitions: 1 }} }}\n\
         sources: {{ events: {{ type: topic, topic: events, schema: event }} }}\n\
         transforms: {{ kept: {{ type: filter, inputs: [events], where: \"id <> '{kept}'\" }} }}\n\
         sinks: {{ away: {{ {sink}, inputs: [kept] }} }}\n"
    );
    std::fs::write(folder.join("aside"), text).expect("it is written");
    std::fs::rename(folder.join("aside"), folder.join("waits.yaml")).expect("it is put in its place");
}

fn start(folder: &Path) -> Child {
    let mut worker = Command::new(BINARY);
    worker.args(["worker", ".", "--data", "data"]).current_dir(folder);
    worker.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
}

/// Stops it; its exit code and what it complained of.
fn stop(worker: Child) -> (Option<i32>, String) {
    let stop = Command::new("kill").args(["-TERM", &worker.id().to_string()]).status();
    assert!(stop.expect("it is stopped").success());
    let output = worker.wait_with_output().expect("it ends");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_has_not_begun_makes_room_and_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    // A broker that never answers.
    let broker = TcpListener::bind("127.0.0.1:0").expect("it listens");
    let silent = format!("{{ bootstrap: [\"{}\"] }}", broker.local_addr().expect("it has an address"));
    save(folder.path(), "a", &silent, "type: blackhole");
    let worker = start(folder.path());
    let mut first = broker.accept().expect("it comes").0;
    save(folder.path(), "b", &silent, "type: blackhole");
    // The new version takes the place of the one that waits.
    while first.read(&mut [0; 4096]).expect("it is read") > 0 {}
    let _second = broker.accept().expect("the new one comes");
    assert_eq!(stop(worker), (Some(0), String::new()));
}

#[test]
fn the_version_that_worked_comes_back_behind_two_that_do_not_begin() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = TcpListener::bind("127.0.0.1:0").expect("it listens");
    let silent = format!("{{ bootstrap: [\"{}\"] }}", broker.local_addr().expect("it has an address"));
    save(folder.path(), "a", "embedded", "type: blackhole");
    let mut worker = start(folder.path());
    let mut said = BufReader::new(worker.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    assert!(said.any(|line| line.starts_with("waits: running")));
    save(folder.path(), "b", &silent, "type: blackhole");
    let _waits = broker.accept().expect("the new one comes");
    let sink = "type: sqlite, path: waits.yaml/x.db, table: t, mode: upsert, key: [id]";
    save(folder.path(), "c", "embedded", sink);
    assert!(said.any(|line| line == "waits: the new version did not start; the one before goes on"));
    assert!(said.any(|line| line.starts_with("waits: running")));
    let (code, err) = stop(worker);
    assert!(code == Some(1) && err.contains("waits.yaml (an earlier version)"), "{err}");
}
