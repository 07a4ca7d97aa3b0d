//! Leaving a test out, aloud. What a passing test prints is not seen, so the reason goes to the file that the variable
//! `SKIPPED` names, which `.ci/test` counts and prints. Never enters: what a test needs.

use std::io::Write;

/// Says that `test` is left out, and why.
///
/// # Panics
/// Where `REQUIRE_ALL` is set: there nothing may be left out.
#[track_caller]
pub fn skip(test: &str, why: &str) {
    assert!(std::env::var_os("REQUIRE_ALL").is_none(), "{test}: {why}, and REQUIRE_ALL is set");
    leave_out(test, why);
}

/// As [`skip`], for what even a complete machine may lack, such as root.
pub fn leave_out(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
    let Some(file) = std::env::var_os("SKIPPED") else { return };
    let file = std::fs::OpenOptions::new().append(true).create(true).open(file);
    // One write, since tests run beside each other.
    let line = format!("{test}: {why}\n");
    if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
        eprintln!("SKIPPED names a file that cannot be written: {error}");
    }
}
