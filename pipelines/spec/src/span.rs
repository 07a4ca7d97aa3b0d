//! Where things are: source texts, spans of bytes within them, and lines and columns for people.
//!
//! Never enters: what the texts mean. Invariant SP-1: a span's ends lie on character boundaries of its source, and
//! its start is not after its end; every constructor clamps to that.

use std::fmt;

/// One of the texts of a [`SourceMap`]: 0 is the pipeline file, later ones are `--set` overrides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct SourceId(pub u32);

/// A range of bytes of one source, the end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    /// The source that the bytes are in.
    pub source: SourceId,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// The bytes `start..end` of `source`.
    pub fn new(source: SourceId, start: u32, end: u32) -> Span {
        Span { source, start, end: end.max(start) }
    }

    /// From the start of this one to the end of `other`, where both are in one source; else this one.
    pub fn to(self, other: Span) -> Span {
        if self.source == other.source {
            Span::new(self.source, self.start.min(other.start), self.end.max(other.end))
        } else {
            self
        }
    }
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// `value`, written at `span`.
    pub fn new(value: T, span: Span) -> Spanned<T> {
        Spanned { value, span }
    }
}

impl<T> std::ops::Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// A line and a column, both from 1; columns count characters, not bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
}

/// One text with its name and its lines.
#[derive(Clone)]
pub struct Source {
    name: String,
    text: String,
    /// The byte at which each line starts; the first is 0.
    lines: Vec<u32>,
    /// Bytes that a snippet must not show: secrets written in the file (SP-2).
    hidden: Vec<(u32, u32)>,
}

/// The name alone: a text may hold secrets that somebody wrote into it.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Source {
    fn new(name: String, text: String) -> Source {
        let mut lines = vec![0];
        lines.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i as u32 + 1));
        Source { name, text, lines, hidden: Vec::new() }
    }

    /// The name that diagnostics print, a path as the user gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a byte must not be shown.
    pub fn is_hidden(&self, byte: usize) -> bool {
        self.hidden.iter().any(|(start, end)| (*start as usize..*end as usize).contains(&byte))
    }

    /// The line and column of a byte; a byte past the end gives the end.
    pub fn position(&self, byte: u32) -> Position {
        let mut at = (byte as usize).min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let line = self.lines.partition_point(|start| *start as usize <= at) - 1;
        // Characters are the bytes that do not continue one.
        let before = &self.text.as_bytes()[self.lines[line] as usize..at];
        let column = before.iter().filter(|b| **b & 0xc0 != 0x80).count();
        Position { line: line as u32 + 1, column: column as u32 + 1 }
    }

    /// The text of a line (from 1) without its line break; empty past the end.
    pub fn line(&self, line: u32) -> &str {
        let Some(start) = self.lines.get((line as usize).wrapping_sub(1)) else { return "" };
        let end = self.lines.get(line as usize).map_or(self.text.len(), |next| *next as usize);
        self.text[*start as usize..end].trim_end_matches(['\n', '\r'])
    }

    /// The byte of a line and column, both from 1, clamped to the text.
    pub fn byte(&self, position: Position) -> u32 {
        let line = (position.line.max(1) as usize - 1).min(self.lines.len() - 1);
        let start = self.lines[line] as usize;
        let text = self.line(line as u32 + 1);
        let column = position.column.max(1) as usize - 1;
        (start + text.char_indices().nth(column).map_or(text.len(), |(at, _)| at)) as u32
    }
}

/// The texts that diagnostics point into.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    sources: Vec<Source>,
}

impl SourceMap {
    /// Adds a text under `name`. Texts have at most 4 GiB; the loader's own limit is far below.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        let id = SourceId(self.sources.len() as u32);
        self.sources.push(Source::new(name.into(), text.into()));
        id
    }

    /// The text of an id that this map gave out.
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.sources.get(id.0 as usize)
    }

    /// Keeps the bytes of a span from being shown.
    pub fn hide(&mut self, span: Span) {
        if let Some(source) = self.sources.get_mut(span.source.0 as usize) {
            source.hidden.push((span.start, span.end));
        }
    }

    /// `file:line:column` of a span's start.
    pub fn locate(&self, span: Span) -> String {
        match self.get(span.source) {
            Some(source) => {
                let at = source.position(span.start);
                format!("{}:{}:{}", source.name, at.line, at.column)
            }
            None => "?:1:1".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters() {
        let mut map = SourceMap::default();
        let id = map.add("p.yaml", "aé: x\n\nb");
        let source = map.get(id).unwrap();
        for (byte, line, column) in
            [(0, 1, 1), (1, 1, 2), (2, 1, 2), (3, 1, 3), (7, 2, 1), (8, 3, 1), (99, 3, 2)]
        {
            assert_eq!(source.position(byte), Position { line, column }, "byte {byte}");
        }
        assert_eq!(source.line(1), "aé: x");
        assert_eq!(source.line(9), "");
        assert_eq!(source.byte(Position { line: 1, column: 3 }), 3);
        assert_eq!(map.locate(Span::new(id, 8, 9)), "p.yaml:3:1");
    }
}
