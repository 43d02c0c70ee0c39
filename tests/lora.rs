//! The cases of `tests/golden/lora`, made by `tests/scripts/make_lora_cases.py`: merged models compute what PEFT's merged models do.

use lapidary_ir::{Graph, Tensor};
use lapidary_onnx::ReadOptions;
use lapidary_passes::PASSES;
use lapidary_rewrite::{DataSource, Environment, Evaluator, Executor, Report, RunOptions, Samples, pipeline, run};
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};

/// Files by their paths.
struct Disk;

impl DataSource for Disk {
    fn bytes(&self, path: &str) -> lapidary_ir::Result<Vec<u8>> {
        std::fs::read(path).map_err(|e| lapidary_ir::Diagnostic::error("file-missing", format!("{path}: {e}")).into())
    }
    fn model(&self, path: &str) -> lapidary_ir::Result<Graph> {
        Ok(lapidary_onnx::read_model(Path::new(path), &ReadOptions::default())?.graph)
    }
    fn open(&self, text: &str, graph: &Graph, batch: Option<usize>) -> lapidary_ir::Result<Box<dyn Samples + '_>> {
        let _ = (text, graph, batch);
        Ok(Box::new(std::iter::empty()))
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/lora")
}

struct Case {
    graph: Graph,
    inputs: Vec<Tensor>,
    expected: Tensor,
    /// What stands between the braces.
    options: String,
    tolerance: f64,
}

fn tensor(view: &safetensors::tensor::TensorView<'_>) -> Tensor {
    let dtype = match view.dtype() {
        safetensors::Dtype::I64 => lapidary_ir::DType::I64,
        _ => lapidary_ir::DType::F32,
    };
    Tensor::new(dtype, view.shape(), view.data().to_vec()).unwrap()
}

fn case(path: &Path) -> Case {
    let graph = lapidary_onnx::read_model(&path.join("base.onnx"), &ReadOptions::default()).unwrap().graph;
    let bytes = std::fs::read(path.join("expected.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let get = |name: &str| tensor(&tensors.tensor(name).unwrap());
    let inputs = graph.inputs().iter().map(|v| get(&format!("in.{}", graph.value(*v).name))).collect();
    let said: serde_json::Value = serde_json::from_slice(&std::fs::read(path.join("case.json")).unwrap()).unwrap();
    let place = path.display().to_string();
    let mut options = vec![];
    if said["options"].get("adapter").is_none() {
        options.push(format!("adapter={:?}", format!("{place}/adapter")));
    }
    for (k, v) in said["options"].as_object().unwrap() {
        // `@` is the case's own folder.
        options.push(format!("{k}={}", v.to_string().replace('@', &place)));
    }
    Case { graph, inputs, expected: get("out.y"), options: options.join(", "), tolerance: said["tolerance"].as_f64().unwrap() }
}

fn pass(graph: &mut Graph, options: &str) -> lapidary_ir::Result<Report> {
    run_passes(graph, &format!("merge-lora{{{options}}}"))
}

fn run_passes(graph: &mut Graph, text: &str) -> lapidary_ir::Result<Report> {
    let pipeline = pipeline::parse(text).unwrap();
    let env = Environment { passes: PASSES, executor: &Evaluator::default(), data: &Disk };
    let mut options = RunOptions::new(18);
    options.crash_dir = std::env::temp_dir();
    run(graph, &pipeline, &env, &options)
}

fn evaluate(graph: &Graph, inputs: &[Tensor]) -> Vec<f64> {
    let inputs = inputs.iter().cloned().map(Into::into).collect();
    let out = Evaluator::default().load(graph, &[]).unwrap().run(inputs, &mut |_, _| {}).unwrap();
    out[0].as_tensor().unwrap().to_f64().unwrap()
}

/// The largest difference, in parts of the largest value.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    a.iter().zip(b).fold(0.0, |m: f64, (x, y)| m.max((x - y).abs())) / largest
}

fn cases() -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect();
    out.sort();
    out
}

