//! `recadero man`: manual pages, made of what `--help` says.

use std::io;

use clap::CommandFactory;
use clap_mangen::Man;

use crate::config::ConfigError;

/// Prints a manual page, in troff
#[derive(clap::Args, Clone)]
pub struct Options {
    /// Of this command, instead of the page that lists them
    command: Vec<String>,
}

/// Runs the command.
pub fn run(options: Options) -> anyhow::Result<()> {
    let mut page = super::Cli::command();
    // Names of commands' pages, and what every page says of the whole, are set here.
    page.build();
    for name in options.command {
        let found = page.find_subcommand(&name).cloned();
        page = found.ok_or_else(|| ConfigError { option: name, problem: "there is no such command".to_owned() })?;
    }
    let name = page.get_display_name().unwrap_or(page.get_name()).to_owned();
    page = page.name(name).version(env!("CARGO_PKG_VERSION"));
    Man::new(page).render(&mut io::stdout())?;
    Ok(())
}
