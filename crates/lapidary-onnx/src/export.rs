//! [`Model`] → `ModelProto`: no weight is copied, every tensor's bytes are shared with the message.

use crate::codes;
use crate::ir_version;
use crate::model::{GraphExtras, Model};
use crate::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, ValueInfoProto};
use crate::write::{ValueInfo, WriteOptions};
use crate::{attr, lifted, opset, tensor, types};
use lapidary_ir::{Attr, Diagnostic, Diagnostics, Graph, Name, Node, NodeId, Result, Type, ValueId};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;

/// Builds the messages of a model, at the opset that it came with unless `options` says otherwise, and with the lowest IR version that
/// holds it.
///
/// # Errors
/// Operators that have no form at the opset, each with its reason.
pub fn model(model: &Model, options: &WriteOptions) -> Result<ModelProto> {
    let mut opsets = model.opsets.clone();
    if let Some(target) = options.target_opset {
        opsets.insert("".into(), target);
    }
    let mut graph = model.graph.clone();
    lifted::restore(&mut graph, &model.extras, &opsets);
    opset::lower_to(&mut graph, &opsets, &model.opsets)?;
    let mut exporter = Exporter { model, policy: options.value_info, domains: BTreeMap::new() };
    let mut out = exporter.graph(&graph, &model.extras, &[])?;
    exporter.defaults(&mut out);
    for (domain, version) in exporter.domains {
        opsets.entry(domain).or_insert(version.max(1));
    }
    let about = &model.about;
    let mut proto = ModelProto {
        ir_version: None,
        opset_import: opsets.iter().map(|(d, v)| OperatorSetIdProto { domain: Some(d.to_string()), version: Some(i64::from(*v)) }).collect(),
        producer_name: about.producer_name.clone(),
        producer_version: about.producer_version.clone(),
        domain: about.domain.clone(),
        model_version: about.model_version,
        doc_string: about.doc.clone(),
        graph: Some(out),
        metadata_props: model.metadata.iter().map(|(k, v)| property(k, v)).collect(),
        training_info: model.training.clone(),
        functions: model.functions.clone(),
        configuration: model.devices.clone(),
    };
    proto.ir_version = Some(i64::from(ir_version::lowest(&mut proto)));
    Ok(proto)
}

fn property(key: &str, value: &str) -> StringStringEntryProto {
    StringStringEntryProto { key: Some(key.to_owned()), value: Some(value.to_owned()) }
}

struct Exporter<'a> {
    model: &'a Model,
    policy: ValueInfo,
    /// Domains in use, with the highest version of their operators.
    domains: BTreeMap<Name, u32>,
}

/// Names of the values of one graph as they are written.
type Names = FxHashMap<ValueId, Name>;

