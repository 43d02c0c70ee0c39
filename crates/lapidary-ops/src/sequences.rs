//! What the operators on sequences share.

use crate::{Datum, EvalCtx, InferCtx};
use lapidary_ir::{DType, Result, Shape, Tensor, TensorType, Type};
use std::sync::Arc;

/// The type of the elements of the sequence in `slot`; unknown when nothing is known of it.
pub fn element_type(c: &InferCtx<'_>, slot: usize) -> Result<Type> {
    match c.any_ty(slot)? {
        Type::Sequence(t) => Ok((**t).clone()),
        Type::Unknown => Ok(Type::Unknown),
        _ => Err(c.error("type-error", format!("operand {slot} is not a sequence")).into()),
    }
}

/// A type without its shape: elements of a sequence may differ in it.
pub fn shapeless(ty: &Type) -> Type {
    match ty {
        Type::Tensor(t) => Type::Tensor(TensorType::new(t.dtype, Shape::Unranked)),
        other => other.clone(),
    }
}

pub fn sequence_of(ty: &Type) -> Type {
    Type::Sequence(Arc::new(shapeless(ty)))
}

/// The type that describes a value at run time.
pub fn type_of(d: &Datum) -> Type {
    match d {
        Datum::Tensor(t) => t.ty().into(),
        Datum::Sequence(t, _) => Type::Sequence(Arc::new(t.clone())),
        Datum::Optional(t, _) => Type::Optional(Arc::new(t.clone())),
    }
}

/// The elements of the sequence in `slot`.
pub fn sequence<'a>(c: &EvalCtx<'a>, slot: usize) -> Result<(&'a Type, &'a [Datum])> {
    match c.inputs.get(slot).copied().flatten() {
        Some(Datum::Sequence(t, v)) => Ok((t, v)),
        Some(Datum::Optional(_, Some(d))) => match &**d {
            Datum::Sequence(t, v) => Ok((t, v)),
            _ => Err(c.error("type-error", format!("operand {slot} is not a sequence")).into()),
        },
        Some(_) => Err(c.error("type-error", format!("operand {slot} is not a sequence")).into()),
        None => Err(c.error("missing-operand", format!("operand {slot} is missing")).into()),
    }
}

/// The position in `slot`, in `-n..n` (or `-n..=n` with `end`); the end (or the last) when it is omitted.
pub fn position(c: &EvalCtx<'_>, slot: usize, n: usize, end: bool) -> Result<usize> {
    let highest = if end { n as i64 } else { n as i64 - 1 };
    let at = if c.has(slot) { c.ints(slot)?.first().copied().unwrap_or(0) } else { highest };
    let wrapped = if at < 0 { at.saturating_add(n as i64) } else { at };
    match usize::try_from(wrapped) {
        Ok(p) if wrapped <= highest => Ok(p),
        _ => Err(c.error("index-range", format!("position {at} is not within a sequence of {n}")).into()),
    }
}

/// A bool or i64 scalar result.
pub fn scalar(dtype: DType) -> TensorType {
    TensorType::new(dtype, Shape::scalar())
}

pub fn bool_datum(v: bool) -> Datum {
    Datum::Tensor(Tensor::scalar(v))
}
