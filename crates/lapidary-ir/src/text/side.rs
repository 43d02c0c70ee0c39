//! The tensors that a text names by hash, as a safetensors file beside it: keys are the 16 digits.

use crate::{Attr, DType, Diagnostic, Diagnostics, Graph, Result, Tensor, safetensors};
use bytes::Bytes;
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
    let mut stored = Vec::new();
    for (hash, t) in tensors {
        let key = format!("{hash:016x}");
        stored.push(match (safetensors::stored_as(t.dtype()), t.as_strings()) {
            (Some(_), None) => (key, t.as_ref().clone()),
            (_, strings) => {
                let bytes = strings.map_or_else(|| t.bytes().clone(), pack_strings);
                (format!("{key} {}", t.ty()), Tensor::new(DType::U8, &[bytes.len()], bytes)?)
            }
        });
    }
    safetensors::write(stored.iter().map(|(key, t)| (&**key, t)), None)
}

/// What [`write_tensors`] wrote, by content hash: slices of `file`, not copies. Fails when a tensor is not what its key says.
pub fn read_tensors(file: &Bytes) -> Result<BTreeMap<u64, Arc<Tensor>>> {
    let fail = |m: String| Diagnostics::from(Diagnostic::error("tensor-file", m).help("the file must be the one that was written with the text"));
    let mut out = BTreeMap::new();
    for (key, stored) in safetensors::read(file)? {
        let (digits, declared) = key.split_once(' ').map_or((&*key, None), |(digits, ty)| (digits, Some(ty)));
        let hash = u64::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 16);
        let hash = hash.ok_or_else(|| fail(format!("'{digits}' is no content hash")))?;
        let tensor = match declared {
            None => stored,
            Some(text) => {
                let ty = super::parse_type(text)?;
                let sizes = ty.sizes().ok_or_else(|| fail(format!("the sizes of tensor '{key}' are not constant: {text}")))?;
                match ty.dtype() {
                    DType::String => Tensor::strings(
                        &sizes,
                        unpack_strings(stored.bytes()).ok_or_else(|| fail(format!("the strings of tensor '{key}' are cut short")))?,
                    )?,
                    dtype => Tensor::new(dtype, &sizes, stored.bytes().clone())?,
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
