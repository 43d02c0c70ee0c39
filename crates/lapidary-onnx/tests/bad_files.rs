//! Files that are no good get a diagnostic with a code, a place and a help line; nothing panics.

mod support;

use bytes::Bytes;
use lapidary_ir::{Diagnostic, Severity};
use lapidary_onnx::proto::attribute_proto::AttributeType;
use lapidary_onnx::proto::*;
use lapidary_onnx::*;
use prost::Message;
use std::path::Path;
use support::*;

fn refuse(m: ModelProto) -> Diagnostic {
    match model_from_proto(m, &ReadOptions::default()) {
        Ok(model) => panic!("accepted: {:?}", model.graph),
        Err(e) => e.0.into_iter().next().unwrap(),
    }
}

/// `y = Relu(x)`, to be broken.
fn tiny() -> ModelProto {
    model_of(
        17,
        GraphProto {
            input: vec![value("x", 1, &[2])],
            output: vec![value("y", 1, &[2])],
            node: vec![NodeProto { name: Some("the_relu".into()), ..node_of("Relu", &["x"], &["y"]) }],
            ..Default::default()
        },
    )
}

fn broken(change: impl FnOnce(&mut GraphProto)) -> ModelProto {
    let mut m = tiny();
    change(m.graph.as_mut().unwrap());
    m
}

#[test]
fn the_tiny_model_is_good() {
    model_from_proto(tiny(), &ReadOptions::default()).unwrap();
}

#[test]
fn undefined_operand_names_node_value_and_neighbour() {
    let d = refuse(broken(|g| g.node[0].input[0] = "xx".into()));
    assert_eq!((d.code, d.place.node.as_deref(), d.place.value.as_deref()), (codes::UNDEFINED_VALUE, Some("the_relu"), Some("xx")));
    assert!(d.help.unwrap().contains("'x'"));
}

#[test]
fn all_undefined_operands_are_reported_at_once() {
    let m = broken(|g| {
        g.node[0].input[0] = "nothing".into();
        g.node.push(node_of("Add", &["this", "that"], &["z"]));
    });
    assert_eq!(model_from_proto(m, &ReadOptions::default()).unwrap_err().0.len(), 3);
}

#[test]
fn undefined_output() {
    assert_eq!(refuse(broken(|g| g.output[0].name = Some("z".into()))).code, codes::UNDEFINED_VALUE);
}

#[test]
fn undefined_operand_in_a_subgraph() {
    let body = GraphProto { node: vec![node_of("Relu", &["gone"], &["b"])], output: vec![value("b", 1, &[2])], ..Default::default() };
    let m = broken(|g| {
        g.node.push(NodeProto { attribute: vec![graph_attribute("then_branch", body)], ..node_of("If", &["x"], &["i"]) });
    });
    let d = refuse(m);
    assert_eq!((d.code, d.place.value.as_deref()), (codes::UNDEFINED_VALUE, Some("gone")));
}

#[test]
fn duplicate_names() {
    for m in [
        broken(|g| g.node.push(node_of("Neg", &["x"], &["y"]))),
        broken(|g| g.node.push(node_of("Neg", &["x"], &["x"]))),
        broken(|g| g.input.push(value("x", 1, &[2]))),
        broken(|g| g.initializer = vec![floats("w", &[1.0]), floats("w", &[1.0])]),
        broken(|g| g.initializer = vec![floats("y", &[1.0])]),
    ] {
        let d = refuse(m);
        assert!(d.code == codes::DUPLICATE_VALUE && d.place.value.is_some() && d.help.is_some(), "{d}");
    }
}

#[test]
fn cycles() {
    for m in [
        broken(|g| g.node[0].input[0] = "y".into()),
        broken(|g| g.node = vec![node_of("Add", &["x", "y"], &["z"]), node_of("Relu", &["z"], &["y"])]),
        // A body that captures what its own node makes.
        broken(|g| {
            let body = GraphProto { node: vec![node_of("Relu", &["y"], &["b"])], output: vec![value("b", 1, &[2])], ..Default::default() };
            g.node = vec![NodeProto { attribute: vec![graph_attribute("then_branch", body)], ..node_of("If", &["x"], &["y"]) }];
        }),
    ] {
        assert_eq!(refuse(m).code, "cyclic-graph");
    }
}

