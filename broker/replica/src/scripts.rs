//! Scripts: each file of `testdata/` drives one partition, line by line, and holds what it answered. A line that
//! begins with `=` is what the line before it must give. `UPDATE_TESTDATA=1 cargo test -p millstream-replica` writes
//! the answers anew, for a person to read in the diff.

use std::collections::BTreeMap;
use std::fmt::Write;

use millstream_types::{ErrorCode, NodeId};

use crate::*;

/// One script's state.
struct Script {
    me: NodeId,
    config: ReplicaConfig,
    partition: Partition,
    purgatory: Purgatory,
    epochs: Vec<EpochStart>,
}

/// The words of a line: a command and its `key=value` pairs.
struct Line<'a> {
    command: &'a str,
    args: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn parse(text: &'a str) -> Line<'a> {
        let mut words = text.split_whitespace();
        let command = words.next().unwrap_or("");
        Line { command, args: words.map(|word| word.split_once('=').unwrap_or((word, ""))).collect() }
    }

    fn opt(&self, key: &str) -> Option<i64> {
        self.args.get(key).map(|text| text.parse().unwrap_or_else(|_| panic!("{key}={text} is no number")))
    }

    fn int(&self, key: &str) -> i64 {
        self.opt(key).unwrap_or_else(|| panic!("{} needs {key}=", self.command))
    }

    fn now(&self) -> i64 {
        self.opt("at").unwrap_or(0)
    }

    fn nodes(&self, key: &str) -> Vec<NodeId> {
        let list = self.args.get(key).copied().unwrap_or("");
        list.split(',').filter(|text| !text.is_empty()).map(|text| NodeId(text.parse().unwrap())).collect()
    }

    fn acks(&self) -> Acks {
        Acks::from_wire(self.int("acks") as i16).unwrap()
    }

    fn meta(&self) -> PartitionMeta {
        PartitionMeta {
            leader: NodeId(self.int("leader") as i32),
            leader_broker_epoch: self.opt("leader_broker_epoch").unwrap_or(10),
            leader_epoch: self.int("epoch") as i32,
            partition_epoch: self.int("pe") as i32,
            isr: self.nodes("isr"),
            replicas: self.nodes("replicas"),
            leader_recovery: match self.args.contains_key("recovering") {
                true => LeaderRecovery::Recovering,
                false => LeaderRecovery::Recovered,
            },
        }
    }

    fn error(&self) -> Option<ErrorCode> {
        let name = self.args.get("error")?;
        Some(*ErrorCode::ALL.iter().find(|code| code.name() == *name).expect("an error's name"))
    }
}

impl Script {
    fn new() -> Script {
        let ends = LogEnds { log_start: 0, log_end: 0, flushed_end: 0, first_unstable: None };
        let (me, config) = (NodeId(1), ReplicaConfig::default());
        let partition = Partition::new(me, 10, config, ends, 0);
        Script { me, config, purgatory: Purgatory::new(partition.bounds()), partition, epochs: Vec::new() }
    }

    fn progress(&mut self, progress: Progress) -> String {
        let b = progress.bounds;
        let mut out = format!(
            "end {} flushed {} hw {} lso {}",
            b.log_end, b.flushed_end, b.high_watermark, b.last_stable_offset
        );
        if let Some(alter) = &progress.alter_isr {
            let members: Vec<String> =
                alter.new_isr.iter().map(|m| format!("{}@{}", m.node, m.broker_epoch)).collect();
            write!(out, "; alter isr [{}] from {}", members.join(" "), alter.partition_epoch).unwrap();
        }
        for done in self.purgatory.advance(b) {
            write!(out, "; done {}", done.token).unwrap();
            if let WaitFor::Offset { bound: purgatory::Bound::HighWatermark, offset } = done.wait
                && let Err(code) = self.partition.acknowledge(offset)
            {
                write!(out, " {}", code.name()).unwrap();
            }
            if done.bytes_gained > 0 {
                write!(out, " +{}", done.bytes_gained).unwrap();
            }
        }
        out
    }

