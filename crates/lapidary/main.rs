//! The command line. Everything it does is the façade's work; here are arguments, terminals and exit codes.
#![forbid(unsafe_code)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
