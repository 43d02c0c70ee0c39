//! Programs for tests, run natively and by the interpreter.
#![allow(dead_code)]

use lapidary_ir::{DType, Dim, Tensor};
use lapidary_kernel::interp::interpret;
use lapidary_kernel::*;
use lapidary_llvm::loaded::Library;
use lapidary_llvm::{CompileOptions, compile};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub fn has(cpu: Cpu) -> bool {
    match cpu {
        Cpu::X86V3 => std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma"),
        Cpu::X86V4 => std::is_x86_feature_detected!("avx512vnni") && std::is_x86_feature_detected!("avx512bf16"),
    }
}

pub fn folder() -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("native-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// A library of its own file, since loaded files are known by path.
pub fn library(program: &Program, options: &CompileOptions) -> Library {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let path = folder().join(format!("libtest{}.so", NEXT.fetch_add(1, Ordering::Relaxed)));
    let plan = Plan::unshared(program.clone()).unwrap();
    compile(&plan, options, &path).unwrap_or_else(|e| panic!("{e}"));
    Library::open(&path).unwrap_or_else(|e| panic!("{e}"))
}

/// A program under construction.
pub struct Build(pub Program);

impl Build {
    pub fn new() -> Build {
        Build(Program { name: "test".into(), ..Program::default() })
    }
    fn buffer(&mut self, name: &str, dtype: DType, dims: &[Dim], kind: BufferKind) -> BufferId {
        self.0.add_buffer(Buffer { name: name.into(), dtype, dims: dims.iter().cloned().collect(), kind })
    }
    pub fn input(&mut self, dtype: DType, dims: &[Dim]) -> BufferId {
        let n = self.0.buffers.iter().filter(|b| matches!(b.kind, BufferKind::Input(_))).count() as u32;
        self.buffer(&format!("x{n}"), dtype, dims, BufferKind::Input(n))
    }
    pub fn output(&mut self, dtype: DType, dims: &[Dim]) -> BufferId {
        let n = self.0.buffers.iter().filter(|b| matches!(b.kind, BufferKind::Output(_))).count() as u32;
        self.buffer(&format!("y{n}"), dtype, dims, BufferKind::Output(n))
    }
    pub fn temp(&mut self, dtype: DType, dims: &[Dim]) -> BufferId {
        self.buffer("t", dtype, dims, BufferKind::Temp)
    }
    pub fn constant(&mut self, t: Tensor) -> BufferId {
        let dims: Vec<Dim> = t.sizes().iter().map(|s| Dim::from(*s)).collect();
        self.buffer("c", t.dtype(), &dims, BufferKind::Const(Arc::new(t)))
    }
    pub fn kernel(&mut self, mut k: Kernel, schedule: Schedule) {
        k.serial |= schedule == Schedule::Serial;
        k.schedule = Some(schedule);
        self.0.kernels.push(k);
    }
}

pub fn dims(d: &[i64]) -> Vec<Dim> {
    d.iter().map(|d| Dim::from(*d)).collect()
}

/// Numbers that repeat from run to run, with some special ones where the type has them.
pub fn random(dtype: DType, sizes: &[usize], seed: u64) -> Tensor {
    let n: usize = sizes.iter().product();
    let mut state = seed.wrapping_mul(0x9e3779b97f4a7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 11
    };
    let uniform = |r: u64| (r as f64) / (1u64 << 53) as f64 * 4.0 - 2.0;
    match dtype {
        d if d.is_float() => Tensor::from_f64(d, sizes, &(0..n).map(|_| uniform(next())).collect::<Vec<_>>()).unwrap(),
        DType::Bool => Tensor::from_i64(dtype, sizes, &(0..n).map(|_| (next() & 1) as i64).collect::<Vec<_>>()).unwrap(),
        d => {
            Tensor::from_i64(d, sizes, &(0..n).map(|_| (next() % 200) as i64 - if d.is_signed_int() { 100 } else { 0 }).collect::<Vec<_>>()).unwrap()
        }
    }
}

/// A constant of the text form.
pub fn constant(name: &str, t: &Tensor) -> String {
    fn list(values: &[String], sizes: &[usize]) -> String {
        match sizes.split_first() {
            None => values[0].clone(),
            Some((n, rest)) => {
                let each = values.len() / n.max(&1);
                format!("[{}]", values.chunks(each.max(1)).map(|v| list(v, rest)).collect::<Vec<_>>().join(", "))
            }
        }
    }
    let values: Vec<String> = t.to_f64().unwrap().iter().map(|v| v.to_string()).collect();
    format!("  const %{name} : {} = {}\n", t.ty(), list(&values, t.sizes()))
}

pub fn close(name: &str, got: &Tensor, want: &Tensor, rtol: f64) {
    assert_eq!((got.dtype(), got.sizes()), (want.dtype(), want.sizes()), "{name}");
    let (g, w) = (got.to_f64().unwrap(), want.to_f64().unwrap());
    let scale = w.iter().filter(|v| v.is_finite()).fold(0f64, |m, v| m.max(v.abs()));
    for (i, (a, b)) in g.iter().zip(&w).enumerate() {
        let same = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= rtol * scale;
        assert!(same, "{name}: element {i} of {} is {a}, expected {b}", g.len());
    }
}

/// Compiles for every CPU at hand, runs on one and two threads, and compares with the interpreter.
pub fn check(program: &Program, inputs: &[Tensor], rtol: f64) {
    check_sets(program, &[inputs.to_vec()], rtol)
}

/// As `check`, on several sets of inputs (of different sizes, say) with the same context.
pub fn check_sets(program: &Program, sets: &[Vec<Tensor>], rtol: f64) {
    for cpu in [Cpu::X86V4, Cpu::X86V3] {
        if !has(cpu) {
            eprintln!("skipped: this machine has no {cpu:?}");
            continue;
        }
        let lib = library(program, &CompileOptions { cpus: vec![cpu], ..CompileOptions::default() });
        for threads in [1, 2] {
            let mut context = lib.context(threads, None).unwrap();
            for inputs in sets {
                let symbol = symbols(program, inputs);
                let want = interpret(program, inputs, &symbol).unwrap_or_else(|e| panic!("{e}"));
                let got = context.run(&inputs.iter().collect::<Vec<_>>()).unwrap_or_else(|e| panic!("{e}"));
                for (i, (g, w)) in got.iter().zip(&want).enumerate() {
                    close(&format!("{cpu:?}, {threads} threads, output {i}"), g, w, rtol);
                }
            }
        }
    }
}

pub fn symbols(program: &Program, inputs: &[Tensor]) -> impl Fn(&str) -> Option<i64> + Sync + use<> {
    let mut known = vec![];
    for b in &program.buffers {
        if let BufferKind::Input(n) = b.kind {
            for (d, s) in b.dims.iter().zip(inputs[n as usize].sizes()) {
                if let Some(name) = d.as_symbol() {
                    known.push((name.to_string(), *s as i64));
                }
            }
        }
    }
    move |s: &str| known.iter().find(|(n, _)| n == s).map(|(_, v)| *v)
}

/// Runs the graph on the inputs, natively on every CPU at hand and in the evaluator; exactly one kernel for which `wanted` holds must run on a
/// register tile.
pub fn agrees_in_tiles(source: &str, inputs: &[Tensor], rtol: f64, wanted: &dyn Fn(&Kernel) -> bool) {
    agrees_natively(source, inputs, rtol, &|kernels| {
        assert_eq!(kernels.iter().filter(|(k, template)| *template == "contract" && wanted(k)).count(), 1, "{source}");
    });
}

/// Runs the graph on the inputs, natively on every CPU at hand and in the evaluator; `check` sees the kernels with their templates.
pub fn agrees_natively(source: &str, inputs: &[Tensor], rtol: f64, check: &dyn Fn(&[(&Kernel, &str)])) {
    let mut graph = lapidary_ir::text::parse(source, &Default::default()).unwrap_or_else(|e| panic!("{e}\n{source}"));
    let facts = lapidary_ops::infer_types(&mut graph).unwrap_or_else(|e| panic!("{e}"));
    let plan = lapidary_lower::lower(&graph, &facts, &Default::default()).unwrap_or_else(|e| panic!("{e}"));
    let data = inputs.iter().cloned().map(lapidary_ops::Datum::from).collect();
    let want = lapidary_ops::evaluate(&graph, data).unwrap_or_else(|e| panic!("{e}"));
    for cpu in [Cpu::X86V4, Cpu::X86V3] {
        if !has(cpu) {
            eprintln!("skipped: this machine has no {cpu:?}");
            continue;
        }
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let out = folder().join(format!("libagrees{}.so", COUNT.fetch_add(1, Ordering::Relaxed)));
        let options = CompileOptions { cpus: vec![cpu], ..CompileOptions::default() };
        let report = lapidary_llvm::compile(&plan, &options, &out).unwrap_or_else(|e| panic!("{e}"));
        let kernels: Vec<(&Kernel, &str)> = plan.program.kernels.iter().zip(report.kernels.iter().map(|r| r.template.as_str())).collect();
        check(&kernels);
        let lib = lapidary_llvm::loaded::Library::open(&out).unwrap();
        for threads in [1, 2] {
            let got = lib.context(threads, None).unwrap().run(&inputs.iter().collect::<Vec<_>>()).unwrap_or_else(|e| panic!("{e}"));
            for (g, w) in got.iter().zip(&want) {
                close(&format!("{cpu:?}, {threads} threads: {source}"), g, w.as_tensor().unwrap(), rtol);
            }
        }
    }
}
