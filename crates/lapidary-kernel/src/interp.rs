//! The plain meaning of kernels: an interpreter. Slow on purpose, but for one form that compiling needs on large constants (copies).

use crate::{AxisId, BinaryOp, BufferKind, ExprId, ExprKind, Guard, Index, Kernel, LocalId, Program, ReduceOp, Scalar, Stmt, UnaryOp, linearize};
use half::{bf16, f16};
use lapidary_ir::{DType, Diagnostic, Element, Result, Tensor};
use rayon::prelude::*;

/// The contents of a program's buffers while it is interpreted. Elements are bytes, little endian.
pub struct Memory {
    pub bytes: Vec<Vec<u8>>,
}

/// A scalar at run time: floats as f64 (already rounded to their type), integers and bool as i64.
#[derive(Clone, Copy, Debug, PartialEq)]
enum V {
    F(f64),
    I(i64),
}

/// Largest buffer that interpretation allocates, in bytes.
const LIMIT: i64 = 8 << 30;

/// Runs all kernels on the given inputs; `symbol` tells the sizes. Gives the outputs in order.
pub fn interpret(p: &Program, inputs: &[Tensor], symbol: &(impl Fn(&str) -> Option<i64> + Sync)) -> Result<Vec<Tensor>> {
    let mut memory = Memory::new(p, symbol)?;
    for (i, b) in p.buffers.iter().enumerate() {
        if let BufferKind::Input(n) = b.kind {
            let t = inputs.get(n as usize).ok_or_else(|| Diagnostic::error("input-count", format!("input {n} is missing")))?;
            if t.bytes().len() != memory.bytes[i].len() || t.dtype() != b.dtype {
                return Err(Diagnostic::error("input-shape", format!("input '{}' is {:?}, which is not {}{:?}", b.name, t, b.dtype, b.dims)).into());
            }
            memory.bytes[i] = t.bytes().to_vec();
        }
    }
    for run in p.runs() {
        match &p.kernels[run] {
            [k] if k.recurrence.is_none() => run_kernel(p, k, &mut memory, symbol)?,
            steps => run_recurrence(p, steps, &mut memory, symbol)?,
        }
    }
    let mut out: Vec<(u32, Tensor)> = vec![];
    for (i, b) in p.buffers.iter().enumerate() {
        if let BufferKind::Output(n) = b.kind {
            let sizes: Option<Vec<usize>> = b.dims.iter().map(|d| d.eval(symbol).and_then(|v| usize::try_from(v).ok())).collect();
            out.push((n, Tensor::new(b.dtype, &sizes.unwrap_or_default(), std::mem::take(&mut memory.bytes[i]))?));
        }
    }
    out.sort_by_key(|(n, _)| *n);
    Ok(out.into_iter().map(|(_, t)| t).collect())
}

impl Memory {
    /// Zeroed buffers, constants filled in.
    pub fn new(p: &Program, symbol: &impl Fn(&str) -> Option<i64>) -> Result<Memory> {
        let mut bytes = vec![];
        for b in &p.buffers {
            if let BufferKind::Const(t) = &b.kind {
                bytes.push(t.bytes().to_vec());
                continue;
            }
            let count = b.elements().eval(symbol).filter(|n| (0..=LIMIT).contains(n));
            let count = count.ok_or_else(|| Diagnostic::error("size", format!("the size of buffer '{}' is unknown or too large", b.name)))?;
            bytes.push(vec![0; b.dtype.bytes_for(count as usize).unwrap_or(0)]);
        }
        Ok(Memory { bytes })
    }
}

/// Runs one kernel that is no part of a recurrence on the memory.
pub fn run_kernel(p: &Program, k: &Kernel, memory: &mut Memory, symbol: &(impl Fn(&str) -> Option<i64> + Sync)) -> Result<()> {
    if let Some((to, bytes)) = copied(p, k, &|b| &memory.bytes[b], symbol) {
        memory.bytes[to] = bytes;
        return Ok(());
    }
    run_points(p, k, &[], memory, symbol)
}

