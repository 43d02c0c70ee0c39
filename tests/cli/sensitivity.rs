//! `lapidary sensitivity`: which layer suffers from which format.

use crate::flags::{CNN, Work, ends, json};
use serde_json::Value;
use std::fs;

const DATA: &str = "examples/models/digits_cnn/calibration.npz";

fn effect<'a>(found: &'a Value, node: &str, format: &str) -> &'a Value {
    let layers = found["sensitivities"]["layers"].as_array().unwrap();
    let layer = layers.iter().find(|l| l["node"] == node).unwrap_or_else(|| panic!("no {node} in {layers:?}"));
    layer["effects"].as_array().unwrap().iter().find(|e| e["format"] == format).unwrap()
}

#[test]
fn figures_equal_those_of_quantizing_the_layer() {
    let w = Work::new();
    let found = json(&["sensitivity", CNN, "--data", DATA, "--formats", "int3,int8", "--block", "16", "--samples", "256", "--batch", "64"]);
    assert_eq!(found["sensitivities"]["samples"], 256);
    for (node, format, passes) in [
        ("node_Conv_118", "int3", "on(name=node_Conv_118)(quantize-weights{bits=3, block=16, format=qdq})".to_string()),
        ("node_linear", "int8", format!("calibrate{{data=\"{DATA}\", method=minmax}}, on(name=node_linear)(fake-quant)")),
    ] {
        let out = w.text("q.onnx");
        ends(0, &["opt", CNN, "-o", &out, "--passes", &passes]);
        let (text, _) = ends(1, &["compare", CNN, &out, "--inputs", DATA, "--max-rel", "0", "--format", "json"]);
        let both: Value = serde_json::from_str(&text).unwrap();
        let value = both["values"].as_array().unwrap().iter().find(|v| v["is_output"] == true).unwrap();
        let (want, got) = (value["sqnr_db"].as_f64().unwrap(), effect(&found, node, format)["output_db"].as_f64().unwrap());
        assert!((want - got).abs() < 0.02, "{node} in {format}: {got} dB, quantized by passes {want}");
    }
}

/// Three products. The first never gives anything but 0 for its first output, and the second has a weight of 90 there: it does nothing in
/// floats, and takes the whole range of its block.
const PLANTED: &str = "graph @g(%x: f32[N, 4]) {
  const %w0 : f32[4, 4] = [[0, 0.5, -0.25, 0.3], [0, 0.1, 0.7, -0.3], [0, -0.4, 0.2, 0.6], [0, 0.3, 0.3, 0.1]]
  const %w1 : f32[4, 4] = [[90, 90, 90, 90], [0.5, -0.25, 0.3, 0.2], [0.1, 0.7, -0.3, 0.4], [-0.4, 0.2, 0.6, -0.1]]
  const %w2 : f32[4, 4] = [[0.2, 0.5, -0.25, 0.3], [0.6, 0.1, 0.7, -0.3], [0.5, -0.4, 0.2, 0.6], [-0.3, 0.3, 0.3, 0.1]]
  %a = MatMul(%x, %w0)
  %b = MatMul(%a, %w1)
  %c = MatMul(%b, %w2)
  return %c
}
";

#[test]
fn a_planted_layer_is_named_first() {
    let w = Work::new();
    fs::write(w.path("m.lap"), PLANTED).unwrap();
    let values: Vec<f32> = (0..24).map(|i| (i as f32 * 0.7).sin()).collect();
    fs::write(w.path("x.npy"), npy("<f4", "(6, 4)", values.iter().flat_map(|v| v.to_le_bytes()))).unwrap();
    let (text, _) = ends(0, &["sensitivity", &w.text("m.lap"), "--data", &w.text("x.npy"), "--formats", "int4", "--backend", "eval"]);
    let first = text.lines().skip(3).map(|l| l.split_whitespace().next().unwrap()).take(3).collect::<Vec<_>>();
    assert_eq!(first[0], "b", "{text}");
}

