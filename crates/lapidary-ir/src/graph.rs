//! The graph over petgraph. Operands live in the node (the truth about their order); edges mirror them through one setter,
//! [`Graph::set_input`], so that a value's outgoing edges *are* its uses.

use crate::{Attr, Attrs, CORE_DOMAIN, DType, Dim, Name, Result, Tensor, TensorType, Type};
use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::EdgeRef;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A graph of operators and named values, with inputs and outputs.
///
/// Every value has a producer node: graph inputs are `core.input` nodes, constants `core.const` nodes.
#[derive(Clone, Default)]
pub struct Graph {
    pub name: Name,
    dag: StableDiGraph<Node, Use>,
    inputs: Vec<ValueId>,
    outputs: Vec<ValueId>,
    /// Named sizes; a region's graph holds the same names as the graph around it.
    pub symbols: Symbols,
    next_position: u64,
}

/// An operator applied to values.
#[derive(Clone, Debug)]
pub struct Node {
    pub op: OpName,
    /// The node's own name in the file; may be empty.
    pub name: Name,
    pub attrs: Attrs,
    inputs: SmallVec<[Option<ValueId>; 4]>,
    outputs: SmallVec<[Value; 1]>,
    /// Bodies of If, Loop, Scan and the like.
    pub regions: Vec<Region>,
    /// Where the node comes from: for diagnostics and the ledger.
    pub origin: Origin,
    /// Free-form properties of the file's node, kept through the round trip, sorted by key.
    pub metadata: BTreeMap<Name, Name>,
    pub doc: Name,
    /// Nodes are visited in this order as far as dependencies allow. A replacement takes the position of what it replaces.
    pub position: u64,
}

/// A subgraph that a node owns. Its graph inputs are the formal parameters first, then one per captured outer value.
#[derive(Clone, Debug)]
pub struct Region {
    /// The attribute that held the subgraph, such as `then_branch`.
    pub name: Name,
    pub graph: Graph,
    /// For each graph input beyond the formal parameters: the slot among the node's inputs that feeds it.
    pub captures: Vec<u32>,
}

/// Domain, name and since-version. The domain of ONNX's default operators is the empty string.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpName {
    pub domain: Name,
    pub name: Name,
    /// The opset version since which this form of the operator exists; 0 where nothing is known of the operator.
    pub version: u32,
}

/// What made a node.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Origin {
    /// It stood in the file as it is.
    #[default]
    Source,
    /// A rule or pass built it from nodes with these labels.
    Rule { rule: Name, from: Vec<Name> },
}

/// A produced value: its name, unique in its graph, and its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    pub name: Name,
    pub ty: Type,
}

/// Which output of which node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId {
    pub node: NodeId,
    pub output: u16,
}

/// The index of a node. Indices of removed nodes are reused after [`Graph::sweep`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(NodeIndex<u32>);

impl std::fmt::Debug for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "n{}", self.0.index())
    }
}

/// An edge: which output of the producer feeds which operand slot of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    pub output: u16,
    pub slot: u16,
}

/// The named sizes of a graph, and a source of fresh names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Symbols {
    /// Known bounds of a symbol (inclusive): `(at least, at most)`. Symbols without an entry are ≥ 0.
    pub bounds: BTreeMap<Name, (i64, Option<i64>)>,
    fresh: u64,
}

impl Symbols {
    /// A symbol that nothing else uses, for a size that only the run will tell.
    pub fn fresh(&mut self) -> Dim {
        self.fresh += 1;
        Dim::symbol(format!("_d{}", self.fresh - 1))
    }
    /// Makes sure that later fresh names differ from `name`.
    pub fn reserve(&mut self, name: &str) {
        if let Some(n) = name.strip_prefix("_d").and_then(|n| n.parse::<u64>().ok()) {
            self.fresh = self.fresh.max(n.saturating_add(1));
        }
    }
}

impl OpName {
    /// An operator of ONNX's default domain.
    pub fn onnx(name: &str, version: u32) -> OpName {
        OpName::new("", name, version)
    }
    pub fn new(domain: &str, name: &str, version: u32) -> OpName {
        OpName { domain: domain.into(), name: name.into(), version }
    }
    /// Whether this is the ONNX operator `name` of the default domain, in any version.
    pub fn is(&self, name: &str) -> bool {
        &*self.name == name && self.domain.is_empty()
    }
    /// Whether this is the IR's own `input` or `const`.
    pub fn is_core(&self, name: &str) -> bool {
        &*self.name == name && &*self.domain == CORE_DOMAIN
    }
}

