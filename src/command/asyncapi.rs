//! `recadero asyncapi`: the AMQP side's document, for generators and catalogues.

use crate::operate::asyncapi::document;

/// Prints the AsyncAPI document of what goes over RabbitMQ
#[derive(clap::Args, Clone)]
pub struct Options {}

/// Runs the command.
pub fn run(_: Options) -> anyhow::Result<()> {
    println!("{:#}", document());
    Ok(())
}
