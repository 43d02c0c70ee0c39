//! What helps with passes, each shown on a real model: recipes, `on(…)`, `--why`, `--stop-after`, `--dump-each`, crash reproducers.

use crate::flags::*;
use std::fs;

const CALIBRATION: &str = "examples/models/digits_cnn/calibration.npz";
const GPT: &str = "examples/models/char_gpt/model.onnx";
const GPT_ARRAYS: &str = "examples/models/char_gpt/reference_a.npz";

/// How many nodes of an operator a model has.
fn count(model: &str, op: &str) -> u64 {
    let report = json(&["inspect", model]);
    report["operators"].as_array().unwrap().iter().find(|o| o["op"] == op).map_or(0, |o| o["count"].as_u64().unwrap())
}

#[test]
fn a_recipe_quantizes_a_model() {
    let w = Work::new();
    let small = w.text("small.onnx");
    let report = json(&["opt", CNN, "--recipe", "examples/recipes/int8.toml", "-o", &small]);
    assert_eq!(entries(&report).len(), 3);
    assert!(fs::metadata(&small).unwrap().len() * 2 < fs::metadata(CNN).unwrap().len());
    assert!(count(&small, "QuantizeLinear") > 0);
    ends(0, &["run", &small, "--backend", "eval", "--inputs", ARRAYS, "--expect", ARRAYS, "--max-rel", "0.1"]);
}

#[test]
fn on_narrows_a_pass_to_what_it_selects() {
    let w = Work::new();
    let quantized = |name: &str, fake: &str| {
        let passes = format!("calibrate{{data=\"{CALIBRATION}\"}}, {fake}, fold-quant");
        json(&["opt", CNN, "-o", &w.text(name), "--passes", &passes]);
        count(&w.text(name), "DequantizeLinear")
    };
    let (one, all) = (quantized("one.onnx", "on(op=Gemm)(fake-quant)"), quantized("all.onnx", "fake-quant"));
    assert!(0 < one && one < all, "{one} of {all}");
    let (_, message) = ends(2, &["opt", CNN, "-o", &w.text("none.onnx"), "--passes", "on(op=LSTM)(dce)"]);
    assert!(message.contains("on(op=LSTM) selects no node"), "{message}");
}

#[test]
fn why_names_the_node_and_the_reason() {
    let w = Work::new();
    let (_, table) = ends(0, &["opt", GPT, "-o", &w.text("a.onnx"), "--why", "fuse-gelu"]);
    assert!(table.contains("node_gelu") && table.contains("Gelu needs opset 20, the result is written in 18"), "{table}");
    // Where the reason is gone, so is the miss.
    ends(0, &["opt", GPT, "-o", &w.text("b.onnx"), "--target-opset", "20"]);
    assert!(count(&w.text("b.onnx"), "Gelu") > 0);
}

#[test]
fn stopping_early_and_dumping_show_the_same_graph() {
    let w = Work::new();
    let passes = ["--passes", "lift-constants, fold-constants, canonicalize, cse, dce"];
    json(&[&["opt", GPT, "-o", &w.text("all.onnx"), "--dump-each", &w.text("dumps")], &passes[..]].concat());
    assert_eq!(fs::read_dir(w.path("dumps")).unwrap().flatten().filter(|e| e.path().extension().is_some_and(|e| e == "lap")).count(), 5);
    let report = json(&[&["opt", GPT, "-o", &w.text("three.lap"), "--stop-after", "3"], &passes[..]].concat());
    assert_eq!(report["report"]["stopped"], true);
    let graph = |path: &str| json(&["inspect", path])["nodes"].as_u64().unwrap();
    assert_eq!(graph(&w.text("three.lap")), graph(&w.text("dumps/003-canonicalize.lap")));
    ends(
        0,
        &["run", &w.text("dumps/003-canonicalize.lap"), "--backend", "eval", "--inputs", GPT_ARRAYS, "--expect", GPT_ARRAYS, "--max-rel", "1e-4"],
    );
}

#[test]
fn a_crash_leaves_a_reproducer_that_reproduces() {
    let w = Work::new();
    let out = w.text("a.onnx");
    let (_, message) = ends(2, &["opt", CNN, "-o", &out, "--passes", "lift-constants, trigger-crash, dce"]);
    let kept = w.text("lapidary-crash-trigger-crash.lap");
    assert!(message.contains("a bug of Lapidary: pass 'trigger-crash' failed") && message.contains(&kept), "{message}");
    assert!(!w.path("a.onnx").exists());
    let text = fs::read_to_string(&kept).unwrap();
    let left = text.lines().find_map(|l| l.strip_prefix("// passes: ")).unwrap();
    assert_eq!(left, "trigger-crash, dce");
    // The file is a model: the rest of the pipeline fails on it again, and without the culprit it goes through.
    ends(2, &["opt", &kept, "-o", &out, "--passes", left]);
    ends(0, &["opt", &kept, "-o", &out, "--passes", "dce"]);
    same_results(&out);
}
