//! Tensors by key, as a safetensors file.

use crate::{DType, Diagnostic, Diagnostics, Result, Tensor};
use bytes::Bytes;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;

/// The tensors of a safetensors file, sorted by key: slices of `file`, not copies. Fails when it is none, or holds a type that tensors here
/// cannot have.
pub fn read(file: &Bytes) -> Result<Vec<(String, Tensor)>> {
    let fail = |m: String| Diagnostics::from(Diagnostic::error("safetensors", m));
    let views = SafeTensors::deserialize(file).map_err(|e| fail(format!("this is no safetensors file: {e}")))?;
    let mut out = vec![];
    for (key, view) in views.iter() {
        let dtype = DType::all().find(|d| stored_as(*d) == Some(view.dtype()));
        let dtype = dtype.ok_or_else(|| fail(format!("tensor '{key}' has a type that is not known here: {:?}", view.dtype())))?;
        out.push((key.to_string(), Tensor::new(dtype, view.shape(), file.slice_ref(view.data()))?));
    }
    out.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(out)
}

/// The file for tensors by key, with `about` as its metadata. Fails for types that safetensors lacks.
pub fn write<'a>(tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>, about: Option<HashMap<String, String>>) -> Result<Vec<u8>> {
    let fail = |m: String| Diagnostics::from(Diagnostic::error("safetensors", format!("cannot store the tensors: {m}")));
    let mut views = vec![];
    for (key, t) in tensors {
        let dtype = stored_as(t.dtype()).ok_or_else(|| fail(format!("'{key}' is of type {}", t.dtype())))?;
        views.push((key, TensorView::new(dtype, t.sizes().to_vec(), t.bytes()).map_err(|e| fail(e.to_string()))?));
    }
    safetensors::serialize(views, about).map_err(|e| fail(e.to_string()))
}

/// The type under which safetensors stores elements, where it has one.
pub(crate) fn stored_as(d: DType) -> Option<Dtype> {
    Some(match d {
        DType::Bool => Dtype::BOOL,
        DType::U8 => Dtype::U8,
        DType::I8 => Dtype::I8,
        DType::U16 => Dtype::U16,
        DType::I16 => Dtype::I16,
        DType::U32 => Dtype::U32,
        DType::I32 => Dtype::I32,
        DType::U64 => Dtype::U64,
        DType::I64 => Dtype::I64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::F8E4M3FN => Dtype::F8_E4M3,
        DType::F8E5M2 => Dtype::F8_E5M2,
        _ => return None,
    })
}
