//! As much of SQL as lint and operator ids need without a planner: tokens with positions, window functions and their
//! arguments, the columns of GROUP BY, a normal form that formatting does not change.
//!
//! Never enters: names, types and plans; those are the engine's, at the worker's `validate`.

use std::collections::BTreeSet;

use crate::span::{Position, Span, Spanned};
use crate::text_map::TextMap;

/// SQL as written in a pipeline file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlText {
    /// The text as YAML gives it.
    pub text: String,
    /// The whole scalar in the file.
    pub span: Span,
    map: TextMap,
}

impl SqlText {
    /// Text and its map.
    pub fn new(text: String, span: Span, map: TextMap) -> SqlText {
        SqlText { text, span, map }
    }

    /// The place in the file of bytes of the text.
    pub fn bytes(&self, start: usize, end: usize) -> Span {
        self.map.bytes(start, end)
    }

    /// The place in the file of a range of the text, as DataFusion gives it: lines and columns from 1, the end exclusive.
    pub fn range(&self, start: Position, end: Position) -> Span {
        self.map.positions(start, end)
    }

    /// The place in the file of the word that starts at a line and column of the text, both from 1.
    pub fn word_at(&self, at: Position) -> Span {
        let one = self.map.position(at);
        let start = self.map.text_byte_of(at);
        match tokens(&self.text).into_iter().find(|t| t.start <= start && start < t.end) {
            Some(token) => self.bytes(start, token.end),
            None => one,
        }
    }
}

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A word without quotes, lower-cased as SQL does.
    Word(String),
    /// `"…"`, its case kept.
    Quoted(String),
    /// `'…'` or a number, as written.
    Literal(String),
    /// Anything else, one character.
    Punct(char),
}

/// A token and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Token {
    /// Whether it is this word, in lower case.
    pub(crate) fn is_word(&self, wanted: &str) -> bool {
        matches!(&self.kind, TokenKind::Word(word) if word == wanted)
    }

    fn is(&self, wanted: char) -> bool {
        self.kind == TokenKind::Punct(wanted)
    }

    fn name(&self) -> Option<&str> {
        match &self.kind {
            TokenKind::Word(name) | TokenKind::Quoted(name) => Some(name),
            _ => None,
        }
    }
}

/// The tokens of a text, comments left out. Never fails: what SQL would refuse is punctuation here.
pub fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let rest = &text[at..];
        let c = rest.chars().next().unwrap_or(' ');
        let kind = if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        } else if rest.starts_with("--") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        } else if rest.starts_with("/*") {
            at += rest.find("*/").map_or(rest.len(), |i| i + 2);
            continue;
        } else if c.is_alphabetic() || c == '_' {
            at += rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            TokenKind::Word(text[start..at].to_lowercase())
        } else if c == '\'' || c == '"' {
            at += 1;
            while at < bytes.len() {
                if bytes[at] == c as u8 {
                    at += 1;
                    if bytes.get(at) != Some(&(c as u8)) {
                        break;
                    }
                }
                at += 1;
            }
            at = at.min(bytes.len());
            if c == '"' {
                let inner = text.get(start + 1..at.saturating_sub(1).max(start + 1)).unwrap_or("");
                TokenKind::Quoted(inner.replace("\"\"", "\""))
            } else {
                TokenKind::Literal(text[start..at].to_owned())
            }
        } else if c.is_ascii_digit() {
            at += rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len());
            TokenKind::Literal(text[start..at].to_owned())
        } else {
            at += c.len_utf8();
            TokenKind::Punct(c)
        };
        out.push(Token { kind, start, end: at });
    }
    out
}

/// The text with one space between tokens, comments gone, words without quotes in lower case.
pub fn normal_form(text: &str) -> String {
    let parts: Vec<String> = tokens(text)
        .into_iter()
        .map(|t| match t.kind {
            TokenKind::Word(word) => word,
            TokenKind::Quoted(name) => format!("{name:?}"),
            TokenKind::Literal(literal) => literal,
            TokenKind::Punct(c) => c.to_string(),
        })
        .collect();
    let joined = parts.join(" ");
    joined.trim_end_matches([' ', ';']).to_owned()
}

/// Every name in the text, qualified ones by each part.
pub fn names(text: &str) -> BTreeSet<String> {
    tokens(text).iter().filter_map(Token::name).map(str::to_owned).collect()
}

