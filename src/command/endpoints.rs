//! `recadero endpoints`: workspaces and endpoints as a YAML file, kept where other configuration is kept.
//!
//! It goes through the API, so that a file is checked like anything else that somebody sets. Rejected: writing to the store,
//! which would need its address and all of the service's rules at a place where people have neither.

mod client;
mod file;
mod plan;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, bail};
use reqwest::Method;
use url::Url;

use self::client::Client;
use self::file::File;
use self::plan::{Step, plan};

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Makes workspaces and endpoints match a file, or writes that file
#[derive(clap::Args, Clone)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Clone)]
enum Command {
    Apply(Apply),
    Export(Export),
}

/// Makes workspaces and endpoints match a YAML file
///
/// Workspaces that the file does not name stay as they are, and so do the endpoints of one that lists none; of one that
/// lists some, others are deleted. An endpoint is known by its id, else by its URL. Secrets of new endpoints are printed.
#[derive(clap::Args, Clone)]
struct Apply {
    #[command(flatten)]
    api: Api,
    /// The file; `-` is stdin
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Only show the difference; change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Prints all workspaces and endpoints as the YAML file that `apply` takes
///
/// Applying it changes nothing. Headers' values are secrets, so only their names are there.
#[derive(clap::Args, Clone)]
struct Export {
    #[command(flatten)]
    api: Api,
}

#[derive(clap::Args, Clone)]
struct Api {
    /// Where the API is
    #[arg(long, env = "RECADERO_API_URL", default_value = "http://127.0.0.1:8080")]
    api_url: Url,
    /// An admin token
    #[arg(long, env = "RECADERO_API_TOKEN", hide_env_values = true)]
    api_token: String,
}

impl Api {
    fn client(self) -> anyhow::Result<Client> {
        Client::new(self.api_url, self.api_token)
    }
}

/// Runs the command.
pub fn run(options: Options) -> anyhow::Result<()> {
    match options.command {
        Command::Apply(options) => super::block_on(apply(options)),
        Command::Export(options) => super::block_on(async {
            let workspaces = options.api.client()?.workspaces().await?;
            print!("{}", serde_saphyr::to_string(&File { workspaces })?);
            Ok(())
        }),
    }
}

async fn apply(options: Apply) -> anyhow::Result<()> {
    let file: File = serde_saphyr::from_str(&read(&options.file)?).context(options.file.display().to_string())?;
    let mut named = BTreeSet::new();
    if let Some(twice) = file.workspaces.iter().find(|workspace| !named.insert(&workspace.id)) {
        bail!("{}: the workspace {} is there twice", options.file.display(), twice.id);
    }
    let client = options.api.client()?;
    // All of it first: a mistake in the last line must not leave half of it done.
    let mut steps = Vec::new();
    for workspace in &file.workspaces {
        let now = client.workspace(&workspace.id).await?;
        steps.extend(plan(workspace, now.as_ref()).map_err(anyhow::Error::msg)?);
    }
    let mut changes = 0;
    for step in &steps {
        if options.dry_run {
            println!("{step}");
            changes += 1;
        } else if let Some(more) = do_step(&client, step).await.with_context(|| step.to_string())? {
            println!("{step}{more}");
            changes += 1;
        }
    }
    match (changes, options.dry_run) {
        (0, _) => println!("nothing to change"),
        (count, true) => println!("{count} to do; nothing was changed"),
        (count, false) => println!("{count} done"),
    }
    Ok(())
}

/// Does a step; `None` when nothing came of it, else what there is to say of it besides.
async fn do_step(client: &Client, step: &Step) -> anyhow::Result<Option<String>> {
    match step {
        Step::Set { workspace, body, .. } => {
            client.ask(Method::PUT, &format!("/v1/workspaces/{workspace}"), Some(body)).await?;
        }
        Step::Delete { workspace, id, .. } => {
            client.ask(Method::DELETE, &format!("/v1/workspaces/{workspace}/endpoints/{id}"), None).await?;
        }
        Step::Change { workspace, id, body, .. } => {
            let path = format!("/v1/workspaces/{workspace}/endpoints/{id}");
            let before = client.ask(Method::GET, &path, None).await?.tag;
            // A header's value may be the one that is there already; only the API can tell.
            if client.ask(Method::PATCH, &path, Some(body)).await?.tag == before {
                return Ok(None);
            }
        }
        Step::Create { workspace, body, .. } => {
            let path = format!("/v1/workspaces/{workspace}/endpoints");
            let made = client.ask(Method::POST, &path, Some(body)).await?.body;
            let text = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
            return Ok(Some(format!(" id {} secret {}", text("id"), text("secret"))));
        }
    }
    Ok(Some(String::new()))
}

fn read(path: &PathBuf) -> anyhow::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    let mut source: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).with_context(|| format!("--file {}", path.display()))?)
    };
    source.as_mut().take(FILE_BYTES_MAX + 1).read_to_string(&mut text).context("--file")?;
    if text.len() as u64 > FILE_BYTES_MAX {
        bail!("--file {} is larger than {FILE_BYTES_MAX} bytes", path.display());
    }
    Ok(text)
}
