//! What ONNX says of each operator's form: one table of every version of every operator (domains `""`, `ai.onnx.ml` and the preview
//! ones) with inputs, outputs, attributes and allowed types. The import checks nodes against it before any operator's code runs; text
//! without version numbers and random models are resolved with it. Source: the operator schemas of the onnx package.

use lapidary_ir::{Attr, DType, Diagnostic, Graph, Node, NodeId, OpName, Type, nearest};

#[allow(clippy::excessive_precision)] // the numbers as ONNX prints them
mod table;

pub use table::SCHEMAS;

/// One version of an operator.
pub struct Schema {
    /// Empty for ONNX's default domain.
    pub domain: &'static str,
    pub name: &'static str,
    /// The opset version of its domain that brought this form.
    pub since: u32,
    /// From `since` on the operator may not be used any more.
    pub deprecated: bool,
    pub inputs: &'static [Param],
    pub outputs: &'static [Param],
    /// Sorted by name.
    pub attrs: &'static [AttrSpec],
}

/// A formal input or output.
pub struct Param {
    pub name: &'static str,
    pub arity: Arity,
    /// The type variable, such as `T`: parameters with the same variable have the same type. A plain type where there is no variable.
    pub var: &'static str,
    pub types: &'static Types,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    One,
    Optional,
    /// The last parameter, `min` or more times; all of one type if `homogeneous`.
    Variadic {
        min: usize,
        homogeneous: bool,
    },
}

/// A set of types: element types by kind of container, bit `DType as u32` each.
pub struct Types {
    pub tensor: u32,
    pub sequence: u32,
    pub optional: u32,
    pub optional_sequence: u32,
    pub map: bool,
    pub map_sequence: bool,
}

/// An attribute that an operator has.
pub struct AttrSpec {
    pub name: &'static str,
    pub kind: AttrKind,
    pub required: bool,
    pub default: Default,
}

/// The kinds of ONNX attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttrKind {
    Int,
    Float,
    Str,
    Tensor,
    Graph,
    Sparse,
    Type,
    Ints,
    Floats,
    Strs,
    Tensors,
    Graphs,
    Types,
    Sparses,
}

/// What an absent attribute means, where the schema says so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Default {
    None,
    Int(i64),
    Float(f32),
    Str(&'static str),
    Ints(&'static [i64]),
    Floats(&'static [f32]),
    Strs(&'static [&'static str]),
}

/// The newest opset of the default domain that the table covers.
pub const fn newest_opset() -> u32 {
    table::NEWEST_OPSET
}

/// The form of an operator that is in force at an opset version of its domain; `None` for operators that do not exist then.
pub fn find(domain: &str, name: &str, opset: u32) -> Option<&'static Schema> {
    versions(domain, name).iter().rev().find(|s| s.since <= opset)
}

/// The newest form of an operator that is not deprecated.
pub fn newest(domain: &str, name: &str) -> Option<&'static Schema> {
    versions(domain, name).iter().rev().find(|s| !s.deprecated)
}

/// The form with exactly this since-version, as [`OpName`] names it.
pub fn exact(op: &OpName) -> Option<&'static Schema> {
    versions(&op.domain, &op.name).iter().find(|s| s.since == op.version)
}

/// All forms of an operator, oldest first; empty for unknown operators.
pub fn versions(domain: &str, name: &str) -> &'static [Schema] {
    let domain = if domain == "ai.onnx" { "" } else { domain };
    let list: &'static [Schema] = &SCHEMAS;
    let start = list.partition_point(|s| (s.domain, s.name) < (domain, name));
    let end = start + list[start..].partition_point(|s| (s.domain, s.name) == (domain, name));
    &list[start..end]
}

