//! What every stage of lowering must keep true of a program. Rewriting leaves dead expressions behind; only what is live is looked at.

use crate::compact::well_formed;
use crate::{
    AxisId, BinaryOp, BufferId, BufferKind, Expr, ExprId, ExprKind, Guard, Index, Kernel, LocalId, Program, Scalar, Schedule, Stmt, UnaryOp,
    text::keeps_dtype,
};
use lapidary_ir::{DType, Diagnostic};
use std::collections::BTreeSet;

/// More findings than this say nothing new.
const FINDINGS_MAX: usize = 32;

impl Program {
    /// Everything that is wrong with the program; empty for a sound one. Such findings are our mistakes, not the user's.
    pub fn verify(&self) -> Vec<Diagnostic> {
        let mut out = vec![];
        self.verify_ports(&mut out);
        let mut written = vec![false; self.buffers.len()];
        for (i, k) in self.kernels.iter().enumerate() {
            let mut v = Verifier { p: self, k, out: &mut out };
            v.kernel(&mut written);
            v.recurrence(i);
            if out.len() >= FINDINGS_MAX {
                return out;
            }
        }
        for (b, written) in self.buffers.iter().zip(&written) {
            // An output without elements needs no writer.
            let empty = b.elements().as_const() == Some(0);
            if matches!(b.kind, BufferKind::Output(_)) && !written && !empty && !self.kernels.is_empty() {
                out.push(Diagnostic::error("kernel-program", format!("no kernel writes output '{}'", b.name)));
            }
        }
        out
    }
    fn verify_ports(&self, out: &mut Vec<Diagnostic>) {
        let (mut inputs, mut outputs) = (BTreeSet::new(), BTreeSet::new());
        for b in &self.buffers {
            let first = match b.kind {
                BufferKind::Input(n) => inputs.insert(n),
                BufferKind::Output(n) => outputs.insert(n),
                _ => true,
            };
            if !first {
                out.push(Diagnostic::error("kernel-program", format!("buffer '{}' has the number of another input or output", b.name)));
            }
            if let Some(t) = b.constant() {
                let sizes = b.dims.iter().map(|d| d.as_const()).collect::<Option<Vec<_>>>();
                if t.dtype() != b.dtype || sizes.is_none_or(|s| s.iter().product::<i64>() != t.len() as i64) {
                    let found = t.ty();
                    out.push(Diagnostic::error("kernel-program", format!("constant '{}' holds {found}, not {}{:?}", b.name, b.dtype.name(), b.dims)));
                }
            }
        }
    }
}

struct Verifier<'a> {
    p: &'a Program,
    k: &'a Kernel,
    out: &'a mut Vec<Diagnostic>,
}

