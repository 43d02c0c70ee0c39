use super::args::{BackendArg, Global, dim, inputs_or_random, is_library};
use super::run::exists;
use super::table::{bytes, ms, table};
use super::{Outcome, Status, progress, say, say_json, supervise};
use clap::Args;
use lapidary::native::{self, Context, KernelTime, Library};
use lapidary::{Datum, Diagnostic, DimRange, Result, Tensor, arrays};
use lapidary_kernel::Plan;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Kernels that the table shows.
const SHOWN: usize = 24;

const EXAMPLES: &str = "\
Examples:
  lapidary bench libmodel.so --inputs x.npz --threads 1
  lapidary bench model.onnx --dim batch=8 --format json
  lapidary bench model.onnx --profile --threads 1             which kernel takes how long

JSON: {\"latency_ms\": {\"min\", \"median\", \"p90\", \"n\"}, \"load_ms\", \"memory_bytes\", …}";

/// Measure latency and memory of a model or library
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Bench {
    /// The model, or a library that `compile` wrote
    #[arg(value_name = "MODEL|LIB")]
    model: PathBuf,
    /// The inputs [default: random ones]
    #[arg(long, value_name = "ARRAYS")]
    inputs: Option<PathBuf>,
    /// A size for a symbolic dim of random inputs
    #[arg(long, value_name = "NAME=V", value_parser = dim)]
    dim: Vec<DimRange>,
    /// What runs a model [default: native where code generation is built in]
    #[arg(long, value_enum)]
    backend: Option<BackendArg>,
    /// Threads of native code; 0: one per core
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: u16,
    /// How long to measure
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,
    /// Show the time of each kernel, and what it computes and moves; of a library that was compiled with --profile
    #[arg(long)]
    profile: bool,
}

#[derive(Serialize)]
struct Figures {
    latency_ms: Latency,
    /// Until the first run can start: opening, and the context.
    load_ms: f64,
    /// Until the first result is there.
    first_run_ms: f64,
    /// Bytes that the context holds: arena and unpacked weights. 0 on the evaluator.
    memory_bytes: usize,
    threads: u16,
    backend: &'static str,
    /// With --profile, the slowest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    kernels: Option<Vec<Kernel>>,
}

/// What one kernel, or a run of kernels that take turns, takes of each run.
#[derive(Serialize)]
struct Kernel {
    name: String,
    /// The graph's nodes that it computes.
    nodes: String,
    ms: f64,
    /// Additions, products and other operations; not known of a library.
    operations: Option<f64>,
    /// Bytes that it reads and writes.
    bytes: Option<f64>,
}

/// Operations and bytes of each kernel for inputs of these sizes; those of a run of kernels that take turns count as its first's.
fn work_of(plan: &Plan, inputs: &[&Tensor]) -> Vec<(f64, f64)> {
    let mut sizes: BTreeMap<String, i64> = BTreeMap::new();
    for (port, t) in plan.inputs.iter().zip(inputs) {
        for (d, size) in port.dims.iter().zip(t.sizes()) {
            if let Some(symbol) = d.as_symbol() {
                sizes.insert(symbol.to_string(), *size as i64);
            }
        }
    }
    let p = &plan.program;
    let number = |d: &lapidary_ir::Dim| d.eval(&|s| sizes.get(s).copied()).unwrap_or(0) as f64;
    let work = |k: &lapidary_kernel::Kernel| {
        let (operations, bytes) = k.work(p);
        (number(&operations), number(&bytes))
    };
    let mut out: Vec<(f64, f64)> = p.kernels.iter().map(work).collect();
    for s in &plan.strips {
        let all = &out[s.range()];
        out[s.first] = all.iter().fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d));
    }
    out
}

#[derive(Serialize)]
struct Latency {
    min: f64,
    median: f64,
    p90: f64,
    n: usize,
}

