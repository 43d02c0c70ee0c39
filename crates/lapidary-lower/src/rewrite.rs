//! Rebuilding kernels: expressions of one kernel copied into another with axes and loads replaced.

use lapidary_ir::{DType, Dim};
use lapidary_kernel::{Axis, AxisId, BufferId, Expr, ExprId, ExprKind, Guard, Index, Kernel, KernelBuilder, LocalId, Recurrence, Stmt};
use rustc_hash::FxHashMap;

/// A load met while copying, its indices already in terms of the new kernel.
pub struct LoadSite {
    pub buffer: BufferId,
    pub dtype: DType,
    pub index: Vec<Index>,
    pub guard: Guard,
    pub otherwise: Option<ExprId>,
}

impl LoadSite {
    /// The load as it is.
    pub fn keep(self, k: &mut KernelBuilder) -> ExprId {
        k.load_guarded(self.buffer, self.dtype, self.index, self.guard, self.otherwise)
    }
}

pub type LoadHook<'h> = &'h mut dyn FnMut(&mut KernelBuilder, LoadSite) -> ExprId;

/// Copies expressions of `from` into a kernel being built.
pub struct Copier<'a> {
    from: &'a Kernel,
    /// What each axis of `from` is in the new kernel.
    axes: Vec<Index>,
    /// Added to the numbers of `from`'s locals.
    local_base: u32,
    memo: FxHashMap<ExprId, ExprId>,
}

