//! Removing units: constants are sliced, sizes rewritten, and inference confirms the result.

use super::{AxisId, Coupling, Place, Unit, fix, split};
use crate::common::activations::unravel;
use lapidary_ir::{Diagnostic, Dim, Graph, NodeId, Result, Tensor, Type, ValueId};
use lapidary_rewrite::origin;
use std::collections::{BTreeMap, BTreeSet};

/// What is left of each dim that gets smaller.
pub struct Kept<'a> {
    pub c: &'a Coupling,
    lanes: BTreeMap<AxisId, Vec<usize>>,
}

impl Kept<'_> {
    /// The numbers of the lanes that stay; `None`: all.
    pub fn of(&self, place: Place, dim: usize) -> Option<&[usize]> {
        self.lanes.get(&self.c.axis(place, dim)?).map(Vec::as_slice)
    }
    /// The dim after the cut.
    fn size(&self, place: Place, dim: usize, old: &Dim) -> Dim {
        match (self.of(place, dim), split(old)) {
            (Some(kept), Some((_, symbols))) => &symbols * &Dim::from(kept.len()),
            _ => old.clone(),
        }
    }
    /// The dims of a place after the cut.
    pub fn dims(&self, place: Place, old: &[Dim]) -> Vec<Dim> {
        old.iter().enumerate().map(|(d, s)| self.size(place, d, s)).collect()
    }
    /// For each dim, what stays; all `None` for a tensor that is not cut.
    fn cuts(&self, place: Place, rank: usize) -> Vec<Option<&[usize]>> {
        (0..rank).map(|d| self.of(place, d)).collect()
    }
}

impl Coupling {
    /// The graph without some units. The analysis must be of this graph as it is.
    ///
    /// # Errors
    /// A cut that would leave a dim empty, or after which inference finds other sizes than the analysis did. The graph is then as before.
    pub fn cut(&self, graph: &mut Graph, removed: &BTreeSet<Unit>, pass: &str) -> Result<()> {
        let mut lanes = BTreeMap::new();
        for (id, axis) in self.axes.iter().enumerate() {
            let units = self.units(id);
            let kept: Vec<usize> = (0..axis.lanes).filter(|l| !removed.contains(&units[*l])).collect();
            if kept.is_empty() {
                let name = self.name(graph, axis.place);
                return Err(Diagnostic::error("empty-cut", format!("nothing of dim {} of '{name}' would be left", axis.dim as i64))
                    .value(name)
                    .into());
            }
            if kept.len() < axis.lanes {
                lanes.insert(id, kept);
            }
        }
        let kept = Kept { c: self, lanes };
        let mut work = graph.clone();
        slice_constants(&mut work, &kept, pass)?;
        resize(&mut work, &kept, pass)?;
        work.sweep();
        *graph = work;
        Ok(())
    }

    /// The name of the value at a place.
    pub fn name(&self, graph: &Graph, place: Place) -> String {
        let value = match place {
            Place::Value(v) => Some(v),
            Place::Use(n, slot) => graph.node(n).input(slot),
        };
        value.map_or_else(String::new, |v| graph.value(v).name.to_string())
    }
}

/// Uses of a constant that are cut in the same way go on sharing it.
fn slice_constants(graph: &mut Graph, kept: &Kept<'_>, pass: &str) -> Result<()> {
    let mut uses: BTreeMap<ValueId, Vec<(NodeId, usize)>> = BTreeMap::new();
    for id in graph.operators() {
        for (slot, v) in graph.node(id).inputs().iter().enumerate() {
            if let Some(v) = v.filter(|v| graph.as_constant(*v).is_some()) {
                uses.entry(v).or_default().push((id, slot));
            }
        }
    }
    for (value, uses) in uses {
        let Some(old) = graph.as_constant(value).cloned() else { continue };
        let mut ways: Vec<(Vec<Option<&[usize]>>, Vec<(NodeId, usize)>)> = vec![];
        for (node, slot) in uses {
            let cuts = kept.cuts(Place::Use(node, slot), old.rank());
            match ways.iter_mut().find(|w| w.0 == cuts) {
                Some(w) => w.1.push((node, slot)),
                None => ways.push((cuts, vec![(node, slot)])),
            }
        }
        let name = graph.value(value).name.clone();
        let stays = ways.iter().any(|w| w.0.iter().all(Option::is_none)) || graph.is_output(value);
        let mut takes_name = !stays;
        for (cuts, users) in ways.into_iter().filter(|w| w.0.iter().any(Option::is_some)) {
            let fresh = graph.fresh_name(&name);
            let new = graph.add_const(fresh.clone(), sliced(&old, &cuts)?);
            graph.node_mut(new.node).origin = origin(pass, [name.clone()]);
            graph.node_mut(new.node).position = graph.node(value.node).position;
            for (node, slot) in users {
                graph.set_input(node, slot, Some(new));
            }
            if std::mem::take(&mut takes_name) {
                graph.value_mut(value).name = fresh;
                graph.value_mut(new).name = name.clone();
            }
        }
        graph.detach_if_dead(value.node);
    }
    Ok(())
}