#[test]
fn tables_say_what_was_asked_for() {
    let arguments = ["sensitivity", CNN, "--data", DATA, "--formats", "int8,int2", "--backend", "eval", "--samples", "8"];
    let (text, _) = ends(0, &[&arguments[..], &["--top", "1", "--metric", "kl"]].concat());
    assert!(text.contains("int8: one layer at a time, the most harmful first (the first 1 of 5)") && text.contains("kl"), "{text}");
    assert!(text.contains("5 layers on 8 samples, run by evaluator"), "{text}");
    let (all, _) = ends(0, &[&arguments[..], &["--top", "0"]].concat());
    assert_eq!(all.matches("node_linear").count(), 2, "{all}");
    // The same bytes again, and from native code the same ranking.
    assert_eq!(all, ends(0, &[&arguments[..], &["--top", "0"]].concat()).0);
}

#[test]
fn labels_make_the_metric() {
    let w = Work::new();
    let text = "graph @g(%i: i64[N]) {\n  const %t : f32[3, 4] = [[1, 0, 0, 0.2], [0, 1, 0, 0.2], [0, 0, 1, 0.2]]\n  \
                const %h : f32[4, 3] = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.1, 0.2, 0.3]]\n  %e = Gather(%t, %i) : f32[N, 4]\n  \
                %y = MatMul(%e, %h) : f32[N, 3]\n  return %y\n}\n";
    fs::write(w.path("m.lap"), text).unwrap();
    let folder = w.path("d");
    fs::create_dir(&folder).unwrap();
    for name in ["i", "labels"] {
        fs::write(folder.join(format!("{name}.npy")), npy("<i8", "(4,)", [0i64, 1, 2, 1].iter().flat_map(|v| v.to_le_bytes()))).unwrap();
    }
    let d = folder.display().to_string();
    let found = json(&["sensitivity", &w.text("m.lap"), "--data", &d, "--formats", "int4", "--embeddings", "--backend", "eval"]);
    let s = &found["sensitivities"];
    assert_eq!((&s["metric"], &s["start"], s["layers"].as_array().unwrap().len()), (&"accuracy".into(), &1.0.into(), 2), "{s}");
    let found = json(&["sensitivity", &w.text("m.lap"), "--data", &d, "--formats", "int4", "--backend", "eval", "--metric", "max-rel"]);
    assert_eq!(found["sensitivities"]["layers"].as_array().unwrap().len(), 1);
}

pub fn npy(kind: &str, sizes: &str, bytes: impl Iterator<Item = u8>) -> Vec<u8> {
    let head = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {sizes}, }}");
    let head = format!("{head:<117}\n");
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((head.len() as u16).to_le_bytes());
    out.extend(head.as_bytes());
    out.extend(bytes);
    out
}

#[test]
fn mistakes_are_named() {
    for (arguments, word) in [
        (&["--formats", "int9"][..], "there is no format 'int9'"),
        (&["--metric", "perplexty"], "did you mean 'perplexity'"),
        (&["--metric", "accuracy"], "labels"),
        (&["--data", "none.npz"], "none.npz"),
        (&["--batch", "0"], "--batch"),
    ] {
        let base: &[&str] = if arguments[0] == "--data" { &["sensitivity", CNN] } else { &["sensitivity", CNN, "--data", DATA] };
        let (_, message) = ends(2, &[base, arguments, &["--backend", "eval"]].concat());
        assert!(message.contains(word), "{arguments:?}: {message}");
    }
    let w = Work::new();
    fs::write(w.path("m.lap"), "graph @g(%x: f32[2]) {\n  %y = Neg(%x) : f32[2]\n  return %y\n}\n").unwrap();
    let (_, message) = ends(2, &["sensitivity", &w.text("m.lap"), "--data", DATA, "--backend", "eval"]);
    assert!(message.contains("no constant weights"), "{message}");
}

