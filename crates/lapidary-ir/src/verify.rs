//! What holds for every graph between passes. [`Graph::verify`] says what does not; each line below is one of its codes.
//!
//! * `no-such-value`: an operand, and a graph output, is an output that an existing node has.
//! * `edges`: there is one edge per operand and none else, so that a value's edges are its uses.
//! * `trailing-operand`: the last operand is not an omitted one; a node has at most 65535 operands and outputs.
//! * `duplicate-value`: no two values of a graph share a name.
//! * `unnamed-value`: a value that is used has a name. (An output without one is an omitted output.)
//! * `cyclic-graph`: no node depends on its own output.
//! * `input`: each graph input is the one output of a `core.input` node without operands, stands in the list once, and a
//!   `core.input` node outside the list is unused (it goes with the next sweep).
//! * `const`: a `core.const` node has no operands, one output, and in `value` a tensor of exactly that output's type.
//! * `negative-size`: no constant dim is below 0.
//! * `symbol-bounds`: a symbol is at least 0 and its bounds leave a value; a region bounds it as the graph around it does.
//! * `region`: regions of a node have different names; a capture names an operand that the node has, and has its element type.
//!
//! Regions are verified as graphs themselves. Operators' own rules (arity, attributes, types) are not the graph's business.

use crate::text::PrintOptions;
use crate::{DType, Diagnostic, Dim, Graph, Name, Node, NodeId, Region, Type, Value, ValueId};
use rustc_hash::{FxHashMap, FxHashSet};

impl Graph {
    /// Everything that is wrong with the graph and its regions; empty for a well-formed one. See the list in `verify.rs`.
    pub fn verify(&self) -> Vec<Diagnostic> {
        let mut check = Check { g: self, found: Vec::new() };
        let mut ids: Vec<NodeId> = self.node_ids().collect();
        ids.sort_by_key(|n| (self.node(*n).position, *n));
        check.symbols();
        check.interface();
        check.names(&ids);
        for id in &ids {
            check.node(*id);
        }
        check.edges(&ids);
        // A missing operand would look like a cycle.
        if check.found.iter().all(|d| !matches!(d.code, "no-such-value" | "edges"))
            && let Err(e) = self.topological()
        {
            check.found.extend(e.0);
        }
        check.found
    }
}

struct Check<'a> {
    g: &'a Graph,
    found: Vec<Diagnostic>,
}

