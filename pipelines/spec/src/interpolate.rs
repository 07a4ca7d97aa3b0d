//! `${env:X}`, `${file:…}` and `${secret:…}`, each with `:-default`, on scalar nodes after the parse, never on text: a
//! value can not become a key, a list or a second setting.
//!
//! Never enters: reading itself; the environment and files come in through [`Reader`], within [`Policy`]. Invariant
//! SP-2: what came from a file or a secret is hidden from here on.

use std::collections::BTreeMap;

use millstream_types::Secret;

use crate::code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::node::{Data, Node, Origin, Scalar, Text};
use crate::span::{SourceMap, Span, Spanned};
use crate::suggest::nearest;
use crate::text_map::TextMap;

/// The longest value that a variable or a file may bring, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Where variables and files are read. The caller's implementation does the reading; this crate only asks.
pub trait Reader {
    /// The value of an environment variable; nothing where it is not set. The error's text is shown.
    fn env(&self, name: &str) -> Result<Option<String>, String>;
    /// The text of a file; nothing where it is not there. The error's text is shown.
    fn file(&self, path: &str) -> Result<Option<String>, String>;
    /// SHA-256 of a file in hexadecimal digits; nothing where it cannot be read.
    fn digest(&self, path: &str) -> Option<String> {
        let _ = path;
        None
    }
}

/// A reader that has nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoReader;

impl Reader for NoReader {
    fn env(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    fn file(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }
}

/// A reader over given values, for tests and for `millstream test`.
#[derive(Clone, Debug, Default)]
pub struct FixedReader {
    /// Variables.
    pub env: BTreeMap<String, String>,
    /// Files by path.
    pub files: BTreeMap<String, String>,
    /// Digests of files by path.
    pub digests: BTreeMap<String, String>,
}

impl Reader for FixedReader {
    fn env(&self, name: &str) -> Result<Option<String>, String> {
        Ok(self.env.get(name).cloned())
    }

    fn file(&self, path: &str) -> Result<Option<String>, String> {
        Ok(self.files.get(path).cloned())
    }

    fn digest(&self, path: &str) -> Option<String> {
        self.digests.get(path).cloned()
    }
}

/// Which names may be read: exact ones, or prefixes that end in `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList(pub Vec<String>);

impl AllowList {
    /// Everything: for a file that a user runs with rights of their own.
    pub fn all() -> AllowList {
        AllowList(vec!["*".to_owned()])
    }

    /// Whether `name` may be read.
    pub fn allows(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => pattern == name,
        })
    }
}

/// What the submitter of a pipeline may read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Environment variables.
    pub env: AllowList,
    /// Files, by the path as written; a path with a `..` in it is never allowed.
    pub files: AllowList,
}

impl Policy {
    /// A local user's own file: all variables and files. A remote submitter gets [`Policy::default`], which is nothing.
    pub fn local() -> Policy {
        Policy { env: AllowList::all(), files: AllowList::all() }
    }
}

/// The resolved `secrets` section, and which of them were used.
#[derive(Debug, Default)]
pub struct Secrets {
    /// Values by name; nothing where the entry was at fault, which has been reported.
    pub values: BTreeMap<String, Spanned<Option<Secret>>>,
    /// Names that `${secret:…}` named.
    pub used: std::collections::BTreeSet<String>,
}

/// One `${…}` or the text between two.
enum Part {
    Text(String),
    Reference { start: usize, end: usize, kind: String, name: String, default: Option<String> },
}

