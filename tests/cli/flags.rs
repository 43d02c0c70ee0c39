//! One test per flag that writes files, or whose effect does not show in what is printed.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub const CNN: &str = "examples/models/digits_cnn/model.onnx";
pub const ARRAYS: &str = "examples/models/digits_cnn/reference_a.npz";

pub struct Work(tempfile::TempDir);

impl Work {
    pub fn new() -> Work {
        Work(tempfile::tempdir().unwrap())
    }
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

pub fn start(arguments: &[&str]) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_lapidary"));
    c.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env("NO_COLOR", "1").stdin(std::process::Stdio::null());
    c
}

pub fn lapidary(arguments: &[&str]) -> Output {
    start(arguments).output().unwrap()
}

pub fn ends(code: i32, arguments: &[&str]) -> (String, String) {
    let out = lapidary(arguments);
    let (o, e) = (String::from_utf8_lossy(&out.stdout).into_owned(), String::from_utf8_lossy(&out.stderr).into_owned());
    assert_eq!(out.status.code(), Some(code), "{arguments:?}\n{o}{e}");
    (o, e)
}

pub fn json(arguments: &[&str]) -> Value {
    let (out, _) = ends(0, &[arguments, &["--format", "json"]].concat());
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments:?}: {e}\n{out}"))
}

pub fn entries(report: &Value) -> Vec<String> {
    report["report"]["ledger"]["entries"].as_array().unwrap().iter().map(|e| e["pass"].as_str().unwrap().to_string()).collect()
}

pub fn same_results(model: &str) {
    ends(0, &["run", model, "--backend", "eval", "--inputs", ARRAYS, "--expect", ARRAYS, "--max-rel", "1e-4"]);
}

#[test]
fn opt_runs_the_default_level_and_keeps_results_and_opset() {
    let w = Work::new();
    let out = w.text("a.onnx");
    let report = json(&["opt", CNN, "--output", &out]);
    assert_eq!(report["written"], true);
    assert_eq!(report["report"]["opset"], 18);
    let entry = &report["report"]["ledger"]["entries"][0];
    for field in ["nodes_before", "nodes_after", "bytes_before", "bytes_after", "multiply_adds_before", "time_ms"] {
        assert!(entry[field].is_number(), "{field}: {entry}");
    }
    assert_eq!(report["report"]["ledger"]["pipeline"], json(&["pipelines", "-O2"])["text"]);
    assert_eq!(json(&["inspect", &out])["opsets"]["ai.onnx"], 18);
    same_results(&out);
}

#[test]
fn levels_choose_pipelines() {
    let w = Work::new();
    assert!(entries(&json(&["opt", "-O0", CNN, "-o", &w.text("0.onnx")])).is_empty());
    let three = json(&["opt", "-O3", CNN, "-o", &w.text("3.onnx")]);
    assert_eq!(three["report"]["ledger"]["pipeline"], json(&["pipelines", "-O3"])["text"]);
    same_results(&w.text("3.onnx"));
    ends(2, &["opt", "-O4", CNN, "-o", &w.text("4.onnx")]);
}

#[test]
fn passes_replace_the_level() {
    let w = Work::new();
    let report = json(&["opt", CNN, "-o", &w.text("a.onnx"), "--passes", "lift-constants, on(op=Conv)(dce), repeat{limit=2}(cse)"]);
    assert_eq!(entries(&report), ["lift-constants", "on(op=Conv)(dce)", "cse"]);
    ends(2, &["opt", "-O1", CNN, "-o", &w.text("b.onnx"), "--passes", "dce"]);
    assert!(!w.path("b.onnx").exists());
}

#[test]
fn recipes_are_pipelines_as_toml() {
    let w = Work::new();
    fs::write(w.path("r.toml"), "[[step]]\npass = \"lift-constants\"\n\n[[step]]\nlimit = 2\nrepeat = [{ pass = \"dce\" }]\n").unwrap();
    let report = json(&["opt", CNN, "-o", &w.text("a.onnx"), "--recipe", &w.text("r.toml")]);
    assert_eq!(report["report"]["ledger"]["pipeline"], "lift-constants, repeat{limit=2}(dce)");
    fs::write(w.path("bad.toml"), "[[step]]\npass = \"lift-constant\"\n").unwrap();
    let (_, message) = ends(2, &["opt", CNN, "-o", &w.text("b.onnx"), "--recipe", &w.text("bad.toml")]);
    assert!(message.contains("did you mean 'lift-constants'"), "{message}");
}