impl Exporter<'_> {
    fn graph(&mut self, g: &Graph, extras: &GraphExtras, captured: &[Name]) -> Result<GraphProto> {
        let order = g.topological()?;
        let names = names(g, &order, captured);
        let formal = g.inputs().len().saturating_sub(captured.len());
        let name = |v: &ValueId| names.get(v).cloned().unwrap_or_default();
        let mut out = GraphProto {
            name: Some(g.name.to_string()),
            doc_string: extras.doc.clone(),
            metadata_props: extras.metadata.clone(),
            ..GraphProto::default()
        };
        out.input = g.inputs().iter().take(formal).map(|v| self.port(&name(v), g.ty(*v), extras)).collect();
        out.output = g.outputs().iter().map(|v| self.port(&name(v), g.ty(*v), extras)).collect();
        for id in &order {
            let node = g.node(*id);
            let unused = (0..node.outputs().len()).all(|i| g.use_count(id.out(i)) == 0);
            if node.is_input() || (unused && lifted::key_is_made(g, *id, extras)) {
                continue;
            }
            if node.is_const() {
                self.initializer(g, *id, &name(&id.out(0)), extras, &mut out);
            } else if node.op.is("Constant")
                && let Some(Attr::Sparse(values, indices, dims)) = node.attrs.get("sparse_value")
                && node.outputs().first().is_some_and(|v| extras.sparse.contains(&v.name))
            {
                let value = name(&id.out(0));
                let mut sparse = tensor::encode_sparse(&(values.clone(), indices.clone(), dims.clone()), &value);
                if let (Some(kept), Some(t)) = (extras.tensors.get(&value), &mut sparse.values) {
                    attr::restore(t, kept);
                }
                out.sparse_initializer.push(sparse);
            } else {
                let made = self.node(node, &names, *id, extras)?;
                out.node.push(made);
            }
        }
        self.value_info(g, &order, &names, extras, &mut out);
        let known: FxHashSet<&str> = names.values().map(|n| &**n).collect();
        out.quantization_annotation = extras.annotations.iter().filter(|a| known.contains(a.tensor_name())).cloned().collect();
        Ok(out)
    }

    fn initializer(&self, g: &Graph, id: NodeId, name: &Name, extras: &GraphExtras, out: &mut GraphProto) {
        let Some(tensor) = g.node(id).attrs.tensor("value") else { return };
        // A constant that the file did not have and nothing uses is a leftover of some pass.
        if g.use_count(id.out(0)) == 0 && !extras.initializers.contains(name) {
            return;
        }
        let mut t = tensor::encode(tensor, name);
        if let Some(kept) = extras.tensors.get(name) {
            attr::restore(&mut t, kept);
        }
        out.initializer.push(t);
    }

    /// Initial values of inputs that may be left out.
    fn defaults(&self, out: &mut GraphProto) {
        for (name, value) in &self.model.defaults {
            if out.input.iter().any(|i| i.name() == &**name) {
                out.initializer.push(tensor::encode(value, name));
            }
        }
    }

    fn value_info(&self, g: &Graph, order: &[NodeId], names: &Names, extras: &GraphExtras, out: &mut GraphProto) {
        if self.policy == ValueInfo::None {
            return;
        }
        let inputs: FxHashSet<ValueId> = g.inputs().iter().copied().collect();
        let outputs: FxHashSet<ValueId> = g.outputs().iter().copied().collect();
        for id in order {
            for i in 0..g.node(*id).outputs().len() {
                let v = id.out(i);
                let Some(name) = names.get(&v).filter(|n| !n.is_empty()) else { continue };
                let declared = extras.declared.contains(name);
                let wanted = match self.policy {
                    ValueInfo::All => declared || (!g.node(*id).is_const() && !inputs.contains(&v) && !outputs.contains(&v)),
                    _ => declared,
                };
                if wanted && (*g.ty(v) != Type::Unknown || extras.values.contains_key(name)) {
                    out.value_info.push(self.info(name, g.ty(v), extras));
                }
            }
        }
    }

    /// The declaration of an input or output, in the words of the file where nothing sharper is known.
    fn port(&self, name: &Name, ty: &Type, extras: &GraphExtras) -> ValueInfoProto {
        let mut out = self.info(name, ty, extras);
        if let (Some(old), Some(new)) = (extras.ports.get(name), &mut out.r#type) {
            types::keep_declared(old, new);
        }
        out
    }

    fn info(&self, name: &Name, ty: &Type, extras: &GraphExtras) -> ValueInfoProto {
        let mut out = ValueInfoProto { name: Some(name.to_string()), r#type: self.ty(ty), ..ValueInfoProto::default() };
        if let Some(kept) = extras.values.get(name) {
            out.doc_string.clone_from(&kept.doc_string);
            out.metadata_props.clone_from(&kept.metadata_props);
            match (&kept.r#type, &mut out.r#type) {
                (Some(old), Some(new)) => types::keep_denotations(old, new),
                (old, new @ None) => new.clone_from(old),
                _ => {}
            }
        }
        out
    }

    fn ty(&self, ty: &Type) -> Option<crate::proto::TypeProto> {
        types::encode(ty, &|symbol| self.model.dim_names.contains(symbol))
    }

    fn node(&mut self, node: &Node, names: &Names, id: NodeId, extras: &GraphExtras) -> Result<NodeProto> {
        if &*node.op.domain == lapidary_ir::CORE_DOMAIN {
            return Err(Diagnostic::error(codes::NO_FORM, format!("'{}' is no operator of ONNX", node.op)).at(node).into());
        }
        let highest = self.domains.entry(node.op.domain.clone()).or_insert(0);
        *highest = node.op.version.max(*highest);
        let name = |v: ValueId| names.get(&v).map_or_else(String::new, |n| n.to_string());
        let own = node.regions.iter().flat_map(|r| &r.captures).min().map_or(node.inputs().len(), |slot| *slot as usize);
        let mut input: Vec<String> = node.inputs().iter().take(own).map(|v| v.map_or_else(String::new, name)).collect();
        while input.last().is_some_and(String::is_empty) {
            input.pop();
        }
        let mut output: Vec<String> = (0..node.outputs().len()).map(|i| name(id.out(i))).collect();
        while output.last().is_some_and(String::is_empty) {
            output.pop();
        }
        let key = node.outputs().iter().map(|v| v.name.clone()).find(|n| !n.is_empty()).unwrap_or_default();
        let extra = extras.nodes.get(&key);
        let (op_type, overload) = match self.model.overloads.get(&(node.op.domain.clone(), node.op.name.clone())) {
            Some((name, overload)) => (name.clone(), Some(overload.clone())),
            None => (node.op.name.to_string(), None),
        };
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(NodeProto {
            input,
            output,
            name: some(&node.name),
            op_type: Some(op_type),
            domain: some(&node.op.domain),
            overload,
            attribute: self.attributes(node, names, &key, extras)?,
            doc_string: some(&node.doc),
            metadata_props: node.metadata.iter().map(|(k, v)| property(k, v)).collect(),
            device_configurations: extra.map_or_else(Vec::new, |e| e.devices.clone()),
        })
    }

    /// Attributes and subgraphs, sorted by name.
    fn attributes(&mut self, node: &Node, names: &Names, key: &Name, extras: &GraphExtras) -> Result<Vec<AttributeProto>> {
        let extra = extras.nodes.get(key);
        let named = |symbol: &str| self.model.dim_names.contains(symbol);
        let mut out: Vec<_> = node.attrs.iter().map(|(name, value)| attr::encode(name, value, extra, &named)).collect();
        let none = GraphExtras::default();
        let mut graphs = vec![];
        for region in &node.regions {
            let mut outer: Vec<Name> = vec![];
            for slot in &region.captures {
                let value = node.input(*slot as usize).and_then(|v| names.get(&v));
                let missing = || {
                    let d = Diagnostic::error(codes::UNDEFINED_VALUE, format!("subgraph '{}' captures an operand that is not there", region.name));
                    Diagnostics::from(d.at(node))
                };
                outer.push(value.cloned().ok_or_else(missing)?);
            }
            let inner = extras.regions.get(&(key.clone(), region.name.clone())).unwrap_or(&none);
            graphs.push((region.name.clone(), self.graph(&region.graph, inner, &outer)?));
        }
        for mut a in attr::encode_graphs(graphs) {
            a.doc_string = extra.and_then(|e| e.attr_docs.get(a.name())).cloned();
            out.push(a);
        }
        out.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(out)
    }
}

