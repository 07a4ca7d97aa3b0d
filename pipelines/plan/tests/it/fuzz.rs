//! Smoke: random graphs that lint lets through are planned or refused with a diagnostic, never a panic, and every plan
//! holds the invariants. A failure prints its seed.

use millstream_types::{Rng, SeededRng};

const ROUNDS: u64 = 300;

/// A pipeline of random operators over random earlier streams.
fn pipeline(rng: &mut SeededRng) -> String {
    let mut text = String::from("version: 1\nname: fuzz\ntopics:\n");
    for topic in 0..4 {
        let key = ["", ", key: k", ", key: [k, j]"][rng.below(3) as usize];
        text.push_str(&format!("  t{topic}: {{ partitions: {}{key} }}\n", 1 + rng.below(3) * 20));
    }
    text.push_str("sources:\n  s0: { type: file, path: x }\n  s1: { type: file, path: y }\ntransforms:\n");
    let mut streams: Vec<String> = vec!["s0".to_owned(), "s1".to_owned()];
    let mut topics = 0;
    for i in 0..1 + rng.below(8) {
        let mut pick = || streams[rng.below(streams.len() as u64) as usize].clone();
        let (a, b) = (pick(), pick());
        let both = if a == b { a.clone() } else { format!("{a}, {b}") };
        let id = format!("op{i}");
        let op = match rng.below(5) {
            0 if topics < 4 => {
                topics += 1;
                format!(
                    "{{ type: topic, inputs: [{both}], topic: t{}, watermark: {{ column: at }} }}",
                    topics - 1
                )
            }
            1 => format!("{{ type: dedupe, inputs: [{a}], key: [k, i], within: 1h }}"),
            2 => format!(
                "{{ type: sql, inputs: [{a}], sql: \"SELECT k FROM TUMBLE({a}, at, INTERVAL '1 m') GROUP BY k, j, window_start\" }}"
            ),
            3 => format!("{{ type: sql, inputs: [{a}], sql: SELECT k FROM {a} }}"),
            _ => format!("{{ type: wasm, inputs: [{both}], module: m.wasm }}"),
        };
        text.push_str(&format!("  {id}: {op}\n"));
        streams.push(id);
    }
    text.push_str("sinks:\n");
    for i in 0..1 + rng.below(3) {
        let stream = &streams[rng.below(streams.len() as u64) as usize];
        let writers = 1 + rng.below(20);
        text.push_str(&format!(
            "  out{i}: {{ type: sqlite, inputs: [{stream}], path: x, table: t, mode: insert, writers: {writers} }}\n"
        ));
    }
    text
}

#[test]
fn random_graphs_are_planned_or_refused() {
    let (mut planned, mut refused) = (0, 0);
    for seed in 0..ROUNDS {
        let text = pipeline(&mut SeededRng::new(seed));
        let result = std::panic::catch_unwind(|| {
            let outcome = crate::spec("fuzz.yaml", &text);
            let Some(pipeline) = &outcome.pipeline else { return false };
            match millstream_plan::plan(pipeline, &millstream_spec::catalog::standard::catalog()) {
                Ok(job) => {
                    crate::check_invariants(pipeline, &job);
                    let lock = millstream_plan::Lock::of(&job);
                    assert!(
                        millstream_plan::diff(&lock, &job)
                            .iter()
                            .all(|c| matches!(c, millstream_plan::Change::Kept(_))),
                        "a plan does not differ from itself"
                    );
                    true
                }
                Err(diagnostics) => {
                    assert!(diagnostics.has_errors());
                    false
                }
            }
        });
        match result {
            Ok(true) => planned += 1,
            Ok(false) => refused += 1,
            Err(_) => panic!("seed {seed} fails:\n{text}"),
        }
    }
    assert!(planned > ROUNDS / 20 && refused > 0, "{planned} planned, {refused} refused");
}
