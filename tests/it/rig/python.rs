//! The tests' own Python: an SMTP server and clients of other languages need packages that no machine has by itself.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tokio::sync::OnceCell;

/// The interpreter of the virtual environment that `tests/python.sh` keeps in the target directory.
pub async fn python() -> PathBuf {
    static PYTHON: OnceCell<PathBuf> = OnceCell::const_new();
    PYTHON.get_or_init(|| async { tokio::task::spawn_blocking(make).await.unwrap() }).await.clone()
}

fn make() -> PathBuf {
    let mut command = Command::new("sh");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python.sh")).stderr(Stdio::inherit());
    let made = command.output().unwrap();
    assert!(made.status.success(), "tests/python.sh could not make the tests' Python: {}", made.status);
    PathBuf::from(String::from_utf8(made.stdout).unwrap().trim())
}
