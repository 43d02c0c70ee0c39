//! The form of a program that its text gives back: expressions made once, numbered as the text mentions them, names that are words.

use crate::{Expr, ExprId, ExprKind, Guard, Index, Kernel, Local, LocalId, Program, Scalar, Schedule, Stmt, text::Names};
use half::{bf16, f16};
use lapidary_ir::DType;
use rustc_hash::FxHashMap;

/// An unnamed expression that nests deeper gets a name, so that neither a line nor a stack grows without bound.
const DEPTH_MAX: usize = 24;

impl Program {
    /// The same program without what rewriting left over: dead expressions and locals go, equal expressions become one, constants are
    /// rounded to their type, axes and locals get names that are unique words. What [`crate::text::parse_program`] reads back is this.
    pub fn compact(&mut self) {
        let names = Names::of(self);
        for k in &mut self.kernels {
            if well_formed(k) {
                compact_kernel(k, &names);
            }
        }
    }
}

/// Whether every expression and local that the kernel mentions exists, operands before users: what rebuilding relies on.
pub(crate) fn well_formed(k: &Kernel) -> bool {
    let locals = |kind: &ExprKind| !matches!(kind, ExprKind::Local(l) if l.0 as usize >= k.locals.len());
    let earlier = |(i, e): (usize, &Expr)| e.kind.operands().iter().all(|o| (o.0 as usize) < i) && locals(&e.kind);
    let axes = |i: &Index| {
        let mut out = vec![];
        i.axes(&mut out);
        out.iter().all(|a| (a.0 as usize) < k.axes.len())
    };
    let listed = |v: &[crate::AxisId]| v.iter().all(|a| (a.0 as usize) < k.axes.len());
    let statement = |s: &Stmt| match s {
        Stmt::Let { local, .. } => (local.0 as usize) < k.locals.len(),
        Stmt::Reduce { local, over, .. } => (local.0 as usize) < k.locals.len() && listed(over),
        Stmt::Store { axes, .. } => listed(axes),
    };
    k.parallel <= k.axes.len()
        && k.recurrence.is_none_or(|r| (r.axis.0 as usize) < k.axes.len())
        && k.exprs.iter().enumerate().all(earlier)
        && k.indices().into_iter().all(axes)
        && k.locals.iter().all(|l| listed(&l.axes))
        && k.body.iter().all(|s| statement(s) && s.exprs().iter().all(|e| (e.0 as usize) < k.exprs.len()))
        && k.schedule.as_ref().is_none_or(|s| s.exprs().iter().all(|e| (e.0 as usize) < k.exprs.len()))
}

impl Kernel {
    /// Every index within, guards included.
    pub(crate) fn indices(&self) -> Vec<&Index> {
        let mut out = vec![];
        for e in &self.exprs {
            match &e.kind {
                ExprKind::Index(i) => out.push(i),
                ExprKind::Within(g) => out.extend(g.iter().map(|(i, _)| i)),
                ExprKind::Load { index, guard, .. } => out.extend(index.iter().chain(guard.iter().map(|(i, _)| i))),
                _ => {}
            }
        }
        for s in &self.body {
            if let Stmt::Store { index, guard, .. } = s {
                out.extend(index.iter().chain(guard.iter().map(|(i, _)| i)));
            }
        }
        out
    }
}

impl Schedule {
    /// The expressions that the schedule names.
    pub fn exprs(&self) -> Vec<ExprId> {
        match self {
            Schedule::Contract { a, b, .. } => vec![ExprId(*a), ExprId(*b)],
            _ => vec![],
        }
    }
    fn renumber(&mut self, new: &impl Fn(ExprId) -> ExprId) {
        if let Schedule::Contract { a, b, .. } = self {
            (*a, *b) = (new(ExprId(*a)).0, new(ExprId(*b)).0);
        }
    }
}

fn compact_kernel(k: &mut Kernel, names: &Names) {
    number_locals(k);
    // First equal expressions become one, then those that are left are numbered as the text mentions them.
    let all: Vec<ExprId> = (0..k.exprs.len() as u32).map(ExprId).collect();
    renumber(k, &all);
    let order = Layout::of(k).order(k);
    renumber(k, &order);
    let (axes, locals) = names.in_kernel(k);
    for (a, name) in k.axes.iter_mut().zip(axes) {
        a.name = name.into();
    }
    for (l, name) in k.locals.iter_mut().zip(locals) {
        l.name = name.into();
    }
}

