use crate::{Contents, find};
use lapidary_ir::{DType, Diagnostic, Dim, Graph, Node, NodeId, Result, Shape, Symbols, Tensor, TensorType, Type, ValueId};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// What inference knows beyond types.
#[derive(Default)]
pub struct Facts {
    /// Contents of small integer values that are computed from sizes.
    pub contents: FxHashMap<ValueId, Contents>,
    /// Declared types that were dropped for being stale, and operators without rules.
    pub notes: Vec<Diagnostic>,
    /// Symbols of the graph's inputs: what everything else is said in.
    bound: std::collections::BTreeSet<lapidary_ir::Name>,
    /// Symbols made by inference, and what the declared types of the graph's outputs say that they are.
    solved: std::collections::BTreeMap<lapidary_ir::Name, Dim>,
}

/// How often types are inferred anew with what the outputs' declarations told.
const ROUNDS: usize = 4;

impl Facts {
    /// Contents of a value: computed, or of an integer constant.
    pub fn contents(&self, graph: &Graph, value: ValueId) -> Option<Contents> {
        self.contents.get(&value).cloned().or_else(|| Contents::of(graph.as_constant(value)?))
    }
}

/// What one operator's `infer` sees, and where it puts its results.
pub struct InferCtx<'a> {
    pub node: &'a Node,
    pub symbols: &'a mut Symbols,
    inputs: Vec<Option<Operand<'a>>>,
    /// For operators with regions: the types of the outputs of each region.
    pub region_outputs: Vec<Vec<Type>>,
    outputs: Vec<(Type, Option<Contents>)>,
}

#[derive(Clone)]
struct Operand<'a> {
    ty: &'a Type,
    constant: Option<&'a Arc<Tensor>>,
    contents: Option<Contents>,
}

impl<'a> InferCtx<'a> {
    /// How many operands were given, omitted ones in between counted.
    pub fn input_count(&self) -> usize {
        self.inputs.len()
    }
    pub fn output_count(&self) -> usize {
        self.outputs.len()
    }
    pub fn has(&self, slot: usize) -> bool {
        self.inputs.get(slot).is_some_and(Option::is_some)
    }
    fn operand(&self, slot: usize) -> Option<&Operand<'a>> {
        self.inputs.get(slot)?.as_ref()
    }
    /// The type of an operand, of any kind.
    pub fn any_ty(&self, slot: usize) -> Result<&'a Type> {
        match self.operand(slot) {
            Some(o) => Ok(o.ty),
            None => Err(self.error("missing-operand", format!("operand {slot} is missing")).into()),
        }
    }
    /// The type of a tensor operand. A value of unknown type counts as a tensor of unknown type and shape.
    pub fn ty(&self, slot: usize) -> Result<TensorType> {
        match self.any_ty(slot)? {
            Type::Tensor(t) => Ok(t.clone()),
            Type::Unknown => Ok(TensorType::new(DType::Unknown, Shape::Unranked)),
            _ => Err(self.error("type-error", format!("operand {slot} is not a tensor")).into()),
        }
    }
    pub fn dtype(&self, slot: usize) -> Result<DType> {
        Ok(self.ty(slot)?.dtype)
    }
    /// The dims of a ranked tensor operand; `None` when missing or unranked.
    pub fn dims(&self, slot: usize) -> Option<&'a [Dim]> {
        self.operand(slot)?.ty.dims()
    }
    /// The tensor of a constant operand.
    pub fn constant(&self, slot: usize) -> Option<&'a Arc<Tensor>> {
        self.operand(slot)?.constant
    }
    /// The elements of an integer operand, as sizes, if known.
    pub fn contents(&self, slot: usize) -> Option<Contents> {
        let o = self.operand(slot)?;
        o.contents.clone().or_else(|| Contents::of(o.constant?))
    }
    /// The elements of an integer operand that is constant (or computes to plain numbers).
    pub fn ints(&self, slot: usize) -> Option<Vec<i64>> {
        self.contents(slot)?.as_ints().or_else(|| self.constant(slot)?.to_i64())
    }
    pub fn set(&mut self, output: usize, ty: impl Into<Type>) {
        if let Some(o) = self.outputs.get_mut(output) {
            o.0 = ty.into();
        }
    }
    pub fn set_tensor(&mut self, output: usize, dtype: DType, shape: Shape) {
        self.set(output, TensorType::new(dtype, shape));
    }
    /// Gives an output its contents too; kept only up to [`Contents::LIMIT`] elements.
    pub fn set_contents(&mut self, output: usize, contents: Contents) {
        if contents.dims.len() <= Contents::LIMIT
            && let Some(o) = self.outputs.get_mut(output)
        {
            o.1 = Some(contents);
        }
    }
    /// A shape of `rank` dims that only the run will tell.
    pub fn fresh_shape(&mut self, rank: usize) -> Shape {
        Shape::Ranked((0..rank).map(|_| self.symbols.fresh()).collect())
    }
    pub fn error(&self, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, message).at(self.node)
    }
    /// Two dims that must be equal: the more telling one. Constants that differ are a shape conflict; symbols that differ are left to
    /// the run's checks.
    pub fn same(&self, what: &str, a: &Dim, b: &Dim) -> Result<Dim> {
        match (a.as_const(), b.as_const()) {
            (Some(x), Some(y)) if x != y => Err(self.error("shape-conflict", format!("{what}: {x} and {y} differ")).into()),
            (None, Some(_)) => Ok(b.clone()),
            _ => Ok(a.clone()),
        }
    }
    /// Numpy broadcasting of several shapes. Two different symbols give `max(N, M)`: they must be equal or 1 at run time.
    pub fn broadcast(&self, shapes: &[&[Dim]]) -> Result<Shape> {
        let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
        let mut out: Vec<Dim> = vec![Dim::from(1); rank];
        for shape in shapes {
            for (axis, d) in shape.iter().enumerate() {
                let at = &mut out[rank - shape.len() + axis];
                *at = match (at.as_const(), d.as_const()) {
                    (Some(1), _) => d.clone(),
                    (_, Some(1)) => continue,
                    (Some(x), Some(y)) if x != y => {
                        return Err(self.error("shape-conflict", format!("shapes {shapes:?} cannot be broadcast: {x} and {y} differ")).into());
                    }
                    (Some(_), _) => continue,
                    (None, Some(_)) => d.clone(),
                    (None, None) if at == d => continue,
                    (None, None) => at.maximum(d),
                };
            }
        }
        Ok(Shape::Ranked(out.into()))
    }
}

