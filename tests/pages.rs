//! Runs the commands of the pages that users read, in order, and compares what they print with what the page says they print.
//!
//! A block marked `console` holds commands (after `$ `; a line that ends in `\` goes on, as does text after `<<'WORD'`) and their output. Text must be the same; numbers may
//! differ by a hundredth, those of time, memory and speed by anything. A page's commands run in one folder, where `examples` lies and `$MODELS`
//! is the set that `LAPIDARY_MODELS` names; without it a page ends at the first command that asks for it, and the rest is reported as skipped.
//! Commands of `cargo` are left out. `BLESS=1 cargo test --test pages` writes what is printed into the pages.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A command of the page and the lines that hold what it prints.
struct Example {
    command: String,
    first: usize,
    last: usize,
}

fn examples(lines: &[&str]) -> Vec<Example> {
    let mut out: Vec<Example> = vec![];
    let (mut inside, mut goes_on) = (false, false);
    // What ends the text that a command is given by `<<'WORD'`.
    let mut end: Option<&str> = None;
    for (n, line) in lines.iter().enumerate() {
        if let Some(kind) = line.strip_prefix("```") {
            inside = !inside && kind == "console";
            goes_on = false;
            continue;
        }
        if !inside {
            continue;
        }
        if goes_on || end.is_some() {
            let Some(e) = out.last_mut() else { continue };
            e.command.push('\n');
            e.command.push_str(line);
            (e.first, e.last) = (n + 1, n + 1);
            goes_on = goes_on && line.ends_with('\\');
            end = end.filter(|word| line != word);
        } else if let Some(command) = line.strip_prefix("$ ") {
            out.push(Example { command: command.into(), first: n + 1, last: n + 1 });
            goes_on = line.ends_with('\\');
            end = command.split_once("<<'").and_then(|(_, rest)| rest.split_once('\'')).map(|(word, _)| word);
        } else if let Some(e) = out.last_mut() {
            e.last = n + 1;
        }
    }
    out
}

/// A line as its words without numbers, and its numbers.
fn parts(line: &str) -> (String, Vec<f64>) {
    let (mut text, mut numbers, mut digits) = (String::new(), vec![], String::new());
    for c in line.chars().chain([' ']) {
        let exponent = digits.chars().last().is_some_and(|l| l == 'e') && c == '-' || c == 'e' && !digits.is_empty();
        if c.is_ascii_digit() || (c == '.' && !digits.is_empty()) || exponent {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            let number = digits.trim_end_matches(['.', 'e', '-']);
            numbers.push(number.parse().unwrap_or(f64::NAN));
            text.push('#');
            text.push_str(&digits[number.len()..]);
            digits.clear();
        }
        match c {
            // Widths of columns follow the widest cell.
            ' ' | '─' if text.ends_with(c) => {}
            _ => text.push(c),
        }
    }
    (text.trim().to_string(), numbers)
}

/// The first difference that matters.
fn difference(wanted: &[&str], found: &[&str]) -> Option<String> {
    let trimmed = |lines: &[&str]| -> Vec<String> { lines.iter().map(|l| l.trim_end().to_string()).filter(|l| !l.is_empty()).collect() };
    let (wanted, found) = (trimmed(wanted), trimmed(found));
    let mut timed = false;
    for i in 0..wanted.len().max(found.len()) {
        let (Some(a), Some(b)) = (wanted.get(i), found.get(i)) else {
            return Some(format!("{} lines are wanted, {} were printed:\n{}", wanted.len(), found.len(), found.join("\n")));
        };
        let ((text, numbers), (printed, others)) = (parts(a), parts(b));
        if text != printed {
            return Some(format!("wanted  {a}\nprinted {b}"));
        }
        // A table with a column of times; a line about times.
        timed = timed && (a.starts_with(' ') || a.starts_with('─')) || ["ms", "peak memory", "faster", "wrote"].iter().any(|w| a.contains(w));
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 0.01 * a.abs().max(b.abs()) || a.is_nan();
        if !timed && !numbers.iter().zip(&others).all(near) {
            return Some(format!("wanted  {a}\nprinted {b}"));
        }
    }
    None
}

#[test]
fn the_readme_prints_what_it_says() {
    run("README.md");
}

#[test]
fn the_page_on_compression_prints_what_it_says() {
    run("docs/compression.md");
}

#[test]
fn the_walkthrough_prints_what_it_says() {
    run("docs/walkthrough.md");
}

fn run(page_path: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join(page_path)).unwrap();
    let lines: Vec<&str> = page.lines().collect();
    let models = std::env::var_os("LAPIDARY_MODELS").map(PathBuf::from);
    let bless = std::env::var_os("BLESS").is_some();
    let work = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(root.join("examples"), work.path().join("examples")).unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_lapidary")).parent().unwrap();
    let path = std::env::join_paths([bin.to_path_buf()].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap()))).unwrap();
    let (mut failures, mut ran, mut rest) = (vec![], 0, 0);
    let mut blessed: Vec<String> = lines.iter().map(|l| l.to_string()).collect();
    for e in examples(&lines).iter().filter(|e| !e.command.starts_with("cargo ")) {
        if rest > 0 || models.is_none() && e.command.contains("$MODELS") {
            rest += 1;
            continue;
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{{ {}\n}} 2>&1", e.command)]).current_dir(work.path()).env("PATH", &path);
        shell.env("NO_COLOR", "1").env("COLUMNS", "120").env_remove("BLESS");
        if let Some(models) = &models {
            shell.env("MODELS", models);
        }
        let done = shell.output().unwrap();
        let printed = String::from_utf8_lossy(&done.stdout).into_owned();
        ran += 1;
        let found: Vec<&str> = printed.lines().collect();
        if !done.status.success() {
            failures.push(format!("$ {}\nexit {:?}\n{printed}", e.command, done.status.code()));
        } else if bless {
            blessed[e.first..e.last].iter_mut().for_each(|l| *l = "\0".into());
            blessed[e.first - 1].push_str(&found.iter().map(|l| format!("\n{}", l.trim_end())).collect::<String>());
        } else if let Some(d) = difference(&lines[e.first..e.last], &found) {
            failures.push(format!("$ {}\n{d}", e.command));
        }
    }
    if bless {
        let text: Vec<String> = blessed.into_iter().filter(|l| l != "\0").collect();
        std::fs::write(root.join(page_path), text.join("\n") + "\n").unwrap();
    }
    println!("{page_path}: {ran} commands ran, {rest} skipped{}", if rest > 0 { ": LAPIDARY_MODELS names no model set" } else { "" });
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn numbers_may_differ_a_little_and_times_by_anything() {
    assert_eq!(difference(&["a 1.000 b"], &["a 1.001 b"]), None);
    assert!(difference(&["a 1.0 b"], &["a 1.2 b"]).is_some());
    assert!(difference(&["a 1.0 b"], &["c 1.0 b"]).is_some());
    assert!(difference(&["a", "b"], &["a"]).is_some());
    assert_eq!(difference(&["took 3 ms"], &["took 50 ms"]), None);
    assert_eq!(difference(&["pass   ms", "────", " x   1.0", "done 1"], &["pass  ms", "───", " x  7.0", "done 1"]), None);
    assert_eq!(parts("x 1.5e-3 y 2."), ("x # y #.".into(), vec![1.5e-3, 2.0]));
}
