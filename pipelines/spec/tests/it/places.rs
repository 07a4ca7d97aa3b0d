//! Places inside scalars: a mark `«…»` in the decoded text is found again at the same characters of the file, for every
//! way in which YAML can write text.

use millstream_spec::node::Scalar;
use millstream_spec::span::{Position, SourceMap};
use millstream_spec::text_map::TextMap;
use millstream_spec::{Diagnostics, load};

/// The file's text for the word `word` of the scalar under `sql`.
fn check(yaml: &str, word: &str) {
    let mut sources = SourceMap::default();
    let id = sources.add("p.yaml", yaml);
    let mut diagnostics = Diagnostics::default();
    let root = load::parse(id, yaml, &mut diagnostics).unwrap_or_else(|| panic!("{yaml}: {diagnostics:?}"));
    let node = root.get("sql").unwrap();
    let scalar = node.scalar().unwrap();
    let text = scalar.clear().unwrap();
    let map = TextMap::new(sources.get(id).unwrap(), node.span, scalar.style, text);
    let start = text.find(word).unwrap_or_else(|| panic!("{text:?} has no {word}"));
    let before = &text[..start];
    let line = before.matches('\n').count() as u32 + 1;
    let column = before.rsplit('\n').next().unwrap().chars().count() as u32 + 1;
    let end = Position { line, column: column + word.chars().count() as u32 };
    let span = map.positions(Position { line, column }, end);
    assert_eq!(&yaml[span.start as usize..span.end as usize], word, "\n{yaml}\ntext {text:?}");
    // No place of the text leaves the scalar, and later ones are not earlier (SP-5).
    let mut last = node.span.start;
    for at in 0..=text.len() {
        let span = map.bytes(at, at);
        assert!(span.start >= last && span.end <= node.span.end, "byte {at} of {text:?} in\n{yaml}");
        last = span.start;
    }
    let _: &Scalar = scalar;
}

#[test]
fn every_style_maps_back() {
    for yaml in [
        "sql: SELECT target FROM t\n",
        "sql: SELECT\n  é target\n  FROM t\n",
        "sql:   'it''s  target'\n",
        "sql: 'folded\n   here\n\n   target  x'\n",
        "sql: \"a\\tb \\u00e9\\x41 target\"\n",
        "sql: \"a \\\n   b target\"\n",
        "sql: \"a\n  b\n\n\n  target\"\n",
        "{ sql: \"x target\", other: 1 }\n",
        "sql: |\n  SELECT a,\n    target\n  FROM t\n",
        "sql: |-\n  é SELECT a, target",
        "sql: |\n\n\n  a\n\n  target\n",
        "sql: |2\n    indented\n  target\n",
        "sql: |+\n  a\n  target\n\n\n",
        "sql: >\n  SELECT a,\n  b target\n  FROM t\n",
        "sql: >-\n  a\n\n  b\n    more target\n  c\n",
        "sql: >\n\n  a\n   x\n\n  target\nother: 1\n",
        "sql: | # a comment\n  a\n  target\n",
        "a: { b: 1 }\nsql: |\n      deep\n      target\nc: 1\n",
        "sql: |\r\n  a\r\n  target\r\n",
    ] {
        check(yaml, "target");
    }
}
