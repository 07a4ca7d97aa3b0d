//! The corpus: each testdata/broken/NAME.yaml gives exactly the text in NAME.expected. A first line
//! `# set: path=value` is a `--set`; `# capabilities: everything` takes an engine that runs all.

use std::collections::BTreeSet;

use millstream_spec::catalog::standard;
use millstream_spec::code::{self, Raiser};
use millstream_spec::{Capabilities, Outcome, Request, load, render};

fn check(name: &str, text: &str) -> Outcome {
    let overrides: Vec<String> =
        text.lines().filter_map(|line| line.strip_prefix("# set: ")).map(str::to_owned).collect();
    let everything = text.lines().any(|line| line == "# capabilities: everything");
    load(&Request {
        file: name,
        text,
        overrides: &overrides,
        catalog: &standard::catalog(),
        capabilities: &if everything { Capabilities::everything() } else { Capabilities::this_version() },
        reader: &crate::reader(),
        policy: &crate::policy(),
    })
}

#[test]
fn broken_pipelines_say_what_is_wrong() {
    let folder = crate::root().join("testdata/broken");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    assert!(names.len() >= 10, "ten broken pipelines at least; there are {}", names.len());
    let mut raised: BTreeSet<&str> = BTreeSet::new();
    let mut failures = Vec::new();
    let mut seen = |outcome: &Outcome, name: &str, failures: &mut Vec<String>| {
        raised.extend(outcome.diagnostics.items().iter().map(|d| d.code.id));
        let shown = render::text(&outcome.diagnostics, &outcome.sources);
        let json = render::json(&outcome.diagnostics, &outcome.sources);
        let sarif = render::sarif(&outcome.diagnostics, &outcome.sources);
        for (form, text) in [("text", &shown), ("json", &json), ("sarif", &sarif)] {
            if text.contains("hunter2") || text.contains("8675309") {
                failures.push(format!("{name}: the {form} shows a secret"));
            }
        }
        if outcome.pipeline.is_some() == outcome.diagnostics.has_errors() {
            failures.push(format!("{name}: a spec is given out exactly where there is no error"));
        }
        shown
    };
    for name in &names {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let outcome = check(name, &text);
        if outcome.diagnostics.items().is_empty() {
            failures.push(format!("{name}: nothing is wrong with it"));
        }
        let shown = seen(&outcome, name, &mut failures);
        let expected = folder.join(name.replace(".yaml", ".expected"));
        failures.extend(crate::expect_file(&expected, &shown).err());
    }
    // Made here, since nobody would read them as files.
    let made = [
        ("large.yaml", format!("version: 1\nname: a\n#{}\n", "x".repeat(1 << 20)), &code::FILE_TOO_LARGE),
        ("deep.yaml", format!("version: 1\nsources: {}{}", "[".repeat(80), "]".repeat(80)), &code::TOO_DEEP),
        ("deeper.yaml", format!("version: 1\nsources: {}", "[".repeat(100_000)), &code::TOO_DEEP),
        ("deepest.yaml", format!("version: 1\nsources:\n  {}x", "- ".repeat(100_000)), &code::TOO_DEEP),
        ("empty.yaml", String::new(), &code::NOT_A_MAPPING),
        (
            "many.yaml",
            format!(
                "version: 1\nname: a\nsources:\n{}sinks: {{}}\n",
                (0..400).map(|i| format!("  s{i}: {{ type: file, path: x }}\n")).collect::<String>()
            ),
            &code::OUT_OF_BOUNDS,
        ),
    ];
    // What costs time where something is looked up for each of many.
    let repeat = |piece: &str| piece.repeat((1 << 20) / piece.len() - 200);
    let head = "version: 1\nname: a\nsources:\n  s: { type: file, path: x }\n";
    let keys: String = (0..70_000).map(|i| format!("inputz{i}: 1\n")).collect();
    let nested: String = (0..50).map(|i| format!("&a{i} [")).collect();
    let slow = [
        ("keys.yaml", format!("{head}{keys}"), &code::UNKNOWN_KEY),
        (
            "inputs.yaml",
            format!("{head}sinks:\n  t: {{ type: sqlite, inputs: [{}] }}\n", repeat("st,")),
            &code::OUT_OF_BOUNDS,
        ),
        (
            "windows.yaml",
            format!(
                "{head}transforms:\n  t:\n    type: sql\n    inputs: [s]\n    sql: {}\n",
                repeat("HOP(s,")
            ),
            &code::NO_WATERMARK,
        ),
        (
            "anchors.yaml",
            format!("{head}x: {nested}{}{}\ny: *a0\n", repeat("x,").split_at(900_000).0, "]".repeat(50)),
            &code::ALIAS_EXPANSION,
        ),
        (
            "variables.yaml",
            format!("{head}  t: {{ type: file, path: \"{}\" }}\n", repeat("${env:NOPE}")),
            &code::READ_NOT_ALLOWED,
        ),
        (
            "tests.yaml",
            format!(
                "{head}tests:\n{}",
                "- { name: t, inputs: { a: [] }, expect: { b: {} } }\n".repeat(15_000)
            ),
            &code::OUT_OF_BOUNDS,
        ),
    ];
    for (name, text, code) in made.iter().chain(&slow) {
        let outcome = check(name, text);
        seen(&outcome, name, &mut failures);
        if !outcome.diagnostics.items().iter().any(|d| d.code == *code) {
            failures.push(format!("{name}: no {}", code.id));
        }
    }
    let missing: Vec<&str> = code::ALL
        .iter()
        .filter(|c| c.raiser == Raiser::Spec && !raised.contains(c.id))
        .map(|c| c.id)
        .collect();
    if !missing.is_empty() {
        failures.push(format!("codes that no broken pipeline raises: {}", missing.join(", ")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
