//! `ModelProto` → [`Model`].

use crate::attr;
use crate::codes;
use crate::external::ExternalFiles;
use crate::model::{About, GraphExtras, Model, NodeExtra, TensorExtra};
use crate::proto::{FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use crate::read::ReadOptions;
use crate::{ir_version, schemas, tensor, types, visit};
use lapidary_ir::{
    Attr, Attrs, Diagnostic, Diagnostics, Graph, Name, NodeId, NodeSpec, OpName, Region, Result, Severity, Symbols, Tensor, Type, Value, ValueId,
    nearest,
};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Subgraphs nest at most this deep.
const REGION_DEPTH_MAX: usize = 32;
/// After this many errors the rest would only repeat them.
const ERRORS_MAX: usize = 20;

/// Builds a model from its messages; tensors with external data are sliced out of `files`.
///
/// # Errors
/// Whatever makes the model no model: undefined, duplicate or cyclic values, tensors that do not fit, bad external data, a newer format.
pub fn model(mut proto: ModelProto, files: &mut ExternalFiles, options: &ReadOptions) -> Result<Model> {
    let mut notes = vec![];
    let ir = ir_version(&proto, &mut notes)?;
    let opsets = opsets(&proto, ir)?;
    // Functions and training information stay messages, but their weights must not stay in files that are about to be left behind.
    for function in &mut proto.functions {
        visit::function(function, &mut |_, t| embed(t, files))?;
    }
    for graph in proto.training_info.iter_mut().flat_map(|t| t.initialization.iter_mut().chain(&mut t.algorithm)) {
        visit::graph(graph, &mut |_, t| embed(t, files))?;
    }
    check_functions(&proto.functions, &mut notes)?;
    let Some(graph) = proto.graph.take() else { return Err(Diagnostic::error(codes::NO_GRAPH, "the model has no graph").into()) };
    let mut dim_names = BTreeSet::new();
    let mut symbols = Symbols::default();
    collect_dim_names(&graph, &mut |name| {
        symbols.reserve(name);
        if !name.is_empty() {
            dim_names.insert(Name::from(name));
        }
    });
    let functions = proto.functions.iter().map(|f| (domain(f.domain()), f.name(), f.overload())).collect();
    let mut importer = Importer {
        files,
        opsets: &opsets,
        functions,
        names: FxHashMap::default(),
        symbols,
        notes,
        errors: vec![],
        overloads: BTreeMap::new(),
        defaults: BTreeMap::new(),
        keep_defaults: options.keep_defaults && ir >= 4,
        ir,
    };
    let imported = importer.graph(graph, None, 0)?;
    if !importer.errors.is_empty() {
        return Err(Diagnostics(importer.errors));
    }
    let Importer { notes, overloads, defaults, .. } = importer;
    let (external, external_files) = (files.used(), files.names());
    let mut model = Model {
        graph: imported.graph,
        ir_version: ir,
        about: About {
            producer_name: proto.producer_name,
            producer_version: proto.producer_version,
            domain: proto.domain,
            model_version: proto.model_version,
            doc: proto.doc_string,
        },
        metadata: proto.metadata_props.into_iter().map(|p| (p.key.unwrap_or_default(), p.value.unwrap_or_default())).collect(),
        opsets,
        functions: proto.functions,
        training: proto.training_info,
        devices: proto.configuration,
        defaults,
        external,
        external_files,
        notes,
        overloads,
        dim_names,
        extras: imported.extras,
    };
    if options.lift {
        crate::lifted::lift(&mut model.graph, &mut model.extras)?;
    }
    Ok(model)
}

/// The default domain has two spellings.
pub(crate) fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

fn ir_version(proto: &ModelProto, notes: &mut Vec<Diagnostic>) -> Result<u32> {
    match proto.ir_version() {
        v @ 1..=14 => Ok(v as u32),
        v if v > i64::from(ir_version::NEWEST) => Err(Diagnostic::unsupported(
            codes::IR_VERSION,
            format!("the model has IR version {v}, newer than the newest known ({})", ir_version::NEWEST),
        )
        .help("export it with an older version of ONNX, or update this program")
        .into()),
        v => {
            notes.push(Diagnostic::warning(codes::IR_VERSION, format!("the model has IR version {v}; it is read as version 3")));
            Ok(3)
        }
    }
}

fn opsets(proto: &ModelProto, ir: u32) -> Result<BTreeMap<Name, u32>> {
    let bad = |message: String| Diagnostic::error(codes::OPSET, message);
    let mut out: BTreeMap<Name, u32> = BTreeMap::new();
    for import in &proto.opset_import {
        let name = domain(import.domain());
        let shown = if name.is_empty() { "ai.onnx" } else { name };
        let version = u32::try_from(import.version())
            .ok()
            .filter(|v| *v > 0 || !name.is_empty())
            .ok_or_else(|| bad(format!("the model imports version {} of operator set '{shown}', which cannot be", import.version())))?;
        if let Some(newest) = schemas::newest_opset(name)
            && version > newest
        {
            let message = format!("the model uses version {version} of operator set '{shown}', newer than the newest known ({newest})");
            return Err(Diagnostic::unsupported(codes::OPSET, message).help("export it with an older opset, or update this program").into());
        }
        if out.insert(name.into(), version).is_some_and(|other| other != version) {
            return Err(bad(format!("the model imports two versions of operator set '{shown}'")).into());
        }
    }
    if out.is_empty() {
        if ir >= 3 {
            return Err(bad("the model imports no operator set".into()).help("the exporter must write opset_import; export the model again").into());
        }
        // Before IR version 3 there was one operator set.
        out.insert("".into(), 1);
    }
    Ok(out)
}

fn check_functions(functions: &[FunctionProto], notes: &mut Vec<Diagnostic>) -> Result<()> {
    let mut seen = FxHashSet::default();
    for f in functions {
        let key = (domain(f.domain()), f.name(), f.overload());
        if f.name().is_empty() {
            return Err(Diagnostic::error(codes::FUNCTION, "a function has no name").into());
        }
        if !seen.insert(key) {
            return Err(Diagnostic::error(codes::FUNCTION, format!("the model has two functions '{}'", f.name())).into());
        }
        if schemas::newest_version(key.0, f.name()) > 0 {
            let message = format!("function '{}' has the name of an operator of ONNX; calls of it are taken for the operator", f.name());
            notes.push(Diagnostic::warning(codes::FUNCTION, message));
        }
    }
    Ok(())
}

/// Fetches external data into the message itself (a slice of the file's map).
fn embed(t: &mut TensorProto, files: &mut ExternalFiles) -> Result<()> {
    if t.data_location() == crate::proto::tensor_proto::DataLocation::External {
        let data = tensor::decode(t, files)?;
        t.raw_data = Some(data.bytes().clone());
        t.external_data.clear();
        t.data_location = None;
    }
    Ok(())
}

fn collect_dim_names(graph: &GraphProto, visit: &mut dyn FnMut(&str)) {
    for info in graph.input.iter().chain(&graph.output).chain(&graph.value_info) {
        info.r#type.iter().for_each(|t| types::dim_names(t, visit));
    }
    for attribute in graph.node.iter().flat_map(|n| &n.attribute) {
        attribute.tp.iter().chain(&attribute.type_protos).for_each(|t| types::dim_names(t, visit));
        attribute.g.iter().chain(&attribute.graphs).for_each(|g| collect_dim_names(g, visit));
    }
}

/// The names that a subgraph may capture.
struct Scope<'a> {
    values: &'a FxHashMap<Name, ValueId>,
    outer: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    fn contains(&self, name: &str) -> bool {
        self.values.contains_key(name) || self.outer.is_some_and(|o| o.contains(name))
    }
}

