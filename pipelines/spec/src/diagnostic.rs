//! A diagnostic: a code, where, what, and how to help; and the bag that collects all of them.
//!
//! Never enters: how they are printed (`render.rs`). Invariant SP-4: every fault is reported, not only the first, up to
//! [`DIAGNOSTICS_MAX`], and nothing is said twice about one place.

use crate::code::{self, Code, Severity};
use crate::span::Span;

/// The most diagnostics of one file; what is beyond is counted.
pub const DIAGNOSTICS_MAX: usize = 500;

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its kind.
    pub code: &'static Code,
    /// What is wrong, with the value and the bound.
    pub message: String,
    /// Where.
    pub span: Span,
    /// Other places that belong to it, with a note each.
    pub related: Vec<(Span, String)>,
    /// What to do.
    pub help: Option<String>,
    /// What was probably meant, to be put in place of the span.
    pub suggestion: Option<String>,
}

impl Diagnostic {
    /// A diagnostic of `code` at `span`.
    pub fn new(code: &'static Code, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic { code, message: message.into(), span, related: Vec::new(), help: None, suggestion: None }
    }

    /// With what to do.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// With what was probably meant, where something near is known.
    pub fn suggest(mut self, suggestion: Option<impl Into<String>>) -> Diagnostic {
        self.suggestion = suggestion.map(Into::into);
        self
    }

    /// With another place.
    pub fn related(mut self, span: Span, note: impl Into<String>) -> Diagnostic {
        self.related.push((span, note.into()));
        self
    }
}

/// The findings about one file.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
    more: usize,
    hidden: Vec<Span>,
}

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let same = |d: &Diagnostic| d.code == diagnostic.code && d.span == diagnostic.span;
        if self.items.iter().any(|d| same(d) && d.message == diagnostic.message) {
            return;
        }
        if self.items.len() < DIAGNOSTICS_MAX {
            self.items.push(diagnostic);
        } else {
            self.more += 1;
        }
    }

    /// Adds all of `others`.
    pub fn extend(&mut self, others: impl IntoIterator<Item = Diagnostic>) {
        others.into_iter().for_each(|d| self.push(d));
    }

    /// Keeps what is written at `span` out of every snippet.
    pub(crate) fn hide(&mut self, span: Span) {
        if self.hidden.len() < DIAGNOSTICS_MAX {
            self.hidden.push(span);
        }
    }

    /// What [`Diagnostics::hide`] was told.
    pub(crate) fn hidden(&self) -> &[Span] {
        &self.hidden
    }

    /// Whether further ones are only counted, so that nothing dear is worked out for them.
    pub fn is_full(&self) -> bool {
        self.items.len() >= DIAGNOSTICS_MAX
    }

    /// Adds to those from `first` on what else could stand there.
    pub(crate) fn describe_alternatives(&mut self, first: usize, wanted: &str) {
        for diagnostic in self.items.iter_mut().skip(first) {
            diagnostic.help = Some(format!("wanted {wanted}"));
        }
    }

    /// Takes the values out of those from `first` on.
    pub(crate) fn hide_values(&mut self, first: usize, message: &str) {
        for diagnostic in
            self.items.iter_mut().skip(first).filter(|d| d.code.id != code::NO_INTERPOLATION_HERE.id)
        {
            message.clone_into(&mut diagnostic.message);
            diagnostic.suggestion = None;
            diagnostic.help = None;
        }
    }

    /// Whether one of them keeps the pipeline from running.
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|d| d.code.severity == Severity::Error)
    }

    /// How many were found beyond [`DIAGNOSTICS_MAX`].
    pub fn more(&self) -> usize {
        self.more
    }

    /// All, in the order of the file.
    pub fn items(&self) -> &[Diagnostic] {
        &self.items
    }

    /// Puts them in the order of the file.
    pub fn sort(&mut self) {
        self.items.sort_by(|a, b| (a.span, a.code.id, &a.message).cmp(&(b.span, b.code.id, &b.message)));
    }
}
