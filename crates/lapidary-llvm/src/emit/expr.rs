//! Expressions of a kernel as LLVM values, for one point or for as many neighbouring points of one axis as a vector has lanes.

use super::body::Traits;
use super::ir::{Ir, V};
use super::scope::Scopes;
use super::{math, ops, quantize, types};
use lapidary_ir::{DType, Diagnostic, Diagnostics, Name, Result};
use lapidary_kernel::{AxisId, BinaryOp, BufferId, ExprId, ExprKind, Index, Kernel, LocalId, Program, Scalar, UnaryOp};
use rustc_hash::FxHashMap;
use std::ops::{Deref, DerefMut};

/// Bytes of zeros that stand in for memory that may not be read: as many as the widest load.
const ZEROS: i64 = 512;

/// Where a local lives.
#[derive(Clone)]
pub enum Place {
    /// One, or one for each point of a run.
    Registers(Vec<V>),
    /// An array in scratch memory: elements in register form, for all lanes where the vector axis is parallel.
    Scratch(V),
}

/// A buffer that the kernel uses.
#[derive(Clone, Copy)]
pub struct Pointer {
    pub base: V,
    pub traits: Traits,
}

/// What the value of an expression depends on.
#[derive(Clone, Default)]
pub struct Dep {
    /// A bit for each axis.
    axes: u128,
    locals: Vec<LocalId>,
    /// Reads a buffer that the kernel writes: its value changes with every store.
    pinned: bool,
    /// Is guarded, or made of something guarded.
    guarded: bool,
}

impl Dep {
    fn join(&mut self, other: &Dep) {
        self.axes |= other.axes;
        self.pinned |= other.pinned;
        self.guarded |= other.guarded;
        other.locals.iter().for_each(|l| {
            if !self.locals.contains(l) {
                self.locals.push(*l)
            }
        });
    }
}

/// A point that comes later. What is written there is fetched like what is read: cores read a line before they write it.
#[derive(Clone, Copy, Debug)]
pub struct Ahead {
    pub axis: AxisId,
    pub points: i64,
}

/// Emits one kernel.
pub struct Emitter<'i, 'c> {
    scopes: Scopes<'i, 'c>,
    pub program: &'i Program,
    pub kernel: &'i Kernel,
    pub pointers: FxHashMap<BufferId, Pointer>,
    pub scratch: V,
    pub lanes: u32,
    /// The axis that lanes run along, where a loop over it is open.
    pub vector: Option<AxisId>,
    /// Lanes that take part, where not all do.
    pub mask: Option<V>,
    pub places: Vec<Option<Place>>,
    /// What vectors read and write so many points further along this axis is fetched.
    pub ahead: Option<Ahead>,
    /// From this level on every guard is known to hold.
    pub inside: Option<usize>,
    deps: Vec<Option<Dep>>,
    pub zeros: V,
}

impl<'i, 'c> Deref for Emitter<'i, 'c> {
    type Target = Scopes<'i, 'c>;
    fn deref(&self) -> &Self::Target {
        &self.scopes
    }
}
impl DerefMut for Emitter<'_, '_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.scopes
    }
}

pub fn broken(what: impl std::fmt::Display, kernel: &Kernel) -> Diagnostics {
    Diagnostic::error("bad-kernel", format!("kernel '{}': {what}", kernel.name)).help("this is a mistake in lowering, not in the model").into()
}

impl<'i, 'c> Emitter<'i, 'c> {
    /// Starts the body of `function(bufs, values, begin, end, scratch)`; `buffers` are those that entries of `bufs` point to, with what is known
    /// of them.
    pub fn new(
        ir: &'i Ir<'c>,
        function: V,
        program: &'i Program,
        kernel: &'i Kernel,
        buffers: &[(BufferId, Traits)],
        symbols: &'i [Name],
        lanes: u32,
    ) -> Result<Emitter<'i, 'c>> {
        if kernel.axes.len() > 128 {
            return Err(Diagnostic::unsupported("kernel-axes", format!("kernel '{}' has {} axes", kernel.name, kernel.axes.len())).into());
        }
        let mut scopes = Scopes::new(ir, function, symbols, ir.arg(function, 1));
        let bufs = ir.arg(function, 0);
        let pointers = buffers.iter().enumerate().map(|(slot, (id, traits))| {
            let base = scopes.at(0, |s| {
                let base = s.ir.load(s.ir.ptr(), s.ir.gep(s.ir.ptr(), bufs, s.ir.c64(slot as i64)), 8);
                s.ir.set_invariant(base);
                base
            });
            (*id, Pointer { base, traits: *traits })
        });
        let pointers = pointers.collect();
        let zeros = ir.constant_global("lap_zeros", ir.zero(ir.array(ir.int(8), ZEROS as u64)), 64);
        let scratch = ir.arg(function, 4);
        let places = vec![None; kernel.locals.len()];
        let deps = vec![None; kernel.exprs.len()];
        Ok(Emitter { scopes, program, kernel, pointers, scratch, lanes, vector: None, mask: None, places, ahead: None, inside: None, deps, zeros })
    }
    pub fn broken(&self, what: impl std::fmt::Display) -> Diagnostics {
        broken(what, self.kernel)
    }