/// The names that stand before a bracket: functions that a text calls, among others.
pub fn calls(text: &str) -> BTreeSet<String> {
    let tokens = tokens(text);
    let called = |pair: &[Token]| pair[0].name().filter(|_| pair[1].is('(')).map(str::to_owned);
    tokens.windows(2).filter_map(called).collect()
}

/// A window function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WindowKind {
    /// `TUMBLE(t, time, size)`
    Tumble,
    /// `HOP(t, time, slide, size)`
    Hop,
    /// `CUMULATE(t, time, step, size)`
    Cumulate,
    /// `SESSION(t, time, gap, key…)`
    Session,
}

impl WindowKind {
    /// As SQL names it.
    pub fn word(self) -> &'static str {
        match self {
            WindowKind::Tumble => "TUMBLE",
            WindowKind::Hop => "HOP",
            WindowKind::Cumulate => "CUMULATE",
            WindowKind::Session => "SESSION",
        }
    }

    fn of(token: &Token) -> Option<WindowKind> {
        let TokenKind::Word(word) = &token.kind else { return None };
        [WindowKind::Tumble, WindowKind::Hop, WindowKind::Cumulate, WindowKind::Session]
            .into_iter()
            .find(|kind| kind.word().eq_ignore_ascii_case(word))
    }
}

/// A window function in a query. Arguments that are not plain names are nothing here; the planner judges them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowCall {
    /// Which.
    pub kind: WindowKind,
    /// The word itself.
    pub span: Span,
    /// The relation that it cuts.
    pub input: Option<Spanned<String>>,
    /// The column of event time, without a qualifier.
    pub time: Option<Spanned<String>>,
    /// The arguments after the time, in normal form.
    pub arguments: Vec<String>,
}

/// Window functions of one query that are looked at.
const WINDOWS_MAX: usize = 64;

/// The window functions of a query, in the order written.
pub fn windows(sql: &SqlText) -> Vec<WindowCall> {
    let tokens = tokens(&sql.text);
    let mut calls = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let Some(kind) = WindowKind::of(token) else { continue };
        if calls.len() >= WINDOWS_MAX {
            break;
        }
        if !tokens.get(i + 1).is_some_and(|t| t.is('(')) {
            continue;
        }
        let arguments = arguments(&tokens[i + 2..]);
        let plain = |i: usize| {
            let tokens = arguments.get(i)?;
            let last = tokens.last()?;
            let dotted = tokens
                .iter()
                .rev()
                .skip(1)
                .enumerate()
                .all(|(i, t)| if i % 2 == 0 { t.is('.') } else { t.name().is_some() });
            (dotted && tokens.len() % 2 == 1).then_some(())?;
            Some(Spanned::new(last.name()?.to_owned(), sql.bytes(tokens[0].start, last.end)))
        };
        calls.push(WindowCall {
            kind,
            span: sql.bytes(token.start, token.end),
            input: plain(0).filter(|_| arguments[0].len() == 1),
            time: plain(1),
            arguments: arguments
                .iter()
                .skip(2)
                .filter_map(|a| Some(normal_form(&sql.text[a.first()?.start..a.last()?.end])))
                .collect(),
        });
    }
    calls
}

/// The arguments of a call, from the token after its parenthesis.
fn arguments(tokens: &[Token]) -> Vec<&[Token]> {
    let mut out = Vec::new();
    let (mut depth, mut first) = (0usize, 0);
    for (i, token) in tokens.iter().enumerate() {
        if depth == 0 && (token.is(',') || token.is(')')) {
            out.push(&tokens[first..i]);
            first = i + 1;
            if token.is(')') {
                return out;
            }
        } else if token.is('(') {
            depth += 1;
        } else if token.is(')') {
            depth -= 1;
        }
    }
    out
}

