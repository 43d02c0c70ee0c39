//! Compression in stages: each is run, judged on data, and kept or undone.

mod gate;
mod lock;
mod measure;
mod page;
mod stages;

pub use gate::{Condition, Gate};
pub use lock::{Lock, LockedFile, LockedStage, hash_bytes, hash_data, hash_file, hash_weights};
pub use page::html;
pub use stages::{DATA, Stage, from_toml, other_texts, runtimes, with_data};

use crate::difference::{self, Pair, Source};
use crate::{Backend, CompileOptions, Compiled, Model, PassOptions, SaveOptions, arrays};
use lapidary_ir::{Result, Tolerance};
pub use lapidary_rewrite::Metric;
use lapidary_rewrite::{Check, Ledger, Pipeline};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The runtime that stands for libraries that Lapidary compiles.
pub const NATIVE: &str = "native";

/// What is done where no recipe says otherwise: a name, and the recipe.
pub fn default_recipe(runtime: Option<&str>) -> (&'static str, &'static str) {
    match runtime {
        Some(NATIVE) => ("native-int8.toml (built in)", include_str!("../../../examples/recipes/native-int8.toml")),
        _ => ("static-int8.toml (built in)", include_str!("../../../examples/recipes/static-int8.toml")),
    }
}

/// How to compress.
pub struct Options {
    /// What runs the model for passes that measure it, and for the metric. Passes see its rounding, so it is part of what a lock holds.
    pub backend: Backend,
    /// Threads that generate code.
    pub jobs: usize,
    /// Where crash reproducers go.
    pub crash_dir: PathBuf,
    /// The opset that is written; the model's own when `None`.
    pub target_opset: Option<u32>,
    /// Called with what is being done.
    pub progress: Rc<dyn Fn(&str)>,
}

/// What is known of the model after a stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Absent where no output has classes.
    pub metric: Option<f64>,
    pub lower_is_better: bool,
    /// Share of the rows whose largest output stands where it does in the model at the start.
    pub agreement: Option<f64>,
    /// Of the outputs against the model at the start; absent where nothing differs.
    pub sqnr_db: Option<f64>,
    /// Of all constants.
    pub bytes: u64,
    pub nodes: usize,
    /// After and before the stage; where a gate asks for it.
    pub latency_ms: Option<f64>,
    pub latency_before_ms: Option<f64>,
}

impl Figures {
    /// How much worse the metric is than `start`'s, in per cent: points of a share, parts of a perplexity. Negative when it is better.
    pub fn drop_from(&self, start: &Figures) -> Option<f64> {
        let (now, then) = (self.metric?, start.metric?);
        Some(if self.lower_is_better { (now / then - 1.0) * 100.0 } else { (then - now) * 100.0 })
    }
}

/// What came of a stage.
#[derive(Clone, Debug, Serialize)]
pub struct StageResult {
    pub name: String,
    /// Its passes, every option written out.
    pub pipeline: String,
    pub gate: Option<String>,
    pub accepted: bool,
    /// Why it was undone.
    pub reasons: Vec<String>,
    /// Of the model after the stage, also when that was undone.
    pub figures: Figures,
    pub ledger: Ledger,
}

impl StageResult {
    /// What passes chose for each layer, one line each.
    pub fn choices(&self) -> Vec<String> {
        self.ledger.notes.iter().filter(|n| n.code == "precision").flat_map(|n| n.notes.iter().cloned()).collect()
    }
}

/// A compressed model, and how it came about.
#[derive(Debug, Serialize)]
pub struct Compressed {
    #[serde(skip)]
    pub model: Model,
    pub metric: Metric,
    pub start: Figures,
    pub end: Figures,
    pub stages: Vec<StageResult>,
    /// Where values part from those of the model at the start, in the order in which they are computed.
    pub layers: Vec<Pair>,
}

/// Samples on which values within the model are compared.
const LAYER_SAMPLES: usize = 4;

