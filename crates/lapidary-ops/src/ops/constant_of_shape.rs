//! `ConstantOfShape(shape)`: a tensor of the dims that `shape` (i64[r]) spells, filled with the one element of the attribute `value`
//! (default: f32 zero).
//!
//! Source: ONNX ConstantOfShape-25.

use crate::cells::{pick, room};
use crate::shapes::{shape_from, size_of};
use crate::{Contents, Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_kernel::Index;

use lapidary_ir::{Attrs, Dim, Result, Tensor};

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("ConstantOfShape", include_str!("constant_of_shape.rs"), infer) };

fn value(attrs: &Attrs) -> Tensor {
    attrs.tensor("value").map_or_else(|| Tensor::from_vec(vec![0f32]), |t| (**t).clone())
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let value = value(&c.node.attrs);
    let shape = shape_from(c, 0);
    if let (Some(sizes), Some([v])) = (shape.sizes(), value.to_i64().as_deref()) {
        let count = sizes.iter().try_fold(1usize, |a, s| a.checked_mul(*s)).filter(|n| *n <= Contents::LIMIT);
        if let Some(n) = count {
            c.set_contents(0, Contents { sizes, dims: vec![Dim::from(*v); n] });
        }
    }
    c.set_tensor(0, value.dtype(), shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let value = value(&c.node.attrs);
    if value.len() != 1 {
        return Err(c.error("constant", format!("the value {value:?} is not one element")).into());
    }
    let sizes = c.ints(0)?.into_iter().map(|v| size_of(c, "an entry of the shape", v)).collect::<Result<Vec<_>>>()?;
    let count = room(c, value.dtype(), &sizes)?;
    Ok(vec![pick(&value, &sizes, std::iter::repeat_n(0, count))?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let y = c.output(0)?;
    let fill = value(&c.node().attrs);
    let mut k = c.kernel();
    let at: Vec<Index> = k.parallel_all("i", &y.dims).into_iter().map(Into::into).collect();
    let v = match (fill.to_i64(), fill.to_f64()) {
        (Some(v), _) => k.int(y.dtype, v.first().copied().unwrap_or(0)),
        (None, v) => k.constant(y.dtype, v.and_then(|v| v.first().copied()).unwrap_or(0.0)),
    };
    k.store(y.buffer, at, v);
    c.push(k);
    Ok(())
}
