//! The tensors that a text names by hash, as a safetensors file beside it: keys are the 16 digits.

use crate::{Attr, DType, Diagnostic, Diagnostics, Graph, Result, Tensor};
use bytes::Bytes;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The file for a text printed with the same `inline_elements`: every tensor that the text names by hash, once.
///
/// Element types that safetensors lacks are stored as bytes, under a key that goes on with the type: `9f3a1c2204be77d1 i4[64, 3]`.
pub fn write_tensors(g: &Graph, options: &super::PrintOptions) -> Result<Vec<u8>> {
    let mut tensors = BTreeMap::new();
    collect(g, options.inline_elements, &mut tensors);
    write_tensor_table(&tensors)
}

/// The file for tensors by content hash.
pub fn write_tensor_table(tensors: &BTreeMap<u64, Arc<Tensor>>) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    for (hash, t) in tensors {
        let mut key = format!("{hash:016x}");
        let (dtype, sizes, bytes) = match (stored_as(t.dtype()), t.as_strings()) {
            (Some(d), None) => (d, t.sizes().to_vec(), t.bytes().clone()),
            (_, strings) => {
                key = format!("{key} {}", t.ty());
                let bytes = strings.map_or_else(|| t.bytes().clone(), pack_strings);
                (Dtype::U8, vec![bytes.len()], bytes)
            }
        };
        data.push((key, dtype, sizes, bytes));
    }
    let fail = |e: safetensors::SafeTensorError| Diagnostics::from(Diagnostic::error("tensor-file", format!("cannot store the tensors: {e}")));
    let views: Result<Vec<_>> =
        data.iter().map(|(key, d, sizes, b)| Ok((key.clone(), TensorView::new(*d, sizes.clone(), b).map_err(fail)?))).collect();
    safetensors::serialize(views?, None).map_err(fail)
}

/// What [`write_tensors`] wrote, by content hash: slices of `file`, not copies. Fails when a tensor is not what its key says.
pub fn read_tensors(file: &Bytes) -> Result<BTreeMap<u64, Arc<Tensor>>> {
    let fail = |m: String| Diagnostics::from(Diagnostic::error("tensor-file", m).help("the file must be the one that was written with the text"));
    let views = SafeTensors::deserialize(file).map_err(|e| fail(format!("this is no safetensors file: {e}")))?;
    let mut out = BTreeMap::new();
    for (key, view) in views.iter() {
        let (digits, declared) = key.split_once(' ').map_or((key, None), |(digits, ty)| (digits, Some(ty)));
        let hash = u64::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 16);
        let hash = hash.ok_or_else(|| fail(format!("'{digits}' is no content hash")))?;
        let bytes = file.slice_ref(view.data());
        let tensor = match declared {
            None => {
                let dtype = DType::all().find(|d| stored_as(*d) == Some(view.dtype()));
                let dtype = dtype.ok_or_else(|| fail(format!("tensor '{key}' has a type that is not known here: {:?}", view.dtype())))?;
                Tensor::new(dtype, view.shape(), bytes)?
            }
            Some(text) => {
                let ty = super::parse_type(text)?;
                let sizes = ty.sizes().ok_or_else(|| fail(format!("the sizes of tensor '{key}' are not constant: {text}")))?;
                match ty.dtype() {
                    DType::String => {
                        Tensor::strings(&sizes, unpack_strings(&bytes).ok_or_else(|| fail(format!("the strings of tensor '{key}' are cut short")))?)?
                    }
                    dtype => Tensor::new(dtype, &sizes, bytes)?,
                }
            }
        };
        if tensor.content_hash() != hash {
            return Err(fail(format!("tensor '{key}' has the content hash '{:016x}': the file is damaged", tensor.content_hash())));
        }
        out.insert(hash, Arc::new(tensor));
    }
    Ok(out)
}

fn collect(g: &Graph, inline: usize, out: &mut BTreeMap<u64, Arc<Tensor>>) {
    for id in g.node_ids() {
        let n = g.node(id);
        for (_, attr) in n.attrs.iter() {
            match attr {
                Attr::Tensor(t) => keep(t, inline, out),
                Attr::Tensors(v) => v.iter().for_each(|t| keep(t, inline, out)),
                Attr::Sparse(a, b, _) => [a, b].into_iter().for_each(|t| keep(t, inline, out)),
                _ => {}
            }
        }
        n.regions.iter().for_each(|r| collect(&r.graph, inline, out));
    }
}

fn keep(t: &Arc<Tensor>, inline: usize, out: &mut BTreeMap<u64, Arc<Tensor>>) {
    if super::literal::write_tensor(&mut String::new(), t, inline) {
        out.insert(t.content_hash(), t.clone());
    }
}

fn stored_as(d: DType) -> Option<Dtype> {
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

/// Each string as its length (8 bytes, little endian) and its bytes.
fn pack_strings(strings: &[Bytes]) -> Bytes {
    let mut out = Vec::new();
    for s in strings {
        out.extend_from_slice(&(s.len() as u64).to_le_bytes());
        out.extend_from_slice(s);
    }
    out.into()
}

fn unpack_strings(bytes: &Bytes) -> Option<Vec<Bytes>> {
    let (mut at, mut out) = (0usize, Vec::new());
    while at < bytes.len() {
        let length = bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)?;
        let end = usize::try_from(length).ok().and_then(|l| (at + 8).checked_add(l)).filter(|e| *e <= bytes.len())?;
        out.push(bytes.slice(at + 8..end));
        at = end;
    }
    Some(out)
}
