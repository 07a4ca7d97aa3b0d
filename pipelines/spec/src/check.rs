//! The checks of what lint cannot see key by key: names, relations, event time, delivery, schemas, tests, secrets. Each
//! returns all that it finds (SP-4).
//!
//! Never enters: reading the file again.

mod formats;
mod functions;
mod graph;
pub(crate) mod names;
mod replaced;
mod schemas;
mod secrets;
mod targets;
mod tests;
mod time;

use std::collections::BTreeSet;

use crate::ast::Pipeline;
use crate::capability::{Capabilities, Feature};
use crate::catalog::Catalog;
use crate::code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::flow::{COMPONENTS_MAX, Flow};
use crate::interpolate::Secrets;
use crate::node::Node;
use crate::span::Span;

/// What the checks look at.
pub(crate) struct Check<'a> {
    pub pipeline: &'a Pipeline,
    pub flow: &'a Flow<'a>,
    pub catalog: &'a dyn Catalog,
    pub capabilities: &'a Capabilities,
    /// Ids of transforms that the file has and that could not be read; their fault has been reported.
    pub unread: BTreeSet<&'a str>,
}

/// Runs every check over a typed spec, complete or not.
pub(crate) fn all(
    root: &Node,
    pipeline: &Pipeline,
    catalog: &dyn Catalog,
    capabilities: &Capabilities,
    secrets: &Secrets,
    out: &mut Diagnostics,
) {
    names::check(root, pipeline, out);
    functions::check(pipeline, out);
    let components =
        pipeline.sources.len() + pipeline.tables.len() + pipeline.transforms.len() + pipeline.sinks.len();
    if components > COMPONENTS_MAX {
        let message = format!("the pipeline has {components} components; one has at most {COMPONENTS_MAX}");
        out.push(Diagnostic::new(&code::OUT_OF_BOUNDS, pipeline.name.span, message));
        return;
    }
    let flow = Flow::new(pipeline);
    let transforms = root.get("transforms").map_or(&[][..], Node::entries);
    let unread =
        transforms.iter().map(|e| e.key.value.as_str()).filter(|id| !pipeline.transforms.contains_key(*id));
    let check = Check { pipeline, flow: &flow, catalog, capabilities, unread: unread.collect() };
    graph::check(&check, out);
    formats::check(&check, out);
    time::check(&check, out);
    replaced::check(&check, out);
    targets::check(&check, out);
    schemas::check(&check, out);
    tests::check(&check, out);
    secrets::check(secrets, out);
}

impl Check<'_> {
    /// Refuses a feature that the engine does not have.
    fn needs(&self, feature: Feature, span: Span, out: &mut Diagnostics) {
        if !self.capabilities.has(feature) {
            let message = format!("{} is not available in this version", feature.word());
            out.push(Diagnostic::new(&code::NOT_IN_THIS_VERSION, span, message));
        }
    }
}
