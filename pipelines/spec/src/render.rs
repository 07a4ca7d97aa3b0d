//! Diagnostics as people and tools read them: text with snippets, JSON, SARIF.
//!
//! Never enters: values after interpolation; snippets are lines of the file as written (SP-2).

use std::fmt::Write;

use serde_json::{Value, json};

use crate::code;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::span::{Position, Source, SourceMap, Span};

/// A snippet's line is cut to this many characters around the fault.
const SNIPPET_CHARS_MAX: usize = 160;

/// `file:line:column: error[MS0101]: …`, the snippet, the help; one block for each diagnostic, and a last line that counts.
pub fn text(diagnostics: &Diagnostics, sources: &SourceMap) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics.items() {
        one(&mut out, diagnostic, sources);
    }
    let errors = diagnostics.items().iter().filter(|d| d.code.severity == code::Severity::Error).count();
    let warnings = diagnostics.items().len() - errors;
    if errors + warnings > 0 {
        let _ = write!(out, "{}", counted(errors, "error"));
        if warnings > 0 {
            let _ = write!(out, ", {}", counted(warnings, "warning"));
        }
        if diagnostics.more() > 0 {
            let _ = write!(out, ", and {} more not shown", diagnostics.more());
        }
        out.push('\n');
    }
    out
}

fn counted(n: usize, word: &str) -> String {
    if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") }
}

fn one(out: &mut String, diagnostic: &Diagnostic, sources: &SourceMap) {
    let Diagnostic { code, message, span, .. } = diagnostic;
    let _ = writeln!(out, "{}: {}[{}]: {message}", sources.locate(*span), code.severity.word(), code.id);
    snippet(out, code, *span, sources);
    for (span, note) in &diagnostic.related {
        let _ = writeln!(out, "  note: {}: {note}", sources.locate(*span));
    }
    if let Some(suggestion) = &diagnostic.suggestion {
        let _ = writeln!(out, "  help: did you mean {suggestion:?}?");
    }
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(out, "  help: {help}");
    }
    out.push('\n');
}

/// Whether a line that could not be read as YAML may hold a secret: nobody knows which part of it.
fn may_hold_secret(source: &Source, span: Span) -> bool {
    let line = source.line(source.position(span.start).line).to_ascii_lowercase();
    line.contains("://")
        || ["password", "secret", "token", "authorization"].iter().any(|word| line.contains(word))
}

fn snippet(out: &mut String, code: &code::Code, span: Span, sources: &SourceMap) {
    let Some(source) = sources.get(span.source) else { return };
    if code.id < code::UNKNOWN_KEY.id && may_hold_secret(source, span) {
        return;
    }
    let (line, lead, shown, marks) = shown_line(source, span);
    let number = line.to_string();
    let gap = " ".repeat(number.len());
    let _ = writeln!(out, " {gap} |");
    let _ = writeln!(out, " {number} | {shown}");
    let _ = writeln!(out, " {gap} | {}{}", " ".repeat(lead), "^".repeat(marks));
}

/// The line of a span's start, cut to what is around the fault; the characters before the fault and in it.
fn shown_line(source: &Source, span: Span) -> (u32, usize, String, usize) {
    let start = source.position(span.start);
    let line = source.line(start.line);
    let line_start = source.byte(Position { line: start.line, column: 1 }) as usize;
    let at = (span.start as usize).saturating_sub(line_start).min(line.len());
    let end = (span.end as usize).saturating_sub(line_start).clamp(at, line.len());
    let (before, rest) = line.split_at(at);
    let long = line.len() > SNIPPET_CHARS_MAX;
    let keep = if long { SNIPPET_CHARS_MAX / 2 } else { usize::MAX };
    let from = before.char_indices().rev().take(keep).last().map_or(at, |(i, _)| i);
    let to = rest.char_indices().nth(keep).map_or(line.len(), |(i, _)| at + i);
    let shown_char = |(i, c): (usize, char)| match c {
        _ if source.is_hidden(line_start + from + i) => '*',
        c if c.is_control() => ' ',
        c => c,
    };
    let cut = if from > 0 { "…" } else { "" };
    let shown: String = cut.chars().chain(line[from..to].char_indices().map(shown_char)).collect();
    let lead = cut.chars().count() + line[from..at].chars().count();
    let marks = line[at..end.min(to)].chars().count().max(1);
    (start.line, lead, shown, marks)
}

