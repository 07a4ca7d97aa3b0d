//! `millstream worker` from the outside, where it runs nothing. What it runs is tried by `tests/e2e/worker.sh`.

use std::path::Path;
use std::process::Command;

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
