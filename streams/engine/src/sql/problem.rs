//! Problems with a query's text: what is wrong, where, and what would do. DataFusion's texts are cut down to what a
//! person who wrote the SQL can use.

use std::fmt;

use datafusion_common::{DataFusionError, Span};
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::tokenizer::{Token, Tokenizer};

/// A problem in a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlProblem {
    /// The line inside the query's text, from 1.
    pub line: u64,
    /// The column in that line, from 1.
    pub column: u64,
    /// What is wrong.
    pub message: String,
    /// What to write instead, where something is known.
    pub help: Option<String>,
}

impl fmt::Display for SqlProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SqlProblem {}

impl SqlProblem {
    /// A problem of the whole text.
    pub(super) fn at_start(message: String) -> SqlProblem {
        SqlProblem { line: 1, column: 1, message, help: None }
    }

    /// A problem at a place that DataFusion knows, else at a word of the text, else at its start.
    pub(super) fn at(
        span: Option<Span>,
        word: Option<&str>,
        sql: &str,
        message: String,
        help: Option<&str>,
    ) -> SqlProblem {
        let (line, column) = match span {
            Some(span) if span.start.line > 0 => (span.start.line, span.start.column),
            _ => word.and_then(|word| find_word(sql, word)).unwrap_or((1, 1)),
        };
        SqlProblem { line, column, message, help: help.map(str::to_owned) }
    }

    pub(super) fn from_parser(text: &str, sql: &str) -> SqlProblem {
        let text = text.strip_prefix("sql parser error: ").unwrap_or(text);
        if text.ends_with("found: EOF") {
            let line = sql.lines().count().max(1) as u64;
            let column = sql.lines().last().map_or(1, |l| l.chars().count() as u64 + 1);
            return SqlProblem { line, column, message: format!("syntax: {text}"), help: None };
        }
        let (message, place) = text.split_once(" at Line: ").unwrap_or((text, ""));
        let mut numbers = place.split(", Column: ").map(|n| n.trim().parse().unwrap_or(1));
        let (line, column) = (numbers.next().unwrap_or(1), numbers.next().unwrap_or(1));
        let is_as_of = sql.to_ascii_lowercase().contains("asof");
        let help = match message.strip_prefix("Expected: an SQL statement, found: ") {
            _ if is_as_of => {
                Some(format!("an ASOF JOIN keeps every row of its left side; {}", super::as_of::USE))
            }
            Some(_) => Some("a query begins with SELECT, or WITH".to_owned()),
            None => None,
        };
        SqlProblem { line, column, message: format!("syntax: {message}"), help }
    }

    pub(super) fn from_datafusion(error: &DataFusionError, sql: &str) -> SqlProblem {
        if let Some(found) = error.diagnostic() {
            let help: Vec<&str> = found
                .helps
                .iter()
                .map(|h| &h.message)
                .chain(found.notes.iter().map(|n| &n.message))
                .map(String::as_str)
                .collect();
            if let Some(kinds) = kinds_of(&help).filter(|_| found.message.contains("incompatible types")) {
                let text = format!("{}, {kinds}", found.message);
                return SqlProblem::at(found.span, None, sql, text, Some(CAST));
            }
            let help = (!help.is_empty()).then(|| help.join("; "));
            let input =
                found.message.strip_prefix("table '").and_then(|rest| rest.strip_suffix("' not found"));
            if let Some(input) = input {
                let text = match input.rsplit_once('.') {
                    Some((_, name)) => format!("{input} has a schema name; inputs have none, write {name}"),
                    None => format!("there is no input {input}"),
                };
                return SqlProblem::at(found.span, None, sql, text, help.as_deref());
            }
            return SqlProblem::at(found.span, None, sql, found.message.clone(), help.as_deref());
        }
        let text = error.strip_backtrace();
        if text.contains(" at Line: ") {
            return SqlProblem::from_parser(&text, sql);
        }
        // "type_coercion\ncaused by\nError during planning: …": the last line of the chain is the cause.
        let whole = text.clone();
        let text = text.lines().rfind(|l| !l.trim().is_empty()).unwrap_or(&text).to_owned();
        if let Some((_, rest)) = whole.split_once("No field named ") {
            let (name, known) = rest.split_once("Valid fields are ").unwrap_or((rest, ""));
            let name = name.trim().trim_end_matches('.').trim_matches('"').to_owned();
            let mut names: Vec<&str> = known
                .trim_end_matches(['.', '\n', ' '])
                .split(", ")
                .filter(|name| !name.is_empty())
                .collect();
            names.sort_unstable();
            names.dedup();
            let help = (!names.is_empty()).then(|| format!("there are: {}", names.join(", ")));
            let text = format!("there is no column {name}");
            return SqlProblem::at(None, Some(&name), sql, text, help.as_deref());
        }
        let mut message = text.as_str();
        for prefix in [
            "Arrow error: ",
            "Error during planning: ",
            "Internal error: ",
            "This feature is not implemented: ",
            "Schema error: ",
        ] {
            message = message.strip_prefix(prefix).unwrap_or(message);
        }
        // A function's signatures fill a screen and say little; its name finds the place.
        if let Some((_, call)) = whole.split_once("No function matches the given name and argument types '") {
            let call = call.split('\'').next().unwrap_or(call);
            let name = call.split('(').next().unwrap_or(call);
            let text = format!("there is no {call}: {name} does not take these types");
            return SqlProblem::at(None, Some(name), sql, text, Some(CAST));
        }
        let message = message.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
        let message = message.strip_prefix("Cast error: ").unwrap_or(message);
        SqlProblem::at(None, None, sql, message.to_owned(), advice(message))
    }
}

const CAST: &str = "change a type with CAST(… AS …)";

/// What to do about what DataFusion says without it.
pub(super) fn advice(message: &str) -> Option<&'static str> {
    [
        ("Cannot cast string", "compare values of one type; TRY_CAST(… AS …) gives a null where CAST cannot"),
        ("ivide by zero", "guard it: nullif(x, 0), or CASE WHEN x <> 0 THEN … END"),
        (
            "Table Functions are not supported",
            "windows are made in the pipeline's file; here, GROUP BY date_bin(INTERVAL '1 hour', column)",
        ),
    ]
    .into_iter()
    .find(|(part, _)| message.contains(part))
    .map(|(_, help)| help)
}

/// The types that notes are about, where they are about nothing else.
fn kinds_of(notes: &[&str]) -> Option<String> {
    let kinds: Option<Vec<&str>> = notes.iter().map(|note| note.strip_prefix("has type ")).collect();
    Some(kinds.filter(|kinds| !kinds.is_empty())?.join(" and "))
}

/// Where a word of the text first stands, whatever its case; with a bracket before it, where it first stands behind one.
pub(super) fn find_word(sql: &str, word: &str) -> Option<(u64, u64)> {
    let (bracketed, word) = word.strip_prefix('(').map_or((false, word), |rest| (true, rest));
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().ok()?;
    let mut before = None;
    for token in tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_))) {
        let here = matches!(&token.token, Token::Word(w) if w.value.eq_ignore_ascii_case(word));
        if here && (!bracketed || before == Some(&Token::LParen)) {
            return Some((token.span.start.line, token.span.start.column));
        }
        before = Some(&token.token);
    }
    None
}
