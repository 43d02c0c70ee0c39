//! `Constant()`: the tensor of its attribute: `value`, `sparse_value` (made dense), or one of `value_int`, `value_ints`, `value_float`,
//! `value_floats`, `value_string`, `value_strings`.
//!
//! Source: ONNX Constant-25.

use crate::shapes::{Report, index_in, size_of};
use crate::{Contents, Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{Attr, Attrs, Result, Tensor};
use std::sync::Arc;

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("Constant", include_str!("constant.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let value = value(c, &c.node.attrs)?;
    if let Some(contents) = Contents::of(&value) {
        c.set_contents(0, contents);
    }
    c.set(0, value.ty());
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    Ok(vec![Datum::Tensor((*value(c, &c.node.attrs)?).clone())])
}

fn value(c: &impl Report, attrs: &Attrs) -> Result<Arc<Tensor>> {
    let Some((name, value)) = attrs.iter().next() else {
        return Err(c.report("constant", "no attribute holds the value".into()).into());
    };
    Ok(match value {
        Attr::Tensor(t) => t.clone(),
        Attr::Sparse(values, indices, dims) => Arc::new(dense(c, values, indices, dims)?),
        Attr::Int(v) => Tensor::scalar(*v).into(),
        Attr::Ints(v) => Tensor::from_vec(v.clone()).into(),
        Attr::Float(v) => Tensor::scalar(*v).into(),
        Attr::Floats(v) => Tensor::from_vec(v.clone()).into(),
        Attr::Str(v) => Tensor::strings(&[], vec![v.clone()])?.into(),
        Attr::Strs(v) => Tensor::strings(&[v.len()], v.clone())?.into(),
        _ => return Err(c.report("constant", format!("attribute '{name}' holds no tensor")).into()),
    })
}

/// A tensor of zeros with `values` at the places that `indices` (i64, linear or one vector each) names.
fn dense(c: &impl Report, values: &Tensor, indices: &Tensor, dims: &[i64]) -> Result<Tensor> {
    let sizes = dims.iter().map(|d| size_of(c, "a dim", *d)).collect::<Result<Vec<_>>>()?;
    let places = indices.to_i64().ok_or_else(|| c.report("type-error", "indices of a sparse tensor are not integers".into()))?;
    let zeros = Tensor::zeros(values.dtype(), &sizes)?;
    let mut out = crate::cells::CellsMut::copy(&zeros);
    let cells = crate::cells::Cells::of(values);
    let per = match indices.sizes() {
        [_] => 1,
        [_, r] if *r == sizes.len() => *r,
        s => return Err(c.report("shape-conflict", format!("indices of shape {s:?} do not fit a sparse tensor of rank {}", sizes.len())).into()),
    };
    if places.len() != per * values.len() {
        return Err(c.report("shape-conflict", format!("{} indices for {} values", places.len(), values.len())).into());
    }
    let walk = if per == 1 && indices.rank() == 1 { vec![1] } else { crate::cells::strides(&sizes) };
    let limits = if indices.rank() == 1 { vec![zeros.len()] } else { sizes.clone() };
    for v in 0..values.len() {
        let mut place = 0;
        for a in 0..per {
            place += index_in(c, places[v * per + a], limits[a])? * walk[a];
        }
        out.put(place, &cells, v);
    }
    out.finish(&sizes)
}

/// The value is a constant of the program; nothing is computed.
fn lower(_: &mut LowerCtx<'_>) -> Result<()> {
    Ok(())
}