/// The written names of a graph's values: their own, but for captured ones, which have their outer names, and for those that would
/// hide a captured name or have none although something uses them.
fn names(g: &Graph, order: &[NodeId], captured: &[Name]) -> Names {
    let formal = g.inputs().len().saturating_sub(captured.len());
    let mut out = Names::default();
    let mut taken: FxHashSet<Name> = captured.iter().cloned().collect();
    let hidden = taken.clone();
    for (v, name) in g.inputs().iter().skip(formal).zip(captured) {
        out.insert(*v, name.clone());
    }
    let mut renamed = vec![];
    for id in order {
        for (i, value) in g.node(*id).outputs().iter().enumerate() {
            let v = id.out(i);
            if out.contains_key(&v) {
                continue;
            }
            if hidden.contains(&value.name) || (value.name.is_empty() && g.use_count(v) > 0) {
                renamed.push(v);
            } else {
                taken.insert(value.name.clone());
                out.insert(v, value.name.clone());
            }
        }
    }
    for v in renamed {
        let hint = match &*g.value(v).name {
            "" => "value",
            name => name,
        };
        let fresh = (1u64..).map(|i| Name::from(format!("{hint}_{i}"))).find(|n| !taken.contains(n)).unwrap_or_default();
        taken.insert(fresh.clone());
        out.insert(v, fresh);
    }
    out
}
