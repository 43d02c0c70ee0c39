//! `OneHot(indices, depth, values)`: a new axis of size `depth` (scalar) at `axis` (default -1), in which the element that `indices` names
//! is `values[1]` and all others are `values[0]`. Indices in `-depth..depth`; others give no hot element.
//!
//! Indices and depth are of any numeric type, values of any type. Source: ONNX OneHot-11.

use crate::cells::{Cells, CellsMut, room};
use crate::shapes::axis_in;
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{Dim, Result, Shape};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("OneHot", include_str!("one_hot.rs"), infer) };

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
