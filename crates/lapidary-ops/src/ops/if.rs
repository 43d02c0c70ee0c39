//! `If(condition)`: the results of the region `then_branch` when the scalar condition is true, of `else_branch` otherwise.
//!
//! Any types. Source: ONNX If-25.

use crate::regions::{join, region};
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{Result, Type};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("If", include_str!("if.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let (yes, no) = (region(c, c.node, "then_branch")?, region(c, c.node, "else_branch")?);
    let types = |r: usize, o: usize| c.region_outputs.get(r).and_then(|t| t.get(o)).cloned().unwrap_or(Type::Unknown);
    let pairs: Vec<(Type, Type)> = (0..c.output_count()).map(|o| (types(yes, o), types(no, o))).collect();
    let taken = c.ints(0).and_then(|v| v.first().copied());
    for (o, (a, b)) in pairs.into_iter().enumerate() {
        let ty = match taken {
            Some(0) => b,
            Some(_) => a,
            None => join(c.symbols, &a, &b),
        };
        c.set(o, ty);
    }
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let condition = c.ints(0)?.first().copied().ok_or_else(|| c.error("missing-operand", "the condition is empty"))?;
    let branch = region(c, c.node, if condition != 0 { "then_branch" } else { "else_branch" })?;
    c.run_region(branch, vec![])
}
