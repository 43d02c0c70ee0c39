//! What says sizes besides the types of constants: attributes, and operands that are shapes.

use super::cut::Kept;
use super::shapes::Shaped;
use super::{Place, views};
use lapidary_ir::{Attrs, DType, Diagnostic, Dim, Graph, NodeId, OpName, Result, Tensor, TensorType, ValueId};
use lapidary_ops::Facts;
use lapidary_rewrite::origin;
use std::collections::BTreeMap;

/// Rewrites a node for the sizes after the cut. Constants are sliced already, types of results are those that are meant. Returns a node
/// that had to be added before it.
pub fn node(
    graph: &mut Graph,
    kept: &Kept<'_>,
    facts: &Facts,
    id: NodeId,
    before: &BTreeMap<ValueId, Vec<Dim>>,
    pass: &str,
) -> Result<Option<NodeId>> {
    let op = graph.node(id).op.clone();
    if !op.domain.is_empty() {
        return Ok(None);
    }
    let old = |o: usize| before.get(&id.out(o)).map(Vec::as_slice).unwrap_or_default();
    // What is left of a dim of a result, out of how many.
    let left = |o: usize, d: usize| kept.of(Place::Value(id.out(o)), d).map(<[usize]>::len);
    match &*op.name {
        "Conv" | "ConvTranspose" => {
            let groups = graph.node(id).attrs.int("group").unwrap_or(1);
            if let (true, Some(n), Some(all)) = (groups > 1, left(0, 1), old(0).get(1).and_then(Dim::as_const)) {
                graph.node_mut(id).attrs.set("group", n as i64 / (all / groups).max(1));
            }
        }
        "GroupNormalization" => {
            let groups = graph.node(id).attrs.int("num_groups").unwrap_or(1);
            if let (Some(n), Some(all)) = (left(0, 1), old(0).get(1).and_then(Dim::as_const)) {
                graph.node_mut(id).attrs.set("num_groups", n as i64 / (all / groups.max(1)).max(1));
            }
        }
        "LSTM" | "GRU" | "RNN" => {
            if let Some(n) = kept.of(Place::Use(id, 2), 2) {
                graph.node_mut(id).attrs.set("hidden_size", n.len() as i64);
            }
        }
        "Attention" if graph.node(id).attrs.int("q_num_heads").is_some() => {
            for (slot, name) in [(0, "q_num_heads"), (1, "kv_num_heads")] {
                let (Some(v), Some(heads)) = (graph.node(id).input(slot), graph.node(id).attrs.int(name)) else { continue };
                let (all, now) = (before.get(&v).and_then(|d| d.get(2)?.as_const()), graph.ty(v).dims().and_then(|d| d.get(2)?.as_const()));
                if let (Some(all), Some(now)) = (all, now)
                    && all > 0
                {
                    graph.node_mut(id).attrs.set(name, heads * now / all);
                }
            }
        }
        "Split" => split(graph, kept, id, pass),
        "Slice" => slice(graph, kept, facts, id, before, pass),
        "Reshape" | "Expand" => return shape_operand(graph, facts, id, 1, pass),
        "ConstantOfShape" => return shape_operand(graph, facts, id, 0, pass),
        "Resize" if graph.node(id).input(3).is_some() => return shape_operand(graph, facts, id, 3, pass),
        _ => {}
    }
    Ok(None)
}

fn add_ints(graph: &mut Graph, hint: &str, values: Vec<i64>, pass: &str) -> ValueId {
    let name = graph.fresh_name(hint);
    let v = graph.add_const(name, Tensor::from_vec(values));
    graph.node_mut(v.node).origin = origin(pass, [hint.into()]);
    v
}

/// The parts need not be equal any more.
fn split(graph: &mut Graph, kept: &Kept<'_>, id: NodeId, pass: &str) {
    let outputs = graph.node(id).outputs().len();
    let Some(rank) = graph.ty(id.out(0)).rank() else { return };
    let axis = graph.node(id).attrs.int("axis").unwrap_or(0);
    let Some(axis) = usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok() else { return };
    if (0..outputs).all(|o| kept.of(Place::Value(id.out(o)), axis).is_none()) {
        return;
    }
    let sizes: Option<Vec<i64>> = (0..outputs).map(|o| graph.ty(id.out(o)).dims()?.get(axis)?.as_const()).collect();
    let Some(sizes) = sizes else { return };
    if graph.node(id).op.version < 13 {
        graph.node_mut(id).attrs.set("split", sizes);
        return;
    }
    graph.node_mut(id).attrs.remove("num_outputs");
    let hint = format!("{}_sizes", graph.node(id).label());
    let v = add_ints(graph, &hint, sizes, pass);
    graph.set_input(id, 1, Some(v));
}

