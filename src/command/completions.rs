//! `recadero completions`: what a shell needs to complete commands and options.

use std::io;

use clap::CommandFactory;
use clap_complete::{Shell, generate};

/// Prints the completions of a shell
#[derive(clap::Args, Clone)]
pub struct Options {
    /// Which shell
    shell: Shell,
}

/// Runs the command.
pub fn run(options: Options) -> anyhow::Result<()> {
    generate(options.shell, &mut super::Cli::command(), "recadero", &mut io::stdout());
    Ok(())
}
