//! auto-precision: choose each layer's number format by what it does to the outputs, within a budget.
//!
//! Runs the model on `data` with one layer at a time in each of `formats`, as `lapidary sensitivity` does, and picks the formats whose losses
//! add up to the least (dynamic programming: no better sum exists). The choice is written on the nodes, where `quantize-weights` and
//! `fake-quant` find it, and printed per layer:
//!
//! `auto-precision{budget="3bits", data="x.npz"}, quantize-weights{method=gptq, data="x.npz"}`
//!
//! Covers every constant weight of MatMul, Gemm and Conv but the head (`head=true` includes it, `embeddings=true` tables of Gather); give
//! `quantize-weights` the same two options. What is not covered takes the bits that `quantize-weights` is given.
//!
//! Budgets are of the covered weights:
//!
//! * `"3bits"`: bits of a code, on average; scales are not counted.
//! * `"200KB"`, `"1.5MiB"`, `"14%"` (of what they take now): bytes in a file, scales and zero points included. Files have codes of 2, 4 and 8
//!   bits, so 3 bits are no gain here.
//! * `"latency 60%"`: time by a model of a machine, of the time in floats: a layer takes as long as its multiply-adds (32·10⁹ a second in
//!   floats, four times as many in int8) or as reading its weights (10·10⁹ bytes a second), whichever is longer. Symbolic sizes count as 1.
//!
//! Formats: `float`, `int8` (weights and inputs: `calibrate, fake-quant, fold-quant` must follow), `w8` and `int7` to `int2` (weights alone).
//!
//! `metric` is what must not be lost: `kl` (the default where the data hold `targets` or `labels`), `perplexity` of the first, `accuracy` of
//! the second, `agreement`, `max-rel`, or `sqnr` (else the default). Source: Dong et al., "HAWQ" (2019), with measured losses.

mod knapsack;

use crate::common::activations::{BATCH, DATA};
use crate::common::layers::{self, EMBEDDINGS, HEAD, Layer, Scope};
use crate::common::nothing_done;
use crate::common::quant::{PRECISION, STAYS_FLOAT};
use crate::common::sensitivity::{Effect, Format, Plan, Profile, measure};
use knapsack::{Choice, choose};
use lapidary_ir::{Diagnostic, Graph, Result};
use lapidary_rewrite::{Effect as Promise, Kind, Metric, OptionSpec, Outcome, Pass, PassCtx, Run};
use std::collections::BTreeMap;

pub static PASS: Pass =
    Pass { name: NAME, source: include_str!("mod.rs"), effect: Promise::Exact, options: OPTIONS, rules: &[], run: Run::Code(run) };

