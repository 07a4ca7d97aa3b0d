//! Engines, batches and guests for the tests.

use bytes::Bytes;
use millstream_wasm::{Batch, Engine, EngineConfig, Function, FunctionConfig, Limits, Record, Table};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

/// One engine for the test binary: its pool is address space, not memory. Compiled code is kept in the target folder,
/// for an unoptimised Cranelift is slow.
pub fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let cache_dir = Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled"));
        Engine::new(EngineConfig { cache_dir, ..EngineConfig::default() }).expect("the engine starts")
    })
}

/// The repository's folder.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Builds the crate of an example into a component; false where nothing is there to build it with.
pub fn build(example: &str, component: &Path) -> bool {
    let cache = std::env::var_os("MILLSTREAM_CACHE").map(PathBuf::from).or_else(|| {
        let folder = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let folder =
            folder.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
        folder.map(|folder| folder.join("millstream"))
    });
    if !cache.is_some_and(|cache| cache.join("wasm-toolchain/env").exists()) {
        millstream_skip::skip(
            &format!("the component of {example} from its source"),
            "sdk/functions/rust/toolchain.sh has not been run",
        );
        return false;
    }
    let build = Command::new(repository().join("sdk/functions/rust/build.sh"))
        .arg(repository().join("pipelines/examples").join(example))
        .arg(component)
        .env("CARGO_TARGET_DIR", PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("guests"))
        // The build of this test is none of the guest's.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("the script runs");
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    true
}

/// The committed component of the store-invoices example, with these stores in its table.
pub fn check_invoice(stores: &[&str]) -> (Function, Arc<Table>) {
    check_invoice_at(&repository().join("pipelines/examples/store-invoices/check_invoice.wasm"), stores)
}

/// A component like it.
pub fn check_invoice_at(path: &Path, stores: &[&str]) -> (Function, Arc<Table>) {
    let rows = |stores: &[&str]| -> Vec<(Bytes, Bytes)> {
        stores.iter().map(|store| (Bytes::copy_from_slice(store.as_bytes()), Bytes::new())).collect()
    };
    let table = Arc::new(Table::new(rows(stores)));
    let config = FunctionConfig {
        name: "checked".to_owned(),
        tables: BTreeMap::from([("stores".to_owned(), table.clone())]),
        ..FunctionConfig::default()
    };
    (engine().load_file(path, config).expect("the component loads"), table)
}

/// A batch of values.
pub fn batch<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> Batch {
    let mut batch = Batch::new();
    for (offset, value) in values.into_iter().enumerate() {
        batch.push(&Record { value: Some(value.as_ref()), offset: offset as i64, ..Record::default() });
    }
    batch
}

/// A function from WAT.
pub fn load_wat(wat: &str, config: FunctionConfig) -> Result<Function, millstream_wasm::LoadError> {
    engine().load(&wat::parse_str(wat).expect("the guest's text is well made"), config)
}

/// A configuration with these limits.
pub fn limited(limits: Limits) -> FunctionConfig {
    FunctionConfig { name: "guest".to_owned(), limits, ..FunctionConfig::default() }
}