#[test]
fn check_computes_results_around_each_pass() {
    let w = Work::new();
    let report = json(&["opt", "-O3", "--check", CNN, "-o", &w.text("a.onnx"), "--inputs", ARRAYS]);
    assert!(report["report"]["failures"].as_array().unwrap().is_empty());
    let last = report["report"]["ledger"]["entries"].as_array().unwrap().last().unwrap().clone();
    assert!(last["error"]["max_rel"].as_f64().unwrap() < 1e-5, "{last}");
}

#[test]
fn a_check_knows_a_models_own_noise() {
    let w = Work::new();
    // What is left of `x` after the subtraction is a thousandth of it, and so are its correct digits.
    let text = "graph @noisy(%x: f32[64]) {
  const %a : f32[] = 3.3
  const %b : f32[] = 0.3
  const %c : f32[] = 0.989
  %p = Mul(%x, %a) : f32[64]
  %q = Mul(%p, %b) : f32[64]
  %r = Mul(%x, %c) : f32[64]
  %y = Sub(%q, %r) : f32[64]
  return %y
}
";
    fs::write(w.path("noisy.lap"), text).unwrap();
    let report = json(&["opt", &w.text("noisy.lap"), "-o", &w.text("a.onnx"), "--passes", "simplify-arithmetic", "--check"]);
    assert!(report["report"]["failures"].as_array().unwrap().is_empty(), "{report}");
    let notes = report["report"]["ledger"]["notes"].as_array().unwrap();
    assert!(notes.iter().any(|n| n["code"] == "ill-conditioned"), "{report}");
}

#[test]
fn inputs_measure_errors_for_the_ledger() {
    let w = Work::new();
    let (_, table) = ends(0, &["opt", CNN, "-o", &w.text("a.onnx"), "--inputs", ARRAYS]);
    assert!(table.contains("SQNR dB") && table.contains("1 given batches"), "{table}");
}

#[test]
fn dump_each_writes_the_graph_after_each_pass() {
    let w = Work::new();
    let report = json(&["opt", CNN, "-o", &w.text("a.onnx"), "--passes", "lift-constants, dce", "--dump-each", &w.text("dumps")]);
    assert_eq!(entries(&report).len(), 2);
    assert!(w.path("dumps/001-lift-constants.lap").exists() && w.path("dumps/002-dce.lap").exists());
    // A dump is a model: it reads back, with the same results.
    same_results(&w.text("dumps/002-dce.lap"));
}

#[test]
fn stop_after_ends_the_pipeline_early() {
    let w = Work::new();
    let report = json(&["opt", CNN, "-o", &w.text("a.onnx"), "--stop-after", "2"]);
    assert_eq!(entries(&report).len(), 2);
    assert_eq!(report["report"]["stopped"], true);
    same_results(&w.text("a.onnx"));
}

#[test]
fn why_lists_reasons_for_misses() {
    let w = Work::new();
    let (_, message) = ends(2, &["opt", CNN, "-o", &w.text("a.onnx"), "--why", "fuse-conv-bm"]);
    assert!(message.contains("did you mean"), "{message}");
    ends(0, &["opt", CNN, "-o", &w.text("a.onnx"), "--why", "fuse-conv-bn"]);
}

#[test]
fn target_opset_is_written() {
    let w = Work::new();
    ends(0, &["opt", CNN, "-o", &w.text("a.onnx"), "--target-opset", "21"]);
    assert_eq!(json(&["inspect", &w.text("a.onnx")])["opsets"]["ai.onnx"], 21);
    same_results(&w.text("a.onnx"));
    ends(2, &["opt", CNN, "-o", &w.text("b.onnx"), "--target-opset", "999"]);
}

#[test]
fn jobs_and_maps_change_no_byte() {
    let w = Work::new();
    ends(0, &["opt", "-O3", CNN, "-o", &w.text("1.onnx"), "--jobs", "1"]);
    ends(0, &["opt", "-O3", CNN, "-o", &w.text("2.onnx"), "--jobs", "2", "--no-mmap"]);
    assert_eq!(fs::read(w.path("1.onnx")).unwrap(), fs::read(w.path("2.onnx")).unwrap());
}

