//! Changes types, constants and casts as the plan says.

use super::plan::Plan;
use super::rounding::{self, Loss};
use super::{Form, NAME};
use lapidary_ir::{Attr, Attrs, DType, Diagnostic, Graph, NodeId, NodeSpec, Result, Type, Value, ValueId};
use lapidary_rewrite::{newest_op, origin, replace_value};
use std::collections::{BTreeMap, BTreeSet};

/// Constants of fewer elements are not worth a Cast of their own, where only the storage changes.
const WORTH_STORING: usize = 64;

/// Whether a graph's inputs and outputs change.
#[derive(Clone, Copy)]
pub struct Edges {
    pub inputs: bool,
    pub outputs: bool,
}

pub struct Work {
    to: DType,
    form: Form,
    infinity: bool,
    /// Constants stored in 16 bits.
    pub weights: usize,
    losses: Vec<(String, Loss)>,
}

/// Values of one graph in their other type.
#[derive(Default)]
struct Made(BTreeMap<(ValueId, DType), ValueId>);

impl Work {
    pub fn new(to: DType, form: Form, infinity: bool) -> Work {
        Work { to, form, infinity, weights: 0, losses: vec![] }
    }
    pub fn graph(&mut self, graph: &mut Graph, plan: &Plan, edges: Edges) -> Result<()> {
        let order = graph.operators();
        // Every value that was f32: others do not change.
        let floats: BTreeSet<ValueId> = graph
            .node_ids()
            .flat_map(|n| (0..graph.node(n).outputs().len()).map(move |o| n.out(o)))
            .filter(|v| graph.dtype(*v) == DType::F32 && matches!(graph.ty(*v), Type::Tensor(_)))
            .collect();
        if self.form == Form::Compute {
            self.retype(graph, plan, &order, edges)?;
        }
        self.bodies(graph, plan)?;
        let mut made = Made::default();
        for id in &order {
            for slot in 0..graph.node(*id).inputs().len() {
                let Some(v) = graph.node(*id).input(slot).filter(|v| floats.contains(v)) else { continue };
                let Some(low) = plan.wants(graph, *id, slot) else { continue };
                let new = match (self.form, low) {
                    (Form::Storage, true) => self.stored(graph, &mut made, v)?,
                    (Form::Products, true) => self.rounded(graph, &mut made, v)?,
                    (Form::Storage | Form::Products, false) => v,
                    (Form::Compute, low) => self.cast(graph, &mut made, v, if low { self.to } else { DType::F32 })?,
                };
                if new != v {
                    graph.set_input(*id, slot, Some(new));
                    graph.detach_if_dead(v.node);
                }
            }
        }
        if self.form == Form::Compute {
            self.outputs(graph, &mut made, &floats, edges)?;
            needless(graph);
        }
        names(graph, &made);
        Ok(())
    }
    /// New element types of what nodes make, and of inputs.
    fn retype(&mut self, graph: &mut Graph, plan: &Plan, order: &[NodeId], edges: Edges) -> Result<()> {
        for id in order {
            let Some(slots) = plan.low.get(id) else { continue };
            slots.outputs.iter().for_each(|o| set_dtype(graph, id.out(*o), self.to));
            if graph.node(*id).is("Cast") {
                graph.node_mut(*id).attrs.set("to", i64::from(self.to.onnx_code()));
            }
            if graph.node(*id).is("ConstantOfShape") {
                let zero = std::sync::Arc::new(lapidary_ir::Tensor::zeros(DType::F32, &[1])?);
                let old = graph.node(*id).attrs.tensor("value").unwrap_or(&zero);
                let (t, _) = rounding::convert(old, self.to, self.infinity)?;
                graph.node_mut(*id).attrs.set("value", Attr::Tensor(t.into()));
            }
        }
        if edges.inputs {
            let inputs: Vec<ValueId> = graph.inputs().iter().copied().filter(|v| graph.dtype(*v) == DType::F32).collect();
            inputs.into_iter().for_each(|v| set_dtype(graph, v, self.to));
        }
        Ok(())
    }
    fn bodies(&mut self, graph: &mut Graph, plan: &Plan) -> Result<()> {
        for (id, plans) in &plan.bodies {
            let mut regions = std::mem::take(&mut graph.node_mut(*id).regions);
            let mut result = Ok(());
            for (region, inner) in regions.iter_mut().zip(plans) {
                let inputs = region.graph.inputs().to_vec();
                let formal = inputs.len().saturating_sub(region.captures.len());
                if self.form == Form::Compute {
                    for (slot, v) in region.captures.iter().zip(&inputs[formal..]) {
                        if plan.captured.get(id).is_some_and(|c| c.contains(&(*slot as usize))) {
                            set_dtype(&mut region.graph, *v, self.to);
                        }
                    }
                }
                result = result.and_then(|()| self.graph(&mut region.graph, inner, Edges { inputs: false, outputs: false }));
                region.graph.sweep();
            }
            graph.node_mut(*id).regions = regions;
            result?;
        }
        Ok(())
    }
    /// The value in the wanted type.
    fn cast(&mut self, graph: &mut Graph, made: &mut Made, v: ValueId, want: DType) -> Result<ValueId> {
        if graph.dtype(v) == want {
            return Ok(v);
        }
        if let Some(c) = made.0.get(&(v, want)) {
            return Ok(*c);
        }
        let new = if graph.as_constant(v).is_some() {
            self.constant(graph, v)?
        } else {
            // Widening loses nothing: what was widened is there in the narrow type.
            let before = graph.producer(v).is("Cast").then(|| graph.producer(v).input(0)).flatten();
            match before.filter(|x| graph.dtype(*x) == want && want != DType::F32) {
                Some(x) => x,
                None => add_cast(graph, v, want),
            }
        };
        made.0.insert((v, want), new);
        Ok(new)
    }
    /// The constant in 16 bits.
    fn constant(&mut self, graph: &mut Graph, v: ValueId) -> Result<ValueId> {
        let Some(t) = graph.as_constant(v).cloned() else { return Ok(v) };
        let name = graph.value(v).name.to_string();
        let (low, loss) = rounding::convert(&t, self.to, self.infinity)?;
        self.weights += 1;
        self.losses.push((name.clone(), loss));
        let fresh = graph.fresh_name(&format!("{name}_{}", self.to));
        let c = graph.add_const(fresh, low);
        graph.node_mut(c.node).origin = origin(NAME, [name.as_str().into()]);
        Ok(c)
    }
    /// A constant behind a Cast that makes f32 of its 16 bits; other values, and small ones, as they are.
    fn stored(&mut self, graph: &mut Graph, made: &mut Made, v: ValueId) -> Result<ValueId> {
        if graph.as_constant(v).is_none_or(|t| t.len() < WORTH_STORING) {
            return Ok(v);
        }
        self.rounded(graph, made, v)
    }
    /// The value rounded to 16 bits, in f32.
    fn rounded(&mut self, graph: &mut Graph, made: &mut Made, v: ValueId) -> Result<ValueId> {
        if let Some(c) = made.0.get(&(v, DType::F32)) {
            return Ok(*c);
        }
        let low = self.cast(graph, made, v, self.to)?;
        let wide = add_cast(graph, low, DType::F32);
        made.0.insert((v, DType::F32), wide);
        Ok(wide)
    }
    /// Outputs in the type that they are to have, under their names.
    fn outputs(&mut self, graph: &mut Graph, made: &mut Made, floats: &BTreeSet<ValueId>, edges: Edges) -> Result<()> {
        let want = if edges.outputs { self.to } else { DType::F32 };
        let mut outputs = graph.outputs().to_vec();
        for at in 0..outputs.len() {
            let v = outputs[at];
            if !floats.contains(&v) || graph.dtype(v) == want {
                continue;
            }
            let again = outputs[..at].iter().position(|o| made.0.get(&(v, want)) == Some(o)).is_some();
            let new = self.cast(graph, made, v, want)?;
            outputs[at] = new;
            graph.set_outputs(outputs.clone());
            if !again {
                let name = graph.value(v).name.clone();
                let inner = graph.fresh_name(&format!("{name}_{}", graph.dtype(v)));
                graph.value_mut(v).name = inner;
                graph.value_mut(new).name = name;
            }
            graph.detach_if_dead(v.node);
        }
        Ok(())
    }
    /// What the ledger should say of rounded constants: each that overflowed, each of which much was too small, and how many lost a little.
    pub fn notes(&self) -> Vec<Diagnostic> {
        /// The part of elements below which subnormal ones are not told tensor by tensor.
        const MUCH: f64 = 0.01;
        let (to, mut notes, mut little) = (self.to, vec![], vec![]);
        for (name, l) in &self.losses {
            if l.overflow > 0 {
                let become_ = if self.infinity { "infinite" } else { "its largest number" };
                let text = format!("{} of {} elements of '{name}' are beyond {to} and become {become_}", l.overflow, l.elements);
                notes.push(Diagnostic::error("overflow", text).value(name.as_str()));
            }
            if l.subnormal as f64 > MUCH * l.elements as f64 {
                let text = format!("{} of {} elements of '{name}' are subnormal in {to}, {} of them become 0", l.subnormal, l.elements, l.zero);
                notes.push(Diagnostic::error("subnormal", text).value(name.as_str()));
            } else if l.subnormal > 0 {
                little.push(l);
            }
        }
        if !little.is_empty() {
            let (all, sub, zero) = little.iter().fold((0, 0, 0), |(a, s, z), l| (a + l.elements, s + l.subnormal, z + l.zero));
            let text = format!("{sub} of {all} elements of {} other tensors are subnormal in {to}, {zero} of them become 0", little.len());
            notes.push(Diagnostic::error("subnormal", text));
        }
        notes
    }
}