struct Importer<'a> {
    files: &'a mut ExternalFiles,
    opsets: &'a BTreeMap<Name, u32>,
    functions: FxHashSet<(&'a str, &'a str, &'a str)>,
    /// Operators met so far, so that equal names share memory.
    names: FxHashMap<(String, String, String), OpName>,
    symbols: Symbols,
    notes: Vec<Diagnostic>,
    errors: Vec<Diagnostic>,
    overloads: BTreeMap<(Name, Name), (String, String)>,
    defaults: BTreeMap<Name, Arc<Tensor>>,
    keep_defaults: bool,
    ir: u32,
}

struct Imported {
    graph: Graph,
    extras: GraphExtras,
    /// Outer values, in the order of the graph inputs after the formal ones.
    captures: Vec<Name>,
}

/// A graph in the making.
struct Building<'a> {
    graph: Graph,
    extras: GraphExtras,
    values: FxHashMap<Name, ValueId>,
    captures: Vec<Name>,
    outer: Option<&'a Scope<'a>>,
}

impl Building<'_> {
    /// The value of this name, captured from outside if need be.
    fn resolve(&mut self, name: &str) -> Option<ValueId> {
        if let Some(id) = self.values.get(name) {
            return Some(*id);
        }
        if !self.outer.is_some_and(|o| o.contains(name)) {
            return None;
        }
        let name = Name::from(name);
        let id = self.graph.add_input(name.clone(), Type::Unknown);
        // It was there before all nodes: found late, it must not put off those that use it.
        self.graph.node_mut(id.node).position = 0;
        self.values.insert(name.clone(), id);
        self.captures.push(name);
        Some(id)
    }

    fn suggestion(&self, name: &str) -> Option<String> {
        // Sorted, since hash order would change the message from run to run.
        let mut names: Vec<&str> = self.values.keys().map(|n| &**n).collect();
        names.sort_unstable();
        nearest(name, names).map(|n| format!("did you mean '{n}'?"))
    }
}

