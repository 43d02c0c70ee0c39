//! What must stay true of the sources, whatever else changes: templates know no operators, operators know no machines.

use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut out = vec![];
    let mut work = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder)];
    while let Some(path) = work.pop() {
        if path.is_dir() {
            work.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            out.push((path, text));
        }
    }
    assert!(!out.is_empty(), "no sources in {folder}");
    out.sort();
    out
}

/// The code of a line: what stands before a comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// The string literals of a line. Lines that hold quotes as characters are rare enough not to matter.
fn literals(line: &str) -> Vec<&str> {
    code(line).split('"').skip(1).step_by(2).collect()
}

fn offenders(folders: &[&str], wrong: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut out = vec![];
    for (path, text) in folders.iter().flat_map(|f| sources(f)) {
        for (number, line) in text.lines().enumerate() {
            if let Some(what) = wrong(line) {
                out.push(format!("{}:{}: {what}", path.display(), number + 1));
            }
        }
    }
    out
}

#[test]
fn no_template_mentions_an_operator() {
    let is_operator = |word: &str| lapidary_ops::OPS.iter().any(|o| o.name == word);
    let templates = [
        "lapidary-llvm/src",
        "lapidary-kernel/src",
        "lapidary-lower/src/schedule.rs",
        "lapidary-lower/src/contract.rs",
        "lapidary-lower/src/layout.rs",
        "lapidary-lower/src/fuse.rs",
    ];
    let found = offenders(&templates, |line| literals(line).into_iter().find(|l| is_operator(l)).map(|l| format!("operator \"{l}\"")));
    assert_eq!(found, Vec::<String>::new(), "templates go by the structure of kernels, not by names");
}

#[test]
fn no_operator_mentions_a_machine() {
    let words = ["Schedule", "Cpu", "vector_bytes", "vector_registers", "vector_width", "avx", "simd", "llvm"];
    let whole = |line: &str, word: &str| code(line).split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w.eq_ignore_ascii_case(word));
    let found = offenders(&["lapidary-ops/src"], |line| words.iter().find(|w| whole(line, w)).map(|w| format!("'{w}'")));
    assert_eq!(found, Vec::<String>::new(), "operators say what is computed, not how or on what");
}
