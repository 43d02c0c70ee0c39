//! Bytes → [`ModelProto`], and when that fails, what the bytes are instead.

use crate::codes;
use crate::proto::ModelProto;
use bytes::Bytes;
use lapidary_ir::{Diagnostic, Result};
use prost::Message;

/// Decodes a model without copying weights: every `bytes` field is a slice of `data`.
///
/// Nesting is limited to 100 messages (prost's own limit), which is 32 levels of subgraphs. Fields that ONNX does not
/// define are dropped.
///
/// # Errors
/// Bytes that are another format, end too early, are damaged or have no graph.
pub fn model(data: &Bytes) -> Result<ModelProto> {
    if let Some(error) = other_format(data) {
        return Err(error.into());
    }
    let model = match ModelProto::decode(data.clone()) {
        Ok(model) => model,
        Err(e) => return Err(explain(data, &e).into()),
    };
    if model.graph.is_none() {
        return Err(without_graph(data, &model).into());
    }
    Ok(model)
}

/// How many bytes of the file decoding left out, by length: files of the usual writers have the one canonical length of their content.
pub fn dropped_bytes(data: &[u8], model: &ModelProto) -> usize {
    data.len().saturating_sub(model.encoded_len())
}

/// A format that can be told by its first bytes, with what to do about it.
fn other_format(data: &[u8]) -> Option<Diagnostic> {
    let not = |what: &str, help: &str| Some(Diagnostic::error(codes::NOT_ONNX, format!("this is {what}, not an ONNX model")).help(help));
    let starts = |magic: &[u8]| data.starts_with(magic);
    let holds = |at: usize, magic: &[u8]| data.get(at..).is_some_and(|rest| rest.starts_with(magic));
    match () {
        () if starts(b"PK\x03\x04") => {
            not("a zip archive (a PyTorch .pt file, an .npz or a package)", "export a PyTorch model with torch.onnx.export; unpack an archive first")
        }
        () if starts(b"\x80\x02") || starts(b"\x80\x03") || starts(b"\x80\x04") || starts(b"\x80\x05") => {
            not("a Python pickle (an old PyTorch file)", "load it in PyTorch and export it with torch.onnx.export")
        }
        () if holds(4, b"TFL3") => not("a TensorFlow Lite model", "convert it with tf2onnx --tflite"),
        () if holds(4, b"ORTM") => not("an ONNX Runtime .ort model", "use the .onnx file that it was made from"),
        () if starts(b"\x89HDF\r\n") => not("an HDF5 file (Keras weights)", "convert it with tf2onnx"),
        () if starts(b"GGUF") => not("a GGUF file", "use the original model and export it to ONNX"),
        () if starts(b"\x93NUMPY") => not("a NumPy array", "pass arrays with --inputs or data="),
        () if starts(b"\x7fELF") => not("a program or library", "name the .onnx file that it was compiled from"),
        () if starts(b"\x1f\x8b") => not("a gzip archive", "unpack it first"),
        () if starts(b"\xfd7zXZ") || starts(b"\x28\xb5\x2f\xfd") => not("a compressed file", "unpack it first"),
        () if starts(b"version https://git-lfs") => not("a Git LFS pointer, the model itself was not fetched", "run git lfs pull"),
        () if is_safetensors(data) => {
            not("a safetensors file (weights without a graph)", "export the model that it belongs to; adapters go to merge-lora")
        }
        () if is_text(data) => {
            let head = String::from_utf8_lossy(data.get(..data.len().min(256)).unwrap_or(data)).to_lowercase();
            let head = head.trim_start();
            if head.starts_with("<!doctype") || head.starts_with("<html") {
                not("a web page", "the download gave a page rather than the file; fetch the raw file")
            } else if head.starts_with('<') || head.contains("ir_version") {
                not("ONNX as text", "write it as binary: onnx.save(onnx.load(path, format='textproto'), out), or onnx.parser")
            } else if head.starts_with('{') || head.starts_with('[') {
                not("JSON text", "name the binary .onnx file")
            } else if head.starts_with("graph @") || head.starts_with("//") {
                not("Lapidary's own text form or source text", "name the binary .onnx file")
            } else {
                not("a text file", "name the binary .onnx file")
            }
        }
        () => None,
    }
}

/// Eight bytes of header length, then a JSON object.
fn is_safetensors(data: &[u8]) -> bool {
    let Some((head, rest)) = data.split_first_chunk::<8>() else { return false };
    let length = u64::from_le_bytes(*head);
    rest.first() == Some(&b'{') && length >= 2 && length <= rest.len() as u64
}