/// Locals in order of first assignment, those that are read and never assigned before them; the others go.
fn number_locals(k: &mut Kernel) {
    let live = k.live_exprs();
    let mut order: Vec<LocalId> = vec![];
    let assigned = |s: &Stmt| match s {
        Stmt::Let { local, .. } | Stmt::Reduce { local, .. } => Some(*local),
        Stmt::Store { .. } => None,
    };
    let targets: Vec<LocalId> = k.body.iter().filter_map(assigned).collect();
    let read = k.exprs.iter().zip(&live).filter_map(|(e, l)| match e.kind {
        ExprKind::Local(x) if *l && !targets.contains(&x) => Some(x),
        _ => None,
    });
    for l in read.chain(targets.iter().copied()) {
        if !order.contains(&l) {
            order.push(l);
        }
    }
    let new = |l: LocalId| order.iter().position(|x| *x == l).map_or(l, |i| LocalId(i as u32));
    let locals: Vec<Local> = order.iter().map(|l| k.local(*l).clone()).collect();
    for (e, live) in k.exprs.iter_mut().zip(live) {
        match &mut e.kind {
            ExprKind::Local(l) if live => *l = new(*l),
            // A dead read of a local that goes: any other dead expression will do.
            ExprKind::Local(_) => e.kind = ExprKind::Const(Scalar::Int(0)),
            _ => {}
        }
    }
    for s in &mut k.body {
        if let Stmt::Let { local, .. } | Stmt::Reduce { local, .. } = s {
            *local = new(*local);
        }
    }
    k.locals = locals;
}

/// Keeps the expressions of `order`, in that order, equal ones once. `order` holds the operands of each before it.
fn renumber(k: &mut Kernel, order: &[ExprId]) {
    let mut known: FxHashMap<Expr, ExprId> = FxHashMap::default();
    let mut to: Vec<Option<ExprId>> = vec![None; k.exprs.len()];
    let mut exprs: Vec<Expr> = vec![];
    for id in order {
        let e = renumbered(k.expr(*id), &|e| to[e.0 as usize].unwrap_or(e));
        let new = *known.entry(e).or_insert_with_key(|e| {
            exprs.push(e.clone());
            ExprId(exprs.len() as u32 - 1)
        });
        to[id.0 as usize] = Some(new);
    }
    let new = |e: ExprId| to[e.0 as usize].unwrap_or(e);
    for s in &mut k.body {
        match s {
            Stmt::Let { value, .. } | Stmt::Reduce { value, .. } => *value = new(*value),
            Stmt::Store { index, guard, value, .. } => {
                *value = new(*value);
                index.iter_mut().for_each(|i| *i = i.renumber(&|a| a, &new));
                *guard = renumbered_guard(guard, &new);
            }
        }
    }
    if let Some(s) = &mut k.schedule {
        s.renumber(&new);
    }
    k.exprs = exprs;
}

fn renumbered_guard(g: &Guard, new: &impl Fn(ExprId) -> ExprId) -> Guard {
    g.iter().map(|(i, d)| (i.renumber(&|a| a, new), d.clone())).collect()
}

fn renumbered(e: &Expr, new: &impl Fn(ExprId) -> ExprId) -> Expr {
    let kind = match &e.kind {
        ExprKind::Const(s) => ExprKind::Const(rounded(e.dtype, *s)),
        ExprKind::Local(l) => ExprKind::Local(*l),
        ExprKind::Index(i) => ExprKind::Index(i.renumber(&|a| a, new)),
        ExprKind::Within(g) => ExprKind::Within(renumbered_guard(g, new)),
        ExprKind::Load { buffer, index, guard, otherwise } => ExprKind::Load {
            buffer: *buffer,
            index: index.iter().map(|i| i.renumber(&|a| a, new)).collect(),
            guard: renumbered_guard(guard, new),
            // Without a guard there is no otherwise.
            otherwise: otherwise.filter(|_| !guard.is_empty()).map(new),
        },
        ExprKind::Unary(op, a) => ExprKind::Unary(*op, new(*a)),
        ExprKind::Cast(a) => ExprKind::Cast(new(*a)),
        ExprKind::Binary(op, a, b) => ExprKind::Binary(*op, new(*a), new(*b)),
        ExprKind::Fma(a, b, c) => ExprKind::Fma(new(*a), new(*b), new(*c)),
        ExprKind::Select(c, a, b) => ExprKind::Select(new(*c), new(*a), new(*b)),
    };
    Expr { dtype: e.dtype, kind }
}

/// The value that a constant has anyway once it is read.
fn rounded(dtype: DType, s: Scalar) -> Scalar {
    let Scalar::Float(bits) = s else { return s };
    let v = f64::from_bits(bits);
    if v.is_nan() {
        return s;
    }
    match dtype {
        DType::F32 => Scalar::float(v as f32 as f64),
        DType::F16 => Scalar::float(f16::from_f64(v).to_f64()),
        DType::BF16 => Scalar::float(bf16::from_f32(v as f32).to_f64()),
        _ => s,
    }
}

