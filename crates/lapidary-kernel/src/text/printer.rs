use super::{CALLS, INFIX, NEGATION, Names, PRIMARY, REDUCE, UNARY, keeps_dtype, unary_dtype};
use crate::compact::{Layout, well_formed};
use crate::{
    Atom, AxisId, BinaryOp, Buffer, BufferId, BufferKind, Expr, ExprId, ExprKind, Guard, Index, Kernel, LocalId, Program, Scalar, Schedule, Stmt,
    UnaryOp,
};
use lapidary_ir::text::is_word;
use lapidary_ir::{DType, Dim};
use std::fmt::Write;

/// A compact program as text.
pub(super) fn program(p: &Program) -> String {
    let names = Names::of(p);
    let mut out = format!("program {} {{\n", word(&p.name));
    for (b, name) in p.buffers.iter().zip(&names.buffers) {
        let _ = writeln!(out, "  {}", buffer(b, name));
    }
    for c in &p.checks {
        let or_one = if c.or_one { " or 1" } else { "" };
        let _ = writeln!(out, "  check {} == {}{or_one}: {}", c.left, c.right, quoted(&c.message));
    }
    for k in &p.kernels {
        out.push('\n');
        kernel(&mut out, p, k, &names, "  ");
    }
    out.push_str("}\n");
    out
}

/// The only kernel of a compact program.
pub(super) fn one_kernel(p: &Program) -> String {
    let names = Names::of(p);
    let mut out = String::new();
    p.kernels.iter().for_each(|k| kernel(&mut out, p, k, &names, ""));
    out
}

fn buffer(b: &Buffer, name: &str) -> String {
    let own = if *b.name == *name { String::new() } else { format!(" {}", quoted(&b.name)) };
    let kind = match b.kind {
        BufferKind::Input(n) => format!("in {n} "),
        BufferKind::Output(n) => format!("out {n} "),
        BufferKind::Const(_) => "const ".into(),
        BufferKind::Temp => "temp ".into(),
    };
    let dims: Vec<String> = b.dims.iter().map(Dim::to_string).collect();
    let hash = b.constant().map_or(String::new(), |t| format!(" = #{:016x}", t.content_hash()));
    format!("{kind}{name}{own}: {}[{}]{hash}", b.dtype.name(), dims.join(", "))
}

fn kernel(out: &mut String, p: &Program, k: &Kernel, names: &Names, indent: &str) {
    let _ = write!(out, "{indent}kernel {}", word(&k.name));
    if !k.origin.is_empty() {
        let origin: Vec<String> = k.origin.iter().map(|o| word(o)).collect();
        let _ = write!(out, " from {}", origin.join(", "));
    }
    out.push_str(if k.serial { " serial {\n" } else { " {\n" });
    if well_formed(k) {
        let layout = Layout::of(k);
        let mut number = vec![None; k.exprs.len()];
        layout.lines.iter().flatten().enumerate().for_each(|(n, e)| number[e.0 as usize] = Some(n));
        let (axes, locals) = names.in_kernel(k);
        Printer { p, k, names, axes, locals, number }.body(out, &layout, indent);
    } else {
        let _ = writeln!(out, "{indent}  // malformed: an operand, a local or an axis is missing");
    }
    let _ = writeln!(out, "{indent}}}");
}

struct Printer<'a> {
    p: &'a Program,
    k: &'a Kernel,
    names: &'a Names,
    axes: Vec<String>,
    locals: Vec<String>,
    /// By expression: the number in its name, if it has one.
    number: Vec<Option<usize>>,
}

