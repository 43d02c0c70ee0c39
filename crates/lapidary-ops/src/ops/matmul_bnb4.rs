//! `com.microsoft.MatMulBnb4(a, b, absmax) = a · w`, with a weight `w` of `K` inputs and `N` outputs kept as 4-bit codes, as bitsandbytes does.
//!
//! The weight is stored output by output as one row of codes, two in a byte, the first in the **high** half; every `block_size` of them share
//! one element of `absmax`, which multiplies the code's value: one of 16 for `quant_type=1` (NF4) and `quant_type=0` (FP4).
//!
//! Types: a, y, absmax: f32 f16 bf16. Native code wants constant codes.
//!
//! Source: ONNX Runtime's operator "com.microsoft.MatMulBnb4", version 1; Dettmers et al., "QLoRA" (2023).
//!
//! ```lap
//! input %a : f32[M, 3] = [[1, 2, 3], [0, 1, 0]]
//! const %b : u8[3] = [240, 119, 127]
//! const %s : f32[2] = [0.5, 2]
//! %y = com.microsoft.MatMulBnb4(%a, %b, %s) {K=3, N=2, block_size=4, quant_type=1}
//! // %y : f32[M, 2] = [[-0.5, 6], [-0.5, 0]]
//! ```

use crate::packed::{self, Extents, FP4, NF4};
use crate::{Datum, EvalCtx, LowerCtx, OpDef};
use lapidary_ir::{DType, Dim, Node, Result, Tensor};

pub static DEF: OpDef = OpDef {
    domain: "com.microsoft",
    eval: Some(eval),
    lower: Some(lower),
    ..OpDef::base("MatMulBnb4", include_str!("matmul_bnb4.rs"), packed::infer)
};

fn table(node: &Node) -> [f32; 16] {
    if node.attrs.int("quant_type").unwrap_or(1) == 0 { FP4 } else { NF4 }
}

/// Halves of bytes, high one first.
fn halves(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).collect()
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let e = Extents::of(c.node)?;
    let (b, absmax) = (c.tensor(1)?, c.tensor(2)?);
    let scales = absmax.to_f64().unwrap_or_default();
    if b.dtype() != DType::U8 || b.len() != (e.k * e.n).div_ceil(2) || scales.len() != (e.k * e.n).div_ceil(e.block) {
        let message = format!("codes of sizes {:?} and scales of sizes {:?} do not fit the weight", b.sizes(), absmax.sizes());
        return Err(c.error("shape-conflict", message).into());
    }
    let (codes, values) = (halves(b.bytes()), table(c.node));
    let mut w = vec![0.0; e.k * e.n];
    for n in 0..e.n {
        for k in 0..e.k {
            let at = n * e.k + k;
            w[k * e.n + n] = f64::from(values[usize::from(codes[at])]) * scales[at / e.block];
        }
    }
    Ok(vec![packed::multiply(c, e, &w, None)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let e = Extents::of(c.node())?;
    let Some(b) = c.constant(1).filter(|t| t.dtype() == DType::U8 && t.len() == (e.k * e.n).div_ceil(2)).cloned() else {
        return Err(c.unsupported("the codes are only known at run time, or do not fit the weight").into());
    };
    // The low half first, as tensors of small integers have it.
    let turned: Vec<u8> = b.bytes().iter().map(|b| b.rotate_left(4)).collect();
    let codes = Tensor::new(DType::U4, &[turned.len() * 2], turned)?;
    let codes = c.constant_buffer("codes", codes);
    let values = c.constant_buffer("values", Tensor::from_slice(&[16], &table(c.node())));
    let absmax = c.input(2)?;
    packed::holds(c, &absmax, &[(e.k * e.n).div_ceil(e.block)], "its scales")?;
    packed::lower(c, e, None, |k, row, column| {
        let flat = column.scale(&Dim::from(e.k)).add(row);
        let block = k.floor_div(&flat, &Dim::from(e.block));
        let code = k.load(codes.buffer, codes.dtype, [flat]);
        let at = k.wrapped_index(code, &Dim::from(16usize));
        let v = k.load(values.buffer, values.dtype, [at]);
        let s = k.load(absmax.buffer, absmax.dtype, [block]);
        let s = k.cast(DType::F32, s);
        k.mul(v, s)
    })
}
