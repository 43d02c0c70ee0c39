//! Values on their own, as ONNX's test suite stores them: `input_0.pb` holds one `TensorProto`, `SequenceProto` or `OptionalProto`. The
//! last two stand in ONNX's `onnx-data.proto`; they are small enough to be declared here by hand.

use crate::codes;
use crate::external::ExternalFiles;
use crate::proto::{SparseTensorProto, TensorProto};
use crate::tensor;
use bytes::Bytes;
use lapidary_ir::{Diagnostic, Diagnostics, Result, Type};
use lapidary_ops::Datum;
use prost::Message;

/// Sequences and optionals nested deeper than this are refused.
const DEPTH: usize = 32;

/// `onnx.SequenceProto`. `elem_type` says which list holds the elements: 1 tensors, 2 sparse tensors, 3 sequences, 4 maps, 5 optionals.
#[derive(Clone, PartialEq, Message)]
struct SequenceProto {
    #[prost(int32, tag = "2")]
    elem_type: i32,
    #[prost(message, repeated, tag = "3")]
    tensor_values: Vec<TensorProto>,
    #[prost(message, repeated, tag = "4")]
    sparse_tensor_values: Vec<SparseTensorProto>,
    #[prost(message, repeated, tag = "5")]
    sequence_values: Vec<SequenceProto>,
    #[prost(message, repeated, tag = "7")]
    optional_values: Vec<OptionalProto>,
}

/// `onnx.OptionalProto`, with the same `elem_type`; 0 where it is empty.
#[derive(Clone, PartialEq, Message)]
struct OptionalProto {
    #[prost(int32, tag = "2")]
    elem_type: i32,
    #[prost(message, optional, tag = "3")]
    tensor_value: Option<TensorProto>,
    #[prost(message, optional, boxed, tag = "5")]
    sequence_value: Option<Box<SequenceProto>>,
}

/// Reads one value of the type `ty`, which says which message the bytes are.
///
/// # Errors
/// Bytes that are no such message, tensors that do not fit their own dims, maps and sparse tensors (which the evaluator does not know).
pub fn read_value(data: &Bytes, ty: &Type) -> Result<Datum> {
    match ty {
        Type::Sequence(_) => sequence(parse(data)?, ty, 0),
        Type::Optional(_) => optional(parse(data)?, ty, 0),
        Type::Map(..) | Type::Sparse(_) => Err(unsupported(&format!("values of type {ty} cannot be read from a file")).into()),
        Type::Tensor(_) | Type::Unknown => tensor_value(&parse(data)?),
    }
}

fn parse<M: Message + Default>(data: &Bytes) -> Result<M> {
    M::decode(data.clone()).map_err(|e| {
        let d = Diagnostic::error(codes::CORRUPT, format!("this is no stored value: {e}"));
        Diagnostics::from(d.help("each file holds one TensorProto, SequenceProto or OptionalProto"))
    })
}

fn unsupported(message: &str) -> Diagnostic {
    Diagnostic::unsupported(codes::TYPE, message)
}

fn tensor_value(t: &TensorProto) -> Result<Datum> {
    Ok(tensor::decode(t, &mut ExternalFiles::none())?.into())
}

fn too_deep() -> Diagnostics {
    Diagnostic::error(codes::TOO_DEEP, format!("containers are nested more than {DEPTH} deep")).into()
}

fn sequence(s: SequenceProto, ty: &Type, depth: usize) -> Result<Datum> {
    if depth > DEPTH {
        return Err(too_deep());
    }
    let element = match ty {
        Type::Sequence(e) => (**e).clone(),
        _ => Type::Unknown,
    };
    if !s.sparse_tensor_values.is_empty() || matches!(s.elem_type, 2 | 4) {
        return Err(unsupported("sequences of sparse tensors or maps cannot be read from a file").into());
    }
    let mut out = vec![];
    for t in &s.tensor_values {
        out.push(tensor_value(t)?);
    }
    for inner in s.sequence_values {
        out.push(sequence(inner, &element, depth + 1)?);
    }
    for inner in s.optional_values {
        out.push(optional(inner, &element, depth + 1)?);
    }
    Ok(Datum::Sequence(element, out))
}

fn optional(o: OptionalProto, ty: &Type, depth: usize) -> Result<Datum> {
    if depth > DEPTH {
        return Err(too_deep());
    }
    let element = match ty {
        Type::Optional(e) => (**e).clone(),
        _ => Type::Unknown,
    };
    let value = match (o.tensor_value, o.sequence_value) {
        (Some(t), _) => Some(tensor_value(&t)?),
        (None, Some(s)) => Some(sequence(*s, &element, depth + 1)?),
        (None, None) if matches!(o.elem_type, 0 | 1 | 3) => None,
        (None, None) => return Err(unsupported("optional sparse tensors and maps cannot be read from a file").into()),
    };
    Ok(Datum::Optional(element, value.map(Box::new)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapidary_ir::{DType, Tensor};
    use std::sync::Arc;

    #[test]
    fn reads_tensors_sequences_and_optionals() {
        let one = Tensor::from_slice(&[2], &[1f32, 2.0]);
        let proto = tensor::encode(&one, "");
        let ty = Type::tensor(DType::F32, [2]);
        assert_eq!(read_value(&proto.encode_to_vec().into(), &ty).unwrap(), Datum::Tensor(one.clone()));
        let sequence = SequenceProto { elem_type: 1, tensor_values: vec![proto.clone(), proto.clone()], ..Default::default() };
        let of = Type::Sequence(Arc::new(ty.clone()));
        let want = Datum::Sequence(ty.clone(), vec![one.clone().into(), one.clone().into()]);
        assert_eq!(read_value(&sequence.encode_to_vec().into(), &of).unwrap(), want);
        let optional = OptionalProto { elem_type: 1, tensor_value: Some(proto), sequence_value: None };
        let of = Type::Optional(Arc::new(ty.clone()));
        let want = Datum::Optional(ty.clone(), Some(Box::new(one.into())));
        assert_eq!(read_value(&optional.encode_to_vec().into(), &of).unwrap(), want);
        assert_eq!(read_value(&Bytes::new(), &of).unwrap(), Datum::Optional(ty, None));
    }

    #[test]
    fn refuses_what_is_no_message() {
        assert!(read_value(&Bytes::from_static(b"\xff\xff\xff"), &Type::Unknown).is_err());
    }
}
