//! Which layer? What quantizing each layer alone does to a model.

use crate::arrays::Files;
use crate::native::NativeExecutor;
use crate::{Backend, Model, PassOptions};
use lapidary_ir::Result;
pub use lapidary_passes::sensitivity::{Effect, Format, Profile, Sensitivities};
use lapidary_passes::sensitivity::{Plan, measure_all};
pub use lapidary_rewrite::Metric;
use lapidary_rewrite::{Evaluator, Executor, Miss, PassCtx};

/// What to measure.
pub struct Options {
    pub formats: Vec<Format>,
    /// What the model is judged by: the metric that labels or targets in the data allow, else the noise of the outputs, when `None`.
    pub metric: Option<Metric>,
    /// Inputs that share a scale where weights alone are quantized.
    pub block: usize,
    /// Samples run at a time, and used at most.
    pub batch: usize,
    pub samples: usize,
    /// Tables of Gather too.
    pub embeddings: bool,
    pub backend: Backend,
}

/// The metric that the data allow: labels or targets make it, else it is the noise of the outputs.
pub fn metric_of(model: &Model, data: &str) -> Result<Metric> {
    let task = Metric::of(&Files::default(), model.graph(), data)?;
    Ok(if task == Metric::Agreement { Metric::Sqnr } else { task })
}

/// Measures every layer in every format. Gives what was left out, with the reason, beside. `progress` is called with what is being done, and
/// steps done of how many.
///
/// # Errors
/// Data that does not fit the model; a model without weights to quantize; operators that nothing can run.
pub fn sensitivity(model: &Model, data: &str, options: &Options, progress: &mut dyn FnMut(&str, usize, usize)) -> Result<(Sensitivities, Vec<Miss>)> {
    let mut ready = model.executable()?.into_owned();
    // Weights that are made of constants are constants.
    ready.run_pipeline(&crate::parse_pipeline("lift-constants, fold-constants")?, PassOptions::default())?;
    let metric = options.metric.map_or_else(|| metric_of(&ready, data), Ok)?;
    let (evaluator, native, files) = (Evaluator::default(), NativeExecutor::default(), Files::default());
    let executor: &dyn Executor = if options.backend == Backend::Native { &native } else { &evaluator };
    let mut ctx = PassCtx::new(executor, &files, ready.opset());
    let plan = Plan { data, formats: options.formats.clone(), block: options.block, batch: options.batch, samples: options.samples, metric };
    let found = measure_all(ready.graph(), &mut ctx, options.embeddings, &plan, progress)?;
    Ok((found, ctx.misses))
}
