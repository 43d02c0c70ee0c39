use super::attrs::write_attrs;
use super::literal::write_tensor;
use super::{PrintOptions, RESERVED, default_version, is_word, write_sigil, write_string, write_value, write_word};
use crate::{Attr, Dim, Graph, Node, NodeId, OpName, Origin, Region, Tensor, Type, Value, ValueId};
use std::fmt::Write;
use std::sync::Arc;

impl Graph {
    /// The graph as text, every line ended. What [`crate::Graph::verify`] finds wrong still prints, but may not be read back.
    pub fn to_text(&self, options: &PrintOptions) -> String {
        let mut p = Printer { out: String::new(), options };
        for (name, (low, high)) in &self.symbols.bounds {
            let _ = write!(p.out, "symbol {} in {low}..", Dim::symbol(name.clone()));
            let _ = high.map(|h| write!(p.out, "={h}"));
            p.out.push('\n');
        }
        p.out.push_str("graph");
        p.body(self, self.inputs().len(), |_, _| {}, 0);
        p.out
    }
    /// The line of one node as [`Graph::to_text`] has it, without indentation and without the lines of its regions.
    pub fn print_line(&self, node: NodeId, options: &PrintOptions) -> String {
        let mut p = Printer { out: String::new(), options };
        if self.contains(node) {
            p.line(self, node);
        }
        p.out
    }
}

struct Printer<'a> {
    out: String,
    options: &'a PrintOptions<'a>,
}

impl Printer<'_> {
    fn word(&mut self, s: &str) {
        self.out.push_str(s);
    }
    /// ` @name(%x: f32[N]) {`, the lines, `}`. The first `formal` inputs stand in the brackets; `captures` writes the others.
    fn body(&mut self, g: &Graph, formal: usize, captures: impl FnOnce(&mut Self, &Graph), depth: usize) {
        if !g.name.is_empty() {
            self.word(" ");
            write_sigil(&mut self.out, '@', &g.name);
        }
        self.word("(");
        for (i, input) in g.inputs().iter().take(formal).enumerate() {
            self.word(if i > 0 { ", " } else { "" });
            self.parameter(g, *input, "");
        }
        self.word(")");
        captures(self, g);
        self.word(" {\n");
        for id in visiting_order(g) {
            let n = g.node(id);
            if plain_input(n) && g.inputs().contains(&id.out(0)) {
                continue;
            }
            self.indent(depth + 1);
            self.line(g, id);
            self.word("\n");
            for r in &n.regions {
                self.region(g, n, r, depth + 2);
            }
        }
        self.indent(depth + 1);
        self.word("return");
        for (i, v) in g.outputs().iter().enumerate() {
            self.word(if i > 0 { ", " } else { " " });
            self.operand(g, Some(*v));
        }
        self.word("\n");
        self.indent(depth);
        self.word("}\n");
    }
    fn indent(&mut self, depth: usize) {
        (0..depth).for_each(|_| self.out.push_str("  "));
    }
    /// `%x: f32[N] @name !{...}`, with ` = %outer` after the type of a capture.
    fn parameter(&mut self, g: &Graph, v: ValueId, source: &str) {
        self.operand(g, Some(v));
        if let Some(value) = value(g, v) {
            let _ = write!(self.out, ": {}", value.ty);
            self.word(source);
            let n = g.node(v.node);
            if plain_input(n) {
                write_attrs(&mut self.out, n.attrs.iter(), self.options.inline_elements);
                self.trailer(n);
            }
        }
    }
    fn region(&mut self, g: &Graph, n: &Node, r: &Region, depth: usize) {
        self.indent(depth);
        self.word("region ");
        write_word(&mut self.out, &r.name);
        let formal = r.graph.inputs().len().saturating_sub(r.captures.len());
        let captures = |p: &mut Self, body: &Graph| {
            for (i, (input, slot)) in body.inputs().iter().skip(formal).zip(&r.captures).enumerate() {
                p.word(if i > 0 { ", " } else { " captures(" });
                p.parameter(body, *input, &format!(" = {}", capture_source(g, n, *slot)));
            }
            p.word(if r.captures.is_empty() { "" } else { ")" });
        };
        self.body(&r.graph, formal, captures, depth);
    }
    fn line(&mut self, g: &Graph, id: NodeId) {
        let n = g.node(id);
        match plain_const(n) {
            Some(t) => self.const_line(n, t),
            None => self.op_line(g, n),
        }
        if let (true, Origin::Rule { rule, .. }) = (self.options.comments, &n.origin) {
            let rule: String = rule.chars().filter(|c| !c.is_control()).collect();
            let _ = write!(self.out, "  // {rule}");
        }
    }
    fn const_line(&mut self, n: &Node, t: &Tensor) {
        self.word("const ");
        write_value(&mut self.out, n.outputs().first().map_or("", |v| &v.name));
        let _ = write!(self.out, " : {} = ", t.ty());
        let by_hash = write_tensor(&mut self.out, t, self.options.inline_elements);
        self.trailer(n);
        if by_hash && self.options.comments {
            let _ = write!(self.out, "  // {} bytes", t.byte_size());
        }
    }
    fn op_line(&mut self, g: &Graph, n: &Node) {
        for (i, v) in n.outputs().iter().enumerate() {
            self.word(if i > 0 { ", " } else { "" });
            write_value(&mut self.out, &v.name);
        }
        self.word(if n.outputs().is_empty() { "" } else { " = " });
        write_op_name(&mut self.out, &n.op, self.options.newest);
        self.word("(");
        for (i, v) in n.inputs().iter().enumerate() {
            self.word(if i > 0 { ", " } else { "" });
            self.operand(g, *v);
        }
        self.word(")");
        write_attrs(&mut self.out, n.attrs.iter(), self.options.inline_elements);
        for (i, v) in n.outputs().iter().enumerate() {
            self.word(if i > 0 { ", " } else { " : " });
            let _ = write!(self.out, "{}", v.ty);
        }
        self.trailer(n);
    }
    /// The node's own name, metadata and documentation, as far as it has them.
    fn trailer(&mut self, n: &Node) {
        if !n.name.is_empty() {
            self.word(" ");
            write_sigil(&mut self.out, '@', &n.name);
        }
        if !self.options.metadata {
            return;
        }
        for (i, (key, value)) in n.metadata.iter().enumerate() {
            self.word(if i > 0 { ", " } else { " !{" });
            write_word(&mut self.out, key);
            self.word("=");
            write_string(&mut self.out, value.as_bytes());
        }
        self.word(if n.metadata.is_empty() { "" } else { "}" });
        if !n.doc.is_empty() {
            self.word(" doc ");
            write_string(&mut self.out, n.doc.as_bytes());
        }
    }
    fn operand(&mut self, g: &Graph, v: Option<ValueId>) {
        match v {
            None => self.word("_"),
            Some(v) => match value(g, v) {
                Some(value) => write_value(&mut self.out, &value.name),
                // A broken graph prints too: this cannot be read back, as no such value exists.
                None => {
                    let _ = write!(self.out, "<no value {v:?}>");
                }
            },
        }
    }
}

