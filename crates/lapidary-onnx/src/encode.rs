//! [`ModelProto`] → bytes, streamed: large byte strings go from where they lie to the writer, never through a buffer.
//!
//! prost encodes into memory only, which would copy every weight. The messages on the way to a weight (model, graph, node,
//! attribute, tensor, function) are therefore framed here, field by field in the order of their numbers; all else is prost's.

use crate::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto};
use bytes::{Bytes, BytesMut};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use std::io::{self, Write};
use std::mem::take;

/// Messages below this size are encoded in one piece: splitting them would cost more than copying.
const PIECE_BYTES: usize = 64 << 10;

/// Writes `model`, consuming it. The bytes are the same as prost's for models of any size.
pub fn write_model(model: ModelProto, out: &mut dyn Write) -> io::Result<()> {
    Encoder { out, scratch: BytesMut::new() }.model(model)
}

struct Encoder<'a> {
    out: &'a mut dyn Write,
    scratch: BytesMut,
}

/// A message that may hold weights: how to write its fields when it is large.
trait Split: Message + Sized {
    fn split(self, to: &mut Encoder<'_>) -> io::Result<()>;
}

impl Encoder<'_> {
    /// The fields of `message`, without a frame.
    fn fields<M: Message>(&mut self, message: &M) -> io::Result<()> {
        self.scratch.clear();
        message.encode(&mut self.scratch).map_err(io::Error::other)?;
        self.out.write_all(&self.scratch)
    }

    fn frame(&mut self, tag: u32, length: usize) -> io::Result<()> {
        self.scratch.clear();
        encode_key(tag, WireType::LengthDelimited, &mut self.scratch);
        encode_varint(length as u64, &mut self.scratch);
        self.out.write_all(&self.scratch)
    }

    fn message<M: Split>(&mut self, tag: u32, message: M) -> io::Result<()> {
        let length = message.encoded_len();
        self.frame(tag, length)?;
        if length < PIECE_BYTES { self.fields(&message) } else { message.split(self) }
    }

    fn messages<M: Split>(&mut self, tag: u32, messages: Vec<M>) -> io::Result<()> {
        messages.into_iter().try_for_each(|m| self.message(tag, m))
    }

    fn bytes(&mut self, tag: u32, bytes: &Bytes) -> io::Result<()> {
        self.frame(tag, bytes.len())?;
        self.out.write_all(bytes)
    }

    fn model(&mut self, mut m: ModelProto) -> io::Result<()> {
        let graph = m.graph.take();
        let functions = take(&mut m.functions);
        let configuration = take(&mut m.configuration);
        let tail = ModelProto {
            opset_import: take(&mut m.opset_import),
            metadata_props: take(&mut m.metadata_props),
            training_info: take(&mut m.training_info),
            ..ModelProto::default()
        };
        self.fields(&m)?;
        graph.map_or(Ok(()), |g| self.message(7, g))?;
        self.fields(&tail)?;
        self.messages(25, functions)?;
        self.fields(&ModelProto { configuration, ..ModelProto::default() })
    }
}

impl Split for GraphProto {
    fn split(mut self, to: &mut Encoder<'_>) -> io::Result<()> {
        to.messages(1, take(&mut self.node))?;
        to.fields(&GraphProto { name: self.name.take(), ..GraphProto::default() })?;
        to.messages(5, take(&mut self.initializer))?;
        let sparse = take(&mut self.sparse_initializer);
        let metadata_props = take(&mut self.metadata_props);
        to.fields(&self)?;
        to.messages(15, sparse)?;
        to.fields(&GraphProto { metadata_props, ..GraphProto::default() })
    }
}

impl Split for NodeProto {
    fn split(mut self, to: &mut Encoder<'_>) -> io::Result<()> {
        let head = NodeProto {
            input: take(&mut self.input),
            output: take(&mut self.output),
            name: self.name.take(),
            op_type: self.op_type.take(),
            ..NodeProto::default()
        };
        to.fields(&head)?;
        to.messages(5, take(&mut self.attribute))?;
        to.fields(&self)
    }
}

impl Split for AttributeProto {
    fn split(mut self, to: &mut Encoder<'_>) -> io::Result<()> {
        let head = AttributeProto { name: self.name.take(), f: self.f.take(), i: self.i.take(), ..AttributeProto::default() };
        to.fields(&head)?;
        self.s.take().map_or(Ok(()), |s| to.bytes(4, &s))?;
        self.t.take().map_or(Ok(()), |t| to.message(5, t))?;
        self.g.take().map_or(Ok(()), |g| to.message(6, g))?;
        to.fields(&AttributeProto { floats: take(&mut self.floats), ints: take(&mut self.ints), ..AttributeProto::default() })?;
        take(&mut self.strings).iter().try_for_each(|s| to.bytes(9, s))?;
        to.messages(10, take(&mut self.tensors))?;
        to.messages(11, take(&mut self.graphs))?;
        let (sparse, sparses) = (self.sparse_tensor.take(), take(&mut self.sparse_tensors));
        to.fields(&self)?;
        sparse.map_or(Ok(()), |s| to.message(22, s))?;
        to.messages(23, sparses)
    }
}

