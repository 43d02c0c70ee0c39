use crate::{AxisId, BinaryOp, Expr, ExprId, ExprKind, Factors, Guard, Index, Plan, Schedule, Strips};
use lapidary_ir::{DType, Dim, Dims, Name, Tensor};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// Buffers, and the kernels that fill them, in order.
#[derive(Clone, Debug, Default)]
pub struct Program {
    pub name: Name,
    pub buffers: Vec<Buffer>,
    pub kernels: Vec<Kernel>,
    /// What must hold of the sizes at run time.
    pub checks: Vec<Check>,
}

/// An equation between sizes that only the run can test.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    pub left: Dim,
    pub right: Dim,
    /// Whether `left == 1` or `right == 1` also passes (broadcasting).
    pub or_one: bool,
    /// What to tell the user when it fails.
    pub message: String,
}

/// A row-major array.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    pub name: Name,
    pub dtype: DType,
    pub dims: Dims,
    pub kind: BufferKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum BufferKind {
    /// The program's input of this number.
    Input(u32),
    /// The program's output of this number.
    Output(u32),
    Const(Arc<Tensor>),
    /// Lives in the arena between its first and last use.
    Temp,
}

/// A buffer, by position in [`Program::buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

/// Loops over buffers: what is computed, with no order, tiles or target.
///
/// For every point of the parallel axes (the first `parallel` of `axes`), independently, the statements run in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    pub name: Name,
    /// Labels of the graph nodes that the kernel computes.
    pub origin: Vec<Name>,
    pub axes: Vec<Axis>,
    pub parallel: usize,
    pub exprs: Vec<Expr>,
    pub locals: Vec<Local>,
    pub body: Vec<Stmt>,
    /// Points must run in order, by one thread (scatters whose targets may coincide).
    pub serial: bool,
    /// The steps of a recurrence that the kernel is part of.
    pub recurrence: Option<Recurrence>,
    /// How it is executed; chosen after fusion.
    pub schedule: Option<Schedule>,
}

/// Part of a recurrence: neighbouring kernels of one number are one *run*. Their first axes, up to `axis`, are the same; `axis` counts steps,
/// those before it count recurrences that know nothing of each other (the directions of a layer). The steps of each are taken in order, and each
/// step through all kernels of the run before the next: so kernels may read what a step before stored, and nothing that is stored later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recurrence {
    pub number: u32,
    pub axis: AxisId,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    pub name: Name,
    pub extent: Dim,
}

/// A scalar (no axes) or an array along axes that are not parallel, private to one point of the parallel axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Local {
    pub name: Name,
    pub dtype: DType,
    pub axes: Vec<AxisId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalId(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceOp {
    Sum,
    Product,
    /// NaN wins.
    Min,
    /// NaN wins.
    Max,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Stmt {
    /// `local = value` for every point of the local's axes.
    Let { local: LocalId, value: ExprId },
    /// `local = op over axes of value` for every point of the local's axes; the empty reduction gives the neutral element. The order
    /// of the terms belongs to the schedule.
    Reduce { local: LocalId, op: ReduceOp, over: Vec<AxisId>, value: ExprId },
    /// `buffer[index] = value` for every point of `axes` where the guard holds.
    Store { buffer: BufferId, index: Vec<Index>, axes: Vec<AxisId>, guard: Guard, value: ExprId },
}

impl Program {
    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.0 as usize]
    }
    pub fn buffer_mut(&mut self, id: BufferId) -> &mut Buffer {
        &mut self.buffers[id.0 as usize]
    }
    pub fn add_buffer(&mut self, buffer: Buffer) -> BufferId {
        self.buffers.push(buffer);
        BufferId(self.buffers.len() as u32 - 1)
    }
    pub fn buffer_ids(&self) -> impl Iterator<Item = BufferId> + use<> {
        (0..self.buffers.len() as u32).map(BufferId)
    }
    /// The kernels that are run together with kernel `at`: those of its recurrence, or itself alone.
    pub fn run_of(&self, at: usize) -> Range<usize> {
        let number = |i: usize| self.kernels.get(i).and_then(|k| k.recurrence).map(|r| r.number);
        let Some(own) = number(at) else { return at..at + 1 };
        let first = (0..at).rev().take_while(|i| number(*i) == Some(own)).last().unwrap_or(at);
        let last = (at..self.kernels.len()).take_while(|i| number(*i) == Some(own)).last().unwrap_or(at);
        first..last + 1
    }
    /// All kernels, in order, cut into what is run together.
    pub fn runs(&self) -> Vec<Range<usize>> {
        let mut out: Vec<Range<usize>> = vec![];
        while let Some(first) = Some(out.last().map_or(0, |r| r.end)).filter(|f| *f < self.kernels.len()) {
            out.push(self.run_of(first));
        }
        out
    }
    /// The recurrences as what code generation takes strip by strip, every buffer in the arena.
    pub fn recurrences(&self) -> Vec<Strips> {
        let run = |range: Range<usize>| {
            let k = &self.kernels[range.start];
            let axis = k.recurrence?.axis;
            let count = (0..axis.0).fold(Dim::from(1), |n, a| &n * k.extent(AxisId(a)));
            let (axes, each) = (k.leading(), k.extent(axis).clone());
            Some(Strips { first: range.start, kernels: range.len(), axes, count, each, private: vec![], private_bytes: Dim::from(0) })
        };
        self.runs().into_iter().filter_map(run).collect()
    }
}

