//! `${…}` and `--set`: what a setting becomes.

use millstream_spec::{Outcome, render};

fn pipeline(settings: &str) -> String {
    format!(
        "version: 1\nname: t\nsecrets:\n  dsn: ${{file:/run/secrets/dsn}}\nsources:\n  a: {{ type: file, path: in }}\nsinks:\n  b:\n    type: postgres\n    inputs: [a]\n    dsn: ${{secret:dsn}}\n    mode: insert\n{settings}"
    )
}

fn load(settings: &str, set: &[&str]) -> Outcome {
    let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
    crate::load_text("t.yaml", &pipeline(settings), &set)
}

#[test]
fn settings_become_what_their_field_wants() {
    for (settings, set, key, wanted) in [
        ("    table: ${env:WORD}\n", &[][..], "table", "many"),
        ("    table: ${env:DIGITS}\n", &[], "table", "12345"),
        ("    table: \"x${env:DIGITS}y\"\n", &[], "table", "x12345y"),
        ("    table: ${env:NOT_SET:-fallback}\n", &[], "table", "fallback"),
        ("    table: ${env:EMPTY:-fallback}\n", &[], "table", "fallback"),
        ("    table: ${env:NOT_SET:-a:-b}\n", &[], "table", "a:-b"),
        ("    table: a$${env:WORD}\n", &[], "table", "a${env:WORD}"),
        ("    table: t\n", &["sinks.b.table=u"], "table", "u"),
        ("    table: t\n", &["sinks.b.table=${env:WORD}"], "table", "many"),
        ("    table: t\n    create: ${env:TRUE}\n", &[], "create", "true"),
        ("    table: t\n", &["sinks.b.create=false"], "create", "false"),
    ] {
        let outcome = load(settings, set);
        let shown = render::text(&outcome.diagnostics, &outcome.sources);
        let Some(p) = outcome.pipeline else { panic!("{settings}{set:?}\n{shown}") };
        assert_eq!(
            p.sinks["b"].config.text(key).map(|t| t.value).as_deref(),
            Some(wanted),
            "{settings}{set:?}"
        );
        assert_eq!(
            p.sinks["b"].config.secret("dsn").unwrap().value.expose(),
            b"postgres://app:hunter2@db/warehouse"
        );
    }
}