    fn result<T: std::fmt::Debug>(result: Result<T, ErrorCode>) -> String {
        match result {
            Ok(value) => format!("{value:?}"),
            Err(code) => code.name().to_owned(),
        }
    }

    fn run(&mut self, line: &Line<'_>) -> String {
        let now = line.now();
        match line.command {
            "new" => {
                self.me = NodeId(line.int("me") as i32);
                if let Some(min) = line.opt("min") {
                    self.config.min_insync_replicas = min as usize;
                }
                if line.args.get("flush") == Some(&"interval") {
                    self.config.flush_mode = FlushMode::Interval;
                }
                let ends = LogEnds {
                    log_start: line.opt("start").unwrap_or(0),
                    log_end: line.int("end"),
                    flushed_end: line.int("flushed"),
                    first_unstable: line.opt("unstable"),
                };
                self.partition = Partition::new(
                    self.me,
                    line.opt("broker_epoch").unwrap_or(10),
                    self.config,
                    ends,
                    line.opt("checkpoint").unwrap_or(0),
                );
                self.purgatory = Purgatory::new(self.partition.bounds());
                let list = line.args.get("epochs").copied().unwrap_or("");
                self.epochs = list
                    .split(',')
                    .filter_map(|pair| pair.split_once(':'))
                    .map(|(e, s)| EpochStart { epoch: e.parse().unwrap(), start_offset: s.parse().unwrap() })
                    .collect();
                "ok".to_owned()
            }
            "apply" => {
                let (change, progress) = self.partition.apply(now, &line.meta());
                let mut out = format!("{change:?}");
                if change != RoleChange::Unchanged {
                    for token in self.purgatory.drain() {
                        write!(out, "; failed {token}").unwrap();
                    }
                }
                if let RoleChange::BecameLeader { epoch, epoch_start } = change {
                    self.epochs.push(EpochStart { epoch, start_offset: epoch_start });
                }
                format!("{out}; {}", self.progress(progress))
            }
            "standing" => {
                let standing = BrokerStanding {
                    broker_epoch: line.int("broker_epoch"),
                    in_service: !line.args.contains_key("fenced"),
                };
                self.partition.broker_standing(NodeId(line.int("node") as i32), standing);
                "ok".to_owned()
            }
            "produce" => match self.partition.check_append(line.acks()) {
                Err(code) => code.name().to_owned(),
                Ok(epoch) => {
                    let end = self.partition.bounds().log_end + line.int("records");
                    self.purgatory.appended(end, line.opt("bytes").unwrap_or(100) as u64);
                    let progress = self.partition.appended(now, end, line.opt("unstable"));
                    let mut out = format!("epoch {epoch}; {}", self.progress(progress));
                    if let (Some(token), Some(wait)) =
                        (line.opt("token"), self.partition.wait_for(line.acks(), end))
                        && self.purgatory.wait(token as u64, wait).is_some()
                    {
                        write!(out, "; at once {token}").unwrap();
                    }
                    out
                }
            },
            "flushed" => {
                let progress = self.partition.flushed(now, line.int("to"));
                self.progress(progress)
            }
            "unstable" => {
                let progress = self.partition.first_unstable(now, line.opt("first"));
                self.progress(progress)
            }
            "log_start" => {
                let progress = self.partition.log_start_rose(now, line.int("to"));
                self.progress(progress)
            }
            "tick" => {
                let progress = self.partition.tick(now);
                format!("{}; next {:?}", self.progress(progress), self.partition.next_deadline())
            }
            "wait_bytes" => {
                let bound = match line.args["bound"] {
                    "hw" => purgatory::Bound::HighWatermark,
                    "lso" => purgatory::Bound::LastStableOffset,
                    _ => purgatory::Bound::LogEnd,
                };
                let wait = WaitFor::Bytes { bound, bytes: line.int("bytes") as u64 };
                let token = line.int("token") as u64;
                format!("at once {:?}", self.purgatory.wait(token, wait).is_some())
            }
            "cancel" => format!("{}", self.purgatory.cancel(line.int("token") as u64)),
            "read" => {
                let as_ = match line.args["as"] {
                    "committed" => ReadAs::Committed,
                    "uncommitted" => ReadAs::Uncommitted,
                    _ => ReadAs::Replica,
                };
                Script::result(self.partition.readable_end(as_, line.opt("epoch").map(|e| e as i32)))
            }
            "fetched" => {
                let fetch = FollowerFetch {
                    replica: NodeId(line.int("by") as i32),
                    broker_epoch: line.opt("broker_epoch").unwrap_or(-1),
                    current_leader_epoch: line.opt("epoch").map(|e| e as i32),
                    fetch_offset: line.int("offset"),
                    last_fetched_epoch: line.opt("last").map(|e| e as i32),
                };
                match self.partition.fetched(now, &fetch, &self.epochs) {
                    Ok(FetchOutcome::Accepted(progress)) => self.progress(progress),
                    other => Script::result(other),
                }
            }
            "alter_answer" => {
                let answer = match line.error() {
                    Some(code) => AlterIsrAnswer::Refused(code),
                    None => AlterIsrAnswer::Accepted(line.meta()),
                };
                let progress = self.partition.alter_isr_answer(now, &answer);
                self.progress(progress)
            }
            "next_fetch" => format!("{:?}", self.partition.next_fetch(&self.epochs)),
            "answer" => {
                let answer =
                    FetchAnswer {
                        sent_in_epoch: line.int("sent") as i32,
                        error: line.error().unwrap_or(ErrorCode::None),
                        high_watermark: line.opt("hw").unwrap_or(-1),
                        log_start: line.opt("log_start").unwrap_or(-1),
                        diverging: line.args.get("diverging").and_then(|pair| pair.split_once(':')).map(
                            |(e, o)| EpochEnd { epoch: e.parse().unwrap(), end_offset: o.parse().unwrap() },
                        ),
                    };
                format!("{:?}", self.partition.fetch_answer(&answer, &self.epochs))
            }
            "append_from_leader" => {
                if let Some(epoch) = line.opt("new_epoch") {
                    let start_offset = self.partition.bounds().log_end;
                    self.epochs.push(EpochStart { epoch: epoch as i32, start_offset });
                }
                let progress = self.partition.appended_from_leader(
                    now,
                    line.int("end"),
                    line.opt("unstable"),
                    line.int("hw"),
                );
                self.progress(progress)
            }
            "cut" => {
                let end = line.int("end");
                self.epochs.retain(|entry| entry.start_offset < end);
                let log_start = line.opt("start").unwrap_or(0);
                let progress = self.partition.log_cut(LogEnds {
                    log_start,
                    log_end: end,
                    flushed_end: end,
                    first_unstable: None,
                });
                self.progress(progress)
            }
            "role" => format!(
                "leads {:?} follows {:?} isr {:?} under min {}",
                self.partition.leader().map(|l| l.epoch()),
                self.partition.following().map(|n| n.0),
                self.partition.leader().map(|l| l.isr().map(|n| n.0).collect::<Vec<_>>()),
                self.partition.is_under_min_isr(),
            ),
            other => panic!("no command {other}"),
        }
    }
}

/// Runs one script and compares it with what it holds.
fn check(path: &std::path::Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut script = Script::new();
    let mut actual = String::new();
    for line in text.lines().filter(|line| !line.starts_with('=')) {
        writeln!(actual, "{line}").unwrap();
        if !line.is_empty() && !line.starts_with('#') {
            writeln!(actual, "= {}", script.run(&Line::parse(line))).unwrap();
        }
    }
    if std::env::var_os("UPDATE_TESTDATA").is_some() {
        std::fs::write(path, &actual).unwrap();
    } else {
        for (at, (expected, got)) in text.lines().zip(actual.lines()).enumerate() {
            assert_eq!(expected, got, "{}:{}", path.display(), at + 1);
        }
        assert_eq!(text, actual, "{}", path.display());
    }
}

#[test]
fn scripts_give_what_they_hold() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 4, "scripts are missing");
    for path in paths {
        check(&path);
    }
}