/// Producers before users; by position alone where a cycle forbids that.
fn visiting_order(g: &Graph) -> Vec<NodeId> {
    g.topological().unwrap_or_else(|_| {
        let mut all: Vec<NodeId> = g.node_ids().collect();
        all.sort_by_key(|n| (g.node(*n).position, *n));
        all
    })
}

fn value(g: &Graph, v: ValueId) -> Option<&Value> {
    if g.contains(v.node) { g.node(v.node).outputs().get(v.output as usize) } else { None }
}

/// `%x` where the operand in the slot stands in no other slot, the slot's number otherwise.
fn capture_source(g: &Graph, n: &Node, slot: u32) -> String {
    let mut out = String::new();
    let operand = n.input(slot as usize);
    let name = operand.and_then(|v| value(g, v)).map(|v| &*v.name).filter(|n| !n.is_empty());
    match name {
        Some(name) if n.inputs().iter().filter(|i| **i == operand).count() == 1 => write_value(&mut out, name),
        _ => {
            let _ = write!(out, "{slot}");
        }
    }
    out
}

/// Whether the node is an input that its parameter says everything about.
fn plain_input(n: &Node) -> bool {
    n.is_input() && n.op.version == 1 && n.inputs().is_empty() && n.outputs().len() == 1 && n.regions.is_empty()
}

/// The tensor of a constant that a `const` line says everything about.
fn plain_const(n: &Node) -> Option<&Arc<Tensor>> {
    let Some(Attr::Tensor(t)) = n.attrs.get("value") else { return None };
    let plain = n.is_const() && n.op.version == 1 && n.inputs().is_empty() && n.attrs.len() == 1 && n.regions.is_empty();
    let typed = matches!(n.outputs(), [v] if matches!(&v.ty, Type::Tensor(ty) if *ty == t.ty()));
    (plain && typed).then_some(t)
}

/// `Conv`, `Softmax.11`, `com.microsoft.Gelu`, `"odd domain"."odd name".3`: without the version where `newest` says the same.
pub(super) fn write_op_name(out: &mut String, op: &OpName, newest: &dyn Fn(&str, &str) -> u32) {
    // Within the dotted form, the last word is the name and whole digits are a version.
    let simple = |s: &str| is_word(s) && !s.contains('.');
    let plain_domain = op.domain.is_empty() || op.domain.split('.').all(simple);
    if plain_domain && simple(&op.name) && !(op.domain.is_empty() && RESERVED.contains(&&*op.name)) {
        let dot = if op.domain.is_empty() { "" } else { "." };
        let _ = write!(out, "{}{dot}{}", op.domain, op.name);
    } else {
        if !op.domain.is_empty() {
            write_string(out, op.domain.as_bytes());
            out.push('.');
        }
        write_string(out, op.name.as_bytes());
    }
    if op.version != default_version(newest, &op.domain, &op.name) {
        let _ = write!(out, ".{}", op.version);
    }
}
