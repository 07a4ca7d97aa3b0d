//! `--set path=value`: one scalar of the tree, put there before interpolation, with a position of its own (`--set:1:…`)
//! so that a fault in it is shown in it.
//!
//! Never enters: lists and mappings as values; whatever needs one is written in the file.

use crate::code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::load;
use crate::node::{Data, Entry, Node};
use crate::span::{SourceMap, Span, Spanned};

/// Applies `overrides`, each `path=value`, in order.
pub(crate) fn apply(
    root: &mut Node,
    overrides: &[String],
    sources: &mut SourceMap,
    diagnostics: &mut Diagnostics,
) {
    for text in overrides {
        let source = sources.add("--set", text.clone());
        let whole = Span::new(source, 0, text.len() as u32);
        let refuse = |span, message: String| Diagnostic::new(&code::BAD_OVERRIDE, span, message);
        let Some((path, value)) = text.split_once('=') else {
            diagnostics.push(refuse(whole, format!("{text:?} is not path=value")));
            continue;
        };
        let mut parsed = Diagnostics::default();
        let node = if value.is_empty() { None } else { load::parse(source, value, &mut parsed) };
        let Some(mut node) = node.filter(|n| n.scalar().is_some() && parsed.items().is_empty()) else {
            let span = Span::new(source, path.len() as u32 + 1, text.len() as u32);
            diagnostics.push(refuse(span, "the value is one YAML scalar".to_owned()));
            continue;
        };
        // The value was parsed from its own text: its place in the override is past the path.
        let shift = path.len() as u32 + 1;
        node.span = Span::new(source, node.span.start + shift, node.span.end + shift);
        if let Err(message) = set(root, path, source, node) {
            diagnostics.push(refuse(Span::new(source, 0, path.len() as u32), message));
        }
    }
}

fn set(root: &mut Node, path: &str, source: crate::span::SourceId, value: Node) -> Result<(), String> {
    let mut at = root;
    let mut start = 0;
    let keys: Vec<&str> = path.split('.').collect();
    if keys.len() > load::DEPTH_MAX {
        return Err(format!("a path has at most {} keys", load::DEPTH_MAX));
    }
    for (i, key) in keys.iter().enumerate() {
        if key.is_empty() {
            return Err(format!("the path {path:?} has an empty key"));
        }
        let span = Span::new(source, start, start + key.len() as u32);
        start += key.len() as u32 + 1;
        if at.is_null() {
            at.data = Data::Map(Vec::new());
        }
        let Data::Map(entries) = &mut at.data else {
            return Err(format!("{:?} is not a mapping, so it has no {key:?}", keys[..i].join(".")));
        };
        let found = entries.iter().position(|e| e.key.value == *key);
        let index = found.unwrap_or_else(|| {
            entries.push(Entry {
                key: Spanned::new((*key).to_owned(), span),
                value: Node { span, data: Data::Null },
            });
            entries.len() - 1
        });
        at = &mut entries[index].value;
    }
    *at = value;
    Ok(())
}
