//! `SplitToSequence(x, split)`: cuts `x` along `axis` (default 0) into parts of `split` elements (scalar; the last may be smaller), or of
//! the sizes in `split` (vector); without it into single elements, whose axis goes with `keepdims=0`.
//!
//! Any element type. Source: ONNX SplitToSequence-24.

use crate::cells::{strided, strides};
use crate::sequences::{sequence_of, shapeless};
use crate::shapes::{axis_in, size_of};
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("SplitToSequence", include_str!("split_to_sequence.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let ty = sequence_of(c.any_ty(0)?);
    c.set(0, ty);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let x = c.tensor(0)?;
    let axis = axis_in(c, c.node.attrs.int("axis").unwrap_or(0), x.rank())?;
    let size = x.sizes()[axis];
    let parts: Vec<usize> = match c.optional(1)? {
        None => vec![1; size],
        Some(t) => {
            let sizes = c.ints(1)?.into_iter().map(|v| size_of(c, "a part", v)).collect::<Result<Vec<_>>>()?;
            match (t.rank(), sizes.as_slice()) {
                (0, [0]) => return Err(c.error("split", "parts have no elements").into()),
                (0, [part]) => (0..size.div_ceil(*part)).map(|i| (*part).min(size - i * part)).collect(),
                _ => sizes,
            }
        }
    };
    if parts.iter().try_fold(0usize, |a, p| a.checked_add(*p)) != Some(size) {
        return Err(c.error("shape-conflict", format!("parts {parts:?} do not add up to the axis of {size}")).into());
    }
    let drop = !c.has(1) && c.node.attrs.int("keepdims").unwrap_or(1) == 0;
    let own = strides(x.sizes());
    let walk: Vec<isize> = own.iter().map(|s| *s as isize).collect();
    let (mut start, mut out) = (0, vec![]);
    for part in parts {
        let mut sizes = x.sizes().to_vec();
        sizes[axis] = part;
        let t = strided(x, &sizes, &walk, (start * own[axis]) as isize)?;
        if drop {
            sizes.remove(axis);
        }
        out.push(t.reshaped(&sizes)?.into());
        start += part;
    }
    Ok(vec![Datum::Sequence(shapeless(&x.ty().into()), out)])
}
