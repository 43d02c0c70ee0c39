//! Contractions: recognized by structure (a sum of products of two loads whose axes split into batch, m, n and k), and given an
//! operand B that the register tile can stream: packed into panels of 16 columns, or row-major as it lies.

use crate::rewrite::{AxisMap, rebuild};
use lapidary_ir::{DType, Dim, Dims, Name};
use lapidary_kernel::{
    Atom, AxisId, BinaryOp, Buffer, BufferId, BufferKind, ExprId, ExprKind, Guard, Index, Kernel, KernelBuilder, PACK, Program, ReduceOp, Schedule,
    Stmt, linearize,
};
use rustc_hash::FxHashMap;

/// Columns of a panel: one AVX-512 register of f32, two of AVX2.
pub const PANEL: i64 = 16;

/// The roles of a contraction's axes and loads.
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    pub batch: Vec<AxisId>,
    pub m: Vec<AxisId>,
    pub n: Vec<AxisId>,
    /// The inner loop is the last.
    pub k: Vec<AxisId>,
    pub a: ExprId,
    pub b: ExprId,
}

impl Contract {
    pub fn schedule(&self) -> Schedule {
        let ids = |v: &[AxisId]| v.iter().map(|a| a.0).collect();
        Schedule::Contract { batch: ids(&self.batch), m: ids(&self.m), n: ids(&self.n), k: ids(&self.k), a: self.a.0, b: self.b.0 }
    }
}

struct Operand<'a> {
    expr: ExprId,
    buffer: BufferId,
    index: &'a [Index],
    guard: &'a Guard,
}

fn operand<'a>(k: &'a Kernel, e: ExprId) -> Option<Operand<'a>> {
    match &k.expr(e).kind {
        ExprKind::Load { buffer, index, guard, otherwise } => {
            let zero = otherwise.is_none_or(|o| matches!(k.expr(o).kind, ExprKind::Const(s) if s.as_f64() == 0.0));
            zero.then_some(Operand { expr: e, buffer: *buffer, index, guard })
        }
        _ => None,
    }
}

/// The contraction that a kernel is, if it is one that the register tile can compute.
pub fn recognize(p: &Program, k: &Kernel) -> Option<Contract> {
    let (first, rest) = k.body.split_first()?;
    let Stmt::Reduce { local, op: ReduceOp::Sum, over, value } = first else { return None };
    if k.serial || k.local(*local).dtype != DType::F32 || !k.local(*local).axes.is_empty() || over.is_empty() {
        return None;
    }
    if !rest.iter().all(|s| matches!(s, Stmt::Store { axes, .. } if axes.is_empty())) {
        return None;
    }
    let ExprKind::Binary(BinaryOp::Mul, x, y) = k.expr(*value).kind else { return None };
    let (x, y) = (operand(k, x)?, operand(k, y)?);
    // The store says which axis is innermost; constants are what can be packed for free.
    let constant = |o: &Operand<'_>| p.buffer(o.buffer).constant().is_some();
    let mut roles = [(&x, &y), (&y, &x)];
    if constant(&x) && !constant(&y) {
        roles.swap(0, 1);
    }
    roles.into_iter().find_map(|(a, b)| assign(p, k, over, a, b))
}

