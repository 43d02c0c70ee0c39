//! merge-lora: merge a LoRA adapter into the weights of a model.
//!
//! `merge-lora{adapter="DIR"}` reads what PEFT saved, `adapter_config.json` and `adapter_model.safetensors`, and adds `scale · B·A` to the
//! weights of the exported base model. What runs afterwards has the same nodes as the base, and no cost for the adapter.
//!
//! Understood are linear layers (MatMul, Gemm, turned or not, Conv1D), convolutions without groups, embeddings, biases (`bias`,
//! `lora_bias`), `modules_to_save`, rank-stabilized scales, rank and alpha patterns, and DoRA. A field of the configuration that would
//! change the result and is none of these is refused by name.
//!
//! A module of the adapter is found by, in this order: `map=`; the weight's name; the scope of the node (its properties, or its name
//! `/a/b/MatMul`); the name of the bias behind it; the joined weight of queries, keys and values that it became a part of (or the three
//! that it became); its value in `base="model.safetensors"`; a size that only it and one nameless weight have. `map="a.b.proj=val_8,…"`
//! names constants or nodes; it may be a TOML or JSON file of such pairs. **What cannot be placed is an error that lists every key,** and
//! nothing is written.
//!
//! Several adapters, `adapter="DIR,DIR"`, are summed by `weights="0.7,0.3"`, or joined by `combine=ties`, `dare`, `dare-ties`, `magnitude`
//! with a `density`. `of=factors` does so on A and B, as PEFT's `add_weighted_adapter` does for these words; `of=deltas` (the default) on
//! what each adds, as the papers have it, and as PEFT's `cat` and `…_svd`; `rank=R` then cuts the result to a rank. DARE draws from `seed`.
//!
//! `unmerge=true` subtracts instead: what `merge-lora` added goes, but for rounding. DoRA and saved modules overwrite, and cannot be undone.
//!
//! A weight of whole numbers behind a DequantizeLinear is merged as the numbers that it stands for and rounded again, each group with its
//! old scale or a fresh one, whichever is nearer; the ledger tells the error. `convert-quantized` before and after does so for MatMulNBits.
//! A weight that other nodes share is stored twice: they keep the old one.
//!
//! Sources: Hu et al., "LoRA" (2021); Liu et al., "DoRA" (2024); Kalajdzievski, "rsLoRA" (2023); the file format is PEFT's.

mod adapter;
mod combine;
mod config;
mod map;
mod place;
mod saved;

use crate::common::modules::quantized::Loss;
use crate::common::modules::{self, Site, store};
use adapter::Adapter;
use combine::{Change, Method};
use faer::Mat;
use lapidary_ir::{Diagnostic, Graph, NodeId, Result, Tensor, ValueId};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run};
use map::Names;
use place::{Finder, Place, Problem};
use std::collections::{BTreeMap, BTreeSet};

pub static PASS: Pass = Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Lossy, options: OPTIONS, rules: &[], run: Run::Code(run) };

const NAME: &str = "merge-lora";

