//! Scripts: each file of `testdata/` drives one member, line by line; lines that begin with `=` hold the outputs. A
//! flush is done when the script says so. `UPDATE_TESTDATA=1 cargo test -p millstream-raft` writes the answers anew,
//! for a person to read in the diff.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use millstream_types::{ErrorCode, NodeId, Uuid};

use crate::*;

struct Script {
    quorum: Option<Quorum>,
    now: i64,
    ticket: u64,
}

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

    fn has(&self, key: &str) -> bool {
        self.args.contains_key(key)
    }

    fn opt(&self, key: &str) -> Option<i64> {
        self.args.get(key).map(|text| text.parse().unwrap_or_else(|_| panic!("{key}={text} is no number")))
    }

    fn int(&self, key: &str) -> i64 {
        self.opt(key).unwrap_or_else(|| panic!("{} needs {key}=", self.command))
    }

    /// `a:b` pairs.
    fn pairs(&self, key: &str) -> Vec<(i64, i64)> {
        let list = self.args.get(key).copied().unwrap_or("");
        let pairs = list.split(',').filter_map(|pair| pair.split_once(':'));
        pairs.map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap())).collect()
    }

    fn node(&self, key: &str) -> Option<NodeId> {
        self.opt(key).map(|id| NodeId(id as i32))
    }

    fn key(&self, key: &str) -> ReplicaKey {
        let directory_id = Uuid([self.opt("dir").unwrap_or(0) as u8; 16]);
        ReplicaKey { id: NodeId(self.int(key) as i32), directory_id }
    }

    fn error(&self) -> ErrorCode {
        let Some(name) = self.args.get("error") else { return ErrorCode::None };
        *ErrorCode::ALL.iter().find(|code| code.name() == *name).expect("an error's name")
    }
}

fn who(key: &Option<ReplicaKey>) -> String {
    key.map_or("-".to_owned(), |key| key.id.to_string())
}

fn leader(id: &Option<NodeId>) -> String {
    id.map_or("-".to_owned(), |id| id.to_string())
}

fn body(body: &ResponseBody) -> String {
    match body {
        ResponseBody::Vote { granted } => format!(" granted {granted}"),
        ResponseBody::Empty => String::new(),
        ResponseBody::Fetch { high_watermark, diverging, snapshot, batches } => {
            let mut out = format!(" hw {high_watermark}");
            if let Some(end) = diverging {
                write!(out, " diverging epoch {} end {}", end.epoch, end.end_offset).unwrap();
            }
            if let Some(id) = snapshot {
                write!(out, " snapshot {}@{}", id.end_offset, id.epoch).unwrap();
            }
            if !batches.is_empty() {
                write!(out, " {} batches", batches.len()).unwrap();
            }
            out
        }
        ResponseBody::Snapshot { id, position, .. } => {
            format!(" snapshot {}@{} at {position}", id.end_offset, id.epoch)
        }
    }
}

fn answer(response: &Response) -> String {
    let error = if response.error.is_none() { "ok" } else { response.error.name() };
    format!("{error} epoch {} leader {}{}", response.epoch, leader(&response.leader), body(&response.body))
}

fn request(request: &Request) -> String {
    match request {
        Request::Vote { epoch, last_epoch, last_offset, pre_vote, .. } => {
            let kind = if *pre_vote { "pre-vote" } else { "vote" };
            format!("{kind} epoch {epoch} log {last_offset}@{last_epoch}")
        }
        Request::BeginEpoch { leader, epoch } => format!("begin epoch {epoch} leader {leader}"),
        Request::EndEpoch { epoch, preferred, .. } => {
            let preferred: Vec<i32> = preferred.iter().map(|id| id.0).collect();
            format!("end epoch {epoch} preferred {preferred:?}")
        }
        Request::Fetch { epoch, fetch_offset, last_fetched_epoch, high_watermark, .. } => {
            format!("fetch epoch {epoch} from {fetch_offset}@{last_fetched_epoch} hw {high_watermark}")
        }
        Request::FetchSnapshot { id, position, .. } => {
            format!("fetch snapshot {}@{} at {position}", id.end_offset, id.epoch)
        }
    }
}

