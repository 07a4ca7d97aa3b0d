//! `millstream dev` from the outside: the broker stays while versions of the pipeline come and go. What is waited for is a
//! line that it prints.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_millstream");

struct Dev {
    process: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Dev {
    /// A new pipeline under `dev`.
    fn start(from: &str, options: &[&str]) -> Dev {
        let folder = tempfile::tempdir().expect("a folder");
        let made = Command::new(BINARY)
            .args(["new", "shop", "--from", from, "--to", "sqlite"])
            .current_dir(folder.path())
            .output()
            .expect("the binary starts");
        assert!(made.status.success());
        let mut process = Command::new(BINARY)
            .args(["dev", "shop/pipeline.yaml"])
            .args(options)
            .current_dir(folder.path())
            .env("MILLSTREAM_LOG", "millstream_http=info")
            .env("NO_COLOR", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let out = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let err = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        Dev { process, out, err, file: folder.path().join("shop/pipeline.yaml"), _folder: folder }
    }

    /// Reads on to the line that begins so; what is behind that.
    fn says(&mut self, start: &str) -> String {
        let line = self.out.find_map(|line| line.expect("UTF-8").strip_prefix(start).map(str::to_owned));
        line.unwrap_or_else(|| panic!("it ended without saying {start:?}"))
    }

    fn complains(&mut self, of: &str) {
        assert!(self.err.any(|line| line.expect("UTF-8").contains(of)), "it ended without a word of {of:?}");
    }

    /// Where the source listens, once it does.
    fn listener(&mut self) -> String {
        let address = self.err.find_map(|line| {
            let line = line.expect("UTF-8");
            line.split_once("address=").map(|(_, rest)| rest.split(' ').next().unwrap_or_default().to_owned())
        });
        address.expect("it listens")
    }

    /// Writes another version of the file, as editors do: aside, and then in its place.
    fn save(&self, text: &str) {
        let aside = self.file.with_extension("new");
        std::fs::write(&aside, text).expect("it is written");
        std::fs::rename(&aside, &self.file).expect("it is renamed");
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.file).expect("it is there")
    }

    fn stop(mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("it is there").success());
        assert!(self.process.wait().expect("it ends").success());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn post(address: &str, id: u32) {
    let order = format!(
        r#"{{"order_id":"{id}","customer":"ada","at":"2026-01-01T10:00:00Z","item":"tea","quantity":2,"price":3.5}}"#
    );
    let mut peer = std::net::TcpStream::connect(address).expect("it listens");
    let length = order.len();
    write!(
        peer,
        "POST /orders HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{order}"
    )
    .expect("it takes the request");
    let mut answer = String::new();
    peer.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn topic(bootstrap: &str, topic: &str) -> usize {
    let output = Command::new(BINARY)
        .args(["consume", topic, "--until-end", "--bootstrap", bootstrap])
        .output()
        .expect("the binary starts");
    assert!(output.status.success());
    output.stdout.iter().filter(|byte| **byte == b'\n').count()
}

#[test]
fn a_good_version_takes_over_and_a_faulty_one_does_not() {
    let mut dev =
        Dev::start("http_server", &["--listen", "127.0.0.1:0", "--set", "sources.shop.listen=127.0.0.1:0"]);
    let broker = dev.says("ready ");
    dev.says("running shop");
    let listener = dev.listener();
    post(&listener, 1);
    let good = dev.text();

    dev.save(&good.replace("FROM once", "FORM once"));
    dev.says("changed: pipeline.yaml");
    dev.complains("error[MS1");
    dev.says("shop goes on as it was");
    post(&listener, 2);

    dev.save(&good.replace("orders: { partitions: 4", "orders: { partitions: 5"));
    dev.says("  ~ topic orders grows from 4 to 5 partitions");
    dev.complains("the partitions of a topic that is there stay as they are");
    dev.says("shop goes on as it was");

    dev.save(&good.replace("within: 24h", "within: 12h"));
    dev.says("changed: pipeline.yaml");
    dev.says("  = once keeps its state");
    dev.says("stopping shop at a commit");
    dev.says("running shop");
    let listener = dev.listener();
    post(&listener, 3);
    assert_eq!(topic(&broker, "orders"), 3, "the broker is the same");

    dev.save(
        &good.replace("key: [customer, order_id]\n    within", "key: [customer, order_id, item]\n    within"),
    );
    dev.says("  ~ once starts anew, with no state: its definition has changed");
    dev.says("running shop");
    let listener = dev.listener();
    post(&listener, 5);

    // Valid, and cannot begin: the folder of its table would be a file.
    dev.save(&good.replace("path: out/orders.db", "path: pipeline.yaml/orders.db"));
    dev.says("stopping shop at a commit");
    dev.complains("making the folder of sink \"database\"");
    dev.says("the new version did not start; the one before goes on");
    dev.says("running shop");
    let listener = dev.listener();
    post(&listener, 4);
    dev.stop();
}

#[test]
fn a_finite_pipeline_waits_for_a_change() {
    // Somebody has the port: this test, or whoever was before it.
    let _held = std::net::TcpListener::bind("127.0.0.1:9092");
    let mut dev = Dev::start("file", &[]);
    let port = dev.says("port 9092 is taken; the broker listens on ");
    assert_eq!(dev.says("ready "), format!("127.0.0.1:{port}"));
    dev.says("running shop");
    dev.says("read 5 = unique 4 + repeats 1");
    dev.says("waiting for a change of shop/pipeline.yaml");
    let good = dev.text();
    dev.save("version: 1\n");
    dev.complains("error[MS");
    std::fs::write(dev.file.with_file_name("input/more.jsonl"), "nonsense\n").expect("it is written");
    dev.save(&good);
    dev.says("running shop");
    dev.says("  rejected malformed_json");
    dev.says("waiting for a change");
    dev.stop();
}

#[test]
fn what_cannot_be_begun_is_refused() {
    let run = |folder: &Path, options: &[&str]| {
        let output = Command::new(BINARY).arg("dev").args(options).current_dir(folder).output();
        let output = output.expect("the binary starts");
        (output.status.code().expect("it exits"), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (code, err) = run(folder.path(), &["p.yaml"]);
    assert!(code == 2 && err.contains("reading p.yaml"), "{err}");
    let cluster = crate::case_files::SALES.trim_end_matches("tests:\n");
    std::fs::write(folder.path().join("p.yaml"), cluster).expect("it is written");
    let (code, err) = run(folder.path(), &["p.yaml", "--listen", "127.0.0.1:0"]);
    assert!(code == 2 && err.contains("the file names a cluster"), "{err}");
}
