//! `LpNormalization(x) = x / ‖x‖ₚ` along `axis` (default −1), with `p` 1 or 2 (default). Where the norm is zero, the result is zero.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input, output: f16 bf16 f32 f64.
//!
//! Versions: 1, 22. Source: the ONNX operator "LpNormalization".

use crate::elementwise::kernels;
use crate::lanes::Lanes;
use crate::numbers::{eval_axis, floats, store};
use crate::rows::{self, Rows};
use crate::{Datum, EvalCtx, LowerCtx, OpDef, elementwise};
use lapidary_ir::Result;
use lapidary_kernel::{BinaryOp, ReduceOp, UnaryOp};

pub static DEF: OpDef =
    OpDef { lower: Some(lower), eval: Some(eval), ..OpDef::base("LpNormalization", include_str!("lp_normalization.rs"), elementwise::same) };

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

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = rows::ends(c)?;
    let axis = rows::axis(c, -1, x.rank())?;
    let absolute = c.node().attrs.int("p") == Some(1);
    let mut r = Rows::new(c, &x.dims, &rows::mark(x.rank(), |a| a == axis));
    let v = r.load(&x);
    let term = if absolute { r.k.unary(UnaryOp::Abs, v) } else { r.k.mul(v, v) };
    let sum = r.reduce(ReduceOp::Sum, term);
    let norm = if absolute { sum } else { r.k.unary(UnaryOp::Sqrt, sum) };
    let norm = r.keep_scalar(norm);
    let nothing = kernels::compared(&mut r.k, BinaryOp::Eq, norm, 0.0);
    let zero = kernels::number(&mut r.k, norm, 0.0);
    let v = r.k.div(v, norm);
    let v = r.k.select(nothing, zero, v);
    r.store(&y, v);
    c.push(r.k);
    Ok(())
}
