//! extract-lora: the difference of two checkpoints as a LoRA adapter.
//!
//! `extract-lora{base="base.onnx", rank=8, out="DIR"}` on a fine-tuned model takes, for every weight that differs from the base's weight of
//! the same name, the best matrices B and A of a rank (the largest singular values of the difference), and writes them to DIR as PEFT
//! saves adapters. `energy=0.99` takes the least rank that keeps this part of each difference's squares; with both, `rank` is the limit.
//!
//! The model becomes what base and adapter compute together, so that the ledger (and `--check`) tells what extraction loses.
//!
//! Both models must come from the same exporter: weights are paired by name. A weight that nothing names a module for cannot go into an
//! adapter and is left alone, as are biases, norms and groups of a convolution: the ledger lists what differs and stays.
//!
//! Source: Hu et al., "LoRA" (2021), whose hypothesis is that such differences have low rank; Eckart and Young (1936).

use crate::common::linalg::svd;
use crate::common::modules::{self, Role, Site, store};
use faer::Mat;
use lapidary_ir::{DType, Diagnostic, Graph, Result, Tensor, safetensors};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run, SideFile};
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Lossy, options: OPTIONS, rules: &[], run: Run::Code(run) };

const NAME: &str = "extract-lora";

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("base", Kind::Text, None, "the model before fine-tuning"),
    OptionSpec::new("rank", Kind::Int, None, "the rank of each difference, or its limit (default 8 without 'energy')"),
    OptionSpec::new("energy", Kind::Float, None, "the part of the squares of each difference that stays, above 0 and up to 1"),
    OptionSpec::new("out", Kind::Text, None, "the folder that the adapter is written to"),
];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let (limit, energy) = amounts(ctx)?;
    let base = ctx.data.model(ctx.options.required(NAME, "base")?)?;
    let folder = ctx.options.required(NAME, "out")?.trim_end_matches('/').to_string();
    let old = modules::find(&base);
    let mut adapter = Adapter::default();
    let mut covered = BTreeSet::new();
    let mut out = Outcome::default();
    let (mut kept, mut all) = (0.0, 0.0);
    for site in modules::find(graph) {
        let pair = old.iter().find(|o| o.name == site.name && o.role == site.role && o.turned == site.turned);
        let Some(pair) = pair.filter(|o| (o.rows, o.columns) == (site.rows, site.columns)) else { continue };
        let Some(reader) = site.readers.iter().find(|r| ctx.selected(graph, r.node)).map(|r| r.node) else { continue };
        let (Some(new), Some(before)) = (site.matrix(graph), pair.matrix(&base)) else { continue };
        let delta = &new - &before;
        if delta.col_iter().all(|c| c.iter().all(|v| *v == 0.0)) {
            continue;
        }
        let Some(module) = module(&site) else {
            ctx.miss(NAME, graph, reader, "nothing names the module that it is");
            continue;
        };
        if site.groups > 1 {
            ctx.miss(NAME, graph, reader, "its groups keep channels apart");
            continue;
        }
        let Some((u, s, v)) = svd(delta.as_ref()) else {
            ctx.miss(NAME, graph, reader, "the difference has no singular values");
            continue;
        };
        let rank = rank(&s, limit, energy);
        all += s.iter().map(|s| s * s).sum::<f64>();
        kept += s.iter().take(rank).map(|s| s * s).sum::<f64>();
        // Each side gets the root of the singular values, so that both are of a like size.
        let b = Mat::from_fn(site.rows, rank, |r, c| u[(r, c)] * s[c].sqrt());
        let a = Mat::from_fn(rank, site.columns, |r, c| v[(c, r)] * s[r].sqrt());
        let readers: Vec<usize> = (0..site.readers.len()).collect();
        store::store(graph, NAME, &site, &readers, &(before + &b * &a))?;
        adapter.add(&module, &site, &a, &b)?;
        covered.insert(site.name.clone());
        out.touch("weights", 1);
    }
    if adapter.ranks.is_empty() {
        return Err(Diagnostic::error("nothing-done", "no weight differs from the base's weight of the same name").into());
    }
    let others = others(graph, &base, &covered);
    if !others.is_empty() {
        let d = Diagnostic::error("not-extracted", format!("{} other constants differ from the base and are not in the adapter", others.len()));
        ctx.note(others.into_iter().fold(d, |d, name| d.note(name)));
    }
    for (name, bytes) in [("adapter_config.json", adapter.config().into_bytes()), ("adapter_model.safetensors", adapter.file()?)] {
        ctx.files.push(SideFile { path: format!("{folder}/{name}"), bytes });
    }
    let share = if all > 0.0 { 100.0 * kept / all } else { 100.0 };
    let text = format!("{} modules, ranks up to {}, hold {share:.4} % of the squares of what differs", adapter.ranks.len(), adapter.largest());
    ctx.note(Diagnostic::error("extracted", text));
    Ok(out)
}