#[test]
fn quiet_prints_nothing_and_verbose_more() {
    let w = Work::new();
    let (out, errors) = ends(0, &["opt", "-q", CNN, "-o", &w.text("a.onnx")]);
    assert_eq!((out.as_str(), errors.as_str()), ("", ""));
    let (_, some) = ends(0, &["opt", CNN, "-o", &w.text("a.onnx")]);
    assert_eq!(ends(0, &["opt", "--quiet", CNN, "-o", &w.text("a.onnx")]), (out, errors));
    let (_, long) = ends(0, &["opt", "--verbose", CNN, "-o", &w.text("a.onnx")]);
    assert!(long.lines().count() > some.lines().count(), "{long}");
    let (_, more) = ends(0, &["opt", "-v", CNN, "-o", &w.text("a.onnx")]);
    assert!(more.lines().count() > some.lines().count(), "{more}");
}

#[test]
fn errors_as_json_are_one_object_on_standard_error() {
    let (out, errors) = ends(2, &["inspect", "nowhere.onnx", "--format", "json"]);
    assert_eq!(out, "");
    let value: Value = serde_json::from_str(&errors).unwrap();
    assert_eq!(value["diagnostics"][0]["code"], "file-missing");
}

#[test]
fn the_text_form_is_a_model_too() {
    let w = Work::new();
    ends(0, &["opt", "-O0", CNN, "-o", &w.text("a.lap")]);
    assert!(w.path("a.safetensors").exists());
    same_results(&w.text("a.lap"));
    ends(0, &["opt", "-O0", &w.text("a.lap"), "-o", &w.text("b.onnx")]);
    same_results(&w.text("b.onnx"));
}

#[test]
fn run_saves_outputs_and_compares() {
    let w = Work::new();
    let base = ["run", CNN, "--backend", "eval", "--inputs", ARRAYS];
    let with = |extra: &[&str]| [&base[..], extra].concat().iter().map(|s| s.to_string()).collect::<Vec<_>>();
    let call = |code: i32, extra: &[&str]| ends(code, &with(extra).iter().map(String::as_str).collect::<Vec<_>>());
    let y = w.text("y.npz");
    call(0, &["--outputs", &y]);
    // Saved under the bare name, which is what --expect also takes.
    call(0, &["--expect", &y, "--rtol", "0", "--atol", "0"]);
    call(0, &["--expect", ARRAYS]);
    call(1, &["--expect", ARRAYS, "--max-rel", "1e-12"]);
    // Another batch size: the shapes differ.
    call(1, &["--expect", "examples/models/digits_cnn/reference_b.npz"]);
    call(2, &["--rtol", "1"]);
    call(2, &["--expect", ARRAYS, "--max-rel", "1", "--rtol", "1"]);
}

#[test]
fn run_takes_a_folder_of_arrays() {
    let w = Work::new();
    let model = w.path("m.lap");
    fs::write(&model, "graph @g(%x: f32[N]) {\n  %y = Neg(%x) : f32[N]\n  return %y\n}\n").unwrap();
    fs::create_dir(w.path("in")).unwrap();
    // dims: [2], data_type: FLOAT, raw_data: 1.0, 2.0
    let mut tensor = vec![0x08, 2, 0x10, 1, 0x4a, 8];
    tensor.extend([1f32, 2.0].iter().flat_map(|v| v.to_le_bytes()));
    fs::write(w.path("in/input_0.pb"), tensor).unwrap();
    let (out, _) = ends(0, &["run", &w.text("m.lap"), "--backend", "eval", "--inputs", &w.text("in")]);
    assert_eq!(out, "y: f32[2] [-1.000000, -2.000000]\n");
}

#[test]
fn compare_finds_the_first_value_that_differs() {
    let w = Work::new();
    let text = |c: &str| {
        format!("graph @g(%x: f32[2]) {{\n  %a = Neg(%x) : f32[2]\n  const %c : f32[2] = {c}\n  %b = Mul(%a, %c) : f32[2]\n  return %b\n}}\n")
    };
    fs::write(w.path("a.lap"), text("[1, 2]")).unwrap();
    fs::write(w.path("b.lap"), text("[1, 2.5]")).unwrap();
    ends(0, &["compare", &w.text("a.lap"), &w.text("a.lap")]);
    let (out, _) = ends(1, &["compare", &w.text("a.lap"), &w.text("b.lap")]);
    assert!(out.contains("the first value that differs is 'b', made by Mul"), "{out}");
    let (out, _) = ends(1, &["diff", &w.text("a.lap"), &w.text("b.lap")]);
    assert!(out.contains("- const %c : f32[2] = [1, 2]") && out.contains("+ const %c : f32[2] = [1, 2.5]"), "{out}");
    ends(0, &["diff", &w.text("a.lap"), &w.text("a.lap")]);
}