impl Schema {
    /// Whether the operator has this attribute.
    pub fn attr(&self, name: &str) -> Option<&'static AttrSpec> {
        self.attrs.iter().find(|a| a.name == name)
    }
    /// The parameter that describes input `slot`; the last one repeats when it is variadic.
    pub fn input(&self, slot: usize) -> Option<&'static Param> {
        param(self.inputs, slot)
    }
    /// The parameter that describes output `slot`.
    pub fn output(&self, slot: usize) -> Option<&'static Param> {
        param(self.outputs, slot)
    }
    /// Arity, attributes, and the types of operands as far as they are known. What captured values feed is the regions' own matter.
    pub fn check(&self, graph: &Graph, id: NodeId) -> Vec<Diagnostic> {
        let node = graph.node(id);
        let mut found = self.check_form(node);
        if found.is_empty() {
            self.check_types(graph, node, &mut found);
        }
        found
    }
    /// Arity and attributes alone.
    pub fn check_form(&self, node: &Node) -> Vec<Diagnostic> {
        let mut found = vec![];
        if self.deprecated {
            let message = format!("'{}' is deprecated since opset {}", self.name, self.since);
            found.push(Diagnostic::warning("deprecated-operator", message).at(node));
        }
        let formal: Vec<bool> = formal_slots(node).map(|s| node.input(s).is_some()).collect();
        check_arity(node, "input", self.inputs, &formal, &mut found);
        let outputs: Vec<bool> = node.outputs().iter().map(|v| !v.name.is_empty()).collect();
        check_arity(node, "output", self.outputs, &outputs, &mut found);
        self.check_attrs(node, &mut found);
        found
    }
    fn check_attrs(&self, node: &Node, found: &mut Vec<Diagnostic>) {
        for (name, value) in node.attrs.iter() {
            let Some(spec) = self.attr(name) else {
                let message = format!("'{}' has no attribute '{name}' at version {}", self.name, self.since);
                let d = Diagnostic::error("unknown-attribute", message).at(node);
                found.push(match nearest(name, self.attrs.iter().map(|a| a.name)) {
                    Some(n) => d.help(format!("did it mean '{n}'?")),
                    None => d,
                });
                continue;
            };
            if !spec.kind.holds(value) {
                let message = format!("attribute '{name}' must be of kind {:?}", spec.kind).to_lowercase();
                found.push(Diagnostic::error("attribute-kind", message).at(node));
            }
        }
        for spec in self.attrs.iter().filter(|a| a.required) {
            let given = match spec.kind {
                AttrKind::Graph | AttrKind::Graphs => node.regions.iter().any(|r| &*r.name == spec.name),
                _ => node.attrs.get(spec.name).is_some(),
            };
            if !given {
                found.push(Diagnostic::error("missing-attribute", format!("attribute '{}' is required", spec.name)).at(node));
            }
        }
    }
    fn check_types(&self, graph: &Graph, node: &Node, found: &mut Vec<Diagnostic>) {
        let mut bound: Vec<(&str, &Type, &str)> = vec![];
        for slot in formal_slots(node) {
            let (Some(v), Some(p)) = (node.input(slot), self.input(slot)) else { continue };
            let ty = graph.ty(v);
            let name = &graph.value(v).name;
            if !p.types.accept(ty) {
                let message = format!("operand '{}' of '{}' cannot be {}", p.name, self.name, describe(ty));
                let help = format!("it takes {}", p.types.describe());
                found.push(Diagnostic::error("type-error", message).at(node).value(&**name).help(help));
                continue;
            }
            let heterogeneous = matches!(p.arity, Arity::Variadic { homogeneous: false, .. });
            if heterogeneous || !known(ty) {
                continue;
            }
            match bound.iter().find(|(var, ..)| *var == p.var) {
                None => bound.push((p.var, ty, p.name)),
                Some((_, first, _)) if element(first) == element(ty) => {}
                Some((_, first, other)) => {
                    let message = format!("operands '{other}' ({}) and '{}' ({}) must have one type", describe(first), p.name, describe(ty));
                    found.push(Diagnostic::error("type-error", message).at(node).value(&**name));
                }
            }
        }
    }
}

/// The slots that are formal operands: regions' captures come on top of them.
fn formal_slots(node: &Node) -> impl Iterator<Item = usize> + '_ {
    (0..node.inputs().len()).filter(|s| !node.regions.iter().any(|r| r.captures.contains(&(*s as u32))))
}

