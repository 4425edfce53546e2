//! `recadero openapi`: the API's document, for generators and gateways.

use crate::operate::openapi::document;

/// Prints the API's OpenAPI document
#[derive(clap::Args, Clone)]
pub struct Options {}

/// Runs the command.
pub fn run(_: Options) -> anyhow::Result<()> {
    println!("{}", document().to_pretty_json()?);
    Ok(())
}