const OPTIONS: &[OptionSpec] = &[
    OptionSpec::new("adapter", Kind::Text, None, "the adapter's folder, or several separated by commas"),
    OptionSpec::new("weights", Kind::Text, None, "what each adapter counts, separated by commas (default 1 each)"),
    OptionSpec::new("map", Kind::Text, None, "module=weight pairs separated by commas, or a TOML or JSON file of them"),
    OptionSpec::new("base", Kind::Text, None, "the base model's safetensors file: modules are also found by their values in it"),
    OptionSpec::new("unmerge", Kind::Bool, Some("false"), "subtract what merging added"),
    OptionSpec::new(
        "combine",
        Kind::Choice(&["linear", "ties", "dare", "dare-ties", "magnitude"]),
        Some("linear"),
        "how several adapters become one",
    ),
    OptionSpec::new("of", Kind::Choice(&["deltas", "factors"]), Some("deltas"), "what is combined: what adapters add, or their A and B"),
    OptionSpec::new("density", Kind::Float, None, "the part of each adapter that stays, for ties, dare and magnitude"),
    OptionSpec::new("sign", Kind::Choice(&["total", "frequency"]), Some("total"), "how ties elects a sign"),
    OptionSpec::new("seed", Kind::Int, Some("0"), "what dare draws from"),
    OptionSpec::new("rank", Kind::Int, None, "cut what is added to each weight to this rank"),
];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let method = Method::of(ctx)?;
    let map = Names::read(ctx)?;
    let undo = ctx.options.flag("unmerge");
    let adapters = read(ctx, undo)?;
    let changes = changes(&adapters, undo)?;
    let sites = modules::find(graph);
    let finder = Finder::new(graph, &sites, &map);
    let (mut places, mut problems) = finder.place(&changes, ctx)?;
    let saved: Vec<_> = adapters.iter().flat_map(|(_, a)| a.saved.iter()).collect();
    let (targets, missing) = saved::place(&finder, &saved);
    problems.extend(missing);
    for key in map.keys() {
        let of = |name: &str| name == key || name.strip_suffix(".weight") == Some(key);
        if !changes.iter().any(|c| of(&c.module)) && !saved.iter().any(|s| of(s.0)) {
            problems.push(Problem { keys: vec![], why: format!("the map speaks of '{key}', which the adapter does not have") });
        }
    }
    // A bias that has no place is found out before anything changes.
    let biases = biases(graph, &sites, &changes, &places, &mut problems);
    refuse(graph, &problems)?;
    chosen(graph, ctx, &sites, &mut places);
    if places.is_empty() && targets.is_empty() {
        return Err(Diagnostic::error("nothing-done", "the adapter changes none of the selected nodes").into());
    }
    let mut out = Outcome::default();
    out.touch("saved", targets.len());
    for (target, tensor) in targets {
        saved::write(graph, &sites, target, tensor)?;
    }
    // A saved parameter may have parted readers that shared one: they are looked up anew.
    let sites = modules::find(graph);
    if !saved.is_empty() {
        let (again, problems) = Finder::new(graph, &sites, &map).place(&changes, ctx)?;
        refuse(graph, &problems)?;
        places = again;
        chosen(graph, ctx, &sites, &mut places);
    }
    let merged = merge(graph, &sites, &changes, &places, &method)?;
    out.touch("weights", merged.weights);
    out.touch("biases", biases.len());
    add_biases(graph, biases)?;
    report(ctx, &sites, &places, &merged, undo);
    Ok(out)
}

/// Leaves the places that a selection `on(…)` names.
fn chosen(graph: &Graph, ctx: &PassCtx<'_>, sites: &[Site], places: &mut Vec<Place>) {
    if ctx.has_selection() {
        places.retain(|p| sites[p.site].readers.iter().enumerate().any(|(i, r)| p.readers.contains(&i) && ctx.selected(graph, r.node)));
    }
}

/// The adapters that the options name, with their weights.
fn read(ctx: &PassCtx<'_>, undo: bool) -> Result<Vec<(f64, Adapter)>> {
    let wrong = |text: String, help: &str| Err(Diagnostic::error("pass-option", text).help(help).into());
    let folders: Vec<&str> = ctx.options.required(NAME, "adapter")?.split(',').map(str::trim).filter(|f| !f.is_empty()).collect();
    let numbers = |t: &str| t.split(',').map(|w| w.trim().parse::<f64>().ok().filter(|w| w.is_finite())).collect::<Option<Vec<f64>>>();
    let weights = match ctx.options.get("weights").map(|w| w.to_string()) {
        None => vec![1.0; folders.len()],
        Some(text) => match numbers(text.trim_matches('"')) {
            Some(w) if w.len() == folders.len() => w,
            _ => return wrong(format!("weights={text} is not one number for each of {} adapters", folders.len()), "write weights=\"0.7,0.3\""),
        },
    };
    if folders.is_empty() {
        return wrong("'adapter' names no folder".into(), "write adapter=\"DIR\"");
    }
    let read = weights.into_iter().zip(&folders).map(|(w, f)| Ok((w, Adapter::read(f, ctx)?)));
    let all: Vec<(f64, Adapter)> = read.collect::<Result<_>>()?;
    let plain = |what: &str, why: &str| Err(Diagnostic::error("adapter-order", format!("{what} {why}")).into());
    if let Some((w, a)) = all.iter().find(|a| a.1.dora) {
        if all.len() > 1 || *w != 1.0 {
            return plain(&format!("'{}' uses DoRA, which", a.folder), "overwrites lengths: it cannot be weighted or combined");
        }
        if undo {
            return plain(&format!("'{}' uses DoRA, which", a.folder), "overwrites lengths: it cannot be unmerged");
        }
    }
    let saving: Vec<&Adapter> = all.iter().map(|a| &a.1).filter(|a| !a.saved.is_empty()).collect();
    if let Some(a) = saving.first() {
        let keys: Vec<&str> = a.saved.values().take(4).map(|s| s.0.as_str()).collect();
        if undo {
            return plain(&format!("'{}' holds whole parameters ({}),", a.folder, keys.join(", ")), "which overwrite: it cannot be unmerged");
        }
        if saving.len() > 1 {
            return plain(&format!("'{}' and '{}' both hold whole parameters,", a.folder, saving[1].folder), "of which one would be lost");
        }
    }
    Ok(all)
}

