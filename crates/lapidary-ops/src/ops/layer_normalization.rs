//! `LayerNormalization(x, scale, b) = (x − mean) / √(var + epsilon) · scale + b`, with mean and variance (population) over the axes from
//! `axis` (default −1) on. `epsilon` is 1e-5 by default.
//!
//! The second result is the mean, the third `1 / √(var + epsilon)`, in the type that `stash_type` names.
//!
//! Shapes: `scale` and `b` are broadcast to the shape of `x`, which the first result has; in the others the normalized axes are 1.
//!
//! Types: X, Scale, B, Y: f16 bf16 f32 f64; Mean, InvStdDev: bf16 f32.
//!
//! Versions: 17. Source: the ONNX operator "LayerNormalization".

use crate::elementwise::broadcast::indices;
use crate::numbers::{eval_axis, floats, infer_axis, store};
use crate::rows::{self, Rows};
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef, reduce};
use lapidary_ir::{DType, Dim, Node, Result, Shape};

pub static DEF: OpDef =
    OpDef { lower: Some(lower), eval: Some(eval), ..OpDef::base("LayerNormalization", include_str!("layer_normalization.rs"), infer) };

fn stash(node: &Node) -> DType {
    node.attrs.int("stash_type").and_then(|t| DType::from_onnx_code(i32::try_from(t).ok()?)).unwrap_or(DType::F32)
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let t = c.ty(0)?;
    let mut shape = t.shape.clone();
    if let Shape::Ranked(dims) = &mut shape {
        let axis = infer_axis(c, c.node.attrs.int("axis").unwrap_or(-1), dims.len())?;
        dims[axis..].iter_mut().for_each(|d| *d = Dim::from(1));
    }
    let stash = stash(c.node);
    c.set(0, t);
    c.set_tensor(1, stash, shape.clone());
    c.set_tensor(2, stash, shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let x = c.tensor(0)?;
    let axis = eval_axis(c, c.node.attrs.int("axis").unwrap_or(-1), x.rank())?;
    let epsilon = f64::from(c.node.attrs.float("epsilon").unwrap_or(1e-5));
    let reduced: Vec<bool> = (0..x.rank()).map(|a| a >= axis).collect();
    let plan = reduce::over(x.sizes(), &reduced);
    let values = floats(c, x)?;
    let (mean, variance) = reduce::moments(&values, &plan);
    let inverse: Vec<f64> = variance.iter().map(|v| 1.0 / (v + epsilon).sqrt()).collect();
    let mut y: Vec<f64> = values.iter().zip(&plan.at).map(|(v, at)| (v - mean[*at]) * inverse[*at]).collect();
    for slot in [1, 2] {
        if let Some(t) = c.optional(slot)? {
            reduce::broadcasts_to(c, t.sizes(), x.sizes())?;
            let p = floats(c, t)?;
            let at = indices(x.sizes(), t.sizes());
            y.iter_mut().zip(at).for_each(|(v, i)| if slot == 1 { *v *= p[i] } else { *v += p[i] });
        }
    }
    let stash = stash(c.node);
    Ok(vec![store(x.dtype(), x.sizes(), &y)?.into(), store(stash, &plan.sizes, &mean)?.into(), store(stash, &plan.sizes, &inverse)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = rows::ends(c)?;
    let axis = rows::axis(c, -1, x.rank())?;
    let epsilon = f64::from(c.node().attrs.float("epsilon").unwrap_or(1e-5));
    let reduced = rows::mark(x.rank(), |a| a >= axis);
    let parameters = [1, 2].map(|s| if c.has(s) { c.input(s).map(Some) } else { Ok(None) });
    let mut r = Rows::new(c, &x.dims, &reduced);
    let v = r.load(&x);
    let (d, mean, variance) = r.centered(v);
    let inverse = r.inverse_deviation(variance, epsilon);
    let mut v = r.k.mul(d, inverse);
    for (i, p) in parameters.into_iter().enumerate() {
        if let Some(p) = p? {
            let p = r.load_broadcast(&p, &x.dims);
            let dtype = r.k.dtype(v);
            let p = r.k.cast(dtype, p);
            v = if i == 0 { r.k.mul(v, p) } else { r.k.add(v, p) };
        }
    }
    r.store(&y, v);
    for (output, v) in [(1, mean), (2, inverse)] {
        if c.wants(output) {
            let y = c.output(output)?;
            let at = r.kept(&reduced, true);
            r.store_one(&y, at, v);
        }
    }
    c.push(r.k);
    Ok(())
}
