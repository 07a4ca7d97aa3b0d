//! A pipeline file opened: read, linted, planned. Never enters: what only the parts can check (`validate.rs`).

use std::path::{Path, PathBuf};

use millstream_plan::Job;
use millstream_spec::catalog::standard;
use millstream_spec::{Capabilities, Diagnostics, Pipeline, Policy, Reader, Request, SourceMap};

/// A pipeline that was read and planned.
#[derive(Debug)]
pub struct Opened {
    /// The spec and the plan; nothing where there are errors.
    pub parts: Option<(Pipeline, Job)>,
    /// Every fault so far.
    pub diagnostics: Diagnostics,
    /// The texts that spans point into.
    pub sources: SourceMap,
    /// The pipeline's own folder, which relative paths are from.
    pub root: PathBuf,
}

/// The environment and the files of a local user.
struct Local {
    root: PathBuf,
}

impl Reader for Local {
    fn env(&self, name: &str) -> Result<Option<String>, String> {
        match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err("it is not UTF-8".to_owned()),
        }
    }

    fn file(&self, path: &str) -> Result<Option<String>, String> {
        match std::fs::read_to_string(self.root.join(path)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn digest(&self, path: &str) -> Option<String> {
        std::fs::read(self.root.join(path)).ok().map(|wasm| millstream_wasm::digest(&wasm))
    }
}

/// Opens a file. The error is that of reading it; all else is in the diagnostics.
pub fn open(file: &Path, overrides: &[String]) -> std::io::Result<Opened> {
    let text = std::fs::read_to_string(file)?;
    let parent = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let root = std::path::absolute(parent)?;
    let catalog = standard::catalog();
    let outcome = millstream_spec::load(&Request {
        file: &file.display().to_string(),
        text: &text,
        overrides,
        catalog: &catalog,
        capabilities: &Capabilities::this_version(),
        reader: &Local { root: root.clone() },
        policy: &Policy::local(),
    });
    let mut diagnostics = outcome.diagnostics;
    let mut parts = None;
    if let Some(pipeline) = outcome.pipeline {
        match millstream_plan::plan(&pipeline, &catalog) {
            Ok(job) => parts = Some((pipeline, job)),
            Err(found) => {
                diagnostics.extend(found.items().iter().cloned());
                diagnostics.sort();
            }
        }
    }
    Ok(Opened { parts, diagnostics, sources: outcome.sources, root })
}
