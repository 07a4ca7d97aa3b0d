//! `millstream worker` from the outside, where it runs nothing. What it runs is tried by `tests/e2e/worker.sh`.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

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

#[test]
fn what_has_not_begun_makes_room_and_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    // A broker that never answers.
    let broker = TcpListener::bind("127.0.0.1:0").expect("it listens");
    let address = broker.local_addr().expect("it has an address");
    let save = |kept: &str| {
        let text = format!(
            "version: 1\nname: waits\nbroker: {{ bootstrap: [\"{address}\"] }}\n\
             schemas: {{ event: {{ fields: {{ id: {{ type: string, required: true }} }} }} }}\n\
             topics: {{ events: {{ partitions: 1 }} }}\n\
             sources: {{ events: {{ type: topic, topic: events, schema: event }} }}\n\
             transforms: {{ kept: {{ type: filter, inputs: [events], where: \"id <> '{kept}'\" }} }}\n\
             sinks: {{ away: {{ type: blackhole, inputs: [kept] }} }}\n"
        );
        std::fs::write(folder.path().join("waits.yaml"), text).expect("it is written");
    };
    save("a");
    let worker = Command::new(BINARY)
        .args(["worker", ".", "--data", "data"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let first = broker.accept().expect("it comes");
    save("b");
    // The new version takes the place of the one that waits.
    while std::io::Read::read(&mut &first.0, &mut [0; 4096]).expect("it is read") > 0 {}
    let second = broker.accept().expect("the new one comes");
    let stop = Command::new("kill").args(["-TERM", &worker.id().to_string()]).status();
    assert!(stop.expect("it is stopped").success());
    let output = worker.wait_with_output().expect("it ends");
    drop(second);
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), err.as_ref()), (Some(0), ""));
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(out.contains("waits: stopping at a commit") && !out.contains("did not start"), "{out}");
}
