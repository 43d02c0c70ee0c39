//! `TypeProto` ↔ [`Type`]. Names of dims become symbols; dims without one get fresh symbols, which leave no trace on the way out.

use crate::codes;
use crate::proto::tensor_shape_proto::{Dimension, dimension};
use crate::proto::type_proto::{self, Value};
use crate::proto::{TensorShapeProto, TypeProto};
use lapidary_ir::{DType, Diagnostic, Dim, Result, Shape, Symbols, TensorType, Type};
use std::sync::Arc;

/// Reads a type. Unknown sizes (absent, unnamed, named `?` or negative) become fresh symbols of `symbols`, in which the names that the file itself
/// uses must already be reserved.
///
/// # Errors
/// An element type that ONNX does not define.
pub fn decode(t: &TypeProto, symbols: &mut Symbols) -> Result<Type> {
    Ok(match &t.value {
        None | Some(Value::OpaqueType(_)) => Type::Unknown,
        Some(Value::TensorType(t)) => Type::Tensor(tensor(t.elem_type(), t.shape.as_ref(), symbols)?),
        Some(Value::SparseTensorType(t)) => Type::Sparse(tensor(t.elem_type(), t.shape.as_ref(), symbols)?),
        Some(Value::SequenceType(s)) => Type::Sequence(Arc::new(element(s.elem_type.as_deref(), symbols)?)),
        Some(Value::OptionalType(o)) => Type::Optional(Arc::new(element(o.elem_type.as_deref(), symbols)?)),
        Some(Value::MapType(m)) => Type::Map(crate::tensor::dtype(m.key_type())?, Arc::new(element(m.value_type.as_deref(), symbols)?)),
    })
}

fn element(t: Option<&TypeProto>, symbols: &mut Symbols) -> Result<Type> {
    t.map_or(Ok(Type::Unknown), |t| decode(t, symbols))
}

fn tensor(code: i32, shape: Option<&TensorShapeProto>, symbols: &mut Symbols) -> Result<TensorType> {
    let dtype = if code == 0 { DType::Unknown } else { crate::tensor::dtype(code)? };
    let Some(shape) = shape else { return Ok(TensorType::new(dtype, Shape::Unranked)) };
    let dims = shape.dim.iter().map(|d| match &d.value {
        Some(dimension::Value::DimValue(v)) if *v >= 0 => Dim::from(*v),
        Some(dimension::Value::DimParam(p)) if !p.is_empty() && p != "?" => Dim::symbol(p.as_str()),
        _ => symbols.fresh(),
    });
    Ok(TensorType::new(dtype, Shape::Ranked(dims.collect())))
}

/// Every name of a dim in `t`.
pub fn dim_names(t: &TypeProto, visit: &mut dyn FnMut(&str)) {
    let shape = match &t.value {
        Some(Value::TensorType(t)) => t.shape.as_ref(),
        Some(Value::SparseTensorType(t)) => t.shape.as_ref(),
        Some(Value::SequenceType(s)) => return s.elem_type.iter().for_each(|t| dim_names(t, visit)),
        Some(Value::OptionalType(o)) => return o.elem_type.iter().for_each(|t| dim_names(t, visit)),
        Some(Value::MapType(m)) => return m.value_type.iter().for_each(|t| dim_names(t, visit)),
        _ => None,
    };
    for dim in shape.iter().flat_map(|s| &s.dim) {
        if let Some(dimension::Value::DimParam(p)) = &dim.value {
            visit(p);
        }
    }
}

/// Writes a type; `named` says which symbols stood in the file although they look like fresh ones. `None` where nothing is known.
pub fn encode(t: &Type, named: &dyn Fn(&str) -> bool) -> Option<TypeProto> {
    let value = match t {
        Type::Unknown => return None,
        Type::Tensor(t) => Value::TensorType(type_proto::Tensor { elem_type: Some(t.dtype.onnx_code()), shape: shape(&t.shape, named) }),
        Type::Sparse(t) => Value::SparseTensorType(type_proto::SparseTensor { elem_type: Some(t.dtype.onnx_code()), shape: shape(&t.shape, named) }),
        Type::Sequence(t) => Value::SequenceType(Box::new(type_proto::Sequence { elem_type: encode(t, named).map(Box::new) })),
        Type::Optional(t) => Value::OptionalType(Box::new(type_proto::Optional { elem_type: encode(t, named).map(Box::new) })),
        Type::Map(key, t) => {
            Value::MapType(Box::new(type_proto::Map { key_type: Some(key.onnx_code()), value_type: encode(t, named).map(Box::new) }))
        }
    };
    Some(TypeProto { value: Some(value), denotation: None })
}