    // ---- where values belong

    fn dep(&mut self, e: ExprId) -> Dep {
        let dep = kernel_dep(self.kernel, &mut self.deps, e);
        self.in_run(dep)
    }
    /// In a run each point has locals of its own.
    fn in_run(&self, mut dep: Dep) -> Dep {
        if let Some(run) = self.run.filter(|_| !dep.locals.is_empty()) {
            dep.axes |= 1 << run.axis.0;
        }
        dep
    }
    /// The level where an expression's value is known.
    pub fn expr_level(&mut self, e: ExprId) -> Result<usize> {
        let dep = self.dep(e);
        self.level_of(&dep)
    }
    /// The level where an index is known, for values that are the same for all lanes.
    pub fn index_level(&mut self, i: &Index) -> Result<usize> {
        let dep = index_dep(self.kernel, &mut self.deps, i);
        let dep = self.in_run(dep);
        self.level_of(&dep)
    }
    fn level_of(&self, dep: &Dep) -> Result<usize> {
        if dep.pinned {
            return Ok(self.top());
        }
        let mut level = self.inside.filter(|_| dep.guarded).unwrap_or(0);
        for a in 0..self.kernel.axes.len() {
            if dep.axes >> a & 1 == 1 {
                let axis = AxisId(a as u16);
                let Some((l, _)) = self.axis(axis) else {
                    return Err(self.broken(format!("axis '{}' is used outside its loop", self.kernel.axes[a].name)));
                };
                level = level.max(l);
            }
        }
        for l in &dep.locals {
            let Some(at) = self.local_level(*l) else {
                return Err(self.broken(format!("local '{}' is used before it is set", self.kernel.local(*l).name)));
            };
            level = level.max(at);
        }
        Ok(level)
    }
    /// What tells values of one expression from each other: where the written-out loops are.
    fn key(&self, e: ExprId, dep: &Dep) -> (ExprId, Vec<i64>) {
        let axes = (0..self.kernel.axes.len() as u16).filter(|a| dep.axes >> a & 1 == 1);
        (e, axes.filter_map(|a| self.axis(AxisId(a)).and_then(|(_, v)| self.constant_axis(v))).collect())
    }
    /// Remembers a value for the innermost scope.
    pub fn remember(&mut self, e: ExprId, v: V) {
        let dep = self.dep(e);
        let key = self.key(e, &dep);
        self.current().memo.insert(key, v);
    }
    /// Forgets values that the store before may have changed.
    pub fn forget_pinned(&mut self) {
        for level in 0..=self.top() {
            let memo = std::mem::take(&mut self.scope(level).memo);
            let kept = memo.into_iter().filter(|((e, _), _)| self.deps[e.0 as usize].as_ref().is_some_and(|d| !d.pinned)).collect();
            self.scope(level).memo = kept;
        }
    }

    // ---- expressions

