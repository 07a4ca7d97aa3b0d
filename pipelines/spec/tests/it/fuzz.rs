//! Smoke: files changed at random never make the loader panic, its spans stay inside their texts, and no secret shows.
//! A failure prints the seed; `FUZZ_SEED=n` runs that one alone, `FUZZ_ROUNDS=n` runs more.

use millstream_spec::render;
use millstream_types::{Rng, SeededRng};

const ROUNDS: u64 = 400;

/// Pieces that matter to YAML, to `${…}` and to SQL.
const PIECES: &[&str] = &[
    "${",
    "}",
    "${env:TOKEN}",
    "${secret:x}",
    ":-",
    "\"",
    "'",
    "|",
    ">",
    "\n",
    "\n  ",
    "\t",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "!!str ",
    "---\n",
    "#",
    "é",
    "\u{0}",
    "\u{feff}",
    "\r\n",
    "TUMBLE(",
    "GROUP BY ",
    "type: ",
    "inputs: [",
    "99999999999999999999",
    "5%/1m",
    "null",
    "\\",
    "<<: ",
    "? ",
    ",",
];

fn mutate(text: &str, rng: &mut SeededRng) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for _ in 0..1 + rng.next_u64() % 6 {
        let below = |n: usize, rng: &mut SeededRng| (rng.next_u64() % (n.max(1) as u64)) as usize;
        let at = below(text.len() + 1, rng);
        match rng.next_u64() % 5 {
            0 => {
                let end = (at + below(40, rng)).min(text.len());
                text.drain(at..end);
            }
            1 | 2 => {
                let piece = PIECES[below(PIECES.len(), rng)];
                text.splice(at..at, piece.chars());
            }
            3 => {
                let end = (at + below(80, rng)).min(text.len());
                let copy: Vec<char> = text[at..end].to_vec();
                let to = below(text.len() + 1, rng);
                text.splice(to..to, copy);
            }
            _ => {
                if at < text.len() {
                    text[at] = char::from_u32((rng.next_u64() % 0x250) as u32).unwrap_or('x');
                }
            }
        }
    }
    text.into_iter().collect()
}

#[test]
fn mutated_files_never_panic() {
    let folder = crate::root().join("testdata/broken");
    let mut corpus = vec![
        std::fs::read_to_string(crate::root().join("../examples/store-invoices/pipeline.yaml")).unwrap(),
    ];
    let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    let yaml = names.iter().filter(|p| p.extension().is_some_and(|e| e == "yaml"));
    // What is written in the file under a mistyped key is shown; what comes from the reader never is.
    corpus.extend(yaml.map(|p| std::fs::read_to_string(p).unwrap().replace("hunter2", "plain")));
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let seeds = match number("FUZZ_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FUZZ_ROUNDS").unwrap_or(ROUNDS),
    };
    for seed in seeds {
        let result = std::panic::catch_unwind(|| {
            let mut rng = SeededRng::new(seed);
            let base = &corpus[(rng.next_u64() % corpus.len() as u64) as usize];
            let text = mutate(base, &mut rng);
            let outcome = crate::load_text("fuzz.yaml", &text, &[]);
            let again = crate::load_text("fuzz.yaml", &text, &[]);
            assert_eq!(
                outcome.diagnostics.items(),
                again.diagnostics.items(),
                "the same text, the same diagnostics"
            );
            for diagnostic in outcome.diagnostics.items() {
                let source = outcome.sources.get(diagnostic.span.source).unwrap();
                assert!(diagnostic.span.end as usize <= source.text().len());
                assert!(source.text().is_char_boundary(diagnostic.span.start as usize), "{diagnostic:?}");
                assert!(source.text().is_char_boundary(diagnostic.span.end as usize), "{diagnostic:?}");
            }
            let shown = render::text(&outcome.diagnostics, &outcome.sources);
            assert!(!shown.contains("hunter2"), "SP-2: {shown}");
            render::json(&outcome.diagnostics, &outcome.sources);
        });
        assert!(result.is_ok(), "seed {seed} fails: FUZZ_SEED={seed}");
    }
}
