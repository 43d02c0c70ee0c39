//! Lists of axes, starts or pads that only the run knows: kernels read them as data. The sizes of the result come from elsewhere (what the
//! model states of it), so that the lists decide where elements come from, and never how many there are.

use crate::elementwise::kernels;
use crate::numbers::axis_index;
use crate::{LowerCtx, Operand};
use lapidary_ir::{DType, Dim, Result};
use lapidary_kernel::{BinaryOp, ExprId, Index, KernelBuilder};

/// An operand of a few integers.
pub(crate) enum List {
    Known(Vec<Dim>),
    /// So many elements of a vector (of a scalar, one).
    Read(Operand, usize),
}

impl List {
    /// # Errors
    /// Neither the elements nor their number are known at compile time.
    pub(crate) fn of(c: &mut LowerCtx<'_>, slot: usize, what: &str) -> Result<List> {
        if let Some(known) = c.contents(slot) {
            return Ok(List::Known(known.dims));
        }
        let operand = c.input(slot)?;
        let count = match &operand.dims[..] {
            [] => Some(1),
            [n] => n.as_const().and_then(|n| usize::try_from(n).ok()),
            _ => None,
        };
        match count {
            Some(n) => Ok(List::Read(operand, n)),
            None => Err(c.unsupported(format!("{what} is only known at run time, even its length")).into()),
        }
    }
    /// `0, 1, …, n - 1`
    pub(crate) fn first(n: usize) -> List {
        List::Known((0..n).map(Dim::from).collect())
    }
    pub(crate) fn ones(n: usize) -> List {
        List::Known(vec![Dim::from(1); n])
    }
    pub(crate) fn len(&self) -> usize {
        match self {
            List::Known(v) => v.len(),
            List::Read(_, n) => *n,
        }
    }
    pub(crate) fn is_read(&self) -> bool {
        matches!(self, List::Read(..))
    }
    /// Element `i`, i64.
    pub(crate) fn get(&self, k: &mut KernelBuilder, i: usize) -> ExprId {
        match self {
            List::Known(v) => k.index(Index::from(v.get(i).cloned().unwrap_or(Dim::from(0)))),
            List::Read(x, _) => {
                let at = if x.rank() == 0 { vec![] } else { vec![Index::from(Dim::from(i))] };
                let v = k.load(x.buffer, x.dtype, at);
                k.cast(DType::I64, v)
            }
        }
    }
    /// Whether element `i`, read as an axis of a tensor of that rank, is this axis: known or a truth value.
    fn names(&self, k: &mut KernelBuilder, i: usize, axis: usize, rank: usize) -> Result<bool, ExprId> {
        if let List::Known(v) = self
            && let Some(a) = v.get(i).and_then(Dim::as_const)
        {
            return Ok(axis_index(a, rank) == Some(axis));
        }
        let v = self.get(k, i);
        let front = k.int(DType::I64, axis as i64);
        let back = k.int(DType::I64, axis as i64 - rank as i64);
        let (front, back) = (k.binary(BinaryOp::Eq, v, front), k.binary(BinaryOp::Eq, v, back));
        Err(k.binary(BinaryOp::Or, front, back))
    }
    /// Whether the list names this axis.
    pub(crate) fn holds(&self, k: &mut KernelBuilder, axis: usize, rank: usize) -> ExprId {
        let mut any = k.constant(DType::Bool, 0.0);
        for i in 0..self.len() {
            match self.names(k, i, axis, rank) {
                Ok(true) => return k.constant(DType::Bool, 1.0),
                Ok(false) => {}
                Err(is) => any = k.binary(BinaryOp::Or, any, is),
            }
        }
        any
    }
}

/// What `values` say for an axis: the element `first + i` where `axes` has that axis at place `i`, else `default`.
pub(crate) fn on_axis(k: &mut KernelBuilder, axes: &List, values: (&List, usize), axis: usize, rank: usize, default: i64) -> ExprId {
    let mut out = k.int(DType::I64, default);
    for i in 0..axes.len() {
        match axes.names(k, i, axis, rank) {
            Ok(false) => {}
            Ok(true) => out = values.0.get(k, values.1 + i),
            Err(is) => {
                let v = values.0.get(k, values.1 + i);
                out = k.select(is, v, out);
            }
        }
    }
    out
}

/// `y` is the one of `choices`, all of its shape, whose axes are just those that `axes` names; each comes with its mark for every axis.
/// The choices differ in axes, and have as many as the list.
pub(crate) fn choose(c: &mut LowerCtx<'_>, axes: &List, choices: &[(Vec<bool>, Operand)], y: &Operand) {
    let mut k = c.kernel();
    let at = kernels::points(&mut k, &y.dims);
    let mut out = None;
    for (marks, from) in choices.iter().rev() {
        let v = k.load(from.buffer, from.dtype, at.clone());
        out = Some(match out {
            None => v,
            Some(other) => {
                let mut all = k.constant(DType::Bool, 1.0);
                for axis in (0..marks.len()).filter(|a| marks[*a]) {
                    let is = axes.holds(&mut k, axis, marks.len());
                    all = k.binary(BinaryOp::And, all, is);
                }
                k.select(all, v, other)
            }
        });
    }
    if let Some(v) = out {
        k.store(y.buffer, at, v);
        c.push(k);
    }
}
