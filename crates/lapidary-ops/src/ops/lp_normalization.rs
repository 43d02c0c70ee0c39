//! `LpNormalization(x) = x / ‖x‖ₚ` along `axis` (default −1), with `p` 1 or 2 (default). Where the norm is zero, the result is zero.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 1, 22. Source: the ONNX operator "LpNormalization".

use crate::lanes::Lanes;
use crate::numbers::{eval_axis, floats, store};
use crate::{Datum, EvalCtx, OpDef, elementwise};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("LpNormalization", include_str!("lp_normalization.rs"), elementwise::same) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let x = c.tensor(0)?;
    let lanes = Lanes::of(x.sizes(), eval_axis(c, c.node.attrs.int("axis").unwrap_or(-1), x.rank())?);
    let norm: fn(&[f64]) -> f64 = match c.node.attrs.int("p").unwrap_or(2) {
        1 => |lane| lane.iter().map(|x| x.abs()).sum(),
        2 => |lane| lane.iter().map(|x| x * x).sum::<f64>().sqrt(),
        p => return Err(c.error("bad-attribute", format!("'p' is {p}")).help("1 and 2 are known").into()),
    };
    let y = lanes.map(&floats(c, x)?, lanes.len, &|lane, out| {
        let n = norm(lane);
        out.iter_mut().zip(lane).for_each(|(o, x)| *o = if n == 0.0 { 0.0 } else { x / n });
    });
    Ok(vec![store(x.dtype(), x.sizes(), &y)?.into()])
}
