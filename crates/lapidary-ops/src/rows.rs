//! Lowering of operators that reduce: a kernel whose points are the axes that stay, and whose statements reduce over, or run along, the
//! other axes. Sums are accumulated in f32 for 16-bit floats, in the operand's own type otherwise.

use crate::elementwise::kernels;
use crate::run_time::{self, List};
use crate::{LowerCtx, Operand, reduce};
use lapidary_ir::{DType, Dim, Result};
use lapidary_kernel::{AxisId, ExprId, Index, KernelBuilder, ReduceOp, UnaryOp};

pub(crate) struct Rows {
    pub k: KernelBuilder,
    /// The position in the operand.
    pub at: Vec<Index>,
    /// The axes within a row.
    pub local: Vec<AxisId>,
    /// How many elements a row has.
    pub terms: Dim,
}

impl Rows {
    /// Rows of a tensor of `dims` along the axes marked in `reduced`.
    pub(crate) fn new(c: &LowerCtx<'_>, dims: &[Dim], reduced: &[bool]) -> Rows {
        let mut k = c.kernel();
        let mut at: Vec<Option<Index>> = vec![None; dims.len()];
        for (a, d) in dims.iter().enumerate().filter(|(a, _)| !reduced[*a]) {
            at[a] = Some(k.parallel(&format!("i{a}"), d.clone()).into());
        }
        let mut local = vec![];
        let mut terms = Dim::from(1);
        for (a, d) in dims.iter().enumerate().filter(|(a, _)| reduced[*a]) {
            let axis = k.axis(&format!("j{a}"), d.clone());
            at[a] = Some(axis.into());
            local.push(axis);
            terms = &terms * d;
        }
        Rows { k, at: at.into_iter().flatten().collect(), local, terms }
    }
    /// The position in a result where the reduced axes are 1, or gone.
    pub(crate) fn kept(&self, reduced: &[bool], keepdims: bool) -> Vec<Index> {
        let each = self.at.iter().zip(reduced).filter(|(_, r)| keepdims || !**r);
        each.map(|(i, r)| if *r { Index::from(0) } else { i.clone() }).collect()
    }
    pub(crate) fn load(&mut self, x: &Operand) -> ExprId {
        kernels::load(&mut self.k, x, self.at.clone())
    }
    /// Loads a parameter that broadcasts to the rows' tensor.
    pub(crate) fn load_broadcast(&mut self, p: &Operand, dims: &[Dim]) -> ExprId {
        let at = self.k.broadcast(&self.at, dims, &p.dims);
        kernels::load(&mut self.k, p, at)
    }
    /// A reduction over the whole row, of one value where nothing is reduced.
    pub(crate) fn reduce(&mut self, op: ReduceOp, v: ExprId) -> ExprId {
        if self.local.is_empty() {
            return v;
        }
        let (dtype, over) = (self.k.dtype(v), self.local.clone());
        self.k.reduce(op, dtype, &over, v)
    }
    /// Keeps a value along the row for later statements; rows of several axes compute it again.
    pub(crate) fn keep(&mut self, v: ExprId) -> ExprId {
        let local = self.local.clone();
        if local.len() == 1 { self.k.keep(&local, v) } else { v }
    }
    /// Keeps a value of the row as a whole.
    pub(crate) fn keep_scalar(&mut self, v: ExprId) -> ExprId {
        self.k.keep(&[], v)
    }
    /// How many elements the row has, as a number of this type.
    pub(crate) fn count(&mut self, dtype: DType) -> ExprId {
        let n = self.k.index(Index::from(self.terms.clone()));
        match self.terms.as_const() {
            Some(n) => self.k.constant(dtype, n as f64),
            None => self.k.cast(dtype, n),
        }
    }
    /// Sum of the row over its length.
    pub(crate) fn mean(&mut self, v: ExprId) -> ExprId {
        let sum = self.reduce(ReduceOp::Sum, v);
        let dtype = self.k.dtype(sum);
        let n = self.count(dtype);
        self.k.div(sum, n)
    }
    /// The row less its mean, and its variance (population).
    pub(crate) fn centered(&mut self, v: ExprId) -> (ExprId, ExprId, ExprId) {
        let mean = self.mean(v);
        let mean = self.keep_scalar(mean);
        let d = self.k.sub(v, mean);
        let d = self.keep(d);
        let square = self.k.mul(d, d);
        let variance = self.mean(square);
        (d, mean, variance)
    }
    /// `1 / √(variance + epsilon)`
    pub(crate) fn inverse_deviation(&mut self, variance: ExprId, epsilon: f64) -> ExprId {
        let v = kernels::plus(&mut self.k, variance, epsilon);
        let v = self.k.unary(UnaryOp::Sqrt, v);
        let v = self.k.unary(UnaryOp::Reciprocal, v);
        self.keep_scalar(v)
    }
    /// Stores along the whole row.
    pub(crate) fn store(&mut self, y: &Operand, v: ExprId) {
        let (at, local) = (self.at.clone(), self.local.clone());
        let v = self.k.cast(y.dtype, v);
        self.k.store_along(y.buffer, at, &local, v);
    }
    /// Stores one element per row.
    pub(crate) fn store_one(&mut self, y: &Operand, at: Vec<Index>, v: ExprId) {
        kernels::store(&mut self.k, y, at, v);
    }
}

