//! The kernels of whole models, as `compile` makes them: their text reads back to the same program, the interpreter and native code agree on
//! every buffer that any kernel writes, and no kernel exists to materialize a view, padding or windows.
//!
//! The models of `examples/models` always. With `LAPIDARY_MODELS` naming the larger set, digits_mlp, charlm and mobilenet_v2 too:
//! `LAPIDARY_MODELS=DIR cargo test --test kernels -- --nocapture`. Any other model by `LAPIDARY_MODEL=F.onnx` (and `LAPIDARY_SIZE=N` for
//! its symbolic dims).

use lapidary::{CompileOptions, DType, Library, Model, OpenOptions, PassOptions, Tensor};
use lapidary_kernel::interp::interpret;
use lapidary_kernel::text::parse_program;
use lapidary_kernel::{BufferKind, KernelBuilder, Plan, Program, Stmt};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Bound on |native − interpreted| over the largest value of the buffer: both round each step, in different orders.
const TOLERANCE: f64 = 1e-4;

/// The program that `compile -O2` generates code for.
fn lowered(path: &Path) -> Program {
    let fail = |e: lapidary::Diagnostics| -> ! { panic!("{}: {e}", path.display()) };
    let mut model = Model::open(path, &OpenOptions::default()).unwrap_or_else(|e| fail(e));
    model.expand().unwrap_or_else(|e| fail(e));
    let options = PassOptions { target_opset: Some(lapidary::NEWEST_OPSET), ..PassOptions::default() };
    model.run_pipeline(&lapidary::level(2).unwrap_or_else(|e| fail(e)), options).unwrap_or_else(|e| fail(e));
    model.lower(&Default::default()).unwrap_or_else(|e| fail(e)).program
}

fn reads_back(name: &str, p: &Program) {
    let constants: BTreeMap<u64, _> = p.buffers.iter().filter_map(|b| b.constant()).map(|t| (t.content_hash(), t.clone())).collect();
    let text = p.to_text();
    let again = parse_program(&text, &|hash| constants.get(&hash).cloned()).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(again.to_text() == text, "{name}: the text of its kernels does not read back to the same text");
    assert_eq!(again.verify(), vec![], "{name}");
}

fn moves_nothing_in_vain(name: &str, p: &Program) {
    let waste: Vec<String> =
        p.kernels.iter().filter_map(|k| Some((k, p.moves(k).filter(|m| m.is_waste())?))).map(|(k, m)| format!("{} ({})", k.name, m.name())).collect();
    assert!(waste.is_empty(), "{name}: kernels that materialize what an index can say: {}", waste.join(", "));
}

/// Random floats in −1 … 1; integers, mostly ids of something, 0 and 1.
fn made_up(dtype: DType, sizes: &[usize], seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 11
    };
    let count = sizes.iter().product();
    let tensor = if dtype.is_float() {
        let values: Vec<f64> = (0..count).map(|_| next() as f64 / (1u64 << 52) as f64 - 1.0).collect();
        Tensor::from_f64(dtype, sizes, &values)
    } else {
        let values: Vec<i64> = (0..count).map(|_| (next() & 1) as i64).collect();
        Tensor::from_i64(dtype, sizes, &values)
    };
    tensor.unwrap_or_else(|e| panic!("no values of {}: {e}", dtype.name()))
}

/// How far two buffers are apart, by the largest value; 0 for bits that are the same.
fn apart(got: &Tensor, want: &Tensor) -> f64 {
    if got.bytes() == want.bytes() {
        return 0.0;
    }
    let (Some(g), Some(w)) = (got.to_f64(), want.to_f64()) else { return f64::INFINITY };
    let scale = w.iter().filter(|v| v.is_finite()).fold(f64::MIN_POSITIVE, |m, v| m.max(v.abs()));
    let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
    g.iter()
        .zip(&w)
        .map(|(a, b)| if same(*a, *b) { 0.0 } else { ((a - b).abs() / scale).max(0.0) })
        .fold(0.0, |m, d| if d.is_nan() { f64::INFINITY } else { m.max(d) })
}

/// The program with 1 for whatever it stores: it tells which elements are written. (Between rows of tiles there are some that nobody writes or reads.)
fn ones(p: &Program) -> Program {
    let mut p = p.clone();
    for k in &mut p.kernels {
        let mut b = KernelBuilder::edit(k.clone());
        let mut body = k.body.clone();
        for s in &mut body {
            if let Stmt::Store { value, .. } = s {
                *value = b.int(b.dtype(*value), 1);
            }
        }
        *k = b.finish();
        k.body = body;
    }
    p
}

