//! Running programs and talking about it: the few helpers that every task shares.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a task stopped. `code` is the process's exit code: 1 a check found something, 2 it could not be done.
pub struct Failure {
    pub code: u8,
    pub message: String,
}

pub type Outcome<T = ()> = Result<T, Failure>;

/// A check that found something: exit code 1.
pub fn finding(message: impl Into<String>) -> Failure {
    Failure { code: 1, message: message.into() }
}

/// Something that could not be done at all: exit code 2.
pub fn impossible(message: impl Into<String>) -> Failure {
    Failure { code: 2, message: message.into() }
}

/// The repository's root folder, from where this crate was built.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// A command that runs in the repository's root.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// Cargo, the same one that started this task.
pub fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The command as one would type it.
pub fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| quote(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Prints the command, runs it with this terminal, and requires success.
pub fn run(command: &mut Command) -> Outcome {
    println!("$ {}", line(command));
    let status = command.status().map_err(|e| impossible(format!("cannot start '{}': {e}", line(command))))?;
    if status.success() { Ok(()) } else { Err(finding(format!("'{}' ended with {status}", line(command)))) }
}

/// Runs the command, requires success, and returns what it printed on standard output.
pub fn capture(command: &mut Command) -> Outcome<String> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|e| impossible(format!("cannot start '{}': {e}", line(command))))?;
    if !output.status.success() {
        return Err(finding(format!("'{}' ended with {}", line(command), output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether the command starts and succeeds; it prints nothing.
pub fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// Whether a program of this name is on the PATH.
pub fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// Where cargo puts what it builds (`CARGO_TARGET_DIR` and configuration files count).
pub fn target_dir() -> Outcome<PathBuf> {
    let metadata = capture(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let key = "\"target_directory\":\"";
    let rest = metadata.find(key).and_then(|at| metadata.get(at + key.len()..));
    let path = rest.and_then(|rest| rest.split('"').next());
    path.map(|p| PathBuf::from(p.replace("\\\\", "\\"))).ok_or_else(|| impossible("cargo metadata names no target directory"))
}

/// An empty folder of this name under the target directory.
pub fn scratch(name: &str) -> Outcome<PathBuf> {
    let dir = target_dir()?.join("xtask").join(name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(|e| impossible(format!("cannot empty '{}': {e}", dir.display())))?;
    }
    std::fs::create_dir_all(&dir).map_err(|e| impossible(format!("cannot make '{}': {e}", dir.display())))?;
    Ok(dir)
}

/// The values of a `--flag A,B` option; `None` when the flag is absent.
pub fn list_option(arguments: &[String], flag: &str) -> Outcome<Option<Vec<String>>> {
    let Some(at) = arguments.iter().position(|a| a == flag) else { return Ok(None) };
    let value = arguments.get(at + 1).ok_or_else(|| impossible(format!("'{flag}' needs a value")))?;
    Ok(Some(value.split(',').filter(|s| !s.is_empty()).map(str::to_string).collect()))
}

/// Refuses arguments that a task does not know. `valued` flags take one value.
pub fn known_arguments(arguments: &[String], plain: &[&str], valued: &[&str]) -> Outcome {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if valued.contains(&argument.as_str()) {
            rest.next();
        } else if !plain.contains(&argument.as_str()) {
            return Err(impossible(format!("unknown argument '{argument}'")));
        }
    }
    Ok(())
}

/// A heading between steps.
pub fn heading(text: &str) {
    println!("\n── {text} {}", "─".repeat(96usize.saturating_sub(text.chars().count())));
}