fn param(list: &'static [Param], slot: usize) -> Option<&'static Param> {
    list.get(slot).or_else(|| list.last().filter(|p| matches!(p.arity, Arity::Variadic { .. })))
}

fn check_arity(node: &Node, what: &str, params: &[Param], given: &[bool], found: &mut Vec<Diagnostic>) {
    let variadic = match params.last().map(|p| p.arity) {
        Some(Arity::Variadic { min, .. }) => Some(min),
        _ => None,
    };
    if variadic.is_none() && given.len() > params.len() {
        let message = format!("'{}' takes at most {} {what}s, {} are given", node.op, params.len(), given.len());
        found.push(Diagnostic::error("arity", message).at(node));
    }
    for (slot, p) in params.iter().enumerate() {
        let there = given.get(slot).copied().unwrap_or(false);
        match p.arity {
            Arity::One if !there => found.push(Diagnostic::error("arity", format!("{what} '{}' of '{}' is missing", p.name, node.op)).at(node)),
            Arity::Variadic { min, .. } if given.len() < slot + min => {
                let message = format!("'{}' needs at least {min} {what}s '{}', {} are given", node.op, p.name, given.len().saturating_sub(slot));
                found.push(Diagnostic::error("arity", message).at(node));
            }
            _ => {}
        }
    }
}

/// Type and element type, without the shape.
fn element(ty: &Type) -> (u8, DType) {
    match ty {
        Type::Tensor(t) => (0, t.dtype),
        Type::Sparse(t) => (1, t.dtype),
        Type::Sequence(t) => (2, element(t).1),
        Type::Optional(t) => (3, element(t).1),
        Type::Map(key, _) => (4, *key),
        Type::Unknown => (5, DType::Unknown),
    }
}

fn known(ty: &Type) -> bool {
    element(ty).1 != DType::Unknown
}

fn describe(ty: &Type) -> String {
    match ty {
        Type::Tensor(t) => t.dtype.to_string(),
        Type::Sparse(t) => format!("sparse {}", t.dtype),
        Type::Sequence(t) => format!("a sequence of {}", describe(t)),
        Type::Optional(t) => format!("an optional {}", describe(t)),
        Type::Map(key, _) => format!("a map from {key}"),
        Type::Unknown => "unknown".into(),
    }
}

impl Types {
    /// Whether the type is in the set; types that are not known are.
    pub fn accept(&self, ty: &Type) -> bool {
        let has = |set: u32, d: DType| (d == DType::Unknown && set != 0) || set & (1 << d as u32) != 0;
        match ty {
            Type::Unknown => true,
            Type::Tensor(t) => has(self.tensor, t.dtype),
            // Where ONNX takes sparse tensors it says so by the dense type.
            Type::Sparse(t) => has(self.tensor, t.dtype),
            Type::Map(..) => self.map,
            Type::Sequence(t) => match &**t {
                Type::Tensor(t) => has(self.sequence, t.dtype),
                Type::Map(..) => self.map_sequence,
                _ => self.sequence != 0,
            },
            Type::Optional(t) => match &**t {
                Type::Tensor(t) => has(self.optional, t.dtype),
                Type::Sequence(s) => has(self.optional_sequence, element(s).1),
                _ => self.optional != 0,
            },
        }
    }
    /// The element types of tensors in the set, in the order of [`DType`].
    pub fn tensors(&self) -> impl Iterator<Item = DType> + '_ {
        DType::all().filter(|d| *d != DType::Unknown && self.tensor & (1 << *d as u32) != 0)
    }
    fn describe(&self) -> String {
        let mut parts: Vec<String> = vec![];
        let kinds = [
            (self.tensor, ""),
            (self.sequence, "sequences of "),
            (self.optional, "optionals of "),
            (self.optional_sequence, "optional sequences of "),
        ];
        for (set, what) in kinds {
            let names: Vec<&str> = DType::all().filter(|d| set & (1 << *d as u32) != 0).map(DType::name).collect();
            if !names.is_empty() {
                parts.push(format!("{what}{}", names.join(", ")));
            }
        }
        if self.map || self.map_sequence {
            parts.push("maps".into());
        }
        parts.join("; ")
    }
}

impl AttrKind {
    /// Whether the value is of this kind. An empty list is of any list kind, as files do not tell them apart.
    pub fn holds(self, value: &Attr) -> bool {
        use AttrKind::*;
        match value {
            Attr::Int(_) => self == Int,
            Attr::Float(_) => self == Float,
            Attr::Str(_) => self == Str,
            Attr::Tensor(_) => self == Tensor,
            Attr::Type(_) => self == Type,
            Attr::Sparse(..) => self == Sparse,
            Attr::Ints(v) => self == Ints || (v.is_empty() && matches!(self, Floats | Strs)),
            Attr::Floats(v) => self == Floats || (v.is_empty() && matches!(self, Ints | Strs)),
            Attr::Strs(v) => self == Strs || (v.is_empty() && matches!(self, Ints | Floats)),
            Attr::Tensors(_) => self == Tensors,
            Attr::Types(_) => self == Types,
            // Bound when the function is called; checked then.
            Attr::Ref(..) => true,
        }
    }
}

