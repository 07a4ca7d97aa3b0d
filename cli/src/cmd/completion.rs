//! `millstream completion`: a script for a shell, made from the same types as the help.

use clap::CommandFactory;

use crate::exit::Failure;
use crate::render::{self, Stopped};

/// Options of `completion`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: millstream completion bash > ~/.local/share/bash-completion/completions/millstream"
)]
pub struct Completion {
    /// The shell
    #[arg(value_parser = ["bash", "zsh", "fish"])]
    pub shell: String,
}

/// Prints the script.
pub fn command(options: &Completion) -> Result<(), Failure> {
    let shell = match options.shell.as_str() {
        "zsh" => clap_complete::Shell::Zsh,
        "fish" => clap_complete::Shell::Fish,
        _ => clap_complete::Shell::Bash,
    };
    let mut script = Vec::new();
    // Generators complete hidden commands too.
    let all = crate::args::Arguments::command();
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut shown = clap::Command::new("millstream").version(env!("CARGO_PKG_VERSION")).subcommands(shown);
    clap_complete::generate(shell, &mut shown, "millstream", &mut script);
    match render::print(&script) {
        Ok(()) | Err(Stopped::ReaderGone) => Ok(()),
        Err(Stopped::Failed(failure)) => Err(failure),
    }
}