#[test]
fn compare_tells_causes_from_consequences() {
    let w = Work::new();
    let text = |c: &str| {
        format!(
            "graph @g(%x: f32[3]) {{\n  const %c : f32[3] = {c}\n  const %d : f32[3] = [1, 2, 3]\n  %a = Neg(%x) : f32[3]\n  \
             %b = Mul(%a, %c) : f32[3]\n  %e = Add(%b, %d) : f32[3]\n  %y = Neg(%e) : f32[3]\n  return %y\n}}\n"
        )
    };
    fs::write(w.path("a.lap"), text("[1, 2, 3]")).unwrap();
    fs::write(w.path("b.lap"), text("[1, 2.5, 3]")).unwrap();
    let (out, _) = ends(1, &["compare", &w.text("a.lap"), &w.text("b.lap")]);
    assert!(out.contains("the first value that differs is 'b', made by Mul\nmost is lost at 'b', made by Mul: "), "{out}");
    assert!(out.contains("dB if it alone is so") && out.contains("4 values compared, 3 differ, 2 of them only hand on"), "{out}");
    // Causes alone are listed, and the output; -v lists all.
    assert!(!out.contains(" Add ") && ends(1, &["compare", "-v", &w.text("a.lap"), &w.text("b.lap")]).0.contains(" Add "), "{out}");
}

#[test]
fn conformance_counts_every_case() {
    let w = Work::new();
    let case = w.path("suite/neg");
    fs::create_dir_all(case.join("test_data_set_0")).unwrap();
    fs::write(w.path("m.lap"), "graph @g(%x: f32[2]) {\n  %y = Neg(%x) : f32[2]\n  return %y\n}\n").unwrap();
    ends(0, &["opt", "-O0", &w.text("m.lap"), "-o", &case.join("model.onnx").display().to_string()]);
    let tensor = |v: [f32; 2]| [vec![0x08, 2, 0x10, 1, 0x4a, 8], v.iter().flat_map(|v| v.to_le_bytes()).collect()].concat();
    fs::write(case.join("test_data_set_0/input_0.pb"), tensor([1.0, 2.0])).unwrap();
    fs::write(case.join("test_data_set_0/output_0.pb"), tensor([-1.0, -2.0])).unwrap();
    let (out, _) = ends(0, &["conformance", &w.text("suite")]);
    assert_eq!(out.lines().last(), Some("1 passed, 0 failed"));
    fs::create_dir_all(w.path("suite/broken")).unwrap();
    fs::write(w.path("suite/broken/model.onnx"), "no model").unwrap();
    let (out, _) = ends(1, &["conformance", &w.text("suite"), "--failures", "--passes", "canonicalize, dce"]);
    assert_eq!(out.lines().last(), Some("1 passed, 1 failed"));
    assert!(out.contains("broken: "), "{out}");
    let (out, _) = ends(0, &["conformance", &w.text("suite"), "--filter", "neg", "--jobs", "2", "-q", "--timeout", "60"]);
    assert_eq!(out, "1 passed, 0 failed\n");
    ends(2, &["conformance", &w.text("suite"), "--passes", "nothing-such"]);
    ends(2, &["conformance", &w.text("nowhere")]);
}

#[cfg(feature = "llvm")]
mod native {
    use super::*;

    fn compile(w: &Work, out: &str, extra: &[&str]) -> Value {
        json(&[&["compile", CNN, "-o", &w.text(out)], extra].concat())
    }
    fn runs(library: &str, extra: &[&str]) {
        ends(0, &[&["run", library, "--inputs", ARRAYS, "--expect", ARRAYS, "--max-rel", "1e-4"], extra].concat());
    }