impl Default {
    /// The default as an attribute; `None` where absence has its own meaning.
    pub fn to_attr(self) -> Option<Attr> {
        Some(match self {
            Default::None => return None,
            Default::Int(v) => Attr::Int(v),
            Default::Float(v) => Attr::Float(v),
            Default::Str(v) => v.into(),
            Default::Ints(v) => Attr::Ints(v.to_vec()),
            Default::Floats(v) => Attr::Floats(v.to_vec()),
            Default::Strs(v) => Attr::Strs(v.iter().map(|s| s.as_bytes().to_vec().into()).collect()),
        })
    }
}

// ---- for the table

const NONE: Types = Types { tensor: 0, sequence: 0, optional: 0, optional_sequence: 0, map: false, map_sequence: false };

const fn bits(dtypes: &[DType]) -> u32 {
    let (mut set, mut i) = (0, 0);
    while i < dtypes.len() {
        set |= 1 << dtypes[i] as u32;
        i += 1;
    }
    set
}
const fn one(name: &'static str, var: &'static str, types: &'static Types) -> Param {
    Param { name, arity: Arity::One, var, types }
}
const fn optional(name: &'static str, var: &'static str, types: &'static Types) -> Param {
    Param { name, arity: Arity::Optional, var, types }
}
const fn variadic(name: &'static str, var: &'static str, types: &'static Types, min: usize, homogeneous: bool) -> Param {
    Param { name, arity: Arity::Variadic { min, homogeneous }, var, types }
}
const fn attr(name: &'static str, kind: AttrKind, required: bool, default: Default) -> AttrSpec {
    AttrSpec { name, kind, required, default }
}
#[rustfmt::skip]
const fn schema(domain: &'static str, name: &'static str, since: u32, deprecated: bool, inputs: &'static [Param], outputs: &'static [Param], attrs: &'static [AttrSpec]) -> Schema {
    Schema { domain, name, since, deprecated, inputs, outputs, attrs }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapidary_ir::{Attrs, NodeSpec, Value};

    #[test]
    fn the_table_is_sorted_and_finds_versions() {
        assert!(SCHEMAS.windows(2).all(|w| (w[0].domain, w[0].name, w[0].since) < (w[1].domain, w[1].name, w[1].since)));
        assert_eq!(find("", "Conv", 17).map(|s| s.since), Some(11));
        assert_eq!(find("ai.onnx", "Squeeze", 12).map(|s| s.since), Some(11));
        assert_eq!(newest("", "Upsample").map(|s| s.since), Some(9));
        assert!(find("", "LayerNormalization", 16).is_none() && find("", "Nothing", 16).is_none());
    }

    fn codes(op: &str, version: u32, inputs: &[DType], attrs: Attrs) -> Vec<&'static str> {
        let mut g = Graph::new("g");
        let inputs: Vec<_> = inputs.iter().enumerate().map(|(i, d)| g.add_input(format!("x{i}"), Type::tensor(*d, [2, 2]))).collect();
        let id = g.add(NodeSpec::new(OpName::onnx(op, version), inputs, vec![Value::new("y", Type::Unknown)]).attrs(attrs));
        exact(&g.node(id).op).map(|s| s.check(&g, id)).unwrap_or_default().into_iter().map(|d| d.code).collect()
    }

    #[test]
    fn nodes_are_checked_against_their_schema() {
        use DType::*;
        assert_eq!(codes("Add", 14, &[F32, F32], Attrs::new()), [""; 0]);
        assert_eq!(codes("Add", 14, &[F32], Attrs::new()), ["arity"]);
        assert_eq!(codes("Add", 14, &[F32, F32, F32], Attrs::new()), ["arity"]);
        assert_eq!(codes("Add", 14, &[F32, I64], Attrs::new()), ["type-error"]);
        assert_eq!(codes("Add", 14, &[Bool, Bool], Attrs::new()), ["type-error", "type-error"]);
        assert_eq!(codes("Add", 14, &[Unknown, I32], Attrs::new()), [""; 0]);
        assert_eq!(codes("Concat", 13, &[F32, F32], Attrs::new()), ["missing-attribute"]);
        assert_eq!(codes("Concat", 13, &[F32], Attrs::new().with("axis", 1.0f32)), ["attribute-kind"]);
        assert_eq!(codes("Concat", 13, &[F32], Attrs::new().with("axes", 1).with("axis", 0)), ["unknown-attribute"]);
    }
}
