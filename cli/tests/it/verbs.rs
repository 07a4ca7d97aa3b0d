//! The verbs of a broker as a user types them: one broker, the binary itself, on a port of its own; what each verb prints,
//! and its exit code. Nothing is asked of the broker but through the command line.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_millstream");

/// A broker that runs until this is dropped.
struct Broker {
    process: Child,
    address: String,
    _data: tempfile::TempDir,
}

impl Broker {
    fn start() -> Broker {
        let data = tempfile::tempdir().expect("a folder");
        let mut process = Command::new(BINARY)
            .args(["broker", "--listen", "127.0.0.1:0", "--set", "num.partitions=2"])
            .args(["--set", "group.initial.rebalance.delay.ms=0", "--data"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .env("MILLSTREAM_LOG", "warn")
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let out = process.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("it prints a line");
        let address = line.trim().strip_prefix("ready ").expect("the line says ready").to_owned();
        Broker { process, address, _data: data }
    }

    /// Runs a verb with input; returns its exit code, output and errors.
    fn run_with(&self, line: &str, input: &[u8]) -> (i32, String, String) {
        let mut child = self.spawn(line);
        child.stdin.take().expect("it is piped").write_all(input).expect("it takes input");
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8");
        (output.status.code().expect("it exits"), text(output.stdout), text(output.stderr))
    }

    fn spawn(&self, line: &str) -> Child {
        Command::new(BINARY)
            .args(line.split_whitespace())
            .args(["--bootstrap", &self.address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts")
    }

    /// Runs a verb that has to succeed without a word on standard error; returns its output.
    fn ok(&self, line: &str) -> String {
        self.ok_with(line, b"")
    }

    fn ok_with(&self, line: &str, input: &[u8]) -> String {
        let (code, out, err) = self.run_with(line, input);
        assert_eq!((code, err.as_str()), (0, ""), "millstream {line}\n{out}");
        out
    }

    fn json(&self, line: &str) -> serde_json::Value {
        serde_json::from_str(&self.ok(&format!("{line} --format json"))).expect("it prints JSON")
    }

    /// Runs a verb that has to fail with this code; returns what it says.
    fn fails(&self, line: &str, expected: i32) -> String {
        let (code, out, err) = self.run_with(line, b"");
        assert_eq!((code, out.as_str()), (expected, ""), "millstream {line}\n{err}");
        err
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(status.expect("kill starts").success());
}

fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "\"{part}\" is missing in: {text}");
    }
}

#[test]
fn topics_from_creation_to_deletion() {
    let broker = Broker::start();
    assert_eq!(broker.ok("topic create a --partitions 3 --config retention.ms=60000"), "created topic a\n");
    assert_eq!(broker.ok("topic create b"), "created topic b\n");
    says(&broker.fails("topic create a", 1), &["TOPIC_ALREADY_EXISTS", "--if-not-exists"]);
    assert_eq!(broker.ok("topic create a --if-not-exists"), "topic a is there already\n");
    let listed = broker.json("topic list");
    let of = |at: usize| (listed[at]["topic"].clone(), listed[at]["partitions"].clone());
    assert_eq!((of(0), of(1)), (("a".into(), 3.into()), ("b".into(), 2.into())));
    says(&broker.ok("topic list"), &["TOPIC  PARTITIONS  ID\na               3  ", "\nb               2  "]);

    broker.ok("topic alter a --config retention.ms=70000 --config cleanup.policy=compact");
    broker.ok("topic alter a --delete-config cleanup.policy");
    assert_eq!(broker.ok("topic add-partitions a --total 4"), "topic a has 4 partitions, 3 before\n");
    says(&broker.fails("topic add-partitions a --total 4", 2), &["it has 4"]);
    let described = broker.json("topic describe a");
    assert_eq!(described["partitions"].as_array().map(Vec::len), Some(4));
    let config = serde_json::json!([{ "name": "retention.ms", "value": "70000", "source": "topic" }]);
    assert_eq!(described["configs"], config);
    says(&broker.ok("topic describe a"), &["PARTITION  LEADER", "CONFIG", "retention.ms  70000"]);

    says(
        &broker.fails("topic create bad --config no.such.config=1", 2),
        &["INVALID_CONFIG", "no.such.config"],
    );
    says(&broker.fails("topic create b/d", 2), &["INVALID_TOPIC_EXCEPTION"]);
    says(&broker.fails("topic create c --config novalue", 2), &["KEY=VALUE"]);
    for verb in [
        "topic describe x",
        "topic alter x --config a=b",
        "topic delete a x",
        "topic add-partitions x --total 9",
    ] {
        says(&broker.fails(verb, 1), &["UNKNOWN_TOPIC_OR_PARTITION", "topic list"]);
    }
    assert_eq!(broker.ok("topic delete a b"), "deleted topic a\ndeleted topic b\n");
    assert_eq!(broker.json("topic list"), serde_json::json!([]));
}

#[test]
fn what_is_produced_is_consumed() {
    let broker = Broker::start();
    broker.ok("topic create t --partitions 1");
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let line = format!("produce t --key-separator | --compression {codec} --header from=test --null NIL");
        assert_eq!(broker.ok_with(&line, b"k1|one\r\nk|t|wo\nk3|NIL"), "3 records acknowledged\n");
    }
    assert_eq!(
        broker.ok_with("produce t --acks 1 --format json", b"no key\n"),
        "{\"topic\":\"t\",\"records\":1}\n"
    );
    assert_eq!(broker.ok_with("produce t --acks 0", b"\n"), "1 record sent\n");
    let all = broker.ok("consume t --until-end --with offset,key,headers --count 3");
    assert_eq!(all, "0\tk1\tfrom=test\tone\n1\tk\tfrom=test\tt|wo\n2\tk3\tfrom=test\tnull\n");
    // What was sent without an answer may come a moment later.
    assert_eq!(broker.ok("consume t --from 14 --count 3 --with key"), "k3\tnull\nnull\tno key\nnull\t\n");
    assert_eq!(broker.ok("consume t --from 15 --count 1 --format raw"), "no key");
    // A first record of that time is the first of all; of tomorrow there is none.
    assert_eq!(broker.ok("consume t --from 1h-ago --count 1"), "one\n");
    assert_eq!(broker.ok("consume t --from 9999-01-01 --until-end"), "");
    let object = broker.ok("consume t --from 2 --count 1 --format json --isolation read_committed");
    let object: serde_json::Value = serde_json::from_str(&object).expect("JSON");
    assert_eq!((&object["key"], &object["value"], &object["offset"]), (&"k3".into(), &().into(), &2.into()));
    assert_eq!(object["headers"], serde_json::json!([["from", "test"]]));

    says(&broker.fails("consume nowhere", 1), &["UNKNOWN_TOPIC_OR_PARTITION", "topic create"]);
    says(&broker.fails("consume t --partition 1", 2), &["there is no partition 1"]);
    says(&broker.fails("consume t --from yesterday", 2), &["15m-ago"]);
    says(&broker.fails("produce nowhere", 1), &["UNKNOWN_TOPIC_OR_PARTITION"]);
    says(&broker.fails("produce t --partition 1", 2), &["there is no partition 1"]);
    says(&broker.fails("produce t --file /no/such/file", 2), &["/no/such/file"]);
    let (code, _, err) = broker.run_with("produce t --key-separator :", b"a:1\nb\n");
    assert_eq!(code, 2);
    says(&err, &["line 2", "(1 record acknowledged"]);
    let long = vec![b'x'; 1024 * 1024 + 1];
    let (code, _, err) = broker.run_with("produce t", &long);
    assert_eq!(code, 1);
    says(&err, &["line 1 is longer than 1048576 bytes"]);
}

#[test]
fn groups_show_their_lag_and_are_reset() {
    let broker = Broker::start();
    broker.ok("topic create t --partitions 2");
    broker.ok_with("produce t --partition 0", b"a\nb\nc\nd\n");
    broker.ok_with("produce t --partition 1", b"e\n");
    says(&broker.fails("group describe g", 1), &["there is no group g", "group list"]);
    says(&broker.fails("consume t --group g --from 3", 2), &["group reset"]);
    let mut read: Vec<String> =
        broker.ok("consume t --group g --from beginning --until-end").lines().map(str::to_owned).collect();
    read.sort();
    assert_eq!(read, ["a", "b", "c", "d", "e"]);
    assert_eq!(broker.json("group list")[0]["group"], "g");
    broker.ok_with("produce t --partition 1", b"f\ng\n");
    let described = broker.json("group describe g");
    assert_eq!((&described["state"], &described["lag"]), (&"Empty".into(), &2.into()));
    let lags: Vec<_> =
        described["partitions"].as_array().expect("a list").iter().map(|at| at["lag"].clone()).collect();
    assert_eq!(lags, [0, 2]);
    says(&broker.ok("group describe g"), &["Empty", "2 records behind", "COMMITTED"]);

    // Where it goes, by each rule: what it was, the options, what it becomes.
    let after = |options: &str| {
        let (code, out, err) = broker.run_with(&format!("group reset g --format json {options}"), b"");
        assert_eq!(code, 0, "{options}: {err}");
        assert_eq!(err.is_empty(), options.contains("--execute"), "{err}");
        let plan: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        let changes = plan["partitions"].as_array().expect("a list").iter();
        changes.map(|change| change["after"].as_i64().expect("a number")).collect::<Vec<i64>>()
    };
    let cases: &[(&str, &[i64])] = &[
        ("--to-earliest", &[0, 0]),
        ("--to-latest --dry-run", &[4, 3]),
        ("--to-offset 2", &[2, 2]),
        ("--to-offset 99", &[4, 3]),
        ("--to-time 1h-ago", &[0, 0]),
        ("--to-time 9999-01-01", &[4, 3]),
        ("--shift-by -3", &[1, 0]),
        ("--shift-by 1", &[4, 2]),
        ("--to-earliest --topic t:1", &[0]),
    ];
    for (options, expected) in cases {
        assert_eq!(after(options), *expected, "{options}");
    }
    assert_eq!(broker.json("group describe g")["lag"], 2, "a dry run changes nothing");
    assert_eq!(after("--to-offset 3 --topic t:0 --execute"), [3]);
    assert_eq!(broker.ok("consume t --group g --count 1"), "d\n");
    assert_eq!(broker.json("group describe g")["lag"], 2);
    says(&broker.fails("group reset g --to-latest --topic t:7", 2), &["there is no partition 7"]);
    says(&broker.fails("group reset other --to-latest", 1), &["there is no group other"]);
    says(&broker.fails("group reset g", 2), &["--to-earliest"]);
    // A group that never was gets positions before its first member comes.
    let new = broker.ok("group reset new --topic t --to-latest --execute");
    says(&new, &["t              0       -      4", "t              1       -      3"]);
    assert_eq!(broker.ok("group delete g new"), "deleted group g\ndeleted group new\n");
    assert_eq!(broker.json("group list"), serde_json::json!([]));
}

#[test]
fn a_group_that_started_at_the_end_keeps_its_place() {
    let broker = Broker::start();
    broker.ok("topic create t --partitions 3");
    broker.ok_with("produce t", b"before\n");
    assert_eq!(broker.ok("consume t --group g --from end --until-end"), "");
    broker.ok_with("produce t", b"meanwhile\n");
    assert_eq!(broker.ok("consume t --group g --from end --count 1"), "meanwhile\n");
}

#[test]
fn a_member_shows_and_leaves_at_a_signal() {
    let broker = Broker::start();
    broker.ok("topic create t --partitions 1");
    broker.ok_with("produce t", b"a\n");
    for name in ["-INT", "-TERM"] {
        let mut member = broker.spawn("consume t --group g --from beginning");
        let mut out = BufReader::new(member.stdout.take().expect("it is piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("it prints");
        assert_eq!(line, "a\n");
        let described = broker.json("group describe g");
        assert_eq!(described["members"][0]["client_id"], "millstream-cli");
        assert_eq!(described["members"][0]["partitions"][0]["partition"], 0);
        says(&broker.fails("group reset g --to-earliest --execute", 1), &["stop them first"]);
        says(&broker.fails("group delete g", 1), &["NON_EMPTY_GROUP", "stop its consumers"]);
        signal(&member, name);
        assert_eq!(member.wait().expect("it ends").code(), Some(0));
        assert_eq!(broker.json("group describe g")["state"], "Empty", "it left");
        broker.ok("group reset g --to-earliest --execute");
    }
}

#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    let broker = Broker::start();
    broker.ok("topic create t --partitions 1");
    let lines: String =
        (0..50_000).map(|at| format!("line {at} of a text that is longer than a pipe\n")).collect();
    assert_eq!(broker.ok_with("produce t", lines.as_bytes()), "50000 records acknowledged\n");
    let mut child = broker.spawn("consume t --from beginning");
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut line = String::new();
    out.read_line(&mut line).expect("it prints");
    drop(out);
    assert_eq!(line, "line 0 of a text that is longer than a pipe\n");
    let mut err = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut err).expect("UTF-8");
    assert_eq!((child.wait().expect("it ends").code(), err.as_str()), (Some(0), ""));
}

#[test]
fn a_broker_stops_at_sigterm_and_keeps_what_it_has() {
    let mut broker = Broker::start();
    broker.ok("topic create t");
    broker.ok_with("produce t", b"kept\n");
    signal(&broker.process, "-TERM");
    assert_eq!(broker.process.wait().expect("it ends").code(), Some(0));
    let text = broker.fails("topic list", 1);
    says(&text, &["is a broker running at", "millstream broker --listen"]);

    let refused = Command::new(BINARY)
        .args(["broker", "--listen", "127.0.0.1:0", "--set", "no.such.setting=1", "--data"])
        .arg(broker._data.path())
        .output()
        .expect("the binary starts");
    assert_eq!(refused.status.code(), Some(2));
    says(&String::from_utf8_lossy(&refused.stderr), &["no.such.setting"]);

    let mut again = Command::new(BINARY)
        .args(["broker", "--listen", "127.0.0.1:0", "--data"])
        .arg(broker._data.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut line = String::new();
    BufReader::new(again.stdout.take().expect("it is piped")).read_line(&mut line).expect("it prints");
    broker.address = line.trim().strip_prefix("ready ").expect("ready").to_owned();
    broker.process = again;
    assert_eq!(broker.ok("consume t --until-end"), "kept\n");
}

#[test]
fn a_broker_tells_its_counters() {
    use std::net::TcpStream;
    let data = tempfile::tempdir().expect("a folder");
    let mut process = Command::new(BINARY)
        .args(["broker", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--data"])
        .arg(data.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
    let mut line = || lines.next().expect("it prints a line").expect("of text");
    let metrics = line().strip_prefix("metrics ").expect("where its counters are").to_owned();
    let address = line().strip_prefix("ready ").expect("where it listens").to_owned();
    let broker = Broker { process, address, _data: data };
    broker.ok("topic create t");
    broker.ok_with("produce t", b"one\ntwo\n");
    let get = |path: &str| {
        let mut stream = TcpStream::connect(&metrics).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .expect("it takes a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it answers");
        text
    };
    says(
        &get("/metrics"),
        &[
            "200 OK",
            "text/plain; version=0.0.4",
            "# TYPE kafka_server_brokertopicmetrics_messagesin_total counter",
            "kafka_server_brokertopicmetrics_messagesin_total 2\n",
        ],
    );
    says(&get("/"), &["404 Not Found"]);
}

#[test]
fn every_verb_has_help_with_an_example() {
    let verbs = "new, run, dev, validate, plan, explain, test, broker, topic create, topic list, topic describe, topic alter, topic delete, topic add-partitions, \
                 group list, group describe, group reset, group delete, produce, consume, completion";
    for verb in verbs.split(", ") {
        let output =
            Command::new(BINARY).args(verb.split(' ')).arg("--help").output().expect("the binary starts");
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        says(&text, &[&format!("Usage: millstream {verb}"), "Example: ", &format!("millstream {verb}")]);
    }
}

#[test]
fn completions_name_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(BINARY).args(["completion", shell]).output().expect("the binary starts");
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        says(&text, &["add-partitions", "bootstrap", "consume", "explain", "http_server"]);
        assert!(!text.contains("run-case"), "{shell}: a command that is for this program alone");
    }
}

#[test]
fn a_topic_is_recorded() {
    let broker = Broker::start();
    broker.ok("topic create t --partitions 2");
    assert_eq!(broker.ok("record t"), "", "nothing is there");
    broker.ok_with(
        "produce t --key-separator | --header from=test --null NIL",
        b"a|one\na|NIL\na|${env:HOME}\n",
    );
    let all = broker.ok("record t");
    let lines: Vec<serde_json::Value> =
        all.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let values: Vec<_> = lines.iter().map(|line| (line["offset"].clone(), line["value"].clone())).collect();
    assert_eq!(
        values,
        [(0.into(), "one".into()), (1.into(), serde_json::Value::Null), (2.into(), "${env:HOME}".into())]
    );
    for line in &lines {
        assert_eq!((&line["topic"], &line["key"]), (&"t".into(), &"a".into()));
        assert_eq!(line["headers"], serde_json::json!([["from", "test"]]));
        assert!(line["timestamp"].as_i64().is_some_and(|time| time > 1_700_000_000_000));
    }
    let own = lines[0]["partition"].as_i64().expect("a number");
    let first = all.lines().next().expect("a line");
    let taken = |options: &str| broker.ok(&format!("record t {options}")).lines().count();
    assert_eq!(broker.ok("record t --max-records 1").trim_end(), first);
    assert_eq!(taken(&format!("--partitions {own}")), 3);
    assert_eq!(taken(&format!("--partitions {}", 1 - own)), 0);
    assert_eq!(
        (taken("--from 1"), taken("--to 1"), taken("--from 1 --to 2"), taken("--to 99")),
        (2, 1, 1, 3)
    );
    assert_eq!((taken("--from 1h-ago"), taken("--to 1h-ago"), taken("--max-records 0")), (3, 0, 0));
    says(&broker.fails("record t --partitions 0,2", 2), &["there is no partition 2, it has 2 (0 to 1)"]);
    says(&broker.fails("record t --from end", 2), &["nothing lies between"]);
    says(&broker.fails("record x", 1), &["UNKNOWN_TOPIC_OR_PARTITION", "topic list"]);
}
