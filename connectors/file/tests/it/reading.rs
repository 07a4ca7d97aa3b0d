//! What happens to files under their reader: renamed, cut, rewritten, copied, half written, absurd lines. Each case is a
//! script over one folder: `write NAME TEXT`, `append`, `rename`, `copy`, `remove`, `read` (everything there is, and
//! commit), `peek` (read, do not commit), `restart`, `expect LINES` (what was committed since the last one, `NAME:LINE=TEXT`).

use std::collections::BTreeMap;
use std::path::Path;

use millstream_connector::test_suite::{HandClock, context};
use millstream_connector::{
    CrashPoints, Position, ReadLimit, ReadState, Source, SourceBatch, SourceError, SplitId, SplitReader,
};
use millstream_file::FileSource;

struct Run<'a> {
    root: &'a Path,
    config: String,
    source: FileSource,
    readers: BTreeMap<SplitId, Box<dyn SplitReader>>,
    positions: BTreeMap<SplitId, Position>,
    lines: Vec<String>,
    /// Positions within a batch that were asked for and given.
    between: usize,
    error: Option<SourceError>,
}

fn source(root: &Path, config: &str) -> FileSource {
    let config = serde_json::from_str(config).unwrap();
    FileSource::new(config, root.to_owned(), context(&HandClock::new(0), CrashPoints::none()))
}

impl Run<'_> {
    async fn read(&mut self, commit: bool) {
        for _ in 0..3 {
            let found = self.source.discover(&self.positions).await.unwrap();
            for split in found.splits {
                if !self.readers.contains_key(&split.id) {
                    let from = self.positions.get(&split.id).cloned();
                    let reader = self.source.open(&split.id, from.as_ref(), Vec::new()).await.unwrap();
                    self.readers.insert(split.id, reader);
                }
            }
            let mut ended = Vec::new();
            for (id, reader) in &mut self.readers {
                loop {
                    let from = self.positions.get(id).cloned();
                    let batch = match reader.read(ReadLimit { max_bytes: 64, ..ReadLimit::default() }).await {
                        Ok(batch) => batch,
                        Err(error) => {
                            self.error = Some(error);
                            break;
                        }
                    };
                    for (i, record) in batch.records.iter().enumerate() {
                        let fault = if batch.faults.is_empty() { "" } else { "!" };
                        let text = String::from_utf8_lossy(&record.value).into_owned();
                        if commit {
                            self.lines.push(format!("{}={fault}{text}", batch.origin_of(i)));
                        }
                    }
                    if commit {
                        self.between += positions_between(&mut self.source, id, from.as_ref(), &batch).await;
                        self.positions.insert(id.clone(), batch.next_position.clone());
                    }
                    match batch.state {
                        ReadState::More => {}
                        ReadState::Idle => break,
                        ReadState::End => {
                            ended.push(id.clone());
                            break;
                        }
                    }
                }
            }
            for id in ended {
                self.readers.remove(&id);
            }
        }
        if !commit {
            self.readers.clear();
        }
    }

    async fn step(&mut self, line: &str) {
        let mut words = line.splitn(3, ' ');
        let (verb, name, text) =
            (words.next().unwrap(), words.next().unwrap_or(""), words.next().unwrap_or(""));
        let text = text.replace("\\n", "\n").replace("\\r", "\r").replace("\\0", "");
        let path = self.root.join(name);
        match verb {
            "write" => std::fs::write(&path, text).unwrap(),
            "append" => {
                let old = std::fs::read(&path).unwrap();
                use std::io::Write;
                let mut file = std::fs::File::options().append(true).open(&path).unwrap();
                file.write_all(text.as_bytes()).unwrap();
                assert_eq!(std::fs::metadata(&path).unwrap().len(), (old.len() + text.len()) as u64);
            }
            "rename" => std::fs::rename(&path, self.root.join(&text)).unwrap(),
            "copy" => drop(std::fs::copy(&path, self.root.join(&text)).unwrap()),
            "remove" => std::fs::remove_file(&path).unwrap(),
            "read" => self.read(true).await,
            "peek" => self.read(false).await,
            "restart" => {
                self.readers.clear();
                self.source = source(self.root, &self.config);
            }
            "expect" => {
                let expected = line.strip_prefix("expect").unwrap().trim();
                assert_eq!(self.lines.join(" "), expected, "at: {line}");
                self.lines.clear();
            }
            "stopped" => assert!(matches!(self.error.take(), Some(SourceError::Setup(_))), "at: {line}"),
            other => panic!("no such step: {other}"),
        }
        assert!(self.error.is_none() || verb == "read", "{:?}", self.error);
    }
}

