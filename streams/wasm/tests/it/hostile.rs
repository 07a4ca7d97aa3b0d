//! Guests that loop, grow, trap, recurse and lie: the record that makes them do it fails, and no other.

use crate::guests;
use crate::support::{batch, limited, load_wat};
use millstream_wasm::{Function, Limits, LoadError, Transient};

/// Limits that a loop reaches soon.
fn small() -> Limits {
    Limits { fuel: 2_000_000, memory_bytes: 4 << 20, output_bytes: 16 << 10, ..Limits::default() }
}

fn doors() -> Vec<(&'static str, Function)> {
    let load = |wat: String| load_wat(&wat, limited(small())).expect("the guest loads");
    vec![("plain", load(guests::plain())), ("packed", load(guests::packed(false)))]
}

/// What became of each record of a batch: `pass`, `drop`, or its failure's code.
fn verdicts(function: &Function, values: &[&str]) -> Vec<String> {
    let outcome = function.process(&batch(values)).expect("nothing transient");
    let verdict = |at: usize| {
        if let Some(emit) = outcome.emits.iter().find(|emit| emit.input as usize == at) {
            assert_eq!(emit.value.as_deref(), Some(values[at].as_bytes()));
            return "pass".to_owned();
        }
        let failed = outcome.failed.iter().find(|failed| failed.input as usize == at);
        failed.map_or("drop".to_owned(), |failed| failed.code.to_string())
    };
    assert!(outcome.emits.is_sorted_by_key(|emit| emit.input));
    (0..values.len()).map(verdict).collect()
}

#[test]
fn each_kind_of_hostile_record_fails_alone_among_good_ones() {
    let kinds = [
        ("l", "function_fuel", "function_fuel"),
        ("t", "function_trap", "function_trap"),
        ("g", "function_memory", "function_memory"),
        ("r", "function_trap", "function_trap"),
        ("o", "function_trap", "function_trap"),
        ("e", "function_trap", "function_trap"),
        ("x", "function_trap", "function_trap"),
        ("b", "function_output", "function_output"),
        ("h", "function_output", "function_output"),
        ("w", "function_trap", "code"),
        ("f", "no", "no"),
        ("d", "drop", "drop"),
        ("L", "pass", "pass"),
    ];
    for (door, function) in doors() {
        for (command, plain, packed) in kinds {
            for place in [0, 6, 12] {
                let mut values = vec!["yes"; 13];
                values[place] = command;
                let mut wanted = vec!["pass"; 13];
                wanted[place] = if door == "plain" { plain } else { packed };
                assert_eq!(verdicts(&function, &values), wanted, "{door}: {command} at {place}");
            }
        }
    }
}

#[test]
fn the_verdicts_do_not_depend_on_how_the_batch_is_cut() {
    let commands = ["yes", "t", "f", "d", "g", "yes", "l", "b", "w", "o", "h", "s-", "e"];
    for (door, function) in doors() {
        let values: Vec<&str> = (0..60).map(|n: usize| commands[n * n % commands.len()]).collect();
        let whole = verdicts(&function, &values);
        for size in [1, 7, 30] {
            let cut: Vec<String> = values.chunks(size).flat_map(|part| verdicts(&function, part)).collect();
            assert_eq!(cut, whole, "{door}: batches of {size}");
        }
    }
}

#[test]
fn a_batch_that_spends_the_fuel_passes_in_halves_when_each_record_has_enough() {
    for (door, function) in doors() {
        // About 80,000 rounds of 5 for each record: four of them in one call, not five.
        let values = vec!["s-------"; 40];
        assert_eq!(verdicts(&function, &values), vec!["pass"; 40], "{door}");
        let long = format!("s{}", "-".repeat(99));
        assert_eq!(verdicts(&function, &["yes", &long, "yes"]), ["pass", "function_fuel", "pass"], "{door}");
    }
}

#[test]
fn a_trap_comes_with_its_frames_and_what_the_guest_said_last() {
    for (door, function) in doors() {
        let outcome = function.process(&batch(["e"])).expect("nothing transient");
        let trap = outcome.failed[0].trap.as_deref().unwrap_or_default();
        for part in ["unreachable", "bad luck", "obey", "run"] {
            assert!(trap.contains(part), "{door}: `{part}` is not in: {trap}");
        }
        assert!(outcome.failed[0].reason.contains("unreachable"), "{door}: {}", outcome.failed[0].reason);
        // What it said does not stick to the next call.
        let outcome = function.process(&batch(["t"])).expect("nothing transient");
        assert!(!outcome.failed[0].trap.as_deref().unwrap_or_default().contains("bad luck"), "{door}");
    }
}