impl std::fmt::Display for OpName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.domain.is_empty() && &*self.domain != CORE_DOMAIN {
            write!(f, "{}.", self.domain)?;
        }
        f.write_str(&self.name)
    }
}
impl std::fmt::Debug for OpName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}-{}", self.domain, self.name, self.version)
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "graph @{} ({} nodes)", self.name, self.node_count())
    }
}

/// What [`Graph::add`] needs to make a node.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    pub op: OpName,
    pub name: Name,
    pub inputs: Vec<Option<ValueId>>,
    pub attrs: Attrs,
    pub outputs: Vec<Value>,
    pub origin: Origin,
    /// The place in the visiting order; the end when `None`.
    pub position: Option<u64>,
}

impl NodeSpec {
    pub fn new(op: OpName, inputs: impl IntoIterator<Item = ValueId>, outputs: Vec<Value>) -> NodeSpec {
        let inputs = inputs.into_iter().map(Some).collect();
        NodeSpec { op, name: "".into(), inputs, attrs: Attrs::new(), outputs, origin: Origin::Source, position: None }
    }
    pub fn attrs(mut self, attrs: Attrs) -> NodeSpec {
        self.attrs = attrs;
        self
    }
    pub fn name(mut self, name: impl Into<Name>) -> NodeSpec {
        self.name = name.into();
        self
    }
}

impl Value {
    pub fn new(name: impl Into<Name>, ty: impl Into<Type>) -> Value {
        Value { name: name.into(), ty: ty.into() }
    }
}

impl Node {
    /// Operands in order; `None` is an omitted optional input.
    pub fn inputs(&self) -> &[Option<ValueId>] {
        &self.inputs
    }
    /// The operand in this slot, if given.
    pub fn input(&self, slot: usize) -> Option<ValueId> {
        self.inputs.get(slot).copied().flatten()
    }
    pub fn outputs(&self) -> &[Value] {
        &self.outputs
    }
    pub fn outputs_mut(&mut self) -> &mut [Value] {
        &mut self.outputs
    }
    /// Whether this is the ONNX operator `name` of the default domain.
    pub fn is(&self, name: &str) -> bool {
        self.op.is(name)
    }
    pub fn is_input(&self) -> bool {
        self.op.is_core("input")
    }
    pub fn is_const(&self) -> bool {
        self.op.is_core("const")
    }
    /// What to call the node in messages: its name, else that of its first output.
    pub fn label(&self) -> &str {
        if self.name.is_empty() { self.outputs.first().map_or("", |v| &v.name) } else { &self.name }
    }
}

impl NodeId {
    /// Its output number `output`.
    pub fn out(self, output: usize) -> ValueId {
        ValueId { node: self, output: output as u16 }
    }
    pub fn index(self) -> usize {
        self.0.index()
    }
}

impl Graph {
    pub fn new(name: &str) -> Graph {
        Graph { name: name.into(), ..Graph::default() }
    }