#[test]
fn merged_models_compute_what_peft_merges() {
    let mut wrong = vec![];
    for path in cases() {
        let mut c = case(&path);
        let before = evaluate(&c.graph, &c.inputs);
        let operators = c.graph.operators().len();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let report = match pass(&mut c.graph, &c.options) {
            Ok(r) => r,
            Err(e) => {
                wrong.push(format!("{name}: {e}"));
                continue;
            }
        };
        let expected = c.expected.to_f64().unwrap();
        let d = distance(&evaluate(&c.graph, &c.inputs), &expected);
        let was = distance(&before, &expected);
        let notes: Vec<&str> = report.ledger.notes.iter().map(|n| n.message.as_str()).collect();
        println!("{name}: {d:.2e} (base {was:.2e}); {}", notes.join("; "));
        if d.is_nan() || d > c.tolerance || was < 10.0 * c.tolerance {
            wrong.push(format!("{name}: {d:.3e} from PEFT's results, {:.1e} allowed (the base is {was:.3e} away)", c.tolerance));
        }
        // A weight that is shared may need a path of its own.
        if c.graph.operators().len() != operators && !name.contains("tied") {
            wrong.push(format!("{name}: {} operators became {}", operators, c.graph.operators().len()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The name of a case, opened.
fn named(name: &str) -> (Case, String) {
    let path = folder().join(name);
    (case(&path), path.display().to_string())
}

fn error(graph: &mut Graph, options: &str) -> String {
    pass(graph, options).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn unmerging_takes_out_what_merging_added() {
    for name in ["linear_by_scope", "conv2d", "embedding", "lora_bias", "fused_qkv", "several_ties_deltas", "half"] {
        let (mut c, _) = named(name);
        let before = evaluate(&c.graph, &c.inputs);
        pass(&mut c.graph, &c.options).unwrap();
        assert!(distance(&evaluate(&c.graph, &c.inputs), &before) > 0.1, "{name}");
        pass(&mut c.graph, &format!("{}, unmerge=true", c.options)).unwrap();
        let d = distance(&evaluate(&c.graph, &c.inputs), &before);
        assert!(d < c.tolerance.max(2e-6), "{name}: {d}");
    }
    for (name, word) in [("dora_linear", "DoRA"), ("bias_all", "whole parameters")] {
        let (mut c, _) = named(name);
        let e = error(&mut c.graph, &format!("{}, unmerge=true", c.options));
        assert!(e.contains("cannot be unmerged") && e.contains(word), "{e}");
    }
}

#[test]
fn what_cannot_be_placed_is_listed_key_by_key() {
    let (mut c, place) = named("linear_by_map");
    let before = evaluate(&c.graph, &c.inputs);
    let e = error(&mut c.graph, &format!("adapter=\"{place}/adapter\""));
    assert!(e.contains("8 keys of the adapter have no place"), "{e}");
    for block in 0..2 {
        for (layer, part) in [("fc1", "lora_A"), ("fc1", "lora_B"), ("fc2", "lora_A"), ("fc2", "lora_B")] {
            assert!(e.contains(&format!("base_model.model.blocks.{block}.{layer}.{part}.weight")), "{e}");
        }
    }
    let some = c.options.replace("fc1", "fc7");
    let e = error(&mut c.graph, &some);
    assert!(e.contains("the map speaks of 'blocks.0.fc7'") && e.contains("blocks.0.fc1.lora_A.weight"), "{e}");
    assert_eq!(before, evaluate(&c.graph, &c.inputs));
}

#[test]
fn a_map_may_be_a_file() {
    let (c, place) = named("linear_by_map");
    let pairs = c.options.split("map=\"").nth(1).and_then(|m| m.split('"').next()).unwrap();
    let folder = std::env::temp_dir().join(format!("lapidary-map-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let toml: String = pairs.split(',').map(|p| p.replacen('=', "\" = \"", 1)).map(|p| format!("\"{p}\"\n")).collect();
    let json = format!("{{{}}}", pairs.split(',').map(|p| format!("\"{}\"", p.replacen('=', "\": \"", 1))).collect::<Vec<_>>().join(","));
    for (name, text) in [("map.toml", toml), ("map.json", json)] {
        std::fs::write(folder.join(name), text).unwrap();
        let (mut c, _) = named("linear_by_map");
        pass(&mut c.graph, &format!("adapter=\"{place}/adapter\", map=\"{}\"", folder.join(name).display())).unwrap();
        assert!(distance(&evaluate(&c.graph, &c.inputs), &c.expected.to_f64().unwrap()) < c.tolerance);
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn dare_keeps_what_is_expected_and_draws_the_same_again() {
    let place = folder().join("several_cat").display().to_string();
    let merged = |options: &str| {
        let mut c = named("several_cat").0;
        pass(&mut c.graph, &format!("adapter=\"{place}/adapter,{place}/adapter2\", {options}")).unwrap();
        evaluate(&c.graph, &c.inputs)
    };
    assert_eq!(merged("combine=dare, density=0.5, seed=3"), merged("combine=dare, density=0.5, seed=3"));
    assert_ne!(merged("combine=dare, density=0.5, seed=3"), merged("combine=dare, density=0.5, seed=4"));
    assert_eq!(merged("combine=dare, density=1"), merged("combine=linear"));
    assert_eq!(merged("combine=dare-ties, density=1"), merged("combine=ties, density=1"));
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let (mut c, place) = named("several_cat");
    let both = format!("adapter=\"{place}/adapter,{place}/adapter2\"");
    for (options, word) in [
        ("combine=ties", "needs 'density'"),
        ("density=0.5", "keeps every element"),
        ("combine=ties, density=2", "'density' is 2"),
        ("weights=\"1\"", "one number for each of 2"),
        ("of=factors, rank=2", "'rank' cuts"),
        ("of=factors", "different ranks"),
    ] {
        let e = error(&mut c.graph, &format!("{both}, {options}"));
        assert!(e.contains(word), "{options}: {e}");
    }
    // An adapter of another model.
    let other = folder().join("conv2d").display().to_string();
    let e = error(&mut c.graph, &format!("adapter=\"{place}/adapter,{other}/adapter\""));
    assert!(e.contains("stem.lora_A.weight") && !e.contains("fc1"), "{e}");
    let dora = folder().join("dora_linear").display().to_string();
    let e = error(&mut c.graph, &format!("adapter=\"{place}/adapter,{dora}/adapter\""));
    assert!(e.contains("uses DoRA"), "{e}");
}

#[test]
fn a_known_difference_is_extracted_again() {
    for name in ["linear_by_scope", "gemm", "conv2d", "embedding", "conv1d_fan_in_fan_out", "rank_stabilized_patterns"] {
        let (mut c, place) = named(name);
        pass(&mut c.graph, &c.options).unwrap();
        let tuned = evaluate(&c.graph, &c.inputs);
        let out = std::env::temp_dir().join(format!("lapidary-extract-{name}-{}", std::process::id()));
        let (base, folder) = (format!("{place}/base.onnx"), out.display().to_string());
        let energy = if name == "rank_stabilized_patterns" { "energy=0.999999999" } else { "rank=3" };
        run_passes(&mut c.graph, &format!("extract-lora{{base={base:?}, {energy}, out={folder:?}}}")).unwrap().files.iter().for_each(|f| {
            std::fs::create_dir_all(&out).unwrap();
            std::fs::write(&f.path, &f.bytes).unwrap();
        });
        let together = evaluate(&c.graph, &c.inputs);
        assert!(distance(&together, &tuned) < 1e-5, "{name}");
        let mut again = named(name).0;
        pass(&mut again.graph, &format!("adapter={folder:?}")).unwrap();
        let d = distance(&evaluate(&again.graph, &again.inputs), &tuned);
        assert!(d < 1e-5, "{name}: {d}");
        std::fs::remove_dir_all(out).unwrap();
    }
    let (mut c, place) = named("gemm");
    let e = run_passes(&mut c.graph, &format!("extract-lora{{base=\"{place}/base.onnx\", out=\"nowhere\"}}")).map(|_| ()).unwrap_err().to_string();
    assert!(e.contains("no weight differs"), "{e}");
}