    #[test]
    fn compile_writes_a_library_that_gives_the_same_results() {
        let w = Work::new();
        let made = compile(&w, "libcnn.so", &["--report"]);
        assert!(w.path("cnn.h").exists() && w.path("cnn.pc").exists());
        let nodes = made["nodes"].as_array().unwrap();
        assert!(nodes.iter().any(|n| n["op"] == "Conv" && n["template"] == "winograd"), "{nodes:?}");
        let exact = compile(&w, "libexact.so", &["--report", "--exact-conv"]);
        let nodes = exact["nodes"].as_array().unwrap();
        assert!(nodes.iter().any(|n| n["op"] == "Conv" && n["template"] == "contract"), "{nodes:?}");
        assert!(nodes.iter().all(|n| n["template"] != "winograd"), "{nodes:?}");
        runs(&w.text("libexact.so"), &[]);
        assert!(made["host_calls"].as_array().unwrap().is_empty());
        assert!(made["arena"]["buffers"].as_array().unwrap().iter().all(|b| b["offset"].is_string()));
        for threads in ["1", "2"] {
            runs(&w.text("libcnn.so"), &["--threads", threads]);
        }
        let figures = json(&["bench", &w.text("libcnn.so"), "--inputs", ARRAYS, "--threads", "1", "--seconds", "0.05"]);
        for field in ["min", "median", "p90", "n"] {
            assert!(figures["latency_ms"][field].is_number());
        }
        assert!(figures["load_ms"].is_number() && figures["memory_bytes"].as_u64().unwrap() > 0);
        let (_, refused) = ends(2, &["bench", &w.text("libcnn.so"), "--profile"]);
        assert!(refused.contains("compile it with --profile"), "{refused}");
        compile(&w, "libtimed.so", &["--profile"]);
        let timed = json(&["bench", &w.text("libtimed.so"), "--profile", "--seconds", "0.05"]);
        assert!(timed["kernels"].as_array().unwrap().iter().all(|k| k["ms"].as_f64().unwrap() > 0.0 && k["operations"].is_null()));
        let (_, refused) = ends(2, &["bench", &w.text("libtimed.so"), "--roofline", &w.text("a.svg")]);
        assert!(refused.contains("give the model") && !w.path("a.svg").exists(), "{refused}");
        ends(2, &["bench", CNN, "--backend", "eval", "--roofline", &w.text("a.svg")]);
        let figures = json(&["bench", CNN, "--profile", "--roofline", &w.text("a.svg"), "--seconds", "0.05", "--threads", "1"]);
        let picture = fs::read_to_string(w.path("a.svg")).unwrap();
        assert!(picture.starts_with("<svg") && picture.contains("node_Conv_116") && !picture.contains("<script"), "{picture}");
        assert!(figures["roofs"]["peaks"][0]["operations_per_second"].as_f64().unwrap() > 1e8, "{figures}");
        let kernels = figures["kernels"].as_array().unwrap();
        let sum: f64 = kernels.iter().map(|k| k["ms"].as_f64().unwrap()).sum();
        assert!(sum > 0.0 && kernels.iter().any(|k| k["nodes"].as_str().unwrap().contains("node_Conv_116")), "{figures}");
        assert!(kernels.iter().all(|k| k["bytes"].as_f64().unwrap() > 0.0 && k["floor_percent"].as_f64().unwrap() > 0.0), "{figures}");
        ends(2, &["run", &w.text("libcnn.so"), "--backend", "eval", "--inputs", ARRAYS]);
    }

    #[test]
    fn weights_lie_where_they_are_wanted() {
        let w = Work::new();
        compile(&w, "libside.so", &["--weights", "side", "--cpu", "native"]);
        assert!(w.path("libside.weights").exists());
        runs(&w.text("libside.so"), &[]);
        compile(&w, "libembedded.so", &["--weights", "embed", "--cpu", "native"]);
        assert!(!w.path("libembedded.weights").exists());
    }