/// Runs the kernels of a recurrence step by step.
fn run_recurrence(p: &Program, kernels: &[Kernel], memory: &mut Memory, symbol: &(impl Fn(&str) -> Option<i64> + Sync)) -> Result<()> {
    let Some(first) = kernels.first() else { return Ok(()) };
    let sizes = extents(first, symbol)?[..first.leading()].to_vec();
    let steps: i64 = sizes.iter().map(|s| (*s).max(0)).product();
    let mut at = vec![0; sizes.len()];
    for _ in 0..steps {
        kernels.iter().try_for_each(|k| run_points(p, k, &at, memory, symbol))?;
        for (i, size) in at.iter_mut().zip(&sizes).rev() {
            *i = (*i + 1) % size;
            if *i != 0 {
                break;
            }
        }
    }
    Ok(())
}

fn extents(k: &Kernel, symbol: &impl Fn(&str) -> Option<i64>) -> Result<Vec<i64>> {
    let extents: Option<Vec<i64>> = k.axes.iter().map(|a| a.extent.eval(symbol)).collect();
    extents.ok_or_else(|| Diagnostic::error("size", format!("a size of kernel '{}' is not known", k.name)).into())
}

/// Runs a kernel at the points whose first axes are at `leading`.
fn run_points(p: &Program, k: &Kernel, leading: &[i64], memory: &mut Memory, symbol: &impl Fn(&str) -> Option<i64>) -> Result<()> {
    let extents = extents(k, symbol)?;
    let mut at = vec![0; k.axes.len()];
    at.iter_mut().zip(leading).for_each(|(a, i)| *a = *i);
    let mut m = Machine { p, k, memory, symbol, at, extents, locals: vec![], memo: vec![(0, V::I(0)); k.exprs.len()], stamp: 0 };
    m.locals = k.locals.iter().map(|l| vec![V::I(0); l.axes.iter().map(|a| m.extents[a.0 as usize].max(0) as usize).product()]).collect();
    let parallel: Vec<AxisId> = k.parallel_axes().skip(leading.len()).collect();
    m.each(&parallel, &mut |m| k.body.iter().try_for_each(|s| m.statement(s)))
}

struct Machine<'a, S> {
    p: &'a Program,
    k: &'a Kernel,
    memory: &'a mut Memory,
    symbol: &'a S,
    at: Vec<i64>,
    extents: Vec<i64>,
    locals: Vec<Vec<V>>,
    /// By expression: when it was computed, and its value.
    memo: Vec<(u64, V)>,
    stamp: u64,
}

