//! What `Softmax`, `LogSoftmax` and `Hardmax` share.

use crate::lanes::Lanes;
use crate::numbers::{eval_axis, floats, store};
use crate::{Datum, EvalCtx, Form, LowerCtx, forms, rows};
use lapidary_ir::{Graph, NodeId, Result};

/// Version 13 works along one axis; before, the operand was seen as a matrix whose rows are the axes from `axis` (default 1) on. The two
/// are one where the axis is the last.
pub(crate) const AXIS: Form = Form { since: 13, lift, lower };

/// Whether this is the older form, of matrices.
pub(crate) fn is_flat(version: u32) -> bool {
    (1..13).contains(&version)
}

/// Fills every lane of the result from the operand's.
pub(crate) fn eval(c: &EvalCtx<'_>, f: &(dyn Fn(&[f64], &mut [f64]) + Sync)) -> Result<Vec<Datum>> {
    let t = c.tensor(0)?;
    let flat = is_flat(c.node.op.version);
    let axis = c.node.attrs.int("axis").unwrap_or(if flat { 1 } else { -1 });
    let axis = if flat && axis == t.rank() as i64 { t.rank() } else { eval_axis(c, axis, t.rank())? };
    let lanes = if flat { Lanes::rows(t.sizes(), axis) } else { Lanes::of(t.sizes(), axis) };
    let out = lanes.map(&floats(c, t)?, lanes.len, f);
    Ok(vec![store(t.dtype(), t.sizes(), &out)?.into()])
}

/// The axes of a row, for kernels.
pub(crate) fn rows(c: &LowerCtx<'_>, rank: usize) -> Result<Vec<bool>> {
    let flat = is_flat(c.node().op.version);
    if flat && c.node().attrs.int("axis").unwrap_or(1) == rank as i64 {
        return Ok(vec![false; rank]);
    }
    let axis = rows::axis(c, if flat { 1 } else { -1 }, rank)?;
    Ok(rows::mark(rank, |a| if flat { a >= axis } else { a == axis }))
}

fn lift(g: &mut Graph, n: NodeId) -> Result<bool> {
    let rank = g.node(n).input(0).and_then(|v| g.ty(v).rank());
    let axis = g.node(n).attrs.int("axis").unwrap_or(1);
    match rank.and_then(|r| crate::numbers::axis_index(axis, r).map(|a| a + 1 == r)) {
        Some(true) => {
            g.node_mut(n).attrs.set("axis", -1);
            forms::lifted(g, n, 13)
        }
        _ => Ok(false),
    }
}

fn lower(g: &mut Graph, n: NodeId) -> Result<(), String> {
    let rank = g.node(n).input(0).and_then(|v| g.ty(v).rank()).ok_or("before version 13, the rank must be known")?;
    let axis = crate::numbers::axis_index(g.node(n).attrs.int("axis").unwrap_or(-1), rank);
    match axis {
        Some(a) if a + 1 == rank => {
            g.node_mut(n).attrs.set("axis", a as i64);
            Ok(())
        }
        _ => Err("before version 13, only the last axis can be taken by itself".into()),
    }
}