/// The elements at the lanes that stay.
fn sliced(t: &Tensor, cuts: &[Option<&[usize]>]) -> Result<Tensor> {
    let bits = t.dtype().bits();
    let sizes: Vec<usize> = cuts.iter().zip(t.sizes()).map(|(c, n)| c.map_or(*n, <[usize]>::len)).collect();
    if t.as_strings().is_some() || t.dtype().is_packed() || !bits.is_multiple_of(8) {
        return Err(Diagnostic::unsupported("cut-type", format!("elements of type {} cannot be taken out of a tensor", t.dtype())).into());
    }
    // Behind the last dim that is cut, elements lie together.
    let last = cuts.iter().rposition(Option::is_some).map_or(0, |d| d + 1);
    let run: usize = t.sizes()[last..].iter().product::<usize>() * (bits / 8);
    let outer = &sizes[..last];
    let mut strides = vec![1usize; last];
    for d in (0..last.saturating_sub(1)).rev() {
        strides[d] = strides[d + 1] * t.sizes()[d + 1];
    }
    let count: usize = outer.iter().product();
    let mut bytes = Vec::with_capacity(count * run);
    for i in 0..count {
        let at = unravel(i, outer);
        let from: usize = at.iter().enumerate().map(|(d, l)| strides[d] * cuts[d].map_or(*l, |c| c[*l])).sum();
        bytes.extend_from_slice(&t.bytes()[from * run..(from + 1) * run]);
    }
    Tensor::new(t.dtype(), &sizes, bytes)
}

/// New types for what got smaller; attributes and operands that say sizes follow; inference has the last word.
fn resize(graph: &mut Graph, kept: &Kept<'_>, pass: &str) -> Result<()> {
    let order = graph.operators();
    let before: BTreeMap<ValueId, Vec<Dim>> = order
        .iter()
        .flat_map(|id| (0..graph.node(*id).outputs().len()).map(|o| id.out(o)))
        .filter_map(|v| Some((v, graph.ty(v).dims()?.to_vec())))
        .collect();
    for (v, old) in &before {
        let dims = kept.dims(Place::Value(*v), old);
        if dims != *old {
            let dtype = graph.dtype(*v);
            graph.value_mut(*v).ty = Type::tensor(dtype, dims);
        }
    }
    // Contents of shapes are computed anew on the way.
    let mut facts = lapidary_ops::Facts::default();
    for id in order {
        if let Some(added) = fix::node(graph, kept, &facts, id, &before, pass)? {
            lapidary_ops::infer_node(graph, added, &mut facts)?;
        }
        let expected: Vec<Type> = graph.node(id).outputs().iter().map(|v| v.ty.clone()).collect();
        lapidary_ops::infer_node(graph, id, &mut facts)?;
        for (o, want) in expected.iter().enumerate() {
            let got = graph.ty(id.out(o));
            let clash = |a: &[Dim], b: &[Dim]| a.len() != b.len() || a.iter().zip(b).any(|(x, y)| x.is_const() && y.is_const() && x != y);
            if let (Some(a), Some(b)) = (got.dims(), want.dims())
                && clash(a, b)
            {
                let node = graph.node(id);
                let message = format!("the cut makes '{}' {got}, where {want} was meant", node.outputs()[o].name);
                return Err(Diagnostic::error("cut-shape", message).at(node).help("leave this part out with on(…)").into());
            }
        }
    }
    Ok(())
}
