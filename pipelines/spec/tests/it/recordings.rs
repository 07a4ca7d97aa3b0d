//! Recordings: testdata/recordings/NAME.jsonl is replayed as NAME.expected says, or refused as it says.

use millstream_spec::ast::Recording;
use millstream_spec::{Diagnostics, SourceMap, Span, Spanned, recording, render};

#[test]
fn recordings_are_replayed_or_refused_with_the_place() {
    let folder = crate::root().join("testdata/recordings");
    let mut failures = Vec::new();
    for name in ["broken", "good"] {
        let text = std::fs::read_to_string(folder.join(format!("{name}.jsonl"))).unwrap();
        let mut sources = SourceMap::default();
        let source = sources.add(format!("{name}.jsonl"), text.as_str());
        let (records, faults) = recording::parse(source, &text);
        let mut diagnostics = Diagnostics::default();
        diagnostics.extend(faults);
        let all = Recording {
            path: Spanned::new(String::new(), Span::default()),
            from_ms: None,
            to_ms: None,
            limit: None,
        };
        let mut shown = render::text(&diagnostics, &sources);
        shown.push_str("\nreplayed:\n");
        for record in recording::replayed(records, &all) {
            shown.push_str(&record.to_line());
            shown.push('\n');
        }
        failures.extend(crate::expect_file(&folder.join(format!("{name}.expected")), &shown).err());
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Cut anywhere, or with any byte another, a recording gives records or faults within the text.
#[test]
fn cut_and_changed_recordings_never_panic() {
    let folder = crate::root().join("testdata/recordings");
    let text = std::fs::read_to_string(folder.join("broken.jsonl")).unwrap()
        + &std::fs::read_to_string(folder.join("good.jsonl")).unwrap();
    let tried = |text: &str| {
        let (records, faults) = recording::parse(Default::default(), text);
        let spans = records.iter().map(|record| record.span).chain(faults.iter().map(|fault| fault.span));
        for span in spans {
            assert!(text.get(span.start as usize..span.end as usize).is_some(), "{span:?} in {text:?}");
        }
    };
    for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
        tried(&text[..at]);
        if text.is_char_boundary(at + 1) {
            for other in ["", "\"", "{", "é", "\n", "9"] {
                let (begin, end) = (text[..at].rfind('\n').map_or(0, |n| n + 1), &text[at + 1..]);
                let line = end.find('\n').map_or(end, |n| &end[..n]);
                tried(&format!("{}{other}{line}", &text[begin..at]));
            }
        }
    }
}
