//! The three doors give the same outcome for the same records; compiled code is cached and never trusted when torn.

use crate::guests;
use crate::support::{limited, load_wat};
use bytes::Bytes;
use millstream_model::function as model;
use millstream_model::{Message, UserFunction};
use millstream_wasm::{Batch, Caller, Engine, EngineConfig, Header, Limits, Outcome, Record, World};

fn records() -> Batch {
    let headers = [
        Header { name: "trace", value: Some(b"abc") },
        Header { name: "", value: None },
        Header { name: "trace", value: Some(b"") },
    ];
    let mut batch = Batch::new();
    for n in 0..200_i64 {
        let value = vec![b'v'; usize::try_from(n).expect("n is small") * 3 % 101 + 1];
        batch.push(&Record {
            key: (n % 3 != 0).then_some(b"key"),
            value: Some(&value),
            headers: &headers[..usize::try_from(n % 4).expect("n is small")],
            timestamp_ms: n - 100,
            partition: 7,
            offset: n << 32,
        });
    }
    batch
}

#[test]
fn the_three_doors_agree() {
    let load = |wat: String| load_wat(&wat, limited(Limits::default())).expect("the guest loads");
    let functions = [load(guests::plain()), load(guests::packed(false)), load(guests::transform())];
    assert_eq!(functions.each_ref().map(|f| f.world()), [World::Plain, World::Packed, World::Transform]);
    let outcomes: Vec<Outcome> =
        functions.iter().map(|f| f.process(&records()).expect("nothing transient")).collect();
    assert_eq!(outcomes[0].emits.len(), 200);
    assert_eq!(outcomes[0].emits[7].headers.len(), 3);
    assert_eq!(outcomes[0].emits[7].timestamp_ms, -93);
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[0], outcomes[2]);
    let mut tombstone = Batch::new();
    tombstone.push(&Record { key: Some(b"k"), ..Record::default() });
    let outcome = functions[2].process(&tombstone).expect("nothing transient");
    assert_eq!((outcome.failed[0].input, &*outcome.failed[0].code), (0, "empty"));
    let outcome = functions[1].process(&tombstone).expect("nothing transient");
    assert_eq!((outcome.emits[0].key.as_deref(), &outcome.emits[0].value), (Some(&b"k"[..]), &None));
}

#[test]
fn the_engines_trait_gives_the_same_outcome_with_origins() {
    let function = load_wat(&guests::packed(false), limited(Limits::default())).expect("the guest loads");
    let message = |value: &'static str, offset| Message {
        value: Some(Bytes::from_static(value.as_bytes())),
        headers: vec![model::Header { key: "h".to_owned(), value: None }],
        partition: 3,
        offset,
        ..Message::default()
    };
    let batch =
        [message("d", 10), message("yes", 11), message("f", 12), message("e", 13), message("yes", 14)];
    let mut caller = Caller::new(function);
    for _ in 0..2 {
        let outcome = caller.process(&batch).expect("nothing transient");
        let emitted: Vec<&Message> = outcome.emits.iter().map(|emit| &emit.message).collect();
        assert_eq!(emitted, [&batch[1], &batch[4]]);
        let failed: Vec<(u32, &str)> = outcome.failed.iter().map(|bad| (bad.index, &*bad.why.code)).collect();
        assert_eq!(failed, [(2, "no"), (3, "function_trap")]);
        assert!(outcome.failed[1].why.reason.contains("last logged error: bad luck"));
    }
    let limits = Limits { fuel: u64::MAX >> 1, deadline_ms: 100, ..Limits::default() };
    let function = load_wat(&guests::packed(false), limited(limits)).expect("the guest loads");
    let error = Caller::new(function).process(&[message("l", 0)]).expect_err("it outlasts the deadline");
    assert!(matches!(error, model::FunctionError::Transient { .. }), "{error}");
}

#[test]
fn compiled_code_is_cached_and_a_torn_file_is_compiled_anew() {
    let dir = tempfile::tempdir().expect("a folder for the cache");
    let engine = || {
        let cache_dir = Some(dir.path().join("deep/cache"));
        Engine::new(EngineConfig { cache_dir, instances_max: 8, ..EngineConfig::default() })
            .expect("it starts")
    };
    let files = || -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(dir.path().join("deep/cache")).expect("the cache is there");
        entries.map(|entry| entry.expect("it can be listed").path()).collect()
    };
    for wat in [guests::plain(), guests::packed(false)] {
        let wasm = wat::parse_str(&wat).expect("the guest's text is well made");
        let load = || engine().load(&wasm, limited(Limits::default())).expect("the guest loads");
        let before = if dir.path().join("deep").exists() { files() } else { Vec::new() };
        let digest = load().digest().to_owned();
        let made: Vec<_> = files().into_iter().filter(|path| !before.contains(path)).collect();
        assert_eq!(made.len(), 1, "{made:?}");
        let name = made[0].file_name().unwrap_or_default().to_string_lossy().into_owned();
        assert!(name.starts_with(&digest), "{name}");
        let whole = std::fs::read(&made[0]).expect("it can be read");
        for torn in
            [&whole[..0], &whole[..20], &whole[..whole.len() / 2], &[vec![0; 32], whole.clone()].concat()]
        {
            std::fs::write(&made[0], torn).expect("it can be torn");
            let outcome = load().process(&records()).expect("nothing transient");
            assert_eq!(outcome.emits.len(), 200);
            assert_eq!(std::fs::read(&made[0]).expect("it can be read").len(), whole.len());
        }
    }
}