const NAME: &str = "auto-precision";

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("budget", Kind::Text, None, "what the covered weights may take: \"3bits\", \"200KB\", \"14%\", \"latency 60%\""),
    OptionSpec::new("formats", Kind::Words, Some("float|w8|int4|int3|int2"), "the formats to choose from, separated by |"),
    OptionSpec::new("metric", Kind::Text, None, "what must not be lost (default: kl with labels or targets in the data, else sqnr)"),
    OptionSpec::new("block", Kind::Int, Some("32"), "inputs that share a scale; give quantize-weights the same"),
    OptionSpec::new("samples", Kind::Int, Some("64"), "samples used at most"),
    DATA,
    BATCH,
    HEAD,
    EMBEDDINGS,
];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let o = &ctx.options;
    let budget = Budget::parse(o.required(NAME, "budget")?)?;
    let data = o.required(NAME, "data")?.to_string();
    let formats = Format::parse_list(o.text("formats").unwrap_or("float|w8|int4|int3|int2"))?;
    let metric = o.text("metric").map(Metric::parse).transpose()?;
    let positive = |name: &str, default: i64| match o.int(name).unwrap_or(default) {
        n if n > 0 => Ok(n as usize),
        n => Err(Diagnostic::error("pass-option", format!("'{name}' is {n}")).help("it is a number above 0")),
    };
    let (block, samples, batch) = (positive("block", 32)?, positive("samples", 64)?, positive("batch", 8)?);
    let metric = match metric {
        Some(m) => m,
        None if Metric::of(ctx.data, graph, &data)? == Metric::Agreement => Metric::Sqnr,
        None => Metric::Kl,
    };
    let found = layers::find(graph, ctx, NAME, Scope::of(ctx));
    if found.is_empty() {
        nothing_done(ctx, NAME)?;
        return Ok(Outcome::default());
    }
    let plan = Plan { data: &data, formats, block, batch, samples, metric };
    let seen = measure(graph, ctx, &found, &plan, &mut |_, _, _| {})?;
    let cost = |l: &Profile, e: &Effect| budget.cost(l, e);
    let ways: Vec<Vec<Choice>> = seen.layers.iter().map(|l| l.effects.iter().map(|e| Choice { cost: cost(l, e), loss: e.loss }).collect()).collect();
    let floats: Vec<u64> = found.iter().zip(&seen.layers).map(|(f, l)| budget.cost(l, &float(graph, f, l))).collect();
    let room = budget.room(&seen.layers, floats.iter().sum());
    let Some(chosen) = choose(&ways, room) else {
        let least: u64 = ways.iter().map(|w| w.iter().map(|c| c.cost).min().unwrap_or(0)).sum();
        let (least, room) = (budget.show(least, &seen.layers), budget.show(room, &seen.layers));
        let d = Diagnostic::error("budget", format!("the smallest of the formats take {least}, and the budget is {room}"));
        return Err(d.help("raise the budget, or give smaller formats").into());
    };
    let mut out = Outcome::default();
    let (mut counts, mut lines) = (BTreeMap::new(), vec![]);
    for ((layer, profile), pick) in found.iter().zip(&seen.layers).zip(&chosen.picks) {
        let Some(e) = profile.effects.get(*pick) else { continue };
        let text = if e.format == Format::Float { STAYS_FLOAT.1.to_string() } else { e.format.to_string() };
        for (node, _) in &layer.readers {
            graph.node_mut(*node).metadata.insert(PRECISION.into(), text.as_str().into());
        }
        *counts.entry(e.format).or_insert(0usize) += 1;
        let place = profile.module.as_ref().map_or(String::new(), |m| format!(" ({m})"));
        lines.push(format!("{}{place}: {text}, loss {:.2e}", profile.node, e.loss));
    }
    out.touch("layers", found.len());
    let counted: Vec<String> = counts.iter().map(|(f, n)| format!("{n} {f}")).collect();
    let exact = if chosen.unit == 1 || ways.iter().flatten().all(|c| c.cost % chosen.unit == 0) { "" } else { ", costs rounded up" };
    let uniform = |f: usize| {
        let all: Option<Vec<Choice>> = ways.iter().map(|w| w.get(f).copied()).collect();
        all.filter(|w| w.iter().map(|c| c.cost).sum::<u64>() <= room).map(|w| w.iter().map(|c| c.loss).sum::<f64>())
    };
    let best = (0..plan.formats.len()).filter_map(|f| Some((uniform(f)?, plan.formats[f]))).min_by(|a, b| a.0.total_cmp(&b.0));
    let beside = best.map_or(String::new(), |(loss, f)| format!("; {f} everywhere would lose {loss:.2e}"));
    let message = format!(
        "{} (in floats {}, the budget is {}{exact}): {}; they lose {:.2e} by {}{beside}",
        budget.show(chosen.cost, &seen.layers),
        budget.show(floats.iter().sum(), &seen.layers),
        budget.show(room, &seen.layers),
        counted.join(", "),
        chosen.loss,
        metric.name(),
    );
    ctx.note(lines.into_iter().fold(Diagnostic::error("precision", message), Diagnostic::note));
    Ok(out)
}

/// A layer as it is.
fn float(graph: &Graph, layer: &Layer, profile: &Profile) -> Effect {
    let dtype = graph.dtype(layer.weight);
    let bytes = Format::Float.bytes(profile.rows, profile.columns, dtype, 1);
    Effect { format: Format::Float, bytes, bits: Format::Float.code_bits(dtype), ..Effect::nothing() }
}