impl Verifier<'_> {
    fn report(&mut self, message: String) {
        self.out.push(Diagnostic::error("kernel-program", format!("kernel '{}': {message}", self.k.name)));
    }
    fn axis_name(&self, a: AxisId) -> &str {
        self.k.axes.get(a.0 as usize).map_or("?", |a| &a.name)
    }

    fn kernel(&mut self, written: &mut [bool]) {
        let k = self.k;
        if !well_formed(k) {
            self.report("an operand comes after its user, or an axis, local or expression is missing".into());
            return;
        }
        let live = k.live_exprs();
        let buffers = k.writes().into_iter().chain(k.exprs.iter().zip(&live).filter_map(|(e, l)| match e.kind {
            ExprKind::Load { buffer, .. } if *l => Some(buffer),
            _ => None,
        }));
        if buffers.into_iter().any(|b| b.0 as usize >= self.p.buffers.len()) {
            self.report("a buffer is missing".into());
            return;
        }
        let own = k.writes();
        for (i, live) in live.iter().enumerate() {
            if *live {
                self.expr(ExprId(i as u32), &own, written);
            }
        }
        for b in &own {
            let buffer = self.p.buffer(*b);
            if matches!(buffer.kind, BufferKind::Input(_) | BufferKind::Const(_)) {
                self.report(format!("it writes '{}', which is an input or a constant", buffer.name));
            }
            written[b.0 as usize] = true;
        }
        let mut assigned = vec![false; k.locals.len()];
        for s in &k.body {
            self.statement(s, &mut assigned);
        }
        if let Some(s) = &k.schedule {
            self.schedule(s, &live);
        }
    }

    /// The kernels of a recurrence are neighbours, and walk the same steps.
    fn recurrence(&mut self, number: usize) {
        let (p, k) = (self.p, self.k);
        let Some(r) = k.recurrence else { return };
        let run = p.run_of(number);
        let first = &p.kernels[run.start];
        let elsewhere = p.kernels[..run.start].iter().any(|other| other.recurrence.is_some_and(|o| o.number == r.number));
        let extents = |k: &Kernel| (0..k.leading()).map(|a| k.axes.get(a).map(|a| a.extent.clone())).collect::<Vec<_>>();
        let wrong = if !k.is_parallel(r.axis) {
            Some("the steps of its recurrence are no parallel axis")
        } else if k.serial {
            Some("a serial kernel is part of a recurrence")
        } else if elsewhere {
            Some("another kernel stands between those of its recurrence")
        } else if extents(k) != extents(first) {
            Some("its steps are not those of the others of its recurrence")
        } else {
            None
        };
        if let Some(w) = wrong {
            self.report(w.into());
        }
    }

    // ---- expressions

    fn expr(&mut self, id: ExprId, own: &[BufferId], written: &[bool]) {
        let k = self.k;
        let Expr { dtype, kind } = k.expr(id);
        let dtype = *dtype;
        let of = |e: ExprId| k.expr(e).dtype;
        let wrong: Option<String> = match kind {
            ExprKind::Const(Scalar::Float(_)) => (!dtype.is_float()).then(|| format!("a float as constant of type {}", dtype.name())),
            ExprKind::Const(Scalar::Int(_)) => dtype.is_float().then(|| format!("an integer as constant of type {}", dtype.name())),
            ExprKind::Index(_) => (dtype != DType::I64).then(|| format!("an index as {}", dtype.name())),
            ExprKind::Within(_) => (dtype != DType::Bool).then(|| format!("a condition as {}", dtype.name())),
            ExprKind::Load { buffer, index, guard, otherwise } => {
                let b = self.p.buffer(*buffer);
                if matches!(b.kind, BufferKind::Temp | BufferKind::Output(_)) && !written[buffer.0 as usize] && !own.contains(buffer) {
                    self.report(format!("it reads '{}' before any kernel writes it", b.name));
                }
                self.access(*buffer, index, guard);
                if b.dtype != dtype {
                    Some(format!("an element of '{}' as {}", b.name, dtype.name()))
                } else {
                    otherwise.filter(|o| of(*o) != dtype).map(|o| format!("{} instead of an element of '{}'", of(o).name(), b.name))
                }
            }
            ExprKind::Local(l) => {
                let l = k.local(*l);
                (l.dtype != dtype).then(|| format!("local '{}' as {}", l.name, dtype.name()))
            }
            ExprKind::Unary(op, a) => {
                let result = if keeps_dtype(*op) { of(*a) } else { DType::Bool };
                let fits = match op {
                    UnaryOp::Not => of(*a) == DType::Bool,
                    UnaryOp::BitNot => !of(*a).is_float(),
                    _ => true,
                };
                (dtype != result || !fits).then(|| format!("{op:?} of {} as {}", of(*a).name(), dtype.name()))
            }
            ExprKind::Binary(op, a, b) => {
                let result = if op.is_comparison() { DType::Bool } else { of(*a) };
                let fits = match op {
                    BinaryOp::And | BinaryOp::Or | BinaryOp::Xor => of(*a) == DType::Bool,
                    BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::BitXor | BinaryOp::Shl | BinaryOp::Shr => !of(*a).is_float(),
                    _ => true,
                };
                (of(*a) != of(*b) || dtype != result || !fits)
                    .then(|| format!("{op:?} of {} and {} as {}", of(*a).name(), of(*b).name(), dtype.name()))
            }
            ExprKind::Fma(a, b, c) => {
                let fits = matches!(dtype, DType::F32 | DType::F64) && [a, b, c].into_iter().all(|e| of(*e) == dtype);
                (!fits).then(|| format!("fma of {}, {} and {} as {}", of(*a).name(), of(*b).name(), of(*c).name(), dtype.name()))
            }
            ExprKind::Select(c, a, b) => (of(*c) != DType::Bool || of(*a) != of(*b) || of(*a) != dtype)
                .then(|| format!("a choice by {} between {} and {} as {}", of(*c).name(), of(*a).name(), of(*b).name(), dtype.name())),
            ExprKind::Cast(_) => None,
        };
        if let Some(w) = wrong {
            self.report(w);
        }
        let mut values = vec![];
        match kind {
            ExprKind::Index(i) => i.values(&mut values),
            ExprKind::Within(g) => g.iter().for_each(|(i, _)| i.values(&mut values)),
            ExprKind::Load { index, guard, .. } => index.iter().chain(guard.iter().map(|(i, _)| i)).for_each(|i| i.values(&mut values)),
            _ => {}
        }
        if let Some(v) = values.into_iter().find(|v| of(*v).is_float()) {
            self.report(format!("an index computed as {}", of(v).name()));
        }
    }
    /// Rank, and indices that are known to leave the buffer.
    fn access(&mut self, buffer: BufferId, index: &[Index], guard: &Guard) {
        let b = self.p.buffer(buffer);
        if index.len() != b.dims.len() {
            self.report(format!("{} indices into '{}', which has {} dims", index.len(), b.name, b.dims.len()));
            return;
        }
        if !guard.is_empty() {
            return;
        }
        for (axis, (i, d)) in index.iter().zip(&b.dims).enumerate() {
            // Only sums of distinct axes reach both ends of their range.
            if !i.is_affine() {
                continue;
            }
            let minus_one = lapidary_ir::Dim::from(-1);
            let outside = i.range(&|a| self.k.extent(a).clone()).is_some_and(|(low, high)| low.known_le(&minus_one) || d.known_le(&high));
            // Where an axis is empty nothing is reached.
            let empty = self.k.axes.iter().any(|a| a.extent.as_const() == Some(0));
            if outside && !empty {
                self.report(format!("index {axis} into '{}' leaves 0..{d}, and no guard keeps it inside", b.name));
            }
        }
    }

    // ---- statements

    fn statement(&mut self, s: &Stmt, assigned: &mut [bool]) {
        let k = self.k;
        let (axes, over): (&[AxisId], &[AxisId]) = match s {
            Stmt::Let { local, .. } => (&k.local(*local).axes, &[]),
            Stmt::Reduce { local, over, .. } => (&k.local(*local).axes, over),
            Stmt::Store { axes, .. } => (axes, &[]),
        };
        let all: Vec<AxisId> = axes.iter().chain(over).copied().collect();
        for (i, a) in all.iter().enumerate() {
            if k.is_parallel(*a) {
                self.report(format!("a statement runs along axis '{}', which is parallel", self.axis_name(*a)));
            }
            if all[..i].contains(a) {
                self.report(format!("a statement runs along axis '{}' twice", self.axis_name(*a)));
            }
        }
        let in_scope = |a: AxisId| k.is_parallel(a) || all.contains(&a);
        let (mut seen, mut work, mut mentioned) = (vec![false; k.exprs.len()], s.exprs(), vec![]);
        let mut read: Vec<LocalId> = vec![];
        while let Some(e) = work.pop() {
            if std::mem::replace(&mut seen[e.0 as usize], true) {
                continue;
            }
            match &k.expr(e).kind {
                ExprKind::Index(i) => i.axes(&mut mentioned),
                ExprKind::Within(g) => g.iter().for_each(|(i, _)| i.axes(&mut mentioned)),
                ExprKind::Load { index, guard, .. } => index.iter().chain(guard.iter().map(|(i, _)| i)).for_each(|i| i.axes(&mut mentioned)),
                ExprKind::Local(l) => read.push(*l),
                _ => {}
            }
            work.extend(k.expr(e).kind.operands());
        }
        if let Stmt::Store { buffer, index, guard, value, .. } = s {
            index.iter().chain(guard.iter().map(|(i, _)| i)).for_each(|i| i.axes(&mut mentioned));
            self.access(*buffer, index, guard);
            let (to, from) = (self.p.buffer(*buffer).dtype, k.expr(*value).dtype);
            if to != from {
                self.report(format!("{} stored in '{}' of {}", from.name(), self.p.buffer(*buffer).name, to.name()));
            }
        }
        for l in &read {
            mentioned.extend(k.local(*l).axes.iter().copied());
            if !assigned[l.0 as usize] {
                self.report(format!("local '{}' is read before it is assigned", k.local(*l).name));
            }
        }
        if let Some(a) = mentioned.into_iter().find(|a| !in_scope(*a)) {
            self.report(format!("axis '{}' is used where no statement runs along it", self.axis_name(a)));
        }
        if let Stmt::Let { local, value } | Stmt::Reduce { local, value, .. } = s {
            let (to, from) = (k.local(*local).dtype, k.expr(*value).dtype);
            if to != from {
                self.report(format!("{} assigned to local '{}' of {}", from.name(), k.local(*local).name, to.name()));
            }
            assigned[local.0 as usize] = true;
        }
    }

    fn schedule(&mut self, s: &Schedule, live: &[bool]) {
        let k = self.k;
        let free = |a: &u16| (k.leading()..k.parallel).contains(&(*a as usize));
        let inner = |a: &u16| (k.parallel..k.axes.len()).contains(&(*a as usize));
        let wrong = match s {
            Schedule::Map { vector } | Schedule::Window { vector } => (!free(vector)).then_some("the vector axis is not parallel"),
            Schedule::Row { vector } => (!inner(vector)).then_some("the vector axis is parallel or missing"),
            Schedule::Serial => None,
            Schedule::Contract { batch, m, n, k: over, a, b } => {
                let mut roles: Vec<u16> = batch.iter().chain(m).chain(n).copied().collect();
                roles.sort_unstable();
                let load = |e: u32| live[e as usize] && matches!(k.expr(ExprId(e)).kind, ExprKind::Load { .. });
                if roles != (0..k.parallel as u16).collect::<Vec<_>>() {
                    Some("batch, m and n are not the parallel axes, each once")
                } else if !batch.iter().take(k.leading()).copied().eq(0..k.leading() as u16) {
                    Some("batch does not begin with the axes of the recurrence")
                } else if over.is_empty() || !over.iter().all(inner) {
                    Some("k is not made of reduced axes")
                } else if !load(*a) || !load(*b) {
                    Some("a or b is not a load of the kernel")
                } else {
                    None
                }
            }
        };
        if let Some(w) = wrong {
            self.report(format!("its schedule does not fit: {w}"));
        }
    }
}
