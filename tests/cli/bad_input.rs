//! What the command line does with files and arguments that are wrong: each line of `tests/fixtures/bad_input.txt` must end with exit code 2
//! and a message that names what is wrong, in time, and leave the output file as it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const BEFORE: &str = "what stood here before";
/// More than any of them needs, even on a busy machine; a hang would be endless.
const LIMIT: Duration = Duration::from_secs(60);

struct Case<'a> {
    words: Vec<&'a str>,
    arguments: Vec<String>,
}

#[test]
fn refuses_each_bad_input_with_a_message_and_writes_nothing() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let list = fs::read_to_string(fixtures.join("bad_input.txt")).unwrap();
    let work = tempfile::tempdir().unwrap();
    let mut failures = Vec::new();
    let mut count = 0;
    for line in list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let case = parse(line, work.path());
        if case.arguments[0] == "compile" && !cfg!(feature = "llvm") {
            continue;
        }
        count += 1;
        if let Err(why) = check(&case, &fixtures, work.path()) {
            failures.push(format!("{line}\n    {}", why.replace('\n', "\n    ")));
        }
    }
    assert!(count > 30, "the list has become short: {count}");
    assert!(failures.is_empty(), "{} of {count} cases:\n{}", failures.len(), failures.join("\n"));
}

/// `words | command line`; quotes keep spaces together, OUT stands for a path in the work folder.
fn parse<'a>(line: &'a str, work: &Path) -> Case<'a> {
    let (words, command) = line.split_once('|').unwrap();
    let mut arguments = Vec::new();
    for (i, part) in command.split('\'').enumerate() {
        if i % 2 == 1 { arguments.push(part.to_string()) } else { arguments.extend(part.split_whitespace().map(str::to_string)) }
    }
    for argument in &mut arguments {
        if argument.starts_with("OUT") {
            *argument = work.join(&argument).display().to_string();
        }
    }
    Case { words: words.split_whitespace().collect(), arguments }
}

fn check(case: &Case, fixtures: &Path, work: &Path) -> Result<(), String> {
    let outputs: Vec<PathBuf> = ["OUT.onnx", "OUT.so", "OUT.npz"].map(|name| work.join(name)).into();
    for path in &outputs {
        fs::write(path, BEFORE).unwrap();
    }
    let (code, message) = run(case, fixtures)?;
    if code != Some(2) {
        return Err(format!("exit code {code:?}, expected 2\n{message}"));
    }
    for word in &case.words {
        if !message.contains(word) {
            return Err(format!("the message does not say {word}:\n{message}"));
        }
    }
    if !message.contains("error") || message.contains("panicked") {
        return Err(format!("this is no diagnostic:\n{message}"));
    }
    for path in &outputs {
        if fs::read_to_string(path).ok().as_deref() != Some(BEFORE) {
            return Err(format!("'{}' was touched", path.display()));
        }
    }
    let mut left: Vec<String> = fs::read_dir(work).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    left.retain(|name| !outputs.iter().any(|o| o.ends_with(name)));
    if left.is_empty() { Ok(()) } else { Err(format!("left behind: {}", left.join(", "))) }
}

/// Exit code and standard error; ends the program that takes too long.
fn run(case: &Case, fixtures: &Path) -> Result<(Option<i32>, String), String> {
    let errors = tempfile::NamedTempFile::new().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_lapidary"))
        .args(&case.arguments)
        .current_dir(fixtures)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors.reopen().unwrap())
        .spawn()
        .map_err(|e| e.to_string())?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            let message = fs::read(errors.path()).map_err(|e| e.to_string())?;
            return Ok((status.code(), String::from_utf8_lossy(&message).into_owned()));
        }
        if start.elapsed() > LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("still running after {} s", LIMIT.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}