    #[test]
    fn schedules_are_measured_and_taken_again() {
        let w = Work::new();
        for folder in ["a", "b"] {
            fs::create_dir(w.path(folder)).unwrap();
        }
        let tune = w.text("cnn.tune");
        let made = compile(&w, "libcnn.so", &["--tune", &tune, "--inputs", ARRAYS]);
        assert!(made["tuned"]["after_ms"].as_f64().unwrap() > 0.0, "{made}");
        runs(&w.text("libcnn.so"), &[]);
        let again = compile(&w, "a/libcnn.so", &["--schedule", &tune]);
        compile(&w, "b/libcnn.so", &["--schedule", &tune, "--jobs", "1"]);
        let bytes = |f: &str| fs::read(w.path(f)).unwrap();
        assert!(bytes("libcnn.so") == bytes("a/libcnn.so") && bytes("a/libcnn.so") == bytes("b/libcnn.so"));
        assert_eq!(again["schedule"]["sha256"], made["schedule"]["sha256"]);
        assert!(again["report"]["ledger"]["notes"].to_string().contains("sha256"), "{again}");

        let refused = |body: &str, words: &[&str]| {
            fs::write(w.path("bad.tune"), format!("form = 1\nlapidary = \"0\"\ncpu = \"\"\nthreads = 1\n{body}")).unwrap();
            let (_, e) = ends(2, &["compile", "-q", CNN, "-o", &w.text("libbad.so"), "--schedule", &w.text("bad.tune")]);
            assert!(words.iter().all(|word| e.contains(word)), "{body}: {e}");
        };
        let conv = "Conv:node_Conv_116";
        refused("[tile.x86-64-v4]\na = \"wide\"\n", &["'wide' is no tile", "bad.tune:6"]);
        refused("[strips]\nnothing-such = true\n", &["none of the 1 choices"]);
        refused(&format!("[tile.x86-64-v4]\n\"winograd:products {conv}\" = \"9x9\"\n"), &["9x9", conv]);
        let (_, e) = ends(2, &["compile", CNN, "-o", &w.text("libx.so"), "--schedule", &tune, "--tune", &tune]);
        assert!(e.contains("cannot be used with"), "{e}");
        ends(2, &["compile", CNN, "--emit", "graph", "--tune", &tune]);
        // A line for a kernel of another model is told, and changes nothing.
        fs::write(&tune, format!("{}\"Conv:elsewhere\" = \"8x1\"\n", fs::read_to_string(&tune).unwrap())).unwrap();
        let (_, e) = ends(0, &["compile", CNN, "-o", &w.text("a/libcnn.so"), "--schedule", &tune]);
        assert!(e.contains("1 of the ") && bytes("libcnn.so") == bytes("a/libcnn.so"), "{e}");
    }

    #[test]
    fn dims_are_fixed_or_bounded() {
        let w = Work::new();
        let text = "graph @g(%x: f32[N, 2]) {\n  %y = Neg(%x) : f32[N, 2]\n  return %y\n}\n";
        fs::write(w.path("m.lap"), text).unwrap();
        let compile =
            |out: &str, dim: &str, code| ends(code, &["compile", "-q", &w.text("m.lap"), "-o", &w.text(out), "--cpu", "native", "--dim", dim]);
        let bench = |lib: &str, n: &str| lapidary(&["bench", &w.text(lib), "--dim", &format!("N={n}"), "--seconds", "0.01"]).status.code();
        compile("libbounded.so", "N=2..4", 0);
        assert_eq!((bench("libbounded.so", "3"), bench("libbounded.so", "5")), (Some(0), Some(2)));
        compile("libfixed.so", "N=3", 0);
        assert_eq!(bench("libfixed.so", "7"), Some(0), "a fixed dim takes no size");
        let (_, message) = compile("libwrong.so", "M=3", 2);
        assert!(message.contains("'N'") || message.contains(": N"), "{message}");
        compile("libwrong.so", "N=3..2", 2);
        assert!(!w.path("libwrong.so").exists());
    }

    #[test]
    fn inputs_are_fixed() {
        let w = Work::new();
        let text = "graph @g(%x: f32[N], %rate: i64[], %scale: f32[M]) {\n  const %wide : i64[] = 16\n  %c = Equal(%rate, %wide)\n  %y = If(%c, %x) : f32[N]\n  \
                    region then_branch() captures(%x: f32[N] = %x) {\n    %a = Neg(%x)\n    return %a\n  }\n  \
                    region else_branch() captures(%x: f32[N] = %x) {\n    %b = Abs(%x)\n    return %b\n  }\n  return %y\n}\n";
        fs::write(w.path("m.lap"), text).unwrap();
        let graph = |fixed: &str, code| ends(code, &["compile", "-q", &w.text("m.lap"), "--emit", "graph", "--fix-input", fixed]);
        for (fixed, taken, left) in [("rate=16", "Neg", "Abs"), ("rate=8", "Abs", "Neg")] {
            let (printed, _) = graph(fixed, 0);
            assert!(printed.contains(taken) && !printed.contains(left) && !printed.contains("If("), "{printed}");
            assert!(!printed.contains("rate: ") && printed.contains("%x: f32[N]"), "{printed}");
        }
        for (fixed, why) in
            [("rat=16", "'rate'"), ("rate=1.5", "does not hold 1.5"), ("scale=1", "no one size"), ("rate", "NAME=16000"), ("=1", "NAME=16000")]
        {
            let (_, message) = graph(fixed, 2);
            assert!(message.contains(why), "{fixed}: {message}");
        }
        let (_, message) = ends(2, &["compile", "-q", &w.text("m.lap"), "-o", &w.text("libm.so"), "--cpu", "native"]);
        assert!(message.contains("--fix-input") && !w.path("libm.so").exists(), "{message}");
    }