#[test]
fn attributes_that_are_none() {
    let with = |a: Vec<AttributeProto>| broken(|g| g.node[0].attribute = a);
    for m in [
        with(vec![attribute("t", AttributeType::Tensor)]),
        with(vec![attribute("g", AttributeType::Graph)]),
        with(vec![attribute("p", AttributeType::TypeProto)]),
        with(vec![AttributeProto { name: Some("nothing".into()), ..Default::default() }]),
        with(vec![AttributeProto { i: Some(1), ..attribute("", AttributeType::Int) }]),
        with(vec![AttributeProto { i: Some(1), ..attribute("a", AttributeType::Int) }; 2]),
        with(vec![AttributeProto { ref_attr_name: Some("outer".into()), ..attribute("a", AttributeType::Int) }]),
    ] {
        let d = refuse(m);
        assert_eq!((d.code, d.place.node.as_deref()), (codes::ATTRIBUTE, Some("the_relu")), "{d}");
    }
}

#[test]
fn versions_and_opsets() {
    let import = |versions: &[(&str, i64)]| {
        let set = |(d, v): &(&str, i64)| OperatorSetIdProto { domain: Some(d.to_string()), version: Some(*v) };
        ModelProto { opset_import: versions.iter().map(set).collect(), ..tiny() }
    };
    assert_eq!(refuse(import(&[])).code, codes::OPSET);
    assert_eq!(refuse(import(&[("", 17), ("ai.onnx", 18)])).code, codes::OPSET);
    assert_eq!(refuse(import(&[("", -1)])).code, codes::OPSET);
    assert_eq!(refuse(import(&[("", 9999)])).severity, Severity::Unsupported);
    assert_eq!(refuse(ModelProto { ir_version: Some(99), ..tiny() }).severity, Severity::Unsupported);
    // Before IR version 3 nobody imported anything.
    let old = ModelProto { ir_version: Some(1), opset_import: vec![], ..tiny() };
    assert_eq!(model_from_proto(old, &ReadOptions::default()).unwrap().opset(), 1);
}

#[test]
fn functions_that_are_none() {
    let f = FunctionProto { name: Some("F".into()), domain: Some("d".into()), ..Default::default() };
    assert_eq!(refuse(ModelProto { functions: vec![f.clone(), f], ..tiny() }).code, codes::FUNCTION);
    assert_eq!(refuse(ModelProto { functions: vec![FunctionProto::default()], ..tiny() }).code, codes::FUNCTION);
}

#[test]
fn external_data_without_a_file() {
    let entry = |k: &str, v: &str| StringStringEntryProto { key: Some(k.into()), value: Some(v.into()) };
    let m = broken(|g| {
        let t = TensorProto { raw_data: None, data_location: Some(1), external_data: vec![entry("location", "w.bin")], ..floats("w", &[1.0]) };
        g.initializer.push(t);
    });
    let d = refuse(m);
    assert_eq!((d.code, d.place.value.as_deref()), (codes::EXTERNAL_PATH, Some("w")));
}

#[test]
fn an_operator_newer_than_the_opset_is_noted_and_cannot_be_written_elsewhere() {
    let m = broken(|g| g.node[0].op_type = Some("Gelu".into()));
    let model = model_from_proto(m, &ReadOptions::default()).unwrap();
    assert!(model.notes.iter().any(|d| d.code == codes::OPSET && d.message.contains("since opset 20")));
}

#[test]
fn an_operator_without_a_form_at_the_target_says_so() {
    let m = model_of(20, broken(|g| g.node[0].op_type = Some("Gelu".into())).graph.unwrap());
    let model = model_from_proto(m, &ReadOptions::default()).unwrap();
    let d = model_to_proto(&model, &WriteOptions { target_opset: Some(17), ..Default::default() }).unwrap_err().0.remove(0);
    assert_eq!((d.code, d.place.node.as_deref()), (codes::NO_FORM, Some("the_relu")));
    assert!(d.message.contains("since opset 20"), "{d}");
    assert!(model_to_proto(&model, &WriteOptions { target_opset: Some(25), ..Default::default() }).is_ok());
}

