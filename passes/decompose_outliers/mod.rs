//! decompose-outliers: keep the few columns with large inputs in floats, so that the rest can be quantized.
//!
//! In large language models a few channels of a layer's input are a hundred times the others. A column of inputs is an outlier where any
//! element on `data` is at least `threshold` (6): the product is split into one over these columns and one over the rest, and their sum.
//! `fake-quant` leaves the first in floats and quantizes the second. Source: Dettmers et al., "LLM.int8()" (2022); there the columns are
//! found anew on every run, here they are those of the data.
//!
//! Covers MatMul and Gemm, the head too. Where more than half of the columns are outliers, splitting would gain nothing: those stay.

use crate::common::activations::{BATCH, DATA, observe};
use crate::common::layers::{self, Form, Layer, Scope};
use crate::common::nothing_done;
use crate::common::quant::STAYS_FLOAT;
use lapidary_ir::{Attrs, Diagnostic, Dim, Graph, NodeId, NodeSpec, Result, Shape, Tensor, Type, Value, ValueId};
use lapidary_rewrite::{Effect, Kind, OptionSpec, Outcome, Pass, PassCtx, Run, newest_op, origin, replace_value};
use std::collections::BTreeMap;

pub static PASS: Pass =
    Pass { name: NAME, source: include_str!("mod.rs"), effect: Effect::Rounding, options: OPTIONS, rules: &[], run: Run::Code(run) };

const NAME: &str = "decompose-outliers";

const OPTIONS: &[OptionSpec] =
    &[DATA, BATCH, OptionSpec::new("threshold", Kind::Float, Some("6"), "the magnitude from which an input is an outlier")];

fn run(graph: &mut Graph, ctx: &mut PassCtx<'_>) -> Result<Outcome> {
    let threshold = ctx.options.float("threshold").unwrap_or(6.0);
    if threshold.is_nan() || threshold <= 0.0 {
        return Err(Diagnostic::error("pass-option", format!("'threshold' is {threshold}, which is no magnitude")).into());
    }
    let mut found = layers::find(graph, ctx, NAME, Scope { head: true, embeddings: false });
    found.retain(|l| !matches!(l.form, Form::Conv { .. }));
    let seen = if found.is_empty() { vec![] } else { observe(graph, ctx, NAME, &found.iter().collect::<Vec<_>>(), false)? };
    let mut out = Outcome::default();
    let mut split = Split { picked: BTreeMap::new() };
    let (mut columns, mut all) = (0, 0);
    for (layer, seen) in found.iter().zip(&seen) {
        let (apart, rest): (Vec<usize>, Vec<usize>) = (0..layer.columns).partition(|c| seen.max_abs[*c] >= threshold);
        all += layer.columns;
        if apart.is_empty() {
            continue;
        }
        let node = graph.node(layer.readers[0].0);
        let refused = if apart.len() * 2 > layer.columns {
            Some(format!("{} of its {} columns are outliers", apart.len(), layer.columns))
        } else if node.attrs.float("alpha").unwrap_or(1.0) != 1.0 {
            Some("it scales its product".to_string())
        } else if node.is("Gemm") && ctx.target_opset < 11 {
            Some(format!("a Gemm without bias needs opset 11, the result is written in {}", ctx.target_opset))
        } else {
            None
        };
        if let Some(reason) = refused {
            ctx.miss(NAME, graph, layer.readers[0].0, reason);
            continue;
        }
        columns += apart.len();
        split.layer(graph, layer, &apart, &rest)?;
        out.touch("layers", 1);
    }
    if out.changed {
        graph.sweep();
        let text = format!("{columns} of {all} columns ({:.1} %) stay in floats", 100.0 * columns as f64 / all as f64);
        ctx.note(Diagnostic::error("outliers", text));
    } else {
        nothing_done(ctx, NAME)?;
    }
    Ok(out)
}

struct Split {
    /// Columns picked out of a value, made once for all its readers.
    picked: BTreeMap<(ValueId, Vec<usize>), ValueId>,
}

