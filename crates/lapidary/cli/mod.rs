//! One module per command. A command gives its [`Status`] or diagnostics; exit codes are made here: 0 done, 1 findings, 2 failed.

mod args;
mod bench;
mod calib;
mod compare;
mod compile;
mod compress;
mod conformance;
mod diff;
mod inspect;
mod ledger;
mod lists;
mod opt;
mod profile;
mod progress;
mod render;
mod roofline;
mod run;
mod sensitivity;
mod supervise;
mod table;

use args::Global;
use clap::{Parser, Subcommand};
use lapidary::Diagnostics;
use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Done,
    /// It did what was asked, and found what it was asked to look for: values that differ, promises that do not hold, failed cases.
    Findings,
}

pub type Outcome = Result<Status, Diagnostics>;

const EXAMPLES: &str = "\
Examples:
  lapidary inspect model.onnx                      what is in it, and what runs natively
  lapidary opt model.onnx -o small.onnx            fold, fuse and clean up; the result is ONNX again
  lapidary compile model.onnx -o libmodel.so       a native library with model.h and model.pc
  lapidary compress model.onnx -o small.onnx --recipe r.toml --data x.npz
                                                   make it smaller in stages, each judged on data
  lapidary run libmodel.so --inputs x.npz          run it (or the model itself) on arrays
  lapidary passes                                  everything that can change a model

Exit codes: 0 done; 1 findings (--expect, --check, conformance, a gate); 2 failed, and nothing was written.";

/// Cuts and polishes ONNX models: makes them smaller and faster, as ONNX files or as native libraries.
#[derive(Parser)]
#[command(name = "lapidary", version, after_help = EXAMPLES, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Inspect(inspect::Inspect),
    Opt(opt::Opt),
    Compile(compile::Compile),
    Compress(compress::Compress),
    Run(run::Run),
    Bench(bench::Bench),
    Conformance(conformance::Conformance),
    Compare(compare::Compare),
    Sensitivity(sensitivity::Sensitivity),
    Calib(calib::Calib),
    Diff(diff::Diff),
    Passes(lists::Passes),
    Ops(lists::Ops),
    Pipelines(lists::Pipelines),
    /// Takes cases from a pipe, one path per line, and answers each with a line of JSON.
    #[command(hide = true)]
    ConformanceWorker(conformance::Worker),
}

pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            // Help and version are answers; everything else is a command line that cannot be carried out.
            return if e.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let global = cli.global;
    logging(&global);
    if let Some(jobs) = global.jobs {
        // Fails only when a pool exists already, and none does yet.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(jobs.get()).build_global();
    }
    supervise::leave_with_parent();
    let outcome = match &cli.command {
        Command::Inspect(c) => c.run(&global),
        Command::Opt(c) => c.run(&global),
        Command::Compile(c) => c.run(&global),
        Command::Compress(c) => c.run(&global),
        Command::Run(c) => c.run(&global),
        Command::Bench(c) => c.run(&global),
        Command::Conformance(c) => c.run(&global),
        Command::Compare(c) => c.run(&global),
        Command::Sensitivity(c) => c.run(&global),
        Command::Calib(c) => c.run(&global),
        Command::Diff(c) => c.run(&global),
        Command::Passes(c) => c.run(&global),
        Command::Ops(c) => c.run(&global),
        Command::Pipelines(c) => c.run(&global),
        Command::ConformanceWorker(c) => c.run(&global),
    };
    match outcome {
        Ok(Status::Done) => ExitCode::SUCCESS,
        Ok(Status::Findings) => ExitCode::from(1),
        Err(diagnostics) => {
            render::show_all(&diagnostics.0, &global);
            ExitCode::from(2)
        }
    }
}

/// What `-v` shows comes through `tracing`; `LAPIDARY_LOG` narrows it as `RUST_LOG` would.
fn logging(global: &Global) {
    use tracing_subscriber::EnvFilter;
    let default = match global.verbose {
        0 => "warn",
        1 => "lapidary=info,lapidary_lower=info,lapidary_llvm=info,lapidary_onnx=info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("LAPIDARY_LOG").unwrap_or_else(|_| EnvFilter::new(if global.quiet { "error" } else { default }));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().with_target(false).try_init();
}

/// Prints a line of the result to standard output; a reader that has gone away (`| head`) ends the program quietly.
pub fn say(text: impl std::fmt::Display) {
    use std::io::Write;
    if let Err(e) = writeln!(std::io::stdout(), "{text}")
        && e.kind() == std::io::ErrorKind::BrokenPipe
    {
        std::process::exit(0);
    }
}

/// Prints a result as JSON.
pub fn say_json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => say(text),
        Err(e) => say(format_args!("{{\"error\": {:?}}}", e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_argument_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_explains_itself() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "'{}' has no help", command.get_name());
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "'{}' of '{}' has no help", arg.get_id(), command.get_name());
            }
        }
    }
}