/// A node whose operands wait until every value of its graph has a producer.
struct Pending {
    id: NodeId,
    inputs: Vec<String>,
    regions: Vec<(Name, GraphProto)>,
}

impl Importer<'_> {
    fn graph(&mut self, mut proto: GraphProto, outer: Option<&Scope<'_>>, depth: usize) -> Result<Imported> {
        if depth > REGION_DEPTH_MAX {
            return Err(Diagnostic::error(codes::TOO_DEEP, format!("subgraphs are nested more than {REGION_DEPTH_MAX} deep")).into());
        }
        let mut b =
            Building { graph: Graph::new(proto.name()), extras: GraphExtras::default(), values: FxHashMap::default(), captures: vec![], outer };
        b.extras.doc = proto.doc_string.take();
        b.extras.metadata = std::mem::take(&mut proto.metadata_props);
        b.extras.annotations = std::mem::take(&mut proto.quantization_annotation);
        let mut declared: FxHashMap<String, Type> = FxHashMap::default();
        let mut infos = vec![];
        for info in std::mem::take(&mut proto.value_info) {
            let name = info.name().to_owned();
            let ty = self.info(info, &mut b.extras)?;
            infos.push(name.clone());
            declared.insert(name, ty);
        }
        let outputs: Vec<String> = proto.output.iter().map(|o| o.name().to_owned()).collect();
        for info in std::mem::take(&mut proto.output) {
            let name = info.name().to_owned();
            let ty = self.port(info, &mut b.extras)?;
            if ty != Type::Unknown {
                declared.insert(name, ty);
            }
        }
        self.inputs_and_initializers(&mut proto, &mut b, depth)?;
        let mut pending = vec![];
        for node in std::mem::take(&mut proto.node) {
            pending.push(self.node(node, &mut b, &declared)?);
        }
        for p in pending {
            self.operands(p, &mut b, depth)?;
        }
        for name in &outputs {
            match b.resolve(name) {
                Some(id) => {
                    if *b.graph.ty(id) == Type::Unknown
                        && let Some(ty) = declared.remove(name)
                    {
                        b.graph.value_mut(id).ty = ty;
                    }
                    b.graph.add_output(id);
                }
                None => {
                    let d = Diagnostic::error(codes::UNDEFINED_VALUE, format!("nothing produces the graph output '{name}'")).value(name.as_str());
                    self.error(with_help(d, b.suggestion(name)))?;
                }
            }
        }
        let stale: Vec<String> = infos.iter().filter(|n| !b.values.contains_key(n.as_str())).map(|n| format!("'{n}'")).collect();
        if let Some(first) = stale.first() {
            let message = format!("the file declares types of {} values that it does not have, such as {first}; they were dropped", stale.len());
            self.notes.push(Diagnostic { severity: Severity::Note, ..Diagnostic::warning(codes::STALE, message) });
        }
        b.extras.declared = infos.into_iter().filter(|n| b.values.contains_key(n.as_str())).map(Name::from).collect();
        b.graph.symbols = self.symbols.clone();
        if self.errors.is_empty() {
            b.graph.topological()?;
        }
        Ok(Imported { graph: b.graph, extras: b.extras, captures: b.captures })
    }

    /// Notes an error; fails when there are too many to go on.
    fn error(&mut self, d: Diagnostic) -> Result<()> {
        self.errors.push(d);
        if self.errors.len() >= ERRORS_MAX { Err(Diagnostics(std::mem::take(&mut self.errors))) } else { Ok(()) }
    }

    /// The declared type; what else the declaration says goes to the extras.
    fn info(&mut self, info: ValueInfoProto, extras: &mut GraphExtras) -> Result<Type> {
        let decode = |t| types::decode(t, &mut self.symbols).map_err(|e| about_value(e, info.name()));
        let ty = info.r#type.as_ref().map_or(Ok(Type::Unknown), decode)?;
        if info.doc_string.is_some() || !info.metadata_props.is_empty() || info.r#type.as_ref().is_some_and(types::has_more) {
            extras.values.insert(info.name().into(), info);
        }
        Ok(ty)
    }

    /// As [`Importer::info`], of an input or output.
    fn port(&mut self, info: ValueInfoProto, extras: &mut GraphExtras) -> Result<Type> {
        if let Some(t) = &info.r#type {
            extras.ports.insert(info.name().into(), t.clone());
        }
        self.info(info, extras)
    }

    fn define(&mut self, b: &mut Building<'_>, name: Name, id: ValueId) -> Result<()> {
        if b.values.insert(name.clone(), id).is_some() {
            let d = Diagnostic::error(codes::DUPLICATE_VALUE, format!("two values have the name '{name}'"))
                .value(&*name)
                .help("every value of a graph needs a name of its own; check the tool that wrote the file");
            self.error(d)?;
        }
        Ok(())
    }

    fn inputs_and_initializers(&mut self, proto: &mut GraphProto, b: &mut Building<'_>, depth: usize) -> Result<()> {
        let initialized: FxHashSet<String> = proto.initializer.iter().map(|t| t.name().to_owned()).collect();
        let mut defaults: FxHashSet<Name> = FxHashSet::default();
        let mut made_constant = vec![];
        for info in std::mem::take(&mut proto.input) {
            let name = Name::from(info.name());
            if name.is_empty() {
                return Err(Diagnostic::error(codes::UNDEFINED_VALUE, "a graph input has no name").into());
            }
            if initialized.contains(&*name) {
                // The operator that owns a body always feeds its inputs; before IR version 4 initializers had to be listed.
                let formal = depth > 0 && self.ir >= 4;
                let kept = depth == 0 && self.keep_defaults;
                if !formal && !kept {
                    made_constant.push(name);
                    continue;
                }
                defaults.insert(name.clone());
            }
            let ty = self.port(info, &mut b.extras)?;
            let id = b.graph.add_input(name.clone(), ty);
            self.define(b, name, id)?;
        }
        if let Some(first) = made_constant.first()
            && self.ir >= 4
        {
            let message = format!("{} graph inputs with an initial value, such as '{first}', are taken as constants", made_constant.len());
            self.notes.push(Diagnostic { severity: Severity::Note, ..Diagnostic::warning(codes::DEFAULTS, message) });
        }
        for t in std::mem::take(&mut proto.initializer) {
            let name = Name::from(t.name());
            let tensor = Arc::new(tensor::decode(&t, self.files)?);
            if defaults.contains(&name) {
                if depth == 0 {
                    self.defaults.insert(name, tensor);
                }
                continue;
            }
            if name.is_empty() {
                return Err(Diagnostic::error(codes::UNDEFINED_VALUE, "an initializer has no name").into());
            }
            if let Some(extra) = tensor_extra(t, false) {
                b.extras.tensors.insert(name.clone(), extra);
            }
            b.extras.initializers.insert(name.clone());
            let id = b.graph.add_const(name.clone(), tensor);
            self.define(b, name, id)?;
        }
        for s in std::mem::take(&mut proto.sparse_initializer) {
            let (values, indices, dims) = tensor::decode_sparse(&s, self.files)?;
            let name = Name::from(s.values.as_ref().map_or("", |v| v.name()));
            let sizes = dims.iter().map(|d| lapidary_ir::Dim::from(*d));
            let value = Value::new(name.clone(), Type::tensor(values.dtype(), sizes));
            let spec = NodeSpec::new(OpName::onnx("Constant", self.version("", "Constant")), [], vec![value]);
            let id = b.graph.add(spec.attrs(Attrs::new().with("sparse_value", Attr::Sparse(values, indices, dims)))).out(0);
            b.extras.sparse.insert(name.clone());
            if let Some(extra) = s.values.and_then(|t| tensor_extra(t, false)) {
                b.extras.tensors.insert(name.clone(), extra);
            }
            self.define(b, name, id)?;
        }
        Ok(())
    }

    /// The version of an operator's form in this model; 0 for what ONNX does not define.
    fn version(&self, domain: &str, name: &str) -> u32 {
        let opset = self.opsets.get(domain).copied().unwrap_or(1);
        match schemas::since_version(domain, name, opset) {
            None => 0,
            Some(Ok(version)) => version,
            Some(Err(_)) => opset,
        }
    }

    fn op(&mut self, node: &NodeProto) -> OpName {
        let key = (domain(node.domain()).to_owned(), node.op_type().to_owned(), node.overload().to_owned());
        if let Some(op) = self.names.get(&key) {
            return op.clone();
        }
        let (domain, name, overload) = (key.0.as_str(), key.1.as_str(), key.2.as_str());
        let function = self.functions.contains(&(domain, name, overload));
        let version = if function { 0 } else { self.version(domain, name) };
        let opset = self.opsets.get(domain).copied();
        if opset.is_none() {
            let shown = if domain.is_empty() { "ai.onnx" } else { domain };
            self.notes.push(Diagnostic::warning(codes::OPSET, format!("'{name}' is of operator set '{shown}', which the model does not import")));
        } else if !function && let Some(Err(reason)) = schemas::since_version(domain, name, opset.unwrap_or(1)) {
            self.notes.push(Diagnostic::warning(codes::OPSET, reason));
        }
        let op = if overload.is_empty() {
            OpName::new(domain, name, version)
        } else {
            let op = OpName::new(domain, &format!("{name}:{overload}"), version);
            self.overloads.insert((op.domain.clone(), op.name.clone()), (name.to_owned(), overload.to_owned()));
            op
        };
        self.names.insert(key, op.clone());
        op
    }

    fn node(&mut self, mut node: NodeProto, b: &mut Building<'_>, declared: &FxHashMap<String, Type>) -> Result<Pending> {
        let attributes = std::mem::take(&mut node.attribute);
        let mut extra = NodeExtra { devices: std::mem::take(&mut node.device_configurations), ..NodeExtra::default() };
        let label = node.output.iter().find(|o| !o.is_empty()).cloned();
        let place = |mut d: Diagnostic| {
            d.place.op = Some(node.op_type().to_owned());
            d.place.node = Some(if node.name().is_empty() { label.clone().unwrap_or_default() } else { node.name().to_owned() });
            d
        };
        if node.op_type().is_empty() {
            return Err(place(Diagnostic::error(codes::CORRUPT, "a node names no operator")).into());
        }
        if node.input.len() > usize::from(u16::MAX) || node.output.len() > usize::from(u16::MAX) {
            return Err(place(Diagnostic::unsupported(codes::CORRUPT, "a node has more than 65535 operands or results")).into());
        }
        let decoded = attr::decode_all(attributes, self.files, &mut self.symbols, &mut extra);
        let (mut attrs, regions) = decoded.map_err(|e| Diagnostics(e.0.into_iter().map(place).collect()))?;
        let op = self.op(&node);
        if op.is("Constant") {
            attr::constant_to_value(&mut attrs);
        }
        let outputs: Vec<Value> = node
            .output
            .iter()
            .map(|name| Value::new(name.as_str(), declared.get(name).filter(|_| !name.is_empty()).cloned().unwrap_or(Type::Unknown)))
            .collect();
        let id = b.graph.add(NodeSpec::new(op, [], outputs).attrs(attrs).name(node.name()));
        let made = b.graph.node_mut(id);
        made.doc = node.doc_string().into();
        made.metadata = node.metadata_props.iter().map(|p| (p.key().into(), p.value().into())).collect();
        for (i, name) in node.output.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
            self.define(b, name.as_str().into(), id.out(i))?;
        }
        if let (Some(label), false) = (label, extra.is_empty()) {
            b.extras.nodes.insert(label.into(), extra);
        }
        Ok(Pending { id, inputs: node.input, regions })
    }

    /// Connects a node, and reads its subgraphs, whose captures become further operands.
    fn operands(&mut self, p: Pending, b: &mut Building<'_>, depth: usize) -> Result<()> {
        let mut slots = vec![];
        for name in &p.inputs {
            let id = if name.is_empty() { None } else { b.resolve(name) };
            if id.is_none() && !name.is_empty() {
                let d = Diagnostic::error(codes::UNDEFINED_VALUE, format!("nothing produces the operand '{name}'"));
                let d = d.at(b.graph.node(p.id)).value(name.as_str());
                self.error(with_help(d, b.suggestion(name)))?;
            }
            slots.push(id);
        }
        while slots.last() == Some(&None) {
            slots.pop();
        }
        let key = b.graph.node(p.id).outputs().iter().map(|v| v.name.clone()).find(|n| !n.is_empty()).unwrap_or_default();
        let mut captured: FxHashMap<Name, u32> = FxHashMap::default();
        for (name, proto) in p.regions {
            let mut inner = self.graph(proto, Some(&Scope { values: &b.values, outer: b.outer }), depth + 1)?;
            let formal = inner.graph.inputs().len().saturating_sub(inner.captures.len());
            let added: Vec<ValueId> = inner.graph.inputs().iter().skip(formal).copied().collect();
            let mut captures = vec![];
            for (outer, input) in inner.captures.into_iter().zip(added) {
                // The scope held the name, so this graph or one around it resolves it.
                let Some(id) = b.resolve(&outer) else { continue };
                inner.graph.value_mut(input).ty = b.graph.ty(id).clone();
                let slot = *captured.entry(outer).or_insert_with(|| {
                    slots.push(Some(id));
                    slots.len() as u32 - 1
                });
                captures.push(slot);
            }
            b.extras.regions.insert((key.clone(), name.clone()), inner.extras);
            b.graph.node_mut(p.id).regions.push(Region { name, graph: inner.graph, captures });
        }
        if slots.len() > usize::from(u16::MAX) {
            let d = Diagnostic::unsupported(codes::CORRUPT, "the subgraphs of a node capture more than 65535 values");
            return Err(d.at(b.graph.node(p.id)).into());
        }
        b.graph.set_inputs(p.id, slots);
        Ok(())
    }
}

fn with_help(d: Diagnostic, help: Option<String>) -> Diagnostic {
    match help {
        Some(help) => d.help(help),
        None => d.help("the file is damaged, or the tool that wrote it lost a node"),
    }
}

fn about_value(mut e: Diagnostics, name: &str) -> Diagnostics {
    for d in &mut e.0 {
        d.place.value.get_or_insert_with(|| name.to_owned());
    }
    e
}

/// What a tensor carries besides elements; its name only where nothing else keeps it.
pub(crate) fn tensor_extra(t: TensorProto, with_name: bool) -> Option<TensorExtra> {
    let extra =
        TensorExtra { name: t.name.filter(|n| with_name && !n.is_empty()), doc: t.doc_string.filter(|d| !d.is_empty()), metadata: t.metadata_props };
    (extra != TensorExtra::default()).then_some(extra)
}
