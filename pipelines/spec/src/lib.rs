//! Pipelines in YAML: text in, a typed spec and every fault with its position out.
//!
//! ```
//! use millstream_spec::{Capabilities, NoReader, Policy, Request, catalog::standard, load, render};
//!
//! let text = "version: 1\nname: demo\nsources:\n  inbox: { type: file, path: in.jsonl }\nsinks:\n  out: { type: htpp, inputs: [inbox] }\n";
//! let outcome = load(&Request {
//!     file: "demo.yaml",
//!     text,
//!     overrides: &[],
//!     catalog: &standard::catalog(),
//!     capabilities: &Capabilities::this_version(),
//!     reader: &NoReader,
//!     policy: &Policy::default(),
//! });
//! assert!(outcome.pipeline.is_none());
//! let shown = render::text(&outcome.diagnostics, &outcome.sources);
//! assert!(shown.starts_with("demo.yaml:6:16: error[MS0107]: \"htpp\" is not a type of sink"));
//! ```
//!
//! Never enters: files, the environment, clocks, sockets (readers come in as traits); connectors (their tables come in as
//! a [`catalog::Catalog`]); SQL plans and Wasm modules, which the worker's `validate` opens and maps back through
//! [`sql::SqlText`]. The way of a text: `load` parses, `overrides` and `interpolate` fill in, `shape` lints, `lower` types,
//! `check` relates. No text makes it panic, and its memory is bounded by the file's size times a constant.

pub mod ast;
pub mod capability;
pub mod catalog;
mod check;
pub mod code;
pub mod diagnostic;
pub mod flow;
pub mod interpolate;
pub mod load;
mod lower;
pub mod node;
mod overrides;
pub mod recording;
pub mod reference;
pub mod render;
pub mod replaced;
pub mod scalar;
pub mod schema;
pub mod shape;
pub mod span;
pub mod sql;
pub mod suggest;
pub mod text_map;
pub mod value;

pub use ast::Pipeline;
pub use capability::{Capabilities, Feature};
pub use catalog::{Catalog, Delivery};
pub use check::names::DEAD_LETTERS;
pub use code::{Code, Severity};
pub use diagnostic::{Diagnostic, Diagnostics};
pub use interpolate::{AllowList, FixedReader, NoReader, Policy, Reader};
pub use span::{SourceId, SourceMap, Span, Spanned};

use interpolate::{Interpolator, Secrets};
use node::Data;
use shape::Kind;
use shape::core::PIPELINE;
use shape::walk::Walk;

/// A file and what it is judged by.
pub struct Request<'a> {
    /// The file's name, as diagnostics print it.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
    /// `--set`, each `path=value`.
    pub overrides: &'a [String],
    /// The connectors that it may name.
    pub catalog: &'a dyn Catalog,
    /// What the engine runs.
    pub capabilities: &'a Capabilities,
    /// Where `${env:…}` and `${file:…}` are read.
    pub reader: &'a dyn Reader,
    /// What of that is allowed.
    pub policy: &'a Policy,
}

/// What became of it.
#[derive(Debug)]
pub struct Outcome {
    /// The spec; nothing where there are errors.
    pub pipeline: Option<Pipeline>,
    /// Every fault, in the order of the file.
    pub diagnostics: Diagnostics,
    /// The texts that spans point into.
    pub sources: SourceMap,
}

/// Reads, checks and types a pipeline file.
pub fn load(request: &Request<'_>) -> Outcome {
    let mut sources = SourceMap::default();
    let mut diagnostics = Diagnostics::default();
    // A file beyond the limit is not kept.
    let kept = if request.text.len() > load::FILE_BYTES_MAX { "" } else { request.text };
    let source = sources.add(request.file, kept);
    let pipeline = run(request, source, &mut sources, &mut diagnostics);
    diagnostics.sort();
    diagnostics.hidden().iter().for_each(|span| sources.hide(*span));
    let pipeline = pipeline.filter(|_| !diagnostics.has_errors());
    Outcome { pipeline, diagnostics, sources }
}

fn run(
    request: &Request<'_>,
    source: SourceId,
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
) -> Option<Pipeline> {
    let mut root = load::parse(source, request.text, diagnostics)?;
    if !matches!(root.data, Data::Map(_)) {
        let message = format!("the file is {}; a pipeline is a mapping", root.describe());
        let help = "start it with `version: 1`";
        diagnostics.push(Diagnostic::new(&code::NOT_A_MAPPING, root.span, message).help(help));
        return None;
    }
    overrides::apply(&mut root, request.overrides, sources, diagnostics);
    let mut pass =
        Interpolator { reader: request.reader, policy: request.policy, sources, secrets: Secrets::default() };
    pass.run(&mut root, diagnostics);
    let secrets = pass.secrets;
    Walk { catalog: request.catalog, capabilities: request.capabilities, diagnostics }.value(
        "pipeline",
        Span::new(source, root.span.start, root.span.start),
        &root,
        &Kind::Struct(&PIPELINE),
    );
    let mut pipeline =
        lower::Lower { sources, catalog: request.catalog, diagnostics }.pipeline(&root, &secrets);
    for wasm in pipeline.modules_mut() {
        wasm.digest = request.reader.digest(&wasm.module.value);
    }
    check::all(&root, &pipeline, request.catalog, request.capabilities, &secrets, diagnostics);
    lower::conditions(&mut pipeline);
    Some(pipeline)
}
