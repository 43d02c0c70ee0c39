//! What stages are judged by: classes, labels, noise, bytes, and, where a gate asks, latency. Everything comes from the data given.

use super::Figures;
use crate::arrays::Files;
use crate::{Backend, Model, PassOptions, native};
use lapidary_ir::Result;
use lapidary_rewrite::{DataSource, Evaluator, Executor, Metric, Sums, graph_bytes, node_count};
use std::time::Instant;

/// Samples that are run at once.
const BATCH: usize = 16;
/// Runs `model` and `start` side by side over all data.
pub fn figures(start: &Model, model: &Model, data: &str, metric: Metric, backend: Backend) -> Result<Figures> {
    let (evaluator, native) = (Evaluator::default(), native::NativeExecutor::default());
    let executor: &dyn Executor = if backend == Backend::Native { &native } else { &evaluator };
    let (start, candidate) = (start.executable()?, model.executable()?);
    let mut reference = executor.load(start.graph(), &[])?;
    let mut runner = executor.load(candidate.graph(), &[])?;
    let inputs = start.graph().inputs().len();
    let files = Files::default();
    let mut samples = match metric.key() {
        Some(key) => files.open_with(data, start.graph(), key, Some(BATCH))?,
        None => files.open(data, start.graph(), Some(BATCH))?,
    };
    let mut sums = Sums::default();
    while let Some(mut batch) = samples.next()? {
        let classes = batch.split_off(inputs);
        let want = reference.run(batch.clone(), &mut |_, _| {})?;
        let got = runner.run(batch, &mut |_, _| {})?;
        sums.add(&want, &got, metric, classes.first())?;
    }
    let g = model.graph();
    Ok(Figures {
        metric: sums.metric(metric),
        lower_is_better: metric.lower_is_better(),
        agreement: sums.agreement(),
        sqnr_db: sums.sqnr_db(),
        bytes: graph_bytes(g),
        nodes: node_count(g),
        latency_ms: None,
        latency_before_ms: None,
    })
}

/// How long and how often latency is measured.
const SECONDS: f64 = 2.0;
const ROUNDS: usize = 15;

/// Median milliseconds of one run on one thread, natively, of both models: runs take turns, so that what else the machine does meets both.
/// The first sample of the data is the input.
pub fn latency(before: &Model, after: &Model, data: &str, jobs: usize) -> Result<(f64, f64)> {
    let why = |mut e: lapidary_ir::Diagnostics| {
        for d in &mut e.0 {
            d.notes.push("a gate asks for faster=true, which is measured in native code".into());
        }
        e
    };
    let (a, b) = (prepared(before, jobs).map_err(why)?, prepared(after, jobs).map_err(why)?);
    let inputs = {
        let files = Files::default();
        let mut samples = files.open(data, before.graph(), Some(1))?;
        samples.next()?.unwrap_or_default()
    };
    let inputs = native::tensors(&inputs)?;
    let (mut a, mut b) = (a.library.context(1, None)?, b.library.context(1, None)?);
    let mut times = [vec![], vec![]];
    let start = Instant::now();
    for round in 0.. {
        for (context, times) in [&mut a, &mut b].into_iter().zip(&mut times) {
            let one = Instant::now();
            context.run_in_place(&inputs)?;
            // The first two rounds warm up.
            if round >= 2 {
                times.push(one.elapsed().as_secs_f64() * 1e3);
            }
        }
        if round >= ROUNDS + 2 && start.elapsed().as_secs_f64() > SECONDS || round > 20_000 {
            break;
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let [x, y] = &mut times;
    Ok((median(x), median(y)))
}

/// Native code as `lapidary bench` makes it.
fn prepared(model: &Model, jobs: usize) -> Result<native::Loaded> {
    let mut model = model.clone();
    model.expand()?;
    model.run_pipeline(&crate::level(2)?, PassOptions { target_opset: Some(crate::NEWEST_OPSET), ..PassOptions::default() })?;
    model.load(jobs)
}
