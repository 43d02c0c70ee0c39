//! `Dropout(x) = x` in inference. The second result is the mask of what was kept: all true.
//!
//! A model that is deployed is run for inference: with `training_mode` true (an export left in training mode) it is `x` too, as after ONNX
//! Runtime's own optimizer, and not random. Before version 12 `ratio` is an attribute.
//!
//! Shapes: both results have the operand's shape.
//!
//! Types: data, output: f8e4m3fn f8e4m3fnuz f8e5m2 f8e5m2fnuz f16 bf16 f32 f64; ratio: f8e4m3fn f8e4m3fnuz f8e5m2 f8e5m2fnuz f16 bf16 f32
//! f64; training_mode, mask: bool.
//!
//! Versions: 1, 6, 7, 10, 12, 13, 22. Source: the ONNX operator "Dropout".

use crate::elementwise::kernels;
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef, forms};
use lapidary_ir::{Attr, DType, Result, Tensor};

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(eval),
    forms: &[RATIO, IS_TEST, forms::CONSUMED_INPUTS],
    ..OpDef::base("Dropout", include_str!("dropout.rs"), infer)
};

/// Version 12 made operands of `ratio` and the mode.
const RATIO: Form = Form {
    since: 12,
    lift: |g, n| {
        if let Some(Attr::Float(ratio)) = g.node_mut(n).attrs.remove("ratio") {
            forms::set_constant(g, n, 1, "ratio", Tensor::scalar(ratio));
        }
        forms::lifted(g, n, 12)
    },
    lower: |g, n| {
        if forms::constant(g, n, 2, "training_mode")?.and_then(|t| t.to_i64()?.first().copied()).is_some_and(|v| v != 0) {
            return Err("before version 12, training is another form".into());
        }
        if let Some(ratio) = forms::constant(g, n, 1, "ratio")?.and_then(|t| t.to_f64()?.first().copied()) {
            g.node_mut(n).attrs.set("ratio", ratio as f32);
        }
        forms::drop_operand(g, n, 2);
        forms::drop_operand(g, n, 1);
        Ok(())
    },
};

/// Version 7 dropped `is_test`.
const IS_TEST: Form = Form {
    since: 7,
    lift: |g, n| {
        if g.node_mut(n).attrs.remove("is_test") != Some(Attr::Int(1)) && g.use_count(n.out(0)) > 0 && g.node(n).outputs().len() > 1 {
            g.truncate_outputs(n, 1);
        }
        forms::lifted(g, n, 7)
    },
    lower: |g, n| {
        g.node_mut(n).attrs.set("is_test", 1);
        Ok(())
    },
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let t = c.ty(0)?;
    let mask = if (1..10).contains(&c.node.op.version) { t.dtype } else { DType::Bool };
    c.set_tensor(1, mask, t.shape.clone());
    c.set(0, t);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let x = c.tensor(0)?;
    let mask = if (1..10).contains(&c.node.op.version) { x.dtype() } else { DType::Bool };
    Ok(vec![x.clone().into(), Tensor::from_f64(mask, x.sizes(), &vec![1.0; x.len()])?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    kernels::unary(c, &|_, x| x)?;
    if c.wants(1) {
        let mask = c.output(1)?;
        let mut k = c.kernel();
        let at = kernels::points(&mut k, &mask.dims);
        let one = k.int(mask.dtype, 1);
        k.store(mask.buffer, at, one);
        c.push(k);
    }
    Ok(())
}
