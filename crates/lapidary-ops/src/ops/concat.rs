//! `Concat(x₀, x₁, …)`: the operands one after the other along `axis`; all other dims are equal.
//!
//! Any element type, the same for all. Source: ONNX Concat-13.

use crate::cells::{Cells, CellsMut, around, room};
use crate::forms;
use crate::shapes::{axis_in, move_contents};
use crate::views::axis_of;
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{DType, Dim, Graph, NodeId, Result, Shape};
use lapidary_kernel::Index;

pub static DEF: OpDef =
    OpDef { eval: Some(eval), lower: Some(lower), forms: &[FROM_END, AXIS], ..OpDef::base("Concat", include_str!("concat.rs"), infer) };

/// Since version 11 the axis may count from the end.
const FROM_END: Form = Form { since: 11, lift: |g, n| forms::lifted(g, n, 11), lower: older };

/// Before version 4, no axis meant axis 1.
const AXIS: Form = Form {
    since: 4,
    lift: |g, n| {
        if g.node(n).attrs.int("axis").is_none() {
            g.node_mut(n).attrs.set("axis", 1);
        }
        forms::lifted(g, n, 4)
    },
    lower: |_, _| Ok(()),
};

fn older(g: &mut Graph, n: NodeId) -> Result<(), String> {
    let Some(axis) = g.node(n).attrs.int("axis").filter(|a| *a < 0) else { return Ok(()) };
    let rank = (0..g.node(n).inputs().len()).find_map(|s| forms::rank_of(g, n, s));
    let rank = rank.ok_or("the axis counts from the end, and the rank is not known")?;
    g.node_mut(n).attrs.set("axis", axis + rank as i64);
    Ok(())
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let count = c.input_count();
    let mut dtype = DType::Unknown;
    let mut out: Option<Vec<Dim>> = None;
    let mut all_ranked = true;
    for slot in 0..count {
        let ty = c.ty(slot)?;
        if dtype == DType::Unknown {
            dtype = ty.dtype;
        }
        let Some(dims) = ty.shape.dims() else {
            all_ranked = false;
            continue;
        };
        let axis = axis_in(c, c.node.attrs.int("axis").unwrap_or(0), dims.len())?;
        out = Some(match out {
            None => dims.to_vec(),
            Some(have) if have.len() != dims.len() => {
                return Err(c.error("shape-conflict", format!("operands have ranks {} and {}", have.len(), dims.len())).into());
            }
            Some(have) => {
                let mut merged = vec![];
                for (i, (a, b)) in have.iter().zip(dims).enumerate() {
                    merged.push(if i == axis { a + b } else { c.same(&format!("operands differ along axis {i}"), a, b)? });
                }
                merged
            }
        });
    }
    let shape = match out {
        Some(mut dims) => {
            if !all_ranked {
                let axis = axis_in(c, c.node.attrs.int("axis").unwrap_or(0), dims.len())?;
                dims[axis] = c.symbols.fresh();
            }
            Shape::Ranked(dims.into())
        }
        None => Shape::Unranked,
    };
    c.set_tensor(0, dtype, shape);
    let slots: Vec<usize> = (0..count).collect();
    move_contents(c, &slots, eval);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let parts = (0..c.inputs.len()).map(|i| c.tensor(i)).collect::<Result<Vec<_>>>()?;
    Ok(vec![join(c, &parts, c.node.attrs.int("axis").unwrap_or(0))?.into()])
}

/// The parts one after the other along `axis`.
pub fn join(c: &EvalCtx<'_>, parts: &[&lapidary_ir::Tensor], axis: i64) -> Result<lapidary_ir::Tensor> {
    let Some(first) = parts.first() else { return Err(c.error("missing-operand", "nothing to concatenate").into()) };
    let axis = axis_in(c, axis, first.rank())?;
    let mut sizes = first.sizes().to_vec();
    sizes[axis] = 0;
    for p in parts {
        let fits = p.rank() == first.rank() && p.dtype() == first.dtype() && (0..p.rank()).all(|i| i == axis || p.sizes()[i] == first.sizes()[i]);
        if !fits {
            return Err(c.error("shape-conflict", format!("{:?} and {:?} cannot be joined along axis {axis}", first.sizes(), p.sizes())).into());
        }
        sizes[axis] += p.sizes()[axis];
    }
    let mut out = CellsMut::empty(first.dtype(), room(c, first.dtype(), &sizes)?);
    let cells: Vec<(Cells<'_>, usize)> = parts.iter().map(|p| (Cells::of(p), around(p.sizes(), axis))).map(|(c, (_, n, i))| (c, n * i)).collect();
    for block in 0..around(first.sizes(), axis).0 {
        cells.iter().for_each(|(c, run)| out.push_run(c, block * run, *run));
    }
    out.finish(&sizes)
}

/// One kernel per operand, each filling its slice of the result.
fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let y = c.output(0)?;
    let axis = axis_of(c, c.node().attrs.int("axis").unwrap_or(0), y.rank())?;
    let mut start = Dim::from(0);
    for slot in 0..c.node().inputs().len() {
        let x = c.input(slot)?;
        let mut k = c.kernel();
        let at: Vec<Index> = k.parallel_all("i", &x.dims).into_iter().map(Into::into).collect();
        let v = k.load(x.buffer, x.dtype, at.clone());
        let mut to = at;
        to[axis] = to[axis].add_dim(&start);
        k.store(y.buffer, to, v);
        c.push(k);
        start = &start + &x.dims[axis];
        for (i, d) in x.dims.iter().enumerate() {
            if i != axis {
                c.check_equal(d, &y.dims[i], false);
            }
        }
    }
    Ok(())
}
