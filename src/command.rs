//! The commands, one file each (contract, section 7), and what they have in common: one way to fail.

pub mod asyncapi;
pub mod bench;
pub mod completions;
pub mod dev;
pub mod endpoints;
pub mod health;
pub mod listen;
pub mod man;
pub mod openapi;
pub mod publish;
pub mod rejected;
pub mod serve;
pub mod topology;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::ConfigError;
use crate::deliver::send::install_crypto;

/// Exit status: the work failed.
const FAILED: u8 = 1;

/// Exit status: wrong usage or configuration (also clap's own).
const WRONG: u8 = 2;

/// Delivers a platform's events as webhooks, in order
///
/// Upstream services publish events to RabbitMQ; Recadero routes each into an ordered stream per endpoint in Redis and
/// delivers it by HTTP POST, with retries, an error quota, and signatures.
///
/// Begin with `recadero dev`: it shows all of it and needs no server.
#[derive(Parser)]
#[command(name = "recadero", version, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Options),
    Dev(dev::Options),
    Publish(publish::Options),
    Listen(listen::Options),
    Topology(topology::Options),
    Rejected(rejected::Options),
    Health(health::Options),
    Endpoints(endpoints::Options),
    Openapi(openapi::Options),
    Asyncapi(asyncapi::Options),
    Bench(bench::Options),
    Completions(completions::Options),
    Man(man::Options),
    #[command(hide = true)]
    Forward(bench::forwarder::Options),
}

/// Runs the command that the arguments ask for.
pub fn main() -> ExitCode {
    install_crypto();
    let done = match Cli::parse().command {
        Command::Serve(options) => serve::run(options),
        Command::Dev(options) => dev::run(options),
        Command::Publish(options) => publish::run(options),
        Command::Listen(options) => listen::run(options),
        Command::Topology(options) => topology::run(options),
        Command::Rejected(options) => rejected::run(options),
        Command::Health(options) => health::run(options),
        Command::Endpoints(options) => endpoints::run(options),
        Command::Openapi(options) => openapi::run(options),
        Command::Asyncapi(options) => asyncapi::run(options),
        Command::Bench(options) => bench::run(options),
        Command::Completions(options) => completions::run(options),
        Command::Man(options) => man::run(options),
        Command::Forward(options) => bench::forwarder::run(options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("recadero: {}", one_line(&error));
            let wrong = error.is::<ConfigError>();
            ExitCode::from(if wrong { WRONG } else { FAILED })
        }
    }
}

/// The error and its causes, each once, in one line.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.contains(&cause) {
            continue; // Some errors already print their cause.
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&cause);
    }
    line.replace(['\n', '\r'], " ")
}

/// Runs a command's work to its end on this thread.
fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    // Not dropped: that would wait for a read of stdin, and stdin may stay open.
    runtime.shutdown_background();
    done
}
