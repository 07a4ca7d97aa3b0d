//! Scripts: `testdata/*.txt`. A line is an event; the lines below it that begin with `=` are all of its outcomes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use millstream_txn::{Answer, Config, Coordinator, Input, Outcome, Partitions, Then, Transaction, Version};

fn partitions(text: &str) -> Partitions {
    let mut found = Partitions::new();
    for one in text.split(',').filter(|t| !t.is_empty()) {
        let (topic, partition) = one.split_once('/').expect("topic/partition");
        found.entry(topic.to_owned()).or_default().insert(partition.parse().expect("a number"));
    }
    found
}

fn show(partitions: &Partitions) -> String {
    let all: Vec<String> =
        partitions.iter().flat_map(|(t, ps)| ps.iter().map(move |p| format!("{t}/{p}"))).collect();
    all.join(",")
}

fn render(outcome: &Outcome) -> String {
    let mut line = "=".to_owned();
    if let Some((key, value)) = &outcome.append {
        match value.as_ref().and_then(Transaction::from_value) {
            Some(t) => {
                let _ = write!(
                    line,
                    " store {} {}/{} {} [{}]",
                    key.transactional_id,
                    t.producer_id,
                    t.producer_epoch,
                    t.state.name(),
                    show(&t.partitions)
                );
            }
            None => {
                let _ = write!(line, " forget {}", key.transactional_id);
            }
        }
    }
    for then in &outcome.then {
        let _ = match then {
            Then::Answer(_, Answer::ProducerId { error, producer_id, producer_epoch }) => {
                write!(line, " answer {error} {producer_id}/{producer_epoch}")
            }
            Then::Answer(_, Answer::End { error, producer_id, producer_epoch }) => {
                write!(line, " answer {error} {producer_id}/{producer_epoch}")
            }
            Then::Answer(_, Answer::Partitions { error, refused }) => {
                write!(line, " answer {error} refused [{}]", show(refused))
            }
            Then::WriteMarkers(order) => write!(
                line,
                " markers {}/{} {} [{}]",
                order.producer_id,
                order.producer_epoch,
                if order.commit { "commit" } else { "abort" },
                show(&order.partitions)
            ),
            Then::AllocateProducerIds => write!(line, " allocate"),
        };
    }
    line
}

fn input(line: &str) -> Input {
    let words: Vec<&str> = line.split_whitespace().collect();
    let options: BTreeMap<&str, &str> = words.iter().filter_map(|w| w.split_once('=')).collect();
    let id = words.get(1).map(|w| (*w).to_owned()).unwrap_or_default();
    let producer = || {
        let (a, b) = options.get("as").copied().unwrap_or("-1/-1").split_once('/').expect("id/epoch");
        (a.parse().expect("a producer id"), b.parse().expect("an epoch"))
    };
    let version = if options.get("v") == Some(&"1") { Version::V1 } else { Version::V2 };
    let of = partitions(options.get("of").copied().unwrap_or(""));
    match words[0] {
        "ids" => Input::ProducerIds {
            first: options["first"].parse().expect("a number"),
            count: options["count"].parse().expect("a number"),
        },
        "init" => Input::InitProducerId {
            token: 1,
            transactional_id: (id != "-").then_some(id),
            timeout_ms: options.get("timeout").map_or(60_000, |t| t.parse().expect("milliseconds")),
            producer_id: producer().0,
            producer_epoch: producer().1,
        },
        "add" | "verify" => Input::AddPartitions {
            token: 1,
            transactional_id: id,
            producer_id: producer().0,
            producer_epoch: producer().1,
            version,
            partitions: of,
            verify_only: words[0] == "verify",
        },
        "commit" | "abort" => Input::EndTxn {
            token: 1,
            transactional_id: id,
            producer_id: producer().0,
            producer_epoch: producer().1,
            commit: words[0] == "commit",
            version,
        },
        "marked" => {
            let (topic, ps) = of.into_iter().next().expect("a partition");
            Input::MarkerWritten {
                transactional_id: id,
                producer_id: producer().0,
                producer_epoch: producer().1,
                topic,
                partition: ps.into_iter().next().expect("a partition"),
            }
        }
        "tick" => Input::Tick,
        "unload" => Input::Unload { shard: options["shard"].parse().expect("a shard") },
        other => panic!("no event is called {other}"),
    }
}

fn check(name: &str, script: &str) {
    let mut coordinator = Coordinator::new(Config { shards: 1, ..Config::default() });
    coordinator.step(0, Input::Load { shard: 0, epoch: 5, records: Vec::new() });
    let mut now = 0;
    let mut got = String::new();
    for line in script.lines() {
        if line.is_empty() || line.starts_with('#') {
            let _ = writeln!(got, "{line}");
            continue;
        }
        if line.starts_with('=') {
            continue;
        }
        if let Some(ms) = line.split_whitespace().find_map(|w| w.strip_prefix("at=")) {
            now = ms.parse().expect("milliseconds");
        }
        let _ = writeln!(got, "{line}");
        for outcome in coordinator.step(now, input(line)) {
            let _ = writeln!(got, "{}", render(&outcome));
        }
    }
    assert!(got.trim() == script.trim(), "{name}: the coordinator did\n{got}");
}

#[test]
fn scripts() {
    check("init", include_str!("testdata/init.txt"));
    check("v2", include_str!("testdata/v2.txt"));
    check("v1", include_str!("testdata/v1.txt"));
    check("fencing", include_str!("testdata/fencing.txt"));
}
