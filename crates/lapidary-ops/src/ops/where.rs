//! `Where(c, x, y) = x if c else y`, elementwise, for all element types.
//!
//! Shapes: the three operands are broadcast as in numpy; the result has their common shape.
//!
//! Types: condition: bool; X, Y, output: bool u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64 c64 c128 string.
//!
//! Versions: 9, 16. Source: the ONNX operator "Where".

use crate::elementwise::broadcast::{broadcast_sizes, indices};
use crate::elementwise::kernels;
use crate::elementwise::{self, contents};
use crate::numbers::bools;
use crate::{Contents, Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{Dim, Result, Tensor};

pub static DEF: OpDef = OpDef { lower: Some(lower), eval: Some(eval), ..OpDef::base("Where", include_str!("where.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let dtype = elementwise::common_dtype(c, [1, 2])?;
    elementwise::broadcast_to(c, dtype)?;
    if let Some(picked) = pick(c) {
        c.set_contents(0, picked);
    }
    Ok(())
}

/// Contents where every element's choice is known, or does not matter.
fn pick(c: &InferCtx<'_>) -> Option<Contents> {
    let (cond, x, y) = (c.contents(0)?, c.contents(1)?, c.contents(2)?);
    let sizes = contents::common(&[&cond.sizes, &x.sizes, &y.sizes])?;
    let (ci, xi, yi) = (indices(&sizes, &cond.sizes), indices(&sizes, &x.sizes), indices(&sizes, &y.sizes));
    let mut dims: Vec<Dim> = vec![];
    for ((ci, xi), yi) in ci.into_iter().zip(xi).zip(yi) {
        let (x, y) = (x.dims.get(xi)?, y.dims.get(yi)?);
        dims.push(match cond.dims.get(ci)?.as_const() {
            Some(0) => y.clone(),
            Some(_) => x.clone(),
            None if x == y => x.clone(),
            None => return None,
        });
    }
    Some(Contents { sizes, dims })
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (cond, x, y) = (c.tensor(0)?, c.tensor(1)?, c.tensor(2)?);
    if x.dtype() != y.dtype() {
        return Err(c.error("type-error", format!("operands of 'Where' differ in type: {} and {}", x.dtype(), y.dtype())).into());
    }
    let sizes = broadcast_sizes(c, &[cond.sizes(), x.sizes(), y.sizes()])?;
    let (at, xi, yi) = (indices(&sizes, cond.sizes()), indices(&sizes, x.sizes()), indices(&sizes, y.sizes()));
    let cond = bools(c, cond)?;
    if let (Some(xs), Some(ys)) = (x.as_strings(), y.as_strings()) {
        let out = (0..at.len()).map(|i| if cond[at[i]] { xs[xi[i]].clone() } else { ys[yi[i]].clone() }).collect();
        return Ok(vec![Tensor::strings(&sizes, out)?.into()]);
    }
    let unit = x.dtype().bits() / 8;
    if unit == 0 {
        let (x, y) = (x.to_f64(), y.to_f64());
        let (Some(xs), Some(ys)) = (x, y) else { return Err(c.unsupported("'Where' is not evaluated on this type").into()) };
        let out: Vec<f64> = (0..at.len()).map(|i| if cond[at[i]] { xs[xi[i]] } else { ys[yi[i]] }).collect();
        return Ok(vec![Tensor::from_f64(c.tensor(1)?.dtype(), &sizes, &out)?.into()]);
    }
    // Whole elements are copied as bytes, so that every type, complex ones included, passes unchanged.
    let mut bytes = Vec::with_capacity(at.len() * unit);
    for i in 0..at.len() {
        let (from, k) = if cond[at[i]] { (x, xi[i]) } else { (y, yi[i]) };
        bytes.extend_from_slice(&from.bytes()[k * unit..(k + 1) * unit]);
    }
    Ok(vec![Tensor::new(x.dtype(), &sizes, bytes)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    kernels::map(c, &[0, 1, 2], &|k, v| k.select(v[0], v[1], v[2]))
}