impl Script {
    fn show(&mut self, output: &Output) -> String {
        match output {
            Output::Persist(e) => {
                format!("persist epoch {} voted {} leader {}", e.epoch, who(&e.voted), leader(&e.leader))
            }
            Output::Send { id, to, request: sent } => format!("send #{id} to {to}: {}", request(sent)),
            Output::Reply { id, response } => format!("reply #{id}: {}", answer(response)),
            Output::ReplyRecords { id, from, response } => {
                format!("reply #{id} with records from {from}: {}", answer(response))
            }
            Output::ReplySnapshot { id, response, .. } => {
                format!("reply #{id} with a piece: {}", answer(response))
            }
            Output::Append(batch) => {
                format!("append {}..{} epoch {}", batch.base_offset, batch.end_offset, batch.epoch)
            }
            Output::AppendLeaderChange { base_offset, epoch, voters, granting } => {
                let ids = |keys: &[ReplicaKey]| keys.iter().map(|key| key.id.0).collect::<Vec<_>>();
                format!(
                    "append leader change at {base_offset} epoch {epoch} voters {:?} granting {:?}",
                    ids(voters),
                    ids(granting)
                )
            }
            Output::Flush { ticket, up_to } => {
                self.ticket = *ticket;
                format!("flush up to {up_to}")
            }
            Output::Truncate { to } => format!("truncate to {to}"),
            Output::Trim { log_start } => format!("trim to {log_start}"),
            Output::WriteSnapshot { id, position, bytes } => {
                format!("write snapshot {}@{} at {position}: {} bytes", id.end_offset, id.epoch, bytes.len())
            }
            Output::InstallSnapshot { id } => format!("install snapshot {}@{}", id.end_offset, id.epoch),
            Output::LeaderChanged { epoch, leader: id } => {
                format!("leader of epoch {epoch} is {}", leader(id))
            }
            Output::Serving { epoch, epoch_start } => format!("serving epoch {epoch} from {epoch_start}"),
            Output::Resigned { epoch } => format!("resigned epoch {epoch}"),
            Output::Committed { high_watermark } => format!("committed {high_watermark}"),
            Output::Refused { id, leader: known } => format!("refused #{id} leader {}", leader(known)),
        }
    }

    fn input(&self, line: &Line<'_>) -> Input {
        let id = line.opt("id").unwrap_or(0) as u64;
        let epoch = line.opt("epoch").unwrap_or(0) as i32;
        let snapshot = |key: &str| {
            line.pairs(key).first().map(|(end, epoch)| SnapshotId { end_offset: *end, epoch: *epoch as i32 })
        };
        let asked = |request| Input::Request { id, request };
        let response = |body| Input::Response {
            id,
            response: Response { error: line.error(), epoch, leader: line.node("leader"), body },
        };
        match line.command {
            "tick" => Input::Tick,
            "flushed" => Input::Flushed { ticket: self.ticket },
            "failed" => Input::Failed { id },
            "resign" => Input::Resign,
            "propose" => {
                let records = line.opt("records").unwrap_or(1) as u32;
                Input::Propose { id, epoch, records, bytes: Bytes::new() }
            }
            "vote?" => asked(Request::Vote {
                epoch,
                candidate: line.key("by"),
                voter: line.node("voter").map(|id| ReplicaKey { id, directory_id: Uuid([3; 16]) }),
                last_epoch: line.int("last") as i32,
                last_offset: line.int("end"),
                pre_vote: line.has("pre"),
            }),
            "begin?" => asked(Request::BeginEpoch { leader: line.node("leader").unwrap(), epoch }),
            "end?" => {
                let list = line.args.get("preferred").copied().unwrap_or("");
                let preferred = list.split(',').filter_map(|id| id.parse().ok()).map(NodeId).collect();
                asked(Request::EndEpoch { leader: line.node("leader").unwrap(), epoch, preferred })
            }
            "fetch?" => asked(Request::Fetch {
                replica: line.key("by"),
                epoch,
                fetch_offset: line.int("from"),
                last_fetched_epoch: line.opt("last").unwrap_or(0) as i32,
                high_watermark: line.opt("hw").unwrap_or(i64::MAX),
                max_wait_ms: line.opt("wait").unwrap_or(0),
            }),
            "snapshot?" => asked(Request::FetchSnapshot {
                replica: line.key("by"),
                epoch,
                id: snapshot("snapshot").unwrap(),
                position: line.int("at_byte") as u64,
            }),
            "voted" => response(ResponseBody::Vote { granted: line.has("granted") }),
            "answered" => response(ResponseBody::Empty),
            "fetched" => {
                let mut base_offset = line.opt("base").unwrap_or(0);
                let mut batches = Vec::new();
                for (end_offset, epoch) in line.pairs("batches") {
                    batches.push(Batch { base_offset, end_offset, epoch: epoch as i32, bytes: Bytes::new() });
                    base_offset = end_offset;
                }
                let diverging = line.pairs("diverging").first().copied();
                response(ResponseBody::Fetch {
                    high_watermark: line.opt("hw").unwrap_or(0),
                    diverging: diverging.map(|(e, end_offset)| EpochEnd { epoch: e as i32, end_offset }),
                    snapshot: snapshot("snapshot"),
                    batches,
                })
            }
            "piece" => response(ResponseBody::Snapshot {
                id: snapshot("snapshot").unwrap(),
                size: line.int("size") as u64,
                position: line.int("at_byte") as u64,
                bytes: Bytes::from(vec![7; line.int("bytes") as usize]),
            }),
            "snapshot_made" => Input::SnapshotMade { id: snapshot("snapshot").unwrap() },
            "installed" => {
                Input::SnapshotInstalled { id: snapshot("snapshot").unwrap(), good: !line.has("bad") }
            }
            other => panic!("no command {other}"),
        }
    }

