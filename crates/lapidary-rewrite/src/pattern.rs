//! Patterns in the IR's own text.
//!
//! ```text
//! %c = Conv(?x, ?w, ?b?)
//! %y = BatchNormalization(%c, ?scale, ?shift, ?mean, ?var)
//! ```
//!
//! The last statement is the root: what the match starts from. `%c` is a value of the pattern (its statement's node can be asked for by
//! that name), `?x` is any value, `?b?` may be omitted, `_` must be omitted, `..` is any number of further operands, `1.5` is a constant
//! all of whose elements are 1.5 (to seven digits). Calls may nest: `Mul(?x, Add(Erf(?e), 1))`. `Add|Sub` is either operator. `{axis=1}`
//! asks for an attribute (an absent attribute does not match; defaults are for `when`). Commutative operators match in both orders.

use lapidary_ir::{Attr, Graph, NodeId, ValueId};
use lapidary_ops::find;
use std::collections::BTreeMap;

#[derive(Debug)]
pub struct Pattern {
    /// The root is the last.
    nodes: Vec<PatternNode>,
    /// How many nodes may turn out to be commutative.
    flips: u32,
}

#[derive(Debug)]
struct PatternNode {
    /// Empty: any operator.
    ops: Vec<String>,
    operands: Vec<PatternOperand>,
    /// More operands may follow.
    open: bool,
    attrs: Vec<(String, Attr)>,
    /// The statement's name (of its first value), if it has one.
    name: Option<String>,
}

#[derive(Debug)]
enum PatternOperand {
    /// Output `.1` of pattern node `.0`.
    Node(usize, u16),
    Any(String),
    Optional(String),
    Omitted,
    Number(f64),
}

/// What a pattern was bound to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bindings {
    pub values: BTreeMap<String, Option<ValueId>>,
    pub nodes: BTreeMap<String, NodeId>,
    /// The nodes of the match but the root.
    pub inner: Vec<NodeId>,
}

impl Pattern {
    /// Reads a pattern. The error is a mistake of the rule's author.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let mut p = Parser { rest: text, nodes: vec![], names: BTreeMap::new() };
        loop {
            p.space();
            if p.rest.is_empty() {
                break;
            }
            p.statement()?;
            while p.eat(";") {}
        }
        if p.nodes.is_empty() {
            return Err("the pattern has no statement".into());
        }
        if p.nodes.iter().any(|n| n.ops.is_empty()) {
            return Err("a call has no operator".into());
        }
        let commutative = |n: &PatternNode| n.ops.iter().any(|o| find(&lapidary_ir::OpName::onnx(o, 0)).is_some_and(|d| d.commutative));
        let flips = p.nodes.iter().filter(|n| commutative(n)).count() as u32;
        if flips > 8 {
            return Err("the pattern has more than 8 commutative operators".into());
        }
        Ok(Pattern { nodes: p.nodes, flips })
    }
    /// The operators that the root may be.
    pub fn root_ops(&self) -> &[String] {
        self.nodes.last().map_or(&[], |n| &n.ops)
    }
    /// All ways in which the pattern fits with `root` as the last statement's node: commutative operators give several. When there is
    /// none, the error tells how far the best attempt came: matched nodes, and what stopped it.
    pub fn matches(&self, graph: &Graph, root: NodeId) -> Result<Vec<Bindings>, (usize, String)> {
        let mut found: Vec<Bindings> = vec![];
        let mut best: Option<(usize, String)> = None;
        for flips in 0..1u32 << self.flips {
            let mut m = Matcher { pattern: self, graph, flips, used: 0, bound: vec![None; self.nodes.len()], out: Bindings::default() };
            match m.node(self.nodes.len() - 1, root) {
                Ok(()) => {
                    m.out.inner = m.bound.iter().flatten().copied().filter(|n| *n != root).collect();
                    if !found.contains(&m.out) {
                        found.push(m.out);
                    }
                }
                Err(reason) => {
                    let depth = m.bound.iter().flatten().count();
                    if best.as_ref().is_none_or(|b| b.0 < depth) {
                        best = Some((depth, reason));
                    }
                }
            }
        }
        if found.is_empty() { Err(best.unwrap_or((0, "no attempt was made".into()))) } else { Ok(found) }
    }
}