impl<S: Fn(&str) -> Option<i64>> Machine<'_, S> {
    fn each(&mut self, axes: &[AxisId], f: &mut dyn FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let Some((first, rest)) = axes.split_first() else {
            self.stamp += 1;
            return f(self);
        };
        for i in 0..self.extents[first.0 as usize] {
            self.at[first.0 as usize] = i;
            self.each(rest, f)?;
        }
        Ok(())
    }
    fn local_at(&self, l: LocalId) -> usize {
        let axes = &self.k.local(l).axes;
        axes.iter().fold(0usize, |flat, a| flat * self.extents[a.0 as usize] as usize + self.at[a.0 as usize] as usize)
    }
    fn statement(&mut self, s: &Stmt) -> Result<()> {
        match s {
            Stmt::Let { local, value } => {
                let axes = self.k.local(*local).axes.clone();
                self.each(&axes, &mut |m| {
                    let v = m.eval(*value)?;
                    let at = m.local_at(*local);
                    m.locals[local.0 as usize][at] = v;
                    Ok(())
                })
            }
            Stmt::Reduce { local, op, over, value } => {
                let axes = self.k.local(*local).axes.clone();
                let dtype = self.k.local(*local).dtype;
                self.each(&axes, &mut |m| {
                    // Sums in f64, so that the reference is the better one; rounded once at the end.
                    let mut sum = neutral(*op, dtype);
                    m.each(over, &mut |m| {
                        let v = m.eval(*value)?;
                        sum = match (op, sum, v) {
                            (ReduceOp::Sum, V::F(a), V::F(b)) => V::F(a + b),
                            (ReduceOp::Product, V::F(a), V::F(b)) => V::F(a * b),
                            (ReduceOp::Sum, a, b) => binary(BinaryOp::Add, dtype, a, b),
                            (ReduceOp::Product, a, b) => binary(BinaryOp::Mul, dtype, a, b),
                            (ReduceOp::Min, a, b) => binary(BinaryOp::Min, dtype, a, b),
                            (ReduceOp::Max, a, b) => binary(BinaryOp::Max, dtype, a, b),
                        };
                        Ok(())
                    })?;
                    let at = m.local_at(*local);
                    m.locals[local.0 as usize][at] = round(dtype, sum);
                    Ok(())
                })
            }
            Stmt::Store { buffer, index, axes, guard, value } => self.each(axes, &mut |m| {
                if !m.within(guard)? {
                    return Ok(());
                }
                let v = m.eval(*value)?;
                let b = m.p.buffer(*buffer);
                let at = m.flat(index, buffer.0 as usize)?;
                write(b.dtype, &mut m.memory.bytes[buffer.0 as usize], at, v);
                Ok(())
            }),
        }
    }
    fn index(&mut self, i: &Index) -> Result<i64> {
        let mut values = vec![];
        i.values(&mut values);
        let mut known = vec![];
        for e in values {
            known.push((e, self.eval(e)?.int()));
        }
        let value = |e: ExprId| known.iter().find(|(x, _)| *x == e).map_or(0, |(_, v)| *v);
        let v = i.eval(&|a| self.at[a.0 as usize], &value, self.symbol);
        v.ok_or_else(|| Diagnostic::error("index", format!("an index of kernel '{}' cannot be computed", self.k.name)).into())
    }
    fn within(&mut self, guard: &Guard) -> Result<bool> {
        for (i, d) in guard {
            let v = self.index(i)?;
            if v < 0 || v >= d.eval(self.symbol).unwrap_or(0) {
                return Ok(false);
            }
        }
        Ok(true)
    }
    fn flat(&mut self, index: &[Index], buffer: usize) -> Result<usize> {
        let dims = &self.p.buffers[buffer].dims;
        let mut flat = 0i64;
        for (i, d) in index.iter().zip(dims) {
            let (v, size) = (self.index(i)?, d.eval(self.symbol).unwrap_or(0));
            if v < 0 || v >= size {
                let message =
                    format!("kernel '{}' reaches index {v} of a dim of size {size} of buffer '{}'", self.k.name, self.p.buffers[buffer].name);
                return Err(Diagnostic::error("out-of-range", message).into());
            }
            flat = flat * size + v;
        }
        Ok(flat as usize)
    }
    fn eval(&mut self, e: ExprId) -> Result<V> {
        let slot = e.0 as usize;
        if self.memo[slot].0 == self.stamp {
            return Ok(self.memo[slot].1);
        }
        let k = self.k;
        let dtype = k.expr(e).dtype;
        let v = match &k.expr(e).kind {
            ExprKind::Const(Scalar::Float(b)) => round(dtype, V::F(f64::from_bits(*b))),
            ExprKind::Const(Scalar::Int(v)) => V::I(*v),
            ExprKind::Index(i) => V::I(self.index(i)?),
            ExprKind::Within(g) => V::I(self.within(g)? as i64),
            ExprKind::Load { buffer, index, guard, otherwise } => {
                if self.within(guard)? {
                    let at = self.flat(index, buffer.0 as usize)?;
                    read(self.p.buffer(*buffer).dtype, &self.memory.bytes[buffer.0 as usize], at)
                } else {
                    match otherwise {
                        Some(o) => self.eval(*o)?,
                        None if dtype.is_float() => V::F(0.0),
                        None => V::I(0),
                    }
                }
            }
            ExprKind::Local(l) => self.locals[l.0 as usize][self.local_at(*l)],
            ExprKind::Unary(op, a) => unary(*op, dtype, self.eval(*a)?),
            ExprKind::Binary(op, a, b) => {
                let of = k.expr(*a).dtype;
                let (a, b) = (self.eval(*a)?, self.eval(*b)?);
                binary(*op, of, a, b)
            }
            ExprKind::Fma(a, b, c) => {
                let [a, b, c] = [self.eval(*a)?, self.eval(*b)?, self.eval(*c)?].map(V::float);
                V::F(if dtype == DType::F32 { f64::from((a as f32).mul_add(b as f32, c as f32)) } else { a.mul_add(b, c) })
            }
            ExprKind::Select(c, a, b) => {
                if self.eval(*c)?.int() != 0 {
                    self.eval(*a)?
                } else {
                    self.eval(*b)?
                }
            }
            ExprKind::Cast(a) => cast(dtype, self.eval(*a)?),
        };
        self.memo[slot] = (self.stamp, v);
        Ok(v)
    }
}