/// `y = finish(op(map(x)), n)`, for the `Reduce…` operators.
pub(crate) fn reduction(
    c: &mut LowerCtx<'_>,
    op: ReduceOp,
    map: &dyn Fn(&mut KernelBuilder, ExprId) -> ExprId,
    finish: &dyn Fn(&mut Rows, ExprId) -> ExprId,
) -> Result<()> {
    reduced(c, &|c, x, y, reduced| {
        let mut r = Rows::new(c, &x.dims, reduced);
        let v = r.load(x);
        // Truth values are reduced as numbers.
        let v = if x.dtype == DType::Bool { r.k.cast(DType::U8, v) } else { v };
        let v = map(&mut r.k, v);
        let v = r.reduce(op, v);
        let v = finish(&mut r, v);
        let at = r.kept(reduced, y.rank() == x.rank());
        r.store_one(y, at, v);
        c.push(r.k);
    })
}

/// Lowers a `Reduce…` operator with `f(c, operand, result, reduced axes)`. Axes that only the run knows are those that fit the shape which
/// the model states for the result; where several sets do, each is computed and the run takes its own.
pub(crate) fn reduced(c: &mut LowerCtx<'_>, f: &dyn Fn(&mut LowerCtx<'_>, &Operand, &Operand, &[bool])) -> Result<()> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    kernels::check(c, &[&x, &y])?;
    let named = match c.has(1) {
        true => c.contents(1).map(|axes| axes.as_ints()),
        false => Some(c.node().attrs.ints("axes").map(<[i64]>::to_vec).or(Some(vec![]))),
    };
    if let Some(Some(named)) = named {
        let reduced = reduce::chosen(c.node(), Some(named), x.rank()).ok_or_else(|| c.unsupported("an axis does not exist"))?;
        f(c, &x, &y, &reduced);
        return Ok(());
    }
    let axes = c.input(1)?;
    let count = axes.dims.first().and_then(Dim::as_const).and_then(|n| usize::try_from(n).ok());
    let fitting = reduce::fitting(c.node(), &x.dims, &y.dims, count);
    match (fitting.as_slice(), count) {
        ([one], _) => f(c, &x, &y, one),
        ([_, _, ..], Some(n)) if n > 0 => {
            let axes = List::of(c, 1, "the list of axes")?;
            let mut choices = vec![];
            for (i, marks) in fitting.iter().enumerate() {
                let part = c.temp(&format!("choice{i}"), y.dtype, &y.dims);
                f(c, &x, &part, marks);
                choices.push((marks.clone(), part));
            }
            run_time::choose(c, &axes, &choices, &y);
        }
        _ => {
            let message = "the list of axes is only known at run time, and the shape of the result does not tell which they are";
            return Err(c.unsupported(message).help("give the axes as a constant, or state the result's sizes in the model").into());
        }
    }
    Ok(())
}

/// The axis that an attribute names, as an index.
pub(crate) fn axis(c: &LowerCtx<'_>, default: i64, rank: usize) -> Result<usize> {
    let axis = c.node().attrs.int("axis").unwrap_or(default);
    crate::numbers::axis_index(axis, rank).ok_or_else(|| c.unsupported(format!("axis {axis} does not exist in rank {rank}")).into())
}

/// A mark for every axis.
pub(crate) fn mark(rank: usize, is: impl Fn(usize) -> bool) -> Vec<bool> {
    (0..rank).map(is).collect()
}

/// Operand 0 and result 0, which kernels must be able to hold.
pub(crate) fn ends(c: &mut LowerCtx<'_>) -> Result<(Operand, Operand)> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    kernels::check(c, &[&x, &y])?;
    Ok((x, y))
}

/// The first (or last) position in the row, of one axis, where `hit` holds; the type is i32 where the length is known to fit.
pub(crate) fn position(r: &mut Rows, hit: ExprId, last: bool) -> ExprId {
    let dtype = if r.terms.as_const().is_some_and(|n| n < i64::from(i32::MAX)) { DType::I32 } else { DType::I64 };
    let j = r.k.index(Index::from(r.local[0]));
    let j = r.k.cast(dtype, j);
    let none = if last { r.k.int(dtype, -1) } else { r.count(dtype) };
    let v = r.k.select(hit, j, none);
    r.reduce(if last { ReduceOp::Max } else { ReduceOp::Min }, v)
}
