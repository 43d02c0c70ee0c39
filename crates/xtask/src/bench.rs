//! `cargo xtask bench`: repeats the measurements of docs/performance.md.
//!
//! The example models always; the larger set when `LAPIDARY_MODELS` names it. With a Python that has onnxruntime (`LAPIDARY_PYTHON`,
//! else `python3`) the peer is measured too, interleaved in one process.

use crate::setup;
use crate::shell::{self, Outcome, cargo, command, heading, impossible, known_arguments, list_option, root, scratch, succeeds, target_dir};
use std::path::{Path, PathBuf};

pub fn run(arguments: &[String]) -> Outcome {
    known_arguments(arguments, &[], &["--only", "--threads"])?;
    let only = list_option(arguments, "--only")?;
    let threads = list_option(arguments, "--threads")?.unwrap_or_else(|| vec!["1".into(), "2".into()]);
    setup::ensure(false)?;
    shell::run(cargo().args(["build", "--release", "--bin", "lapidary"]))?;
    let lapidary = target_dir()?.join("release").join("lapidary");
    let work = scratch("bench")?;

    heading("example models");
    println!("| model | threads | median ms | min ms | memory bytes |\n|---|---|---|---|---|");
    for name in ["digits_cnn", "char_gpt"] {
        if only.as_ref().is_some_and(|only| !only.iter().any(|n| n == name)) {
            continue;
        }
        let folder = root().join("examples/models").join(name);
        let library = work.join(format!("lib{name}.so"));
        shell::capture(command(&lapidary).args(["compile", "-q"]).arg(folder.join("model.onnx")).arg("-o").arg(&library))?;
        for threads in &threads {
            let json = measure(&lapidary, &library, &folder.join("reference_a.npz"), threads)?;
            let field = |key: &str| number(&json, key).unwrap_or("?");
            println!("| {name} | {threads} | {} | {} | {} |", field("median"), field("min"), field("memory_bytes"));
        }
    }

    heading("the larger set");
    let Some(set) = std::env::var_os("LAPIDARY_MODELS").map(PathBuf::from) else {
        println!("skipped: LAPIDARY_MODELS is not set; build the set with `python3 tests/scripts/fetch_models.py DIR` and set it to DIR");
        return Ok(());
    };
    if !set.is_dir() {
        return Err(impossible(format!("LAPIDARY_MODELS: no folder '{}'; tests/scripts/fetch_models.py builds the set", set.display())));
    }
    let python = std::env::var_os("LAPIDARY_PYTHON").unwrap_or_else(|| "python3".into());
    if !succeeds(command(&python).args(["-c", "import onnxruntime, numpy"])) {
        return Err(impossible(format!(
            "'{}' has no onnxruntime, which is the peer that the figures compare with: pip install onnxruntime numpy, or set LAPIDARY_PYTHON",
            python.to_string_lossy()
        )));
    }
    let mut driver = command(&python);
    driver.arg("tests/scripts/check_models.py").args(["--lines", "5", "--lapidary"]).arg(&lapidary);
    driver.args(["--threads", &threads.join(",")]);
    if let Some(only) = only {
        driver.args(["--only", &only.join(",")]);
    }
    shell::run(&mut driver)
}

fn measure(lapidary: &Path, library: &Path, inputs: &Path, threads: &str) -> Outcome<String> {
    shell::capture(command(lapidary).arg("bench").arg(library).arg("--inputs").arg(inputs).args(["--threads", threads, "--format", "json"]))
}

/// The text of the number after the first `"key":`. The JSON is our own and flat enough for that.
fn number<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!("\"{key}\":"))?;
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c))).unwrap_or(rest.len());
    rest.get(..end).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_key() {
        let json = r#"{"latency_ms":{"min":0.25,"median": 3e-1,"n":9},"memory_bytes":4096}"#;
        assert_eq!(number(json, "median"), Some("3e-1"));
        assert_eq!(number(json, "memory_bytes"), Some("4096"));
        assert_eq!(number(json, "p90"), None);
    }
}
