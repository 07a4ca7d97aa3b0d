//! From a place inside a scalar's text to the place in the file: SQL errors point at (line, column) of the SQL text,
//! and the user looks at the YAML file. `|` and `>` blocks, quoted scalars with escapes and folded lines are mapped.
//!
//! Never enters: what the text means. Invariant SP-5: every byte of the text maps to a byte of the scalar's own span,
//! and later bytes never map to earlier places.

use crate::node::Style;
use crate::span::{Position, Source, Span};

/// The map of one scalar. Made from the source and the scalar's span; empty scalars map to their start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextMap {
    span: Span,
    /// (byte in the text, byte in the source): from here on both advance together, until the next entry.
    runs: Vec<(u32, u32)>,
    /// The byte at which each line of the text starts.
    lines: Vec<u32>,
    text: String,
}

impl TextMap {
    /// Aligns `text`, the scalar's value as decoded, with the source that it was written as.
    pub fn new(source: &Source, span: Span, style: Style, text: &str) -> TextMap {
        let mut lines = vec![0];
        lines.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i as u32 + 1));
        let runs = if style == Style::Literal {
            literal(source, span, text, &lines)
        } else {
            Aligner { raw: source.text(), at: span.start as usize, end: span.end as usize, style }.align(text)
        };
        TextMap { span, runs, lines, text: text.to_owned() }
    }

    /// The span of the file for the bytes `start..end` of the text.
    pub fn bytes(&self, start: usize, end: usize) -> Span {
        let start = self.byte(start);
        Span::new(self.span.source, start, self.byte(end).max(start))
    }

    /// The span of the file for a place of the text given as line and column from 1 (columns in characters), up to
    /// another such place, exclusive.
    pub fn positions(&self, start: Position, end: Position) -> Span {
        self.bytes(self.text_byte(start), self.text_byte(end))
    }

    /// The span of one character of the text at a line and column from 1.
    pub fn position(&self, at: Position) -> Span {
        let start = self.text_byte(at);
        let width = self.text[start..].chars().next().map_or(0, char::len_utf8);
        self.bytes(start, start + width)
    }

    /// The byte of the text at a line and column of it, both from 1.
    pub(crate) fn text_byte_of(&self, at: Position) -> usize {
        self.text_byte(at)
    }

    fn text_byte(&self, at: Position) -> usize {
        let line = (at.line.max(1) as usize - 1).min(self.lines.len() - 1);
        let start = self.lines[line] as usize;
        let end = self.lines.get(line + 1).map_or(self.text.len(), |next| *next as usize);
        let column = at.column.max(1) as usize - 1;
        self.text[start..end].char_indices().nth(column).map_or(end, |(i, _)| start + i)
    }

    fn byte(&self, text_byte: usize) -> u32 {
        let at = text_byte.min(self.text.len()) as u32;
        let run = self.runs.partition_point(|(text, _)| *text <= at);
        let Some((text, raw)) = run.checked_sub(1).and_then(|i| self.runs.get(i)) else {
            return self.span.start;
        };
        // Past a run's end (a folded break, an escape) the place is where the next run starts.
        let next = self.runs.get(run).map_or(self.span.end, |(_, raw)| *raw);
        (raw + (at - text)).min(next).min(self.span.end)
    }
}

/// A literal block's lines are the file's, less the indentation: one run for each line.
fn literal(source: &Source, span: Span, text: &str, lines: &[u32]) -> Vec<(u32, u32)> {
    // The parser's span starts at the first line that is not blank; blank ones before it are in the text.
    let blank = text.lines().take_while(|line| line.trim().is_empty()).count() as u32;
    let at_start = source.position(span.start).line;
    let first = if source.line(at_start).trim().is_empty() {
        at_start
    } else {
        at_start.saturating_sub(blank).max(1)
    };
    let leading = |s: &str| s.len() - s.trim_start_matches(' ').len();
    let line_of = |i: usize| text[lines[i] as usize..].lines().next().unwrap_or("");
    // The indentation shows in the first line that is not blank.
    let indent = (0..lines.len())
        .find(|i| !line_of(*i).trim().is_empty())
        .map_or(0, |i| leading(source.line(first + i as u32)).saturating_sub(leading(line_of(i))));
    (0..lines.len())
        .map(|i| {
            let line = first + i as u32;
            let start = source.byte(Position { line, column: 1 }) as usize;
            (lines[i], ((start + indent.min(leading(source.line(line)))) as u32).clamp(span.start, span.end))
        })
        .collect()
}

struct Aligner<'a> {
    raw: &'a str,
    at: usize,
    end: usize,
    style: Style,
}

impl Aligner<'_> {
    fn align(mut self, text: &str) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        if matches!(self.style, Style::Single | Style::Double) {
            self.at += 1;
        }
        let mut done = 0;
        while done < text.len() && self.at < self.end {
            let rest = &text[done..];
            let Some(wanted) = rest.chars().next() else { break };
            let Some(found) = self.raw[self.at..self.end].chars().next() else { break };
            let start = self.at;
            let mut taken = wanted.len_utf8();
            if self.style == Style::Double && found == '\\' {
                match self.escape() {
                    // An escaped line break stands for nothing.
                    None => continue,
                    Some(length) => self.at += length,
                }
            } else if self.breaks_here() {
                // A break and the white space around it stand for the white space of the text, whatever the folding.
                if !wanted.is_whitespace() {
                    self.skip_white();
                    continue;
                }
                taken = white(rest).max(wanted.len_utf8());
                self.skip_white();
            } else if wanted != found {
                // Leading blank lines of a folded block are in the text and before the span; anything else is skipped.
                if wanted.is_whitespace() {
                    runs.push((done as u32, start as u32));
                    done += taken;
                } else {
                    self.at += found.len_utf8();
                }
                continue;
            } else {
                let doubled = self.style == Style::Single && found == '\'';
                self.at += found.len_utf8() + usize::from(doubled);
            }
            let contiguous = runs.last().is_some_and(|(t, r)| done as u32 - t == start as u32 - r);
            if !contiguous {
                runs.push((done as u32, start as u32));
            }
            done += taken;
            if self.at - start != taken {
                runs.push((done as u32, self.at as u32));
            }
        }
        runs.dedup_by(|later, earlier| {
            later.0 == earlier.0 && {
                earlier.1 = later.1;
                true
            }
        });
        runs
    }

    /// Whether a line break follows, with at most white space before it where the style drops that.
    fn breaks_here(&self) -> bool {
        let raw = &self.raw[self.at..self.end];
        let rest = if self.style == Style::Folded { raw } else { raw.trim_start_matches([' ', '\t']) };
        rest.starts_with('\n') || rest.starts_with("\r\n")
    }

    fn skip_white(&mut self) {
        self.at += white(&self.raw[self.at..self.end]);
    }

    /// The length of the escape that starts here; nothing for an escaped line break, which is skipped with the
    /// indentation after it.
    fn escape(&mut self) -> Option<usize> {
        let raw = &self.raw[self.at..self.end];
        let length = match raw[1..].chars().next() {
            None => 1,
            Some('\n' | '\r') => {
                self.at += 1;
                self.skip_white();
                return None;
            }
            Some('x') => 4,
            Some('u') => 6,
            Some('U') => 10,
            Some(c) => 1 + c.len_utf8(),
        };
        Some((0..=length.min(raw.len())).rev().find(|i| raw.is_char_boundary(*i)).unwrap_or(1).max(1))
    }
}

fn white(text: &str) -> usize {
    text.len() - text.trim_start_matches([' ', '\t', '\n', '\r']).len()
}