impl<'a> Copier<'a> {
    pub fn new(from: &'a Kernel, axes: Vec<Index>, local_base: u32) -> Copier<'a> {
        Copier { from, axes, local_base, memo: FxHashMap::default() }
    }
    /// From now on `new` stands for `old`.
    pub fn replace(&mut self, old: ExprId, new: ExprId) {
        self.memo.insert(old, new);
    }
    /// From now on `new` stands for the value of a local of the old kernel.
    pub fn replace_local(&mut self, local: LocalId, new: ExprId) {
        let uses = self.from.exprs.iter().enumerate().filter(|(_, e)| e.kind == ExprKind::Local(local));
        self.memo.extend(uses.map(|(i, _)| (ExprId(i as u32), new)));
    }
    pub fn expr(&mut self, k: &mut KernelBuilder, e: ExprId, load: LoadHook<'_>) -> ExprId {
        if let Some(new) = self.memo.get(&e) {
            return *new;
        }
        let Expr { dtype, kind } = self.from.expr(e).clone();
        let new = match kind {
            ExprKind::Const(_) => k.expr(dtype, kind),
            ExprKind::Local(l) => k.expr(dtype, ExprKind::Local(LocalId(l.0 + self.local_base))),
            ExprKind::Index(i) => {
                let i = self.index(k, &i, load);
                k.index(i)
            }
            ExprKind::Within(g) => {
                let g = self.guard(k, &g, load);
                k.within(g)
            }
            ExprKind::Load { buffer, index, guard, otherwise } => {
                let index = index.iter().map(|i| self.index(k, i, load)).collect();
                let guard = self.guard(k, &guard, load);
                let otherwise = otherwise.map(|o| self.expr(k, o, load));
                load(k, LoadSite { buffer, dtype, index, guard, otherwise })
            }
            ExprKind::Unary(op, a) => {
                let a = self.expr(k, a, load);
                k.expr(dtype, ExprKind::Unary(op, a))
            }
            ExprKind::Cast(a) => {
                let a = self.expr(k, a, load);
                k.cast(dtype, a)
            }
            ExprKind::Binary(op, a, b) => {
                let (a, b) = (self.expr(k, a, load), self.expr(k, b, load));
                k.expr(dtype, ExprKind::Binary(op, a, b))
            }
            ExprKind::Fma(a, b, c) => {
                let (a, b, c) = (self.expr(k, a, load), self.expr(k, b, load), self.expr(k, c, load));
                k.fma(a, b, c)
            }
            ExprKind::Select(c, a, b) => {
                let (c, a, b) = (self.expr(k, c, load), self.expr(k, a, load), self.expr(k, b, load));
                k.expr(dtype, ExprKind::Select(c, a, b))
            }
        };
        self.memo.insert(e, new);
        new
    }
    pub fn index(&mut self, k: &mut KernelBuilder, i: &Index, load: LoadHook<'_>) -> Index {
        let mut values = vec![];
        i.values(&mut values);
        for v in values {
            self.expr(k, v, load);
        }
        let value = |e: ExprId| match &k.kernel().expr(self.memo[&e]).kind {
            ExprKind::Index(i) => i.clone(),
            ExprKind::Const(s) => Index::from(s.as_i64()),
            _ => Index::value(self.memo[&e]),
        };
        i.substitute(&|a| self.axes[a.0 as usize].clone(), &value, &|a| k.extent(a))
    }
    pub fn guard(&mut self, k: &mut KernelBuilder, g: &Guard, load: LoadHook<'_>) -> Guard {
        let all: Guard = g.iter().map(|(i, d)| (self.index(k, i, load), d.clone())).collect();
        all.into_iter().filter(|(i, d)| !i.known_within(d, &|a| k.extent(a))).collect()
    }
}

/// New axes for a kernel: each old axis becomes an index over new ones, and (where statements list it) those new ones.
pub struct AxisMap {
    pub axes: Vec<Axis>,
    pub parallel: usize,
    pub index: Vec<Index>,
    pub list: Vec<Vec<AxisId>>,
}

impl AxisMap {
    /// The axes as they are.
    pub fn same(k: &Kernel) -> AxisMap {
        let ids = (0..k.axes.len() as u16).map(AxisId);
        AxisMap { axes: k.axes.clone(), parallel: k.parallel, index: ids.clone().map(Index::from).collect(), list: ids.map(|a| vec![a]).collect() }
    }
    /// Without the axes of extent 1.
    pub fn without_ones(k: &Kernel) -> Option<AxisMap> {
        let one = |a: &Axis| a.extent.as_const() == Some(1);
        if !k.axes.iter().any(one) {
            return None;
        }
        let mut map = AxisMap { axes: vec![], parallel: k.axes[..k.parallel].iter().filter(|a| !one(a)).count(), index: vec![], list: vec![] };
        for a in &k.axes {
            if one(a) {
                map.index.push(Index::from(0));
                map.list.push(vec![]);
            } else {
                let id = AxisId(map.axes.len() as u16);
                map.axes.push(a.clone());
                map.index.push(id.into());
                map.list.push(vec![id]);
            }
        }
        Some(map)
    }
    /// `axis` becomes `outer · inner_extent + inner`.
    pub fn split(k: &Kernel, axis: AxisId, outer: Dim, inner: Dim) -> AxisMap {
        let mut map = AxisMap { axes: vec![], parallel: k.parallel + usize::from(k.is_parallel(axis)), index: vec![], list: vec![] };
        for (i, a) in k.axes.iter().enumerate() {
            let id = AxisId(map.axes.len() as u16);
            if i == axis.0 as usize {
                let next = AxisId(id.0 + 1);
                map.axes.push(Axis { name: format!("{}_o", a.name).into(), extent: outer.clone() });
                map.axes.push(Axis { name: format!("{}_i", a.name).into(), extent: inner.clone() });
                map.index.push(Index::from(id).scale(&inner).add(&next.into()));
                map.list.push(vec![id, next]);
            } else {
                map.axes.push(a.clone());
                map.index.push(id.into());
                map.list.push(vec![id]);
            }
        }
        map
    }
    /// Two axes, both parallel or neither, become one, in the place of the outer one: `outer · inner_extent + inner`.
    pub fn merge(k: &Kernel, outer: AxisId, inner: AxisId) -> AxisMap {
        let mut map = AxisMap { axes: vec![], parallel: k.parallel - usize::from(k.is_parallel(inner)), index: vec![], list: vec![] };
        let size = k.extent(inner);
        for (i, a) in k.axes.iter().enumerate().filter(|(i, _)| *i != inner.0 as usize) {
            let extent = if i == outer.0 as usize { &a.extent * size } else { a.extent.clone() };
            map.axes.push(Axis { name: a.name.clone(), extent });
        }
        let extents: Vec<Dim> = map.axes.iter().map(|a| a.extent.clone()).collect();
        let extent = |a: AxisId| extents[a.0 as usize].clone();
        let new = |a: AxisId| AxisId(a.0 - u16::from(a > inner));
        for a in (0..k.axes.len() as u16).map(AxisId) {
            let id = if a == inner { new(outer) } else { new(a) };
            map.index.push(match a {
                a if a == outer => Index::from(id).floor_div(size, &extent),
                a if a == inner => Index::from(id).modulo(size, &extent),
                _ => id.into(),
            });
            map.list.push(if a == inner { vec![] } else { vec![id] });
        }
        map
    }
}

/// An empty kernel with the new axes, the old one's name, origin and locals.
pub fn shell(from: &Kernel, map: &AxisMap) -> KernelBuilder {
    let mut k = KernelBuilder::new(from.name.clone(), &from.origin);
    let new = k.kernel_mut();
    new.axes = map.axes.clone();
    new.parallel = map.parallel;
    new.serial = from.serial;
    // A single step is none: all kernels of the recurrence lose the axis alike.
    new.recurrence = from.recurrence.and_then(|r| map.list[r.axis.0 as usize].first().map(|axis| Recurrence { axis: *axis, ..r }));
    new.locals = from.locals.clone();
    for l in &mut new.locals {
        l.axes = l.axes.iter().flat_map(|a| map.list[a.0 as usize].clone()).collect();
    }
    k
}

/// Copies one statement of the copier's kernel. A store to a buffer for which `skip` holds is left out.
pub fn copy_stmt(k: &mut KernelBuilder, copier: &mut Copier<'_>, stmt: &Stmt, map: &AxisMap, load: LoadHook<'_>) {
    let list = |axes: &[AxisId]| axes.iter().flat_map(|a| map.list[a.0 as usize].clone()).collect::<Vec<_>>();
    let new = match stmt {
        Stmt::Let { local, value } => Stmt::Let { local: *local, value: copier.expr(k, *value, load) },
        Stmt::Reduce { local, op, over, value } => Stmt::Reduce { local: *local, op: *op, over: list(over), value: copier.expr(k, *value, load) },
        Stmt::Store { buffer, index, axes, guard, value } => Stmt::Store {
            buffer: *buffer,
            index: index.iter().map(|i| copier.index(k, i, load)).collect(),
            axes: list(axes),
            guard: copier.guard(k, guard, load),
            value: copier.expr(k, *value, load),
        },
    };
    k.kernel_mut().body.push(new);
}

/// The kernel with other axes and loads. Expressions that nothing uses are dropped on the way.
pub fn rebuild(from: &Kernel, map: &AxisMap, load: LoadHook<'_>) -> Kernel {
    let mut k = shell(from, map);
    let mut copier = Copier::new(from, map.index.clone(), 0);
    for s in &from.body {
        copy_stmt(&mut k, &mut copier, s, map, load);
    }
    k.finish()
}

/// Axes of extent 1 dropped; axes that only occur as quotient and remainder by one size split into two.
pub fn normalize(mut k: Kernel) -> Kernel {
    if let Some(map) = AxisMap::without_ones(&k) {
        k = rebuild(&k, &map, &mut |k, l| l.keep(k));
    }
    for _ in 0..8 {
        let Some((axis, outer, inner)) = splittable(&k) else { break };
        let map = AxisMap::split(&k, axis, outer, inner);
        k = rebuild(&k, &map, &mut |k, l| l.keep(k));
    }
    k
}

/// An axis `a` that occurs as `a floordiv d` or `a mod d`, with `d` a divisor of its extent. The kernels of a recurrence share their first axes.
fn splittable(k: &Kernel) -> Option<(AxisId, Dim, Dim)> {
    let live = k.live_exprs();
    let mut found = None;
    let mut look = |i: &Index| {
        for (a, _) in i.terms() {
            if let lapidary_kernel::Atom::FloorDiv(x, d) | lapidary_kernel::Atom::Mod(x, d) = a
                && let Some(axis) = x.as_axis()
                && usize::from(axis.0) >= k.leading()
                && let Some(outer) = k.extent(axis).exact_div(d)
                && outer.as_const() != Some(1)
                && found.is_none()
            {
                found = Some((axis, outer, d.clone()));
            }
        }
    };
    for (e, live) in k.exprs.iter().zip(live) {
        if live {
            match &e.kind {
                ExprKind::Index(i) => look(i),
                ExprKind::Within(g) => g.iter().for_each(|(i, _)| look(i)),
                ExprKind::Load { index, guard, .. } => {
                    index.iter().for_each(&mut look);
                    guard.iter().for_each(|(i, _)| look(i));
                }
                _ => {}
            }
        }
    }
    for s in &k.body {
        if let Stmt::Store { index, .. } = s {
            index.iter().for_each(&mut look);
        }
    }
    found
}

/// Solves `index(axes) = target` for the axes: `index` must name every axis once, as a mixed-radix number in each dim that covers the
/// whole dim. Gives the axes' values in the target's terms, whose axis extents `extent` tells.
pub fn solve(
    axes: &[(AxisId, Dim)],
    index: &[Index],
    dims: &[Dim],
    target: &[Index],
    extent: &impl Fn(AxisId) -> Dim,
) -> Option<Vec<(AxisId, Index)>> {
    let mut out: Vec<(AxisId, Index)> = vec![];
    for ((i, d), t) in index.iter().zip(dims).zip(target) {
        if !i.is_affine() || i.offset().as_const() != Some(0) {
            return None;
        }
        let mut left: Vec<(AxisId, Dim)> = vec![];
        for (a, c) in i.terms() {
            if let lapidary_kernel::Atom::Axis(a) = a {
                left.push((*a, c.clone()));
            }
        }
        let mut radix = Dim::from(1);
        while !left.is_empty() {
            let at = left.iter().position(|(_, c)| *c == radix)?;
            let (a, c) = left.swap_remove(at);
            let size = axes.iter().find(|(x, _)| *x == a)?.1.clone();
            radix = &radix * &size;
            let q = t.floor_div(&c, extent);
            out.push((a, if radix == *d { q } else { q.modulo(&size, extent) }));
        }
        if radix != *d {
            return None;
        }
    }
    let once = out.len() == axes.len() && axes.iter().all(|(a, _)| out.iter().filter(|(x, _)| x == a).count() == 1);
    once.then_some(out)
}