struct Matcher<'a> {
    pattern: &'a Pattern,
    graph: &'a Graph,
    flips: u32,
    /// Bits of `flips` taken so far.
    used: u32,
    bound: Vec<Option<NodeId>>,
    out: Bindings,
}

impl Matcher<'_> {
    fn node(&mut self, index: usize, id: NodeId) -> Result<(), String> {
        let p = &self.pattern.nodes[index];
        if let Some(before) = self.bound[index] {
            return if before == id { Ok(()) } else { Err("two operands that must be one value are two".into()) };
        }
        let node = self.graph.node(id);
        let named = |n: &str| if node.op.domain.is_empty() { &*node.op.name == n } else { node.op.to_string() == n };
        if !p.ops.iter().any(|o| named(o)) {
            return Err(format!("{} '{}' is not {}", node.op, node.label(), p.ops.join(" or ")));
        }
        self.bound[index] = Some(id);
        if let Some(name) = &p.name {
            self.out.nodes.insert(name.clone(), id);
        }
        for (name, want) in &p.attrs {
            if node.attrs.get(name) != Some(want) {
                return Err(format!("attribute '{name}' of {} '{}' differs", node.op, node.label()));
            }
        }
        let commutative = p.operands.len() == 2 && find(&node.op).is_some_and(|d| d.commutative);
        let flip = commutative && {
            self.used += 1;
            self.flips >> (self.used - 1) & 1 == 1
        };
        if !p.open && node.inputs().len() > p.operands.len() {
            return Err(format!("{} '{}' has {} operands", node.op, node.label(), node.inputs().len()));
        }
        for (slot, want) in p.operands.iter().enumerate() {
            let slot = if flip { 1 - slot } else { slot };
            self.operand(want, node.input(slot))?;
        }
        Ok(())
    }
    fn operand(&mut self, want: &PatternOperand, given: Option<ValueId>) -> Result<(), String> {
        match (want, given) {
            (PatternOperand::Omitted, None) => Ok(()),
            (PatternOperand::Omitted, Some(v)) => Err(format!("operand '{}' is given", self.graph.value(v).name)),
            (PatternOperand::Optional(name), v) => self.bind(name, v),
            (_, None) => Err("an operand is omitted".into()),
            (PatternOperand::Any(name), v) => self.bind(name, v),
            (PatternOperand::Number(want), Some(v)) => {
                let name = &self.graph.value(v).name;
                let Some(t) = self.graph.as_constant(v) else { return Err(format!("'{name}' is not a constant")) };
                if splat(t).is_some_and(|x| near(x, *want, t.dtype())) { Ok(()) } else { Err(format!("'{name}' is not {want}")) }
            }
            (PatternOperand::Node(index, output), Some(v)) => {
                if v.output != *output {
                    return Err("another output is used".into());
                }
                self.node(*index, v.node)
            }
        }
    }
    fn bind(&mut self, name: &str, v: Option<ValueId>) -> Result<(), String> {
        match self.out.values.get(name) {
            None => {
                self.out.values.insert(name.into(), v);
                Ok(())
            }
            Some(old) if *old == v => Ok(()),
            Some(Some(old)) => {
                let same = |a, b| matches!((self.graph.as_constant(a), self.graph.as_constant(b)), (Some(x), Some(y)) if x == y);
                if v.is_some_and(|v| same(*old, v)) { Ok(()) } else { Err(format!("the two places of '?{name}' hold different values")) }
            }
            Some(None) => Err(format!("the two places of '?{name}' hold different values")),
        }
    }
}

/// The value that all elements of a real constant have, if they have one.
pub fn splat(t: &lapidary_ir::Tensor) -> Option<f64> {
    if t.is_empty() || t.dtype().bits() == 0 {
        return None;
    }
    // Cheap first: most constants are weights, whose elements differ at once.
    let size = t.dtype().bits() / 8;
    if size > 0 && t.len() > 1 {
        let b = t.bytes();
        if b[..size] != b[size..2 * size] || b.chunks_exact(size).any(|c| c != &b[..size]) {
            return None;
        }
        return t.reshaped_head().and_then(|h| h.to_f64()).and_then(|v| v.first().copied());
    }
    let v = t.to_f64()?;
    v.iter().all(|x| *x == v[0]).then_some(v[0])
}