/// A range of lanes begins after as many as are left before it.
fn slice(graph: &mut Graph, kept: &Kept<'_>, facts: &Facts, id: NodeId, before: &BTreeMap<ValueId, Vec<Dim>>, pass: &str) {
    let node = graph.node(id);
    let Some(x) = node.input(0) else { return };
    let constant = graph.as_constant(x).is_some();
    let place = if constant { Place::Use(id, 0) } else { Place::Value(x) };
    let Some(rank) = graph.ty(x).rank() else { return };
    if (0..rank).all(|d| kept.of(place, d).is_none()) {
        return;
    }
    let dims: Vec<Dim> = match before.get(&x) {
        Some(d) => d.clone(),
        // A constant: lanes of its axes are its sizes.
        None => (0..rank).map(|d| kept.c.axis(place, d).map_or(Dim::from(1), |a| kept.c.axes[a].size.clone())).collect(),
    };
    let shaped = Shaped { place, dims };
    let ints = |slot: usize| facts.contents(graph, node.input(slot)?)?.as_ints();
    let Some(ranges) = views::ranges(graph, id, &shaped, &ints) else { return };
    let old = node.op.version < 10;
    let get = |slot: usize, name: &str| if old { node.attrs.ints(name).map(<[i64]>::to_vec) } else { ints(slot) };
    let (Some(mut starts), Some(mut ends)) = (get(1, "starts"), get(2, "ends")) else { return };
    let axes = get(3, "axes").unwrap_or_else(|| (0..starts.len() as i64).collect());
    for (d, first, last) in ranges {
        let (Some(lanes), Some(i)) = (kept.of(place, d), axes.iter().position(|a| shaped.dim(*a) == Some(d))) else { continue };
        starts[i] = lanes.iter().filter(|l| **l < first).count() as i64;
        ends[i] = lanes.iter().filter(|l| **l < last).count() as i64;
    }
    if old {
        let attrs = &mut graph.node_mut(id).attrs;
        attrs.set("starts", starts);
        attrs.set("ends", ends);
        return;
    }
    let label = graph.node(id).label().to_string();
    let s = add_ints(graph, &format!("{label}_starts"), starts, pass);
    let e = add_ints(graph, &format!("{label}_ends"), ends, pass);
    graph.set_input(id, 1, Some(s));
    graph.set_input(id, 2, Some(e));
}

/// An operand that says the shape of the result: a constant where it can be one, otherwise the old one plus what changed.
fn shape_operand(graph: &mut Graph, facts: &Facts, id: NodeId, slot: usize, pass: &str) -> Result<Option<NodeId>> {
    let (Some(shape), Some(want)) = (graph.node(id).input(slot), graph.ty(id.out(0)).dims().map(<[Dim]>::to_vec)) else { return Ok(None) };
    let reshape = graph.node(id).is("Reshape");
    let Some(now) = facts.contents(graph, shape) else { return Ok(None) };
    let zero_copies = reshape && graph.node(id).attrs.int("allowzero").unwrap_or(0) == 0;
    let input: Vec<Dim> = graph.node(id).input(0).and_then(|x| graph.ty(x).dims()).map(<[Dim]>::to_vec).unwrap_or_default();
    // Expand lists dims from the back, and 1 for what stays.
    let before = want.len().saturating_sub(now.dims.len());
    let right = |i: usize, d: &Dim| match d.as_const() {
        Some(-1) if reshape => true,
        Some(0) if zero_copies => input.get(i) == want.get(i),
        Some(1) if graph.node(id).is("Expand") => true,
        _ => want.get(i + before) == Some(d),
    };
    if now.dims.iter().enumerate().all(|(i, d)| right(i, d)) {
        return Ok(None);
    }
    let hint = format!("{}_shape", graph.node(id).label());
    let new = if let Some(ints) = now.as_ints().filter(|_| graph.as_constant(shape).is_some()) {
        let value = |(i, d): (usize, &Dim)| if right(i, d) { Some(ints[i]) } else { want.get(i + before)?.as_const() };
        now.dims.iter().enumerate().map(value).collect::<Option<Vec<i64>>>()
    } else if reshape && want.iter().all(|d| d.as_const() != Some(0)) {
        plain(&want, &input)
    } else {
        None
    };
    let mut added = None;
    let v = match new {
        Some(values) => {
            if values.contains(&0) && reshape {
                graph.node_mut(id).attrs.remove("allowzero");
            }
            add_ints(graph, &hint, values, pass)
        }
        None => {
            let delta = |(i, d): (usize, &Dim)| if right(i, d) { Some(0) } else { (want.get(i + before)? - d).as_const() };
            let delta: Option<Vec<i64>> = now.dims.iter().enumerate().map(delta).collect();
            let Some(delta) = delta else {
                let message = format!("the shape operand of '{}' cannot be rewritten for the cut", graph.node(id).label());
                return Err(Diagnostic::error("cut-shape", message).at(graph.node(id)).help("leave this part out with on(…)").into());
            };
            let version = lapidary_ops::schema::newest("", "Add").map_or(14, |s| s.since).min(14);
            let d = add_ints(graph, &format!("{hint}_change"), delta, pass);
            let position = graph.node(id).position;
            let ty = graph.ty(shape).as_tensor().cloned().unwrap_or(TensorType::new(DType::I64, lapidary_ir::Shape::of([now.dims.len()])));
            let sum = graph.add_op(OpName::onnx("Add", version), [shape, d], Attrs::new(), &hint, ty);
            graph.node_mut(sum.node).position = position;
            graph.node_mut(sum.node).origin = origin(pass, [hint.as_str().into()]);
            added = Some(sum.node);
            sum
        }
    };
    graph.set_input(id, slot, Some(v));
    Ok(added)
}

/// A shape as numbers: 0 for a dim of the operand in the same place, -1 for one that is not known.
fn plain(want: &[Dim], input: &[Dim]) -> Option<Vec<i64>> {
    let mut open = false;
    want.iter()
        .enumerate()
        .map(|(i, d)| match d.as_const() {
            Some(n) => Some(n),
            None if input.get(i) == Some(d) => Some(0),
            None => (!std::mem::replace(&mut open, true)).then_some(-1),
        })
        .collect()
}
