//! calibrate: run the model on samples and find the range of every value.
//!
//! Runs every sample of `data` (an .npz or .safetensors file, several, or a folder; axis 0 is samples, `batch` at a time) and keeps for each float value
//! the smallest and largest element and a histogram, in memory that does not grow with the number of samples; or takes what `lapidary calib`
//! gathered elsewhere (`stats`). From these comes the range that `fake-quant` uses:
//!
//! * `minmax`: everything that appeared; `moving`: the same, averaged over batches (0.01 new to 0.99 old);
//! * `percentile`: all but the outermost `1 - percentile/100`, split between both ends;
//! * `entropy`: the range whose 128 steps tell most about the distribution (Kullback-Leibler divergence, over 2048 bins or more; Migacz,
//!   "8-bit inference with TensorRT", 2017). Exact zeros are left out: every range holds them;
//! * `mse` (the default): the range that loses least in 8 bits, by the mean of |error|^2.4 (the exponent weighs large errors more, as in
//!   GPTQ's search). Measured against `minmax`: of PP-OCR's exact lines .93 instead of .85 remain, and MiniLM's embeddings are closer too;
//! * `admm`: the fixed point of rounding to a scale and fitting the scale to the codes (Leng et al., "Extremely low bit neural network", 2018);
//! * `easyquant`: from `entropy`, the scale at which the results of the layers that read a value point most nearly the way they did (cosine,
//!   100 steps from half to double; Wu et al., "EasyQuant", 2020). Runs the first samples of `data` a second time.
//!
//! Activations of 16 bits (`fake-quant{activations=uint16}`) take everything that appeared, whatever the method; those of 4 bits take the
//! range that loses least in 4 bits under `mse`, else that of 8.
//!
//! Nothing in the graph changes.

mod easyquant;
mod ranges;

use crate::common::activations::{BATCH, DATA};
use crate::common::quant::{Range, Statistics};
use crate::common::statistics::{Observations, Observed};
use lapidary_ir::{DType, Diagnostic, Graph, Result};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run};
use std::collections::BTreeMap;

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Exact, options: OPTIONS, rules: &[], run: Run::Code(run) };

const NAME: &str = "calibrate";

const METHODS: &[&str] = &["minmax", "moving", "percentile", "entropy", "mse", "admm", "easyquant"];
const OPTIONS: &[OptionSpec] = &[
    DATA,
    BATCH,
    OptionSpec::new("stats", Kind::Text, None, "statistics that `lapidary calib` gathered, instead of data"),
    OptionSpec::new("method", Kind::Choice(METHODS), Some("mse"), "how a range comes from what appeared"),
    OptionSpec::new("percentile", Kind::Float, Some("99.99"), "how much of the values a percentile range keeps, in percent"),
];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let method = ctx.options.text("method").unwrap_or("mse").to_string();
    let percentile = ctx.options.float("percentile").unwrap_or(99.99);
    if !(percentile > 50.0 && percentile <= 100.0) {
        return Err(Diagnostic::error("pass-option", format!("'percentile' is {percentile}, which is not between 50 and 100")).into());
    }
    let seen = match (ctx.options.text("stats"), ctx.options.text("data")) {
        (Some(_), Some(_)) => return Err(ctx.error("pass-option", "both 'data' and 'stats' are given: one is enough")),
        (Some(path), None) => Observations::read(&ctx.data.bytes(path)?, path)?,
        _ => {
            let data = ctx.options.required(NAME, "data")?;
            Observations::gather(graph, ctx.executor, ctx.data, data, ctx.options.int("batch").unwrap_or(8))?
        }
    };
    let mut ranges: BTreeMap<String, Range> = BTreeMap::new();
    let (mut wide, mut narrow) = (BTreeMap::new(), BTreeMap::new());
    for (name, observed) in &seen.values {
        if observed.not_finite > 0 {
            let message = format!("{} elements of '{name}' are not finite and were left out", observed.not_finite);
            ctx.note(Diagnostic::error("not-finite", message).value(name.as_str()));
        }
        let eight = range(observed, &method, percentile)?;
        wide.insert(name.clone(), Range::new(observed.histogram.low, observed.histogram.high));
        narrow.insert(name.clone(), if method == "mse" { ranges::least_error(&observed.histogram, DType::U4) } else { eight });
        ranges.insert(name.clone(), eight);
    }
    if method == "easyquant" {
        easyquant::refine(graph, ctx, NAME, &mut ranges)?;
    }
    let mut out = Outcome::default();
    out.touched.insert("values observed".into(), ranges.len());
    ctx.put(Statistics { ranges, wide, narrow, executor: seen.executor, samples: seen.samples as usize });
    Ok(out)
}

fn range(o: &Observed, method: &str, percentile: f64) -> Result<Range> {
    let h = &o.histogram;
    Ok(match method {
        "moving" => match o.moving {
            Some((a, b)) => Range::new(a, b),
            None if h.count == 0 => Range::new(0.0, 0.0),
            None => {
                let d = Diagnostic::error("no-moving-average", "merged statistics have no moving average: it would depend on the order of the parts");
                return Err(d.help("use another method, or gather on all data at once").into());
            }
        },
        "percentile" => {
            let part = (100.0 - percentile) / 200.0;
            Range::new(h.quantile(part), h.quantile(1.0 - part))
        }
        "entropy" | "easyquant" => ranges::entropy(h),
        "mse" => ranges::least_error(h, DType::U8),
        "admm" => ranges::admm(h),
        _ => Range::new(h.low, h.high),
    })
}
