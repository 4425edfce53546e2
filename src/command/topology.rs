//! `recadero topology`: declares or compares the RabbitMQ side, alone.

use crate::config::AmqpOptions;
use crate::consume::amqp;

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
    let amqp = options.amqp.check()?;
    super::block_on(async {
        let report = amqp::prepare(&amqp.url, &amqp.topology, !options.check).await?;
        print!("{report}");
        Ok(())
    })
}