/// Printable UTF-8 without control bytes but white space. A model's first byte is a field tag (8 or 58 in practice), and
/// a control byte soon follows, so no model is taken for text.
fn is_text(data: &[u8]) -> bool {
    let head = data.get(..data.len().min(512)).unwrap_or(data);
    let valid = match std::str::from_utf8(head) {
        Ok(_) => true,
        // A character cut by the 512 bytes is no reason against.
        Err(e) => e.error_len().is_none() && e.valid_up_to() > 0,
    };
    valid && head.iter().all(|&b| b >= 0x20 && b != 0x7f || matches!(b, b'\n' | b'\r' | b'\t'))
}

/// Turns a decoding error into the likeliest cause.
fn explain(data: &[u8], error: &prost::DecodeError) -> Diagnostic {
    let detail = error.to_string();
    if detail.contains("recursion limit") {
        return Diagnostic::error(codes::TOO_DEEP, "the model nests messages deeper than the limit of 100")
            .note(detail)
            .help("subgraphs may nest 32 deep; a file beyond that is most likely crafted or damaged");
    }
    match walk(data) {
        Walk::Truncated { offset, field, declared, left } => Diagnostic::error(codes::TRUNCATED, "the file ends too early")
            .note(format!(
                "{} at byte {offset} should have {declared} bytes, and {left} are there",
                field_name(field).map_or_else(|| format!("field {field}"), |name| format!("field '{name}'"))
            ))
            .help("the download or copy was cut off; fetch the file again"),
        Walk::NotModel { offset } if offset < 64 => not_protobuf(data, &detail),
        Walk::NotModel { offset } => Diagnostic::error(codes::CORRUPT, "the model is damaged")
            .note(format!("no valid field starts at byte {offset}"))
            .note(detail)
            .help("fetch or export the file again"),
        // The outer fields are whole, so the damage is inside one of them.
        Walk::Whole => Diagnostic::error(codes::CORRUPT, "the model is damaged").note(detail).help("fetch or export the file again"),
    }
}

fn not_protobuf(data: &[u8], detail: &str) -> Diagnostic {
    let head: Vec<String> = data.iter().take(8).map(|b| format!("{b:02x}")).collect();
    Diagnostic::error(codes::NOT_ONNX, "this is not an ONNX model")
        .note(format!("the file starts with the bytes {}", head.join(" ")))
        .note(detail.to_owned())
        .help("an .onnx file is a serialized ModelProto")
}

/// A message that decodes as a model and has no graph: often another protobuf, since field numbers overlap.
fn without_graph(data: &Bytes, model: &ModelProto) -> Diagnostic {
    use crate::proto::TensorProto;
    if let Ok(tensor) = TensorProto::decode(data.clone())
        && (tensor.raw_data.is_some() || !tensor.float_data.is_empty() || !tensor.int64_data.is_empty())
        && tensor.data_type.is_some()
        && model.opset_import.is_empty()
    {
        return Diagnostic::error(codes::NOT_ONNX, "this is a single ONNX tensor, not a model")
            .help("tensors are inputs: lapidary run MODEL --inputs DIR");
    }
    Diagnostic::error(codes::NO_GRAPH, "the model has no graph").help("the exporter wrote an empty model; export it again")
}

enum Walk {
    Whole,
    Truncated { offset: usize, field: u64, declared: u64, left: u64 },
    NotModel { offset: usize },
}

/// Walks the outermost fields only.
fn walk(data: &[u8]) -> Walk {
    let mut at = 0;
    while at < data.len() {
        let start = at;
        let Some(tag) = varint(data, &mut at) else { return cut_or_bad(data, start) };
        let (field, wire) = (tag >> 3, tag & 7);
        if field_name(field).is_none() {
            return Walk::NotModel { offset: start };
        }
        let left = |at: usize| (data.len() - at) as u64;
        let declared = match wire {
            0 => match varint(data, &mut at) {
                Some(_) => 0,
                None => return cut_or_bad(data, start),
            },
            1 => 8,
            5 => 4,
            2 => match varint(data, &mut at) {
                Some(length) => length,
                None => return cut_or_bad(data, start),
            },
            _ => return Walk::NotModel { offset: start },
        };
        if declared > left(at) {
            return Walk::Truncated { offset: start, field, declared, left: left(at) };
        }
        at += declared as usize;
    }
    Walk::Whole
}

/// A varint that does not end: cut off if the file ends within ten bytes, otherwise nonsense.
fn cut_or_bad(data: &[u8], offset: usize) -> Walk {
    let left = data.len() - offset;
    if left < 20 { Walk::Truncated { offset, field: 0, declared: 20, left: left as u64 } } else { Walk::NotModel { offset } }
}

