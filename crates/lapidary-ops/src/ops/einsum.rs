//! `Einsum(x₀, x₁, …)`: sums of products over named axes. `equation` is `ij,jk->ik`: each operand's axes by letter, `...` for broadcast
//! axes; letters that the result does not name are summed. Without `->` the result has the letters that occur once, in alphabetical
//! order, after the broadcast axes.
//!
//! Floats, accumulated in f64; integers, which wrap. Operands are contracted from left to right. Source: ONNX Einsum-12.

use crate::cells::{room, strided, strides};
use crate::contract::{Extents, contract};
use crate::shapes::Report;
use crate::slide::accumulator;
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{DType, Dim, Result, Shape, Tensor};
use lapidary_kernel::{AxisId, ExprId, Index, ReduceOp};
use std::collections::BTreeMap;

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("Einsum", include_str!("einsum.rs"), infer) };

/// A named axis: a letter, or one of the broadcast axes counted from the last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Label {
    Broadcast(usize),
    Letter(char),
}

/// The axes of operands and result.
pub struct Equation {
    pub inputs: Vec<Vec<Label>>,
    pub output: Vec<Label>,
}

impl Equation {
    pub fn parse(c: &impl Report, text: &str, ranks: &[usize]) -> Result<Equation> {
        let bad = |why: String| c.report("einsum", format!("equation '{text}': {why}"));
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = match plain.split_once("->") {
            Some((l, r)) => (l, Some(r)),
            None => (plain.as_str(), None),
        };
        let terms: Vec<&str> = left.split(',').collect();
        if terms.len() != ranks.len() {
            return Err(bad(format!("{} terms for {} operands", terms.len(), ranks.len())).into());
        }
        let letters = |term: &str| -> Result<(Vec<char>, Option<usize>)> {
            let (before, after) = term.split_once("...").map_or((term, None), |(b, a)| (b, Some(a)));
            let all: Vec<char> = before.chars().chain(after.unwrap_or("").chars()).collect();
            match all.iter().find(|c| !c.is_ascii_alphabetic()) {
                Some(x) => Err(bad(format!("'{x}' is not a letter")).into()),
                None => Ok((all, after.map(|_| before.chars().count()))),
            }
        };
        let (mut inputs, mut widest) = (vec![], 0);
        for (term, rank) in terms.iter().zip(ranks) {
            let (all, dots) = letters(term)?;
            let spread = rank.checked_sub(all.len()).filter(|s| *s == 0 || dots.is_some());
            let Some(spread) = spread else { return Err(bad(format!("'{term}' does not name {rank} axes")).into()) };
            widest = widest.max(spread);
            let at = dots.unwrap_or(all.len());
            let middle = (0..spread).rev().map(Label::Broadcast);
            inputs.push(
                all[..at].iter().map(|c| Label::Letter(*c)).chain(middle).chain(all[at..].iter().map(|c| Label::Letter(*c))).collect::<Vec<_>>(),
            );
        }
        let broadcast = (0..widest).rev().map(Label::Broadcast);
        let output: Vec<Label> = match right {
            Some(r) => {
                let (all, dots) = letters(r)?;
                let at = dots.unwrap_or(0);
                let middle = broadcast.filter(|_| dots.is_some());
                all[..at].iter().map(|c| Label::Letter(*c)).chain(middle).chain(all[at..].iter().map(|c| Label::Letter(*c))).collect()
            }
            None => {
                let mut count: BTreeMap<Label, usize> = BTreeMap::new();
                inputs.iter().flatten().for_each(|l| *count.entry(*l).or_default() += 1);
                let once = count.into_iter().filter(|(l, n)| *n == 1 && matches!(l, Label::Letter(_))).map(|(l, _)| l);
                broadcast.chain(once).collect()
            }
        };
        for (i, l) in output.iter().enumerate() {
            if output[..i].contains(l) {
                return Err(bad(format!("the result names {l:?} twice")).into());
            }
            if !inputs.iter().any(|t| t.contains(l)) {
                return Err(bad(format!("no operand names {l:?}")).into());
            }
        }
        Ok(Equation { inputs, output })
    }
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let dtype = c.dtype(0)?;
    let mut operands = vec![];
    for slot in 0..c.input_count() {
        match c.dims(slot) {
            Some(d) => operands.push(d),
            None => {
                c.set_tensor(0, dtype, Shape::Unranked);
                return Ok(());
            }
        }
    }
    let text = c.node.attrs.str("equation").unwrap_or("");
    let equation = Equation::parse(c, text, &operands.iter().map(|d| d.len()).collect::<Vec<_>>())?;
    let mut sizes: BTreeMap<Label, Dim> = BTreeMap::new();
    for (labels, dims) in equation.inputs.iter().zip(&operands) {
        for (l, d) in labels.iter().zip(dims.iter()) {
            let merged = match sizes.get(l) {
                None => d.clone(),
                Some(have) if have.as_const() == Some(1) => d.clone(),
                Some(have) if d.as_const() == Some(1) => have.clone(),
                Some(have) => c.same(&format!("sizes of axis {l:?}"), have, d)?,
            };
            sizes.insert(*l, merged);
        }
    }
    let shape = equation.output.iter().map(|l| sizes.get(l).cloned().unwrap_or(Dim::from(1))).collect();
    c.set_tensor(0, dtype, Shape::Ranked(shape));
    Ok(())
}

