//! The command from the outside: its exit codes, and files that are what `expected.json` says.

mod case_files;
mod dev;
mod explain;
mod generate;
mod new;
mod refusals;
mod verbs;
mod worker;
