//! Compiled code on disk, so that a 12 MB component is compiled once and not at every start. A file's name holds the
//! SHA-256 of the wasm and a hash of wasmtime's version and configuration; its first 32 bytes are the SHA-256 of the
//! rest. A file that is missing, torn or of another version is compiled anew. It is a cache: nothing here is synced,
//! and no error here is one of the caller.

use sha2::{Digest, Sha256};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

/// The SHA-256 of a module's bytes: what plans and pipelines name it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ModuleDigest([u8; 32]);

impl ModuleDigest {
    pub(crate) fn of(bytes: &[u8]) -> ModuleDigest {
        ModuleDigest(Sha256::digest(bytes).into())
    }

    pub(crate) fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The SHA-256 of a module's bytes in hexadecimal digits, as a loaded function says it.
pub fn digest(wasm: &[u8]) -> String {
    ModuleDigest::of(wasm).hex()
}

/// What can be kept: components and plain modules.
pub(crate) trait Compiled: Sized {
    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Self>;
    fn serialize(&self) -> wasmtime::Result<Vec<u8>>;
    /// Takes back what [`Compiled::serialize`] gave. Native code: only for bytes that [`read`] found whole.
    fn deserialize(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self>;
}

/// The cache's folder.
#[derive(Debug)]
pub(crate) struct ModuleCache {
    dir: PathBuf,
    compatibility: u64,
}

impl ModuleCache {
    pub(crate) fn new(dir: PathBuf, engine: &Engine) -> ModuleCache {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        ModuleCache { dir, compatibility: hasher.finish() }
    }

    /// The compiled form of `wasm`, from the cache or into it.
    pub(crate) fn get<C: Compiled>(
        &self,
        engine: &Engine,
        digest: &ModuleDigest,
        wasm: &[u8],
    ) -> wasmtime::Result<C> {
        let path = self.dir.join(format!("{}-{:016x}.cwasm", digest.hex(), self.compatibility));
        if let Some(code) = read(&path) {
            match C::deserialize(engine, &code) {
                Ok(compiled) => return Ok(compiled),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a cached module is compiled anew")
                }
            }
        }
        let compiled = C::compile(engine, wasm)?;
        if let Err(error) = compiled.serialize().and_then(|code| Ok(self.write(&path, &code)?)) {
            tracing::warn!(path = %path.display(), %error, "a compiled module could not be cached");
        }
        Ok(compiled)
    }

    /// Beside, then renamed: a reader sees a whole file or none.
    fn write(&self, path: &Path, code: &[u8]) -> std::io::Result<()> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.dir)?;
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(&ModuleDigest::of(code).0)?;
        file.write_all(code)?;
        drop(file);
        std::fs::rename(&beside, path)
    }
}

/// The code of a cache file that is whole.
fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = std::fs::read(path).ok()?;
    let digest = *bytes.first_chunk::<32>()?;
    let code = bytes.split_off(32);
    (ModuleDigest::of(&code).0 == digest).then_some(code)
}

impl Compiled for Component {
    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Component> {
        Component::from_binary(engine, wasm)
    }

    fn serialize(&self) -> wasmtime::Result<Vec<u8>> {
        Component::serialize(self)
    }

    #[allow(unsafe_code)]
    fn deserialize(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: the file is whole by its digest and was written by this module, in a folder that only this user
        // can write to; wasmtime checks its own version and configuration.
        unsafe { Component::deserialize(engine, bytes) }
    }
}

impl Compiled for Module {
    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Module> {
        Module::from_binary(engine, wasm)
    }

    fn serialize(&self) -> wasmtime::Result<Vec<u8>> {
        Module::serialize(self)
    }

    #[allow(unsafe_code)]
    fn deserialize(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Module> {
        // SAFETY: the file is whole by its digest and was written by this module, in a folder that only this user
        // can write to; wasmtime checks its own version and configuration.
        unsafe { Module::deserialize(engine, bytes) }
    }
}