impl Bench {
    pub fn run(&self, global: &Global) -> Outcome {
        let library = is_library(&self.model);
        let backend = self.backend.unwrap_or_else(BackendArg::default_here);
        if (library || backend == BackendArg::Native)
            && let Some(outcome) = supervise::run(&self.model, global)
        {
            return outcome;
        }
        if self.profile && !library && backend == BackendArg::Eval {
            return Err(Diagnostic::error("profile", "--profile tells the time of native kernels").help("leave --backend out").into());
        }
        let sizes = self.dim.iter().map(|d| (d.symbol.clone(), d.low)).collect();
        let figures = if library {
            exists(&self.model)?;
            let start = Instant::now();
            let lib = Library::open(&self.model)?;
            let context = lib.context(i32::from(self.threads), None)?;
            let load = start.elapsed();
            let ports = native::ports(&lib.inputs);
            let inputs = match &self.inputs {
                Some(path) => arrays::load_inputs(&ports, path)?,
                None => arrays::random(&ports, &sizes)?,
            };
            if self.profile && lib.profile().is_none() {
                let d = Diagnostic::error("profile", "this library does not count the time of its kernels");
                return Err(d.help("compile it with --profile, or give the model").into());
            }
            self.native((&lib, context), &inputs, load, None, global)?
        } else {
            let mut model = global.open(&self.model)?;
            model.expand()?;
            let inputs = inputs_or_random(&model, self.inputs.as_deref(), &sizes)?;
            match backend {
                BackendArg::Eval => self.evaluator(&model, inputs, global)?,
                BackendArg::Native => {
                    let busy = progress::spinner(global, "generating code");
                    let target = Some(lapidary::NEWEST_OPSET);
                    model.run_pipeline(&lapidary::level(2)?, lapidary::PassOptions { target_opset: target, ..Default::default() })?;
                    let (loaded, plan) = match self.profile {
                        true => model.load_profiled(global.jobs()).map(|(l, p)| (l, Some(p)))?,
                        false => (model.load(global.jobs())?, None),
                    };
                    busy.finish_and_clear();
                    let start = Instant::now();
                    let context = loaded.library.context(i32::from(self.threads), None)?;
                    self.native((&loaded.library, context), &inputs, start.elapsed(), plan.as_ref(), global)?
                }
            }
        };
        if global.json() {
            say_json(&figures);
        } else {
            print(&figures);
        }
        Ok(Status::Done)
    }

    fn native(
        &self,
        (library, mut context): (&Library, Context),
        inputs: &[Datum],
        load: Duration,
        plan: Option<&Plan>,
        global: &Global,
    ) -> Result<Figures> {
        let inputs: Vec<&Tensor> = native::tensors(inputs)?;
        let start = Instant::now();
        context.run_in_place(&inputs)?;
        let first = start.elapsed();
        let before = library.profile().unwrap_or_default();
        let (start, ticks, mut runs) = (Instant::now(), native::counter(), 0u32);
        let latency = self.measure(global, &mut || {
            runs += 1;
            context.run_in_place(&inputs)
        })?;
        let ms_per_tick = start.elapsed().as_secs_f64() * 1e3 / (native::counter() - ticks).max(1) as f64;
        let mut figures = self.figures(latency, load, first, context.memory(), "native");
        if self.profile {
            let times = library.profile().unwrap_or_default();
            let ms = |now: &KernelTime, before: &KernelTime| (now.ticks - before.ticks) as f64 * ms_per_tick / f64::from(runs.max(1));
            let work = plan.map(|p| work_of(p, &inputs));
            let kernels = times.iter().zip(&before).enumerate().map(|(i, (now, before))| {
                let ms = ms(now, before);
                let (operations, bytes) = work.as_ref().and_then(|w| w.get(i).copied()).unzip();
                Kernel { name: now.name.clone(), nodes: now.nodes.clone(), ms, operations, bytes }
            });
            let mut kernels: Vec<Kernel> = kernels.filter(|k| k.ms > 0.0).collect();
            kernels.sort_by(|a, b| b.ms.total_cmp(&a.ms));
            figures.kernels = Some(kernels);
        }
        Ok(figures)
    }

