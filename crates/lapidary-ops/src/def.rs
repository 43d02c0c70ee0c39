use crate::eval::{Datum, EvalCtx};
use crate::infer::InferCtx;
use crate::lower::LowerCtx;
use lapidary_ir::{Graph, NodeId, OpName, Result};

pub type InferFn = fn(&mut InferCtx<'_>) -> Result<()>;
/// Adds the kernels that compute the node.
pub type LowerFn = fn(&mut LowerCtx<'_>) -> Result<()>;
pub type EvalFn = fn(&EvalCtx<'_>) -> Result<Vec<Datum>>;

/// An operator: data with function fields. An absent rule is a visible `None`, so the support table prints itself.
pub struct OpDef {
    /// The operator's domain; empty for ONNX's default one.
    pub domain: &'static str,
    pub name: &'static str,
    /// The text of the operator's own file: its module comment is the manual page of `lapidary ops NAME`.
    pub source: &'static str,
    /// Types of the outputs from those of the inputs; contents of small integer tensors.
    pub infer: InferFn,
    /// The reference meaning: plain, slow, obviously right.
    pub eval: Option<EvalFn>,
    /// The kernels that compute it; `None` where there is no native code for it yet.
    pub lower: Option<LowerFn>,
    /// Whether the two operands may change places.
    pub commutative: bool,
    /// How older versions of the operator map to the newest one and back, newest change first.
    pub forms: &'static [Form],
}

/// One incompatible change of an operator between versions.
pub struct Form {
    /// The since-version that brought the newer form.
    pub since: u32,
    /// Turns a node of the older form into the newer. `Ok(false)`: this node has no newer form and stays as it is.
    pub lift: fn(&mut Graph, NodeId) -> Result<bool>,
    /// Turns a node of the newer form into the older; the error says why that cannot be.
    pub lower: fn(&mut Graph, NodeId) -> Result<(), String>,
}

impl OpDef {
    /// A definition with nothing but types; for `..OpDef::base(…)`.
    pub const fn base(name: &'static str, source: &'static str, infer: InferFn) -> OpDef {
        OpDef { domain: "", name, source, infer, eval: None, lower: None, commutative: false, forms: &[] }
    }
    /// The manual page: the module comment of the operator's file.
    pub fn manual(&self) -> String {
        let lines = self.source.lines().take_while(|l| l.starts_with("//!"));
        lines.map(|l| l.trim_start_matches("//!").strip_prefix(' ').unwrap_or("")).collect::<Vec<_>>().join("\n")
    }
}

/// The definition of an operator, if Lapidary knows it.
pub fn find(op: &OpName) -> Option<&'static OpDef> {
    let list = crate::OPS;
    list.binary_search_by(|d| (d.domain, d.name).cmp(&(&*op.domain, &*op.name))).ok().map(|i| list[i])
}