/// The committed files, by the code that each must get.
#[test]
fn committed_bad_files() {
    for (name, code) in [
        ("nowhere.onnx", codes::FILE_MISSING),
        ("empty.onnx", codes::FILE_EMPTY),
        ("text.onnx", codes::NOT_ONNX),
        ("truncated.onnx", codes::TRUNCATED),
        ("corrupted.onnx", codes::CORRUPT),
        ("no_graph.onnx", codes::NO_GRAPH),
        ("no_opset.onnx", codes::OPSET),
        ("future_opset.onnx", codes::OPSET),
        ("cycle.onnx", "cyclic-graph"),
        ("undefined_value.onnx", codes::UNDEFINED_VALUE),
        ("missing_output.onnx", codes::UNDEFINED_VALUE),
        ("two_producers.onnx", codes::DUPLICATE_VALUE),
        ("short_tensor.onnx", codes::TENSOR),
        ("long_tensor.onnx", codes::TENSOR),
        ("negative_dim.onnx", codes::TENSOR),
        ("huge_tensor.onnx", codes::TENSOR),
        ("unknown_type.onnx", codes::TYPE),
        ("external_missing.onnx", codes::EXTERNAL_MISSING),
        ("external_short.onnx", codes::EXTERNAL_DATA),
        ("external_past.onnx", codes::EXTERNAL_SHORT),
        ("external_parent.onnx", codes::EXTERNAL_PATH),
        ("external_absolute.onnx", codes::EXTERNAL_PATH),
        ("deep.onnx", codes::TOO_DEEP),
        ("deepest.onnx", codes::TOO_DEEP),
    ] {
        let path = fixture(name);
        let errors = read_model(&path, &ReadOptions::default()).map(|m| m.graph).unwrap_err();
        let d = &errors.0[0];
        assert_eq!(d.code, code, "{name}: {d}");
        assert_eq!(d.place.file.as_deref(), path.to_str(), "{name}");
    }
    for name in ["tiny", "external", "nested", "unknown_operator", "recursive_function", "doubling_functions"] {
        let path = fixture(&format!("{name}.onnx"));
        read_model(&path, &ReadOptions::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn fields_that_onnx_does_not_define_are_noted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    let mut data = tiny().encode_to_vec();
    std::fs::write(&path, &data).unwrap();
    assert!(read_model(&path, &ReadOptions::default()).unwrap().notes.is_empty());
    data.extend([0xf8, 0x3f, 1]); // field 1023, varint
    std::fs::write(&path, &data).unwrap();
    let notes = read_model(&path, &ReadOptions::default()).unwrap().notes;
    assert!(notes.iter().any(|d| d.code == codes::DROPPED && d.message.starts_with("3 bytes")), "{notes:?}");
}

#[test]
fn a_refused_write_leaves_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    std::fs::write(&path, b"old").unwrap();
    let m = model_of(20, broken(|g| g.node[0].op_type = Some("Gelu".into())).graph.unwrap());
    let model = model_from_proto(m, &ReadOptions::default()).unwrap();
    assert!(write_model(&model, &path, &WriteOptions { target_opset: Some(17), ..Default::default() }).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert!(write_model(&model, Path::new("/nowhere/at/all.onnx"), &WriteOptions::default()).is_err());
}

#[test]
fn function_traps_are_refused_when_expanded() {
    for (name, word) in [("recursive_function", "calls itself"), ("doubling_functions", "own")] {
        let model = read_model(&fixture(&format!("{name}.onnx")), &ReadOptions::default()).unwrap();
        let d = expand_functions(&model, &ExpandLimits::default()).unwrap_err().0.remove(0);
        assert!(d.code == codes::FUNCTION && d.message.contains(word), "{d}");
    }
}

#[test]
fn empty_bytes_and_noise() {
    for data in [&b""[..], b"\0", b"\x3a\xff\xff\xff\xff\x0f", b"\x08\x07\x3a\x02\x0a\x7f"] {
        assert!(model_from_bytes(&Bytes::copy_from_slice(data), &ReadOptions::default()).is_err());
    }
}
