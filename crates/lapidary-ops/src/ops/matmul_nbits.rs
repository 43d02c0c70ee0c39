//! `com.microsoft.MatMulNBits(a, b, scales, zero_points, g_idx, bias) = a · w + bias`, with a weight `w` of `K` inputs and `N` outputs kept as
//! codes of `bits` bits: `w[k, n] = (code − zero) · scale`, one scale and zero point for every `block_size` inputs of an output.
//!
//! Codes stand in `b` as bytes `[N, ⌈K / block_size⌉, block_size · bits / 8]`, the first in the low bits. Scales are `[N, ⌈K / block_size⌉]`
//! (or flat); zero points are packed like codes, each output beginning a byte, or have the type of `a`. Where they are absent, they are
//! `2^(bits − 1)`. `g_idx` names the block of each input, where blocks are not made of neighbours.
//!
//! With `accuracy_level` 4 (and no zero points of the type of `a`) the rows of `a` (f32) are rounded to 8 bits first, with a scale of a 127th of the largest magnitude of each block, as ONNX
//! Runtime does; other levels compute in floats.
//!
//! Types: a, y, bias: f32 f16 bf16; codes of 2, 4 and 8 bits. Native code wants constant codes and no `g_idx`.
//!
//! Source: ONNX Runtime's operator "com.microsoft.MatMulNBits", version 1.
//!
//! ```lap
//! input %a : f32[M, 3] = [[1, 2, 3], [0, 1, 0]]
//! const %b : u8[2, 1, 8] = [[[24, 2, 0, 0, 0, 0, 0, 0]], [[15, 1, 0, 0, 0, 0, 0, 0]]]
//! const %s : f32[2, 1] = [[0.5], [2]]
//! %y = com.microsoft.MatMulNBits(%a, %b, %s) {K=3, N=2, bits=4, block_size=16}
//! // %y : f32[M, 2] = [[-16, -60], [-3.5, -16]]
//! const %z : u8[2, 1] = [[1], [2]]
//! %u = com.microsoft.MatMulNBits(%a, %b, %s, %z) {K=3, N=2, bits=4, block_size=16}
//! // %u : f32[M, 2] = [[5, 12], [0, -4]]
//! ```

use crate::packed::{self, Extents};
use crate::{Datum, EvalCtx, LowerCtx, OpDef};
use lapidary_ir::{DType, Dim, Node, Result, Tensor};

pub static DEF: OpDef = OpDef {
    domain: "com.microsoft",
    eval: Some(eval),
    lower: Some(lower),
    ..OpDef::base("MatMulNBits", include_str!("matmul_nbits.rs"), packed::infer)
};

/// The type of the codes.
fn codes(node: &Node) -> Option<DType> {
    packed::codes(node.attrs.int("bits").unwrap_or(4))
}

