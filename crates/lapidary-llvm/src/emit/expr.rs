//! Expressions of a kernel as LLVM values, for one point or for as many neighbouring points of one axis as a vector has lanes.

use super::ir::{IntCmp as I, Ir, V};
use super::scope::{AxisValue, Scopes, floor_div};
use super::{ops, types};
use lapidary_ir::{DType, Diagnostic, Diagnostics, Dim, Name, Result};
use lapidary_kernel::{Atom, AxisId, BufferId, ExprId, ExprKind, Guard, Index, Kernel, LocalId, Program, Scalar, linearize};
use rustc_hash::FxHashMap;
use std::ops::{Deref, DerefMut};

/// Bytes of zeros that stand in for memory that may not be read: as many as the widest load.
const ZEROS: i64 = 512;

/// Where a local lives.
#[derive(Clone, Copy)]
pub enum Place {
    Register(V),
    /// An array in scratch memory: elements in register form, for all lanes where the vector axis is parallel.
    Scratch(V),
}

/// A buffer that the kernel uses.
#[derive(Clone, Copy)]
pub struct Pointer {
    pub base: V,
    /// Nothing writes it while the kernel runs.
    pub invariant: bool,
}

/// What the value of an expression depends on.
#[derive(Clone, Default)]
pub struct Dep {
    /// A bit for each axis.
    axes: u128,
    locals: Vec<LocalId>,
    /// Reads a buffer that the kernel writes: its value changes with every store.
    pinned: bool,
}

impl Dep {
    fn join(&mut self, other: &Dep) {
        self.axes |= other.axes;
        self.pinned |= other.pinned;
        other.locals.iter().for_each(|l| {
            if !self.locals.contains(l) {
                self.locals.push(*l)
            }
        });
    }
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
    deps: Vec<Option<Dep>>,
    zeros: V,
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

/// How the lanes of an access lie in memory.
enum Access {
    /// All at one address.
    One(V),
    /// Side by side from this address.
    Row(V),
    /// Each at an element offset of its own.
    Each(V, V),
}

pub fn broken(what: impl std::fmt::Display, kernel: &Kernel) -> Diagnostics {
    Diagnostic::error("bad-kernel", format!("kernel '{}': {what}", kernel.name)).help("this is a mistake in lowering, not in the model").into()
}

impl<'i, 'c> Emitter<'i, 'c> {
    /// Starts the body of `function(bufs, values, begin, end, scratch)`; `buffers` are those that entries of `bufs` point to, with whether
    /// nothing writes them.
    pub fn new(
        ir: &'i Ir<'c>,
        function: V,
        program: &'i Program,
        kernel: &'i Kernel,
        buffers: &[(BufferId, bool)],
        symbols: &'i [Name],
        lanes: u32,
    ) -> Result<Emitter<'i, 'c>> {
        if kernel.axes.len() > 128 {
            return Err(Diagnostic::unsupported("kernel-axes", format!("kernel '{}' has {} axes", kernel.name, kernel.axes.len())).into());
        }
        let mut scopes = Scopes::new(ir, function, symbols, ir.arg(function, 1));
        let bufs = ir.arg(function, 0);
        let pointers = buffers.iter().enumerate().map(|(slot, (id, invariant))| {
            let base = scopes.at(0, |s| {
                let base = s.ir.load(s.ir.ptr(), s.ir.gep(s.ir.ptr(), bufs, s.ir.c64(slot as i64)), 8);
                s.ir.set_invariant(base);
                base
            });
            (*id, Pointer { base, invariant: *invariant })
        });
        let pointers = pointers.collect();
        let zeros = ir.constant_global("lap_zeros", ir.zero(ir.array(ir.int(8), ZEROS as u64)), 64);
        let scratch = ir.arg(function, 4);
        let places = vec![None; kernel.locals.len()];
        let deps = vec![None; kernel.exprs.len()];
        Ok(Emitter { scopes, program, kernel, pointers, scratch, lanes, vector: None, mask: None, places, deps, zeros })
    }
    pub fn broken(&self, what: impl std::fmt::Display) -> Diagnostics {
        broken(what, self.kernel)
    }

    // ---- where values belong