fn assign(p: &Program, k: &Kernel, over: &[AxisId], a: &Operand<'_>, b: &Operand<'_>) -> Option<Contract> {
    let used = |o: &Operand<'_>, axis: AxisId| o.index.iter().any(|i| i.mentions(axis)) || o.guard.iter().any(|(i, _)| i.mentions(axis));
    let computed = |o: &Operand<'_>| {
        o.index.iter().chain(o.guard.iter().map(|(i, _)| i)).any(|i| {
            let mut v = vec![];
            i.values(&mut v);
            !v.is_empty()
        })
    };
    if !b.guard.is_empty() || computed(a) || computed(b) || p.buffer(a.buffer).dtype != DType::F32 || p.buffer(b.buffer).dtype != DType::F32 {
        return None;
    }
    let mut c = Contract { batch: vec![], m: vec![], n: vec![], k: vec![], a: a.expr, b: b.expr };
    for axis in k.parallel_axes() {
        match (used(a, axis), used(b, axis)) {
            (true, true) => c.batch.push(axis),
            (true, false) => c.m.push(axis),
            (false, true) => c.n.push(axis),
            (false, false) => c.batch.push(axis),
        }
    }
    if over.iter().any(|x| !used(a, *x) || !used(b, *x)) {
        return None;
    }
    let flat_a = linearize(a.index, &p.buffer(a.buffer).dims);
    let flat_b = linearize(b.index, &p.buffer(b.buffer).dims);
    // B must be a plain strided array along its own axes, so that it can be packed or streamed.
    if c.n.iter().chain(over).any(|x| flat_b.coefficient(*x).is_none() && !in_panels(b.index, *x)) {
        return None;
    }
    // The columns that lie next to each other in the result come last.
    let store = k.body.iter().find_map(|s| match s {
        Stmt::Store { buffer, index, .. } => Some(linearize(index, &p.buffer(*buffer).dims)),
        _ => None,
    })?;
    let inner = *c.n.iter().find(|x| store.coefficient(**x).and_then(|c| c.as_const()) == Some(1)).or(c.n.last())?;
    c.n.retain(|x| *x != inner);
    c.n.push(inner);
    if c.n.len() > 1 && k.extent(inner).as_const().is_none_or(|e| e % PANEL != 0) {
        return None;
    }
    if k.extent(inner).as_const().is_some_and(|e| e < 8) {
        return None;
    }
    // The inner loop walks A by a fixed stride, without a guard: of those, the smallest stride.
    let strided = |x: &AxisId| flat_a.coefficient(*x).is_some() && !a.guard.iter().any(|(i, _)| i.mentions(*x));
    let rank = |x: &AxisId| match flat_a.coefficient(*x).and_then(|c| c.as_const()) {
        Some(1) => 0,
        Some(_) => 1,
        None => 2,
    };
    let best = over.iter().filter(|x| strided(x)).min_by_key(|x| rank(x)).copied();
    c.k = over.to_vec();
    if let Some(best) = best {
        c.k.retain(|x| *x != best);
        c.k.push(best);
    } else {
        return None;
    }
    Some(c)
}

/// Whether the axis walks packed panels: as quotient and remainder by the panel's width, and in no other way.
fn in_panels(index: &[Index], axis: AxisId) -> bool {
    let width = Dim::from(PANEL);
    let parts: Vec<&Atom> = index.iter().filter(|i| i.mentions(axis)).flat_map(|i| i.terms()).map(|(a, _)| a).collect();
    let whole = |x: &Index, d: &Dim| x.as_axis() == Some(axis) && *d == width;
    matches!(parts.as_slice(), [Atom::FloorDiv(x, d), Atom::Mod(y, e)] if whole(x, d) && whole(y, e))
}

/// Gives every contraction's B the form that the register tile streams. Constants become packed constants (made by the caller's constant
/// folding), others are packed by a kernel of their own just before.
pub fn pack(p: &mut Program) {
    let mut packed: FxHashMap<(BufferId, Vec<Index>, Dims), BufferId> = FxHashMap::default();
    let mut i = 0;
    while i < p.kernels.len() {
        let Some(c) = recognize(p, &p.kernels[i]) else {
            i += 1;
            continue;
        };
        let k = p.kernels[i].clone();
        let ExprKind::Load { buffer, index, .. } = &k.expr(c.b).kind else { continue };
        if !streams(p, &k, &c, *buffer, index) {
            let (kernel, target, shape) = packing(p, &k, &c, *buffer, index);
            let key = (*buffer, canonical(&kernel), shape.dims.clone());
            let constant = p.buffer(*buffer).constant().is_some();
            let to = match packed.get(&key) {
                Some(b) if constant => *b,
                _ => {
                    let id = p.add_buffer(shape);
                    let mut kernel = kernel;
                    retarget(&mut kernel, id);
                    p.kernels.insert(i, kernel);
                    i += 1;
                    packed.insert(key, id);
                    id
                }
            };
            let from = *buffer;
            let original = index.clone();
            let map = AxisMap::same(&k);
            p.kernels[i] = rebuild(&k, &map, &mut |k, site| {
                if site.buffer == from && site.index == original { k.load(to, DType::F32, target.clone()) } else { site.keep(k) }
            });
        }
        i += 1;
    }
}

