//! What operators with bodies share: finding regions, joining the types of their results, stacking elements.

use crate::EvalCtx;
use crate::cells::{CellsMut, room};
use crate::shapes::{Report, axis_in, place};
use lapidary_ir::{DType, Dim, Node, Region, Result, Shape, Symbols, Tensor, TensorType, Type};
use std::sync::Arc;

/// A loop that runs longer is refused: nothing else would end one whose condition never fails.
pub const ITERATIONS_MAX: i64 = 1 << 24;

/// The node's region of this name.
pub fn region(c: &impl Report, node: &Node, name: &str) -> Result<usize> {
    let at = node.regions.iter().position(|r| &*r.name == name);
    at.ok_or_else(|| c.report("missing-attribute", format!("the subgraph '{name}' is missing")).into())
}

/// How many inputs the body declares, captured values not counted.
pub fn formal_count(region: &Region) -> usize {
    region.graph.inputs().len().saturating_sub(region.captures.len())
}

/// The type of a value that is one of two: what they agree on.
pub fn join(symbols: &mut Symbols, a: &Type, b: &Type) -> Type {
    match (a, b) {
        _ if a == b => a.clone(),
        (Type::Tensor(x), Type::Tensor(y)) => {
            let dtype = if x.dtype == y.dtype { x.dtype } else { DType::Unknown };
            let shape = match (x.shape.dims(), y.shape.dims()) {
                (Some(p), Some(q)) if p.len() == q.len() => {
                    Shape::Ranked(p.iter().zip(q).map(|(p, q)| if p == q { p.clone() } else { symbols.fresh() }).collect())
                }
                _ => Shape::Unranked,
            };
            Type::Tensor(TensorType::new(dtype, shape))
        }
        (Type::Sequence(x), Type::Sequence(y)) => Type::Sequence(Arc::new(join(symbols, x, y))),
        (Type::Optional(x), Type::Optional(y)) => Type::Optional(Arc::new(join(symbols, x, y))),
        (Type::Optional(x), y) | (y, Type::Optional(x)) => Type::Optional(Arc::new(join(symbols, x, y))),
        _ => Type::Unknown,
    }
}

/// The type of elements stacked along a new axis.
pub fn stacked(symbols: &mut Symbols, element: &Type, axis: i64, count: Dim) -> Type {
    let Type::Tensor(t) = element else { return Type::Unknown };
    let shape = match t.shape.dims() {
        Some(dims) => {
            let at = if axis < 0 { axis + dims.len() as i64 + 1 } else { axis };
            let mut out = dims.to_vec();
            match usize::try_from(at).ok().filter(|a| *a <= dims.len()) {
                Some(a) => out.insert(a, count),
                None => out.push(symbols.fresh()),
            }
            Shape::Ranked(out.into())
        }
        None => Shape::Unranked,
    };
    Type::Tensor(TensorType::new(t.dtype, shape))
}

/// Equal tensors stacked along a new axis; `ty` is the type of an element, for when there is none.
pub fn stack(c: &EvalCtx<'_>, elements: &[Tensor], axis: i64, ty: &TensorType) -> Result<Tensor> {
    let Some(first) = elements.first() else {
        let mut sizes: Vec<usize> = ty.shape.dims().unwrap_or(&[]).iter().map(|d| d.as_const().map_or(0, |v| v.max(0) as usize)).collect();
        let at = axis_in(c, axis, sizes.len() + 1)?;
        sizes.insert(at, 0);
        return Tensor::zeros(ty.dtype, &sizes);
    };
    let axis = axis_in(c, axis, first.rank() + 1)?;
    if let Some(t) = elements.iter().find(|t| t.sizes() != first.sizes() || t.dtype() != first.dtype()) {
        return Err(c.error("shape-conflict", format!("elements {first:?} and {t:?} cannot be stacked")).into());
    }
    let mut sizes = first.sizes().to_vec();
    sizes.insert(axis, elements.len());
    room(c, first.dtype(), &sizes)?;
    let mut out = CellsMut::copy(&Tensor::zeros(first.dtype(), &sizes)?);
    let mut one = first.sizes().to_vec();
    one.insert(axis, 1);
    for (i, t) in elements.iter().enumerate() {
        let mut corner = vec![0; sizes.len()];
        corner[axis] = i;
        place(&mut out, &sizes, &t.reshaped(&one)?, &corner);
    }
    out.finish(&sizes)
}
