//! `cargo xtask test`: everything that CI checks, step by step, with a table of times and cargo's test counts at the end.

use crate::shell::{self, Failure, Outcome, cargo, command, finding, heading, impossible, known_arguments, list_option, on_path, root, succeeds};
use crate::{examples, repository, setup};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// One step: its name for `--only` and `--skip`, what it shows, and the function. A function may answer with a remark.
struct Step {
    name: &'static str,
    about: &'static str,
    run: fn() -> Outcome<Option<String>>,
}

/// A step that ran: how long it took, and its remark or why it failed.
struct Done {
    step: &'static Step,
    time: Duration,
    result: Result<Option<String>, Failure>,
}

/// Cheap and likely to fail first; what needs the built compiler last.
const STEPS: &[Step] = &[
    Step { name: "format", about: "the code is formatted", run: formatted },
    Step { name: "rules", about: "layering, unsafe code, paths in text", run: || repository::check().map(Some) },
    Step { name: "clippy", about: "no warnings in any target", run: clippy },
    Step { name: "no-llvm", about: "all but code generation builds without LLVM", run: without_llvm },
    Step { name: "unit", about: "cargo test --workspace", run: cargo_tests },
    Step { name: "compile", about: "the examples compile to libraries; their outputs equal the references", run: examples::compile },
    Step { name: "same-bytes", about: "the same input gives the same bytes, whatever --jobs says", run: examples::same_bytes },
    Step { name: "c", about: "the C example builds with make and runs", run: examples::c_make },
    Step { name: "cmake", about: "a CMake consumer finds the library through pkg-config", run: examples::c_cmake },
    Step { name: "memory", about: "a run allocates only when sizes outgrow the arena", run: examples::allocations },
    Step { name: "archives", about: "two static libraries in one program", run: examples::archives },
    Step { name: "rust", about: "the façade's example runs", run: examples::rust },
    Step { name: "recipe", about: "the int8 recipe gives a smaller model that stays close", run: examples::recipe },
    Step { name: "tsan", about: "several contexts at once under ThreadSanitizer", run: examples::tsan },
    Step { name: "memcheck", about: "several contexts at once under memcheck", run: examples::memcheck },
];

pub fn run(arguments: &[String]) -> Outcome {
    known_arguments(arguments, &["--list"], &["--only", "--skip"])?;
    if arguments.iter().any(|a| a == "--list") {
        for step in STEPS {
            println!("  {:<11} {}", step.name, step.about);
        }
        return Ok(());
    }
    let only = list_option(arguments, "--only")?;
    let skip = list_option(arguments, "--skip")?.unwrap_or_default();
    if let Some(name) = only.iter().flatten().chain(&skip).find(|name| STEPS.iter().all(|step| step.name != name.as_str())) {
        return Err(impossible(format!("no step '{name}'; `cargo xtask test --list` shows them")));
    }
    setup::ensure(true)?;
    rust_components()?;

    let mut results: Vec<Done> = Vec::new();
    let chosen = |step: &&Step| only.as_ref().is_none_or(|names| names.iter().any(|n| n == step.name)) && !skip.iter().any(|n| n == step.name);
    for step in STEPS.iter().filter(chosen) {
        heading(&format!("{}: {}", step.name, step.about));
        let start = Instant::now();
        let result = (step.run)();
        if let Err(failure) = &result {
            println!("{}", failure.message);
        }
        results.push(Done { step, time: start.elapsed(), result });
    }

    heading("summary");
    for Done { step, time, result } in &results {
        let (verdict, remark) = match result {
            Ok(remark) => ("ok", remark.as_deref().unwrap_or("")),
            Err(failure) => ("FAILED", failure.message.lines().next().unwrap_or("")),
        };
        println!("  {:<11} {verdict:<7} {:>7.1} s  {remark}", step.name, time.as_secs_f64());
    }
    let failed: Vec<&str> = results.iter().filter(|done| done.result.is_err()).map(|done| done.step.name).collect();
    let seconds: f64 = results.iter().map(|done| done.time.as_secs_f64()).sum();
    println!("\n{} steps passed, {} failed, in {:.1} minutes", results.len() - failed.len(), failed.len(), seconds / 60.0);
    if failed.is_empty() { Ok(()) } else { Err(finding(format!("steps: {}", failed.join(", ")))) }
}

