//! `InstanceNormalization(x, scale, b) = (x − mean) / √(var + epsilon) · scale + b`, with mean and variance (population) over the positions
//! of each channel of each sample. `epsilon` is 1e-5 by default.
//!
//! Shapes: `x` is [N, C, …], `scale` and `b` are [C]; the result has the shape of `x`.
//!
//! Types: input, scale, B, output: f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 22. Source: the ONNX operator "InstanceNormalization".

use crate::numbers::{floats, store};
use crate::{Datum, EvalCtx, OpDef, elementwise, forms, reduce};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef {
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
