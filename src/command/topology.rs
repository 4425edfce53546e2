//! `recadero topology`: declares or compares the RabbitMQ side, alone.

use crate::config::{AmqpOptions, ConfigError};
use crate::consume::amqp;
use crate::consume::amqp::AmqpUrl;
use crate::consume::topology::Topology;

/// Declares what Recadero needs in RabbitMQ, or compares it
#[derive(clap::Args, Clone)]
pub struct Options {
    #[command(flatten)]
    amqp: AmqpOptions,
    /// Only compare; change nothing
    #[arg(long)]
    check: bool,
}

/// Runs the command.
pub fn run(options: Options) -> anyhow::Result<()> {
    let settings = options.amqp.check()?;
    let url: AmqpUrl = settings.url.reveal().parse().map_err(|problem: String| ConfigError::of("amqp-url", problem))?;
    let topology = Topology { exchange: settings.exchange, queues: settings.queues };
    super::block_on(async {
        let report = amqp::prepare(&url, &topology, !options.check).await?;
        print!("{report}");
        Ok(())
    })
}
