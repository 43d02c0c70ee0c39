//! Running totals along an axis: what CumSum and CumProd share.

use crate::elementwise::kernels;
use crate::lanes::Lanes;
use crate::numbers::{axis_index, eval_axis, floats, store, store_wide, wide};
use crate::run_time::{self, List};
use crate::{Datum, EvalCtx, LowerCtx, Operand, rows};
use lapidary_ir::{Attrs, Dim, Result};
use lapidary_kernel::{Index, ReduceOp};

/// How a total is kept, for floats and for integers, which wrap.
pub(crate) struct Running {
    pub op: ReduceOp,
    /// The total of nothing.
    pub start: i8,
    pub float: fn(f64, f64) -> f64,
    pub int: fn(i128, i128) -> i128,
}

/// Whether an element leaves itself out, and whether the axis is walked from its end.
fn flags(attrs: &Attrs) -> (bool, bool) {
    let flag = |name| attrs.int(name) == Some(1);
    (flag("exclusive"), flag("reverse"))
}

/// `y[i] = total(x[0..=i])` along the axis in operand 1.
pub(crate) fn eval(c: &EvalCtx<'_>, r: &Running) -> Result<Vec<Datum>> {
    let t = c.tensor(0)?;
    let axis = c.ints(1)?.first().copied().unwrap_or(0);
    let lanes = Lanes::of(t.sizes(), eval_axis(c, axis, t.rank())?);
    let flags = flags(&c.node.attrs);
    if t.dtype().is_int() {
        let out = lanes.map(&wide(c, t)?, lanes.len, &|lane, out| walk(lane, out, r.start.into(), flags, r.int));
        return Ok(vec![store_wide(t.dtype(), t.sizes(), &out)?.into()]);
    }
    let out = lanes.map(&floats(c, t)?, lanes.len, &|lane, out| walk(lane, out, r.start.into(), flags, r.float));
    Ok(vec![store(t.dtype(), t.sizes(), &out)?.into()])
}

fn walk<T: Copy>(lane: &[T], out: &mut [T], mut total: T, (exclusive, reverse): (bool, bool), add: fn(T, T) -> T) {
    for k in 0..lane.len() {
        let i = if reverse { lane.len() - 1 - k } else { k };
        let before = total;
        total = add(total, lane[i]);
        out[i] = if exclusive { before } else { total };
    }
}

/// A triangular reduction: quadratic in the axis, but every point by itself. Of an axis that only the run knows, along each axis.
pub(crate) fn lower(c: &mut LowerCtx<'_>, r: &Running) -> Result<()> {
    let (x, y) = rows::ends(c)?;
    let axis = List::of(c, 1, "the axis")?;
    if let List::Known(known) = &axis {
        let axis = known.first().and_then(|d| d.as_const()).and_then(|a| axis_index(a, x.rank()));
        let axis = axis.ok_or_else(|| c.unsupported("the axis does not exist"))?;
        along(c, r, &x, &y, axis);
        return Ok(());
    }
    if x.rank() == 1 {
        along(c, r, &x, &y, 0);
        return Ok(());
    }
    let mut choices = vec![];
    for a in 0..x.rank() {
        let part = c.temp(&format!("along{a}"), y.dtype, &y.dims);
        along(c, r, &x, &part, a);
        choices.push((rows::mark(x.rank(), |i| i == a), part));
    }
    run_time::choose(c, &axis, &choices, &y);
    Ok(())
}

fn along(c: &mut LowerCtx<'_>, r: &Running, x: &Operand, y: &Operand, axis: usize) {
    let (exclusive, reverse) = flags(&c.node().attrs);
    let mut k = c.kernel();
    let at = kernels::points(&mut k, &x.dims);
    let back = k.axis("j", x.dims[axis].clone());
    let step = Index::from(back).add_dim(&Dim::from(exclusive as i64));
    let mut from = at.clone();
    from[axis] = if reverse { at[axis].add(&step) } else { at[axis].sub(&step) };
    let guard = vec![(from[axis].clone(), x.dims[axis].clone())];
    let nothing = k.constant(x.dtype, r.start.into());
    let v = k.load_guarded(x.buffer, x.dtype, from, guard, Some(nothing));
    let wider = kernels::wider(x.dtype);
    let v = k.cast(wider, v);
    let total = k.reduce(r.op, wider, &[back], v);
    kernels::store(&mut k, y, at, total);
    c.push(k);
}
