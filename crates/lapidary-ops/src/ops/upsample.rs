//! `Upsample(x, scales)`: the predecessor of Resize, with `mode` `nearest` or `linear`, coordinates divided by the scale.
//!
//! Real numbers. Source: ONNX Upsample-9 (deprecated since opset 10; lifted to Resize on import).

use crate::ops::resize;
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("Upsample", include_str!("upsample.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let x = c.ty(0)?;
    let shape = match (x.shape.dims(), c.constant(1).and_then(|s| s.to_f64())) {
        (Some(dims), Some(scales)) if scales.len() == dims.len() => {
            lapidary_ir::Shape::Ranked(dims.iter().zip(scales).map(|(d, s)| resize::scaled(c.symbols, d, s)).collect())
        }
        (Some(dims), _) => c.fresh_shape(dims.len()),
        (None, _) => lapidary_ir::Shape::Unranked,
    };
    c.set_tensor(0, x.dtype, shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let x = c.tensor(0)?;
    let scales = c.tensor(1)?.to_f64().unwrap_or_default();
    let axes: Vec<usize> = (0..x.rank()).collect();
    if scales.len() != axes.len() {
        return Err(c.error("shape-conflict", format!("{} scales for rank {}", scales.len(), axes.len())).into());
    }
    let how = resize::Settings::upsample(c)?;
    Ok(vec![resize::resample(c, x, &axes, &resize::scaled_sizes(c, x.sizes(), &axes, &scales)?, &scales, &[], &how)?.into()])
}