    // ---- reading

    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }
    pub fn node(&self, id: NodeId) -> &Node {
        &self.dag[id.0]
    }
    /// For attributes, names, types of outputs, regions. Operands change through [`Graph::set_input`] alone.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.dag[id.0]
    }
    pub fn contains(&self, id: NodeId) -> bool {
        self.dag.contains_node(id.0)
    }
    pub fn value(&self, id: ValueId) -> &Value {
        &self.dag[id.node.0].outputs[id.output as usize]
    }
    pub fn value_mut(&mut self, id: ValueId) -> &mut Value {
        &mut self.dag[id.node.0].outputs[id.output as usize]
    }
    pub fn ty(&self, id: ValueId) -> &Type {
        &self.value(id).ty
    }
    pub fn producer(&self, id: ValueId) -> &Node {
        self.node(id.node)
    }
    /// All nodes, inputs and constants included, in index order (not topological).
    pub fn node_ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.dag.node_indices().map(NodeId)
    }
    pub fn node_count(&self) -> usize {
        self.dag.node_count()
    }
    /// The tensor of a constant: a `core.const` node or an ONNX `Constant` node with a `value`. (ONNX's other `Constant` forms are
    /// turned into `value` on import.)
    pub fn as_constant(&self, id: ValueId) -> Option<&Arc<Tensor>> {
        let n = self.node(id.node);
        if n.is_const() || n.is("Constant") { n.attrs.tensor("value") } else { None }
    }
    /// Who uses the value, in order of the users' positions, then slots. A graph output is not among them: see [`Graph::is_output`].
    pub fn uses(&self, id: ValueId) -> Vec<(NodeId, usize)> {
        let edges = self.dag.edges_directed(id.node.0, Direction::Outgoing).filter(|e| e.weight().output == id.output);
        let mut out: Vec<_> = edges.map(|e| (NodeId(e.target()), e.weight().slot as usize)).collect();
        out.sort_by_key(|(n, s)| (self.node(*n).position, *n, *s));
        out
    }
    pub fn is_output(&self, id: ValueId) -> bool {
        self.outputs.contains(&id)
    }
    /// Uses by nodes plus uses as graph output.
    pub fn use_count(&self, id: ValueId) -> usize {
        self.dag.edges_directed(id.node.0, Direction::Outgoing).filter(|e| e.weight().output == id.output).count()
            + self.outputs.iter().filter(|o| **o == id).count()
    }
    /// All values by name.
    pub fn values_by_name(&self) -> FxHashMap<Name, ValueId> {
        let mut out = FxHashMap::default();
        for id in self.node_ids() {
            for (i, v) in self.node(id).outputs.iter().enumerate() {
                out.insert(v.name.clone(), id.out(i));
            }
        }
        out
    }

    // ---- building

    pub fn add_input(&mut self, name: impl Into<Name>, ty: impl Into<Type>) -> ValueId {
        let id = self.add(NodeSpec::new(OpName::new(CORE_DOMAIN, "input", 1), [], vec![Value::new(name, ty)])).out(0);
        self.inputs.push(id);
        id
    }
    pub fn add_const(&mut self, name: impl Into<Name>, tensor: impl Into<Arc<Tensor>>) -> ValueId {
        let tensor = tensor.into();
        let spec = NodeSpec::new(OpName::new(CORE_DOMAIN, "const", 1), [], vec![Value::new(name, tensor.ty())]);
        self.add(spec.attrs(Attrs::new().with("value", Attr::Tensor(tensor)))).out(0)
    }
    /// Adds a node. Operands must be values of this graph.
    pub fn add(&mut self, spec: NodeSpec) -> NodeId {
        let position = spec.position.unwrap_or(self.next_position);
        self.next_position = self.next_position.max(position + 1);
        let node = Node {
            op: spec.op,
            name: spec.name,
            attrs: spec.attrs,
            inputs: SmallVec::new(),
            outputs: spec.outputs.into(),
            regions: vec![],
            origin: spec.origin,
            metadata: BTreeMap::new(),
            doc: "".into(),
            position,
        };
        let id = NodeId(self.dag.add_node(node));
        for (slot, v) in spec.inputs.into_iter().enumerate() {
            self.set_input(id, slot, v);
        }
        id
    }
    /// A value name not used yet: `hint`, or `hint_1`, `hint_2`, …
    pub fn fresh_name(&self, hint: &str) -> Name {
        let taken: rustc_hash::FxHashSet<&str> = self.dag.node_weights().flat_map(|n| n.outputs.iter().map(|v| &*v.name)).collect();
        if !taken.contains(hint) {
            return hint.into();
        }
        (1u64..).map(|i| format!("{hint}_{i}")).find(|n| !taken.contains(n.as_str())).unwrap_or_default().into()
    }

    // ---- editing: operands through one door

    /// Makes `value` the operand in `slot`, or omits it. Slots between the last operand and `slot` become omitted ones; a trailing
    /// omitted operand is dropped.
    pub fn set_input(&mut self, node: NodeId, slot: usize, value: Option<ValueId>) {
        let old = self.dag[node.0].input(slot);
        if let Some(old) = old {
            let edge =
                self.dag.edges_connecting(old.node.0, node.0).find(|e| *e.weight() == Use { output: old.output, slot: slot as u16 }).map(|e| e.id());
            if let Some(e) = edge {
                self.dag.remove_edge(e);
            }
        }
        let inputs = &mut self.dag[node.0].inputs;
        if inputs.len() <= slot {
            inputs.resize(slot + 1, None);
        }
        inputs[slot] = value;
        while inputs.last() == Some(&None) {
            inputs.pop();
        }
        if let Some(v) = value {
            self.dag.add_edge(v.node.0, node.0, Use { output: v.output, slot: slot as u16 });
        }
    }
    /// Replaces all operands.
    pub fn set_inputs(&mut self, node: NodeId, values: impl IntoIterator<Item = Option<ValueId>>) {
        for slot in (0..self.node(node).inputs.len()).rev() {
            self.set_input(node, slot, None);
        }
        for (slot, v) in values.into_iter().enumerate() {
            self.set_input(node, slot, v);
        }
    }
    /// Every use of `old`, as operand and as graph output, becomes a use of `new`.
    pub fn replace_uses(&mut self, old: ValueId, new: ValueId) {
        for (n, slot) in self.uses(old) {
            self.set_input(n, slot, Some(new));
        }
        self.outputs.iter_mut().filter(|o| **o == old).for_each(|o| *o = new);
    }
    pub fn set_outputs(&mut self, outputs: Vec<ValueId>) {
        self.outputs = outputs;
    }
    pub fn add_output(&mut self, value: ValueId) {
        self.outputs.push(value);
    }
    /// Adds an output value to a node (for importers and expanding rules).
    pub fn add_node_output(&mut self, node: NodeId, value: Value) -> ValueId {
        let outputs = &mut self.dag[node.0].outputs;
        outputs.push(value);
        node.out(outputs.len() - 1)
    }
    /// Drops trailing outputs that nothing uses, down to `keep`.
    pub fn truncate_outputs(&mut self, node: NodeId, keep: usize) {
        while self.node(node).outputs.len() > keep && self.use_count(node.out(self.node(node).outputs.len() - 1)) == 0 {
            self.dag[node.0].outputs.pop();
        }
    }
    /// Takes a graph input away. Its node goes with the next sweep; uses must have been replaced before.
    pub fn remove_input(&mut self, value: ValueId) {
        self.inputs.retain(|i| *i != value);
    }
    /// Puts the graph's inputs in this order (a permutation of what they are).
    pub fn set_input_order(&mut self, inputs: Vec<ValueId>) {
        self.inputs = inputs;
    }
    /// Detaches the operands of a node that nothing uses, and of whatever then is unused too, so that use counts never include the
    /// dead. The nodes themselves stay until [`Graph::sweep`].
    pub fn detach_if_dead(&mut self, node: NodeId) {
        let mut work = vec![node];
        while let Some(n) = work.pop() {
            let dead = !self.node(n).is_input() && (0..self.node(n).outputs.len()).all(|o| self.use_count(n.out(o)) == 0);
            if !dead {
                continue;
            }
            let operands: Vec<_> = self.node(n).inputs.iter().flatten().map(|v| v.node).collect();
            for slot in (0..self.node(n).inputs.len()).rev() {
                self.set_input(n, slot, None);
            }
            // Their captures would name operands that are gone.
            self.dag[n.0].regions.clear();
            work.extend(operands);
        }
    }
    /// Removes every node from which no graph output is reached, except the graph's inputs. The only remover; indices of removed
    /// nodes may be reused by later additions. Returns how many went.
    pub fn sweep(&mut self) -> usize {
        let mut live: rustc_hash::FxHashSet<NodeId> = self.inputs.iter().map(|v| v.node).collect();
        let mut work: Vec<NodeId> = self.outputs.iter().map(|v| v.node).collect();
        while let Some(n) = work.pop() {
            if live.insert(n) {
                work.extend(self.node(n).inputs.iter().flatten().map(|v| v.node));
            }
        }
        let before = self.dag.node_count();
        self.dag.retain_nodes(|_, i| live.contains(&NodeId(i)));
        before - self.dag.node_count()
    }

    // ---- order

    /// All nodes so that producers come before users, otherwise by position. Fails with the nodes of a cycle named.
    pub fn topological(&self) -> Result<Vec<NodeId>> {
        crate::order::topological(self)
    }
    /// As [`Graph::topological`], without inputs and constants. A cyclic graph gives what can be ordered.
    pub fn operators(&self) -> Vec<NodeId> {
        let all = self.topological().unwrap_or_default();
        all.into_iter().filter(|n| !self.node(*n).is_input() && !self.node(*n).is_const()).collect()
    }
    /// Users by node, for ordering.
    pub(crate) fn users(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.dag.edges_directed(id.0, Direction::Outgoing).map(|e| NodeId(e.target()))
    }
    /// Edges as stored, for the verifier: `(producer, output, user, slot)`.
    pub fn edges(&self) -> impl Iterator<Item = (NodeId, u16, NodeId, u16)> + '_ {
        self.dag.edge_indices().filter_map(|e| {
            let (a, b) = self.dag.edge_endpoints(e)?;
            let w = self.dag.edge_weight(e)?;
            Some((NodeId(a), w.output, NodeId(b), w.slot))
        })
    }

    // ---- small conveniences

    /// Adds a node with one output of a known tensor type, named after `hint`.
    pub fn add_op(&mut self, op: OpName, inputs: impl IntoIterator<Item = ValueId>, attrs: Attrs, hint: &str, ty: TensorType) -> ValueId {
        let name = self.fresh_name(hint);
        self.add(NodeSpec::new(op, inputs, vec![Value::new(name, ty)]).attrs(attrs)).out(0)
    }
    /// The element type of a value.
    pub fn dtype(&self, id: ValueId) -> DType {
        self.ty(id).dtype()
    }
}
