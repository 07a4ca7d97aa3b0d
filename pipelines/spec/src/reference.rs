//! The pages of docs/reference that come from this crate's tables. A test holds the files and these texts together.

use std::fmt::Write;

use crate::code::{self, Raiser};

/// docs/reference/diagnostics.md.
pub fn diagnostics_page() -> String {
    let mut out = String::from(
        "# Diagnostics\n\n\
         Every fault of a pipeline file has a code, which keeps its meaning for ever. `millstream validate FILE` prints all\n\
         faults at once, each as `file:line:column: error[MS0101]: …` with the line and what to do; `--format json` and\n\
         `--format sarif` give the same to tools. Errors end with exit code 2; warnings alone do not.\n\n\
         This page is written from the table in `pipelines/spec/src/code.rs`.\n",
    );
    let groups = [
        ("MS00", "The text"),
        ("MS01", "Keys, values and names"),
        ("MS02", "Variables, files and secrets"),
        ("MS03", "The graph"),
        ("MS04", "Event time"),
        ("MS05", "Delivery"),
        ("MS06", "Schemas"),
        ("MS07", "Tests"),
        ("MS08", "Connectors"),
        ("MS09", "The plan"),
        ("MS10", "SQL"),
        ("MS11", "Functions"),
        ("MS12", "Samples"),
    ];
    for (prefix, title) in groups {
        let _ =
            write!(out, "\n## {title}\n\n| code | | meaning | why, and what to do |\n|---|---|---|---|\n");
        for code in code::ALL.iter().filter(|c| c.id.starts_with(prefix)) {
            let raiser = match code.raiser {
                Raiser::Spec => "",
                Raiser::Plan => ", by the plan",
                Raiser::Worker => ", by `validate` with the engine",
            };
            let explanation = code.explanation.replace('|', "\\|");
            let _ = writeln!(
                out,
                "| {} | {}{raiser} | {} | {explanation} |",
                code.id,
                code.severity.word(),
                code.title
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_code_is_on_the_page() {
        let page = super::diagnostics_page();
        for code in crate::code::ALL {
            assert!(page.contains(&format!("| {} |", code.id)), "{}", code.id);
        }
    }
}
