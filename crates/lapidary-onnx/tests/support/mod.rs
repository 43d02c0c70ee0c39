//! What the tests of this crate share: models to the same canonical form before they are compared, and small models to start from.
#![allow(dead_code)]

use bytes::Bytes;
use lapidary_onnx::external::ExternalFiles;
use lapidary_onnx::proto::attribute_proto::AttributeType;
use lapidary_onnx::proto::tensor_shape_proto::dimension;
use lapidary_onnx::proto::type_proto::Value;
use lapidary_onnx::proto::*;
use lapidary_onnx::tensor;
use prost::Message;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The model with everything undone that `docs/round-trip.md` lists as normalized. Two models that say the same have equal bytes.
pub fn canonical(mut m: ModelProto, path: &Path) -> Vec<u8> {
    let mut files = ExternalFiles::beside(path, lapidary_onnx::Access::Map);
    m.ir_version = None;
    for o in &mut m.opset_import {
        o.domain = Some(domain(o.domain.take()).unwrap_or_default());
    }
    m.opset_import.sort_by(|a, b| a.domain.cmp(&b.domain));
    m.graph.iter_mut().for_each(|g| graph(g, &mut files, true));
    m.encode_to_vec()
}

fn domain(name: Option<String>) -> Option<String> {
    name.filter(|d| !d.is_empty() && d != "ai.onnx")
}

fn absent(text: &mut Option<String>) {
    if text.as_deref() == Some("") {
        *text = None;
    }
}

fn graph(g: &mut GraphProto, files: &mut ExternalFiles, outermost: bool) {
    g.name.get_or_insert_default();
    absent(&mut g.doc_string);
    g.initializer.iter_mut().for_each(|t| canonical_tensor(t, files));
    g.sparse_initializer.iter_mut().for_each(|s| sparse(s, files));
    for n in &mut g.node {
        node(n, files);
    }
    let initializers: HashSet<String> = g.initializer.iter().map(|t| t.name().to_owned()).collect();
    if outermost {
        g.input.retain(|i| !initializers.contains(i.name()));
    }
    let known: HashSet<String> =
        g.node.iter().flat_map(|n| n.output.clone()).chain(initializers).chain(g.input.iter().map(|i| i.name().to_owned())).collect();
    g.value_info.retain(|v| known.contains(v.name()) && v.r#type.as_ref().is_some_and(|t| t.value.is_some()));
    g.value_info.sort_by(|a, b| a.name.cmp(&b.name));
    g.value_info.dedup_by(|a, b| a.name == b.name);
    g.quantization_annotation.retain(|a| known.contains(a.tensor_name()));
    for v in g.input.iter_mut().chain(&mut g.output).chain(&mut g.value_info) {
        absent(&mut v.doc_string);
        v.r#type.iter_mut().for_each(ty);
    }
}

fn ty(t: &mut TypeProto) {
    absent(&mut t.denotation);
    let shape = match &mut t.value {
        Some(Value::TensorType(t)) => &mut t.shape,
        Some(Value::SparseTensorType(t)) => &mut t.shape,
        Some(Value::SequenceType(s)) => return s.elem_type.iter_mut().for_each(|t| ty(t)),
        Some(Value::OptionalType(o)) => return o.elem_type.iter_mut().for_each(|t| ty(t)),
        Some(Value::MapType(m)) => return m.value_type.iter_mut().for_each(|t| ty(t)),
        _ => return,
    };
    for d in shape.iter_mut().flat_map(|s| &mut s.dim) {
        absent(&mut d.denotation);
        match &d.value {
            Some(dimension::Value::DimValue(v)) if *v < 0 => d.value = None,
            Some(dimension::Value::DimParam(p)) if p.is_empty() || p == "?" => d.value = None,
            _ => {}
        }
    }
}

fn canonical_tensor(t: &mut TensorProto, files: &mut ExternalFiles) {
    let decoded = tensor::decode(t, files).unwrap();
    let mut fresh = tensor::encode(&decoded, t.name());
    fresh.doc_string = t.doc_string.take();
    absent(&mut fresh.doc_string);
    fresh.metadata_props = std::mem::take(&mut t.metadata_props);
    *t = fresh;
}

fn sparse(s: &mut SparseTensorProto, files: &mut ExternalFiles) {
    s.values.iter_mut().for_each(|t| canonical_tensor(t, files));
    s.indices.iter_mut().for_each(|t| {
        canonical_tensor(t, files);
        t.name = None;
    });
}

fn node(n: &mut NodeProto, files: &mut ExternalFiles) {
    for list in [&mut n.input, &mut n.output] {
        while list.last().is_some_and(String::is_empty) {
            list.pop();
        }
    }
    for text in [&mut n.name, &mut n.doc_string, &mut n.overload] {
        absent(text);
    }
    n.domain = domain(n.domain.take());
    n.metadata_props.sort_by(|a, b| a.key.cmp(&b.key));
    for a in &mut n.attribute {
        absent(&mut a.doc_string);
        a.t.iter_mut().chain(&mut a.tensors).for_each(|t| canonical_tensor(t, files));
        a.sparse_tensor.iter_mut().for_each(|s| {
            sparse(s, files);
            s.values.iter_mut().for_each(|v| v.name = None);
        });
        a.tp.iter_mut().chain(&mut a.type_protos).for_each(ty);
        a.g.iter_mut().chain(&mut a.graphs).for_each(|g| graph(g, files, false));
        if n.op_type.as_deref() == Some("Constant") && n.domain.is_none() {
            constant(a);
        }
    }
    n.attribute.sort_by(|a, b| a.name.cmp(&b.name));
}

/// The forms of `Constant` with plain values are written with a tensor.
fn constant(a: &mut AttributeProto) {
    use lapidary_ir::Tensor;
    let t = match a.name() {
        "value_float" => Tensor::scalar(a.f()),
        "value_int" => Tensor::scalar(a.i()),
        "value_floats" => Tensor::from_vec(a.floats.clone()),
        "value_ints" => Tensor::from_vec(a.ints.clone()),
        "value_string" => Tensor::strings(&[], vec![a.s.clone().unwrap_or_default()]).unwrap(),
        "value_strings" => Tensor::strings(&[a.strings.len()], a.strings.clone()).unwrap(),
        _ => return,
    };
    *a = AttributeProto {
        name: Some("value".into()),
        r#type: Some(AttributeType::Tensor as i32),
        t: Some(tensor::encode(&t, "")),
        ..Default::default()
    };
}

/// Every `*.onnx` file beneath a folder, sorted.
pub fn models_beneath(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut work = vec![folder.to_owned()];
    while let Some(folder) = work.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                work.push(path);
            } else if path.extension().is_some_and(|e| e == "onnx") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

pub fn value(name: &str, code: i32, dims: &[i64]) -> ValueInfoProto {
    let dim = |d: &i64| tensor_shape_proto::Dimension { value: Some(dimension::Value::DimValue(*d)), denotation: None };
    let tensor = type_proto::Tensor { elem_type: Some(code), shape: Some(TensorShapeProto { dim: dims.iter().map(dim).collect() }) };
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto { value: Some(Value::TensorType(tensor)), denotation: None }),
        ..Default::default()
    }
}