    #[test]
    fn intermediate_forms_are_written_or_printed() {
        let w = Work::new();
        let (graph, _) = ends(0, &["compile", CNN, "--emit", "graph"]);
        assert!(graph.starts_with("graph @"), "{graph}");
        let (kernels, _) = ends(0, &["compile", CNN, "--emit", "kernels"]);
        assert!(kernels.contains("kernel "), "{kernels}");
        // With the constants beside it the text is a file of its own: it reads back, and none of its kernels only moves data in vain.
        ends(0, &["compile", "-q", CNN, "--emit", "kernels", "-o", &w.text("a.kernels")]);
        assert!(w.path("a.safetensors").exists());
        let (again, _) = ends(0, &["inspect", &w.text("a.kernels"), "--text"]);
        assert_eq!(again, fs::read_to_string(w.path("a.kernels")).unwrap());
        let listed = json(&["inspect", &w.text("a.kernels")]);
        let moves: Vec<&str> = listed["kernels"].as_array().unwrap().iter().filter_map(|k| k["moves"].as_str()).collect();
        assert!(moves.iter().all(|m| ["layout", "piece", "gather", "output"].contains(m)), "{moves:?}");
        fs::write(w.path("b.kernels"), again.replacen("par ", "part ", 1)).unwrap();
        ends(2, &["inspect", &w.text("b.kernels")]);
        for (form, file) in [("llvm", "a.ll"), ("asm", "a.s"), ("obj", "a.o")] {
            ends(0, &["compile", CNN, "--emit", form, "-o", &w.text(file), "--cpu", "x86-64-v3"]);
            assert!(fs::metadata(w.path(file)).unwrap().len() > 1000, "{form}");
        }
    }

    #[test]
    fn an_archive_is_a_library_too() {
        let w = Work::new();
        compile(&w, "libcnn.a", &["--cpu", "native"]);
        assert!(fs::read(w.path("libcnn.a")).unwrap().starts_with(b"!<arch>"));
        let header = fs::read_to_string(w.path("cnn.h")).unwrap();
        assert!(header.contains("cnn_v1"), "{header}");
    }

    #[test]
    fn one_cpu_version_can_be_named() {
        let w = Work::new();
        compile(&w, "libold.so", &["--cpu", "x86-64-v3"]);
        compile(&w, "libboth.so", &["--cpu", "auto"]);
        let size = |name: &str| fs::metadata(w.path(name)).unwrap().len();
        assert!(size("libold.so") < size("libboth.so"));
        runs(&w.text("libold.so"), &[]);
    }

    /// Rounds factors as the last pass, which the report names; only what was measured on data or is lossy by the user's wish has its error told.
    #[test]
    fn products_may_be_in_bf16() {
        let w = Work::new();
        let made = compile(&w, "libhalf.so", &["--precision", "bf16", "--cpu", "native"]);
        let entries = entries(&made);
        assert!(entries.last().is_some_and(|e| e.starts_with("convert-float")), "{entries:?}");
        ends(0, &["run", &w.text("libhalf.so"), "--inputs", ARRAYS, "--expect", ARRAYS, "--max-rel", "2e-2"]);
        let made = compile(&w, "libtold.so", &["--precision", "bf16", "--cpu", "native", "--inputs", ARRAYS]);
        assert!(made.to_string().contains("sqnr"), "{made}");
    }

    #[test]
    fn refuses_what_it_cannot_do() {
        let w = Work::new();
        let out = w.text("liba.so");
        for (flag, value) in [("--precision", "f8"), ("--cpu", "x86-64-v9"), ("--sanitize", "memory"), ("--weights", "nowhere")] {
            ends(2, &["compile", CNN, "-o", &out, flag, value]);
        }
        ends(2, &["compile", CNN, "-o", &w.text("model.onnx")]);
        ends(2, &["compile", CNN]);
        ends(0, &["compile", "-q", CNN, "-o", &out, "--exact-conv", "--precision", "f32", "--sanitize", "thread", "--symbols"]);
    }

