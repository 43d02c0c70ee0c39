//! `Trilu(x, k)`: the upper (`upper=1`, the default) or lower triangle of each matrix `x[…, i, j]`, zeros elsewhere. `k` (i64 scalar,
//! default 0) shifts the diagonal: kept are `j - i >= k`, or `j - i <= k`.
//!
//! Any element type. Source: ONNX Trilu-14.

use crate::cells::{Cells, CellsMut};
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("Trilu", include_str!("trilu.rs"), infer) };

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
