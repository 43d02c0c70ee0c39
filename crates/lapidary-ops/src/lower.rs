use crate::{Contents, Facts};
use lapidary_ir::{DType, Diagnostic, Dim, Dims, Graph, Name, Node, NodeId, Result, Tensor, ValueId};
use lapidary_kernel::{Buffer, BufferId, BufferKind, Check, Kernel, KernelBuilder, Program};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// An operand or result as kernels see it.
#[derive(Clone, Debug)]
pub struct Operand {
    pub buffer: BufferId,
    pub dtype: DType,
    pub dims: Dims,
}

impl Operand {
    pub fn rank(&self) -> usize {
        self.dims.len()
    }
}

/// What one operator's `lower` sees. It adds kernels that fill the buffers of the node's outputs, and knows nothing of its neighbours:
/// views are kernels of one load and one store, which fusion composes away.
pub struct LowerCtx<'a> {
    pub graph: &'a Graph,
    pub id: NodeId,
    pub facts: &'a Facts,
    pub program: &'a mut Program,
    pub buffers: &'a mut FxHashMap<ValueId, BufferId>,
    /// The kernels of this node, in order.
    pub kernels: Vec<Kernel>,
}

impl<'a> LowerCtx<'a> {
    pub fn node(&self) -> &'a Node {
        self.graph.node(self.id)
    }
    pub fn has(&self, slot: usize) -> bool {
        self.node().input(slot).is_some()
    }
    /// An operand, to be read. Asking for it is what makes it needed: operands that only shape inference reads are never computed.
    pub fn input(&mut self, slot: usize) -> Result<Operand> {
        match self.node().input(slot) {
            Some(v) => self.operand(v),
            None => Err(self.unsupported(format!("operand {slot} is missing")).into()),
        }
    }
    /// A result, to be stored.
    pub fn output(&mut self, output: usize) -> Result<Operand> {
        self.operand(self.id.out(output))
    }
    /// Whether anything reads the result.
    pub fn wants(&self, output: usize) -> bool {
        output < self.node().outputs().len() && self.graph.use_count(self.id.out(output)) > 0
    }
    fn operand(&mut self, v: ValueId) -> Result<Operand> {
        let ty = self.graph.ty(v);
        let name = self.graph.value(v).name.clone();
        let (Some(t), Some(dims)) = (ty.as_tensor(), ty.dims()) else {
            return Err(self.unsupported(format!("the shape of '{name}' is not known at compile time")).value(&*name).into());
        };
        let (dtype, dims) = (t.dtype, Dims::from(dims));
        if let Some(buffer) = self.buffers.get(&v) {
            return Ok(Operand { buffer: *buffer, dtype, dims });
        }
        let kind = match self.graph.as_constant(v) {
            Some(t) => BufferKind::Const(t.clone()),
            None => BufferKind::Temp,
        };
        let buffer = self.program.add_buffer(Buffer { name, dtype, dims: dims.clone(), kind });
        self.buffers.insert(v, buffer);
        Ok(Operand { buffer, dtype, dims })
    }
    /// The tensor of a constant operand.
    pub fn constant(&self, slot: usize) -> Option<&'a Arc<Tensor>> {
        self.graph.as_constant(self.node().input(slot)?)
    }
    /// The elements of an integer operand, as sizes, if known at compile time.
    pub fn contents(&self, slot: usize) -> Option<Contents> {
        self.facts.contents(self.graph, self.node().input(slot)?)
    }
    /// The elements of an integer operand that must be known, as sizes.
    pub fn sizes(&self, slot: usize, what: &str) -> Result<Vec<Dim>> {
        let found = self.contents(slot).map(|c| c.dims);
        found.ok_or_else(|| self.unsupported(format!("{what} is only known at run time")).into())
    }
    /// A buffer for what one kernel of this node hands to the next.
    pub fn temp(&mut self, name: &str, dtype: DType, dims: &[Dim]) -> Operand {
        let name: Name = format!("{}.{name}", self.node().label()).into();
        let buffer = self.program.add_buffer(Buffer { name, dtype, dims: dims.into(), kind: BufferKind::Temp });
        Operand { buffer, dtype, dims: dims.into() }
    }
    /// A constant that the lowering itself makes.
    pub fn constant_buffer(&mut self, name: &str, tensor: Tensor) -> Operand {
        let name: Name = format!("{}.{name}", self.node().label()).into();
        let (dtype, dims) = (tensor.dtype(), tensor.sizes().iter().map(|s| Dim::from(*s)).collect::<Dims>());
        let buffer = self.program.add_buffer(Buffer { name, dtype, dims: dims.clone(), kind: BufferKind::Const(tensor.into()) });
        Operand { buffer, dtype, dims }
    }
    /// A builder for a kernel of this node, named after operator and node.
    pub fn kernel(&self) -> KernelBuilder {
        let label: Name = self.node().label().into();
        KernelBuilder::new(format!("{}:{label}", self.node().op.name), &[label])
    }
    pub fn push(&mut self, kernel: KernelBuilder) {
        let mut kernel = kernel.finish();
        // Neighbours share a byte: two threads must not write it.
        kernel.serial |= kernel.writes().iter().any(|b| self.program.buffer(*b).dtype.is_packed());
        self.kernels.push(kernel);
    }
    /// An equation between sizes that the run must test, unless it is known to hold.
    pub fn check_equal(&mut self, left: &Dim, right: &Dim, or_one: bool) {
        if left == right || (or_one && (left.as_const() == Some(1) || right.as_const() == Some(1))) {
            return;
        }
        let message = format!("{} '{}' needs equal sizes, but {left} and {right} differ", self.node().op, self.node().label());
        let check = Check { left: left.clone(), right: right.clone(), or_one, message };
        if !self.program.checks.contains(&check) {
            self.program.checks.push(check);
        }
    }
    /// A limit of ours, at this node.
    pub fn unsupported(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::unsupported("lower", message).at(self.node())
    }
}