/// The columns of the outermost GROUP BY, of the last one where several are as far out, without qualifiers; nothing where
/// there is none, or where one of them is not a plain column.
pub fn group_by(text: &str) -> Option<Vec<String>> {
    let tokens = tokens(text);
    let mut depth = 0usize;
    let mut from: Option<(usize, usize)> = None;
    for (i, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Punct('(') => depth += 1,
            TokenKind::Punct(')') => depth = depth.saturating_sub(1),
            _ if token.is_word("group")
                && tokens.get(i + 1).is_some_and(|t| t.is_word("by"))
                && from.is_none_or(|(known, _)| depth <= known) =>
            {
                from = Some((depth, i + 2));
            }
            _ => {}
        }
    }
    let mut columns = Vec::new();
    let mut item: Vec<&Token> = Vec::new();
    let ends = ["having", "order", "limit", "qualify", "window", "union", "emit"];
    let mut rest = tokens[from?.1..].iter();
    loop {
        let token = rest.next();
        let end = token.is_none_or(|t| ends.iter().any(|w| t.is_word(w)) || t.is(';') || t.is(')'));
        if end || token.is_some_and(|t| t.is(',')) {
            let last = item.last()?.name()?;
            let plain =
                item.iter().enumerate().all(|(i, t)| if i % 2 == 0 { t.name().is_some() } else { t.is('.') });
            (plain && item.len() % 2 == 1).then_some(())?;
            columns.push(last.to_owned());
            item.clear();
            if end {
                return Some(columns);
            }
        } else if let Some(token) = token {
            item.push(token);
        }
    }
}

/// Whether a text calls a function OVER rows: `sum(x) OVER (…)`, or OVER a window that is named.
pub fn has_over(text: &str) -> bool {
    let follows =
        |before: &Token, token: &Token| token.is_word("over") && (before.is(')') || before.is_word("nulls"));
    tokens(text).windows(2).any(|pair| follows(&pair[0], &pair[1]))
}

/// The names of what a text reads: behind FROM and JOIN and in lists behind FROM, each as often as it is there. Names within
/// table functions are not among them.
pub fn relations(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    let mut depth = 0usize;
    // The lists that are open, by their depth; and of each parenthesis that is, whether it holds a query.
    let mut lists: Vec<usize> = Vec::new();
    let mut queries = vec![true];
    let ends = ["where", "group", "having", "order", "limit", "qualify", "window", "union", "select", "on"];
    for (i, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Punct('(') => {
                depth += 1;
                queries.push(tokens.get(i + 1).is_some_and(|t| t.is_word("select") || t.is_word("with")));
            }
            TokenKind::Punct(')') => {
                depth = depth.saturating_sub(1);
                lists.retain(|list| *list <= depth);
                queries.truncate(depth + 1);
            }
            _ => {}
        }
        // Not those of EXTRACT(HOUR FROM at) and IS DISTINCT FROM b.
        let distinct = i.checked_sub(1).is_some_and(|before| tokens[before].is_word("distinct"));
        let from = token.is_word("from") && queries.last() == Some(&true) && !distinct;
        if from {
            lists.push(depth);
        } else if lists.last() == Some(&depth) && ends.iter().any(|end| token.is_word(end)) {
            lists.pop();
        }
        let begins = from || token.is_word("join") || (token.is(',') && lists.last() == Some(&depth));
        let is_function = tokens.get(i + 2).is_some_and(|t| t.is('('));
        if let Some(name) = tokens.get(i + 1).and_then(Token::name).filter(|_| begins && !is_function) {
            found.push(name.to_owned());
        }
    }
    found
}

