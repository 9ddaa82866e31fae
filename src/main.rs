//! The program: everything else is the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    freezeframe::cli::main()
}