fn set_dtype(graph: &mut Graph, v: ValueId, to: DType) {
    if let Type::Tensor(t) = &mut graph.value_mut(v).ty {
        t.dtype = to;
    }
}

fn add_cast(graph: &mut Graph, v: ValueId, to: DType) -> ValueId {
    let name = graph.value(v).name.to_string();
    let mut ty = graph.ty(v).clone();
    if let Type::Tensor(t) = &mut ty {
        t.dtype = to;
    }
    let fresh = graph.fresh_name(&format!("{name}_{to}"));
    let spec = NodeSpec::new(newest_op("Cast"), [v], vec![Value { name: fresh, ty }]);
    let spec = spec.attrs(Attrs::new().with("to", i64::from(to.onnx_code()))).name(format!("{name}_Cast_{to}"));
    let position = Some(graph.node(v.node).position);
    graph.add(NodeSpec { position, origin: origin(NAME, [name.as_str().into()]), ..spec }).out(0)
}

/// Casts to the type that their operand has by now.
fn needless(graph: &mut Graph) {
    for id in graph.operators() {
        let node = graph.node(id);
        let Some(x) = node.input(0).filter(|x| node.is("Cast") && graph.dtype(*x) == graph.dtype(id.out(0))) else { continue };
        // An input or constant cannot take the name of an output.
        if graph.is_output(id.out(0)) && (graph.producer(x).is_input() || graph.producer(x).is_const() || graph.is_output(x)) {
            continue;
        }
        replace_value(graph, id.out(0), x);
        graph.detach_if_dead(id);
    }
}

/// A converted constant takes the name of the one that nothing reads any more.
fn names(graph: &mut Graph, made: &Made) {
    for ((old, to), new) in &made.0 {
        if *to == DType::F32 || !graph.producer(*new).is_const() || !graph.contains(old.node) || graph.use_count(*old) > 0 {
            continue;
        }
        let (a, b) = (graph.value(*old).name.clone(), graph.value(*new).name.clone());
        graph.value_mut(*old).name = b;
        graph.value_mut(*new).name = a;
    }
}