/// What may be spent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Budget {
    /// Bits of a code on average.
    Bits(f64),
    Bytes(f64),
    /// Of the bytes in floats.
    Share(f64),
    /// Of the modelled time in floats.
    Latency(f64),
}

/// Multiply-adds and bytes a second of the modelled machine, and how many times as many multiply-adds it does in 8 bits.
const RATE: f64 = 32e9;
const BANDWIDTH: f64 = 10e9;
const INT8: f64 = 4.0;
/// Times are counted in so much of a second.
const TICK: f64 = 1e-12;

impl Budget {
    fn parse(text: &str) -> Result<Budget> {
        let wrong = || {
            let d = Diagnostic::error("budget", format!("'{text}' is no budget"));
            d.help("write \"3bits\" (of a weight, on average), \"200KB\" or \"14%\" (bytes in a file), \"latency 60%\"")
        };
        let plain = text.trim();
        let (latency, rest) = plain.strip_prefix("latency").map_or((false, plain), |r| (true, r.trim()));
        let split = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let number = rest[..split].parse::<f64>().ok().filter(|v| *v > 0.0 && v.is_finite()).ok_or_else(wrong)?;
        let bytes = |step: f64| Ok(Budget::Bytes(number * step));
        match (rest[split..].trim(), latency) {
            ("%", true) => Ok(Budget::Latency(number / 100.0)),
            ("%", false) => Ok(Budget::Share(number / 100.0)),
            ("bits" | "bit", false) => Ok(Budget::Bits(number)),
            ("B", false) => bytes(1.0),
            ("KB", false) => bytes(1e3),
            ("MB", false) => bytes(1e6),
            ("GB", false) => bytes(1e9),
            ("KiB", false) => bytes(1024.0),
            ("MiB", false) => bytes(1024.0 * 1024.0),
            ("GiB", false) => bytes(1024.0 * 1024.0 * 1024.0),
            _ => Err(wrong().into()),
        }
    }
    fn cost(self, layer: &Profile, e: &Effect) -> u64 {
        match self {
            Budget::Bits(_) => (layer.rows * layer.columns) as u64 * u64::from(e.bits),
            Budget::Bytes(_) | Budget::Share(_) => e.bytes,
            Budget::Latency(_) => {
                let work = layer.multiply_adds.unwrap_or(0).max(0) as f64 / if e.format == Format::Int8 { RATE * INT8 } else { RATE };
                (work.max(e.bytes as f64 / BANDWIDTH) / TICK).ceil() as u64
            }
        }
    }
    /// In the unit of costs, of layers that cost so much in floats.
    fn room(self, layers: &[Profile], floats: u64) -> u64 {
        match self {
            Budget::Bits(b) => (b * weights(layers)) as u64,
            Budget::Bytes(b) => b as u64,
            Budget::Share(s) | Budget::Latency(s) => (s * floats as f64) as u64,
        }
    }
    fn show(self, cost: u64, layers: &[Profile]) -> String {
        match self {
            Budget::Bits(_) => format!("{:.3} bits", cost as f64 / weights(layers)),
            Budget::Bytes(_) | Budget::Share(_) => format!("{cost} bytes"),
            Budget::Latency(_) => format!("{:.3} µs (modelled)", cost as f64 * TICK * 1e6),
        }
    }
}

fn weights(layers: &[Profile]) -> f64 {
    layers.iter().map(|l| (l.rows * l.columns) as f64).sum::<f64>().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read() {
        for (text, want) in [
            ("3bits", Budget::Bits(3.0)),
            ("2.5 bits", Budget::Bits(2.5)),
            ("14%", Budget::Share(0.14)),
            ("200KB", Budget::Bytes(200e3)),
            ("1.5 MiB", Budget::Bytes(1.5 * 1048576.0)),
            ("latency 60%", Budget::Latency(0.6)),
        ] {
            assert_eq!(Budget::parse(text).unwrap(), want, "{text}");
        }
        for text in ["", "3", "-1bits", "0%", "latency 3bits", "3 bytes", "1e99999bits", "inf%"] {
            assert!(format!("{:?}", Budget::parse(text).unwrap_err()).contains("is no budget"), "{text}");
        }
    }
}