impl Printer<'_> {
    fn body(&self, out: &mut String, layout: &Layout, indent: &str) {
        let declared = |from: usize, to: usize| {
            let each: Vec<String> = (from..to).map(|a| format!("{} < {}", self.axes[a], self.k.axes[a].extent)).collect();
            each.join(", ")
        };
        if self.k.parallel > 0 {
            let _ = writeln!(out, "{indent}  par {}", declared(0, self.k.parallel));
        }
        if self.k.parallel < self.k.axes.len() {
            let _ = writeln!(out, "{indent}  axes {}", declared(self.k.parallel, self.k.axes.len()));
        }
        if let Some(r) = self.k.recurrence {
            let _ = writeln!(out, "{indent}  recur {} along {}", r.number, self.axis(r.axis));
        }
        let assigned =
            |l: usize| self.k.body.iter().any(|s| matches!(s, Stmt::Let { local, .. } | Stmt::Reduce { local, .. } if local.0 as usize == l));
        for (i, l) in self.k.locals.iter().enumerate().filter(|(i, _)| !assigned(*i)) {
            let _ = writeln!(out, "{indent}  local {}: {}", self.local(LocalId(i as u32)), l.dtype.name());
        }
        for (i, line) in layout.lines.iter().enumerate() {
            for e in line {
                let mut text = String::new();
                self.define(&mut text, *e);
                let _ = writeln!(out, "{indent}  {} = {text}", self.named(*e));
            }
            if let Some(s) = self.k.body.get(i) {
                let _ = writeln!(out, "{indent}  {}", self.statement(s));
            }
        }
        if let Some(s) = &self.k.schedule {
            let _ = writeln!(out, "{indent}  schedule {}", self.schedule(s));
        }
    }
    fn axis(&self, a: AxisId) -> String {
        self.axes.get(a.0 as usize).cloned().unwrap_or_else(|| format!("axis.{}", a.0))
    }
    fn list(&self, axes: &[AxisId]) -> String {
        axes.iter().map(|a| self.axis(*a)).collect::<Vec<_>>().join(", ")
    }
    /// `t0`, or `t0[j]`.
    fn local(&self, l: LocalId) -> String {
        let (name, axes) = (&self.locals[l.0 as usize], &self.k.local(l).axes);
        if axes.is_empty() { name.clone() } else { format!("{name}[{}]", self.list(axes)) }
    }
    fn named(&self, e: ExprId) -> String {
        self.number.get(e.0 as usize).copied().flatten().map_or_else(|| "%missing".into(), |n| format!("%{n}"))
    }
    fn buffer(&self, b: BufferId) -> &str {
        self.names.buffers.get(b.0 as usize).map_or("missing", String::as_str)
    }
    fn statement(&self, s: &Stmt) -> String {
        let mut out = String::new();
        match s {
            Stmt::Let { local, value } => {
                let dtype = self.k.local(*local).dtype;
                let _ = write!(out, "let {}: {} = ", self.local(*local), dtype.name());
                self.expr(&mut out, *value, Some(dtype), 0);
            }
            Stmt::Reduce { local, op, over, value } => {
                let dtype = self.k.local(*local).dtype;
                let op = REDUCE.iter().find(|(_, o)| o == op).map_or("", |(n, _)| n);
                let _ = write!(out, "{} = {op}({}): {} ", self.local(*local), self.list(over), dtype.name());
                self.expr(&mut out, *value, Some(dtype), 0);
            }
            Stmt::Store { buffer, index, axes, guard, value } => {
                let at: Vec<String> = index.iter().map(|i| self.index(i)).collect();
                let _ = write!(out, "{}[{}] = ", self.buffer(*buffer), at.join(", "));
                self.expr(&mut out, *value, self.p.buffers.get(buffer.0 as usize).map(|b| b.dtype), 0);
                if !axes.is_empty() {
                    let _ = write!(out, " for {}", self.list(axes));
                }
                if !guard.is_empty() {
                    let _ = write!(out, " when {}", self.guard(guard));
                }
            }
        }
        out
    }
    fn schedule(&self, s: &Schedule) -> String {
        let list = |v: &[u16]| format!("[{}]", self.list(&v.iter().map(|a| AxisId(*a)).collect::<Vec<_>>()));
        let numbers = match s {
            Schedule::Map { vector } | Schedule::Window { vector } | Schedule::Row { vector } => format!("vector: {}", self.axis(AxisId(*vector))),
            Schedule::Contract { batch, m, n, k, a, b } => format!(
                "batch: {}, m: {}, n: {}, k: {}, a: {}, b: {}",
                list(batch),
                list(m),
                list(n),
                list(k),
                self.named(ExprId(*a)),
                self.named(ExprId(*b))
            ),
            Schedule::Serial => return "serial {}".into(),
        };
        format!("{} {{ {numbers} }}", s.template())
    }

    // ---- indices

    fn index(&self, i: &Index) -> String {
        let mut out = String::new();
        for (a, c) in i.terms() {
            let constant = c.as_const();
            match (out.is_empty(), constant.is_some_and(|c| c < 0)) {
                (true, true) => out.push('-'),
                (true, false) => {}
                (false, true) => out.push_str(" - "),
                (false, false) => out.push_str(" + "),
            }
            let atom = match a {
                Atom::Axis(x) => self.axis(*x),
                Atom::Value(e) => self.named(*e),
                Atom::FloorDiv(i, d) => format!("({} floordiv {})", self.inner(i), size(d)),
                Atom::Mod(i, d) => format!("({} mod {})", self.inner(i), size(d)),
            };
            out.push_str(&atom);
            match constant {
                Some(1 | -1) => {}
                Some(c) => {
                    let _ = write!(out, "*{}", c.unsigned_abs());
                }
                None => {
                    let _ = write!(out, "*{}", size(c));
                }
            }
        }
        let offset = i.offset().to_string();
        match (out.is_empty(), offset.strip_prefix('-')) {
            (true, _) => out = offset,
            (false, _) if offset == "0" => {}
            (false, Some(rest)) => {
                let _ = write!(out, " - {rest}");
            }
            (false, None) => {
                let _ = write!(out, " + {offset}");
            }
        }
        out
    }
    /// An index in front of `floordiv` or `mod`.
    fn inner(&self, i: &Index) -> String {
        let text = self.index(i);
        if i.as_axis().is_some() { text } else { format!("({text})") }
    }
    fn guard(&self, g: &Guard) -> String {
        let each: Vec<String> = g.iter().map(|(i, d)| format!("0 <= {} < {d}", self.index(i))).collect();
        each.join(" and ")
    }

    // ---- expressions

    /// The dtype that reading gives the expression without an annotation.
    fn natural(&self, e: &Expr) -> DType {
        match &e.kind {
            ExprKind::Const(_) => e.dtype,
            ExprKind::Index(_) => DType::I64,
            ExprKind::Within(_) => DType::Bool,
            ExprKind::Load { buffer, .. } => self.p.buffers.get(buffer.0 as usize).map_or(e.dtype, |b| b.dtype),
            ExprKind::Local(l) => self.k.local(*l).dtype,
            ExprKind::Unary(op, a) => unary_dtype(*op, self.k.expr(*a).dtype),
            ExprKind::Binary(op, ..) if op.is_comparison() => DType::Bool,
            ExprKind::Binary(_, a, _) | ExprKind::Fma(a, ..) | ExprKind::Select(_, a, _) => self.k.expr(*a).dtype,
            ExprKind::Cast(_) => e.dtype,
        }
    }
    /// What the reader knows of an operand's dtype without help: nothing of numbers and what is made of numbers alone.
    fn known(&self, id: ExprId) -> Option<DType> {
        let e = self.k.expr(id);
        if self.number[id.0 as usize].is_some() || self.natural(e) != e.dtype {
            return Some(e.dtype);
        }
        match &e.kind {
            ExprKind::Const(s) => is_bool(e.dtype, *s).then_some(DType::Bool),
            ExprKind::Unary(op, a) if keeps_dtype(*op) => self.known(*a),
            ExprKind::Binary(op, a, b) if !op.is_comparison() => self.known(*a).or(self.known(*b)),
            ExprKind::Select(_, a, b) => self.known(*a).or(self.known(*b)),
            ExprKind::Fma(a, b, c) => self.known(*a).or(self.known(*b)).or(self.known(*c)),
            _ => Some(e.dtype),
        }
    }
    /// An expression where it is used: its name, if it has one.
    fn expr(&self, out: &mut String, id: ExprId, expected: Option<DType>, level: u8) {
        match self.number[id.0 as usize] {
            Some(n) => {
                let _ = write!(out, "%{n}");
            }
            None => self.written(out, id, expected, level),
        }
    }
    fn define(&self, out: &mut String, id: ExprId) {
        self.written(out, id, None, 0);
    }
    fn written(&self, out: &mut String, id: ExprId, expected: Option<DType>, level: u8) {
        let e = self.k.expr(id);
        if self.natural(e) != e.dtype {
            out.push('(');
            self.kind(out, e, None, 0);
            let _ = write!(out, "):{}", e.dtype.name());
            return;
        }
        self.kind(out, e, expected, level);
    }
    fn kind(&self, out: &mut String, e: &Expr, expected: Option<DType>, level: u8) {
        match &e.kind {
            ExprKind::Const(s) if is_bool(e.dtype, *s) => out.push_str(if s.as_i64() != 0 { "true" } else { "false" }),
            ExprKind::Const(s) => {
                out.push_str(&number(e.dtype, *s));
                if expected != Some(e.dtype) {
                    let _ = write!(out, ":{}", e.dtype.name());
                }
            }
            ExprKind::Index(i) => match i.as_axis() {
                Some(a) => out.push_str(&self.axis(a)),
                None => {
                    let _ = write!(out, "[{}]", self.index(i));
                }
            },
            ExprKind::Within(g) => {
                let _ = write!(out, "within({})", self.guard(g));
            }
            ExprKind::Load { buffer, index, guard, otherwise } => self.load(out, e.dtype, *buffer, index, guard, *otherwise),
            ExprKind::Local(l) => out.push_str(&self.local(*l)),
            ExprKind::Unary(UnaryOp::Neg, a) => {
                let number = self.number[a.0 as usize].is_none() && matches!(self.k.expr(*a).kind, ExprKind::Const(_));
                let open = level > NEGATION;
                out.push_str(if open { "(-" } else { "-" });
                out.push_str(if number { "(" } else { "" });
                self.expr(out, *a, expected, NEGATION);
                out.push_str(if number { ")" } else { "" });
                out.push_str(if open { ")" } else { "" });
            }
            ExprKind::Unary(op, a) => {
                let name = UNARY.iter().find(|(_, o)| o == op).map_or("", |(n, _)| n);
                let _ = write!(out, "{name}(");
                self.expr(out, *a, expected.filter(|_| keeps_dtype(*op)), 0);
                out.push(')');
            }
            ExprKind::Binary(op, a, b) => self.binary(out, *op, *a, *b, expected, level),
            ExprKind::Fma(a, b, c) => {
                let known = self.known(*a).or(self.known(*b)).or(self.known(*c)).or(expected);
                out.push_str("fma(");
                for (i, e) in [a, b, c].into_iter().enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    self.expr(out, *e, known, 0);
                }
                out.push(')');
            }
            ExprKind::Select(c, a, b) => {
                out.push_str("select(");
                self.expr(out, *c, Some(DType::Bool), 0);
                out.push_str(", ");
                self.expr(out, *a, self.known(*b).or(expected), 0);
                out.push_str(", ");
                self.expr(out, *b, self.known(*a).or(expected), 0);
                out.push(')');
            }
            ExprKind::Cast(a) => {
                let _ = write!(out, "{}(", e.dtype.name());
                self.expr(out, *a, None, 0);
                out.push(')');
            }
        }
    }
    fn binary(&self, out: &mut String, op: BinaryOp, a: ExprId, b: ExprId, expected: Option<DType>, level: u8) {
        let expected = expected.filter(|_| !op.is_comparison());
        let (left, right) = (self.known(b).or(expected), self.known(a).or(expected));
        if let Some((name, _)) = CALLS.iter().find(|(_, o)| *o == op) {
            let _ = write!(out, "{name}(");
            self.expr(out, a, left, 0);
            out.push_str(", ");
            self.expr(out, b, right, 0);
            out.push(')');
            return;
        }
        let (name, _, own) = INFIX.iter().find(|(_, o, _)| *o == op).copied().unwrap_or(("?", op, PRIMARY));
        let open = level > own;
        out.push_str(if open { "(" } else { "" });
        // Comparisons do not chain, so both their sides bind tighter.
        self.expr(out, a, left, if op.is_comparison() { own + 1 } else { own });
        let _ = write!(out, " {name} ");
        self.expr(out, b, right, own + 1);
        out.push_str(if open { ")" } else { "" });
    }
    fn load(&self, out: &mut String, dtype: DType, buffer: BufferId, index: &[Index], guard: &Guard, otherwise: Option<ExprId>) {
        let at: Vec<String> = index.iter().map(|i| self.index(i)).collect();
        let _ = write!(out, "{}[{}", self.buffer(buffer), at.join(", "));
        if !guard.is_empty() {
            out.push_str(" else ");
            match otherwise {
                None => out.push('0'),
                // A plain 0 is the default, which is no expression.
                Some(o) => {
                    let mut text = String::new();
                    self.expr(&mut text, o, Some(dtype), 0);
                    let _ = if text == "0" { write!(out, "(0)") } else { write!(out, "{text}") };
                }
            }
            if *guard != plain_guard(self.p, self.k, buffer, index) {
                let _ = write!(out, " when {}", self.guard(guard));
            }
        }
        out.push(']');
    }
}