/// The elements that are written, 0 elsewhere.
fn only(t: &Tensor, written: &Tensor) -> Tensor {
    if t.dtype() == DType::I64 {
        let values = t.to_i64().unwrap().into_iter().zip(written.to_f64().unwrap()).map(|(v, w)| if w == 0.0 { 0 } else { v });
        return Tensor::from_i64(t.dtype(), t.sizes(), &values.collect::<Vec<_>>()).unwrap();
    }
    let values = t.to_f64().unwrap().into_iter().zip(written.to_f64().unwrap()).map(|(v, w)| if w == 0.0 { 0.0 } else { v });
    Tensor::from_f64(t.dtype(), t.sizes(), &values.collect::<Vec<_>>()).unwrap()
}

/// Compiles the program with every intermediate buffer as an output, and compares each with the interpreter's.
fn agrees_on_each_kernel(name: &str, p: &Program, size: usize) {
    let mut p = p.clone();
    let written: Vec<_> = p.kernels.iter().flat_map(|k| k.writes()).collect();
    let mut outputs = p.buffers.iter().filter(|b| matches!(b.kind, BufferKind::Output(_))).count() as u32;
    for id in p.buffer_ids() {
        if p.buffer(id).kind == BufferKind::Temp && written.contains(&id) {
            p.buffer_mut(id).kind = BufferKind::Output(outputs);
            outputs += 1;
        }
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("kernels-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("lib{name}.so"));
    let plan = Plan::unshared(p.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let cpus = CompileOptions::cpus_of("native").unwrap_or_else(|e| panic!("{e}"));
    let options = lapidary_llvm::CompileOptions { cpus, ..Default::default() };
    lapidary_llvm::compile(&plan, &options, &path).unwrap_or_else(|e| panic!("{name}: {e}"));
    let library = Library::open(&path).unwrap_or_else(|e| panic!("{name}: {e}"));

    let (mut inputs, mut symbols) = (vec![], BTreeMap::new());
    for (i, info) in library.inputs.iter().enumerate() {
        // The interpreter is slow, and two of a batch tell as much as many.
        let of = |axis: usize| if axis == 0 { size.min(2) } else { size };
        let sizes: Vec<usize> = info.dims.iter().enumerate().map(|(axis, d)| d.map_or(of(axis), |d| d as usize)).collect();
        for (symbol, size) in info.symbols.iter().zip(&sizes) {
            if let Some(s) = symbol {
                symbols.insert(s.clone(), *size as i64);
            }
        }
        inputs.push(made_up(info.dtype, &sizes, 40 + i as u64));
    }
    let interpreted = |p: &Program| interpret(p, &inputs, &|s: &str| symbols.get(s).copied()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let (want, written) = (interpreted(&p), interpreted(&ones(&p)));
    let mut context = library.context(2, None).unwrap_or_else(|e| panic!("{name}: {e}"));
    let got = context.run(&inputs.iter().collect::<Vec<_>>()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let (mut compared, mut worst) = (0, 0f64);
    for k in &p.kernels {
        for b in k.writes() {
            let BufferKind::Output(n) = p.buffer(b).kind else { continue };
            let (got, want) = (&got[n as usize], &want[n as usize]);
            assert_eq!((got.dtype(), got.sizes()), (want.dtype(), want.sizes()), "{name}: kernel '{}'", k.name);
            let difference = apart(&only(got, &written[n as usize]), &only(want, &written[n as usize]));
            let bound = if want.dtype().is_float() { TOLERANCE } else { 0.0 };
            assert!(
                difference <= bound,
                "{name}: kernel '{}' gives '{}' with a difference of {difference:.1e}\n{}",
                k.name,
                p.buffer(b).name,
                p.kernel_text(k)
            );
            (compared, worst) = (compared + 1, worst.max(difference));
        }
    }
    println!("{name}: {} kernels, {compared} buffers compared, largest difference {worst:.1e} of the largest value", p.kernels.len());
    // Mapped pages stay while the library is open; the file may go.
    let _ = std::fs::remove_dir_all(&folder);
}

fn check(path: &Path, size: usize) {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = if stem == "model" { path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned() } else { stem };
    let p = lowered(path);
    reads_back(&name, &p);
    moves_nothing_in_vain(&name, &p);
    agrees_on_each_kernel(&name, &p, size);
}

#[test]
fn of_the_examples() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/models");
    check(&models.join("digits_cnn/model.onnx"), 3);
    // Beyond one panel of 16, and no multiple of it.
    check(&models.join("char_gpt/model.onnx"), 19);
}

#[test]
fn of_the_larger_set() {
    let Some(set) = std::env::var_os("LAPIDARY_MODELS").map(PathBuf::from) else {
        eprintln!("skipped: LAPIDARY_MODELS names no folder (see tests/scripts/README.md)");
        return;
    };
    check(&set.join("trained/digits_mlp/model.onnx"), 5);
    check(&set.join("charlm/charlm.onnx"), 19);
    check(&set.join("exports/mobilenet_v2.onnx"), 1);
}

#[test]
fn of_a_model_of_yours() {
    if let Some(path) = std::env::var_os("LAPIDARY_MODEL") {
        check(Path::new(&path), std::env::var("LAPIDARY_SIZE").ok().and_then(|s| s.parse().ok()).unwrap_or(1));
    }
}
