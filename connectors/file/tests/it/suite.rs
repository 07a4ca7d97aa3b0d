//! The conformance suite over a folder of files, watched and finite.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use millstream_connector::test_suite::source::{SourceFixture, check_source};
use millstream_connector::test_suite::{HandClock, Need, context};
use millstream_connector::{CrashPoints, Source, async_trait};
use millstream_file::FileSource;

struct Fixture {
    folder: tempfile::TempDir,
    clock: Arc<HandClock>,
    watch: bool,
}

#[async_trait]
impl SourceFixture for Fixture {
    async fn reset(&mut self) {
        self.folder = tempfile::tempdir().unwrap();
    }

    fn can(&self, need: Need) -> bool {
        matches!(need, Need::Replay | Need::ManySplits | Need::TwoReaders)
    }

    async fn put(&mut self, split: usize, records: Vec<Bytes>) {
        let inbox = self.folder.path().join(format!("stores/S{split}/inbox"));
        std::fs::create_dir_all(&inbox).unwrap();
        let mut file =
            std::fs::File::options().append(true).create(true).open(inbox.join("a.jsonl")).unwrap();
        for record in records {
            file.write_all(&[&record[..], b"\n"].concat()).unwrap();
        }
    }

    async fn source(&mut self) -> Box<dyn Source> {
        let config = format!(
            r#"{{"path":"stores/*/inbox/*.jsonl","watch":{},"read_size":"100B","max_open_files":2}}"#,
            self.watch
        );
        let config = serde_json::from_str(&config).unwrap();
        let context = context(&self.clock, CrashPoints::none());
        Box::new(FileSource::new(config, self.folder.path().to_owned(), context))
    }

    async fn settle(&mut self) {}
}

async fn run(watch: bool) {
    let folder = tempfile::tempdir().unwrap();
    let mut fixture = Fixture { folder, clock: HandClock::new(0), watch };
    let tally = check_source(&mut fixture).await;
    assert_eq!((tally.passed, tally.left_out), (21, 0));
}

#[tokio::test]
async fn a_watched_folder_conforms() {
    run(true).await;
}

#[tokio::test]
async fn a_finite_folder_conforms() {
    run(false).await;
}
