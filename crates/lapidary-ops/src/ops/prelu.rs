//! `PRelu(x, slope) = x if x ≥ 0 else slope · x`, elementwise.
//!
//! Before version 7 a slope of one dimension belongs to the channels, axis 1.
//!
//! Shapes: `slope` is broadcast to the shape of `x`, which the result has.
//!
//! Types: X, slope, Y: u32 i32 u64 i64 f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 7, 9, 16. Source: the ONNX operator "PRelu".

use crate::elementwise;
use crate::elementwise::broadcast::{broadcast_sizes, zip2};
use crate::elementwise::kernels;
use crate::numbers::{floats, store, store_wide, wide};
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef, forms};
use lapidary_ir::{Graph, NodeId, Result};
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(eval),
    forms: &[CHANNELS, forms::CONSUMED_INPUTS],
    ..OpDef::base("PRelu", include_str!("prelu.rs"), infer)
};

/// Version 7 brought numpy broadcasting.
const CHANNELS: Form = Form { since: 7, lift: newer, lower: older };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    elementwise::common_dtype(c, [0, 1])?;
    elementwise::same(c)
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (x, mut slope) = (c.tensor(0)?, c.tensor(1)?.clone());
    if (1..7).contains(&c.node.op.version) && slope.rank() == 1 && slope.len() > 1 && x.rank() > 2 {
        let mut sizes = vec![slope.len()];
        sizes.resize(x.rank() - 1, 1);
        slope = slope.reshaped(&sizes)?;
    }
    let sizes = broadcast_sizes(c, &[x.sizes(), slope.sizes()])?;
    if sizes != x.sizes() {
        return Err(c.error("shape-conflict", format!("a slope of sizes {:?} does not fit {:?}", slope.sizes(), x.sizes())).into());
    }
    if x.dtype().is_int() {
        let f = |x: i128, s: i128| if x < 0 { s * x } else { x };
        let out = zip2(&sizes, (&wide(c, x)?, x.sizes()), (&wide(c, &slope)?, slope.sizes()), &f);
        return Ok(vec![store_wide(x.dtype(), &sizes, &out)?.into()]);
    }
    let f = |x: f64, s: f64| if x < 0.0 { s * x } else { x };
    let out = zip2(&sizes, (&floats(c, x)?, x.sizes()), (&floats(c, &slope)?, slope.sizes()), &f);
    Ok(vec![store(x.dtype(), &sizes, &out)?.into()])
}

fn newer(g: &mut Graph, n: NodeId) -> Result<bool> {
    let (Some(x), Some(slope)) = (g.node(n).input(0), g.node(n).input(1)) else { return Ok(false) };
    let (Some(rank), Some(slopes)) = (g.ty(x).rank(), g.ty(slope).dims().map(<[_]>::to_vec)) else { return Ok(false) };
    if let [channels] = slopes.as_slice()
        && rank > 2
        && channels.as_const() != Some(1)
    {
        let aligned = forms::append_axes(g, n, slope, 1, rank - 2);
        g.set_input(n, 1, Some(aligned));
    }
    forms::lifted(g, n, 7)
}

fn older(g: &mut Graph, n: NodeId) -> Result<(), String> {
    let single = g.node(n).input(1).and_then(|v| g.ty(v).as_tensor()?.shape.elements()).is_some_and(|e| e.as_const() == Some(1));
    if single { Ok(()) } else { Err("before version 7, slopes belong to channels".into()) }
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    kernels::map(c, &[0, 1], &|k, v| {
        let below = k.mul(v[0], v[1]);
        let negative = kernels::compared(k, BinaryOp::Lt, v[0], 0.0);
        k.select(negative, below, v[0])
    })
}
