//! `a · q·kᵀ`: the product that the scores are, its factor, and the keys before they were transposed.

use super::no_place;
use crate::common::permutation;
use lapidary_ir::{Attrs, Dim, ValueId};
use lapidary_rewrite::{Match, Operand, Patch, Reason, ensure, pattern::splat};

pub struct Scores {
    pub q: ValueId,
    /// kᵀ, [batch, heads, size, steps].
    transposed: ValueId,
    keys: Keys,
    pub scale: f64,
}

/// How to have the keys as [batch, heads, steps, size].
enum Keys {
    Are(ValueId),
    Transpose(ValueId, [usize; 4]),
    /// A Transpose of rank 3, which joins batch and heads, before a Reshape.
    TransposeReshape(ValueId, [usize; 3]),
}

impl Scores {
    /// Reads `?s` of a match. What is no scaled product of two operands is no place.
    pub fn of(m: &Match<'_>) -> Result<Scores, Reason> {
        let given = m.value("s")?;
        let (product, factor) = unscaled(m, given);
        let n = m.graph.node(product.node);
        let (q, transposed) = no_place(n.input(0).zip(n.input(1)).filter(|_| n.is("MatMul")), "the scores are no product")?;
        // Every value from the product up to the scores goes away with the match.
        let mut inner = given;
        loop {
            ensure(m.graph.use_count(inner) == 1, "its scores are used elsewhere too")?;
            match factor_of(m, inner) {
                Some((x, _)) => inner = x,
                None => break,
            }
        }
        let (q, a) = unscaled(m, q);
        let (source, b) = unscaled(m, transposed);
        Ok(Scores { q, transposed, keys: keys(m, source)?, scale: factor * a * b })
    }
    /// [batch, heads, steps, size].
    pub fn key_dims(&self, m: &Match<'_>) -> Result<[Dim; 4], Reason> {
        match m.dims_of(self.transposed)? {
            [b, h, d, s] => Ok([b.clone(), h.clone(), s.clone(), d.clone()]),
            _ => Err("its keys are not [batch, heads, size, steps]".into()),
        }
    }
    pub fn key(&self, m: &Match<'_>, p: &mut Patch) -> Result<Operand, Reason> {
        let ints = |perm: &[usize]| perm.iter().map(|a| *a as i64).collect::<Vec<_>>();
        match &self.keys {
            Keys::Are(k) => Ok((*k).into()),
            Keys::Transpose(x, perm) => Ok(p.op("Transpose", [(*x).into()], Attrs::new().with("perm", ints(perm)))),
            Keys::TransposeReshape(x, perm) => {
                let sizes = sizes(&self.key_dims(m)?).ok_or("several sizes of the keys are not known")?;
                let k = p.op("Transpose", [(*x).into()], Attrs::new().with("perm", ints(perm)));
                let shape = p.ints("keys_shape", &sizes);
                Ok(p.op("Reshape", [k, shape], Attrs::new()))
            }
        }
    }
}

/// The value that a Mul or Div by one constant number scales, and the factor.
fn factor_of(m: &Match<'_>, v: ValueId) -> Option<(ValueId, f64)> {
    let n = m.graph.node(v.node);
    let (a, b) = (n.input(0)?, n.input(1)?);
    let number = |c: ValueId| m.graph.as_constant(c).filter(|t| t.len() == 1).and_then(|t| splat(t));
    let (x, factor) = if n.is("Mul") {
        number(b).map(|f| (a, f)).or_else(|| number(a).map(|f| (b, f)))?
    } else if n.is("Div") {
        (a, 1.0 / number(b)?)
    } else {
        return None;
    };
    // A constant of more axes than the value would change its shape.
    (m.graph.ty(x) == m.graph.ty(v)).then_some((x, factor))
}

fn unscaled(m: &Match<'_>, mut v: ValueId) -> (ValueId, f64) {
    let mut scale = 1.0;
    while let Some((x, factor)) = factor_of(m, v) {
        (v, scale) = (x, scale * factor);
    }
    (v, scale)
}

fn keys(m: &Match<'_>, v: ValueId) -> Result<Keys, Reason> {
    let n = m.graph.node(v.node);
    let source = n.input(0);
    if let (true, Some(x)) = (n.is("Transpose"), source) {
        let p = permutation(n, 4).ok_or("its keys are not of rank 4")?;
        let perm = [p[0], p[1], p[3], p[2]];
        return Ok(if perm == [0, 1, 2, 3] { Keys::Are(x) } else { Keys::Transpose(x, perm) });
    }
    let transpose = source.filter(|_| n.is("Reshape")).map(|t| (t, m.graph.node(t.node))).filter(|(_, t)| t.is("Transpose"));
    if let Some((t, node)) = transpose
        && let (Some(x), Some(p)) = (node.input(0), permutation(node, 3))
        && let ([joined, d, s], [b, h, d4, s4]) = (m.dims_of(t)?, m.dims_of(v)?)
    {
        ensure(*joined == b * h && d == d4 && s == s4, "its keys are reshaped otherwise")?;
        let before = m.graph.node(x.node);
        if let Some(k) = before.input(0).filter(|_| before.is("Reshape") && p == [0, 2, 1])
            && m.dims_of(k)? == [b.clone(), h.clone(), s.clone(), d.clone()]
        {
            return Ok(Keys::Are(k));
        }
        ensure(sizes(&[b.clone(), h.clone(), s.clone(), d.clone()]).is_some(), "several sizes of the keys are not known")?;
        return Ok(Keys::TransposeReshape(x, [p[0], p[2], p[1]]));
    }
    Err("its keys are not transposed from [batch, heads, steps, size]".into())
}

/// The operand of a Reshape to these dims, if at most one is not a number.
fn sizes(dims: &[Dim; 4]) -> Option<Vec<i64>> {
    let sizes: Vec<i64> = dims.iter().map(|d| d.as_const().unwrap_or(-1)).collect();
    (sizes.iter().filter(|s| **s < 0).count() <= 1 && !sizes.contains(&0)).then_some(sizes)
}
