//! `AttributeProto` ↔ [`Attr`]; subgraphs become regions.

use crate::codes;
use crate::external::ExternalFiles;
use crate::import::tensor_extra;
use crate::model::{NodeExtra, TensorExtra};
use crate::proto::attribute_proto::AttributeType;
use crate::proto::{AttributeProto, GraphProto, TensorProto};
use crate::{tensor, types};
use bytes::Bytes;
use lapidary_ir::{Attr, Attrs, Diagnostic, Name, Result, Symbols, Tensor};
use std::sync::Arc;

/// Reads the attributes of a node and its subgraphs; what [`Attr`] does not hold goes to `extra`. The graphs of a list are named
/// `NAME[0]`, `NAME[1]`, ….
pub fn decode_all(
    list: Vec<AttributeProto>,
    files: &mut ExternalFiles,
    symbols: &mut Symbols,
    extra: &mut NodeExtra,
) -> Result<(Attrs, Vec<(Name, GraphProto)>)> {
    let mut attrs = Attrs::new();
    let mut regions: Vec<(Name, GraphProto)> = vec![];
    for mut a in list {
        let name = a.name.take().unwrap_or_default();
        let bad = |message: String| Diagnostic::error(codes::ATTRIBUTE, message);
        if name.is_empty() {
            return Err(bad("an attribute has no name".into()).into());
        }
        if attrs.get(&name).is_some() || regions.iter().any(|(n, _)| **n == *name) {
            return Err(bad(format!("the attribute '{name}' is given twice")).into());
        }
        if let Some(doc) = a.doc_string.take().filter(|d| !d.is_empty()) {
            extra.attr_docs.insert(name.as_str().into(), doc);
        }
        if a.ref_attr_name.as_ref().is_some_and(|r| !r.is_empty()) {
            return Err(bad(format!("the attribute '{name}' refers to a function's attribute, and this is no function")).into());
        }
        match kind(&a) {
            AttributeType::Graph => {
                let graph = a.g.take().ok_or_else(|| bad(format!("the attribute '{name}' should be a graph and is none")))?;
                regions.push((name.into(), graph));
            }
            AttributeType::Graphs => {
                regions.extend(a.graphs.into_iter().enumerate().map(|(i, g)| (format!("{name}[{i}]").into(), g)));
            }
            kind => {
                if let Some(t) = a.t.as_mut().filter(|_| kind == AttributeType::Tensor) {
                    let meta = TensorProto {
                        name: t.name.take(),
                        doc_string: t.doc_string.take(),
                        metadata_props: std::mem::take(&mut t.metadata_props),
                        ..TensorProto::default()
                    };
                    if let Some(kept) = tensor_extra(meta, true) {
                        extra.attr_tensors.insert(name.as_str().into(), kept);
                    }
                }
                let value = decode(a, kind, files, symbols, &name)?;
                attrs.set(&name, value);
            }
        }
    }
    Ok((attrs, regions))
}

/// The declared type, or, in files older than that field, the one field that is set.
fn kind(a: &AttributeProto) -> AttributeType {
    use AttributeType::*;
    match a.r#type() {
        Undefined => match () {
            () if a.f.is_some() => Float,
            () if a.i.is_some() => Int,
            () if a.s.is_some() => String,
            () if a.t.is_some() => Tensor,
            () if a.g.is_some() => Graph,
            () if a.sparse_tensor.is_some() => SparseTensor,
            () if a.tp.is_some() => TypeProto,
            () if !a.floats.is_empty() => Floats,
            () if !a.ints.is_empty() => Ints,
            () if !a.strings.is_empty() => Strings,
            () if !a.tensors.is_empty() => Tensors,
            () if !a.graphs.is_empty() => Graphs,
            () if !a.type_protos.is_empty() => TypeProtos,
            () if !a.sparse_tensors.is_empty() => SparseTensors,
            () => Undefined,
        },
        known => known,
    }
}

fn decode(a: AttributeProto, kind: AttributeType, files: &mut ExternalFiles, symbols: &mut Symbols, name: &str) -> Result<Attr> {
    let lacks = |what: &str| Diagnostic::error(codes::ATTRIBUTE, format!("the attribute '{name}' should be {what} and is none"));
    Ok(match kind {
        AttributeType::Float => Attr::Float(a.f()),
        AttributeType::Int => Attr::Int(a.i()),
        AttributeType::String => Attr::Str(a.s.unwrap_or_default()),
        AttributeType::Tensor => Attr::Tensor(Arc::new(tensor::decode(&a.t.ok_or_else(|| lacks("a tensor"))?, files)?)),
        AttributeType::Floats => Attr::Floats(a.floats),
        AttributeType::Ints => Attr::Ints(a.ints),
        AttributeType::Strings => Attr::Strs(a.strings),
        AttributeType::Tensors => Attr::Tensors(a.tensors.iter().map(|t| tensor::decode(t, files).map(Arc::new)).collect::<Result<_>>()?),
        AttributeType::TypeProto => Attr::Type(types::require(&a.tp.ok_or_else(|| lacks("a type"))?, symbols)?),
        AttributeType::TypeProtos => Attr::Types(a.type_protos.iter().map(|t| types::require(t, symbols)).collect::<Result<_>>()?),
        AttributeType::SparseTensor => {
            let (values, indices, dims) = tensor::decode_sparse(&a.sparse_tensor.ok_or_else(|| lacks("a sparse tensor"))?, files)?;
            Attr::Sparse(values, indices, dims)
        }
        AttributeType::SparseTensors => {
            return Err(Diagnostic::unsupported(codes::ATTRIBUTE, format!("the attribute '{name}' is a list of sparse tensors"))
                .note("no operator of ONNX has such an attribute")
                .into());
        }
        AttributeType::Graph | AttributeType::Graphs | AttributeType::Undefined => {
            return Err(Diagnostic::error(codes::ATTRIBUTE, format!("the attribute '{name}' has no value")).into());
        }
    })
}