    #[test]
    fn levels_passes_and_checks_are_those_of_opt() {
        let w = Work::new();
        let made = compile(&w, "liba.so", &["-O0", "--cpu", "native"]);
        assert!(entries(&made).is_empty());
        runs(&w.text("liba.so"), &[]);
        let made = compile(&w, "libb.so", &["--passes", "lift-constants, dce", "--check", "--cpu", "native"]);
        assert_eq!(entries(&made), ["lift-constants", "dce"]);
    }

    #[test]
    fn models_run_natively_without_a_library() {
        ends(0, &["run", CNN, "--backend", "native", "--inputs", ARRAYS, "--expect", ARRAYS, "--max-rel", "1e-4"]);
        let figures = json(&["bench", CNN, "--backend", "native", "--dim", "batch=1", "--seconds", "0.05"]);
        assert_eq!(figures["backend"], "native");
    }
}

#[test]
fn inspect_counts_for_a_size_and_prints_text() {
    let macs = |extra: &[&str]| json(&[&["inspect", CNN], extra].concat())["multiply_adds"].as_i64().unwrap();
    assert_eq!(macs(&["--dim", "batch=8"]), 8 * macs(&[]));
    let (text, _) = ends(0, &["inspect", CNN, "--text"]);
    assert!(text.starts_with("graph @main_graph(%input: f32[batch, 1, 8, 8])"), "{text}");
}

#[test]
fn the_evaluator_benches_too() {
    let figures = json(&["bench", CNN, "--backend", "eval", "--seconds", "0.01"]);
    assert_eq!(figures["latency_ms"]["n"].as_u64().map(|n| n >= 5), Some(true));
}

#[test]
fn a_target_in_no_folder_is_refused_and_nothing_is_left() {
    let w = Work::new();
    let (_, message) = ends(2, &["opt", CNN, "-o", &w.text("nowhere/a.onnx")]);
    assert!(message.contains("nowhere"), "{message}");
    assert_eq!(fs::read_dir(Path::new(w.0.path())).unwrap().count(), 0);
}

#[test]
fn statistics_of_shards_merge_into_those_of_one_run() {
    let w = Work::new();
    let (a, b) = (ARRAYS.to_string(), ARRAYS.replace("_a.", "_b."));
    let collect = |data: &str, to: &str| ends(0, &["calib", "collect", CNN, "--data", data, "--backend", "eval", "-o", &w.text(to)]);
    let merge = |parts: &[&str], to: &str| {
        let files: Vec<String> = parts.iter().map(|p| w.text(p)).collect();
        ends(0, &[&["calib", "merge"][..], &files.iter().map(String::as_str).collect::<Vec<_>>(), &["-o", &w.text(to)]].concat());
        fs::read(w.path(to)).unwrap()
    };
    collect(&a, "a.stats");
    collect(&b, "b.stats");
    collect(&format!("{a},{b}"), "whole.stats");
    let whole = merge(&["whole.stats"], "0.stats");
    assert!(merge(&["a.stats", "b.stats"], "1.stats") == whole && merge(&["b.stats", "a.stats"], "2.stats") == whole);
    // The same samples from another kind of file.
    let samples = lapidary::arrays::load_inputs(&[lapidary::arrays::Port { name: "input".into(), ty: lapidary_ir::Type::Unknown }], a.as_ref());
    let stored = lapidary_ir::safetensors::write([("in.input", samples.unwrap()[0].as_tensor().unwrap())], None).unwrap();
    fs::write(w.path("a.safetensors"), stored).unwrap();
    collect(&format!("{},{b}", w.text("a.safetensors")), "c.stats");
    assert!(merge(&["c.stats"], "4.stats") == whole);
    let shown = json(&["calib", "show", &w.text("0.stats")]);
    assert!(shown["samples"].as_u64().unwrap() > 16 && shown["values"].as_array().unwrap().len() > 5);
    let passes = format!("calibrate{{stats=\"{}\"}}, fake-quant, fold-quant", w.text("0.stats"));
    ends(0, &["opt", CNN, "-o", &w.text("int8.onnx"), "--passes", &passes]);
    let (_, e) = ends(2, &["calib", "merge", CNN, "-o", &w.text("3.stats")]);
    assert!(e.contains(CNN), "{e}");
    assert!(!w.path("3.stats").exists());
}