#[test]
fn a_quantized_model_is_explained() {
    let w = Work::new();
    fs::write(w.path("m.lap"), PLANTED).unwrap();
    let values: Vec<f32> = (0..24).map(|i| (i as f32 * 0.7).sin()).collect();
    fs::write(w.path("x.npy"), npy("<f4", "(6, 4)", values.iter().flat_map(|v| v.to_le_bytes()))).unwrap();
    let (m, q, x) = (w.text("m.lap"), w.text("q.onnx"), w.text("x.npy"));
    ends(0, &["opt", &m, "-o", &q, "--passes", "quantize-weights{bits=4, block=4, head=true, format=qdq}"]);
    let tried = json(&["sensitivity", &m, "--data", &x, "--formats", "int4", "--block", "4", "--backend", "eval"]);
    let found = json(&["sensitivity", &m, "--data", &x, "--quantized", &q, "--backend", "eval"]);
    assert_eq!(found["ranking"][0], "b", "{found}");
    // What a layer loses by itself is what it loses when it alone is quantized.
    for pair in found["explained"]["pairs"].as_array().unwrap() {
        let e = effect(&tried, pair["node"].as_str().unwrap(), "int4");
        let close = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-3;
        assert!(close(&pair["own"]["sqnr_db"], &e["layer_db"]) && close(&pair["effect"]["output_db"], &e["output_db"]), "{pair} {e}");
    }
    let (text, _) = ends(0, &["sensitivity", &m, "--data", &x, "--quantized", &q, "--backend", "eval", "--metric", "kl", "--top", "1"]);
    assert!(text.contains("the first 1 of 3") && text.contains("the whole model: output dB"), "{text}");
}

/// The second product rounds its result to 4 steps of 0.5, and hands on codes.
#[test]
fn codes_are_compared_as_what_they_stand_for() {
    let w = Work::new();
    let float = "graph @g(%x: f32[2, 2]) {\n  const %w : f32[2, 2] = [[1, 0], [0, 1]]\n  %a = MatMul(%x, %w) : f32[2, 2]\n  \
                 %y = Neg(%a) : f32[2, 2]\n  return %y\n}\n";
    let codes = "graph @g(%x: f32[2, 2]) {\n  const %q : i8[2, 2] = [[1, 0], [0, 1]]\n  const %s : f32[] = 0.5\n  const %t : f32[] = 1\n  \
                 const %z : u8[] = 128\n  const %i : i8[] = 0\n  %c = QuantizeLinear(%x, %s, %z) : u8[2, 2]\n  \
                 %a_quantized = QLinearMatMul(%c, %s, %z, %q, %t, %i, %s, %z) : u8[2, 2]\n  \
                 %d = DequantizeLinear(%a_quantized, %s, %z) : f32[2, 2]\n  %y = Neg(%d) : f32[2, 2]\n  return %y\n}\n";
    fs::write(w.path("a.lap"), float).unwrap();
    fs::write(w.path("b.lap"), codes).unwrap();
    fs::write(w.path("x.npy"), npy("<f4", "(2, 2)", [0.3f32, 1.0, -0.5, 0.2].iter().flat_map(|v| v.to_le_bytes()))).unwrap();
    let (text, _) = ends(1, &["compare", &w.text("a.lap"), &w.text("b.lap"), "--inputs", &w.text("x.npy"), "--backend", "eval", "--effects", "3"]);
    assert!(text.contains("the first value that differs is 'a_quantized', made by QLinearMatMul (node 'a')"), "{text}");
    let (text, _) = ends(1, &["compare", &w.text("a.lap"), &w.text("b.lap"), "--inputs", &w.text("x.npy"), "--format", "json"]);
    let found: Value = serde_json::from_str(&text).unwrap();
    let values = found["values"].as_array().unwrap();
    // 0.3 and 0.2 become 0.5 and 0: an error of 0.08 in a signal of 1.38.
    assert!((values[0]["own"]["sqnr_db"].as_f64().unwrap() - 10.0 * (1.38f64 / 0.08).log10()).abs() < 1e-3, "{found}");
    // What follows reads codes: 0.3 and 0.2 are rounded again.
    assert_eq!((values.len(), &values[1]["reads"]["name"]), (2, &"a".into()), "{found}");
    assert!((values[1]["reads"]["sqnr_db"].as_f64().unwrap() - 10.0 * (1.38f64 / 0.08).log10()).abs() < 1e-3, "{found}");
}
