//! `recadero rejected`: what can never be delivered as it is, seen and published again, with RabbitMQ alone.

use std::sync::Arc;

use anyhow::bail;

use crate::config::{Amqp, AmqpOptions};
use crate::consume::amqp::{AmqpPublisher, AmqpRejects};
use crate::consume::rejects::{self, LOOK_MAX, Rejects, replay_all};
use crate::consume::{Header, WORKSPACE_HEADER};

/// Shows what was dead-lettered and why, or sends it again
#[derive(clap::Args, Clone)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Clone)]
enum Command {
    List(List),
    Replay(Replay),
}

/// Lists rejected messages: id, reason, routing key, workspace, message id and detail, separated by tabs
///
/// Oldest first. Looking takes nothing away.
#[derive(clap::Args, Clone)]
struct List {
    #[command(flatten)]
    amqp: AmqpOptions,
    /// At most so many
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u32).range(1..=LOOK_MAX as i64))]
    limit: u32,
}

/// Publishes rejected messages again: one, or all that are there now
///
/// Each is published, confirmed, and only then taken from the rejected ones; what is still wrong comes back.
#[derive(clap::Args, Clone)]
struct Replay {
    #[command(flatten)]
    amqp: AmqpOptions,
    /// Only the message of this id
    id: Option<String>,
}

/// Runs the command.
pub fn run(options: Options) -> anyhow::Result<()> {
    match options.command {
        Command::List(options) => with(&options.amqp.check()?, async |rejects, _| {
            for message in rejects.look(0, options.limit as usize).await? {
                let workspace = match message.header(WORKSPACE_HEADER) {
                    Header::Text(text) => text.to_owned(),
                    Header::Integer(number) => number.to_string(),
                    Header::Absent | Header::Other => "-".to_owned(),
                };
                let message_id = message.properties.message_id().as_ref().map_or("-", |id| id.as_str());
                let cells = [
                    &rejects::id(&message),
                    &rejects::reason(&message),
                    &message.routing_key,
                    &workspace,
                    message_id,
                    &rejects::detail(&message),
                ];
                println!("{}", cells.map(one_cell).join("\t"));
            }
            Ok(())
        }),
        Command::Replay(options) => with(&options.amqp.check()?, async |rejects, exchange| {
            let replayed = match &options.id {
                Some(id) => rejects.replay(exchange, Some(id), 1).await?,
                None => replay_all(rejects, exchange, || true).await?,
            };
            if let (Some(id), 0) = (&options.id, replayed.count) {
                bail!("there is no rejected message of the id {id:?}");
            }
            println!("{} replayed", replayed.count);
            Ok(())
        }),
    }
}

/// Works on the rejected messages, and says goodbye to RabbitMQ whatever comes of it.
fn with(amqp: &Amqp, work: impl AsyncFnOnce(&AmqpRejects, &str) -> anyhow::Result<()>) -> anyhow::Result<()> {
    super::block_on(async {
        let publisher = Arc::new(AmqpPublisher::new(&amqp.url));
        let rejects = AmqpRejects::new(&amqp.url, publisher.clone());
        let done = work(&rejects, &amqp.topology.exchange).await;
        rejects.close().await;
        publisher.close().await;
        done
    })
}

/// A publisher's text may hold anything, and a terminal obeys some of it.
fn one_cell(text: &str) -> String {
    text.replace(char::is_control, " ")
}
