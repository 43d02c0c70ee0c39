use crate::patch::Patch;
use crate::pattern::Bindings;
use lapidary_ir::{DType, Dim, Graph, Name, Node, NodeId, Tensor, ValueId};
use lapidary_ops::{Contents, Facts};
use std::sync::Arc;

/// A rewrite: where the pattern fits and `when` has no objection, `build` says what stands there instead.
pub struct Rule {
    /// In the names of `--why` and of the ledger.
    pub name: &'static str,
    /// The equation: `Transpose(Transpose(x, p), q)` is `Transpose(x, p∘q)`.
    pub doc: &'static str,
    /// See [`crate::pattern`].
    pub pattern: &'static str,
    /// Values inside the match may have other users (they stay then): for rules that shorten a path rather than fuse nodes.
    pub shared: bool,
    pub when: fn(&Match<'_>) -> Result<(), Reason>,
    pub build: fn(&Match<'_>, &mut Patch) -> Result<(), Reason>,
}

impl Rule {
    /// A rule that fuses: inner values must have no other use.
    pub const fn new(
        name: &'static str,
        doc: &'static str,
        pattern: &'static str,
        when: fn(&Match<'_>) -> Result<(), Reason>,
        build: fn(&Match<'_>, &mut Patch) -> Result<(), Reason>,
    ) -> Rule {
        Rule { name, doc, pattern, shared: false, when, build }
    }
    /// The same, for matches whose inner values have other users too.
    pub const fn shared(self) -> Rule {
        Rule { shared: true, ..self }
    }
}

/// For rules whose pattern says it all.
pub fn always(_: &Match<'_>) -> Result<(), Reason> {
    Ok(())
}

/// Why a rule does not apply although its pattern fits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub text: String,
    /// The place is simply not one for the rule (a transpose that does move axes): no miss, unless `--why` asks for this rule.
    pub plain: bool,
}

impl Reason {
    fn new(text: String) -> Reason {
        Reason { text, plain: false }
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Reason {
        Reason::new(text.into())
    }
}
impl From<String> for Reason {
    fn from(text: String) -> Reason {
        Reason::new(text)
    }
}
impl From<lapidary_ir::Diagnostics> for Reason {
    fn from(d: lapidary_ir::Diagnostics) -> Reason {
        Reason::new(d.to_string())
    }
}

/// A guard: `ensure(axis == 1, "the axis is not the channels'")?`.
pub fn ensure(holds: bool, otherwise: impl Into<Reason>) -> Result<(), Reason> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// A guard that tells places apart rather than refusing one: what fails it is no miss.
pub fn applies(holds: bool, otherwise: impl Into<Reason>) -> Result<(), Reason> {
    if holds { Ok(()) } else { Err(Reason { plain: true, ..otherwise.into() }) }
}

/// A place where a pattern fits.
pub struct Match<'a> {
    pub graph: &'a Graph,
    pub facts: &'a Facts,
    /// The node of the pattern's last statement.
    pub root: NodeId,
    pub target_opset: u32,
    pub bindings: &'a Bindings,
}

impl<'a> Match<'a> {
    /// What `?name` is.
    pub fn value(&self, name: &str) -> Result<ValueId, Reason> {
        self.optional(name).ok_or_else(|| format!("'{name}' is omitted").into())
    }
    /// What `?name?` is; `None` when omitted.
    pub fn optional(&self, name: &str) -> Option<ValueId> {
        self.bindings.values.get(name).copied().flatten()
    }
    /// The node of the statement `%name = …`.
    pub fn id(&self, name: &str) -> Result<NodeId, Reason> {
        self.bindings.nodes.get(name).copied().ok_or_else(|| format!("the pattern has no '%{name}'").into())
    }
    pub fn node(&self, name: &str) -> Result<&'a Node, Reason> {
        Ok(self.graph.node(self.id(name)?))
    }
    pub fn root(&self) -> &'a Node {
        self.graph.node(self.root)
    }
    /// The root's first output.
    pub fn output(&self) -> ValueId {
        self.root.out(0)
    }
    pub fn is_constant(&self, name: &str) -> bool {
        self.optional(name).is_some_and(|v| self.graph.as_constant(v).is_some())
    }
    pub fn constant(&self, name: &str) -> Result<&'a Arc<Tensor>, Reason> {
        self.constant_of(self.value(name)?)
    }
    /// As [`Match::constant`], where a value that is not constant is no miss: the place is not one for the rule.
    pub fn constant_here(&self, name: &str) -> Result<&'a Arc<Tensor>, Reason> {
        self.constant(name).map_err(|r| Reason { plain: true, ..r })
    }
    pub fn constant_of(&self, value: ValueId) -> Result<&'a Arc<Tensor>, Reason> {
        self.graph.as_constant(value).ok_or_else(|| format!("'{}' is not a constant", self.graph.value(value).name).into())
    }
    /// The elements of an integer value, where they are known as plain numbers.
    pub fn ints(&self, name: &str) -> Result<Vec<i64>, Reason> {
        let v = self.value(name)?;
        self.ints_of(v).ok_or_else(|| format!("the elements of '{}' are not known", self.graph.value(v).name).into())
    }
    pub fn ints_of(&self, value: ValueId) -> Option<Vec<i64>> {
        match self.contents_of(value) {
            Some(c) => c.as_ints(),
            None => self.graph.as_constant(value)?.to_i64(),
        }
    }
    /// The elements of a small integer value as sizes.
    pub fn contents_of(&self, value: ValueId) -> Option<Contents> {
        self.facts.contents(self.graph, value)
    }
    pub fn dims(&self, name: &str) -> Result<&'a [Dim], Reason> {
        self.dims_of(self.value(name)?)
    }
    pub fn dims_of(&self, value: ValueId) -> Result<&'a [Dim], Reason> {
        self.graph.ty(value).dims().ok_or_else(|| format!("the rank of '{}' is not known", self.graph.value(value).name).into())
    }
    pub fn rank(&self, name: &str) -> Result<usize, Reason> {
        Ok(self.dims(name)?.len())
    }
    pub fn dtype(&self, name: &str) -> Result<DType, Reason> {
        Ok(self.graph.dtype(self.value(name)?))
    }
    /// The type of a value is float (any width).
    pub fn is_float(&self, value: ValueId) -> bool {
        self.graph.dtype(value).is_float()
    }
    /// Whether the target opset has this operator.
    pub fn needs_opset(&self, op: &str) -> Result<(), Reason> {
        crate::patch::available(op, self.target_opset)
    }
    pub fn label(&self) -> Name {
        self.root().label().into()
    }
}