/// The position behind each record is the one that a reader which stops there gives, unless the file is no longer what
/// was read.
async fn positions_between(
    source: &mut FileSource,
    id: &SplitId,
    from: Option<&Position>,
    batch: &SourceBatch,
) -> usize {
    let mut given = 0;
    for (at, record) in batch.records.iter().enumerate() {
        let Some(said) = source.position_behind(id, from, record.record_end()).await.unwrap() else {
            continue;
        };
        given += 1;
        let mut reader = source.open(id, from, Vec::new()).await.unwrap();
        let limit = ReadLimit { max_bytes: 64, max_records: at + 1, ..ReadLimit::default() };
        assert_eq!(said, reader.read(limit).await.unwrap().next_position, "{record:?} of {batch:?}");
    }
    given
}

async fn check(name: &str, more: &str, script: &str) {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(r#"{{"path":"*.log"{more}}}"#);
    let source = source(folder.path(), &config);
    let mut run = Run {
        root: folder.path(),
        config,
        source,
        readers: BTreeMap::new(),
        positions: BTreeMap::new(),
        lines: Vec::new(),
        between: 0,
        error: None,
    };
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        println!("{name}: {line}");
        run.step(line).await;
    }
    assert!(run.between > 0, "no position within a batch was given");
}

const WATCH: &str = r#","watch":true"#;

#[tokio::test]
async fn lines_without_bytes() {
    for more in [WATCH, ""] {
        check(
            "a position behind lines without bytes is a good one",
            more,
            "
            write a.log one\\n
            read
            expect a.log:1=one
            append a.log \\n\\n
            read
            restart
            read
            append a.log two\\n
            read
            expect a.log:4=two
            ",
        )
        .await;
    }
}

#[tokio::test]
async fn partial_lines() {
    check(
        "a partial last line is awaited when watching",
        WATCH,
        "write a.log one\\ntw\nread\nexpect a.log:1=one\nappend a.log o\nread\nexpect\nappend a.log !\\n\nread\nexpect a.log:2=two!",
    )
    .await;
    check(
        "a partial last line is one line at the end of finite input",
        "",
        "write a.log one\\ntw\nread\nexpect a.log:1=one a.log:2=tw",
    )
    .await;
    check(
        "a first line that is being written is awaited",
        WATCH,
        "write a.log o\nread\nexpect\nappend a.log n\nread\nappend a.log e\\n\nread\nexpect a.log:1=one\nrestart\nread\nexpect",
    )
    .await;
    check(
        "a finite file without any line end",
        "",
        "write a.log x\nread\nexpect a.log:1=x\nrestart\nread\nexpect",
    )
    .await;
    check(
        "empty files and empty lines",
        WATCH,
        "write a.log \\0\nwrite b.log \\n\\n\\r\\nx\\r\\n\nread\nexpect b.log:4=x",
    )
    .await;
}

#[tokio::test]
async fn renames() {
    check(
        "a renamed file goes on where it was",
        WATCH,
        "write a.log one\\ntwo\\n\nread\nexpect a.log:1=one a.log:2=two\nrename a.log b.log\nappend b.log three\\n\nread\nexpect b.log:3=three",
    )
    .await;
    check(
        "also when nobody was looking",
        WATCH,
        "write a.log one\\ntwo\\n\nread\nexpect a.log:1=one a.log:2=two\nrestart\nrename a.log b.log\nappend b.log three\\n\nread\nexpect b.log:3=three\nrestart\nrename b.log c.log\nrestart\nread\nexpect",
    )
    .await;
    check(
        "rotation: the old file's rest and the new file",
        WATCH,
        "write a.log one\\n\nread\nexpect a.log:1=one\nappend a.log two\\n\nrename a.log a.log.1\nwrite a.log three\\n\nread\nexpect a.log:2=two a.log:1=three",
    )
    .await;
    check(
        "rotation to a name that matches, over a restart",
        WATCH,
        "write a.log one\\n\nread\nexpect a.log:1=one\nrestart\nappend a.log two\\n\nrename a.log a1.log\nwrite a.log three\\n\nread\nexpect a1.log:2=two a.log:1=three",
    )
    .await;
    check(
        "a copy is another file",
        WATCH,
        "write a.log one\\n\nread\nexpect a.log:1=one\ncopy a.log b.log\nread\nexpect b.log:1=one\nrestart\nread\nexpect",
    )
    .await;
    check(
        "another file with the same first line under a new name",
        WATCH,
        "write a.log head\\none\\n\nread\nexpect a.log:1=head a.log:2=one\nrestart\nremove a.log\nwrite b.log head\\ntwo\\nthree\\n\nread\nexpect b.log:1=head b.log:2=two b.log:3=three",
    )
    .await;
    check(
        "without a descriptor kept, a rotated file is not taken for the old one",
        r#","watch":true,"max_open_files":1"#,
        "write a.log one\\n\nwrite b.log uno\\n\nread\nexpect a.log:1=one b.log:1=uno\nrename b.log b2.log\nwrite b.log dos\\n\nread\nexpect b.log:1=dos\nappend b2.log tres\\n\nread\nexpect b2.log:2=tres",
    )
    .await;
}