/// The modules of all adapters, sorted by name.
fn changes(adapters: &[(f64, Adapter)], undo: bool) -> Result<Vec<Change<'_>>> {
    let mut all: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (weight, adapter) in adapters {
        for (name, module) in &adapter.modules {
            let parts = all.entry(name).or_default();
            if parts.first().is_some_and(|(_, m): &(f64, &adapter::Module)| m.size() != module.size() || m.embedding != module.embedding) {
                let d = Diagnostic::error("adapter-size", format!("'{name}' has other sizes in '{}' than in the adapter before", adapter.folder));
                return Err(d.help("adapters of different base models cannot be combined").into());
            }
            parts.push((if undo { -weight } else { *weight }, module));
        }
    }
    Ok(all.into_iter().map(|(name, parts)| Change { module: name.into(), parts }).collect())
}

fn refuse(graph: &Graph, problems: &[Problem]) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let keys: usize = problems.iter().map(|p| p.keys.len()).sum();
    let text = if keys > 0 { format!("{keys} keys of the adapter have no place in the model") } else { "the map does not fit the adapter".into() };
    let d = Diagnostic::error("adapter-unmatched", text)
        .help("name their weights: map=\"a.b.proj=val_8,…\", or base=\"model.safetensors\" to find them by value");
    let packed = graph.operators().into_iter().filter(|id| ["MatMulNBits", "MatMulBnb4"].contains(&&*graph.node(*id).op.name)).count();
    let d = if packed == 0 { d } else { d.note(format!("{packed} weights are packed in MatMulNBits or MatMulBnb4: run convert-quantized first")) };
    let line = |p: &Problem| if p.keys.is_empty() { p.why.clone() } else { format!("{}: {}", p.keys.join(", "), p.why) };
    Err(problems.iter().fold(d, |d, p| d.note(line(p))).into())
}

/// What is added to a bias: the constant, its reader, the first element, what.
struct BiasChange {
    constant: ValueId,
    at: (NodeId, usize),
    first: usize,
    added: Vec<f64>,
}