impl<'a> Check<'a> {
    fn value(&self, v: ValueId) -> Option<&'a Value> {
        if self.g.contains(v.node) { self.g.node(v.node).outputs().get(usize::from(v.output)) } else { None }
    }
    fn report(&mut self, code: &'static str, message: String) {
        self.found.push(Diagnostic::error(code, message));
    }
    fn report_at(&mut self, id: NodeId, code: &'static str, message: String) {
        let line = self.g.print_line(id, &PrintOptions::default());
        let whole = 0..line.len();
        self.found.push(Diagnostic::error(code, message).at(self.g.node(id)).source(line, whole));
    }
    fn symbols(&mut self) {
        for (name, (low, high)) in &self.g.symbols.bounds {
            if *low < 0 || high.is_some_and(|h| h < *low) {
                let high = high.map_or("no upper bound".into(), |h| format!("at most {h}"));
                self.report("symbol-bounds", format!("symbol '{name}' cannot be at least {low} and {high}"));
            }
        }
    }
    fn interface(&mut self) {
        let mut seen = FxHashSet::default();
        for v in self.g.inputs() {
            match self.value(*v) {
                None => self.report("no-such-value", format!("the graph input {v:?} does not exist")),
                Some(value) if !self.g.producer(*v).is_input() => {
                    self.report_at(v.node, "input", format!("the graph input '{}' is not made by an input node", value.name))
                }
                Some(value) if !seen.insert(*v) => self.report_at(v.node, "input", format!("the graph input '{}' is listed twice", value.name)),
                Some(_) => {}
            }
        }
        for v in self.g.outputs() {
            match self.value(*v) {
                None => self.report("no-such-value", format!("the graph output {v:?} does not exist")),
                Some(value) if value.name.is_empty() => self.report_at(v.node, "unnamed-value", "a graph output has no name".into()),
                Some(_) => {}
            }
        }
    }
    fn names(&mut self, ids: &[NodeId]) {
        let mut owner: FxHashMap<&'a Name, NodeId> = FxHashMap::default();
        for id in ids {
            for v in self.g.node(*id).outputs().iter().filter(|v| !v.name.is_empty()) {
                if let Some(first) = owner.insert(&v.name, *id) {
                    let other = self.g.node(first).label().to_string();
                    self.report_at(*id, "duplicate-value", format!("the value '{}' is also made by '{other}'", v.name));
                }
            }
        }
    }
    fn node(&mut self, id: NodeId) {
        let n = self.g.node(id);
        if n.inputs().last() == Some(&None) {
            self.report_at(id, "trailing-operand", "the last operand is an omitted one".into());
        }
        if n.inputs().len().max(n.outputs().len()) > usize::from(u16::MAX) {
            self.report_at(id, "trailing-operand", "more than 65535 operands or outputs".into());
        }
        for (slot, v) in n.inputs().iter().enumerate() {
            let Some(v) = v else { continue };
            match self.value(*v) {
                None => self.report_at(id, "no-such-value", format!("operand {slot} is {v:?}, which does not exist")),
                Some(value) if value.name.is_empty() => self.report_at(id, "unnamed-value", format!("operand {slot} is an output without a name")),
                Some(_) => {}
            }
        }
        for v in n.outputs() {
            if let Some(d) = dims(&v.ty).iter().find(|d| d.as_const().is_some_and(|c| c < 0)) {
                self.report_at(id, "negative-size", format!("the value '{}' has a dim of size {d}", v.name));
            }
        }
        if n.is_input() {
            self.input_node(id, n);
        }
        if n.is_const() {
            self.const_node(id, n);
        }
        let mut seen = FxHashSet::default();
        for r in &n.regions {
            if !seen.insert(&r.name) {
                self.report_at(id, "region", format!("two regions are called '{}'", r.name));
            }
            self.region(id, n, r);
        }
    }
    fn input_node(&mut self, id: NodeId, n: &Node) {
        if !n.inputs().is_empty() || n.outputs().len() != 1 {
            self.report_at(id, "input", "an input node has one output and no operands".into());
        }
        let used = (0..n.outputs().len()).any(|o| self.g.use_count(id.out(o)) > 0);
        if used && !self.g.inputs().iter().any(|v| v.node == id) {
            self.report_at(id, "input", format!("'{}' is used, but no longer an input of the graph", n.label()));
        }
    }
    fn const_node(&mut self, id: NodeId, n: &Node) {
        if !n.inputs().is_empty() || n.outputs().len() != 1 {
            self.report_at(id, "const", "a constant has one output and no operands".into());
        }
        let Some(t) = n.attrs.tensor("value") else {
            return self.report_at(id, "const", "a constant has no tensor in 'value'".into());
        };
        if let Some(v) = n.outputs().first().filter(|v| v.ty != Type::Tensor(t.ty())) {
            self.report_at(id, "const", format!("the constant '{}' is declared {}, but its tensor is {}", v.name, v.ty, t.ty()));
        }
    }
    fn region(&mut self, id: NodeId, n: &Node, r: &Region) {
        let formal = r.graph.inputs().len().checked_sub(r.captures.len());
        let Some(formal) = formal else {
            return self.report_at(id, "region", format!("region '{}' captures more values than it has inputs", r.name));
        };
        let within = Check { g: &r.graph, found: vec![] };
        for (input, slot) in r.graph.inputs().iter().skip(formal).zip(&r.captures) {
            let Some(outer) = n.input(*slot as usize).and_then(|v| self.value(v)) else {
                self.report_at(id, "region", format!("region '{}' captures operand {slot}, which the node does not have", r.name));
                continue;
            };
            let known = |d: DType| d != DType::Unknown;
            if let Some(inner) = within.value(*input)
                && inner.ty.dtype() != outer.ty.dtype()
                && known(inner.ty.dtype())
                && known(outer.ty.dtype())
            {
                let message = format!("region '{}' takes '{}' as {}, but it is {}", r.name, inner.name, inner.ty, outer.ty);
                self.report_at(id, "region", message);
            }
        }
        for (name, bounds) in &r.graph.symbols.bounds {
            if self.g.symbols.bounds.get(name).is_some_and(|outer| outer != bounds) {
                self.report_at(id, "symbol-bounds", format!("region '{}' bounds symbol '{name}' in another way", r.name));
            }
        }
        let label = n.label();
        self.found.extend(r.graph.verify().into_iter().map(|d| d.note(format!("in region '{}' of '{label}'", r.name))));
    }
    /// Compares edges with operands, both as sorted lists.
    fn edges(&mut self, ids: &[NodeId]) {
        let mut want: Vec<(NodeId, u16, NodeId, u16)> = Vec::new();
        for id in ids {
            let operands = self.g.node(*id).inputs().iter().enumerate();
            want.extend(operands.filter_map(|(slot, v)| v.map(|v| (v.node, v.output, *id, u16::try_from(slot).unwrap_or(u16::MAX)))));
        }
        let mut have: Vec<_> = self.g.edges().collect();
        want.sort_unstable();
        have.sort_unstable();
        if want != have {
            let message = format!("the edges are not those of the operands: {} edges, {} operands", have.len(), want.len());
            self.found.push(Diagnostic::error("edges", message).help("operands change through set_input alone"));
        }
    }
}

/// All dims in a type.
fn dims(ty: &Type) -> Vec<&Dim> {
    match ty {
        Type::Tensor(t) | Type::Sparse(t) => t.shape.dims().unwrap_or(&[]).iter().collect(),
        Type::Sequence(t) | Type::Optional(t) | Type::Map(_, t) => dims(t),
        Type::Unknown => vec![],
    }
}