    fn run(&mut self, line: &Line<'_>) -> Vec<String> {
        self.now = line.opt("at").unwrap_or(self.now);
        if line.command == "start" {
            let me = ReplicaKey { id: NodeId(line.int("me") as i32), directory_id: Uuid([3; 16]) };
            let voters = VoterSet::of_ids(1..=line.int("voters") as i32);
            let mut config = QuorumConfig::new(me, voters, 7);
            // No spread: the scripts name the times.
            config.election_timeout_ms = 1_000;
            let voted = line.node("voted").map(|id| ReplicaKey { id, directory_id: Uuid::ZERO });
            let epochs = line.pairs("epochs").into_iter();
            let snapshot = line.pairs("snapshot").first().copied();
            let recovered = Recovered {
                election: Election {
                    epoch: line.opt("epoch").unwrap_or(0) as i32,
                    leader: line.node("leader"),
                    voted,
                },
                log_start: line.opt("log_start").unwrap_or(0),
                log_end: line.opt("end").unwrap_or(0),
                epochs: epochs
                    .map(|(e, start)| EpochStart { epoch: e as i32, start_offset: start })
                    .collect(),
                snapshot: snapshot.map(|(end, e)| SnapshotId { end_offset: end, epoch: e as i32 }),
            };
            self.quorum = Some(Quorum::new(self.now, config, recovered));
            return vec!["ok".to_owned()];
        }
        let quorum = self.quorum.as_ref().expect("start comes first");
        if line.command == "describe" {
            let d = quorum.describe();
            let mut out =
                vec![format!("leader {} epoch {} hw {}", leader(&d.leader), d.epoch, d.high_watermark)];
            for (what, replicas) in [("voter", d.voters), ("observer", d.observers)] {
                out.extend(replicas.iter().map(|r| {
                    format!(
                        "{what} {} end {} fetched {} caught up {}",
                        r.key.id, r.log_end, r.last_fetch_ms, r.last_caught_up_ms
                    )
                }));
            }
            return out;
        }
        let input = self.input(line);
        let outputs = self.quorum.as_mut().unwrap().step(self.now, input);
        outputs.iter().map(|output| self.show(output)).collect()
    }
}

fn check(path: &std::path::Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut script = Script { quorum: None, now: 0, ticket: 0 };
    let mut actual = String::new();
    for line in text.lines().filter(|line| !line.starts_with('=')) {
        writeln!(actual, "{line}").unwrap();
        if !line.is_empty() && !line.starts_with('#') {
            for answer in script.run(&Line::parse(line)) {
                writeln!(actual, "= {answer}").unwrap();
            }
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
    assert!(paths.len() >= 6, "scripts are missing");
    for path in paths {
        check(&path);
    }
}
