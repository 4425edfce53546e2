//! The commands, one file each (contract, section 7).

pub mod publish;
pub mod topology;

/// Runs a command's work to its end on this thread.
fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