fn varint(data: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *data.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Field numbers of `ModelProto`.
fn field_name(field: u64) -> Option<&'static str> {
    Some(match field {
        1 => "ir_version",
        2 => "producer_name",
        3 => "producer_version",
        4 => "domain",
        5 => "model_version",
        6 => "doc_string",
        7 => "graph",
        8 => "opset_import",
        14 => "metadata_props",
        20 => "training_info",
        25 => "functions",
        26 => "configuration",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{GraphProto, OperatorSetIdProto, TensorProto};

    fn small() -> Vec<u8> {
        ModelProto {
            ir_version: Some(8),
            opset_import: vec![OperatorSetIdProto { domain: None, version: Some(17) }],
            graph: Some(GraphProto {
                name: Some("g".into()),
                initializer: vec![TensorProto { raw_data: Some(Bytes::from(vec![1; 100])), ..Default::default() }],
                ..Default::default()
            }),
            ..Default::default()
        }
        .encode_to_vec()
    }

    fn code(data: &[u8]) -> &'static str {
        model(&Bytes::copy_from_slice(data)).unwrap_err().0[0].code
    }

    #[test]
    fn weights_are_slices_of_the_file() {
        let file = Bytes::from(small());
        let model = model(&file).unwrap();
        let raw = model.graph.unwrap().initializer[0].raw_data.clone().unwrap();
        assert!(file.as_ptr_range().contains(&raw.as_ptr()));
    }

    #[test]
    fn every_truncation_is_an_error_or_a_shorter_model() {
        let data = small();
        for end in 1..data.len() {
            match model(&Bytes::copy_from_slice(&data[..end])) {
                Ok(shorter) => assert!(shorter.graph.is_some()),
                Err(e) => assert!([codes::TRUNCATED, codes::NO_GRAPH].contains(&e.0[0].code), "{end}: {e}"),
            }
        }
    }

    #[test]
    fn other_formats_are_named() {
        for (head, word) in [
            (&b"PK\x03\x04rest"[..], "PyTorch"),
            (b"\x1c\0\0\0TFL3", "Lite"),
            (b"\x89HDF\r\n\x1a\n", "HDF5"),
            (b"GGUF\x03\0\0\0", "GGUF"),
            (b"version https://git-lfs.github.com/spec/v1\n", "LFS"),
            (b"<!DOCTYPE html><html>", "web page"),
            (b"ir_version: 8\ngraph {}", "as text"),
            (b"hello, this is no model", "text file"),
            (b"{\"a\": 1}", "JSON"),
            (b"\x02\0\0\0\0\0\0\0{}", "safetensors"),
            (b"\x93NUMPY\x01\0", "NumPy"),
            (b"\x80\x02}q\0.", "pickle"),
        ] {
            let error = model(&Bytes::copy_from_slice(head)).unwrap_err().0.remove(0);
            assert_eq!(error.code, codes::NOT_ONNX);
            assert!(error.message.contains(word), "{error}");
            assert!(error.help.is_some());
        }
    }

    #[test]
    fn random_bytes_tensors_and_graphless_models_are_told_apart() {
        assert_eq!(code(&[0xff; 64]), codes::NOT_ONNX);
        assert_eq!(code(&[0; 64]), codes::NOT_ONNX);
        let tensor = TensorProto { dims: vec![1], data_type: Some(1), raw_data: Some(Bytes::from_static(&[0, 0, 0, 0])), ..Default::default() };
        assert_eq!(code(&tensor.encode_to_vec()), codes::NOT_ONNX);
        assert_eq!(code(&ModelProto { ir_version: Some(8), ..Default::default() }.encode_to_vec()), codes::NO_GRAPH);
    }

    #[test]
    fn damage_inside_the_graph_is_corruption() {
        let mut data = small();
        let at = data.iter().position(|&b| b == b'g').unwrap() - 2;
        data[at] = 0xff;
        assert_eq!(code(&data), codes::CORRUPT);
    }

    #[test]
    fn deep_nesting_is_refused() {
        use crate::proto::{AttributeProto, NodeProto};
        let mut graph = GraphProto::default();
        for _ in 0..40 {
            let attribute = AttributeProto { g: Some(graph), ..Default::default() };
            let node = NodeProto { attribute: vec![attribute], ..Default::default() };
            graph = GraphProto { node: vec![node], ..Default::default() };
        }
        let data = ModelProto { ir_version: Some(8), graph: Some(graph), ..Default::default() }.encode_to_vec();
        assert_eq!(code(&data), codes::TOO_DEEP);
    }
}
