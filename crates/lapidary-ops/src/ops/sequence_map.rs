//! `SequenceMap(sequence, x…)`: runs the region `body` on each element; further operands that are sequences of the same length are walked
//! along, tensors are given to each run. Each result of the body becomes a sequence.
//!
//! Source: ONNX SequenceMap-17.

use crate::regions::region;
use crate::sequences::{sequence, sequence_of, shapeless, type_of};
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{Result, Type};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("SequenceMap", include_str!("sequence_map.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let body = region(c, c.node, "body")?;
    for o in 0..c.output_count() {
        if let Some(ty) = c.region_outputs.get(body).and_then(|t| t.get(o)) {
            let ty = sequence_of(ty);
            c.set(o, ty);
        }
    }
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let body = region(c, c.node, "body")?;
    let formal = crate::regions::formal_count(&c.node.regions[body]);
    let (_, first) = sequence(c, 0)?;
    let graph = &c.node.regions[body].graph;
    let types = graph.outputs().iter().map(|o| shapeless(graph.ty(*o)));
    let mut results: Vec<(Type, Vec<Datum>)> = types.map(|t| (t, vec![])).collect();
    for i in 0..first.len() {
        let mut inputs = vec![];
        for slot in 0..formal {
            inputs.push(match c.inputs.get(slot).copied().flatten() {
                Some(Datum::Sequence(_, v)) => match v.get(i) {
                    Some(d) => d.clone(),
                    None => return Err(c.error("shape-conflict", format!("sequences of {} and {} elements", first.len(), v.len())).into()),
                },
                Some(d) => d.clone(),
                None => return Err(c.error("missing-operand", format!("operand {slot} is missing")).into()),
            });
        }
        for (list, d) in results.iter_mut().zip(c.run_region(body, inputs)?) {
            if list.0 == Type::Unknown {
                list.0 = shapeless(&type_of(&d));
            }
            list.1.push(d);
        }
    }
    Ok(results.into_iter().map(|(t, v)| Datum::Sequence(t, v)).collect())
}
