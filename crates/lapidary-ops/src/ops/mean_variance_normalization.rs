//! `MeanVarianceNormalization(x) = (x − mean) / (√var + 1e-9)`, with mean and variance (population) over `axes` (default 0, 2, 3).
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 9, 13. Source: the ONNX operator "MeanVarianceNormalization".

use crate::elementwise::kernels;
use crate::numbers::{axis_index, floats, store};
use crate::rows::{self, Rows};
use crate::{Datum, EvalCtx, LowerCtx, OpDef, elementwise, reduce};
use lapidary_ir::Result;
use lapidary_kernel::UnaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(eval),
    ..OpDef::base("MeanVarianceNormalization", include_str!("mean_variance_normalization.rs"), elementwise::same)
};

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let x = c.tensor(0)?;
    let mut reduced = vec![false; x.rank()];
    for axis in c.node.attrs.ints("axes").unwrap_or(&[0, 2, 3]) {
        match axis_index(*axis, x.rank()) {
            Some(a) => reduced[a] = true,
            None => return Err(c.error("bad-axis", format!("axis {axis} does not exist in a tensor of rank {}", x.rank())).into()),
        }
    }
    let plan = reduce::over(x.sizes(), &reduced);
    let values = floats(c, x)?;
    let (mean, variance) = reduce::moments(&values, &plan);
    let y: Vec<f64> = values.iter().zip(&plan.at).map(|(v, at)| (v - mean[*at]) / (variance[*at].sqrt() + 1e-9)).collect();
    Ok(vec![store(x.dtype(), x.sizes(), &y)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = rows::ends(c)?;
    let axes = c.node().attrs.ints("axes").unwrap_or(&[0, 2, 3]);
    let axes: Vec<usize> = axes.iter().filter_map(|a| axis_index(*a, x.rank())).collect();
    let mut r = Rows::new(c, &x.dims, &rows::mark(x.rank(), |a| axes.contains(&a)));
    let v = r.load(&x);
    let (d, _, variance) = r.centered(v);
    let deviation = r.k.unary(UnaryOp::Sqrt, variance);
    let deviation = kernels::plus(&mut r.k, deviation, 1e-9);
    let deviation = r.keep_scalar(deviation);
    let v = r.k.div(d, deviation);
    r.store(&y, v);
    c.push(r.k);
    Ok(())
}
