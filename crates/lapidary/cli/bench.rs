use super::args::{BackendArg, Global, dim, inputs_or_random, is_library};
use super::profile::{self, Kernel};
use super::roofline::{self, Roofline};
use super::run::exists;
use super::table::{bytes, ms, table};
use super::{Outcome, Status, progress, say, say_json, supervise};
use clap::Args;
use lapidary::native::{self, Context, KernelTime, Library};
use lapidary::roofs::{self, Roofs};
use lapidary::{Datum, Diagnostic, DimRange, Result, Tensor, arrays};
use lapidary_kernel::Plan;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  lapidary bench libmodel.so --inputs x.npz --threads 1
  lapidary bench model.onnx --dim batch=8 --format json
  lapidary bench model.onnx --profile --threads 1             which kernel takes how long
  lapidary bench model.onnx --roofline model.svg --threads 1  how near each comes to its floor

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
    /// Show each kernel's time, what it computes and moves, and the share of the time that this machine, measured first, needs at least
    /// (floor %); of a library that was compiled with --profile the time alone
    #[arg(long)]
    profile: bool,
    /// Draw the kernels below the machine's roofs, operations a byte against operations a second; includes --profile
    #[arg(long, value_name = "F.svg")]
    roofline: Option<PathBuf>,
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
    /// With --profile, of a model: what the machine can do at best.
    #[serde(skip_serializing_if = "Option::is_none")]
    roofs: Option<Roofs>,
    /// With --profile, the slowest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    kernels: Option<Vec<Kernel>>,
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
        if self.profiles() && !library && backend == BackendArg::Eval {
            let flag = if self.profile { "--profile" } else { "--roofline" };
            return Err(Diagnostic::error("profile", format!("{flag} tells the time of native kernels")).help("leave --backend out").into());
        }
        if self.roofline.is_some() && library {
            let d = Diagnostic::error("roofline", "a library does not tell how many operations its kernels compute");
            return Err(d.help("give the model that it was made of").into());
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
                    let (loaded, plan) = match self.profiles() {
                        true => model.load_profiled(global.jobs()).map(|(l, p)| (l, Some(p)))?,
                        false => (model.load(global.jobs())?, None),
                    };
                    busy.finish_and_clear();
                    // Before the model has threads.
                    let known = plan.map(|p| roofs::measure(self.threads, global.jobs()).map(|r| (p, r))).transpose()?;
                    let start = Instant::now();
                    let context = loaded.library.context(i32::from(self.threads), None)?;
                    self.native((&loaded.library, context), &inputs, start.elapsed(), known, global)?
                }
            }
        };
        if let Some(path) = &self.roofline {
            self.draw(path, &figures)?;
        }
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
        known: Option<(Plan, Roofs)>,
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
        if self.profiles() {
            let ms = |now: &KernelTime, before: &KernelTime| (now.ticks - before.ticks) as f64 * ms_per_tick / f64::from(runs.max(1));
            let with = known.as_ref().map(|(plan, roofs)| (plan, &inputs[..], roofs));
            figures.kernels = Some(profile::kernels(&library.profile().unwrap_or_default(), &before, &ms, with));
            figures.roofs = known.map(|(_, roofs)| roofs);
        }
        Ok(figures)
    }

    /// Whether the time of each kernel is asked for.
    fn profiles(&self) -> bool {
        self.profile || self.roofline.is_some()
    }

    fn draw(&self, path: &Path, figures: &Figures) -> Result<()> {
        let (Some(roofs), Some(kernels)) = (&figures.roofs, &figures.kernels) else { return Ok(()) };
        let model = self.model.file_name().unwrap_or_default().to_string_lossy();
        let svg = roofline::svg(&Roofline { model: &model, cpu: &roofs::cpu_name(), roofs, kernels });
        lapidary::replace_file(path, &|f| f.write_all(svg.as_bytes()))
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
        Figures {
            latency_ms,
            load_ms: in_ms(load),
            first_run_ms: in_ms(first),
            memory_bytes,
            threads: self.threads,
            backend,
            roofs: None,
            kernels: None,
        }
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
        profile::print(kernels);
    }
    if let Some(roofs) = &f.roofs {
        let peaks = roofs.peaks.iter().map(|p| format!("{} {:.0} Gop/s", p.name, p.operations_per_second / 1e9));
        let levels = roofs.levels.iter().map(|l| format!("{} {:.0} GB/s", l.name, l.bytes_per_second / 1e9));
        say(format_args!("floor: {}", peaks.chain(levels).collect::<Vec<_>>().join(", ")));
    }
    say(format_args!("{}, {}", f.backend, if f.threads == 0 { "a thread per core".into() } else { format!("{} threads", f.threads) }));
}
