//! `recadero topology`: declares or compares the RabbitMQ side, alone.

use crate::consume::amqp;
use crate::consume::amqp::AmqpUrl;
use crate::consume::topology::{EVENTS, Topology};

/// Where RabbitMQ is, and what it has there.
#[derive(clap::Args, Clone, Debug)]
pub struct AmqpOptions {
    /// RabbitMQ (`amqps` too)
    #[arg(long, env = "RECADERO_AMQP_URL", hide_env_values = true, default_value = "amqp://127.0.0.1:5672/%2f")]
    pub amqp_url: AmqpUrl,
    /// Topic exchange that upstream publishes to
    #[arg(long, env = "RECADERO_AMQP_EXCHANGE", default_value = EVENTS)]
    pub amqp_exchange: String,
    /// Ordered queues the exchange is spread over, by workspace
    #[arg(long, env = "RECADERO_AMQP_QUEUES", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub amqp_queues: u16,
}

impl AmqpOptions {
    /// What has to exist there.
    pub fn topology(&self) -> Topology {
        Topology { exchange: self.amqp_exchange.clone(), queues: self.amqp_queues }
    }
}

/// Declares what Recadero needs in RabbitMQ, or compares it
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    amqp: AmqpOptions,
    /// Only compare; change nothing
    #[arg(long)]
    check: bool,
}

/// Runs the command.
pub fn run(options: Options) -> anyhow::Result<()> {
    super::block_on(async {
        let report = amqp::prepare(&options.amqp.amqp_url, &options.amqp.topology(), !options.check).await?;
        print!("{report}");
        Ok(())
    })
}
