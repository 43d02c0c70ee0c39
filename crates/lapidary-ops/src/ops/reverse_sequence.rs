//! `ReverseSequence(x, lengths)`: reverses the first `lengths[b]` (i64) steps along `time_axis` (default 0) for each entry b along
//! `batch_axis` (default 1).
//!
//! Any element type, rank at least 2. Source: ONNX ReverseSequence-10.

use crate::cells::{pick, strides, visit};
use crate::shapes::axis_in;
use crate::views::{axis_of, gather_view};
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{DType, Result};
use lapidary_kernel::BinaryOp;

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("ReverseSequence", include_str!("reverse_sequence.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let x = c.ty(0)?;
    c.set(0, x);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (x, lengths) = (c.tensor(0)?, c.ints(1)?);
    let time = axis_in(c, c.node.attrs.int("time_axis").unwrap_or(0), x.rank())?;
    let batch = axis_in(c, c.node.attrs.int("batch_axis").unwrap_or(1), x.rank())?;
    if lengths.len() != x.sizes()[batch] || lengths.iter().any(|l| *l < 0 || *l as u64 > x.sizes()[time] as u64) {
        return Err(c.error("shape-conflict", format!("lengths {lengths:?} do not fit the operand {:?}", x.sizes())).into());
    }
    let walk = strides(x.sizes());
    let mut places = Vec::with_capacity(x.len());
    visit(x.sizes(), |at| {
        let length = lengths[at[batch]] as usize;
        let t = if at[time] < length { length - 1 - at[time] } else { at[time] };
        let place: usize = at.iter().enumerate().map(|(a, i)| if a == time { t } else { *i } * walk[a]).sum();
        places.push(place);
    });
    Ok(vec![pick(x, x.sizes(), places)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, lengths, y) = (c.input(0)?, c.input(1)?, c.output(0)?);
    let time = axis_of(c, c.node().attrs.int("time_axis").unwrap_or(0), x.rank())?;
    let batch = axis_of(c, c.node().attrs.int("batch_axis").unwrap_or(1), x.rank())?;
    gather_view(c, &x, &y, |k, at| {
        let length = k.load(lengths.buffer, lengths.dtype, [at[batch].clone()]);
        let length = k.cast(DType::I64, length);
        let t = k.index(at[time].clone());
        let one = k.int(DType::I64, 1);
        let back = k.sub(length, t);
        let back = k.sub(back, one);
        let inside = k.binary(BinaryOp::Lt, t, length);
        let from = k.select(inside, back, t);
        let mut index = at.to_vec();
        index[time] = k.wrapped_index(from, &x.dims[time]);
        (index, vec![])
    })
}