impl V {
    fn int(self) -> i64 {
        match self {
            V::I(v) => v,
            V::F(v) => v as i64,
        }
    }
    fn float(self) -> f64 {
        match self {
            V::I(v) => v as f64,
            V::F(v) => v,
        }
    }
}

fn neutral(op: ReduceOp, dtype: DType) -> V {
    let float = dtype.is_float();
    let (low, high) = dtype.int_range().map_or((0, 1), |(l, h)| (l.max(i64::MIN as i128) as i64, h.min(i64::MAX as i128) as i64));
    match op {
        ReduceOp::Sum if float => V::F(0.0),
        ReduceOp::Product if float => V::F(1.0),
        ReduceOp::Min if float => V::F(f64::INFINITY),
        ReduceOp::Max if float => V::F(f64::NEG_INFINITY),
        ReduceOp::Sum => V::I(0),
        ReduceOp::Product => V::I(1),
        ReduceOp::Min => V::I(high),
        ReduceOp::Max => V::I(low),
    }
}

/// Rounds a float to its type; wraps an integer into its type.
fn round(dtype: DType, v: V) -> V {
    match (dtype, v) {
        (DType::F32, V::F(x)) => V::F(x as f32 as f64),
        (DType::F16, V::F(x)) => V::F(f16::from_f64(x).to_f64()),
        (DType::BF16, V::F(x)) => V::F(bf16::from_f32(x as f32).to_f64()),
        (DType::U8, V::I(x)) => V::I(x as u8 as i64),
        (DType::I8, V::I(x)) => V::I(x as i8 as i64),
        (DType::U16, V::I(x)) => V::I(x as u16 as i64),
        (DType::I16, V::I(x)) => V::I(x as i16 as i64),
        (DType::U32, V::I(x)) => V::I(x as u32 as i64),
        (DType::I32, V::I(x)) => V::I(x as i32 as i64),
        (d, V::I(x)) if d.is_packed() && d.is_int() => {
            let free = 64 - d.bits() as u32;
            V::I(if d.is_signed_int() { x << free >> free } else { ((x as u64) << free >> free) as i64 })
        }
        (d, V::F(x)) if d.is_float() && d.bits() <= 8 => {
            V::F(Tensor::from_f64(d, &[1], &[x]).ok().and_then(|t| t.to_f64()).map_or(f64::NAN, |v| v[0]))
        }
        _ => v,
    }
}

fn cast(to: DType, v: V) -> V {
    if to == DType::Bool {
        return V::I((v.float() != 0.0) as i64);
    }
    match v {
        _ if to.is_float() => match v {
            V::I(x) if to == DType::F32 => V::F(x as f32 as f64),
            v => round(to, V::F(v.float())),
        },
        V::F(x) => {
            let (low, high) = to.int_range().unwrap_or((0, 0));
            V::I((x as i128).clamp(low, high) as i64)
        }
        V::I(_) => round(to, v),
    }
}

