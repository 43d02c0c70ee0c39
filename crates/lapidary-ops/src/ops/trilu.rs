//! `Trilu(x, k)`: the upper (`upper=1`, the default) or lower triangle of each matrix `x[…, i, j]`, zeros elsewhere. `k` (i64 scalar,
//! default 0) shifts the diagonal: kept are `j - i >= k`, or `j - i <= k`.
//!
//! Any element type. Source: ONNX Trilu-14.

use crate::cells::{Cells, CellsMut};
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_kernel::{BinaryOp, Index};

use lapidary_ir::{DType, Result};

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("Trilu", include_str!("trilu.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let x = c.ty(0)?;
    c.set(0, x);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let x = c.tensor(0)?;
    let k = if c.has(1) { c.ints(1)?.first().copied().unwrap_or(0) } else { 0 };
    let upper = c.node.attrs.int("upper").unwrap_or(1) != 0;
    let [.., rows, columns] = x.sizes() else { return Err(c.error("shape-conflict", "the operand is not a matrix").into()) };
    let (cells, mut out) = (Cells::of(x), CellsMut::empty(x.dtype(), x.len()));
    for e in 0..x.len() {
        let (i, j) = ((e / columns % rows) as i64, (e % columns) as i64);
        let kept = if upper { j - i >= k } else { j - i <= k };
        if kept { out.push(&cells, e) } else { out.push_zero() }
    }
    Ok(vec![out.finish(x.sizes())?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    let shift = if c.has(1) { Some(c.input(1)?) } else { None };
    let upper = c.node().attrs.int("upper").unwrap_or(1) != 0;
    let known = c.contents(1).and_then(|v| v.dims.first().cloned());
    let mut k = c.kernel();
    let at: Vec<Index> = k.parallel_all("i", &y.dims).into_iter().map(Into::into).collect();
    let v = k.load(x.buffer, x.dtype, at.clone());
    let diagonal = match (shift, known) {
        (None, _) => k.int(DType::I64, 0),
        (_, Some(d)) => k.index(Index::from(d)),
        (Some(s), None) => {
            let place = vec![Index::from(0); s.rank()];
            k.load(s.buffer, s.dtype, place)
        }
    };
    // Kept: column − row ≥ k in the upper triangle, ≤ k in the lower.
    let distance = k.index(at[at.len() - 1].sub(&at[at.len() - 2]));
    let keep = k.binary(if upper { BinaryOp::Ge } else { BinaryOp::Le }, distance, diagonal);
    let zero = k.constant(x.dtype, 0.0);
    let v = k.select(keep, v, zero);
    k.store(y.buffer, at, v);
    c.push(k);
    Ok(())
}