/// A tensor with named axes, each name once.
struct Term {
    labels: Vec<Label>,
    t: Tensor,
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let operands = (0..c.inputs.len()).map(|i| c.tensor(i)).collect::<Result<Vec<_>>>()?;
    let Some(first) = operands.first() else { return Err(c.error("missing-operand", "there are no operands").into()) };
    let dtype = first.dtype();
    let text = c.node.attrs.str("equation").unwrap_or("");
    let equation = Equation::parse(c, text, &operands.iter().map(|t| t.rank()).collect::<Vec<_>>())?;
    let wide = if dtype.is_float() { DType::F64 } else { DType::I64 };
    let mut terms = vec![];
    for (labels, t) in equation.inputs.iter().zip(&operands) {
        let t = match wide {
            DType::F64 => Tensor::from_f64(wide, t.sizes(), &crate::numbers::floats(c, t)?)?,
            _ => Tensor::from_i64(wide, t.sizes(), &t.to_i64().ok_or_else(|| c.error("type-error", format!("{} is not a number", t.dtype())))?)?,
        };
        terms.push(diagonal(c, labels, &t)?);
    }
    terms.reverse();
    let mut result = terms.pop().unwrap_or(Term { labels: vec![], t: Tensor::scalar(1f64) });
    while let Some(next) = terms.pop() {
        let needed = |l: &Label| equation.output.contains(l) || terms.iter().any(|t| t.labels.contains(l));
        result = multiply(c, &result, &next, &needed)?;
    }
    // Sums over what is left, and the order of axes: a product with one.
    let one = match wide {
        DType::F64 => Tensor::scalar(1f64),
        _ => Tensor::scalar(1i64),
    };
    let result = multiply(c, &result, &Term { labels: vec![], t: one }, &|l| equation.output.contains(l))?;
    let sorted = arrange(&result, &equation.output)?;
    let out = match wide {
        DType::F64 => crate::numbers::store(dtype, sorted.sizes(), &sorted.to_f64().unwrap_or_default())?,
        _ => Tensor::from_i64(dtype, sorted.sizes(), &sorted.to_i64().unwrap_or_default())?,
    };
    Ok(vec![out.into()])
}