fn unary(op: UnaryOp, dtype: DType, a: V) -> V {
    if let V::I(x) = a {
        let v = match op {
            UnaryOp::Neg => x.wrapping_neg(),
            UnaryOp::Abs => x.wrapping_abs(),
            UnaryOp::Sign => x.signum(),
            UnaryOp::Not => (x == 0) as i64,
            UnaryOp::BitNot => !x,
            UnaryOp::IsNan | UnaryOp::IsInf => 0,
            _ => return round(dtype, V::I(unary(op, DType::F64, V::F(x as f64)).int())),
        };
        return round(dtype, V::I(v));
    }
    let x = a.float();
    let v = match op {
        UnaryOp::Neg => -x,
        UnaryOp::Abs => x.abs(),
        UnaryOp::Sign => {
            if x > 0.0 {
                1.0
            } else if x < 0.0 {
                -1.0
            } else {
                x
            }
        }
        UnaryOp::Exp => x.exp(),
        UnaryOp::Log => x.ln(),
        UnaryOp::Sqrt => x.sqrt(),
        UnaryOp::Reciprocal => 1.0 / x,
        UnaryOp::Floor => x.floor(),
        UnaryOp::Ceil => x.ceil(),
        UnaryOp::Round => x.round_ties_even(),
        UnaryOp::Trunc => x.trunc(),
        UnaryOp::Sin => x.sin(),
        UnaryOp::Cos => x.cos(),
        UnaryOp::Tan => x.tan(),
        UnaryOp::Asin => x.asin(),
        UnaryOp::Acos => x.acos(),
        UnaryOp::Atan => x.atan(),
        UnaryOp::Sinh => x.sinh(),
        UnaryOp::Cosh => x.cosh(),
        UnaryOp::Tanh => x.tanh(),
        UnaryOp::Asinh => x.asinh(),
        UnaryOp::Acosh => x.acosh(),
        UnaryOp::Atanh => x.atanh(),
        UnaryOp::Erf => erf(x),
        UnaryOp::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        UnaryOp::IsNan => return V::I(x.is_nan() as i64),
        UnaryOp::IsInf => return V::I(x.is_infinite() as i64),
        UnaryOp::Not => return V::I((x == 0.0) as i64),
        UnaryOp::BitNot => return V::I(!(x as i64)),
    };
    round(dtype, V::F(v))
}

fn binary(op: BinaryOp, dtype: DType, a: V, b: V) -> V {
    use BinaryOp::*;
    if let (V::I(x), V::I(y)) = (a, b) {
        let unsigned = dtype == DType::U64;
        let v = match op {
            Add => x.wrapping_add(y),
            Sub => x.wrapping_sub(y),
            Mul => x.wrapping_mul(y),
            Div | Mod | Rem if y == 0 => 0,
            Div if unsigned => ((x as u64) / (y as u64)) as i64,
            Mod | Rem if unsigned => ((x as u64) % (y as u64)) as i64,
            Div => x.wrapping_div(y),
            Rem => x.wrapping_rem(y),
            Mod => {
                let r = x.wrapping_rem(y);
                if r != 0 && (r < 0) != (y < 0) { r + y } else { r }
            }
            Min if unsigned => (x as u64).min(y as u64) as i64,
            Max if unsigned => (x as u64).max(y as u64) as i64,
            Min => x.min(y),
            Max => x.max(y),
            Pow => (0..y.clamp(0, 64)).fold(1i64, |p, _| p.wrapping_mul(x)),
            And => (x != 0 && y != 0) as i64,
            Or => (x != 0 || y != 0) as i64,
            Xor => ((x != 0) != (y != 0)) as i64,
            BitAnd => x & y,
            BitOr => x | y,
            BitXor => x ^ y,
            Shl if (0..dtype.bits() as i64).contains(&y) => x << y,
            Shr if (0..dtype.bits() as i64).contains(&y) => {
                if unsigned {
                    ((x as u64) >> y) as i64
                } else {
                    x >> y
                }
            }
            Shl | Shr => 0,
            Eq => (x == y) as i64,
            Ne => (x != y) as i64,
            Lt if unsigned => ((x as u64) < y as u64) as i64,
            Le if unsigned => (x as u64 <= y as u64) as i64,
            Gt if unsigned => (x as u64 > y as u64) as i64,
            Ge if unsigned => (x as u64 >= y as u64) as i64,
            Lt => (x < y) as i64,
            Le => (x <= y) as i64,
            Gt => (x > y) as i64,
            Ge => (x >= y) as i64,
        };
        return if op.is_comparison() || matches!(op, And | Or | Xor) { V::I(v) } else { round(dtype, V::I(v)) };
    }
    let (x, y) = (a.float(), b.float());
    let nan = x.is_nan() || y.is_nan();
    let v = match op {
        Add => x + y,
        Sub => x - y,
        Mul => x * y,
        Div => x / y,
        Rem => x % y,
        Mod => {
            let r = x % y;
            if r != 0.0 && (r < 0.0) != (y < 0.0) { r + y } else { r }
        }
        Min | Max if nan => f64::NAN,
        Min => x.min(y),
        Max => x.max(y),
        Pow => x.powf(y),
        Eq => return V::I((x == y) as i64),
        Ne => return V::I((x != y) as i64),
        Lt => return V::I((x < y) as i64),
        Le => return V::I((x <= y) as i64),
        Gt => return V::I((x > y) as i64),
        Ge => return V::I((x >= y) as i64),
        _ => f64::NAN,
    };
    round(dtype, V::F(v))
}