/// Whether activations are rounded: where the model allows it, and nothing else than codes comes into the product.
fn rounded(node: &Node, zeros: Option<DType>) -> bool {
    node.attrs.int("accuracy_level") == Some(4) && zeros.is_none_or(|d| d == DType::U8)
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let e = Extents { rounded: rounded(c.node, c.optional(3)?.map(|z| z.dtype())), ..Extents::of(c.node)? };
    let dtype = codes(c.node).ok_or_else(|| c.unsupported("codes of other than 2, 4 or 8 bits are not evaluated"))?;
    let blocks = e.k.div_ceil(e.block);
    let rows = |slot: usize, want: usize| -> Result<Vec<i64>> {
        let t = c.tensor(slot)?;
        let per_row = t.byte_size() * 8 / dtype.bits() / e.n;
        if t.dtype() != DType::U8 || per_row < want || t.byte_size() % e.n != 0 {
            return Err(c.error("shape-conflict", format!("operand {slot} of sizes {:?} is no array of packed codes", t.sizes())).into());
        }
        let all = Tensor::new(dtype, &[e.n * per_row], t.bytes().clone())?.to_i64().unwrap_or_default();
        Ok(all.chunks(per_row).flat_map(|row| row[..want].to_vec()).collect())
    };
    let codes = rows(1, blocks * e.block)?;
    let reals = |slot: usize| -> Result<Vec<f64>> {
        let t = c.tensor(slot)?;
        t.to_f64().filter(|v| v.len() == e.n * blocks).ok_or_else(|| {
            let message = format!("operand {slot} of sizes {:?} does not have one element for each of {} blocks", t.sizes(), e.n * blocks);
            c.error("shape-conflict", message).into()
        })
    };
    let scales = reals(2)?;
    let zeros = match c.optional(3)? {
        Some(z) if z.dtype() == DType::U8 => rows(3, blocks)?.into_iter().map(|z| z as f64).collect(),
        Some(_) => reals(3)?,
        None => vec![f64::from(1u32 << (dtype.bits() - 1)); e.n * blocks],
    };
    let groups = match c.optional(4)? {
        Some(_) => c.ints(4)?,
        None => vec![],
    };
    if groups.iter().any(|g| usize::try_from(*g).is_ok_and(|g| g >= blocks) || *g < 0) || !(groups.is_empty() || groups.len() >= e.k) {
        return Err(c.error("shape-conflict", "'g_idx' does not name a block for each input").into());
    }
    let mut w = vec![0.0; e.k * e.n];
    for k in 0..e.k {
        let block = groups.get(k).map_or(k / e.block, |g| *g as usize);
        for n in 0..e.n {
            let s = n * blocks + block;
            w[k * e.n + n] = (codes[n * blocks * e.block + k] as f64 - zeros[s]) * scales[s];
        }
    }
    Ok(vec![packed::multiply(c, e, &w, c.optional(5)?)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let zeros = c.node().input(3).map(|z| c.graph.dtype(z));
    let e = Extents { rounded: rounded(c.node(), zeros), ..Extents::of(c.node())? };
    let Some(dtype) = codes(c.node()) else { return Err(c.unsupported("codes of other than 2, 4 or 8 bits are not compiled").into()) };
    if c.has(4) {
        return Err(c.unsupported("blocks that 'g_idx' names are not compiled").into());
    }
    let codes = packed::reread(c, 1, "codes", dtype, e.n, e.k)?;
    let scales = c.input(2)?;
    packed::holds(c, &scales, &[e.n, e.k.div_ceil(e.block)], "its scales")?;
    let zeros = match c.has(3) {
        true if zeros == Some(DType::U8) => Some(packed::reread(c, 3, "zeros", dtype, e.n, e.k.div_ceil(e.block))?),
        true => {
            let z = c.input(3)?;
            packed::holds(c, &z, &[e.n, e.k.div_ceil(e.block)], "its zero points")?;
            Some(z)
        }
        false => None,
    };
    let bias = if c.has(5) { Some(c.input(5)?) } else { None };
    let (block, blocks) = (Dim::from(e.block), e.k.div_ceil(e.block));
    packed::lower(c, e, bias, |k, row, column| {
        let at_block = k.floor_div(row, &block);
        let place = |x: &crate::Operand| match x.rank() {
            1 => vec![column.scale(&Dim::from(blocks)).add(&at_block)],
            _ => vec![column.clone(), at_block.clone()],
        };
        let v = k.load(codes.buffer, codes.dtype, [column.clone(), row.clone()]);
        let v = k.cast(DType::F32, v);
        let z = match &zeros {
            Some(z) => {
                let z = k.load(z.buffer, z.dtype, place(z));
                k.cast(DType::F32, z)
            }
            None => k.constant(DType::F32, f64::from(1u32 << (dtype.bits() - 1))),
        };
        let v = k.sub(v, z);
        let s = k.load(scales.buffer, scales.dtype, place(&scales));
        let s = k.cast(DType::F32, s);
        k.mul(v, s)
    })
}
