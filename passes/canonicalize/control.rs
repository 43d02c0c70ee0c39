use lapidary_ir::{Graph, NodeId, NodeSpec, Result, Value, ValueId};
use lapidary_rewrite::{Outcome, PassCtx, check_replacement, for_each_graph, origin, replace_value};
use rustc_hash::FxHashMap;

const NAME: &str = "constant-if";

/// An `If` whose condition is constant is the branch that it takes.
pub fn constant_ifs(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let mut out = Outcome::default();
    for_each_graph(graph, &mut |g, _| {
        for id in g.operators() {
            if !g.node(id).is("If") || !ctx.selected(g, id) {
                continue;
            }
            let condition = g.node(id).input(0).and_then(|v| g.as_constant(v)).and_then(|t| t.to_i64());
            let Some([condition]) = condition.as_deref() else { continue };
            let wanted = if *condition != 0 { "then_branch" } else { "else_branch" };
            match inline(g, id, wanted) {
                Ok(()) => out.touch(NAME, 1),
                Err(reason) => ctx.miss(NAME, g, id, reason),
            }
        }
        g.sweep();
        Ok(())
    })?;
    Ok(out)
}

/// Copies the branch's nodes into the graph and makes its outputs the node's.
fn inline(g: &mut Graph, id: NodeId, wanted: &str) -> Result<(), String> {
    let node = g.node(id);
    let Some(region) = node.regions.iter().find(|r| &*r.name == wanted).cloned() else { return Err(format!("it has no {wanted}")) };
    let body = &region.graph;
    let position = node.position;
    let mut map: FxHashMap<ValueId, ValueId> = FxHashMap::default();
    let formal = body.inputs().len().saturating_sub(region.captures.len());
    for (slot, value) in region.captures.iter().zip(&body.inputs()[formal..]) {
        let outer = node.input(*slot as usize).ok_or("a captured value is missing")?;
        map.insert(*value, outer);
    }
    // A branch that hands a captured input or a constant on has no node to carry an output's name.
    for (i, o) in body.outputs().iter().enumerate() {
        let passes_on = body.producer(*o).is_input() || body.producer(*o).is_const();
        if passes_on && g.is_output(id.out(i)) {
            return Err(format!("'{}' is an output of the graph, and the branch only hands a value on", g.value(id.out(i)).name));
        }
    }
    let order = body.topological().map_err(|e| e.to_string())?;
    let label = node.label().into();
    let from = origin(NAME, [label]);
    for n in order {
        let inner = body.node(n);
        if inner.is_input() {
            continue;
        }
        let mut outputs: Vec<Value> = vec![];
        for v in inner.outputs() {
            let mut name = if v.name.is_empty() { v.name.clone() } else { g.fresh_name(&v.name) };
            while !name.is_empty() && outputs.iter().any(|o| o.name == name) {
                name = g.fresh_name(&format!("{name}_x"));
            }
            outputs.push(Value { name, ty: v.ty.clone() });
        }
        let inputs = inner.inputs().iter().map(|v| v.and_then(|v| map.get(&v).copied())).collect();
        let count = outputs.len();
        let spec = NodeSpec {
            op: inner.op.clone(),
            name: inner.name.clone(),
            inputs,
            attrs: inner.attrs.clone(),
            outputs,
            origin: from.clone(),
            position: Some(position),
        };
        let new = g.add(spec);
        let copy = g.node_mut(new);
        copy.regions = inner.regions.clone();
        copy.metadata = inner.metadata.clone();
        copy.doc = inner.doc.clone();
        for o in 0..count {
            map.insert(n.out(o), new.out(o));
        }
    }
    let pairs: Vec<(ValueId, ValueId)> =
        body.outputs().iter().enumerate().filter_map(|(i, o)| Some((id.out(i), *map.get(o)?))).filter(|(old, _)| g.use_count(*old) > 0).collect();
    for (old, new) in &pairs {
        check_replacement(g, *old, *new).map_err(|r| r.text)?;
    }
    for (old, new) in pairs {
        replace_value(g, old, new);
    }
    g.detach_if_dead(id);
    Ok(())
}