fn amounts(ctx: &PassCtx<'_>) -> Result<(usize, Option<f64>)> {
    let wrong = |text: String, help: &str| Err(Diagnostic::error("pass-option", text).help(help).into());
    let energy = ctx.options.float("energy");
    if energy.is_some_and(|e| !(e > 0.0 && e <= 1.0)) {
        return wrong(format!("'energy' is {}", energy.unwrap_or_default()), "it is the part that stays, above 0 and up to 1");
    }
    match ctx.options.int("rank") {
        Some(r) if r < 1 => wrong(format!("'rank' is {r}"), "it is at least 1"),
        Some(r) => Ok((r as usize, energy)),
        None => Ok((if energy.is_some() { usize::MAX } else { 8 }, energy)),
    }
}

/// The least rank that keeps the energy, within the limit; singular values of nothing but rounding do not count.
fn rank(s: &[f64], limit: usize, energy: Option<f64>) -> usize {
    let all: f64 = s.iter().map(|s| s * s).sum();
    let wanted = all * energy.unwrap_or(1.0);
    let mut sum = 0.0;
    let enough = s.iter().position(|s| {
        sum += s * s;
        sum >= wanted
    });
    let real = s.iter().take_while(|v| **v > s[0] * 1e-12).count();
    enough.map_or(s.len(), |n| n + 1).min(limit).min(real).max(1)
}

/// The module that a weight belongs to, by its own name, its node's scope or its bias.
fn module(site: &Site) -> Option<String> {
    let scope = || site.readers.iter().find_map(|r| r.scopes.first().cloned());
    site.own().or_else(scope).or_else(|| site.by_bias().into_iter().next())
}

/// Constants that differ from those of the same name, sorted.
fn others(graph: &Graph, base: &Graph, covered: &BTreeSet<String>) -> Vec<String> {
    let before = base.values_by_name();
    let differs = |id: &lapidary_ir::NodeId| {
        let name = &graph.value(id.out(0)).name;
        let old = before.get(name).and_then(|v| base.as_constant(*v));
        !covered.contains(&**name) && old.zip(graph.as_constant(id.out(0))).is_some_and(|(a, b)| a.content_hash() != b.content_hash())
    };
    let found = graph.node_ids().filter(|id| graph.node(*id).is_const()).filter(differs);
    let mut out: Vec<String> = found.map(|id| graph.value(id.out(0)).name.to_string()).collect();
    out.sort();
    out
}

/// What PEFT reads.
#[derive(Default)]
struct Adapter {
    tensors: BTreeMap<String, Tensor>,
    ranks: BTreeMap<String, usize>,
}

impl Adapter {
    fn add(&mut self, module: &str, site: &Site, a: &Mat<f64>, b: &Mat<f64>) -> Result<()> {
        let rank = a.nrows();
        let (mut sizes_a, mut sizes_b) = (vec![rank, site.columns], vec![site.rows, rank]);
        let table = site.role == Role::Table;
        let (a, b) = if table {
            // The product of an embedding is turned: `(B·A)ᵀ`.
            (sizes_a, sizes_b) = (vec![rank, site.rows], vec![site.columns, rank]);
            (b.transpose().to_owned(), a.transpose().to_owned())
        } else {
            (a.clone(), b.clone())
        };
        if !site.kernel.is_empty() {
            let inner: usize = site.kernel.iter().product();
            sizes_a = [&[rank, site.columns / inner.max(1)], &site.kernel[..]].concat();
            sizes_b.extend(site.kernel.iter().map(|_| 1));
        }
        let tensor = |m: &Mat<f64>, sizes: &[usize]| {
            let bytes: Vec<u8> = (0..m.nrows()).flat_map(|r| (0..m.ncols()).flat_map(move |c| (m[(r, c)] as f32).to_le_bytes())).collect();
            Tensor::new(DType::F32, sizes, bytes)
        };
        let key = |part: &str| format!("base_model.model.{module}.lora_{part}{}", if table { "" } else { ".weight" });
        let (name_a, name_b) = if table { ("embedding_A", "embedding_B") } else { ("A", "B") };
        self.tensors.insert(key(name_a), tensor(&a, &sizes_a)?);
        self.tensors.insert(key(name_b), tensor(&b, &sizes_b)?);
        self.ranks.insert(module.to_string(), rank);
        Ok(())
    }
    fn largest(&self) -> usize {
        self.ranks.values().copied().max().unwrap_or(1)
    }
    /// Scales are 1: alpha is the rank.
    fn config(&self) -> String {
        let r = self.largest();
        let lower = || self.ranks.iter().filter(|(_, n)| **n != r);
        let pattern: BTreeMap<String, usize> = lower().map(|(m, n)| (format!("^{}$", regex::escape(m)), *n)).collect();
        let targets: Vec<&String> = self.ranks.keys().collect();
        let all = serde_json::json!({
            "peft_type": "LORA", "r": r, "lora_alpha": r, "rank_pattern": pattern, "alpha_pattern": pattern, "target_modules": targets,
            "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": false, "use_rslora": false, "use_dora": false, "inference_mode": true,
            "init_lora_weights": true, "modules_to_save": null, "task_type": null, "base_model_name_or_path": null,
        });
        format!("{all:#}\n")
    }
    fn file(&self) -> Result<Vec<u8>> {
        let about = HashMap::from([("format".to_string(), "pt".to_string())]);
        safetensors::write(self.tensors.iter().map(|(key, t)| (&**key, t)), Some(about))
    }
}