/// Gives every value the type that its producer's rule infers, in place. Types of graph inputs are taken as they are declared. A
/// declared type of an inner value that contradicts inference is stale: it is replaced, with a note. A contradiction at a graph output
/// is an error, as are operands that do not fit an operator.
pub fn infer_types(graph: &mut Graph) -> Result<Facts> {
    let mut facts = Facts::default();
    for v in graph.inputs() {
        graph.ty(*v).dims().into_iter().flatten().for_each(|d| facts.bound.extend(d.symbols()));
    }
    for _ in 0..ROUNDS {
        infer_graph(graph, &mut facts, 0)?;
        if facts.solved.is_empty() {
            break;
        }
        let solved = std::mem::take(&mut facts.solved);
        substitute(graph, &solved);
        facts.notes.clear();
    }
    Ok(facts)
}

/// Puts sizes in place of symbols in all types.
fn substitute(graph: &mut Graph, solved: &std::collections::BTreeMap<lapidary_ir::Name, Dim>) {
    let values: Vec<ValueId> = graph.node_ids().flat_map(|id| (0..graph.node(id).outputs().len()).map(move |o| id.out(o))).collect();
    for v in values {
        let Type::Tensor(t) = graph.ty(v) else { continue };
        let Some(dims) = t.shape.dims() else { continue };
        if dims.iter().any(|d| d.symbols().iter().any(|s| solved.contains_key(s))) {
            let dims = dims.iter().map(|d| d.substitute(&|s| solved.get(s).cloned())).collect();
            graph.value_mut(v).ty = Type::Tensor(TensorType::new(t.dtype, Shape::Ranked(dims)));
        }
    }
}

/// Bodies nested deeper than this are refused.
const REGION_DEPTH: usize = 32;

fn infer_graph(graph: &mut Graph, facts: &mut Facts, depth: usize) -> Result<()> {
    if depth > REGION_DEPTH {
        return Err(Diagnostic::error("too-deep", format!("subgraphs are nested more than {REGION_DEPTH} deep")).into());
    }
    reserve_symbols(graph);
    for id in graph.topological()? {
        if graph.node(id).is_input() || graph.node(id).is_const() {
            continue;
        }
        infer_one(graph, id, facts, depth)?;
    }
    Ok(())
}

/// Infers the types of one node's outputs from those of its operands: for nodes added to a graph that is inferred already.
pub fn infer_node(graph: &mut Graph, id: NodeId, facts: &mut Facts) -> Result<()> {
    infer_one(graph, id, facts, 0)
}

fn infer_one(graph: &mut Graph, id: NodeId, facts: &mut Facts, depth: usize) -> Result<()> {
    let region_outputs = infer_regions(graph, id, facts, depth)?;
    let mut symbols = std::mem::take(&mut graph.symbols);
    let node = graph.node(id);
    let mut inputs = vec![];
    for v in node.inputs() {
        inputs.push(v.map(|v| Operand { ty: graph.ty(v), constant: graph.as_constant(v), contents: facts.contents.get(&v).cloned() }));
    }
    let outputs = node.outputs().iter().map(|_| (Type::Unknown, None)).collect();
    let mut ctx = InferCtx { node, symbols: &mut symbols, inputs, region_outputs, outputs };
    let result = match find(&node.op) {
        Some(def) => (def.infer)(&mut ctx),
        None => Ok(()),
    };
    let outputs = std::mem::take(&mut ctx.outputs);
    let declared: Vec<Type> = node.outputs().iter().map(|v| v.ty.clone()).collect();
    graph.symbols = symbols;
    result?;
    for (i, (ty, contents)) in outputs.into_iter().enumerate() {
        let value = id.out(i);
        let merged = merge(graph, value, ty, &declared[i], facts)?;
        graph.value_mut(value).ty = merged;
        match contents {
            Some(c) => facts.contents.insert(value, c),
            None => facts.contents.remove(&value),
        };
    }
    Ok(())
}

