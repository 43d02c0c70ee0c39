//! What is written is what another protobuf implementation reads (onnx-protobuf: rust-protobuf, schema of IR version 10).

mod support;

use lapidary_onnx::proto::ModelProto;
use lapidary_onnx::*;
use protobuf::Message as _;
use std::path::Path;
use support::*;

/// Everything of the kitchen sink that IR version 10 has, read by the other implementation and written again by it, is the same model.
#[test]
fn another_implementation_reads_the_same_model() {
    let mut m = kitchen_sink();
    m.configuration.clear();
    m.graph.as_mut().unwrap().node.iter_mut().for_each(|n| n.device_configurations.clear());
    let model = model_from_proto(m.clone(), &ReadOptions { lift: false, ..Default::default() }).unwrap();
    let bytes = model_to_bytes(&model, &WriteOptions::default()).unwrap();
    let theirs = onnx_protobuf::ModelProto::parse_from_bytes(&bytes).unwrap();
    let graph = theirs.graph.as_ref().unwrap();
    assert_eq!((graph.node.len(), graph.initializer.len(), graph.sparse_initializer.len()), (3, 2, 1));
    assert_eq!(graph.initializer[0].raw_data, [1f32.to_le_bytes(), f32::NAN.to_le_bytes()].concat());
    assert!(theirs.special_fields.unknown_fields().iter().next().is_none());
    let nowhere = Path::new("m.onnx");
    let echoed = <ModelProto as prost::Message>::decode(theirs.write_to_bytes().unwrap().as_slice()).unwrap();
    assert!(canonical(echoed, nowhere) == canonical(m, nowhere));
}

#[test]
fn what_another_implementation_writes_is_read() {
    use onnx_protobuf as other;
    let mut m = other::ModelProto::new();
    m.ir_version = 8;
    let mut opset = other::OperatorSetIdProto::new();
    opset.version = 13;
    m.opset_import.push(opset);
    let mut node = other::NodeProto::new();
    node.op_type = "Relu".into();
    node.input.push("x".into());
    node.output.push("y".into());
    let mut graph = other::GraphProto::new();
    graph.node.push(node);
    for (name, list) in [("x", &mut graph.input), ("y", &mut graph.output)] {
        let mut v = other::ValueInfoProto::new();
        v.name = name.into();
        list.push(v);
    }
    m.graph = protobuf::MessageField::some(graph);
    let model = model_from_bytes(&m.write_to_bytes().unwrap().into(), &ReadOptions::default()).unwrap();
    assert!(model.graph.node(model.graph.operators()[0]).is("Relu"));
    assert_eq!(model.opset(), 13);
}