/// Which expressions the text gives a name, and before which statement it does so.
pub(crate) struct Layout {
    /// By statement: the expressions to name just before it. The last list belongs to the schedule.
    pub lines: Vec<Vec<ExprId>>,
}

impl Layout {
    /// Named is what several expressions share (but for leaves), what an index or the schedule refers to, and what nests too deep.
    pub fn of(k: &Kernel) -> Layout {
        let roots = |s: &Stmt| s.exprs();
        let scheduled: Vec<ExprId> = k.schedule.iter().flat_map(Schedule::exprs).collect();
        let groups: Vec<Vec<ExprId>> = k.body.iter().map(roots).chain([scheduled.clone()]).collect();
        let mut uses = vec![0usize; k.exprs.len()];
        let mut forced = vec![false; k.exprs.len()];
        scheduled.iter().for_each(|e| forced[e.0 as usize] = true);
        let mut reached = vec![false; k.exprs.len()];
        let mut work: Vec<ExprId> = groups.iter().flatten().copied().collect();
        work.iter().for_each(|e| uses[e.0 as usize] += 1);
        while let Some(e) = work.pop() {
            if std::mem::replace(&mut reached[e.0 as usize], true) {
                continue;
            }
            for o in k.expr(e).kind.operands() {
                uses[o.0 as usize] += 1;
                work.push(o);
            }
        }
        let mut values = vec![];
        let live = k.exprs.iter().zip(&reached).filter(|(_, r)| **r).map(|(e, _)| &e.kind);
        for kind in live {
            match kind {
                ExprKind::Index(i) => i.values(&mut values),
                ExprKind::Within(g) => g.iter().for_each(|(i, _)| i.values(&mut values)),
                ExprKind::Load { index, guard, .. } => index.iter().chain(guard.iter().map(|(i, _)| i)).for_each(|i| i.values(&mut values)),
                _ => {}
            }
        }
        for s in &k.body {
            if let Stmt::Store { index, guard, .. } = s {
                index.iter().chain(guard.iter().map(|(i, _)| i)).for_each(|i| i.values(&mut values));
            }
        }
        values.iter().for_each(|e| forced[e.0 as usize] = true);
        let mut named = vec![false; k.exprs.len()];
        let mut depth = vec![0usize; k.exprs.len()];
        for (i, e) in k.exprs.iter().enumerate() {
            let below = e.kind.operands().into_iter().map(|o| if named[o.0 as usize] { 0 } else { depth[o.0 as usize] }).max();
            depth[i] = 1 + below.unwrap_or(0);
            named[i] = reached[i] && (forced[i] || (uses[i] > 1 && !is_leaf(&e.kind)) || depth[i] >= DEPTH_MAX);
        }
        let mut done = vec![false; k.exprs.len()];
        let mut lines = vec![];
        for group in groups {
            let mut here = vec![];
            let mut seen = vec![false; k.exprs.len()];
            let mut work = group;
            while let Some(e) = work.pop() {
                // What is named already has everything below it named.
                if std::mem::replace(&mut seen[e.0 as usize], true) || done[e.0 as usize] {
                    continue;
                }
                if named[e.0 as usize] {
                    here.push(e);
                }
                work.extend(k.expr(e).kind.operands());
            }
            // Operands come before users, so the order of the numbers is one that works.
            here.sort();
            here.iter().for_each(|e| done[e.0 as usize] = true);
            lines.push(here);
        }
        Layout { lines }
    }

    /// All expressions of the text in the order in which a reader meets them.
    fn order(&self, k: &Kernel) -> Vec<ExprId> {
        fn walk(k: &Kernel, e: ExprId, seen: &mut [bool], out: &mut Vec<ExprId>) {
            if std::mem::replace(&mut seen[e.0 as usize], true) {
                return;
            }
            for o in k.expr(e).kind.operands() {
                walk(k, o, seen, out);
            }
            out.push(e);
        }
        let (mut seen, mut out) = (vec![false; k.exprs.len()], vec![]);
        for (i, line) in self.lines.iter().enumerate() {
            line.iter().for_each(|e| walk(k, *e, &mut seen, &mut out));
            if let Some(s) = k.body.get(i) {
                s.exprs().into_iter().for_each(|e| walk(k, e, &mut seen, &mut out));
            }
        }
        out
    }
}

/// What is short enough to be written again.
fn is_leaf(kind: &ExprKind) -> bool {
    match kind {
        ExprKind::Const(_) | ExprKind::Local(_) | ExprKind::Index(_) => true,
        ExprKind::Load { guard, .. } => guard.is_empty(),
        _ => false,
    }
}