#[test]
fn a_call_past_its_deadline_is_transient_and_no_record_is_charged() {
    for wat in [guests::plain(), guests::packed(false)] {
        let limits = Limits { fuel: u64::MAX >> 1, deadline_ms: 100, ..small() };
        let function = load_wat(&wat, limited(limits)).expect("the guest loads");
        let error = function.process(&batch(["yes", "l"])).expect_err("the loop outlasts the deadline");
        let wanted = Transient::Deadline { name: "guest".to_owned(), records: 2, deadline_ms: 100 };
        assert_eq!(error, wanted);
        assert_eq!(verdicts(&function, &["yes"]), ["pass"]);
    }
}

#[test]
fn many_threads_share_a_function() {
    let function = load_wat(&guests::packed(false), limited(small())).expect("the guest loads");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..50 {
                    let values = ["yes", if n % 5 == 0 { "t" } else { "yes" }, "f"];
                    let second = if n % 5 == 0 { "function_trap" } else { "pass" };
                    assert_eq!(verdicts(&function, &values), ["pass", second, "no"]);
                }
            });
        }
    });
}

fn refused(wat: &str, limits: Limits) -> LoadError {
    load_wat(wat, limited(limits)).expect_err("the guest is refused")
}

#[test]
fn an_import_that_is_not_offered_is_refused_with_the_list_of_what_is() {
    let plain = guests::plain().replacen(
        "(module",
        r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
           (import "millstream" "now" (func (result i64)))"#,
        1,
    );
    let error = refused(&plain, small()).to_string();
    for part in
        ["wasi_snapshot_preview1.fd_write, millstream.now", "allowed are millstream.log, millstream.config"]
    {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
    let component = guests::packed(false).replacen(
        "(component",
        r#"(component
           (import "wasi:clocks/wall-clock@0.2.0" (instance (export "now" (func (result u64)))))
           (import "millstream:functions/host@9.1.0" (instance (export "log" (func))))
           (import "sleep" (func))"#,
        1,
    );
    let error = refused(&component, small()).to_string();
    for part in [
        "wasi:clocks/wall-clock@0.2.0#now",
        "millstream:functions/host@9.1.0#log",
        "sleep",
        "allowed are millstream:functions/host@0.1.0#log",
    ] {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

#[test]
fn what_is_no_function_is_refused_when_it_is_loaded() {
    let check = |wat: &str, wanted: &str| {
        let error = refused(wat, small()).to_string();
        assert!(error.contains(wanted), "`{wanted}` is not in: {error}");
    };
    check("(module)", "the export `memory` is missing");
    check("(component)", "the export `process` is missing");
    check(
        &guests::plain().replace("(result i32) (i32.const 1))", "(result i32) (i32.const 2))"),
        "abi_version is 2",
    );
    check(
        &guests::plain().replace(r#"(func (export "allocate")"#, r#"(func (export "alocate")"#),
        "`allocate`",
    );
    check(&guests::packed(true), "init refused: code: why");
    check(
        &guests::packed(false).replace(r#"(export "init" (func $init))"#, ""),
        "the export `init` is missing",
    );
    check(
        &guests::packed(false).replace(r#"(field "reason" string)"#, r#"(field "reason" u32)"#),
        "expected `string`",
    );
    // Loops, grows and recurses where it starts.
    let start = "(memory (export \"memory\") 2)";
    let plain = |body: &str| guests::plain().replace(start, &format!("{start} (start $s) (func $s {body})"));
    check(&plain("(loop $ever (br $ever))"), "all fuel consumed");
    check(&plain("(unreachable)"), "unreachable");
    check(&guests::plain().replace(start, "(memory (export \"memory\") 65)"), "memory");
    check(&guests::plain().replace(start, &format!("{start} (table 10001 funcref)")), "table");
    // Proposals that are off.
    check("(module (memory i64 1))", "memory64");
    check("(module (memory 1 1 shared))", "thread");
    let bytes = b"\0asm junk".to_vec();
    let error = crate::support::engine().load(&bytes, limited(small())).expect_err("junk is refused");
    assert!(matches!(error, LoadError::Compile { .. }), "{error}");
    let error = crate::support::engine().load(b"", limited(small())).expect_err("nothing is refused");
    assert!(matches!(error, LoadError::Compile { .. }), "{error}");
}

#[test]
fn limits_have_bounds() {
    let limits = [
        Limits { memory_bytes: 0, ..Limits::default() },
        Limits { memory_bytes: u64::MAX, ..Limits::default() },
        Limits { fuel: 0, ..Limits::default() },
        Limits { table_elements: u64::MAX, ..Limits::default() },
        Limits { output_bytes: u64::MAX, ..Limits::default() },
        Limits { deadline_ms: 0, ..Limits::default() },
    ];
    for limits in limits {
        let error = refused(&guests::plain(), limits.clone());
        assert!(matches!(error, LoadError::Limit { .. }), "{limits:?}: {error}");
    }
}