/// The guard that goes without saying after `else`: every index that may leave its dim is inside it.
pub(super) fn plain_guard(p: &Program, k: &Kernel, buffer: BufferId, index: &[Index]) -> Guard {
    let dims = p.buffers.get(buffer.0 as usize).map_or(&[][..], |b| &b.dims);
    let leaves = |(i, d): &(&Index, &Dim)| !i.known_within(d, &|a| k.extent(a).clone());
    index.iter().zip(dims).filter(leaves).map(|(i, d)| (i.clone(), d.clone())).collect()
}

/// A size as a factor.
fn size(d: &Dim) -> String {
    if d.as_const().is_some_and(|v| v >= 0) || d.as_symbol().is_some() { d.to_string() } else { format!("({d})") }
}

fn is_bool(dtype: DType, s: Scalar) -> bool {
    dtype == DType::Bool && matches!(s, Scalar::Int(0 | 1))
}

/// The shortest text that gives the same bits in this type.
fn number(dtype: DType, s: Scalar) -> String {
    let v = match s {
        Scalar::Int(v) => return v.to_string(),
        Scalar::Float(b) => f64::from_bits(b),
    };
    if v.is_nan() && v.to_bits() != f64::NAN.to_bits() {
        return format!("{:#x}", v.to_bits());
    }
    let text = if dtype == DType::F64 || (v as f32) as f64 != v { format!("{v:?}") } else { format!("{:?}", v as f32) };
    let text = text.to_lowercase();
    text.strip_suffix(".0").map(str::to_string).unwrap_or(text)
}

fn word(name: &str) -> String {
    if is_word(name) { name.to_string() } else { quoted(name) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            // Bidirectional and other invisible characters would change how the line is shown.
            c if c.is_control() || !c.is_ascii() && !c.is_alphanumeric() => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