/// Error function by its Maclaurin series where that converges fast, by the continued fraction of erfc elsewhere (Abramowitz and Stegun
/// 7.1.5 and 7.1.14); about 1e-15.
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if x.is_nan() {
        return x;
    }
    if a > 6.0 {
        return x.signum();
    }
    if a < 2.5 {
        let (mut term, mut sum) = (a, a);
        for n in 1..200 {
            term *= -a * a / n as f64;
            let add = term / (2 * n + 1) as f64;
            sum += add;
            if add.abs() < 1e-17 * sum.abs() {
                break;
            }
        }
        return x.signum() * sum * std::f64::consts::FRAC_2_SQRT_PI;
    }
    let tail = (1..120).rev().fold(0.0, |t, n| n as f64 / 2.0 / (a + t));
    x.signum() * (1.0 - (-a * a).exp() / (a + tail) / std::f64::consts::PI.sqrt())
}

fn read(dtype: DType, bytes: &[u8], at: usize) -> V {
    macro_rules! int {
        ($t:ty) => {
            V::I(<$t as Element>::read(&bytes[at * <$t as Element>::SIZE..]) as i64)
        };
    }
    match dtype {
        DType::F32 => V::F(f32::read(&bytes[at * 4..]) as f64),
        DType::F64 => V::F(f64::read(&bytes[at * 8..])),
        DType::F16 => V::F(f16::read(&bytes[at * 2..]).to_f64()),
        DType::BF16 => V::F(bf16::read(&bytes[at * 2..]).to_f64()),
        DType::Bool => V::I((bytes[at] != 0) as i64),
        DType::U8 => int!(u8),
        DType::I8 => int!(i8),
        DType::U16 => int!(u16),
        DType::I16 => int!(i16),
        DType::U32 => int!(u32),
        DType::I32 => int!(i32),
        DType::U64 => int!(u64),
        DType::I64 => int!(i64),
        d if d.is_float() => {
            let (bits, per) = (d.bits(), 8 / d.bits());
            let code = (bytes[at / per] >> ((at % per) * bits)) & ((1u16 << bits) - 1) as u8;
            V::F(Tensor::new(d, &[1], vec![code]).ok().and_then(|t| t.to_f64()).map_or(f64::NAN, |v| v[0]))
        }
        // Sub-byte integers: low bits first, sign extended.
        _ => {
            let bits = dtype.bits().max(1);
            let per = 8 / bits.min(8);
            let code = (bytes[at / per] >> ((at % per) * bits)) as i64 & ((1 << bits) - 1);
            V::I(if dtype.is_signed_int() && code >> (bits - 1) != 0 { code - (1 << bits) } else { code })
        }
    }
}

fn write(dtype: DType, bytes: &mut [u8], at: usize, v: V) {
    let mut out = Vec::with_capacity(8);
    match dtype {
        DType::F32 => (v.float() as f32).write(&mut out),
        DType::F64 => v.float().write(&mut out),
        DType::F16 => f16::from_f64(v.float()).write(&mut out),
        DType::BF16 => bf16::from_f32(v.float() as f32).write(&mut out),
        DType::Bool => (v.int() != 0).write(&mut out),
        d if d.is_float() && d.bits() == 8 => match Tensor::from_f64(d, &[1], &[v.float()]) {
            Ok(t) => out.extend_from_slice(t.bytes()),
            Err(_) => out.push(0),
        },
        _ if dtype.is_packed() => {
            let (bits, per) = (dtype.bits(), 8 / dtype.bits());
            let (shift, mask) = ((at % per) * bits, ((1u16 << bits) - 1) as u8);
            let code = match dtype.is_float() {
                true => Tensor::from_f64(dtype, &[1], &[v.float()]).map_or(0, |t| t.bytes()[0]),
                false => v.int() as u8,
            };
            bytes[at / per] = bytes[at / per] & !(mask << shift) | ((code & mask) << shift);
            return;
        }
        _ => out.extend_from_slice(&v.int().to_le_bytes()[..dtype.bits() / 8]),
    }
    bytes[at * out.len()..][..out.len()].copy_from_slice(&out);
}

