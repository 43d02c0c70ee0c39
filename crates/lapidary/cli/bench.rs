use super::args::{BackendArg, Global, dim, inputs_or_random, is_library};
use super::run::exists;
use super::table::{bytes, ms, table};
use super::{Outcome, Status, progress, say, say_json, supervise};
use clap::Args;
use lapidary::native::{self, Context, Library};
use lapidary::{Datum, Diagnostic, DimRange, Result, Tensor, arrays};
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  lapidary bench libmodel.so --inputs x.npz --threads 1
  lapidary bench model.onnx --dim batch=8 --format json

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
    /// Show the time of each kernel
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
        if self.profile {
            let d = Diagnostic::unsupported("profile", "libraries of this version do not time their kernels");
            return Err(d.help("`perf record lapidary bench …` shows time by kernel: emitted functions carry their kernels' names").into());
        }
        let library = is_library(&self.model);
        let backend = self.backend.unwrap_or_else(BackendArg::default_here);
        if (library || backend == BackendArg::Native)
            && let Some(outcome) = supervise::run(&self.model, global)
        {
            return outcome;
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
            self.native(context, &inputs, load, global)?
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
                    let loaded = model.load(global.jobs())?;
                    busy.finish_and_clear();
                    let start = Instant::now();
                    let context = loaded.library.context(i32::from(self.threads), None)?;
                    self.native(context, &inputs, start.elapsed(), global)?
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

    fn native(&self, mut context: Context, inputs: &[Datum], load: Duration, global: &Global) -> Result<Figures> {
        let inputs: Vec<&Tensor> = native::tensors(inputs)?;
        let start = Instant::now();
        context.run_in_place(&inputs)?;
        let first = start.elapsed();
        let latency = self.measure(global, &mut || context.run_in_place(&inputs))?;
        Ok(self.figures(latency, load, first, context.memory(), "native"))
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
        Figures { latency_ms, load_ms: in_ms(load), first_run_ms: in_ms(first), memory_bytes, threads: self.threads, backend }
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
    say(format_args!("{}, {}", f.backend, if f.threads == 0 { "a thread per core".into() } else { format!("{} threads", f.threads) }));
}