    /// The value of an expression at the current point, or points.
    pub fn expr(&mut self, e: ExprId) -> Result<V> {
        let dep = self.dep(e);
        let level = self.level_of(&dep)?;
        let key = self.key(e, &dep);
        if let Some(v) = self.scope(level).memo.get(&key) {
            return Ok(*v);
        }
        let saved = self.enter(level);
        let v = self.node(e);
        self.leave(saved);
        let v = v?;
        self.scope(level).memo.insert(key, v);
        Ok(v)
    }
    /// Emits an expression at the current place; operands go to theirs.
    fn node(&mut self, e: ExprId) -> Result<V> {
        let kernel = self.kernel;
        let node = kernel.expr(e);
        let dtype = node.dtype;
        match &node.kind {
            ExprKind::Load { .. } => types::check_readable(dtype)?,
            // Converting says itself what it can do.
            ExprKind::Cast(_) => {}
            _ => types::check(dtype)?,
        }
        Ok(match &node.kind {
            ExprKind::Const(c) => self.constant(dtype, *c),
            ExprKind::Index(i) => self.index(i)?,
            ExprKind::Within(g) => match self.guard(g)? {
                (None, None) => self.ir.c1(true),
                (Some(a), None) | (None, Some(a)) => a,
                (Some(a), Some(b)) => self.ir.and(a, b),
            },
            ExprKind::Load { buffer, index, guard, otherwise } => self.load(*buffer, dtype, index, guard, *otherwise)?,
            ExprKind::Local(l) => self.local(*l)?,
            ExprKind::Unary(op, a) => {
                let from = kernel.expr(*a).dtype;
                let a = match (op, &kernel.expr(*a).kind) {
                    // Quantizing: many numbers over one scale.
                    (UnaryOp::Round, ExprKind::Binary(BinaryOp::Div, x, scale)) if from == DType::F32 => {
                        let (x, scale) = (self.expr(*x)?, self.expr(*scale)?);
                        ops::quotient(self.ir, x, scale)
                    }
                    _ => self.expr(*a)?,
                };
                ops::unary(self.ir, *op, from, a)?
            }
            ExprKind::Binary(BinaryOp::Mul, a, b) if let Some((v, x)) = self.gate(*a, *b) => {
                let same = v == x;
                let (v, x) = (self.expr(v)?, self.expr(x)?);
                math::gated(self.ir, v, x, same)
            }
            ExprKind::Binary(op, a, b) => {
                let from = kernel.expr(*a).dtype;
                let (a, b) = (self.expr(*a)?, self.expr(*b)?);
                ops::binary(self.ir, *op, from, a, b)?
            }
            ExprKind::Fma(a, b, c) => {
                let each = [self.expr(*a)?, self.expr(*b)?, self.expr(*c)?];
                let lanes = each.iter().map(|v| self.ir.lanes(*v)).max().unwrap_or(1);
                let [a, b, c] = each.map(|v| self.ir.splat(v, lanes));
                self.ir.fma(a, b, c)
            }
            ExprKind::Select(c, a, b) => {
                let (c, a, b) = (self.expr(*c)?, self.expr(*a)?, self.expr(*b)?);
                self.ir.select(c, a, b)
            }
            ExprKind::Cast(a) => match self.quantized(dtype, *a)? {
                Some(v) => v,
                None if dtype == DType::F32
                    && let Some(v) = self.steps(*a)? =>
                {
                    v
                }
                None => {
                    let (from, a) = (kernel.expr(*a).dtype, self.expr(*a)?);
                    types::cast(self.ir, from, dtype, a)?
                }
            },
        })
    }
    /// What a product of f32 multiplies by the sigmoid of what, where nothing else uses that.
    fn gate(&self, a: ExprId, b: ExprId) -> Option<(ExprId, ExprId)> {
        let kernel = self.kernel;
        let sigmoid = |e: ExprId| match kernel.expr(e).kind {
            ExprKind::Unary(UnaryOp::Sigmoid, x) if kernel.expr(e).dtype == DType::F32 && kernel.uses(e) == 1 => Some(x),
            _ => None,
        };
        sigmoid(b).map(|x| (a, x)).or_else(|| sigmoid(a).map(|x| (b, x)))
    }
    /// A code of 8 bits less its zero point as a float, when that is what `e` is and the code is made here: it is a float before it is a code.
    fn steps(&mut self, e: ExprId) -> Result<Option<V>> {
        let kernel = self.kernel;
        let (code, zero) = match kernel.expr(e).kind {
            ExprKind::Binary(BinaryOp::Sub, v, z) if kernel.expr(e).dtype == DType::I32 => match (&kernel.expr(v).kind, &kernel.expr(z).kind) {
                (ExprKind::Cast(v), ExprKind::Cast(z)) => (*v, Some(*z)),
                _ => return Ok(None),
            },
            _ => (e, None),
        };
        let ExprKind::Cast(rounded) = kernel.expr(code).kind else { return Ok(None) };
        match self.quantization(kernel.expr(code).dtype, rounded)? {
            Some((from, q)) if from == zero => Ok(Some(q.steps(self.ir))),
            _ => Ok(None),
        }
    }
    /// `round(x / scale) + zero` as a code of 8 bits, when that is what `e` is, of a scale that all lanes share, or of none.
    fn quantized(&mut self, to: DType, e: ExprId) -> Result<Option<V>> {
        Ok(self.quantization(to, e)?.map(|(_, q)| q.code(self.ir)))
    }
    /// What [`Emitter::quantized`] computes, and the zero point's expression.
    fn quantization(&mut self, to: DType, e: ExprId) -> Result<Option<(Option<ExprId>, quantize::Quantization)>> {
        let kernel = self.kernel;
        let (e, zero) = match kernel.expr(e).kind {
            ExprKind::Binary(BinaryOp::Add, v, z) => match kernel.expr(z).kind {
                ExprKind::Cast(z) if kernel.expr(z).dtype == to => (v, Some(z)),
                _ => return Ok(None),
            },
            _ => (e, None),
        };
        let ExprKind::Unary(UnaryOp::Round, x) = kernel.expr(e).kind else { return Ok(None) };
        let (x, scale) = match kernel.expr(x).kind {
            ExprKind::Binary(BinaryOp::Div, x, scale) => (x, Some(scale)),
            _ => (x, None),
        };
        let known = |scale: ExprId| match &kernel.expr(scale).kind {
            ExprKind::Load { buffer, guard, .. } => guard.is_empty() && self.pointers.get(buffer).is_some_and(|p| p.traits.scale),
            _ => false,
        };
        if !scale.is_none_or(known) || !matches!(to, DType::U8 | DType::I8) || kernel.expr(x).dtype != DType::F32 || self.lanes == 1 {
            return Ok(None);
        }
        let from = zero;
        let (x, scale, zero) = (self.expr(x)?, scale.map(|s| self.expr(s)).transpose()?, zero.map(|z| self.expr(z)).transpose()?);
        let one = |v: V| !self.ir.is_vec(v);
        if one(x) || !scale.is_none_or(one) || !zero.is_none_or(one) {
            return Ok(None);
        }
        Ok(Some((from, quantize::Quantization { x, scale, zero, signed: to.is_signed_int() })))
    }
    fn constant(&self, dtype: DType, c: Scalar) -> V {
        let t = types::register(self.ir, dtype);
        match dtype {
            DType::F32 => self.ir.cfloat(t, c.as_f64() as f32 as f64),
            DType::F16 => self.ir.cfloat(t, half::f16::from_f64(c.as_f64()).to_f64()),
            DType::BF16 => self.ir.cfloat(t, half::bf16::from_f64(c.as_f64()).to_f64()),
            DType::F64 => self.ir.cfloat(t, c.as_f64()),
            DType::Bool => self.ir.c1(c.as_i64() != 0),
            _ => self.ir.cint(t, c.as_i64()),
        }
    }
}

