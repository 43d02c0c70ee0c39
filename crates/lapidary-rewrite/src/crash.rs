//! Dumps of graphs as text, for `--dump-each` and for reproducing a crash: one `.lap` file with the text, the pipeline in comments, and
//! a `.safetensors` file of the same name with the large constants.

use lapidary_ir::text::{PrintOptions, write_tensors};
use lapidary_ir::{Diagnostic, Graph, Result};
use std::path::{Path, PathBuf};

/// The version that the text means where it names none.
pub fn newest(domain: &str, name: &str) -> u32 {
    lapidary_ops::schema::newest(domain, name).map_or(0, |s| s.since)
}

/// Writes `stem.lap` and, where there are large constants, `stem.safetensors` into `dir`. Gives the path of the text.
pub fn dump(graph: &Graph, dir: &Path, stem: &str, header: &str) -> Result<PathBuf> {
    let options = PrintOptions { newest: &newest, comments: true, ..PrintOptions::default() };
    let fail = |path: &Path, e: std::io::Error| {
        Diagnostic::error("dump", format!("the graph's text cannot be written: {e}")).file(path.display().to_string())
    };
    std::fs::create_dir_all(dir).map_err(|e| fail(dir, e))?;
    let text = dir.join(format!("{stem}.lap"));
    std::fs::write(&text, format!("{header}{}", graph.to_text(&options))).map_err(|e| fail(&text, e))?;
    let tensors = write_tensors(graph, &options)?;
    let side = dir.join(format!("{stem}.safetensors"));
    std::fs::write(&side, tensors).map_err(|e| fail(&side, e))?;
    Ok(text)
}

/// Keeps what a pass was given when it failed, with what was still to run. The message names the file.
pub fn reproducer(graph: &Graph, dir: &Path, pass: &str, remaining: &str, opset: u32, what: &str) -> Diagnostic {
    let header = format!(
        "// lapidary {} failed in '{pass}': {}\n// passes: {remaining}\n// target-opset: {opset}\n",
        env!("CARGO_PKG_VERSION"),
        what.replace('\n', " ")
    );
    let d = Diagnostic::error("pass-crashed", format!("a bug of Lapidary: pass '{pass}' failed: {what}"));
    match dump(graph, dir, &format!("lapidary-crash-{pass}"), &header) {
        Ok(path) => d
            .file(path.display().to_string())
            .note(format!("the graph before the pass and the remaining pipeline are in '{}'", path.display()))
            .help("please report it with that file and the .safetensors file beside it"),
        Err(e) => d.note(format!("the graph before the pass could not be kept: {e}")),
    }
}