    fn evaluator(&self, model: &lapidary::Model, inputs: Vec<Datum>, global: &Global) -> Result<Figures> {
        let start = Instant::now();
        model.evaluate(inputs.clone())?;
        let first = start.elapsed();
        let latency = self.measure(global, &mut || model.evaluate(inputs.clone()).map(drop))?;
        Ok(self.figures(latency, Duration::ZERO, first, 0, "eval"))
    }

    fn figures(&self, latency_ms: Latency, load: Duration, first: Duration, memory_bytes: usize, backend: &'static str) -> Figures {
        let in_ms = |d: Duration| d.as_secs_f64() * 1e3;
        Figures { latency_ms, load_ms: in_ms(load), first_run_ms: in_ms(first), memory_bytes, threads: self.threads, backend, kernels: None }
    }

    /// Runs for a tenth of the time to warm up, then for all of it, at least five times.
    fn measure(&self, global: &Global, run: &mut dyn FnMut() -> Result<()>) -> Result<Latency> {
        let busy = progress::spinner(global, "measuring");
        let seconds = if self.seconds.is_finite() { self.seconds.clamp(0.01, 3600.0) } else { 2.0 };
        let warm = Instant::now();
        while warm.elapsed().as_secs_f64() < seconds / 10.0 {
            run()?;
        }
        let mut times = vec![];
        let start = Instant::now();
        while times.len() < 5 || (start.elapsed().as_secs_f64() < seconds && times.len() < 1_000_000) {
            let one = Instant::now();
            run()?;
            times.push(one.elapsed().as_secs_f64() * 1e3);
        }
        drop(busy);
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times.get(((times.len() - 1) as f64 * share).round() as usize).copied().unwrap_or(0.0);
        Ok(Latency { min: at(0.0), median: at(0.5), p90: at(0.9), n: times.len() })
    }
}

fn print(f: &Figures) {
    let mut t = table(&["figure", "value"], &["value"]);
    let l = &f.latency_ms;
    t.add_row(["latency, median", &format!("{} ms", ms(l.median))]);
    t.add_row(["latency, best", &format!("{} ms", ms(l.min))]);
    t.add_row(["latency, 90 %", &format!("{} ms", ms(l.p90))]);
    t.add_row(["runs", &l.n.to_string()]);
    t.add_row(["first run", &format!("{} ms", ms(f.first_run_ms))]);
    t.add_row(["load", &format!("{} ms", ms(f.load_ms))]);
    t.add_row(["memory", &bytes(f.memory_bytes as u64)]);
    say(t.trim_fmt());
    if let Some(kernels) = &f.kernels {
        let total: f64 = kernels.iter().map(|k| k.ms).sum();
        let mut t = table(&["kernel", "nodes", "ms", "%", "Gop/s", "GB/s"], &["ms", "%", "Gop/s", "GB/s"]);
        let rate = |v: Option<f64>, ms: f64| v.map_or("".into(), |v| format!("{:.1}", v / ms / 1e6));
        for k in kernels.iter().take(SHOWN) {
            let nodes: String = if k.nodes.chars().count() > 48 { k.nodes.chars().take(47).chain(['…']).collect() } else { k.nodes.clone() };
            let kind = k.name.split(':').next().unwrap_or_default().to_string();
            t.add_row([
                &kind,
                &nodes,
                &ms(k.ms),
                &format!("{:.1}", 100.0 * k.ms / total.max(1e-12)),
                &rate(k.operations, k.ms),
                &rate(k.bytes, k.ms),
            ]);
        }
        say(t.trim_fmt());
        if kernels.len() > SHOWN {
            say(format_args!("{} more kernels: --format json lists all", kernels.len() - SHOWN));
        }
    }
    say(format_args!("{}, {}", f.backend, if f.threads == 0 { "a thread per core".into() } else { format!("{} threads", f.threads) }));
}
