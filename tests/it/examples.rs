//! The guides in `docs`: their publishers, receivers and command lines do what they say, against the real service.

mod api;
mod publishers;
mod receivers;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file of `docs/examples`.
fn example(name: &str) -> String {
    format!("{}/docs/examples/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Whether a language is there; `tests/run` installs all, and so asks for all.
fn has(program: &str) -> bool {
    let there = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    let there = there.is_ok_and(|status| status.success());
    assert!(there || std::env::var_os("RECADERO_TEST_LANGUAGES").is_none(), "there is no {program}");
    if !there {
        eprintln!("there is no {program}; its example is passed over");
    }
    there
}

/// Where Cargo puts what it builds.
fn target() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_recadero"));
    binary.ancestors().nth(2).expect("target/debug/recadero").to_owned()
}

/// An example in Rust, built if it is not.
fn rust(name: &str) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--features", "testing", "--example", name]);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    // What is set for this package is not for others: ring's build script would see it as a change and be run again.
    let mine = |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.starts_with(start));
    for (name, _) in std::env::vars().filter(|(name, _)| mine(name)) {
        cargo.env_remove(name);
    }
    assert!(cargo.status().unwrap().success(), "{cargo:?}");
    target().join("debug/examples").join(name)
}

/// An example in Go, built, since `go run` would outlive its parent.
fn go(name: &str, directory: &Path) -> PathBuf {
    let built = directory.join(name);
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&built).arg(example(&format!("{name}.go")));
    go.env("GOCACHE", target().join("go")).env("GOPATH", directory).env("GO111MODULE", "off");
    assert!(go.status().unwrap().success(), "{go:?}");
    built
}
