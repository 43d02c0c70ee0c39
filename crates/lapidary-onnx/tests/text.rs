//! The text form carries whole models: what was read, printed and parsed is the same graph.

mod support;

use lapidary_ir::Graph;
use lapidary_ir::text::{self, ParseOptions, PrintOptions, read_tensors, write_tensors};
use lapidary_onnx::*;
use std::path::{Path, PathBuf};
use support::kitchen_sink;

fn assert_survives(g: &Graph, what: &str) {
    let print = PrintOptions::default();
    let side = read_tensors(&write_tensors(g, &print).unwrap().into()).unwrap();
    let source = g.to_text(&print);
    let options = ParseOptions { tensors: &|h| side.get(&h).cloned(), ..ParseOptions::default() };
    let parsed = text::parse(&source, &options).unwrap_or_else(|e| panic!("{what}: {e}"));
    if let Some(difference) = lapidary_testkit::graph_difference(g, &parsed) {
        panic!("{what}: {difference}");
    }
    assert!(parsed.to_text(&print) == source, "{what}: the text of the parsed graph is another");
}

fn models(dir: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            models(&path, out);
        } else if path.extension().is_some_and(|e| e == "onnx") {
            out.push(path);
        }
    }
}

#[test]
fn one_of_everything_is_text() {
    let model = model_from_proto(kitchen_sink(), &ReadOptions::default()).unwrap();
    assert_survives(&model.graph, "the model with everything");
}

/// The models that lie in the repository, and those of the larger set where `LAPIDARY_MODELS` says where it is.
#[test]
fn real_models_are_text() {
    let mut paths = Vec::new();
    models(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/models")), &mut paths);
    assert!(!paths.is_empty());
    if let Some(dir) = std::env::var_os("LAPIDARY_MODELS") {
        models(Path::new(&dir), &mut paths);
    }
    for path in paths {
        let what = path.display().to_string();
        let model = read_model(&path, &ReadOptions::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_survives(&model.graph, &what);
    }
}
