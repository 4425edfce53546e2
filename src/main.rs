//! The `recadero` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    recadero::command::main()
}
