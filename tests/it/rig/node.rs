//! The tests' own Node packages: a client of another language, and a parser that is not ours.

use std::process::{Command, Stdio};

/// The directory for `NODE_PATH` that `tests/node.sh` keeps in the target directory.
pub fn packages() -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node.sh");
    let made = Command::new("sh").arg(script).stderr(Stdio::inherit()).output().unwrap();
    assert!(made.status.success(), "tests/node.sh could not install the tests' packages: {}", made.status);
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}