impl Split {
    fn layer(&mut self, graph: &mut Graph, layer: &Layer, apart: &[usize], rest: &[usize]) -> Result<()> {
        let (w_apart, w_rest) = (part(graph, layer, apart, "outliers")?, part(graph, layer, rest, "rest")?);
        for (node, x) in &layer.readers {
            let (x_apart, x_rest) = (self.pick(graph, *node, *x, apart, "outliers"), self.pick(graph, *node, *x, rest, "rest"));
            let (old, y) = (graph.node(*node).clone(), node.out(0));
            let (ty, name) = (graph.ty(y).clone(), graph.value(y).name.to_string());
            let from = origin(NAME, [old.label().into()]);
            let add = |graph: &mut Graph, op: &lapidary_ir::OpName, inputs: Vec<Option<ValueId>>, attrs: Attrs, suffix: &str| {
                let value = Value { name: graph.fresh_name(&format!("{name}_{suffix}")), ty: ty.clone() };
                let spec = NodeSpec::new(op.clone(), [], vec![value]).attrs(attrs).name(format!("{}_{suffix}", old.label()));
                let id = graph.add(NodeSpec { position: Some(old.position), origin: from.clone(), ..spec });
                graph.set_inputs(id, inputs);
                id
            };
            let mut inputs = old.inputs().to_vec();
            (inputs[0], inputs[1]) = (Some(x_rest), Some(w_rest));
            let product = add(graph, &old.op, inputs, old.attrs.clone(), "rest");
            // The bias belongs to one of the two alone.
            let few = add(graph, &old.op, vec![Some(x_apart), Some(w_apart)], old.attrs.clone(), "outliers");
            graph.node_mut(few).metadata.insert(STAYS_FLOAT.0.into(), STAYS_FLOAT.1.into());
            let sum = add(graph, &newest_op("Add"), vec![Some(product.out(0)), Some(few.out(0))], Attrs::new(), "sum");
            replace_value(graph, y, sum.out(0));
            graph.detach_if_dead(*node);
        }
        Ok(())
    }
    fn pick(&mut self, graph: &mut Graph, reader: NodeId, x: ValueId, columns: &[usize], suffix: &str) -> ValueId {
        if let Some(v) = self.picked.get(&(x, columns.to_vec())) {
            return *v;
        }
        let name = graph.value(x).name.to_string();
        let numbers: Vec<i64> = columns.iter().map(|c| *c as i64).collect();
        let fresh = graph.fresh_name(&format!("{name}_{suffix}_columns"));
        let indices = graph.add_const(fresh, Tensor::from_vec(numbers));
        let mut ty = graph.ty(x).clone();
        let mut axis = -1;
        if let Type::Tensor(t) = &mut ty
            && let Shape::Ranked(dims) = &mut t.shape
        {
            axis = dims.len() as i64 - 1;
            if let Some(last) = dims.last_mut() {
                *last = Dim::from(columns.len());
            }
        }
        let value = Value { name: graph.fresh_name(&format!("{name}_{suffix}")), ty };
        let position = Some(graph.node(reader).position);
        let spec = NodeSpec::new(newest_op("Gather"), [x, indices], vec![value]).attrs(Attrs::new().with("axis", axis));
        let spec = spec.name(format!("{name}_{suffix}"));
        let v = graph.add(NodeSpec { position, origin: origin(NAME, [name.as_str().into()]), ..spec }).out(0);
        self.picked.insert((x, columns.to_vec()), v);
        v
    }
}

/// Some columns of a weight, in the operator's layout.
fn part(graph: &mut Graph, layer: &Layer, columns: &[usize], suffix: &str) -> Result<ValueId> {
    let Some(t) = graph.as_constant(layer.weight).cloned() else { return Ok(layer.weight) };
    let m = layer.matrix(graph);
    let (sizes, values): ([usize; 2], Vec<f64>) = match layer.form {
        Form::InputsFirst => ([columns.len(), layer.rows], columns.iter().flat_map(|c| m.col(*c).iter().copied().collect::<Vec<_>>()).collect()),
        _ => ([layer.rows, columns.len()], (0..layer.rows).flat_map(|r| columns.iter().map(|c| m[(r, *c)]).collect::<Vec<_>>()).collect()),
    };
    let name = graph.fresh_name(&format!("{}_{suffix}", layer.name));
    let c = graph.add_const(name, Tensor::from_f64(t.dtype(), &sizes, &values)?);
    graph.node_mut(c.node).origin = origin(NAME, [layer.name.as_str().into()]);
    Ok(c)
}