/// A copy into a whole buffer in row-major order, of affine loads: by byte ranges, many times faster than element by element. Gives the
/// buffer written and its bytes.
fn copied<'m>(
    p: &Program,
    k: &Kernel,
    bytes: &impl Fn(usize) -> &'m Vec<u8>,
    symbol: &(impl Fn(&str) -> Option<i64> + Sync),
) -> Option<(usize, Vec<u8>)> {
    let [Stmt::Store { buffer: to, index, axes, guard, value }] = k.body.as_slice() else { return None };
    let ExprKind::Load { buffer: from, index: source, guard: inner, otherwise } = &k.expr(*value).kind else { return None };
    let dtype = p.buffer(*to).dtype;
    let in_order = index.len() == k.axes.len() && index.iter().enumerate().all(|(i, x)| x.as_axis() == Some(AxisId(i as u16)));
    let whole = index.iter().zip(&p.buffer(*to).dims).zip(&k.axes).all(|((_, d), a)| *d == a.extent);
    if dtype != p.buffer(*from).dtype || !in_order || !whole || !axes.is_empty() || !guard.is_empty() || otherwise.is_some() || to == from {
        return None;
    }
    let extents: Vec<usize> = k.axes.iter().map(|a| a.extent.eval(symbol).and_then(|v| usize::try_from(v).ok())).collect::<Option<_>>()?;
    let line = |i: &Index| -> Option<(Vec<i64>, i64)> {
        i.is_affine().then_some(())?;
        let c = (0..extents.len()).map(|a| i.coefficient(AxisId(a as u16))?.eval(symbol)).collect::<Option<_>>()?;
        Some((c, i.offset().eval(symbol)?))
    };
    let (strides, start) = line(&linearize(source, &p.buffer(*from).dims))?;
    let guards: Vec<(Vec<i64>, i64, i64)> =
        inner.iter().map(|(i, d)| line(i).and_then(|(c, o)| Some((c, o, d.eval(symbol)?)))).collect::<Option<_>>()?;
    let data = bytes(from.0 as usize);
    let count: usize = extents.iter().product();
    let mut out = vec![0u8; dtype.bytes_for(count)?];
    let inner_count = extents.last().copied().unwrap_or(1);
    let row_bits = inner_count * dtype.bits();
    if count == 0 {
        return Some((to.0 as usize, out));
    }
    if !row_bits.is_multiple_of(8) {
        return None;
    }
    let lead = extents.len().saturating_sub(1);
    let ok = out.par_chunks_mut(row_bits / 8).enumerate().all(|(row, chunk)| {
        let mut at = vec![0i64; extents.len()];
        let mut rest = row;
        for a in (0..lead).rev() {
            at[a] = (rest % extents[a]) as i64;
            rest /= extents[a];
        }
        let sum = |c: &[i64], o: i64| c.iter().zip(&at).map(|(c, a)| c * a).sum::<i64>() + o;
        let base = sum(&strides, start);
        let step = strides.last().copied().unwrap_or(0);
        let bases: Vec<(i64, i64, i64)> = guards.iter().map(|(c, o, d)| (sum(c, *o), c.last().copied().unwrap_or(0), *d)).collect();
        let from = |i: i64| usize::try_from(base + step * i).ok();
        let inside = |i: i64| bases.iter().all(|(b, s, d)| (0..*d).contains(&(b + s * i)));
        if dtype.is_packed() {
            let (bits, per) = (dtype.bits(), 8 / dtype.bits());
            let mask = ((1u16 << bits) - 1) as u8;
            for i in (0..inner_count).filter(|i| inside(*i as i64)) {
                let Some((f, byte)) = from(i as i64).and_then(|f| Some((f, data.get(f / per)?))) else { return false };
                chunk[i / per] |= (byte >> (f % per * bits) & mask) << (i % per * bits);
            }
            return true;
        }
        let size = dtype.bits() / 8;
        for (i, cell) in chunk.chunks_exact_mut(size).enumerate().filter(|(i, _)| inside(*i as i64)) {
            let Some(element) = from(i as i64).and_then(|f| data.get(f * size..(f + 1) * size)) else { return false };
            cell.copy_from_slice(element);
        }
        true
    });
    ok.then_some((to.0 as usize, out))
}