fn biases(graph: &Graph, sites: &[Site], changes: &[Change<'_>], places: &[Place], problems: &mut Vec<Problem>) -> Vec<BiasChange> {
    let mut out = vec![];
    for p in places {
        let Some(all) = changes[p.change].bias() else { continue };
        for reader in p.readers.iter().filter_map(|r| sites[p.site].readers.get(*r)) {
            match reader.bias {
                Some((node, slot, constant)) => {
                    let added = all.iter().skip(p.from).take(p.rows).copied().collect();
                    out.push(BiasChange { constant, at: (node, slot), first: p.to, added });
                }
                None => problems.push(Problem {
                    keys: changes[p.change].keys().into_iter().filter(|k| k.ends_with("bias")).map(str::to_string).collect(),
                    why: format!("'{}' has no constant bias behind it", graph.node(reader.node).label()),
                }),
            }
        }
    }
    out
}

fn add_biases(graph: &mut Graph, all: Vec<BiasChange>) -> Result<()> {
    // Modules that were joined add to parts of one bias, and readers of one module to one constant.
    let mut by_reader: BTreeMap<(NodeId, usize), (ValueId, Vec<(usize, Vec<f64>)>)> = BTreeMap::new();
    for b in all {
        by_reader.entry(b.at).or_insert((b.constant, vec![])).1.push((b.first, b.added));
    }
    for (at, (planned, parts)) in by_reader {
        // A saved bias may have replaced the constant since.
        let constant = graph.node(at.0).input(at.1).unwrap_or(planned);
        let Some(old) = graph.as_constant(constant).cloned() else { continue };
        let mut values = old.to_f64().unwrap_or_default();
        for (first, added) in parts {
            values.iter_mut().skip(first).zip(added).for_each(|(v, a)| *v += a);
        }
        let new = Tensor::from_f64(old.dtype(), old.sizes(), &values)?;
        store::swap(graph, NAME, constant, new, &[at]);
    }
    Ok(())
}

#[derive(Default)]
struct Merged {
    weights: usize,
    /// Other readers that keep the old weight.
    kept: usize,
    loss: Vec<(String, Loss)>,
}

fn merge(graph: &mut Graph, sites: &[Site], changes: &[Change<'_>], places: &[Place], method: &Method) -> Result<Merged> {
    let mut out = Merged::default();
    let mut by_readers: BTreeMap<(usize, &[usize]), Vec<&Place>> = BTreeMap::new();
    for p in places {
        by_readers.entry((p.site, &p.readers)).or_default().push(p);
    }
    for ((site, readers), parts) in by_readers {
        let site = &sites[site];
        let Some(mut w) = site.matrix(graph) else {
            let d = Diagnostic::error("quantized-weight", format!("'{}' is quantized in a way that cannot be read", site.name));
            return Err(d.help("merge into the model before it is quantized").into());
        };
        for p in parts {
            add(&mut w, p, &changes[p.change], method)?;
        }
        out.kept += usize::from(graph.use_count(site.constant) > readers.len() && site.readers.len() > readers.len());
        if let Some(loss) = store::store(graph, NAME, site, readers, &w)? {
            out.loss.push((site.name.clone(), loss));
        }
        out.weights += 1;
    }
    Ok(out)
}

/// Adds a change to its rows; with a magnitude vector, the rows (of a table, the columns) then get their lengths.
fn add(w: &mut Mat<f64>, p: &Place, change: &Change<'_>, method: &Method) -> Result<()> {
    let delta = change.delta(method)?;
    for c in 0..w.ncols() {
        for r in 0..p.rows {
            w[(p.to + r, c)] += delta[(p.from + r, c)];
        }
    }
    let Some((module, lengths)) = change.first().and_then(|m| Some((m, m.magnitude.as_ref()?))) else { return Ok(()) };
    let factor = |wanted: f64, squares: f64| if squares > 0.0 { wanted / squares.sqrt() } else { 0.0 };
    if module.embedding {
        for (c, length) in lengths.iter().enumerate().take(w.ncols()) {
            let f = factor(*length, w.col(c).iter().map(|v| v * v).sum());
            w.col_mut(c).iter_mut().for_each(|v| *v *= f);
        }
    } else {
        for r in 0..p.rows {
            let f = factor(lengths[p.from + r], w.row(p.to + r).iter().map(|v| v * v).sum());
            w.row_mut(p.to + r).iter_mut().for_each(|v| *v *= f);
        }
    }
    Ok(())
}

fn report(ctx: &mut PassCtx<'_>, sites: &[Site], places: &[Place], merged: &Merged, undo: bool) {
    let changed: BTreeSet<usize> = places.iter().map(|p| p.change).collect();
    let mut by: BTreeMap<place::How, BTreeSet<usize>> = BTreeMap::new();
    places.iter().for_each(|p| {
        by.entry(p.how).or_default().insert(p.change);
    });
    let ways: Vec<String> = by.iter().map(|(how, c)| format!("{} by {}", c.len(), how.text())).collect();
    let verb = if undo { "taken out of" } else { "merged into" };
    let d = Diagnostic::error("merged", format!("{} modules {verb} {} weights: {}", changed.len(), merged.weights, ways.join(", ")));
    let sure = places.iter().filter(|p| p.how == place::How::Shape).map(|p| format!("by its shape alone: '{}'", sites[p.site].name));
    ctx.note(sure.fold(d, |d, n| d.note(n)));
    if merged.kept > 0 {
        ctx.note(Diagnostic::error("shared", format!("{} weights are read by other nodes too, which keep the old ones", merged.kept)));
    }
    if !merged.loss.is_empty() {
        let relative = |l: &Loss| if l.signal > 0.0 { (l.error / l.signal).sqrt() } else { 0.0 };
        let worst = merged.loss.iter().max_by(|a, b| relative(&a.1).total_cmp(&relative(&b.1)));
        let sum = merged.loss.iter().fold(Loss::default(), |s, l| Loss { error: s.error + l.1.error, signal: s.signal + l.1.signal });
        let worst = worst.map(|w| format!(", most in '{}' ({:.3e})", w.0, relative(&w.1))).unwrap_or_default();
        let text = format!("{} quantized weights were rounded again: relative error {:.3e}{worst}", merged.loss.len(), relative(&sum));
        ctx.note(Diagnostic::error("requantized", text));
    }
}