/// Whether B can be read as it lies: columns next to each other, whole panels.
fn streams(p: &Program, k: &Kernel, c: &Contract, buffer: BufferId, index: &[Index]) -> bool {
    let flat = linearize(index, &p.buffer(buffer).dims);
    let Some(inner) = c.n.last() else { return false };
    let stride_one = flat.coefficient(*inner).and_then(|d| d.as_const()) == Some(1);
    let whole = k.extent(*inner).as_const().is_some_and(|e| e % PANEL == 0);
    // Several column axes must together have one stride from panel to panel.
    let joint = c.n.len() == 1;
    // A constant is worth packing always: panels next to each other are read in one stream.
    stride_one && whole && joint && p.buffer(buffer).constant().is_none()
}

/// The kernel that packs B into `[batch…, n outer…, ceil(n / 16), k…, 16]`, the index of the packed load, and the packed buffer.
fn packing(p: &Program, k: &Kernel, c: &Contract, buffer: BufferId, index: &[Index]) -> (Kernel, Vec<Index>, Buffer) {
    let source = p.buffer(buffer);
    let (inner, outer) = match c.n.split_last() {
        Some((i, o)) => (*i, o.to_vec()),
        None => (AxisId(0), vec![]),
    };
    let batch: Vec<AxisId> = c.batch.iter().copied().filter(|x| index.iter().any(|i| i.mentions(*x))).collect();
    let n = k.extent(inner).clone();
    let panels = n.ceil_div(&Dim::from(PANEL));
    let name: Name = format!("{}.packed", source.name).into();
    let origin: Vec<Name> = k.origin.first().cloned().into_iter().collect();
    let mut b = KernelBuilder::new(format!("{PACK}{}", source.name), &origin);
    let mut at = vec![Index::from(0); k.axes.len()];
    let mut dims = Dims::new();
    let mut store: Vec<Index> = vec![];
    let mut load: Vec<Index> = vec![];
    for x in batch.iter().chain(&outer) {
        let axis = b.parallel(&k.axes[x.0 as usize].name, k.extent(*x).clone());
        at[x.0 as usize] = axis.into();
        dims.push(k.extent(*x).clone());
        store.push(axis.into());
        load.push((*x).into());
    }
    let panel = b.parallel("panel", panels.clone());
    dims.push(panels);
    store.push(panel.into());
    load.push(Index::from(inner).floor_div(&Dim::from(PANEL), &|a| k.extent(a).clone()));
    for x in &c.k {
        let axis = b.parallel(&k.axes[x.0 as usize].name, k.extent(*x).clone());
        at[x.0 as usize] = axis.into();
        dims.push(k.extent(*x).clone());
        store.push(axis.into());
        load.push((*x).into());
    }
    let lane = b.parallel("lane", Dim::from(PANEL));
    dims.push(Dim::from(PANEL));
    store.push(lane.into());
    load.push(Index::from(inner).modulo(&Dim::from(PANEL), &|a| k.extent(a).clone()));
    let column = Index::from(panel).scale(&Dim::from(PANEL)).add(&lane.into());
    at[inner.0 as usize] = column.clone();
    let from: Vec<Index> = index.iter().map(|i| i.substitute(&|a| at[a.0 as usize].clone(), &Index::value, &|a| b.extent(a))).collect();
    let v = b.load_guarded(buffer, DType::F32, from, vec![(column, n)], None);
    b.store(BufferId(u32::MAX), store, v);
    (b.finish(), load, Buffer { name, dtype: DType::F32, dims, kind: BufferKind::Temp })
}

/// The load of a packing kernel: equal for equal packings.
fn canonical(k: &Kernel) -> Vec<Index> {
    k.exprs.iter().filter_map(|e| if let ExprKind::Load { index, .. } = &e.kind { Some(index.clone()) } else { None }).flatten().collect()
}

fn retarget(k: &mut Kernel, to: BufferId) {
    for s in &mut k.body {
        if let Stmt::Store { buffer, .. } = s {
            *buffer = to;
        }
    }
}
