//! `LRN(x) = x / (bias + alpha / size · Σ x²)^beta`, the sum over the `size` channels (axis 1) around the element's own: `⌊(size − 1) / 2⌋`
//! before it, `⌈(size − 1) / 2⌉` behind. `alpha` is 1e-4, `beta` 0.75 and `bias` 1 by default.
//!
//! Shapes: `x` is [N, C, …]; the result has its shape.
//!
//! Types: X, Y: f16 bf16 f32 f64.
//!
//! Versions: 1, 13. Source: the ONNX operator "LRN".

use crate::elementwise::kernels;
use crate::lanes::Lanes;
use crate::numbers::{floats, store};
use crate::rows;
use crate::{Datum, EvalCtx, LowerCtx, OpDef, elementwise};
use lapidary_ir::{Dim, Result};
use lapidary_kernel::{BinaryOp, ReduceOp};

pub static DEF: OpDef = OpDef { lower: Some(lower), eval: Some(eval), ..OpDef::base("LRN", include_str!("lrn.rs"), elementwise::same) };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let x = c.tensor(0)?;
    let attr = |name, default: f32| f64::from(c.node.attrs.float(name).unwrap_or(default));
    let (alpha, beta, bias) = (attr("alpha", 1e-4), attr("beta", 0.75), attr("bias", 1.0));
    let size = usize::try_from(c.node.attrs.int("size").unwrap_or(0)).ok().filter(|s| *s > 0);
    let size = size.ok_or_else(|| c.error("bad-attribute", "'size' must be positive"))?;
    if x.rank() < 2 {
        return Err(c.error("bad-rank", "'LRN' needs an operand of rank 2 at least").into());
    }
    let lanes = Lanes::of(x.sizes(), 1);
    let y = lanes.map(&floats(c, x)?, lanes.len, &|lane, out| {
        for (k, o) in out.iter_mut().enumerate() {
            let (from, to) = (k.saturating_sub((size - 1) / 2), k.saturating_add(size / 2).min(lane.len() - 1));
            let squares: f64 = lane[from..=to].iter().map(|v| v * v).sum();
            *o = lane[k] / (bias + alpha / size as f64 * squares).powf(beta);
        }
    });
    Ok(vec![store(x.dtype(), x.sizes(), &y)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = rows::ends(c)?;
    let attr = |name, default: f32| f64::from(c.node().attrs.float(name).unwrap_or(default));
    let (alpha, beta, bias) = (attr("alpha", 1e-4), attr("beta", 0.75), attr("bias", 1.0));
    let size = c.node().attrs.int("size").filter(|s| *s > 0 && x.rank() >= 2);
    let size = size.ok_or_else(|| c.unsupported("'LRN' needs a positive 'size' and rank 2 at least"))?;
    let mut k = c.kernel();
    let at = kernels::points(&mut k, &x.dims);
    let j = k.axis("j", Dim::from(size));
    let mut near = at.clone();
    near[1] = at[1].add(&j.into()).add_dim(&Dim::from(-((size - 1) / 2)));
    let guard = vec![(near[1].clone(), x.dims[1].clone())];
    let v = k.load_guarded(x.buffer, x.dtype, near, guard, None);
    let dtype = kernels::wider(x.dtype);
    let v = k.cast(dtype, v);
    let square = k.mul(v, v);
    let sum = k.reduce(ReduceOp::Sum, dtype, &[j], square);
    let base = kernels::scaled(&mut k, sum, alpha / size as f64);
    let base = kernels::plus(&mut k, base, bias);
    let power = kernels::number(&mut k, base, beta);
    let base = k.binary(BinaryOp::Pow, base, power);
    let v = kernels::load(&mut k, &x, at.clone());
    let v = k.div(v, base);
    kernels::store(&mut k, &y, at, v);
    c.push(k);
    Ok(())
}