/// One JSON object: `{"diagnostics":[…],"errors":n,"warnings":n,"more":n}`.
pub fn json(diagnostics: &Diagnostics, sources: &SourceMap) -> String {
    let items: Vec<Value> = diagnostics.items().iter().map(|d| json_one(d, sources)).collect();
    let errors = diagnostics.items().iter().filter(|d| d.code.severity == code::Severity::Error).count();
    json!({
        "diagnostics": items,
        "errors": errors,
        "warnings": diagnostics.items().len() - errors,
        "more": diagnostics.more(),
    })
    .to_string()
}

fn places(span: Span, sources: &SourceMap) -> (&str, Position, Position, Option<&Source>) {
    match sources.get(span.source) {
        Some(source) => (source.name(), source.position(span.start), source.position(span.end), Some(source)),
        None => ("?", Position { line: 1, column: 1 }, Position { line: 1, column: 1 }, None),
    }
}

fn json_one(diagnostic: &Diagnostic, sources: &SourceMap) -> Value {
    let (file, start, end, source) = places(diagnostic.span, sources);
    let related: Vec<Value> = diagnostic
        .related
        .iter()
        .map(|(span, note)| {
            let (file, start, ..) = places(*span, sources);
            json!({ "file": file, "line": start.line, "column": start.column, "message": note })
        })
        .collect();
    json!({
        "code": diagnostic.code.id,
        "severity": diagnostic.code.severity.word(),
        "title": diagnostic.code.title,
        "message": diagnostic.message,
        "file": file,
        "line": start.line,
        "column": start.column,
        "end_line": end.line,
        "end_column": end.column,
        "snippet": source
            .filter(|s| diagnostic.code.id >= code::UNKNOWN_KEY.id || !may_hold_secret(s, diagnostic.span))
            .map(|s| shown_line(s, diagnostic.span).2),
        "help": diagnostic.help,
        "suggestion": diagnostic.suggestion,
        "related": related,
    })
}

/// A SARIF 2.1.0 log, which code hosts show beside the lines of a change.
pub fn sarif(diagnostics: &Diagnostics, sources: &SourceMap) -> String {
    let results: Vec<Value> = diagnostics
        .items()
        .iter()
        .map(|d| {
            let (file, start, end, _) = places(d.span, sources);
            let mut message = d.message.clone();
            if let Some(suggestion) = &d.suggestion {
                let _ = write!(message, "; did you mean {suggestion:?}?");
            }
            if let Some(help) = &d.help {
                let _ = write!(message, "; {help}");
            }
            json!({
                "ruleId": d.code.id,
                "level": d.code.severity.word(),
                "message": { "text": message },
                "locations": [{ "physicalLocation": {
                    "artifactLocation": { "uri": file },
                    "region": { "startLine": start.line, "startColumn": start.column,
                                "endLine": end.line, "endColumn": end.column },
                }}],
            })
        })
        .collect();
    let rules: Vec<Value> = code::ALL
        .iter()
        .filter(|code| diagnostics.items().iter().any(|d| d.code == **code))
        .map(|code| {
            json!({ "id": code.id, "shortDescription": { "text": code.title }, "fullDescription": { "text": code.explanation } })
        })
        .collect();
    json!({
        "version": "2.1.0",
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "runs": [{ "tool": { "driver": { "name": "millstream", "rules": rules } }, "results": results }],
    })
    .to_string()
}