fn index_dep(kernel: &Kernel, known: &mut [Option<Dep>], i: &Index) -> Dep {
    let mut dep = Dep::default();
    let (mut axes, mut values) = (vec![], vec![]);
    i.axes(&mut axes);
    i.values(&mut values);
    axes.iter().for_each(|a| dep.axes |= 1 << a.0);
    values.iter().for_each(|e| dep.join(&kernel_dep(kernel, known, *e)));
    dep
}

fn kernel_dep(kernel: &Kernel, known: &mut [Option<Dep>], e: ExprId) -> Dep {
    if let Some(d) = &known[e.0 as usize] {
        return d.clone();
    }
    let mut dep = Dep::default();
    let kind = &kernel.expr(e).kind;
    match kind {
        ExprKind::Index(i) => dep.join(&index_dep(kernel, known, i)),
        ExprKind::Within(g) => {
            g.iter().for_each(|(i, _)| dep.join(&index_dep(kernel, known, i)));
            dep.guarded |= !g.is_empty();
        }
        ExprKind::Load { buffer, index, guard, .. } => {
            index.iter().chain(guard.iter().map(|g| &g.0)).for_each(|i| dep.join(&index_dep(kernel, known, i)));
            dep.pinned |= kernel.writes().contains(buffer);
            dep.guarded |= !guard.is_empty();
        }
        ExprKind::Local(l) => {
            kernel.local(*l).axes.iter().for_each(|a| dep.axes |= 1 << a.0);
            if !dep.locals.contains(l) {
                dep.locals.push(*l);
            }
        }
        _ => {}
    }
    kind.operands().into_iter().for_each(|o| dep.join(&kernel_dep(kernel, known, o)));
    known[e.0 as usize] = Some(dep.clone());
    dep
}