/// Bodies see the types of what they capture; their formal inputs keep declared types (an operator's own rule may refine them).
fn infer_regions(graph: &mut Graph, id: NodeId, facts: &mut Facts, depth: usize) -> Result<Vec<Vec<Type>>> {
    if graph.node(id).regions.is_empty() {
        return Ok(vec![]);
    }
    let operands: Vec<Option<Type>> = graph.node(id).inputs().iter().map(|v| v.map(|v| graph.ty(v).clone())).collect();
    let mut regions = std::mem::take(&mut graph.node_mut(id).regions);
    let mut out = vec![];
    for region in &mut regions {
        let inputs = region.graph.inputs().to_vec();
        let formal = inputs.len().saturating_sub(region.captures.len());
        for (slot, value) in region.captures.iter().zip(&inputs[formal..]) {
            if let Some(Some(ty)) = operands.get(*slot as usize) {
                region.graph.value_mut(*value).ty = ty.clone();
            }
        }
        region.graph.symbols = graph.symbols.clone();
        let mut inner = Facts::default();
        infer_graph(&mut region.graph, &mut inner, depth + 1)?;
        graph.symbols = region.graph.symbols.clone();
        facts.notes.append(&mut inner.notes);
        out.push(region.graph.outputs().iter().map(|o| region.graph.ty(*o).clone()).collect());
    }
    graph.node_mut(id).regions = regions;
    Ok(out)
}

/// Fresh symbols must not meet names that the file itself uses.
fn reserve_symbols(graph: &mut Graph) {
    let mut names = std::collections::BTreeSet::new();
    for id in graph.node_ids() {
        for v in graph.node(id).outputs() {
            v.ty.dims().into_iter().flatten().for_each(|d| names.extend(d.symbols()));
        }
    }
    names.iter().for_each(|n| graph.symbols.reserve(n));
}

/// Inference wins where it knows; a declaration fills what it leaves open.
fn merge(graph: &Graph, value: ValueId, inferred: Type, declared: &Type, facts: &mut Facts) -> Result<Type> {
    let (Type::Tensor(i), Type::Tensor(d)) = (&inferred, declared) else {
        // A declaration may promise that an optional holds a value, as that of a loop that begins with none and runs at least once.
        if let Type::Optional(held) = &inferred
            && std::mem::discriminant(&**held) == std::mem::discriminant(declared)
        {
            return Ok(declared.clone());
        }
        return Ok(if inferred == Type::Unknown { declared.clone() } else { inferred });
    };
    let conflict = |what: String| {
        let name = &graph.value(value).name;
        Diagnostic::error("shape-conflict", format!("'{name}' is declared as {what}")).at(graph.producer(value)).value(&**name)
    };
    if i.dtype != DType::Unknown && d.dtype != DType::Unknown && i.dtype != d.dtype {
        let found = conflict(format!("{}, but its operator gives {}", d.dtype, i.dtype));
        if graph.is_output(value) {
            return Err(found.into());
        }
        facts.notes.push(Diagnostic { severity: lapidary_ir::Severity::Note, code: "stale-type", ..found });
        return Ok(inferred);
    }
    let dtype = if i.dtype == DType::Unknown { d.dtype } else { i.dtype };
    let shape = match (i.shape.dims(), d.shape.dims()) {
        (None, _) => d.shape.clone(),
        (_, None) => i.shape.clone(),
        (Some(a), Some(b)) => {
            let clash = a.len() != b.len() || a.iter().zip(b).any(|(x, y)| x.is_const() && y.is_const() && x != y);
            if clash {
                let found = conflict(format!("{b:?}, but its operator gives {a:?}"));
                if graph.is_output(value) {
                    return Err(found.into());
                }
                facts.notes.push(Diagnostic { severity: lapidary_ir::Severity::Note, code: "stale-type", ..found });
                return Ok(inferred);
            }
            // A fresh symbol says less than whatever the file says; everything else that was inferred says more.
            let fresh = |d: &Dim| d.as_symbol().is_some_and(|n| n.starts_with("_d") && !facts.bound.contains(n));
            // What a model says of its outputs holds of what they are made of, too.
            if graph.is_output(value) {
                for (x, y) in a.iter().zip(b).filter(|(x, y)| fresh(x) && x != y) {
                    if let Some(name) = x.as_symbol().filter(|_| y.symbols().is_subset(&facts.bound)) {
                        facts.solved.entry(name.clone()).or_insert_with(|| y.clone());
                    }
                }
            }
            Shape::Ranked(a.iter().zip(b).map(|(x, y)| if fresh(x) { y.clone() } else { x.clone() }).collect())
        }
    };
    Ok(Type::Tensor(TensorType::new(dtype, shape)))
}