/// `Constant` may give its value in six ways; the graph knows two, `value` and `sparse_value`.
pub fn constant_to_value(attrs: &mut Attrs) {
    let bytes = |list: &[Bytes]| Tensor::strings(&[list.len()], list.to_vec()).ok();
    let (old, tensor) = match () {
        () if attrs.float("value_float").is_some() => ("value_float", attrs.float("value_float").map(Tensor::scalar)),
        () if attrs.int("value_int").is_some() => ("value_int", attrs.int("value_int").map(Tensor::scalar)),
        () if attrs.floats("value_floats").is_some() => ("value_floats", attrs.floats("value_floats").map(|v| Tensor::from_vec(v.to_vec()))),
        () if attrs.ints("value_ints").is_some() => ("value_ints", attrs.ints("value_ints").map(|v| Tensor::from_vec(v.to_vec()))),
        () => match (attrs.get("value_string"), attrs.get("value_strings")) {
            (Some(Attr::Str(s)), _) => ("value_string", Tensor::strings(&[], vec![s.clone()]).ok()),
            (_, Some(Attr::Strs(s))) => ("value_strings", bytes(s)),
            _ => return,
        },
    };
    if let Some(tensor) = tensor {
        attrs.remove(old);
        attrs.set("value", Arc::new(tensor));
    }
}

/// Writes an attribute that is no subgraph. `named` is as in [`types::encode`].
pub fn encode(name: &str, value: &Attr, extra: Option<&NodeExtra>, named: &dyn Fn(&str) -> bool) -> AttributeProto {
    let mut out = AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() };
    let set = |out: &mut AttributeProto, kind: AttributeType| out.r#type = Some(kind as i32);
    match value {
        Attr::Int(v) => {
            out.i = Some(*v);
            set(&mut out, AttributeType::Int);
        }
        Attr::Float(v) => {
            out.f = Some(*v);
            set(&mut out, AttributeType::Float);
        }
        Attr::Str(v) => {
            out.s = Some(v.clone());
            set(&mut out, AttributeType::String);
        }
        Attr::Tensor(v) => {
            let mut t = tensor::encode(v, "");
            if let Some(kept) = extra.and_then(|e| e.attr_tensors.get(name)) {
                restore(&mut t, kept);
            }
            out.t = Some(t);
            set(&mut out, AttributeType::Tensor);
        }
        Attr::Type(v) => {
            out.tp = types::encode(v, named);
            set(&mut out, AttributeType::TypeProto);
        }
        Attr::Ints(v) => {
            out.ints.clone_from(v);
            set(&mut out, AttributeType::Ints);
        }
        Attr::Floats(v) => {
            out.floats.clone_from(v);
            set(&mut out, AttributeType::Floats);
        }
        Attr::Strs(v) => {
            out.strings.clone_from(v);
            set(&mut out, AttributeType::Strings);
        }
        Attr::Tensors(v) => {
            out.tensors = v.iter().map(|t| tensor::encode(t, "")).collect();
            set(&mut out, AttributeType::Tensors);
        }
        Attr::Types(v) => {
            out.type_protos = v.iter().filter_map(|t| types::encode(t, named)).collect();
            set(&mut out, AttributeType::TypeProtos);
        }
        Attr::Sparse(values, indices, dims) => {
            out.sparse_tensor = Some(tensor::encode_sparse(&(values.clone(), indices.clone(), dims.clone()), ""));
            set(&mut out, AttributeType::SparseTensor);
        }
        Attr::Ref(outer, kind) => {
            out.ref_attr_name = Some(outer.to_string());
            out.r#type = Some(*kind);
        }
    }
    out.doc_string = extra.and_then(|e| e.attr_docs.get(name)).cloned();
    out
}

/// Puts back what a tensor of the file carried besides elements.
pub fn restore(t: &mut TensorProto, kept: &TensorExtra) {
    if kept.name.is_some() {
        t.name.clone_from(&kept.name);
    }
    t.doc_string.clone_from(&kept.doc);
    t.metadata_props.clone_from(&kept.metadata);
}

/// The subgraph attributes of a node: `NAME[i]` are gathered into lists again.
pub fn encode_graphs(regions: Vec<(Name, GraphProto)>) -> Vec<AttributeProto> {
    let mut out: Vec<AttributeProto> = vec![];
    for (name, graph) in regions {
        match name.strip_suffix(']').and_then(|n| n.split_once('[')) {
            Some((list, _)) => match out.iter_mut().find(|a| a.name() == list) {
                Some(a) => a.graphs.push(graph),
                None => out.push(AttributeProto {
                    name: Some(list.to_owned()),
                    graphs: vec![graph],
                    r#type: Some(AttributeType::Graphs as i32),
                    ..AttributeProto::default()
                }),
            },
            None => out.push(AttributeProto {
                name: Some(name.to_string()),
                g: Some(graph),
                r#type: Some(AttributeType::Graph as i32),
                ..AttributeProto::default()
            }),
        }
    }
    out
}
