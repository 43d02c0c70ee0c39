//! `lapidary compress`: stages, gates, and lock files.

use crate::flags::{CNN, Work, ends, json};
use crate::sensitivity::npy;
use std::fs;

const DATA: &str = "examples/models/digits_cnn/calibration.npz";
const INT8: &str = "calibrate, fake-quant, fold-quant";

fn recipe(w: &Work, text: &str) -> String {
    fs::write(w.path("r.toml"), text).unwrap();
    w.text("r.toml")
}

#[test]
fn stages_that_pay_are_kept_and_the_lock_makes_the_same_bytes() {
    let w = Work::new();
    let out = w.text("small.onnx");
    let made = json(&["compress", CNN, "--output", &out, "--recipe", "examples/recipes/staged.toml", "--data", DATA, "--backend", "eval"]);
    let stages = made["result"]["stages"].as_array().unwrap();
    assert!(stages.iter().all(|s| s["accepted"] == true), "{stages:?}");
    assert_eq!(made["result"]["metric"], "agreement");
    let (start, end) = (&made["result"]["start"], &made["result"]["end"]);
    assert!(end["bytes"].as_u64().unwrap() * 2 < start["bytes"].as_u64().unwrap(), "{end}");
    assert!(end["agreement"].as_f64().unwrap() >= 0.995 && end["sqnr_db"].as_f64().unwrap() > 20.0, "{end}");
    assert!(start["sqnr_db"].is_null());
    assert!(!made["result"]["layers"].as_array().unwrap().is_empty());
    ends(0, &["inspect", &out]);

    let lock = fs::read_to_string(w.path("small.onnx.lock")).unwrap();
    for part in ["lapidary = ", "sha256 = ", "seed = 0", "accept-if{metric-drop<=0.5%, smaller=true, sqnr>=20}", "$DATA", "percentile="] {
        assert!(lock.contains(part), "no {part} in\n{lock}");
    }
    let page = fs::read_to_string(w.path("small.onnx.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("size of constants") && page.contains("head.weight") | page.contains("logits"), "{page}");
    assert!(!page.contains("http") && !page.contains("src=") && !page.contains("{{"), "the page needs a network, or is half rendered");
    let again = json(&["compress", "--lock", &w.text("small.onnx.lock"), "-o", &w.text("again.onnx")]);
    assert_eq!(again["sha256"], made["sha256"]);
    assert!(fs::read(w.path("again.onnx")).unwrap() == fs::read(w.path("small.onnx")).unwrap());
}

#[test]
fn a_stage_that_does_not_pay_is_undone_and_reported() {
    let w = Work::new();
    let text = format!(
        "[[stage]]\nname = \"no gain\"\npipeline = \"dce\"\naccept-if = \"smaller=true\"\n\n\
         [[stage]]\nname = \"too rough\"\npipeline = \"quantize-weights{{bits=2, method=rtn, head=true}}\"\naccept-if = \"sqnr>=60\"\n\n\
         [[stage]]\nname = \"int8\"\npipeline = \"{INT8}\"\naccept-if = {{ metric-drop = \"1%\", smaller = true }}\n"
    );
    let out = w.text("a.onnx");
    let (table, messages) = ends(1, &["compress", CNN, "-o", &out, "--recipe", &recipe(&w, &text), "--data", DATA]);
    assert!(table.contains("undone") && table.contains("yes"), "{table}");
    assert!(messages.contains("stage 'no gain' was undone") && messages.contains("not smaller"), "{messages}");
    assert!(messages.contains("stage 'too rough' was undone") && messages.contains("60 dB are asked for"), "{messages}");
    // What is undone leaves nothing: the result is that of the third stage alone.
    ends(0, &["opt", CNN, "-o", &w.text("b.onnx"), "--passes", &INT8.replace("calibrate", &format!("calibrate{{data=\"{DATA}\"}}"))]);
    let same = json(&["diff", &out, &w.text("b.onnx")]);
    assert!(same["removed"].as_array().unwrap().is_empty() && same["added"].as_array().unwrap().is_empty(), "{same}");
    // The lock holds the refusal, and repeats it without judging again.
    ends(0, &["compress", "--lock", &w.text("a.onnx.lock"), "--output", &w.text("c.onnx")]);
    assert!(fs::read(w.path("a.onnx")).unwrap() == fs::read(w.path("c.onnx")).unwrap());
}

#[test]
fn gates_may_stand_in_the_text_of_a_pipeline() {
    let w = Work::new();
    let text = format!("pipeline = \"fold-constants, accept-if{{metric-drop<=0%}}, {INT8}, accept-if{{sqnr>=20}}\"\n");
    let made = json(&["compress", CNN, "-o", &w.text("a.onnx"), "--recipe", &recipe(&w, &text), "--data", DATA, "--backend", "eval"]);
    let names: Vec<&str> = made["result"]["stages"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["stage 1", "stage 2"]);
}

#[test]
fn the_runtime_decides_where_values_are_rounded() {
    let w = Work::new();
    let out = w.text("a.onnx");
    let lock = |more: &[&str]| {
        ends(0, &[&["compress", CNN, "-o", &out, "--data", DATA, "--backend", "eval"], more].concat());
        fs::read_to_string(w.path("a.onnx.lock")).unwrap()
    };
    assert!(lock(&[]).contains("profile=ort"));
    assert!(lock(&["--runtime", "native"]).contains("profile=native"));
    let (_, message) = ends(2, &["compress", CNN, "-o", &out, "--data", DATA, "--runtime", "coreml"]);
    assert!(message.contains("openvino"), "{message}");
}

#[test]
fn what_cannot_be_done_writes_nothing() {
    let w = Work::new();
    let out = w.text("a.onnx");
    let refused = |recipe_text: &str, data: &str, word: &str| {
        let r = recipe(&w, recipe_text);
        let (_, message) = ends(2, &["compress", CNN, "-o", &out, "--recipe", &r, "--data", data, "--backend", "eval"]);
        assert!(message.contains(word), "{word}: {message}");
        assert!(!w.path("a.onnx").exists() && !w.path("a.onnx.lock").exists());
        assert_eq!(fs::read_dir(w.path("r.toml").parent().unwrap()).unwrap().count(), 1);
    };
    refused("pipeline = \"dcee\"", DATA, "did you mean 'dce'");
    refused("[[stage]]\npipeline = \"dce\"\naccept-if = \"metric-dorp<=1%\"", DATA, "did you mean 'metric-drop'");
    refused("pipeline = \"dce\"", "nowhere.npz", "nowhere.npz");
    refused("pipeline = \"quantize-weights{bits=99}\"", DATA, "bits");
    ends(2, &["compress", CNN, "-o", &out]);
    ends(2, &["compress", "--lock", &w.text("nowhere.lock")]);
}

#[test]
fn a_lock_refuses_other_inputs() {
    let w = Work::new();
    fs::copy(CNN, w.path("m.onnx")).unwrap();
    let (model, out) = (w.text("m.onnx"), w.text("a.onnx"));
    let r = recipe(&w, "pipeline = \"fuse-conv-bn, dce\"");
    ends(0, &["compress", &model, "-o", &out, "--recipe", &r, "--data", DATA, "--backend", "eval", "--report", &w.text("page.html")]);
    assert!(w.path("page.html").exists() && !w.path("a.onnx.html").exists());
    let lock = w.text("a.onnx.lock");
    ends(0, &["compress", "--lock", &lock]);
    // Data are those that were locked, wherever they stand now.
    fs::copy(DATA, w.path("moved.npz")).unwrap();
    ends(0, &["compress", "--lock", &lock, "--data", &w.text("moved.npz"), "-o", &w.text("b.onnx")]);
    let (_, message) = ends(2, &["compress", "--lock", &lock, "--data", "examples/models/digits_cnn/reference_a.npz", "-o", &w.text("c.onnx")]);
    assert!(message.contains("the data is not the one"), "{message}");
    fs::copy("examples/models/char_gpt/model.onnx", w.path("m.onnx")).unwrap();
    let (_, message) = ends(2, &["compress", "--lock", &lock, "-o", &w.text("c.onnx")]);
    assert!(message.contains("the model is not the one"), "{message}");
    assert!(!w.path("c.onnx").exists());
}

#[cfg(feature = "llvm")]
mod native {
    use super::*;

    #[test]
    fn libraries_come_out_of_stages_and_locks_too() {
        let w = Work::new();
        let text = format!("[[stage]]\nname = \"int8\"\npipeline = \"{INT8}\"\naccept-if = \"metric-drop<=1%, faster=true\"\n");
        let out = w.text("libsmall.so");
        let output = crate::flags::lapidary(&["compress", CNN, "-o", &out, "--recipe", &recipe(&w, &text), "--data", DATA, "--format", "json"]);
        // Whether it is faster is for the machine to say; that it was measured is for the report.
        assert!(matches!(output.status.code(), Some(0 | 1)), "{}", String::from_utf8_lossy(&output.stderr));
        let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let figures = &made["result"]["stages"][0]["figures"];
        assert!(figures["latency_ms"].as_f64().unwrap() > 0.0 && figures["latency_before_ms"].as_f64().unwrap() > 0.0, "{figures}");
        assert!(w.path("small.h").exists());
        let before = fs::read(w.path("libsmall.so")).unwrap();
        ends(0, &["run", &out, "--inputs", crate::flags::ARRAYS]);
        ends(0, &["compress", "--lock", &w.text("libsmall.so.lock")]);
        assert!(fs::read(w.path("libsmall.so")).unwrap() == before);
    }
}

#[test]
fn sizes_opset_weights_and_choices_stand_in_the_lock() {
    let w = Work::new();
    for name in ["external.onnx", "external.bin"] {
        fs::copy(format!("tests/fixtures/{name}"), w.path(name)).unwrap();
    }
    let values: Vec<f32> = (0..24).map(|i| (i as f32 * 0.7).sin()).collect();
    fs::write(w.path("x.npy"), npy("<f4", "(6, 4)", values.iter().flat_map(|v| v.to_le_bytes()))).unwrap();
    let r = recipe(&w, "pipeline = 'auto-precision{budget=\"6bits\", block=4, head=true}, quantize-weights{block=4, head=true}'\n");
    let (model, out, data) = (w.text("external.onnx"), w.text("a.onnx"), w.text("x.npy"));
    let base = ["compress", &model, "-o", &out, "--recipe", &r, "--data", &data, "--backend", "eval"];
    let made = json(&[&base[..], &["--dim", "batch=2", "--target-opset", "23"]].concat());
    let lock = fs::read_to_string(w.path("a.onnx.lock")).unwrap();
    for part in ["dim = [\"batch=2\"]", "target-opset = 23", "path = \"external.bin\"", "choices = [\"the_matmul: int4, loss "] {
        assert!(lock.contains(part), "no {part} in\n{lock}");
    }
    assert!(fs::read_to_string(w.path("a.onnx.html")).unwrap().contains("the_matmul: int4"));
    let (seen, _) = ends(0, &["inspect", &out]);
    assert!(seen.contains("ai.onnx 23") && seen.contains("f32[2, 4]"), "{seen}");
    let again = json(&["compress", "--lock", &w.text("a.onnx.lock"), "-o", &w.text("b.onnx")]);
    assert_eq!(again["sha256"], made["sha256"]);
    // The file of weights counts, wherever the model is.
    let mut bytes = fs::read(w.path("external.bin")).unwrap();
    bytes[3] ^= 1;
    fs::write(w.path("external.bin"), bytes).unwrap();
    let (_, message) = ends(2, &["compress", "--lock", &w.text("a.onnx.lock"), "-o", &w.text("c.onnx")]);
    assert!(message.contains("file of weights 'external.bin' is not the one"), "{message}");
    let (_, message) = ends(2, &[&base[..], &["--target-opset", "99"]].concat());
    assert!(message.contains("there is no opset 99"), "{message}");
    let (_, message) = ends(2, &[&base[..], &["--dim", "rows=2"]].concat());
    assert!(message.contains("no input has a symbolic dim 'rows'"), "{message}");
}
