//! `RMSNormalization(x, scale) = x / √(mean(x²) + epsilon) · scale`, with the mean over the axes from `axis` (default −1) on. `epsilon` is
//! 1e-5 by default.
//!
//! Shapes: `scale` is broadcast to the shape of `x`, which the result has.
//!
//! Types: X: f16 bf16 f32 f64; scale, Y: f16 bf16 f32 f64.
//!
//! Versions: 23. Source: the ONNX operator "RMSNormalization".

use crate::elementwise::broadcast::indices;
use crate::elementwise::kernels;
use crate::numbers::{eval_axis, floats, infer_axis, store};
use crate::rows::{self, Rows};
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef, reduce};
use lapidary_ir::Result;

pub static DEF: OpDef =
    OpDef { lower: Some(lower), eval: Some(eval), ..OpDef::base("RMSNormalization", include_str!("rms_normalization.rs"), infer) };

/// The result has the type of `scale`, which may differ from that of `x`.
fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let t = c.ty(0)?;
    if let Some(rank) = t.shape.rank() {
        infer_axis(c, c.node.attrs.int("axis").unwrap_or(-1), rank)?;
    }
    c.set_tensor(0, c.dtype(1)?, t.shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (x, scale) = (c.tensor(0)?, c.tensor(1)?);
    let axis = eval_axis(c, c.node.attrs.int("axis").unwrap_or(-1), x.rank())?;
    let epsilon = f64::from(c.node.attrs.float("epsilon").unwrap_or(1e-5));
    let reduced: Vec<bool> = (0..x.rank()).map(|a| a >= axis).collect();
    let plan = reduce::over(x.sizes(), &reduced);
    let values = floats(c, x)?;
    let squares: Vec<f64> = values.iter().map(|v| v * v).collect();
    let roots: Vec<f64> = plan.fold(&squares, 0.0, |a, b| a + b).into_iter().map(|s| (s / plan.terms as f64 + epsilon).sqrt()).collect();
    reduce::broadcasts_to(c, scale.sizes(), x.sizes())?;
    let (s, si) = (floats(c, scale)?, indices(x.sizes(), scale.sizes()));
    let y: Vec<f64> = (0..values.len()).map(|i| values[i] / roots[plan.at[i]] * s[si[i]]).collect();
    Ok(vec![store(scale.dtype(), x.sizes(), &y)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = rows::ends(c)?;
    let scale = c.input(1)?;
    let axis = rows::axis(c, -1, x.rank())?;
    let epsilon = f64::from(c.node().attrs.float("epsilon").unwrap_or(1e-5));
    let mut r = Rows::new(c, &x.dims, &rows::mark(x.rank(), |a| a >= axis));
    let v = r.load(&x);
    let square = r.k.mul(v, v);
    let mean = r.mean(square);
    let inverse = r.inverse_deviation(mean, epsilon);
    let v = r.k.mul(v, inverse);
    let s = r.load_broadcast(&scale, &x.dims);
    let s = r.k.cast(kernels::wider(x.dtype), s);
    let v = r.k.mul(v, s);
    r.store(&y, v);
    c.push(r.k);
    Ok(())
}