/// Splits a scalar's text. The error is a byte range of the text and what is wrong there.
fn split(text: &str) -> Result<Vec<Part>, (usize, usize, String)> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let start = at + found;
        if start > at && text.as_bytes()[start - 1] == b'$' {
            literal.push_str(&text[at..start - 1]);
            literal.push_str("${");
            at = start + 2;
            continue;
        }
        literal.push_str(&text[at..start]);
        let Some(length) = text[start..].find('}') else {
            return Err((start, text.len(), "a ${ without its }".to_owned()));
        };
        let end = start + length + 1;
        let body = &text[start + 2..end - 1];
        let Some((kind, rest)) = body.split_once(':') else {
            return Err((start, end, format!("${{{body}}} does not say where the value comes from")));
        };
        let (name, default) = match rest.split_once(":-") {
            Some((name, default)) => (name, Some(default.to_owned())),
            None => (rest, None),
        };
        if name.is_empty() {
            return Err((start, end, format!("${{{body}}} names nothing")));
        }
        if !matches!(kind, "env" | "file" | "secret") {
            return Err((start, end, format!("{kind:?} is none of env, file and secret")));
        }
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal)));
        }
        parts.push(Part::Reference { start, end, kind: kind.to_owned(), name: name.to_owned(), default });
        at = end;
    }
    literal.push_str(&text[at..]);
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    Ok(parts)
}

/// What the pass works with.
pub(crate) struct Interpolator<'a> {
    pub reader: &'a dyn Reader,
    pub policy: &'a Policy,
    pub sources: &'a SourceMap,
    pub secrets: Secrets,
}