fn clippy() -> Outcome<Option<String>> {
    shell::run(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])).map(|()| None)
}

fn without_llvm() -> Outcome<Option<String>> {
    let features = ["--no-default-features", "--features", "lapidary/cli"];
    shell::run(cargo().args(["check", "--workspace", "--exclude", "lapidary-llvm", "--locked"]).args(features)).map(|()| None)
}

/// Runs the tests, echoes what they print, and adds up cargo's closing lines.
fn cargo_tests() -> Outcome<Option<String>> {
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    println!("$ {}", shell::line(&tests));
    let mut child = tests.stdout(Stdio::piped()).spawn().map_err(|e| impossible(format!("cannot start cargo: {e}")))?;
    let mut counts = Counts::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // One line per passing test would bury the failures and the closing lines.
            let quiet = line.trim().is_empty() || line == "running 0 tests" || (line.starts_with("test ") && line.ends_with("... ok"));
            if !quiet {
                println!("{line}");
            }
            counts.add(&line);
        }
    }
    let status = child.wait().map_err(|e| impossible(format!("cargo test: {e}")))?;
    let summary = format!("{} tests passed, {} failed, {} ignored", counts.passed, counts.failed, counts.ignored);
    println!("{summary}");
    if status.success() { Ok(Some(summary)) } else { Err(finding(format!("cargo test: {summary}"))) }
}

#[derive(Default)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Counts {
    /// Reads `test result: ok. 12 passed; 0 failed; 1 ignored; …`; other lines change nothing.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else { return };
        for part in counts.split(';') {
            let Some((number, what)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// `cargo fmt` does not see modules that a macro declares: the files of operators and passes are named to rustfmt.
fn formatted() -> Outcome<Option<String>> {
    shell::run(cargo().args(["fmt", "--all", "--check"]))?;
    let files = repository::committed_files()?;
    let unseen = files.iter().filter(|f| f.ends_with(".rs") && (f.starts_with("crates/lapidary-ops/src/ops/") || f.starts_with("passes/")));
    // Not `shell::run`: a line with hundreds of names would bury what rustfmt says.
    match command("rustfmt").current_dir(root()).arg("--check").args(unseen).status() {
        Ok(s) if s.success() => Ok(None),
        Ok(_) => Err(finding("files of operators or passes are not formatted: run rustfmt on those named above")),
        Err(e) => Err(impossible(format!("cannot start rustfmt: {e}"))),
    }
}

/// rustfmt and clippy are separate parts of a minimal Rust installation.
fn rust_components() -> Outcome {
    let missing: Vec<&str> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .iter()
        .filter(|(sub, _)| !succeeds(cargo().args([sub, "--version"])))
        .map(|(_, name)| *name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let add = format!("rustup component add {}", missing.join(" "));
    if !on_path("rustup") {
        return Err(impossible(format!("missing parts of the Rust toolchain: {}; with rustup: {add}", missing.join(" "))));
    }
    println!("installing parts of the Rust toolchain that the checks use: {}", missing.join(" "));
    shell::run(command("rustup").args(["component", "add"]).args(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_add_up_and_other_lines_do_not() {
        let mut counts = Counts::default();
        counts.add("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s");
        counts.add("test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        counts.add("test tests::passed ... ok");
        counts.add("thread 'x' panicked: 7 passed");
        assert_eq!((counts.passed, counts.failed, counts.ignored), (14, 4, 1));
    }

    #[test]
    fn step_names_are_unique() {
        let names: std::collections::BTreeSet<&str> = STEPS.iter().map(|step| step.name).collect();
        assert_eq!(names.len(), STEPS.len());
    }
}