/// Words that SQL's parser takes as its own where an input's name stands.
pub const RESERVED: &[&str] = &[
    "all",
    "analyze",
    "and",
    "anti",
    "any",
    "array",
    "as",
    "asof",
    "between",
    "by",
    "case",
    "cast",
    "connect",
    "create",
    "cross",
    "cumulate",
    "delete",
    "distinct",
    "drop",
    "else",
    "end",
    "except",
    "exists",
    "explain",
    "false",
    "fetch",
    "for",
    "from",
    "full",
    "group",
    "having",
    "hop",
    "in",
    "inner",
    "insert",
    "intersect",
    "interval",
    "into",
    "is",
    "join",
    "lateral",
    "left",
    "like",
    "limit",
    "match_condition",
    "natural",
    "not",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "outer",
    "over",
    "partition",
    "qualify",
    "right",
    "select",
    "semi",
    "session",
    "set",
    "some",
    "table",
    "then",
    "to",
    "true",
    "tumble",
    "union",
    "unnest",
    "update",
    "using",
    "values",
    "view",
    "when",
    "where",
    "window",
    "with",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Style;
    use crate::span::SourceMap;

    fn sql(text: &str) -> SqlText {
        let mut sources = SourceMap::default();
        let yaml = format!("sql: |\n  {}\n", text.replace('\n', "\n  "));
        let id = sources.add("p.yaml", yaml.clone());
        let span = Span::new(id, 9, yaml.len() as u32);
        SqlText::new(
            text.to_owned(),
            span,
            TextMap::new(sources.get(id).unwrap(), span, Style::Literal, text),
        )
    }

    #[test]
    fn functions_over_rows_are_seen() {
        for (text, has) in [
            ("SELECT sum(x) OVER (ORDER BY at) AS s FROM a", true),
            ("SELECT count(*) FILTER (WHERE x > 1)\n over w AS n FROM a WINDOW w AS (ORDER BY at)", true),
            ("SELECT lag(x) IGNORE NULLS OVER (ORDER BY at) AS b FROM a", true),
            ("SELECT a.over, \"over\", 'count(*) OVER (x)' AS t FROM a -- count(*) OVER (y)", false),
            ("SELECT x FROM a JOIN over ON over.x = a.x", false),
        ] {
            assert_eq!(has_over(text), has, "{text}");
        }
    }

    #[test]
    fn windows_and_groups_are_seen() {
        let text = "SELECT i.store_id, 'TUMBLE(x, y)' -- HOP(a, b)\nFROM Tumble(unique, u.issued_at, INTERVAL '5 minutes') AS i\n\
                    GROUP BY i.store_id, \"City\", window_start HAVING count(*) > 1";
        let found = windows(&sql(text));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].kind, WindowKind::Tumble);
        assert_eq!(found[0].input.as_ref().unwrap().value, "unique");
        assert_eq!(found[0].time.as_ref().unwrap().value, "issued_at");
        assert_eq!(found[0].arguments, ["interval '5 minutes'"]);
        assert_eq!(group_by(text).unwrap(), ["store_id", "City", "window_start"]);
        assert_eq!(group_by("select 1"), None);
        assert_eq!(group_by("select a from t group by date_trunc('day', x)"), None);
        assert_eq!(group_by("select * from (select a from t group by a) s").unwrap(), ["a"]);
        assert_eq!(group_by("select b from (select a from t group by a) s group by b").unwrap(), ["b"]);
        assert_eq!(group_by("select a from t group by"), None);
        assert_eq!(group_by("select a from t group by a, rollup (b, c)"), None);
        assert_eq!(group_by("select a from t group by grouping sets ((a, b), (a))"), None);
        assert_eq!(windows(&sql("SELECT * FROM TUMBLE((SELECT 1), x + 1, INTERVAL '1 s')"))[0].input, None);
        assert_eq!(windows(&sql("SELECT tumble FROM hop( WHERE session")).len(), 1);
    }

    #[test]
    fn what_is_read_is_seen_as_often_as_it_is() {
        for (text, names) in [
            ("select a, b from bid", "bid"),
            ("SELECT * FROM bid a, bid AS b, (select x, y from c) z where a.x = b.x, c", "bid bid c"),
            (
                "select * from tumble(sales, at, interval '1 s') s join products p on p.a = s.a, other",
                "products",
            ),
            (
                "with w as (select * from a) select * from w left join \"B\" on w.x = b.x join a on true",
                "a w B a",
            ),
            ("select from", ""),
            (
                "select extract(hour from a.at) as h, trim(both 'x' from a) from a where a.x is distinct from a.y",
                "a",
            ),
            ("select * from (select * from b) c join b on true where substring(a from 2) = 'a'", "b b"),
            (
                "select x from a where exists (select 1 from a as b where b.x = a.x) and y not in (select y from c)",
                "a a c",
            ),
            ("select x from a left semi join b on a.x = b.x right anti join c on c.x = b.x", "a b c"),
        ] {
            assert_eq!(relations(text).join(" "), names, "{text}");
        }
    }

    #[test]
    fn formatting_does_not_change_the_normal_form() {
        let a = "SELECT  A.x,\n  'It''s' /* c */ FROM \"B\" -- end\n;";
        let b = "select a . x , 'It''s' from \"B\"";
        assert_eq!(normal_form(a), normal_form(b));
        assert_ne!(normal_form("select 'A'"), normal_form("select 'a'"));
    }
}