#[tokio::test]
async fn rewrites() {
    check(
        "cut to nothing and written again with another beginning",
        WATCH,
        "write a.log one\\ntwo\\n\nread\nexpect a.log:1=one a.log:2=two\nwrite a.log new\\n\nread\nexpect a.log:1=new",
    )
    .await;
    check(
        "cut and written again with the same beginning",
        WATCH,
        "write a.log one\\ntwo\\n\nread\nexpect a.log:1=one a.log:2=two\nwrite a.log one\\n\nread\nexpect a.log:1=one\nrestart\nread\nexpect",
    )
    .await;
    check(
        "rewritten longer, with the same beginning, while nobody was looking",
        WATCH,
        "write a.log one\\ntwo\\n\nread\nexpect a.log:1=one a.log:2=two\nrestart\nwrite a.log one\\nTWO\\nthree\\n\nread\nexpect a.log:1=one a.log:2=TWO a.log:3=three",
    )
    .await;
    check(
        "stop is obeyed",
        r#","watch":true,"on_rewrite":"stop""#,
        "write a.log one\\ntwo\\n\nread\nexpect a.log:1=one a.log:2=two\nwrite a.log one\\n\nread\nstopped",
    )
    .await;
    check(
        "a removed file ends quietly, and comes again as new",
        WATCH,
        "write a.log one\\n\nread\nexpect a.log:1=one\nremove a.log\nread\nexpect\nwrite a.log two\\n\nread\nexpect a.log:1=two",
    )
    .await;
}

#[tokio::test]
async fn long_lines() {
    let long = "x".repeat(100);
    let longer = "y".repeat(5_000);
    let cut = &longer[..64];
    let limits = |watch: bool| format!(r#","watch":{watch},"max_line":"64B","read_size":"300B""#);
    check(
        "a line beyond the limit is a fault, and the others go on",
        &limits(true),
        &format!(
            "write a.log a\\n\\n{longer}\\nb\\n{long}\\n\\nc\\n\nread\nexpect a.log:1=a a.log:3=!{cut} a.log:4=b a.log:5=!{} a.log:7=c",
            &long[..64]
        ),
    )
    .await;
    check(
        "one without an end, finite",
        &limits(false),
        &format!("write a.log a\\n{longer}\nread\nexpect a.log:1=a a.log:2=!{cut}"),
    )
    .await;
    check(
        "one that is still being written is awaited",
        &limits(true),
        &format!("write a.log a\\n{longer}\nread\nexpect a.log:1=a\nappend a.log {long}\\nb\\n\nread\nexpect a.log:2=!{cut} a.log:3=b"),
    )
    .await;
    check(
        "lines across chunks",
        r#","max_line":"4KiB","read_size":"64B""#,
        &format!(
            "write a.log {}\\nb\\n{}\nread\nexpect a.log:1={} a.log:2=b a.log:3={long}",
            &longer[..3_000],
            long,
            &longer[..3_000]
        ),
    )
    .await;
}

#[tokio::test]
async fn bytes_are_kept_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.log"), b"{\"a\":\"\xc3\n\x00\xff\n").unwrap();
    let mut source = source(folder.path(), r#"{"path":"a.log"}"#);
    let found = source.discover(&BTreeMap::new()).await.unwrap();
    assert!(found.complete);
    let mut reader = source.open(&found.splits[0].id, None, Vec::new()).await.unwrap();
    let batch = reader.read(ReadLimit::default()).await.unwrap();
    let values: Vec<&[u8]> = batch.records.iter().map(|record| &record.value[..]).collect();
    assert_eq!(values, [&b"{\"a\":\"\xc3"[..], b"\x00\xff"]);
    assert_eq!(batch.state, ReadState::End);
}

#[tokio::test]
async fn a_watcher_is_told_of_new_files_and_new_lines() {
    let folder = tempfile::tempdir().unwrap();
    // Polling so seldom that only the system's notification can be in time.
    let mut source = source(folder.path(), r#"{"path":"*/in/*.log","watch":true,"poll_interval":"1h"}"#);
    assert!(source.discover(&BTreeMap::new()).await.unwrap().splits.is_empty());
    let root = folder.path().to_owned();
    let write = async {
        tokio::task::yield_now().await;
        std::fs::create_dir_all(root.join("a/in")).unwrap();
        std::fs::write(root.join("a/in/x.log"), "one\n").unwrap();
    };
    let (changes, ()) = tokio::join!(source.changed(), write);
    assert!(changes.unwrap().discover);
    let found = source.discover(&BTreeMap::new()).await.unwrap();
    let id = found.splits[0].id.clone();
    let mut reader = source.open(&id, None, Vec::new()).await.unwrap();
    assert_eq!(reader.read(ReadLimit::default()).await.unwrap().state, ReadState::Idle);
    let write = async {
        tokio::task::yield_now().await;
        std::fs::write(folder.path().join("a/in/x.log"), "one\ntwo\n").unwrap();
    };
    let (changes, ()) = tokio::join!(source.changed(), write);
    assert_eq!(changes.unwrap().readable, [id]);
    assert_eq!(reader.read(ReadLimit::default()).await.unwrap().records.len(), 1);
}
