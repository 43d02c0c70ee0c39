//! The lowest IR version that holds a model, from ONNX's release table and the comments of its schema.

use crate::proto::type_proto::Value;
use crate::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TypeProto, ValueInfoProto};
use std::collections::HashSet;

/// The newest version of the file format that is read and written.
pub const NEWEST: u32 = 14;

/// The lowest IR version with which an operator set was released.
fn of_opset(domain: &str, version: i64) -> u32 {
    match (domain, version) {
        ("" | "ai.onnx" | "ai.onnx.preview", v) => match v {
            ..=8 => 3,
            9 => 4,
            10 => 5,
            11 => 6,
            12..=14 => 7,
            15..=18 => 8,
            19 | 20 => 9,
            21 | 22 => 10,
            23 => 11,
            24 => 12,
            25..=27 => 13,
            _ => 14,
        },
        ("ai.onnx.ml", v) => match v {
            ..=1 => 3,
            2 => 6,
            3 => 8,
            4 => 9,
            _ => 10,
        },
        ("ai.onnx.training" | "ai.onnx.preview.training", _) => 7,
        _ => 3,
    }
}

/// The lowest IR version for an element type.
fn of_element(code: i32) -> u32 {
    match code {
        16 => 4,
        17..=20 => 9,
        21 | 22 => 10,
        23 => 11,
        24 => 12,
        25 | 26 => 13,
        27.. => 14,
        _ => 3,
    }
}

/// The lowest IR version that holds all of `model`: its operator sets, element types and kinds of field.
pub fn lowest(model: &mut ModelProto) -> u32 {
    let mut need = Need(3);
    let imports = model.opset_import.iter().chain(model.functions.iter().flat_map(|f| &f.opset_import));
    imports.for_each(|o| need.at_least(of_opset(o.domain(), o.version())));
    model.graph.iter().for_each(|g| need.graph(g, true));
    for f in &model.functions {
        need.at_least(if f.overload().is_empty() && f.value_info.is_empty() { 8 } else { 10 });
        need.properties(&f.metadata_props);
        if !f.attribute_proto.is_empty() {
            need.at_least(9);
        }
        f.node.iter().for_each(|n| need.node(n));
        f.value_info.iter().for_each(|v| need.value(v));
    }
    if !model.training_info.is_empty() {
        need.at_least(7);
    }
    if !model.configuration.is_empty() {
        need.at_least(11);
    }
    // The visitor wants to change tensors; this one only looks.
    let _ = crate::visit::model(model, &mut |_, t| {
        need.at_least(of_element(t.data_type()));
        need.properties(&t.metadata_props);
        Ok(())
    });
    need.0
}

struct Need(u32);

impl Need {
    fn at_least(&mut self, version: u32) {
        self.0 = self.0.max(version);
    }

    /// Properties of anything but the model itself.
    fn properties(&mut self, props: &[StringStringEntryProto]) {
        if !props.is_empty() {
            self.at_least(10);
        }
    }

    fn graph(&mut self, g: &GraphProto, outermost: bool) {
        let inputs: HashSet<&str> = g.input.iter().map(ValueInfoProto::name).collect();
        if g.initializer.iter().any(|t| !outermost || !inputs.contains(t.name())) {
            self.at_least(4);
        }
        if !g.quantization_annotation.is_empty() {
            self.at_least(5);
        }
        if !g.sparse_initializer.is_empty() {
            self.at_least(6);
        }
        self.properties(&g.metadata_props);
        g.node.iter().for_each(|n| self.node(n));
        g.input.iter().chain(&g.output).chain(&g.value_info).for_each(|v| self.value(v));
    }

    fn node(&mut self, n: &NodeProto) {
        if !n.overload().is_empty() {
            self.at_least(10);
        }
        if !n.device_configurations.is_empty() {
            self.at_least(11);
        }
        self.properties(&n.metadata_props);
        n.attribute.iter().for_each(|a| self.attribute(a));
    }

    fn attribute(&mut self, a: &AttributeProto) {
        if a.sparse_tensor.is_some() || !a.sparse_tensors.is_empty() {
            self.at_least(6);
        }
        a.g.iter().chain(&a.graphs).for_each(|g| self.graph(g, false));
        a.tp.iter().chain(&a.type_protos).for_each(|t| self.ty(t));
    }

    fn value(&mut self, v: &ValueInfoProto) {
        self.properties(&v.metadata_props);
        v.r#type.iter().for_each(|t| self.ty(t));
    }

    fn ty(&mut self, t: &TypeProto) {
        match &t.value {
            Some(Value::TensorType(t)) => self.at_least(of_element(t.elem_type())),
            Some(Value::SparseTensorType(t)) => self.at_least(of_element(t.elem_type()).max(8)),
            Some(Value::OptionalType(o)) => {
                self.at_least(8);
                o.elem_type.iter().for_each(|t| self.ty(t));
            }
            Some(Value::SequenceType(s)) => s.elem_type.iter().for_each(|t| self.ty(t)),
            Some(Value::MapType(m)) => m.value_type.iter().for_each(|t| self.ty(t)),
            Some(Value::OpaqueType(_)) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{OperatorSetIdProto, TensorProto};

    fn model(opset: i64) -> ModelProto {
        let import = OperatorSetIdProto { domain: None, version: Some(opset) };
        ModelProto { opset_import: vec![import], graph: Some(GraphProto::default()), ..Default::default() }
    }

    #[test]
    fn follows_the_release_table() {
        for (opset, ir) in [(1, 3), (9, 4), (11, 6), (13, 7), (17, 8), (20, 9), (21, 10), (23, 11), (25, 13), (28, 14)] {
            assert_eq!(lowest(&mut model(opset)), ir, "opset {opset}");
        }
    }

    #[test]
    fn features_raise_it() {
        let with = |code: i32| {
            let mut m = model(8);
            m.graph.get_or_insert_default().initializer.push(TensorProto { data_type: Some(code), ..Default::default() });
            lowest(&mut m)
        };
        assert_eq!([with(1), with(17), with(22), with(23), with(24), with(25)], [4, 9, 10, 11, 12, 13]);
        let mut m = model(8);
        m.graph.get_or_insert_default().metadata_props.push(Default::default());
        assert_eq!(lowest(&mut m), 10);
        let mut m = model(8);
        m.metadata_props.push(Default::default());
        assert_eq!(lowest(&mut m), 3);
    }
}