    fn dep(&mut self, e: ExprId) -> Dep {
        kernel_dep(self.kernel, &mut self.deps, e)
    }
    fn level_of(&self, dep: &Dep) -> Result<usize> {
        if dep.pinned {
            return Ok(self.top());
        }
        let mut level = 0;
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

    // ---- indices

    /// The value of an index: i64, one per lane where lanes differ.
    pub fn index(&mut self, i: &Index) -> Result<V> {
        let (mut parts, stride, varying) = self.parts(i)?;
        parts.sort_by_key(|(level, _)| *level);
        let mut sum: Option<V> = None;
        for (level, v) in parts {
            sum = Some(match sum {
                None => v,
                Some(s) => self.at(level, |x| x.ir.add(s, v)),
            });
        }
        let sum = sum.unwrap_or(self.ir.c64(0));
        match self.lane_offsets(&stride, varying)? {
            None => Ok(sum),
            Some(lanes) => Ok(self.ir.add(sum, lanes)),
        }
    }
    /// An index in parts: values that are the same for all lanes, with the levels where they are known; the distance from one lane to
    /// the next; and what varies otherwise.
    #[allow(clippy::type_complexity)]
    fn parts(&mut self, i: &Index) -> Result<(Vec<(usize, V)>, Dim, Option<V>)> {
        let mut parts: Vec<(usize, V)> = vec![];
        let mut stride = Dim::from(0);
        let mut varying: Option<V> = None;
        if i.offset().as_const() != Some(0) {
            parts.push((0, self.size(i.offset())?));
        }
        for (atom, c) in i.terms() {
            let factor = self.size(c)?;
            let (level, value) = match atom {
                Atom::Axis(a) => match self.axis(*a) {
                    None => return Err(self.broken(format!("axis '{}' is used outside its loop", self.kernel.axes[a.0 as usize].name))),
                    Some((level, AxisValue::Scalar(v))) => (level, v),
                    Some((level, AxisValue::Lanes(base))) => {
                        stride = &stride + c;
                        (level, base)
                    }
                },
                Atom::Value(e) => {
                    let level = {
                        let d = self.dep(*e);
                        self.level_of(&d)?
                    };
                    (level, self.expr(*e)?)
                }
                Atom::FloorDiv(x, d) | Atom::Mod(x, d) => {
                    let modulo = matches!(atom, Atom::Mod(..));
                    let (level, v, by_lane) = self.quotient(x, d, modulo)?;
                    if by_lane {
                        stride = &stride + c;
                    }
                    (level, v)
                }
            };
            let scaled = if c.as_const() == Some(1) { value } else { self.at(level, |s| s.ir.mul(value, factor)) };
            if self.ir.is_vec(scaled) {
                varying = Some(match varying {
                    None => scaled,
                    Some(v) => self.ir.add(v, scaled),
                });
            } else {
                parts.push((level, scaled));
            }
        }
        Ok((parts, stride, varying))
    }
    /// `x floordiv d` or `x mod d`, its level, and whether lane `i` is `i` more than the value given.
    fn quotient(&mut self, x: &Index, d: &Dim, modulo: bool) -> Result<(usize, V, bool)> {
        let lanes = self.lanes as i64;
        let kernel = self.kernel;
        let extent = |a: AxisId| kernel.extent(a).clone();
        let non_negative = x.range(&extent).is_some_and(|(low, _)| low.known_non_negative());
        let divisor = self.size(d)?;
        let d_const = d.as_const();
        let along = self.vector.filter(|a| x.mentions(*a));
        if let Some(axis) = along
            && self.lanes > 1
            && x.coefficient(axis).and_then(|c| c.as_const()) == Some(1)
            && d_const.is_some_and(|d| d >= lanes)
            && x.terms().iter().all(|(a, _)| !matches!(a, Atom::Value(_)))
        {
            // One division for all lanes; at most one of them is a border that the lanes cross, and none if all divide.
            let rest = x.sub(&Index::from(axis));
            let multiple = |c: &Dim| c.as_const().is_some_and(|c| c % lanes == 0);
            let aligned = d_const.is_some_and(|d| d % lanes == 0)
                && multiple(rest.offset())
                && rest.terms().iter().all(|(a, c)| matches!(a, Atom::Axis(_)) && multiple(c));
            let first = self.first_lane(x)?;
            let level = self.level();
            let (q, r) = floor_div(self.ir, first, divisor, non_negative);
            if aligned {
                return Ok((level, if modulo { r } else { q }, modulo));
            }
            let ir = self.ir;
            let r = ir.add(r, ir.iota(self.lanes));
            let crossed = ir.icmp(I::LLVMIntSGE, r, divisor);
            let v = if modulo { ir.select(crossed, ir.sub(r, divisor), r) } else { ir.add(q, ir.zext(crossed, ir.i64())) };
            return Ok((level, v, false));
        }
        let v = self.index(x)?;
        let level = if self.ir.is_vec(v) {
            self.level()
        } else {
            let d = index_dep(self.kernel, &mut self.deps, x);
            self.level_of(&d)?
        };
        let small = self.ir.is_vec(v) && non_negative && fits_32(x, d, &extent);
        let v = self.at(level, |s| {
            let ir = s.ir;
            if small {
                // Vectors of 32-bit numbers can be divided by a constant; wider ones cannot.
                let (q, r) = floor_div(ir, ir.trunc(v, ir.int(32)), ir.trunc(divisor, ir.int(32)), true);
                return ir.zext(if modulo { r } else { q }, ir.i64());
            }
            let (q, r) = floor_div(ir, v, divisor, non_negative);
            if modulo { r } else { q }
        });
        Ok((level, v, false))
    }
    /// The index of lane 0.
    fn first_lane(&mut self, x: &Index) -> Result<V> {
        let (parts, _, varying) = self.parts(x)?;
        if varying.is_some() {
            let v = self.index(x)?;
            return Ok(self.ir.extract(v, 0));
        }
        Ok(parts.into_iter().fold(self.ir.c64(0), |sum, (_, v)| self.ir.add(sum, v)))
    }
    /// The lanes' distances from lane 0; `None` when there are none.
    fn lane_offsets(&mut self, stride: &Dim, varying: Option<V>) -> Result<Option<V>> {
        let regular = match stride.as_const() {
            Some(0) => None,
            _ => {
                let s = self.size(stride)?;
                Some(self.ir.mul(self.ir.iota(self.lanes), s))
            }
        };
        Ok(match (regular, varying) {
            (Some(a), Some(b)) => Some(self.ir.add(a, b)),
            (a, b) => a.or(b),
        })
    }
    /// The condition as parts that are the same for all lanes and parts that are not.
    pub fn guard(&mut self, guard: &Guard) -> Result<(Option<V>, Option<V>)> {
        let (mut same, mut each): (Option<V>, Option<V>) = (None, None);
        for (i, d) in guard {
            let v = self.index(i)?;
            let size = self.size(d)?;
            let vec = self.ir.is_vec(v);
            let level = if vec {
                self.level()
            } else {
                let d = index_dep(self.kernel, &mut self.deps, i);
                self.level_of(&d)?
            };
            // Negative numbers are large without a sign.
            let c = self.at(level, |s| s.ir.icmp(I::LLVMIntULT, v, size));
            let all = if vec { &mut each } else { &mut same };
            *all = Some(match *all {
                None => c,
                Some(x) => self.scopes.ir.and(x, c),
            });
        }
        Ok((same, each))
    }
    fn access(&mut self, base: V, dtype_bytes: i64, flat: &Index) -> Result<Access> {
        let (mut parts, stride, varying) = self.parts(flat)?;
        parts.sort_by_key(|(level, _)| *level);
        let t = self.ir.int(dtype_bytes as u32 * 8);
        let mut p = base;
        for chunk in parts.chunk_by(|a, b| a.0 == b.0) {
            p = self.at(chunk[0].0, |s| {
                let sum = chunk[1..].iter().fold(chunk[0].1, |sum, (_, v)| s.ir.add(sum, *v));
                s.ir.gep(t, p, sum)
            });
        }
        Ok(match (stride.as_const(), varying) {
            (Some(0), None) => Access::One(p),
            (Some(1), None) => Access::Row(p),
            (_, varying) => match self.lane_offsets(&stride, varying)? {
                Some(offsets) => Access::Each(p, offsets),
                None => Access::One(p),
            },
        })
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
                let (from, a) = (kernel.expr(*a).dtype, self.expr(*a)?);
                ops::unary(self.ir, *op, from, a)?
            }
            ExprKind::Binary(op, a, b) => {
                let from = kernel.expr(*a).dtype;
                let (a, b) = (self.expr(*a)?, self.expr(*b)?);
                ops::binary(self.ir, *op, from, a, b)?
            }
            ExprKind::Select(c, a, b) => {
                let (c, a, b) = (self.expr(*c)?, self.expr(*a)?, self.expr(*b)?);
                self.ir.select(c, a, b)
            }
            ExprKind::Cast(a) => {
                let (from, a) = (kernel.expr(*a).dtype, self.expr(*a)?);
                types::cast(self.ir, from, dtype, a)?
            }
        })
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
    fn load(&mut self, buffer: BufferId, dtype: DType, index: &[Index], guard: &Guard, otherwise: Option<ExprId>) -> Result<V> {
        let b = self.program.buffer(buffer);
        if b.dtype != dtype {
            return Err(self.broken(format!("buffer '{}' holds {}, but is read as {dtype}", b.name, b.dtype)));
        }
        let flat = linearize(index, &b.dims);
        let Some(Pointer { base, invariant }) = self.pointers.get(&buffer).copied() else {
            return Err(self.broken("a buffer that is read is not among the buffers read"));
        };
        let bytes = types::bytes(dtype);
        let (same, each) = self.guard(guard)?;
        let access = match dtype.is_packed() {
            false => self.access(base, bytes as i64, &flat)?,
            true => {
                let i = self.index(&flat)?;
                if self.ir.is_vec(i) { Access::Each(base, i) } else { Access::One(i) }
            }
        };
        let otherwise = otherwise.map(|e| self.expr(e)).transpose()?;
        let (lanes, mask, zeros) = (self.lanes, self.mask, self.zeros);
        let v = {
            let ir = self.ir;
            let memory = types::memory(ir, dtype);
            // Where nothing may be read, zeros are: no branch, and mostly nothing left to choose.
            let redirect = |p: V, c: Option<V>| c.map_or(p, |c| ir.select(c, p, zeros));
            let tag = |v: V| {
                if invariant {
                    ir.set_invariant(v)
                }
                v
            };
            let packed = dtype.is_packed().then(|| 8 / dtype.bits() as i64);
            let raw = match access {
                // Elements that share bytes: the byte, shifted.
                Access::One(i) | Access::Each(_, i) if packed.is_some() => {
                    let per = packed.unwrap_or(1);
                    let t = ir.ty(i);
                    let byte = ir.lshr(i, ir.cint(t, per.trailing_zeros() as i64));
                    let shift = ir.mul(ir.and(i, ir.cint(t, per - 1)), ir.cint(t, dtype.bits() as i64));
                    let condition = both(ir, both(ir, mask.filter(|_| ir.is_vec(i)), each), same);
                    let read = |p: V, c: Option<V>| tag(ir.load(memory, redirect(p, c), 1));
                    let raw = if ir.is_vec(i) {
                        let pointers = ir.gep_bytes(base, byte);
                        let condition = condition.map(|c| ir.splat(c, lanes));
                        (0..lanes).fold(ir.poison(ir.vec(memory, lanes)), |v, l| {
                            ir.insert(v, read(ir.extract(pointers, l), condition.map(|c| ir.extract(c, l))), l)
                        })
                    } else {
                        let any = condition.map(|c| if ir.is_vec(c) { ir.intrinsic("llvm.vector.reduce.or", &[ir.ty(c)], &[c]) } else { c });
                        read(ir.gep_bytes(base, byte), any)
                    };
                    let bits = ir.lshr(raw, ir.trunc(shift, ir.int(8)));
                    ir.and(bits, ir.cint(ir.ty(bits), (1 << dtype.bits()) - 1))
                }
                // A condition that varies over one address: read, if any lane may, and choose below.
                Access::One(p) => {
                    let any = each.map(|m| ir.intrinsic("llvm.vector.reduce.or", &[ir.ty(m)], &[m]));
                    let condition = match (same, any) {
                        (Some(a), Some(b)) => Some(ir.and(a, b)),
                        (a, b) => a.or(b),
                    };
                    tag(ir.load(memory, redirect(p, condition), bytes))
                }
                Access::Row(p) => {
                    let t = ir.vec(memory, lanes);
                    let p = redirect(p, same);
                    match both(ir, mask, each) {
                        None => tag(ir.load(t, p, bytes)),
                        Some(m) => tag(ir.masked_load(t, p, m, ir.zero(t), bytes)),
                    }
                }
                Access::Each(p, offsets) => {
                    let t = ir.vec(memory, lanes);
                    let allowed = both(ir, both(ir, mask, each), same.map(|c| ir.splat(c, lanes)));
                    let m = allowed.unwrap_or_else(|| ir.cint(ir.vec(ir.int(1), lanes), 1));
                    if bytes >= 4 {
                        tag(ir.gather(t, ir.gep(memory, p, offsets), m, ir.zero(t), bytes))
                    } else {
                        let pointers = ir.gep(memory, p, offsets);
                        (0..lanes).fold(ir.poison(t), |v, i| {
                            let p = ir.extract(pointers, i);
                            let p = if allowed.is_some() { ir.select(ir.extract(m, i), p, zeros) } else { p };
                            ir.insert(v, tag(ir.load(memory, p, bytes)), i)
                        })
                    }
                }
            };
            let v = types::decode(ir, dtype, raw);
            // Zeros were read where the condition fails, but for one address that some lanes may read (and F8E8M0 has no zero).
            let one = matches!(access, Access::One(_));
            let condition = match (same, each) {
                (Some(a), Some(b)) => Some(ir.and(ir.splat(a, lanes), b)),
                (a, b) => a.or(b),
            };
            match (condition, otherwise) {
                (Some(c), Some(o)) => ir.select(c, v, o),
                (Some(c), None) if one && each.is_some() || dtype == DType::F8E8M0 => ir.select(c, v, ir.zero(ir.ty(v))),
                _ => v,
            }
        };
        Ok(v)
    }
    /// The element type, in scratch memory, of a local array: registers' form, but for bool, which takes a byte.
    pub fn local_bytes(dtype: DType) -> i64 {
        match dtype {
            DType::F16 | DType::BF16 => 4,
            _ => types::bytes(dtype) as i64,
        }
    }
    /// Whether each lane has a local array of its own.
    pub fn local_per_lane(&self) -> bool {
        self.vector.is_some_and(|a| self.kernel.is_parallel(a))
    }
    fn local_access(&mut self, l: LocalId, base: V) -> Result<(Access, bool)> {
        let kernel = self.kernel;
        let axes = &kernel.local(l).axes;
        let index: Vec<Index> = axes.iter().map(|a| Index::from(*a)).collect();
        let dims: Vec<Dim> = axes.iter().map(|a| kernel.extent(*a).clone()).collect();
        let mut flat = linearize(&index, &dims);
        let per_lane = self.local_per_lane();
        if per_lane {
            flat = flat.scale(&Dim::from(self.lanes as i64));
        }
        Ok((self.access(base, Self::local_bytes(kernel.local(l).dtype), &flat)?, per_lane))
    }
    fn local(&mut self, l: LocalId) -> Result<V> {
        let dtype = self.kernel.local(l).dtype;
        let base = match self.places[l.0 as usize] {
            Some(Place::Register(v)) => return Ok(v),
            Some(Place::Scratch(p)) => p,
            None => return Err(self.broken(format!("local '{}' is used before it is set", self.kernel.local(l).name))),
        };
        let (access, per_lane) = self.local_access(l, base)?;
        let (lanes, mask) = (self.lanes, self.mask);
        Ok({
            let ir = self.ir;
            let bytes = Self::local_bytes(dtype) as u32;
            let (register, is_bool) = (types::register(ir, dtype), dtype == DType::Bool);
            let memory = if is_bool { ir.int(8) } else { register };
            let t = ir.vec(memory, lanes);
            let raw = match access {
                Access::One(p) if per_lane => ir.load(t, p, bytes),
                Access::One(p) => ir.load(memory, p, bytes),
                Access::Row(p) => match mask {
                    None => ir.load(t, p, bytes),
                    Some(m) => ir.masked_load(t, p, m, ir.zero(t), bytes),
                },
                Access::Each(p, o) => {
                    let m = mask.unwrap_or_else(|| ir.cint(ir.vec(ir.int(1), lanes), 1));
                    ir.gather(t, ir.gep(memory, p, o), m, ir.zero(t), bytes)
                }
            };
            if is_bool { types::decode(ir, DType::Bool, raw) } else { raw }
        })
    }
    /// Sets the element of a local array at the current point.
    pub fn set_local(&mut self, l: LocalId, base: V, v: V) -> Result<()> {
        let (access, per_lane) = self.local_access(l, base)?;
        let dtype = self.kernel.local(l).dtype;
        let v = if dtype == DType::Bool { types::encode(self.ir, dtype, v) } else { v };
        let v = if per_lane { self.ir.splat(v, self.lanes) } else { v };
        self.put(access, v, Self::local_bytes(dtype) as u32, None);
        Ok(())
    }
    fn put(&mut self, access: Access, v: V, bytes: u32, each: Option<V>) {
        let ir = self.ir;
        let mask = both(ir, self.mask, each);
        match access {
            Access::One(p) => ir.store(v, p, bytes),
            Access::Row(p) => {
                let v = ir.splat(v, self.lanes);
                match mask {
                    None => ir.store(v, p, bytes),
                    Some(m) => ir.masked_store(v, p, m, bytes),
                }
            }
            Access::Each(p, o) => {
                let v = ir.splat(v, self.lanes);
                let m = mask.unwrap_or_else(|| ir.cint(ir.vec(ir.int(1), self.lanes), 1));
                ir.scatter(v, ir.gep(ir.element(ir.ty(v)), p, o), m, bytes)
            }
        }
    }
    /// `buffer[index] = value` where the guard holds.
    pub fn store(&mut self, buffer: BufferId, index: &[Index], guard: &Guard, value: ExprId) -> Result<()> {
        let dtype = self.kernel.expr(value).dtype;
        let b = self.program.buffer(buffer);
        if b.dtype != dtype {
            return Err(self.broken(format!("buffer '{}' holds {}, but is written as {dtype}", b.name, b.dtype)));
        }
        let v = self.expr(value)?;
        let (same, each) = self.guard(guard)?;
        let Some(Pointer { base, .. }) = self.pointers.get(&buffer).copied() else {
            return Err(self.broken("a buffer that is written is not among the buffers written"));
        };
        if dtype.is_packed() {
            let i = self.index(&linearize(index, &b.dims))?;
            if self.ir.is_vec(i) || self.ir.is_vec(v) || each.is_some() {
                return Err(self.broken("elements that share a byte are stored side by side"));
            }
            let last = self.size(&(&b.elements() - &Dim::from(1)))?;
            return self.store_packed(base, (i, last), dtype, v, same);
        }
        let bytes = types::bytes(dtype);
        let access = self.access(base, bytes as i64, &linearize(index, &b.dims))?;
        if matches!(access, Access::One(_)) && (self.ir.is_vec(v) || each.is_some()) {
            return Err(self.broken("many points store to one element"));
        }
        let raw = types::encode(self.ir, dtype, v);
        match same {
            None => self.put(access, raw, bytes, each),
            Some(c) => {
                let ir = self.ir;
                let (yes, done) = (ir.block(self.function), ir.block(self.function));
                ir.cond_br(c, yes, done);
                ir.at_end(yes);
                self.put(access, raw, bytes, each);
                ir.br(done);
                ir.at_end(done);
            }
        }
        Ok(())
    }
    /// Puts an element of less than a byte among its neighbours, which stay; what follows the last one is zero. One thread writes such a
    /// buffer.
    fn store_packed(&mut self, base: V, (i, last): (V, V), dtype: DType, v: V, condition: Option<V>) -> Result<()> {
        let ir = self.ir;
        let bits = dtype.bits() as i64;
        let (per, t, byte) = (8 / bits, ir.ty(i), ir.int(8));
        let p = ir.gep_bytes(base, ir.lshr(i, ir.cint(t, per.trailing_zeros() as i64)));
        let shift = ir.trunc(ir.mul(ir.and(i, ir.cint(t, per - 1)), ir.cint(t, bits)), byte);
        let code = ir.shl(types::encode(ir, dtype, v), shift);
        let ends = ir.icmp(I::LLVMIntEQ, i, last);
        let mask = ir.shl(ir.select(ends, ir.cint(byte, 0xff), ir.cint(byte, (1 << bits) - 1)), shift);
        let put = || ir.store(ir.or(ir.and(ir.load(byte, p, 1), ir.not(mask)), code), p, 1);
        match condition {
            None => put(),
            Some(c) => {
                let (yes, done) = (ir.block(self.function), ir.block(self.function));
                ir.cond_br(c, yes, done);
                ir.at_end(yes);
                put();
                ir.br(done);
                ir.at_end(done);
            }
        }
        Ok(())
    }
}

fn both(ir: &Ir, a: Option<V>, b: Option<V>) -> Option<V> {
    match (a, b) {
        (Some(a), Some(b)) => Some(ir.and(a, b)),
        (a, b) => a.or(b),
    }
}

/// Whether the index and the divisor are below 2³¹.
fn fits_32(x: &Index, d: &Dim, extent: &impl Fn(AxisId) -> Dim) -> bool {
    let limit = i32::MAX as i64;
    let high = x.range(extent).and_then(|(_, h)| h.as_const());
    high.is_some_and(|h| h <= limit) && d.as_const().is_some_and(|d| d <= limit)
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
        ExprKind::Within(g) => g.iter().for_each(|(i, _)| dep.join(&index_dep(kernel, known, i))),
        ExprKind::Load { buffer, index, guard, .. } => {
            index.iter().chain(guard.iter().map(|g| &g.0)).for_each(|i| dep.join(&index_dep(kernel, known, i)));
            dep.pinned |= kernel.writes().contains(buffer);
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
