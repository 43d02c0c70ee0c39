//! `OneHot(indices, depth, values)`: a new axis of size `depth` (scalar) at `axis` (default -1), in which the element that `indices` names
//! is `values[1]` and all others are `values[0]`. Indices in `-depth..depth`; others give no hot element.
//!
//! Indices and depth are of any numeric type, values of any type. Source: ONNX OneHot-11.

use crate::cells::{Cells, CellsMut, room};
use crate::shapes::axis_in;
use crate::views::axis_of;
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{DType, Dim, Result, Shape};
use lapidary_kernel::{BinaryOp, Index};

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("OneHot", include_str!("one_hot.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let dtype = c.dtype(2)?;
    let shape = match c.dims(0) {
        Some(dims) => {
            let axis = axis_in(c, c.node.attrs.int("axis").unwrap_or(-1), dims.len() + 1)?;
            let depth = c.contents(1).and_then(|d| d.dims.into_iter().next());
            let depth = depth.or_else(|| Some(Dim::from(*c.constant(1)?.to_f64()?.first()? as i64)));
            let depth = depth.unwrap_or_else(|| c.symbols.fresh());
            let mut out = dims.to_vec();
            out.insert(axis, depth);
            Shape::Ranked(out.into())
        }
        None => Shape::Unranked,
    };
    c.set_tensor(0, dtype, shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (index, depth, values) = (c.tensor(0)?, c.tensor(1)?, c.tensor(2)?);
    let number = |t: &lapidary_ir::Tensor| t.to_f64().ok_or_else(|| c.error("type-error", format!("{} is not a number", t.dtype())));
    let depth = match number(depth)?.as_slice() {
        [d] if *d >= 0.0 => *d as usize,
        d => return Err(c.error("negative-size", format!("depth cannot be {d:?}")).into()),
    };
    if values.len() != 2 {
        return Err(c.error("shape-conflict", format!("values are {values:?}, not the cold and the hot one")).into());
    }
    let axis = axis_in(c, c.node.attrs.int("axis").unwrap_or(-1), index.rank() + 1)?;
    let mut sizes = index.sizes().to_vec();
    sizes.insert(axis, depth);
    let mut out = CellsMut::empty(values.dtype(), room(c, values.dtype(), &sizes)?);
    let inner: usize = index.sizes()[axis..].iter().product();
    let outer: usize = index.sizes()[..axis].iter().product();
    let cells = Cells::of(values);
    let hot: Vec<f64> = number(index)?.into_iter().map(|i| if i < 0.0 { i + depth as f64 } else { i }.trunc()).collect();
    for o in 0..outer {
        for d in 0..depth {
            (0..inner).for_each(|i| out.push(&cells, (hot[o * inner + i] == d as f64) as usize));
        }
    }
    Ok(vec![out.finish(&sizes)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (index, values, y) = (c.input(0)?, c.input(2)?, c.output(0)?);
    let axis = axis_of(c, c.node().attrs.int("axis").unwrap_or(-1), y.rank())?;
    let mut k = c.kernel();
    let at: Vec<Index> = k.parallel_all("i", &y.dims).into_iter().map(Into::into).collect();
    let from = at.iter().enumerate().filter(|(i, _)| *i != axis).map(|(_, i)| i.clone());
    let v = k.load(index.buffer, index.dtype, from.collect::<Vec<_>>());
    let v = k.cast(DType::I64, v);
    let (depth, zero) = (k.index(Index::from(y.dims[axis].clone())), k.int(DType::I64, 0));
    let shifted = k.add(v, depth);
    let negative = k.binary(BinaryOp::Lt, v, zero);
    let v = k.select(negative, shifted, v);
    let here = k.index(at[axis].clone());
    let hot = k.binary(BinaryOp::Eq, v, here);
    let (off, on) = (k.load(values.buffer, values.dtype, [Index::from(0)]), k.load(values.buffer, values.dtype, [Index::from(1)]));
    let v = k.select(hot, on, off);
    k.store(y.buffer, at, v);
    c.push(k);
    Ok(())
}
