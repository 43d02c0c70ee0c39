//! `InstanceNormalization(x, scale, b) = (x − mean) / √(var + epsilon) · scale + b`, with mean and variance (population) over the positions
//! of each channel of each sample. `epsilon` is 1e-5 by default.
//!
//! Shapes: `x` is [N, C, …], `scale` and `b` are [C]; the result has the shape of `x`.
//!
//! Types: input, scale, B, output: f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 22. Source: the ONNX operator "InstanceNormalization".

use crate::elementwise::kernels;
use crate::numbers::{floats, store};
use crate::rows::{self, Rows};
use crate::{Datum, EvalCtx, LowerCtx, OpDef, elementwise, forms, reduce};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(eval),
    forms: &[forms::CONSUMED_INPUTS],
    ..OpDef::base("InstanceNormalization", include_str!("instance_normalization.rs"), elementwise::same)
};

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (x, scale, bias) = (c.tensor(0)?, c.tensor(1)?, c.tensor(2)?);
    let epsilon = f64::from(c.node.attrs.float("epsilon").unwrap_or(1e-5));
    let reduced: Vec<bool> = (0..x.rank()).map(|a| a >= 2).collect();
    let mut y = reduce::standardize(&floats(c, x)?, &reduce::over(x.sizes(), &reduced), epsilon);
    let (at, _) = (reduce::channels(c, x.sizes(), scale)?, reduce::channels(c, x.sizes(), bias)?);
    let (scale, bias) = (floats(c, scale)?, floats(c, bias)?);
    y.iter_mut().zip(at).for_each(|(v, k)| *v = *v * scale[k] + bias[k]);
    Ok(vec![store(x.dtype(), x.sizes(), &y)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = rows::ends(c)?;
    let parameters = [c.input(1)?, c.input(2)?];
    let epsilon = f64::from(c.node().attrs.float("epsilon").unwrap_or(1e-5));
    if x.rank() < 2 {
        return Err(c.unsupported("'InstanceNormalization' needs rank 2 at least").into());
    }
    let mut r = Rows::new(c, &x.dims, &rows::mark(x.rank(), |a| a >= 2));
    let v = r.load(&x);
    let (d, _, variance) = r.centered(v);
    let inverse = r.inverse_deviation(variance, epsilon);
    let (mut v, dtype) = (r.k.mul(d, inverse), r.k.dtype(inverse));
    for (i, p) in parameters.iter().enumerate() {
        let channel = r.at[1].clone();
        let p = kernels::load(&mut r.k, p, vec![channel]);
        let p = r.k.cast(dtype, p);
        v = if i == 0 { r.k.mul(v, p) } else { r.k.add(v, p) };
    }
    r.store(&y, v);
    c.push(r.k);
    Ok(())
}