impl Interpolator<'_> {
    /// Resolves the `secrets` section, then every scalar of the tree outside `tests`, whose rows are data.
    pub fn run(&mut self, root: &mut Node, diagnostics: &mut Diagnostics) {
        let Data::Map(entries) = &mut root.data else { return };
        for section in entries.iter_mut().filter(|e| e.key.value == "secrets") {
            let Data::Map(secrets) = &mut section.value.data else { continue };
            for entry in secrets {
                let before = diagnostics.items().len();
                self.node(&mut entry.value, true, diagnostics);
                let value = match &entry.value.data {
                    Data::Scalar(scalar) if diagnostics.items().len() == before => {
                        if scalar.origin == Origin::Literal {
                            diagnostics.hide(entry.value.span);
                            let message = format!("the secret {:?} is written in the file", entry.key.value);
                            diagnostics.push(
                                Diagnostic::new(&code::SECRET_IN_FILE, entry.value.span, message)
                                    .help("use ${env:NAME} or ${file:/run/secrets/name}"),
                            );
                        }
                        Some(Secret::new(scalar.expose()))
                    }
                    _ => None,
                };
                let span = entry.key.span;
                self.secrets.values.insert(entry.key.value.clone(), Spanned::new(value, span));
                if let Data::Scalar(scalar) = &mut entry.value.data {
                    scalar.text = Text::Hidden(Secret::new(scalar.expose()));
                    scalar.origin = Origin::Secret;
                }
            }
        }
        for entry in entries.iter_mut().filter(|e| !matches!(e.key.value.as_str(), "secrets" | "tests")) {
            self.node(&mut entry.value, false, diagnostics);
        }
    }

    fn node(&mut self, node: &mut Node, in_secrets: bool, diagnostics: &mut Diagnostics) {
        match &mut node.data {
            Data::Null => {}
            Data::Seq(items) => items.iter_mut().for_each(|n| self.node(n, in_secrets, diagnostics)),
            Data::Map(entries) => {
                entries.iter_mut().for_each(|e| self.node(&mut e.value, in_secrets, diagnostics));
            }
            Data::Scalar(scalar) => {
                let Some(text) = scalar.clear().filter(|text| text.contains("${")).map(str::to_owned) else {
                    return;
                };
                let map = self
                    .sources
                    .get(node.span.source)
                    .map(|s| TextMap::new(s, node.span, scalar.style, &text));
                let at = |start, end| map.as_ref().map_or(node.span, |m| m.bytes(start, end));
                match split(&text) {
                    Err((start, end, message)) => {
                        let help = "write ${env:NAME}, ${file:/path} or ${secret:name}, with an optional default as \
                                    ${env:NAME:-default}; a literal ${ is $${";
                        diagnostics.push(
                            Diagnostic::new(&code::INTERPOLATION_SYNTAX, at(start, end), message).help(help),
                        );
                        scalar.interpolated = true;
                    }
                    Ok(parts) => *scalar = self.resolve(scalar, parts, in_secrets, &at, diagnostics),
                }
            }
        }
    }

    fn resolve(
        &mut self,
        scalar: &Scalar,
        parts: Vec<Part>,
        in_secrets: bool,
        at: &dyn Fn(usize, usize) -> Span,
        diagnostics: &mut Diagnostics,
    ) -> Scalar {
        let mut text = String::new();
        let mut origin = Origin::Literal;
        let mut interpolated = false;
        let mut failed = false;
        for part in parts {
            match part {
                Part::Text(literal) => text.push_str(&literal),
                Part::Reference { start, end, kind, name, default } => {
                    interpolated = true;
                    let span = at(start, end);
                    let (value, from) = self.value(&kind, &name, default, in_secrets, span, diagnostics);
                    origin = origin.max(from);
                    failed |= value.is_none();
                    text.push_str(value.as_deref().unwrap_or(""));
                }
            }
        }
        if failed {
            // Reported where it was found; nothing else is said about the setting.
            text.clear();
            origin = Origin::Variable;
        }
        let text = if origin == Origin::Secret { Text::Hidden(Secret::new(text)) } else { Text::Clear(text) };
        Scalar { text, style: scalar.style, origin, interpolated: scalar.interpolated || interpolated }
    }

    fn value(
        &mut self,
        kind: &str,
        name: &str,
        default: Option<String>,
        in_secrets: bool,
        span: Span,
        diagnostics: &mut Diagnostics,
    ) -> (Option<String>, Origin) {
        let (found, origin, what) = match kind {
            "env" => {
                if !self.policy.env.allows(name) {
                    let message = format!("the variable {name} may not be read by this pipeline");
                    diagnostics.push(Diagnostic::new(&code::READ_NOT_ALLOWED, span, message));
                    return (None, Origin::Variable);
                }
                (self.reader.env(name), Origin::Variable, "variable")
            }
            "file" => {
                let climbs = name.split('/').any(|part| part == "..");
                if climbs || !self.policy.files.allows(name) {
                    let why = if climbs { ", since its path has a .. in it" } else { "" };
                    let message = format!("the file {name} may not be read by this pipeline{why}");
                    diagnostics.push(Diagnostic::new(&code::READ_NOT_ALLOWED, span, message));
                    return (None, Origin::Secret);
                }
                // Files that hold one value end in a line break that is not meant.
                let text = self
                    .reader
                    .file(name)
                    .map(|text| text.map(|t| t.trim_end_matches(['\n', '\r']).to_owned()));
                (text, Origin::Secret, "file")
            }
            _ => {
                if in_secrets {
                    let message = "a secret cannot be made of another secret";
                    diagnostics.push(Diagnostic::new(&code::NO_INTERPOLATION_HERE, span, message));
                    return (None, Origin::Secret);
                }
                let Some(value) = self.secrets.values.get(name) else {
                    let near =
                        nearest(name, self.secrets.values.keys().map(String::as_str)).map(str::to_owned);
                    let message = format!("the secret {name:?} is not declared in `secrets`");
                    diagnostics.push(Diagnostic::new(&code::UNKNOWN_SECRET, span, message).suggest(near));
                    return (None, Origin::Secret);
                };
                self.secrets.used.insert(name.to_owned());
                // A secret at fault has been reported where it is declared.
                let text = value.value.as_ref().map(|s| String::from_utf8_lossy(s.expose()).into_owned());
                (Ok(Some(text.unwrap_or_default())), Origin::Secret, "secret")
            }
        };
        let problem = match found {
            Ok(Some(text)) if text.len() > VALUE_BYTES_MAX => {
                format!("the {what} {name} has {} bytes; a value has at most {VALUE_BYTES_MAX}", text.len())
            }
            Ok(Some(text)) if text.is_empty() && default.is_some() => return (default, origin),
            Ok(Some(text)) => return (Some(text), origin),
            Ok(None) => match default {
                Some(default) => return (Some(default), origin),
                None => format!("the {what} {name} is not there and has no default"),
            },
            Err(error) => format!("the {what} {name} cannot be read: {error}"),
        };
        let help = format!("set it, or give a default: ${{{kind}:{name}:-default}}");
        diagnostics.push(Diagnostic::new(&code::NOT_SET, span, problem).help(help));
        (None, origin)
    }
}