pub fn node_of(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        input: inputs.iter().map(|s| s.to_string()).collect(),
        output: outputs.iter().map(|s| s.to_string()).collect(),
        ..Default::default()
    }
}

pub fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.into()), r#type: Some(kind as i32), ..Default::default() }
}

pub fn graph_attribute(name: &str, g: GraphProto) -> AttributeProto {
    AttributeProto { g: Some(g), ..attribute(name, AttributeType::Graph) }
}

pub fn props(key: &str, value: &str) -> Vec<StringStringEntryProto> {
    vec![StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) }]
}

pub fn floats(name: &str, values: &[f32]) -> TensorProto {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    TensorProto {
        name: Some(name.into()),
        dims: vec![values.len() as i64],
        data_type: Some(1),
        raw_data: Some(Bytes::from(raw)),
        ..Default::default()
    }
}

pub fn model_of(opset: i64, graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: Some(10),
        opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(opset) }],
        graph: Some(graph),
        ..Default::default()
    }
}

/// A model with one of everything that a file may hold: what a round trip must not lose.
pub fn kitchen_sink() -> ModelProto {
    let branch = |op: &str| GraphProto {
        name: Some(format!("{op}_branch")),
        doc_string: Some("a branch".into()),
        // `x` and `w` are captured; `inner` is a name that both branches use.
        node: vec![node_of(op, &["x", "w"], &["inner"]), node_of("Relu", &["inner"], &[&format!("{op}_out")])],
        initializer: vec![floats("local", &[4.0])],
        output: vec![value(&format!("{op}_out"), 1, &[2])],
        value_info: vec![value("inner", 1, &[2])],
        metadata_props: props("branch", op),
        ..Default::default()
    };
    // A body within a body that captures across both.
    let outer_branch = GraphProto {
        name: Some("outer".into()),
        node: vec![
            node_of("Identity", &["c"], &["c2"]),
            NodeProto {
                attribute: vec![graph_attribute("else_branch", branch("Sub")), graph_attribute("then_branch", branch("Mul"))],
                ..node_of("If", &["c2"], &["nested"])
            },
        ],
        output: vec![value("nested", 1, &[2])],
        ..Default::default()
    };
    let mut y = value("y", 1, &[2]);
    y.doc_string = Some("the result".into());
    y.metadata_props = props("unit", "m");
    if let Some(t) = &mut y.r#type {
        t.denotation = Some("TENSOR".into());
    }
    let mut x = value("x", 1, &[2]);
    if let Some(TypeProto { value: Some(Value::TensorType(t)), .. }) = &mut x.r#type {
        let dim = &mut t.shape.as_mut().unwrap().dim[0];
        dim.value = Some(dimension::Value::DimParam("N".into()));
        dim.denotation = Some("DATA_BATCH".into());
    }
    let x_too = x.clone();
    let sequence = ValueInfoProto {
        name: Some("seq".into()),
        r#type: Some(TypeProto {
            value: Some(Value::SequenceType(Box::new(type_proto::Sequence { elem_type: value("", 1, &[3]).r#type.map(Box::new) }))),
            denotation: None,
        }),
        ..Default::default()
    };
    let mut w = floats("w", &[1.0, f32::NAN]);
    w.doc_string = Some("weights".into());
    w.metadata_props = props("source", "test");
    let sparse = SparseTensorProto {
        values: Some(floats("sp", &[1.0, 2.0])),
        indices: Some(TensorProto { dims: vec![2], data_type: Some(7), int64_data: vec![0, 3], ..Default::default() }),
        dims: vec![5],
    };
    let custom = NodeProto {
        domain: Some("my.domain".into()),
        name: Some("custom_node".into()),
        doc_string: Some("nobody knows it".into()),
        metadata_props: props("k", "v"),
        device_configurations: vec![NodeDeviceConfigurationProto { configuration_id: Some("dev".into()), ..Default::default() }],
        attribute: vec![
            AttributeProto { f: Some(1.5), doc_string: Some("a float".into()), ..attribute("a_f", AttributeType::Float) },
            AttributeProto { floats: vec![1.0, -0.0], ..attribute("b_fs", AttributeType::Floats) },
            AttributeProto { graphs: vec![GraphProto::default(), branch("Add")], ..attribute("c_gs", AttributeType::Graphs) },
            AttributeProto { i: Some(-3), ..attribute("d_i", AttributeType::Int) },
            attribute("e_empty", AttributeType::Ints),
            AttributeProto { s: Some(Bytes::from_static(b"\xff\0")), ..attribute("f_s", AttributeType::String) },
            AttributeProto { strings: vec![Bytes::new()], ..attribute("g_ss", AttributeType::Strings) },
            AttributeProto { sparse_tensor: Some(sparse.clone()), ..attribute("h_sp", AttributeType::SparseTensor) },
            AttributeProto { t: Some(w.clone()), ..attribute("i_t", AttributeType::Tensor) },
            AttributeProto { tensors: vec![floats("", &[1.0])], ..attribute("j_ts", AttributeType::Tensors) },
            AttributeProto { tp: value("", 7, &[1]).r#type, ..attribute("k_tp", AttributeType::TypeProto) },
        ],
        ..node_of("Mystery", &["x", "", "sp", ""], &["", "m2"])
    };
    let call = NodeProto { domain: Some("my.functions".into()), overload: Some("float".into()), ..node_of("Twice", &["m2"], &["t"]) };
    let function = |overload: &str| FunctionProto {
        name: Some("Twice".into()),
        domain: Some("my.functions".into()),
        overload: Some(overload.into()),
        input: vec!["a".into()],
        output: vec!["b".into()],
        attribute: vec!["alpha".into()],
        attribute_proto: vec![AttributeProto { i: Some(1), ..attribute("beta", AttributeType::Int) }],
        node: vec![NodeProto {
            attribute: vec![AttributeProto { ref_attr_name: Some("alpha".into()), ..attribute("alpha", AttributeType::Float) }],
            ..node_of("Elu", &["a"], &["b"])
        }],
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(21) }],
        value_info: vec![value("b", 1, &[2])],
        metadata_props: props("f", "g"),
        doc_string: Some("twice".into()),
    };
    let graph = GraphProto {
        name: Some("main".into()),
        doc_string: Some("documentation".into()),
        metadata_props: props("graph", "yes"),
        input: vec![x, value("c", 9, &[]), sequence],
        output: vec![y, value("t", 1, &[2]), x_too],
        initializer: vec![w, floats("unused", &[9.0])],
        sparse_initializer: vec![sparse],
        value_info: vec![value("m2", 1, &[2]), value("w", 1, &[2])],
        quantization_annotation: vec![TensorAnnotation {
            tensor_name: Some("w".into()),
            quant_parameter_tensor_names: props("SCALE_TENSOR", "unused"),
        }],
        node: vec![
            custom,
            call,
            NodeProto {
                name: Some("choice".into()),
                attribute: vec![graph_attribute("else_branch", branch("Add")), graph_attribute("then_branch", outer_branch)],
                ..node_of("If", &["c"], &["y"])
            },
        ],
    };
    ModelProto {
        producer_name: Some("tests".into()),
        producer_version: Some("1.0".into()),
        domain: Some("org.example".into()),
        model_version: Some(7),
        doc_string: Some("one of everything".into()),
        metadata_props: [props("z", "1"), props("a", "2")].concat(),
        functions: vec![function("float"), function("double")],
        training_info: vec![TrainingInfoProto { initialization_binding: props("w", "unused"), ..Default::default() }],
        configuration: vec![DeviceConfigurationProto { name: Some("dev".into()), num_devices: Some(1), device: vec![] }],
        opset_import: [("", 21), ("my.domain", 1), ("my.functions", 1)]
            .map(|(d, v)| OperatorSetIdProto { domain: Some(d.into()), version: Some(v) })
            .to_vec(),
        ..model_of(21, graph)
    }
}
