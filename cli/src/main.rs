//! The `millstream` binary: reads the arguments and ends with an exit code. All else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    millstream::run(std::env::args_os())
}
