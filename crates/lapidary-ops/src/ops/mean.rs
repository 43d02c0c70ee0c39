//! `Mean(a, b, …) = (a + b + …) / n`, elementwise over `n` operands.
//!
//! Shapes: any number of operands, broadcast as in numpy; the result has their common shape.
//!
//! Types: data_0, mean: f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 8, 13. Source: the ONNX operator "Mean".

use crate::elementwise::kernels;
use crate::{LowerCtx, OpDef, elementwise, forms};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(|c| elementwise::variadic(c, &|a, b| a + b, &|a, b| a + b)),
    commutative: true,
    forms: &[forms::VARIADIC, forms::CONSUMED_INPUTS],
    ..OpDef::base("Mean", include_str!("mean.rs"), elementwise::broadcast)
};

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let slots: Vec<usize> = (0..c.node().inputs().len()).collect();
    kernels::map(c, &slots, &|k, v| {
        let sum = v[1..].iter().fold(v[0], |a, b| k.add(a, *b));
        let n = kernels::number(k, sum, v.len() as f64);
        k.div(sum, n)
    })
}