/// An axis that is named twice is walked along its diagonal.
fn diagonal(c: &EvalCtx<'_>, labels: &[Label], t: &Tensor) -> Result<Term> {
    let own = strides(t.sizes());
    let (mut names, mut sizes, mut walk): (Vec<Label>, Vec<usize>, Vec<isize>) = (vec![], vec![], vec![]);
    for (a, l) in labels.iter().enumerate() {
        match names.iter().position(|n| n == l) {
            Some(at) if sizes[at] == t.sizes()[a] => walk[at] += own[a] as isize,
            Some(_) => return Err(c.error("shape-conflict", format!("axis {l:?} has two sizes in {:?}", t.sizes())).into()),
            None => {
                names.push(*l);
                sizes.push(t.sizes()[a]);
                walk.push(own[a] as isize);
            }
        }
    }
    Ok(Term { t: strided(t, &sizes, &walk, 0)?, labels: names })
}

/// The term with its axes in this order; axes that it has not are left out of the order.
fn arrange(term: &Term, order: &[Label]) -> Result<Tensor> {
    let own = strides(term.t.sizes());
    let axes: Vec<usize> = order.iter().filter_map(|l| term.labels.iter().position(|n| n == l)).collect();
    let sizes: Vec<usize> = axes.iter().map(|a| term.t.sizes()[*a]).collect();
    strided(&term.t, &sizes, &axes.iter().map(|a| own[*a] as isize).collect::<Vec<_>>(), 0)
}

/// Multiplies two terms and sums over the axes that nothing needs any more: one batched matrix product.
fn multiply(c: &EvalCtx<'_>, a: &Term, b: &Term, needed: &dyn Fn(&Label) -> bool) -> Result<Term> {
    let size = |t: &Term, l: &Label| t.labels.iter().position(|n| n == l).map(|i| t.t.sizes()[i]);
    let (mut batch, mut rows, mut columns, mut summed) = (vec![], vec![], vec![], vec![]);
    let all: Vec<Label> = a.labels.iter().chain(b.labels.iter().filter(|l| !a.labels.contains(l))).copied().collect();
    let (mut left, mut right) = (Term { labels: a.labels.clone(), t: a.t.clone() }, Term { labels: b.labels.clone(), t: b.t.clone() });
    for l in &all {
        match (size(&left, l), size(&right, l)) {
            (Some(x), Some(y)) if x != y => {
                // Only axes of size one are stretched, which is the same as leaving them out.
                match (x, y) {
                    (1, _) => left = drop_axis(&left, l)?,
                    (_, 1) => right = drop_axis(&right, l)?,
                    _ => return Err(c.error("shape-conflict", format!("axis {l:?} has sizes {x} and {y}")).into()),
                }
            }
            _ => {}
        }
        match (size(&left, l).is_some(), size(&right, l).is_some(), needed(l)) {
            (true, true, true) => batch.push(*l),
            (_, _, false) => summed.push(*l),
            (true, false, true) => rows.push(*l),
            _ => columns.push(*l),
        }
    }
    // An axis that only one side has is summed there, by giving the other side ones along it.
    let extent = |list: &[Label]| list.iter().map(|l| size(&left, l).or(size(&right, l)).unwrap_or(1)).collect::<Vec<_>>();
    let sizes = [extent(&batch), extent(&rows), extent(&columns)].concat();
    room(c, DType::F64, &sizes)?;
    let e = Extents {
        batch: extent(&batch).iter().product(),
        rows: extent(&rows).iter().product(),
        columns: extent(&columns).iter().product(),
        depth: extent(&summed).iter().product(),
    };
    room(c, DType::F64, &[e.batch, e.rows, e.depth])?;
    room(c, DType::F64, &[e.batch, e.depth, e.columns])?;
    let full = |t: &Term, order: &[&[Label]]| -> Result<Tensor> {
        let own = strides(t.t.sizes());
        let labels: Vec<Label> = order.concat();
        let walk: Vec<isize> = labels.iter().map(|l| t.labels.iter().position(|n| n == l).map_or(0, |i| own[i] as isize)).collect();
        strided(&t.t, &extent(&labels), &walk, 0)
    };
    let (x, y) = (full(&left, &[&batch, &rows, &summed])?, full(&right, &[&batch, &summed, &columns])?);
    let t = if let (Some(x), Some(y)) = (x.to_vec::<f64>(), y.to_vec::<f64>()) {
        let out = contract(
            e,
            &|b, i, k, run: &mut [f64]| run.copy_from_slice(&x[(b * e.rows + i) * e.depth + k..][..run.len()]),
            &|b, k, j, run: &mut [f64]| run.copy_from_slice(&y[(b * e.depth + k) * e.columns + j..][..run.len()]),
        );
        Tensor::from_slice(&sizes, &out)
    } else {
        let (x, y) = (x.to_i64().unwrap_or_default(), y.to_i64().unwrap_or_default());
        let out = contract(
            e,
            &|b, i, k, run: &mut [i64]| run.copy_from_slice(&x[(b * e.rows + i) * e.depth + k..][..run.len()]),
            &|b, k, j, run: &mut [i64]| run.copy_from_slice(&y[(b * e.depth + k) * e.columns + j..][..run.len()]),
        );
        Tensor::from_slice(&sizes, &out)
    };
    Ok(Term { labels: [batch, rows, columns].concat(), t })
}

