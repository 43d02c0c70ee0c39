//! What several passes need.

pub mod activations;
pub mod codes;
pub mod coupling;
#[cfg(test)]
pub mod golden;
pub mod integer;
pub mod layers;
pub mod linalg;
pub mod modules;
pub mod nbits;
pub mod prune;
pub mod quant;
pub mod records;
pub mod reference;
pub mod scaling;
pub mod sensitivity;
pub mod statistics;

use lapidary_ir::{Diagnostic, Graph, NodeId, Result, Tensor, Value, ValueId};
use lapidary_rewrite::PassCtx;
use std::sync::Arc;

/// Operators whose results differ from run to run: never folded or merged.
pub fn is_random(graph: &Graph, id: NodeId) -> bool {
    let n = graph.node(id);
    let named = ["RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"];
    // Dropout draws only in training mode, which needs its third operand.
    named.iter().any(|o| n.is(o))
        || (n.is("Dropout") && n.input(2).is_some())
        || n.regions.iter().any(|r| r.graph.node_ids().any(|i| is_random(&r.graph, i)))
}

/// Puts a constant where a value was: all its uses become uses of a new constant of the same name. Not for graph outputs.
pub fn replace_by_constant(graph: &mut Graph, value: ValueId, tensor: impl Into<Arc<Tensor>>, rule: &str) -> ValueId {
    let name = graph.value(value).name.clone();
    let fresh = graph.fresh_name(&name);
    let label = graph.producer(value).label().into();
    let new = graph.add_const(fresh.clone(), tensor);
    graph.node_mut(new.node).origin = lapidary_rewrite::origin(rule, [label]);
    graph.replace_uses(value, new);
    let ty = graph.ty(value).clone();
    *graph.value_mut(value) = Value { name: fresh, ty };
    graph.value_mut(new).name = name;
    graph.detach_if_dead(value.node);
    new
}

/// Whether every element of a real constant is `value`. (An empty constant is neutral to nothing.)
pub fn neutral(t: &Tensor, value: f64) -> bool {
    lapidary_rewrite::pattern::splat(t) == Some(value)
}

/// Whether two values have the same element type and provably the same dims.
pub fn same_type(graph: &Graph, a: ValueId, b: ValueId) -> bool {
    let (Some(x), Some(y)) = (graph.ty(a).as_tensor(), graph.ty(b).as_tensor()) else { return false };
    x.dtype == y.dtype && x.dtype != lapidary_ir::DType::Unknown && x.shape.dims().is_some() && x.shape == y.shape
}

/// The permutation of a Transpose on a value of this rank; reversed axes where the attribute is absent.
pub fn permutation(node: &lapidary_ir::Node, rank: usize) -> Option<Vec<usize>> {
    let Some(perm) = node.attrs.ints("perm") else { return Some((0..rank).rev().collect()) };
    let perm: Vec<usize> = perm.iter().map(|p| usize::try_from(*p).ok()).collect::<Option<_>>()?;
    let mut seen = vec![false; rank];
    for p in &perm {
        *seen.get_mut(*p)? = true;
    }
    (perm.len() == rank && seen.iter().all(|s| *s)).then_some(perm)
}

/// What a constant that is broadcast against a value of `rank` dims holds along `axis`, one element per channel: every other axis must be
/// of size 1. `None` when it varies along another axis, or has neither one nor `channels` elements.
pub fn per_channel(t: &Tensor, rank: usize, axis: usize, channels: usize) -> Option<Vec<f64>> {
    let offset = rank.checked_sub(t.rank())?;
    for (i, size) in t.sizes().iter().enumerate() {
        if *size != 1 && (i + offset != axis || *size != channels) {
            return None;
        }
    }
    let v = t.to_f64()?;
    match v.len() {
        1 => Some(vec![v[0]; channels]),
        n if n == channels => Some(v),
        _ => None,
    }
}

/// A pass found nothing that it can do: an error for someone who selected nodes or said how many things go, else a note in the ledger. Both
/// give the reasons of the first few nodes.
pub fn nothing_done(ctx: &mut PassCtx<'_>, pass: &str) -> Result<()> {
    let wanted = ctx.has_selection() || ctx.options.int("count").is_some();
    let place = if ctx.has_selection() { "to the selected nodes" } else { "in this model" };
    let reasons = ctx.misses.iter().filter(|m| m.rule == pass).take(3).map(|m| format!("{} '{}': {}", m.op, m.node, m.reason));
    let d = Diagnostic::error("nothing-done", format!("{pass} can do nothing {place}"));
    let d = reasons.fold(d, |d, r| d.note(r)).help(format!("`lapidary passes {pass}` says what it covers"));
    if wanted {
        return Err(d.into());
    }
    ctx.note(d);
    Ok(())
}
