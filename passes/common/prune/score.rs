//! What a unit is worth.

use super::{Candidate, bonsai, measure};
use crate::common::coupling::{AxisId, Coupling, Group, Place, Role};
use lapidary_ir::{Diagnostic, Graph, Result};
use lapidary_rewrite::PassCtx;
use std::collections::BTreeMap;

/// The scores of every unit of every candidate, by the option `score`.
pub fn all(graph: &Graph, ctx: &mut PassCtx<'_>, pass: &str, c: &Coupling, found: &[Candidate]) -> Result<Vec<Vec<f64>>> {
    let default = if ctx.options.text("data").is_some() { "wanda" } else { "l1" };
    let score = ctx.options.text("score").unwrap_or(default).to_string();
    let out = match score.as_str() {
        "l1" => found.iter().map(|f| norms(graph, c, &f.group, 1)).collect(),
        "l2" | "magnitude" => found.iter().map(|f| norms(graph, c, &f.group, 2)).collect(),
        "bn-gamma" => {
            for f in found {
                if f.group.of(c, Role::Gamma).next().is_none() {
                    ctx.miss(pass, graph, f.node, "no batch norm follows: scored by the L1 norm of its weights instead");
                }
            }
            let has = |f: &&Candidate| f.group.of(c, Role::Gamma).next().is_some();
            if !found.iter().any(|f| has(&f)) {
                let d = Diagnostic::error("no-gamma", "score=bn-gamma needs batch norms, and nothing here has one");
                return Err(d.help("fuse-conv-bn folds them away: prune before it, or use score=l1").into());
            }
            found.iter().map(|f| if has(&f) { gammas(graph, c, &f.group) } else { norms(graph, c, &f.group, 1) }).collect()
        }
        "activation" => measure::activations(graph, ctx, pass, c, found, false)?,
        "wanda" => measure::activations(graph, ctx, pass, c, found, true)?,
        "bonsai" => bonsai::scores(graph, ctx, pass, c, found)?,
        "ablation" => measure::ablations(graph, ctx, pass, c, found)?,
        other => return Err(ctx.error("pass-option", format!("'{other}' is no score"))),
    };
    Ok(out)
}

/// For each lane of a constant's axis, the sum of `|w|` or `w²`, and how many elements a lane has.
pub fn lanes(graph: &Graph, c: &Coupling, axis: AxisId, power: i32) -> Option<(Vec<f64>, usize)> {
    let a = &c.axes[axis];
    let Place::Use(node, slot) = a.place else { return None };
    let t = graph.as_constant(graph.node(node).input(slot)?)?;
    let (n, inner) = (*t.sizes().get(a.dim)?, t.sizes()[a.dim + 1..].iter().product::<usize>().max(1));
    let mut out = vec![0.0; n];
    for (i, v) in t.to_f64()?.iter().enumerate() {
        out[i / inner % n] += if power == 1 { v.abs() } else { v * v };
    }
    Some((out, t.len() / n.max(1)))
}

/// The mean norm of the weights that make a unit; of those that read it where it is not made by weights.
fn norms(graph: &Graph, c: &Coupling, g: &Group, power: i32) -> Vec<f64> {
    let of = |roles: &[Role]| {
        let mut axes: Vec<AxisId> = roles.iter().flat_map(|r| g.of(c, *r)).collect();
        axes.sort_unstable();
        axes.dedup();
        axes
    };
    let mut axes = of(&[Role::Filters, Role::Rows, Role::Table]);
    if axes.is_empty() {
        axes = of(&[Role::Columns]);
    }
    let (sums, counts) = per_unit(c, g, axes.into_iter().filter_map(|a| lanes(graph, c, a, power).map(|(s, n)| (a, s, n))));
    sums.iter()
        .zip(&counts)
        .map(|(s, n)| {
            let mean = s / n.max(1.0);
            if power == 1 { mean } else { mean.sqrt() }
        })
        .collect()
}

fn gammas(graph: &Graph, c: &Coupling, g: &Group) -> Vec<f64> {
    let (sums, counts) = per_unit(c, g, g.of(c, Role::Gamma).filter_map(|a| lanes(graph, c, a, 1).map(|(s, n)| (a, s, n))));
    sums.iter().zip(&counts).map(|(s, n)| s / n.max(1.0)).collect()
}

/// Sums over the lanes of each unit of a group, and how many elements they are of.
pub fn per_unit(c: &Coupling, g: &Group, parts: impl Iterator<Item = (AxisId, Vec<f64>, usize)>) -> (Vec<f64>, Vec<f64>) {
    let place: BTreeMap<usize, usize> = g.units.iter().enumerate().map(|(i, u)| (*u, i)).collect();
    let (mut sums, mut counts) = (vec![0.0; g.units.len()], vec![0.0; g.units.len()]);
    for (axis, values, elements) in parts {
        for (unit, v) in c.units(axis).iter().zip(values) {
            if let Some(i) = place.get(unit) {
                sums[*i] += v;
                counts[*i] += elements as f64;
            }
        }
    }
    (sums, counts)
}