fn drop_axis(term: &Term, label: &Label) -> Result<Term> {
    let labels: Vec<Label> = term.labels.iter().filter(|l| *l != label).copied().collect();
    Ok(Term { t: arrange(term, &labels)?, labels })
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let operands = (0..c.node().inputs().len()).map(|i| c.input(i)).collect::<Result<Vec<_>>>()?;
    let y = c.output(0)?;
    let text = c.node().attrs.str("equation").unwrap_or("").to_string();
    let equation = Equation::parse(c, &text, &operands.iter().map(|t| t.rank()).collect::<Vec<_>>())?;
    // The size of each axis: that of the operands that are not broadcast along it.
    let mut sizes: BTreeMap<Label, Dim> = BTreeMap::new();
    for (labels, t) in equation.inputs.iter().zip(&operands) {
        for (l, d) in labels.iter().zip(&t.dims) {
            match sizes.get(l) {
                Some(have) if have.as_const() != Some(1) => c.check_equal(have, d, d.as_const() == Some(1)),
                _ => {
                    sizes.insert(*l, d.clone());
                }
            }
        }
    }
    let mut k = c.kernel();
    let mut axes: BTreeMap<Label, AxisId> = BTreeMap::new();
    for (i, (l, d)) in equation.output.iter().zip(&y.dims).enumerate() {
        axes.insert(*l, k.parallel(&format!("i{i}"), d.clone()));
    }
    let summed: Vec<(Label, Dim)> = sizes.into_iter().filter(|(l, _)| !equation.output.contains(l)).collect();
    for (i, (l, d)) in summed.iter().enumerate() {
        axes.insert(*l, k.axis(&format!("k{i}"), d.clone()));
    }
    let sum = accumulator(y.dtype);
    let mut product: Option<ExprId> = None;
    for (labels, t) in equation.inputs.iter().zip(&operands) {
        let index = labels.iter().zip(&t.dims).map(|(l, d)| if d.as_const() == Some(1) { Index::from(0) } else { Index::from(axes[l]) });
        let v = k.load(t.buffer, t.dtype, index.collect::<Vec<_>>());
        let v = k.cast(sum, v);
        product = Some(match product {
            Some(p) => k.mul(p, v),
            None => v,
        });
    }
    let Some(mut v) = product else { return Err(c.unsupported("there are no operands").into()) };
    if !summed.is_empty() {
        let over: Vec<AxisId> = summed.iter().map(|(l, _)| axes[l]).collect();
        v = k.reduce(ReduceOp::Sum, sum, &over, v);
    }
    let v = k.cast(y.dtype, v);
    k.store(y.buffer, equation.output.iter().map(|l| Index::from(axes[l])).collect::<Vec<_>>(), v);
    c.push(k);
    Ok(())
}