impl Buffer {
    pub fn elements(&self) -> Dim {
        self.dims.iter().fold(Dim::from(1), |a, d| &a * d)
    }
    pub fn constant(&self) -> Option<&Arc<Tensor>> {
        match &self.kind {
            BufferKind::Const(t) => Some(t),
            _ => None,
        }
    }
}

/// A factor of a product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factor {
    pub load: ExprId,
    /// 128 is added to a signed code, which makes it an unsigned one.
    pub moved: bool,
}

impl Kernel {
    pub fn expr(&self, id: ExprId) -> &Expr {
        &self.exprs[id.0 as usize]
    }
    pub fn extent(&self, axis: AxisId) -> &Dim {
        &self.axes[axis.0 as usize].extent
    }
    pub fn local(&self, id: LocalId) -> &Local {
        &self.locals[id.0 as usize]
    }
    pub fn is_parallel(&self, axis: AxisId) -> bool {
        (axis.0 as usize) < self.parallel
    }
    pub fn parallel_axes(&self) -> impl Iterator<Item = AxisId> + use<> {
        (0..self.parallel as u16).map(AxisId)
    }
    /// How many first axes belong to the recurrence that the kernel is part of: what is done at one point of them is one step.
    pub fn leading(&self) -> usize {
        self.recurrence.map_or(0, |r| usize::from(r.axis.0) + 1)
    }
    /// The parallel axes of one step.
    pub fn free_axes(&self) -> impl Iterator<Item = AxisId> + use<> {
        (self.leading() as u16..self.parallel as u16).map(AxisId)
    }
    /// Buffers read, each once, in order of first occurrence.
    pub fn reads(&self) -> Vec<BufferId> {
        let mut out = vec![];
        for e in &self.exprs {
            if let ExprKind::Load { buffer, .. } = &e.kind
                && !out.contains(buffer)
            {
                out.push(*buffer);
            }
        }
        out
    }
    /// Buffers written, each once.
    pub fn writes(&self) -> Vec<BufferId> {
        let mut out = vec![];
        for s in &self.body {
            if let Stmt::Store { buffer, .. } = s
                && !out.contains(buffer)
            {
                out.push(*buffer);
            }
        }
        out
    }
    /// Whether it reads of a buffer what it may write itself: not what lies apart from that along some dim.
    pub fn reads_own(&self) -> bool {
        let range = |i: &Index| i.range(&|a| self.extent(a).clone());
        let before = |a: &Index, b: &Index| match (range(a), range(b)) {
            (Some((_, high)), Some((low, _))) => (&high + &Dim::from(1)).known_le(&low),
            _ => false,
        };
        let apart = |a: &[Index], b: &[Index]| a.iter().zip(b).any(|(a, b)| before(a, b) || before(b, a));
        let mut stores = self.body.iter().filter_map(|s| match s {
            Stmt::Store { buffer, index, .. } => Some((buffer, index)),
            _ => None,
        });
        stores.any(|(written, to)| {
            let overlaps = |e: &Expr| matches!(&e.kind, ExprKind::Load { buffer, index, .. } if buffer == written && !apart(to, index));
            self.exprs.iter().any(overlaps)
        })
    }
    /// Other buffers in the place of those read and written.
    pub fn rename_buffers(&mut self, new: &impl Fn(BufferId) -> BufferId) {
        for e in &mut self.exprs {
            if let ExprKind::Load { buffer, .. } = &mut e.kind {
                *buffer = new(*buffer);
            }
        }
        for s in &mut self.body {
            if let Stmt::Store { buffer, .. } = s {
                *buffer = new(*buffer);
            }
        }
    }
    /// The symbols of every size within, sorted: what must be known to run the kernel besides its buffers.
    pub fn symbols(&self) -> BTreeSet<Name> {
        let mut dims: Vec<Dim> = self.axes.iter().map(|a| a.extent.clone()).collect();
        self.indices().into_iter().for_each(|i| i.dims(&mut dims));
        for e in &self.exprs {
            if let ExprKind::Within(g) | ExprKind::Load { guard: g, .. } = &e.kind {
                dims.extend(g.iter().map(|(_, d)| d.clone()));
            }
        }
        for s in &self.body {
            if let Stmt::Store { guard, .. } = s {
                dims.extend(guard.iter().map(|(_, d)| d.clone()));
            }
        }
        dims.iter().filter(|d| !d.is_const()).flat_map(|d| d.symbols()).collect()
    }
    /// What a sum of products `x · y` multiplies, and the two loads in it.
    pub fn factors(&self, sum: DType, x: ExprId, y: ExprId) -> Option<(Factors, [Factor; 2])> {
        if sum == DType::I32 {
            return Some((Factors::Codes, [self.code(x)?, self.code(y)?]));
        }
        let load = |e: ExprId, dtype: DType| {
            let found = self.expr(e).dtype == dtype && matches!(self.expr(e).kind, ExprKind::Load { .. });
            found.then_some(Factor { load: e, moved: false })
        };
        let half = |e: ExprId| match self.expr(e).kind {
            ExprKind::Cast(v) if self.expr(e).dtype == DType::F32 => load(v, DType::BF16),
            _ => None,
        };
        if sum != DType::F32 {
            return None;
        }
        match (half(x), half(y)) {
            (Some(x), Some(y)) => Some((Factors::Bf16, [x, y])),
            _ => Some((Factors::F32, [load(x, DType::F32)?, load(y, DType::F32)?])),
        }
    }
    fn code(&self, factor: ExprId) -> Option<Factor> {
        let (e, moved) = match self.expr(factor).kind {
            ExprKind::Binary(BinaryOp::Add, v, by) if matches!(self.expr(by).kind, ExprKind::Const(s) if s.as_i64() == 128) => (v, true),
            _ => (factor, false),
        };
        let ExprKind::Cast(load) = self.expr(e).kind else { return None };
        let codes = match self.expr(load).dtype {
            DType::U8 => !moved,
            DType::I8 => true,
            _ => false,
        };
        let codes = codes && matches!(self.expr(load).kind, ExprKind::Load { .. });
        codes.then_some(Factor { load, moved })
    }
    /// The floating-point and integer operations of the kernel, a product and its sum counted apart.
    pub fn operations(&self) -> Dim {
        let mut operations = Dim::from(0);
        for s in &self.body {
            let computed = self.needed(s).into_iter().filter(|e| matches!(self.expr(*e).kind, ExprKind::Unary(..) | ExprKind::Binary(..)));
            let each = i64::from(matches!(s, Stmt::Reduce { .. })) + computed.count() as i64;
            operations = &operations + &(&self.turns(s) * &Dim::from(each));
        }
        operations
    }
    /// The buffers that the kernel reads and writes, each once, with the bytes that it moves of them: of a buffer read in part (gather) no more
    /// than is read.
    pub fn moved(&self, p: &Program) -> Vec<(BufferId, Dim)> {
        let mut out: Vec<(BufferId, Dim)> = vec![];
        for s in &self.body {
            let loaded = self.needed(s).into_iter().filter_map(|e| match &self.expr(e).kind {
                ExprKind::Load { buffer, .. } => Some(*buffer),
                _ => None,
            });
            let stored = match s {
                Stmt::Store { buffer, .. } => Some(*buffer),
                _ => None,
            };
            for id in loaded.chain(stored) {
                if out.iter().all(|(b, _)| *b != id) {
                    let b = p.buffer(id);
                    out.push((id, Plan::bytes_of(b.dtype, &b.elements().minimum(&self.turns(s)))));
                }
            }
        }
        out
    }
    /// How often a statement is carried out.
    fn turns(&self, s: &Stmt) -> Dim {
        let axes: Vec<AxisId> = match s {
            Stmt::Let { local, .. } => self.local(*local).axes.clone(),
            Stmt::Reduce { local, over, .. } => self.local(*local).axes.iter().chain(over).copied().collect(),
            Stmt::Store { axes, .. } => axes.clone(),
        };
        self.parallel_axes().chain(axes).fold(Dim::from(1), |n, a| &n * self.extent(a))
    }
    /// The expressions that a statement needs, transitively, each once.
    fn needed(&self, s: &Stmt) -> BTreeSet<ExprId> {
        let (mut seen, mut work) = (BTreeSet::new(), s.exprs());
        while let Some(e) = work.pop() {
            if seen.insert(e) {
                work.extend(self.expr(e).kind.operands());
            }
        }
        seen
    }
    /// Expressions that statements need, transitively; the others are left over from rewriting.
    pub fn live_exprs(&self) -> Vec<bool> {
        let mut live = vec![false; self.exprs.len()];
        let mut work: Vec<ExprId> = vec![];
        for s in &self.body {
            work.extend(s.exprs());
        }
        while let Some(e) = work.pop() {
            if !std::mem::replace(&mut live[e.0 as usize], true) {
                work.extend(self.expr(e).kind.operands());
            }
        }
        live
    }
    /// How often statements, and the expressions that they need, use an expression.
    pub fn uses(&self, e: ExprId) -> usize {
        let live = self.exprs.iter().zip(self.live_exprs()).filter(|(_, live)| *live);
        let operands = live.flat_map(|(x, _)| x.kind.operands());
        operands.chain(self.body.iter().flat_map(Stmt::exprs)).filter(|x| *x == e).count()
    }
}

impl Stmt {
    /// The expressions that the statement evaluates, those within its indices included.
    pub fn exprs(&self) -> Vec<ExprId> {
        match self {
            Stmt::Let { value, .. } | Stmt::Reduce { value, .. } => vec![*value],
            Stmt::Store { index, guard, value, .. } => {
                let mut out = vec![*value];
                index.iter().for_each(|i| i.values(&mut out));
                guard.iter().for_each(|(i, _)| i.values(&mut out));
                out
            }
        }
    }
}
