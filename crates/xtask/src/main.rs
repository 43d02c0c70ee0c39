//! The project's own tasks: set-up, the demo, everything that CI checks, and the benches.
//!
//! `cargo xtask` lists them. This crate has no dependencies, so that it builds on a machine that has nothing but Rust, and can
//! then say (or, as root on Debian or Ubuntu, install) what is missing.

#![forbid(unsafe_code)]

mod bench;
mod check;
mod demo;
mod examples;
mod repository;
mod setup;
mod shell;

use std::process::ExitCode;

/// A task: its name, what it takes, what it does, and the function.
struct Task {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    run: fn(&[String]) -> shell::Outcome,
}

const TASKS: &[Task] = &[
    Task { name: "demo", arguments: "", about: "compile the example model to a library, run it, show the ledger", run: demo::run },
    Task { name: "test", arguments: "[--only STEP,…] [--skip STEP,…] [--list]", about: "everything that CI checks", run: check::run },
    Task { name: "bench", arguments: "[--only MODEL,…] [--threads 1,2]", about: "repeat the measurements of docs/performance.md", run: bench::run },
    Task { name: "setup", arguments: "[--tests]", about: "install what building (and testing) needs, or say the line that does", run: setup::run },
    Task { name: "lint", arguments: "", about: "the repository's own rules: layering, unsafe code, file names in text", run: repository::run },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        usage();
        return ExitCode::from(2);
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        usage();
        return ExitCode::SUCCESS;
    }
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        eprintln!("error: no task '{name}'");
        usage();
        return ExitCode::from(2);
    };
    match (task.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}: {}", if failure.code == 1 { "failed" } else { "error" }, failure.message);
            ExitCode::from(failure.code)
        }
    }
}

fn usage() {
    println!("usage: cargo xtask TASK\n");
    for task in TASKS {
        println!("  {:<6} {:<42} {}", task.name, task.arguments, task.about);
    }
}
