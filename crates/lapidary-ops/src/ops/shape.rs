//! `Shape(data)`: the dims of the operand as i64[rank], from `start` (default 0) up to `end` (default: the rank; both clamped, negative
//! ones from the end).
//!
//! Source: ONNX Shape-25.

use crate::forms::new_attribute;
use crate::{Contents, Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{Attrs, DType, Result, Shape, Tensor};
use lapidary_kernel::Index;

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), forms: &[PART], ..OpDef::base("Shape", include_str!("shape.rs"), infer) };

/// Version 15 brought start and end.
const PART: Form = new_attribute!(15, "start", 0; then |g, n| match g.node(n).attrs.int("end") {
    Some(_) => Err("attribute 'end' exists since version 15 only".into()),
    None => Ok(()),
});

fn range(attrs: &Attrs, rank: usize) -> std::ops::Range<usize> {
    let at = |v: i64| if v < 0 { v.saturating_add(rank as i64).max(0) } else { v.min(rank as i64) } as usize;
    let (start, end) = (at(attrs.int("start").unwrap_or(0)), attrs.int("end").map_or(rank, at));
    start..end.max(start)
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let data = c.ty(0)?;
    match data.shape.dims() {
        Some(dims) => {
            let dims = dims[range(&c.node.attrs, dims.len())].to_vec();
            c.set_tensor(0, DType::I64, Shape::of([dims.len()]));
            c.set_contents(0, Contents::vector(dims));
        }
        None => {
            let shape = c.fresh_shape(1);
            c.set_tensor(0, DType::I64, shape);
        }
    }
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let sizes = c.tensor(0)?.sizes();
    Ok(vec![Tensor::from_vec(sizes[range(&c.node.attrs, sizes.len())].iter().map(|s| *s as i64).collect()).into()])
}

/// Sizes are known to the program: each is stored by itself.
fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let y = c.output(0)?;
    let x = c.node().input(0).and_then(|v| c.graph.ty(v).dims());
    let dims = x.ok_or_else(|| c.unsupported("the rank is only known at run time"))?;
    for (i, d) in dims[range(&c.node().attrs, dims.len())].iter().enumerate() {
        let mut k = c.kernel();
        let v = k.index(Index::from(d.clone()));
        k.store(y.buffer, [Index::from(i as i64)], v);
        c.push(k);
    }
    Ok(())
}