impl Split for TensorProto {
    fn split(mut self, to: &mut Encoder<'_>) -> io::Result<()> {
        let tail = TensorProto {
            double_data: take(&mut self.double_data),
            uint64_data: take(&mut self.uint64_data),
            doc_string: self.doc_string.take(),
            external_data: take(&mut self.external_data),
            data_location: self.data_location.take(),
            metadata_props: take(&mut self.metadata_props),
            ..TensorProto::default()
        };
        let raw = self.raw_data.take();
        to.fields(&self)?;
        raw.map_or(Ok(()), |raw| to.bytes(9, &raw))?;
        to.fields(&tail)
    }
}

impl Split for SparseTensorProto {
    fn split(mut self, to: &mut Encoder<'_>) -> io::Result<()> {
        self.values.take().map_or(Ok(()), |t| to.message(1, t))?;
        self.indices.take().map_or(Ok(()), |t| to.message(2, t))?;
        to.fields(&self)
    }
}

impl Split for FunctionProto {
    fn split(mut self, to: &mut Encoder<'_>) -> io::Result<()> {
        let head = FunctionProto {
            name: self.name.take(),
            input: take(&mut self.input),
            output: take(&mut self.output),
            attribute: take(&mut self.attribute),
            ..FunctionProto::default()
        };
        to.fields(&head)?;
        to.messages(7, take(&mut self.node))?;
        let doc_opset_domain = FunctionProto {
            doc_string: self.doc_string.take(),
            opset_import: take(&mut self.opset_import),
            domain: self.domain.take(),
            ..FunctionProto::default()
        };
        to.fields(&doc_opset_domain)?;
        to.messages(11, take(&mut self.attribute_proto))?;
        to.fields(&self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{OperatorSetIdProto, StringStringEntryProto};

    fn tensor(bytes: usize) -> TensorProto {
        TensorProto {
            dims: vec![bytes as i64],
            data_type: Some(2),
            name: Some("w".into()),
            raw_data: Some(Bytes::from(vec![7; bytes])),
            doc_string: Some("doc".into()),
            double_data: vec![1.0],
            metadata_props: props(),
            ..Default::default()
        }
    }

    fn props() -> Vec<StringStringEntryProto> {
        vec![StringStringEntryProto { key: Some("k".into()), value: Some("v".into()) }]
    }

    /// Every message that is split, with fields on both sides of what is split off.
    fn model(bytes: usize) -> ModelProto {
        let sparse = SparseTensorProto { values: Some(tensor(bytes)), indices: Some(tensor(8)), dims: vec![3] };
        let attribute = |g| AttributeProto {
            name: Some("a".into()),
            ref_attr_name: Some("r".into()),
            doc_string: Some("d".into()),
            r#type: Some(4),
            f: Some(1.5),
            i: Some(-3),
            s: Some(Bytes::from(vec![1; bytes])),
            t: Some(tensor(bytes)),
            g,
            sparse_tensor: Some(sparse.clone()),
            tp: Some(Default::default()),
            floats: vec![1.0, 2.0],
            ints: vec![1, -1],
            strings: vec![Bytes::from(vec![2; bytes]), Bytes::new()],
            tensors: vec![tensor(bytes)],
            graphs: vec![GraphProto::default()],
            sparse_tensors: vec![sparse.clone()],
            type_protos: vec![Default::default()],
        };
        let node = |g| NodeProto {
            input: vec!["x".into(), String::new()],
            output: vec!["y".into()],
            name: Some("n".into()),
            op_type: Some("Op".into()),
            domain: Some("d".into()),
            overload: Some("o".into()),
            attribute: vec![attribute(g)],
            doc_string: Some("doc".into()),
            metadata_props: props(),
            device_configurations: vec![Default::default()],
        };
        let graph = |node| GraphProto {
            node: vec![node],
            name: Some("g".into()),
            initializer: vec![tensor(bytes), tensor(3)],
            sparse_initializer: vec![sparse.clone()],
            doc_string: Some("doc".into()),
            input: vec![Default::default()],
            output: vec![Default::default()],
            value_info: vec![Default::default()],
            quantization_annotation: vec![Default::default()],
            metadata_props: props(),
        };
        let inner = graph(node(None));
        ModelProto {
            ir_version: Some(14),
            opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(28) }],
            producer_name: Some("p".into()),
            producer_version: Some("1".into()),
            domain: Some("d".into()),
            model_version: Some(2),
            doc_string: Some("doc".into()),
            graph: Some(graph(node(Some(inner)))),
            metadata_props: props(),
            training_info: vec![Default::default()],
            functions: vec![FunctionProto {
                name: Some("f".into()),
                input: vec!["x".into()],
                output: vec!["y".into()],
                attribute: vec!["a".into()],
                attribute_proto: vec![attribute(None)],
                node: vec![node(None)],
                doc_string: Some("doc".into()),
                opset_import: vec![Default::default()],
                domain: Some("d".into()),
                overload: Some("o".into()),
                value_info: vec![Default::default()],
                metadata_props: props(),
            }],
            configuration: vec![Default::default()],
        }
    }

    #[test]
    fn streams_the_same_bytes_as_prost() {
        for bytes in [0, 10, PIECE_BYTES / 2, PIECE_BYTES * 2] {
            let model = model(bytes);
            let mut streamed = Vec::new();
            write_model(model.clone(), &mut streamed).unwrap();
            assert!(streamed == model.encode_to_vec(), "{bytes}");
        }
    }
}