/// Runs the stages on a copy of `model`. A stage whose gate does not hold is undone: what comes after starts from the model before it.
///
/// # Errors
/// What passes report; data that do not fit the model; a gate that cannot be judged.
pub fn compress(model: &Model, stages: &[Stage], data: &str, options: &Options) -> Result<Compressed> {
    let metric = Metric::of(&arrays::Files::default(), model.graph(), data)?;
    (options.progress)("measuring the model");
    let judge = |m: &Model| measure::figures(model, m, data, metric, options.backend);
    let start = judge(model)?;
    let (mut now, mut last, mut results) = (model.clone(), start.clone(), vec![]);
    for (i, stage) in stages.iter().enumerate() {
        let title = format!("{} ({} of {})", stage.name, i + 1, stages.len());
        (options.progress)(&title);
        let mut after = now.clone();
        let ledger = run_stage(&mut after, &stage.pipeline, data, &title, options)?;
        (options.progress)(&format!("{title}: measuring"));
        let mut figures = judge(&after)?;
        if stage.gate.as_ref().is_some_and(Gate::asks_for_latency) {
            let (a, b) = measure::latency(&now, &after, data, options.jobs)?;
            (figures.latency_before_ms, figures.latency_ms) = (Some(a), Some(b));
        }
        let reasons = stage.gate.as_ref().map_or(Ok(vec![]), |g| g.unmet(&start, &last, &figures))?;
        let accepted = reasons.is_empty();
        if accepted {
            (now, last) = (after, figures.clone());
        }
        let gate = stage.gate.as_ref().map(Gate::to_string);
        results.push(StageResult { name: stage.name.clone(), pipeline: stage.pipeline.to_string(), gate, accepted, reasons, figures, ledger });
    }
    (options.progress)("comparing values");
    let layers = layers(model, &now, data)?;
    Ok(Compressed { model: now, metric, start, end: last, stages: results, layers })
}

/// Runs pipelines without judging them, as a lock file lists them.
pub fn replay(model: &Model, pipelines: &[Pipeline], data: &str, options: &Options) -> Result<Model> {
    let mut now = model.clone();
    for (i, p) in pipelines.iter().enumerate() {
        run_stage(&mut now, p, data, &format!("stage {} of {}", i + 1, pipelines.len()), options)?;
    }
    Ok(now)
}

fn run_stage(model: &mut Model, pipeline: &Pipeline, data: &str, title: &str, options: &Options) -> Result<Ledger> {
    let pipeline = with_data(pipeline, data);
    let (progress, title) = (options.progress.clone(), title.to_string());
    let run = PassOptions {
        check: Check::Off,
        target_opset: options.target_opset,
        crash_dir: options.crash_dir.clone(),
        backend: if options.backend == Backend::Native { PassOptions::backend_for(&pipeline, Check::Off) } else { Backend::Eval },
        progress: Some(Box::new(move |pass, _| progress(&format!("{title}: {pass}")))),
        ..PassOptions::default()
    };
    Ok(model.run_pipeline(&pipeline, run)?.ledger)
}

fn layers(start: &Model, end: &Model, data: &str) -> Result<Vec<Pair>> {
    let Some(inputs) = arrays::first_samples(start.graph(), data, LAYER_SAMPLES)?.into_iter().next() else { return Ok(vec![]) };
    let options = difference::Options { tolerance: Tolerance::MaxRel(0.0), ..difference::Options::default() };
    let mut all = difference::explain(start, end, &Source::Inputs(&inputs), &options, &mut |_, _, _| {})?.pairs;
    // A value of another shape is another value.
    all.retain(|v| v.total.problem.is_none());
    Ok(all)
}

/// Writes a model: a library by way of the default passes where the name ends in `.so` or `.a`, else ONNX or text.
pub fn write(model: &Model, path: &Path, target_opset: Option<u32>, jobs: usize) -> Result<Compiled> {
    model.write_side_files()?;
    if !is_library(path) {
        // A pass may have asked for a newer one.
        let target_opset = target_opset.map(|n| n.max(model.opset()));
        model.save(path, &SaveOptions { target_opset })?;
        return Ok(Compiled { files: vec![path.into()], ..Compiled::default() });
    }
    let mut model = model.clone();
    model.expand()?;
    model.run_pipeline(&crate::level(2)?, PassOptions { target_opset: Some(crate::NEWEST_OPSET), ..PassOptions::default() })?;
    model.compile(path, &CompileOptions { jobs, ..CompileOptions::default() })
}

/// Whether [`write`] makes a library of this name.
pub fn is_library(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "so" || e == "a")
}