fn near(x: f64, want: f64, dtype: lapidary_ir::DType) -> bool {
    let tolerance = match dtype {
        lapidary_ir::DType::F16 => 1e-3,
        lapidary_ir::DType::BF16 => 8e-3,
        _ => 2e-7,
    };
    (x - want).abs() <= tolerance * want.abs()
}

/// The first element alone.
trait Head {
    fn reshaped_head(&self) -> Option<lapidary_ir::Tensor>;
}
impl Head for lapidary_ir::Tensor {
    fn reshaped_head(&self) -> Option<lapidary_ir::Tensor> {
        lapidary_ir::Tensor::new(self.dtype(), &[], self.bytes().slice(..self.dtype().bits() / 8)).ok()
    }
}

struct Parser<'a> {
    rest: &'a str,
    nodes: Vec<PatternNode>,
    names: BTreeMap<String, (usize, u16)>,
}

impl<'a> Parser<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }
    fn eat(&mut self, text: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
    fn expect(&mut self, text: &str) -> Result<(), String> {
        if self.eat(text) { Ok(()) } else { Err(format!("expected '{text}' before '{}'", self.rest.chars().take(20).collect::<String>())) }
    }
    fn word(&mut self) -> Result<&'a str, String> {
        self.space();
        let len = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(len);
        self.rest = rest;
        if word.is_empty() { Err(format!("expected a name before '{}'", rest.chars().take(20).collect::<String>())) } else { Ok(word) }
    }
    fn statement(&mut self) -> Result<(), String> {
        let mut names = vec![];
        while self.eat("%") {
            names.push(self.word()?.to_string());
            self.eat(",");
        }
        if !names.is_empty() {
            self.expect("=")?;
        }
        let index = self.call()?;
        self.nodes[index].name = names.first().cloned();
        for (i, n) in names.into_iter().enumerate() {
            self.names.insert(n, (index, i as u16));
        }
        Ok(())
    }
    fn call(&mut self) -> Result<usize, String> {
        let mut ops = vec![self.word()?.to_string()];
        while self.eat("|") {
            ops.push(self.word()?.to_string());
        }
        self.expect("(")?;
        let (mut operands, mut open) = (vec![], false);
        while !self.eat(")") {
            if self.eat("..") {
                open = true;
            } else if self.eat("%") {
                let name = self.word()?;
                let (node, output) = *self.names.get(name).ok_or(format!("'%{name}' is not defined above"))?;
                operands.push(PatternOperand::Node(node, output));
            } else if self.eat("?") {
                let name = self.word()?.to_string();
                operands.push(if self.eat("?") { PatternOperand::Optional(name) } else { PatternOperand::Any(name) });
            } else if self.eat("_") {
                operands.push(PatternOperand::Omitted);
            } else if self.rest.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
                operands.push(PatternOperand::Number(self.number()?));
            } else {
                let index = self.call()?;
                operands.push(PatternOperand::Node(index, 0));
            }
            self.eat(",");
        }
        let mut attrs = vec![];
        if self.eat("{") {
            while !self.eat("}") {
                let name = self.word()?.to_string();
                self.expect("=")?;
                attrs.push((name, self.attr()?));
                self.eat(",");
            }
        }
        self.nodes.push(PatternNode { ops, operands, open, attrs, name: None });
        Ok(self.nodes.len() - 1)
    }
    fn number(&mut self) -> Result<f64, String> {
        self.space();
        let len = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'))).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(len);
        self.rest = rest;
        word.parse().map_err(|_| format!("'{word}' is not a number"))
    }
    fn attr(&mut self) -> Result<Attr, String> {
        if self.eat("\"") {
            let (text, rest) = self.rest.split_once('"').ok_or("a text does not end")?;
            self.rest = rest;
            return Ok(Attr::from(text));
        }
        if self.eat("[") {
            let mut out = vec![];
            while !self.eat("]") {
                out.push(self.number()? as i64);
                self.eat(",");
            }
            return Ok(Attr::Ints(out));
        }
        let before = self.rest.trim_start();
        let v = self.number()?;
        let word = &before[..before.len() - self.rest.len()];
        Ok(if word.contains('.') { Attr::Float(v as f32) } else { Attr::Int(v as i64) })
    }
}