fn shape(shape: &Shape, named: &dyn Fn(&str) -> bool) -> Option<TensorShapeProto> {
    let dims = shape.dims()?.iter().map(|d| Dimension { value: dim(d, named), denotation: None });
    Some(TensorShapeProto { dim: dims.collect() })
}

/// A number, a name, or the text of an expression; nothing for what only the run will tell.
fn dim(dim: &Dim, named: &dyn Fn(&str) -> bool) -> Option<dimension::Value> {
    if let Some(v) = dim.as_const() {
        return (v >= 0).then_some(dimension::Value::DimValue(v));
    }
    if dim.symbols().iter().any(|s| is_fresh(s) && !named(s)) {
        return None;
    }
    Some(dimension::Value::DimParam(dim.as_symbol().map_or_else(|| dim.to_string(), ToString::to_string)))
}

/// Whether [`Symbols::fresh`] makes names like this.
fn is_fresh(name: &str) -> bool {
    name.strip_prefix("_d").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Puts the denotations of `old` onto `new` where they still fit.
pub fn keep_denotations(old: &TypeProto, new: &mut TypeProto) {
    new.denotation.clone_from(&old.denotation);
    if let (Some(Value::TensorType(old)), Some(Value::TensorType(new))) = (&old.value, &mut new.value)
        && let (Some(old), Some(new)) = (&old.shape, &mut new.shape)
        && old.dim.len() == new.dim.len()
    {
        for (old, new) in old.dim.iter().zip(&mut new.dim) {
            new.denotation.clone_from(&old.denotation);
        }
    }
}

/// Says `new` as `old` did, where it says no more than that: a shape that `new` leaves open, sizes and names of dims where `new` has no
/// number. Types of different kind, rank or element are left as they are.
pub fn keep_declared(old: &TypeProto, new: &mut TypeProto) {
    let element = |old: &Option<Box<TypeProto>>, new: &mut Option<Box<TypeProto>>| match (old, new) {
        (Some(old), Some(new)) => keep_declared(old, new),
        (old, new @ None) => new.clone_from(old),
        _ => {}
    };
    match (&old.value, &mut new.value) {
        (Some(Value::TensorType(old)), Some(Value::TensorType(new))) if old.elem_type == new.elem_type => {
            keep_shape(old.shape.as_ref(), &mut new.shape);
        }
        (Some(Value::SparseTensorType(old)), Some(Value::SparseTensorType(new))) if old.elem_type == new.elem_type => {
            keep_shape(old.shape.as_ref(), &mut new.shape);
        }
        (Some(Value::SequenceType(old)), Some(Value::SequenceType(new))) => element(&old.elem_type, &mut new.elem_type),
        (Some(Value::OptionalType(old)), Some(Value::OptionalType(new))) => element(&old.elem_type, &mut new.elem_type),
        (Some(Value::MapType(old)), Some(Value::MapType(new))) if old.key_type == new.key_type => element(&old.value_type, &mut new.value_type),
        _ => {}
    }
}

fn keep_shape(old: Option<&TensorShapeProto>, new: &mut Option<TensorShapeProto>) {
    use dimension::Value::{DimParam, DimValue};
    let Some(old) = old else { return };
    let known = |d: &Dimension| match &d.value {
        Some(DimValue(v)) => *v >= 0,
        Some(DimParam(p)) => !p.is_empty() && p != "?",
        None => false,
    };
    match new {
        None => {
            let mut kept = old.clone();
            kept.dim.iter_mut().filter(|d| !known(d)).for_each(|d| d.value = None);
            *new = Some(kept);
        }
        Some(new) if old.dim.len() == new.dim.len() => {
            for (old, new) in old.dim.iter().zip(&mut new.dim) {
                if known(old) && !matches!(new.value, Some(DimValue(_))) {
                    new.value.clone_from(&old.value);
                }
            }
        }
        Some(_) => {}
    }
}

/// Whether the type says more than [`decode`] keeps.
pub fn has_more(t: &TypeProto) -> bool {
    let dims = |s: &Option<TensorShapeProto>| s.iter().flat_map(|s| &s.dim).any(|d| d.denotation.is_some());
    t.denotation.is_some()
        || match &t.value {
            Some(Value::TensorType(t)) => dims(&t.shape),
            Some(Value::OpaqueType(_)) | None => true,
            _ => false,
        }
}

/// A type that must be there, for attributes.
pub fn require(t: &TypeProto, symbols: &mut Symbols) -> Result<Type> {
    match decode(t, symbols)? {
        Type::Unknown => Err(Diagnostic::error(codes::TYPE, "an attribute's type says nothing").into()),
        t => Ok(t),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(t: &Type) -> Type {
        let mut symbols = Symbols::default();
        decode(&encode(t, &|_| false).unwrap(), &mut symbols).unwrap()
    }

    #[test]
    fn all_kinds_survive() {
        let tensor = Type::Tensor(TensorType::new(DType::F32, Shape::of([Dim::symbol("N"), Dim::from(3)])));
        let unranked = Type::Tensor(TensorType::new(DType::I64, Shape::Unranked));
        for t in [
            tensor.clone(),
            unranked.clone(),
            Type::tensor(DType::String, [0; 0]),
            Type::Sequence(Arc::new(tensor.clone())),
            Type::Optional(Arc::new(Type::Sequence(Arc::new(unranked)))),
            Type::Map(DType::I64, Arc::new(tensor.clone())),
            Type::Sparse(TensorType::new(DType::F32, Shape::of([4]))),
        ] {
            assert_eq!(back(&t), t);
        }
    }

    #[test]
    fn declared_types_come_back_where_nothing_sharper_is_known() {
        let tensor = |dims: Vec<Dim>| Type::Tensor(TensorType::new(DType::F32, Shape::Ranked(dims.into_iter().collect())));
        let (n, m) = (Dim::symbol("N"), Dim::symbol("M"));
        let open = Type::Tensor(TensorType::new(DType::F32, Shape::Unranked));
        let kept = |old: &Type, new: &Type| {
            let (old, mut new) = (encode(old, &|_| true).unwrap(), encode(new, &|_| false).unwrap());
            keep_declared(&old, &mut new);
            decode(&new, &mut Symbols::default()).unwrap()
        };
        let expression = &n + &Dim::from(1);
        let declared = tensor(vec![m.clone(), 5.into(), m.clone()]);
        // A name and a number stay what the file called them; a number is sharper than a name.
        assert_eq!(kept(&declared, &tensor(vec![expression, n, 7.into()])), tensor(vec![m, 5.into(), 7.into()]));
        assert_eq!(
            kept(&Type::Sequence(Arc::new(declared.clone())), &Type::Sequence(Arc::new(open.clone()))),
            Type::Sequence(Arc::new(declared.clone()))
        );
        assert_eq!(
            kept(&Type::Optional(Arc::new(declared.clone())), &Type::Optional(Arc::new(open.clone()))),
            Type::Optional(Arc::new(declared.clone()))
        );
        // Another rank or kind is another type.
        assert_eq!(kept(&declared, &tensor(vec![2.into()])), tensor(vec![2.into()]));
        assert_eq!(kept(&declared, &Type::Sequence(Arc::new(open.clone()))), Type::Sequence(Arc::new(open)));
    }

    #[test]
    fn unnamed_sizes_stay_unnamed_and_expressions_are_written_as_text() {
        let mut symbols = Symbols::default();
        let n = Dim::symbol("N");
        let dims = [symbols.fresh(), &n * &Dim::from(2), Dim::symbol("_d7")];
        let t = Type::Tensor(TensorType::new(DType::F32, Shape::Ranked(dims.into_iter().collect())));
        let Some(Value::TensorType(t)) = encode(&t, &|name| name == "_d7").unwrap().value else { panic!() };
        let values: Vec<_> = t.shape.unwrap().dim.into_iter().map(|d| d.value).collect();
        let name = |n: &str| Some(dimension::Value::DimParam(n.into()));
        assert_eq!(values, [None, name("2*N"), name("_d7")]);
    }
}
