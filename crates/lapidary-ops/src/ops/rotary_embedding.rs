//! `RotaryEmbedding(x, cos, sin, positions)`: turns pairs of numbers of each head by angles that depend on the position: with (a, b) a
//! pair, `a' = cos·a - sin·b`, `b' = sin·a + cos·b`. Pairs are the two halves of a head, or neighbours with `interleaved=1`; only the first
//! `rotary_embedding_dim` numbers turn, when it is given.
//!
//! x: [batch, heads, steps, size] or [batch, steps, heads·size] with `num_heads`; cos, sin: [positions, size/2] with `positions`
//! (i64[batch, steps]), or [batch, steps, size/2]. Floats. Source: ONNX RotaryEmbedding-23, arXiv:2104.09864.

use crate::numbers::{floats, store};
use crate::shapes::{index_in, size_of};
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{Dim, Result};
use lapidary_kernel::{AxisId, Index};

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("RotaryEmbedding", include_str!("rotary_embedding.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let x = c.ty(0)?;
    c.set(0, x);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (x, cos, sin) = (c.tensor(0)?, c.tensor(1)?, c.tensor(2)?);
    let attrs = &c.node.attrs;
    // Where a head's numbers begin: [batch, head, step].
    let (batch, heads, steps, size, walk) = match *x.sizes() {
        [b, h, t, s] => (b, h, t, s, [h * t * s, t * s, s]),
        [b, t, hidden] => {
            let h = size_of(c, "num_heads", attrs.int("num_heads").unwrap_or(0))?;
            if h == 0 || hidden % h != 0 {
                return Err(c.error("attribute-value", format!("num_heads is {h}, for {hidden} numbers")).into());
            }
            (b, h, t, hidden / h, [t * hidden, hidden / h, hidden])
        }
        _ => return Err(c.error("shape-conflict", format!("x has rank {}, not 3 or 4", x.rank())).into()),
    };
    let turned = match size_of(c, "rotary_embedding_dim", attrs.int("rotary_embedding_dim").unwrap_or(0))? {
        0 => size,
        d => d,
    };
    let half = turned / 2;
    let positions = if c.has(3) { Some(c.ints(3)?) } else { None };
    let rows = if positions.is_some() { cos.len() / half.max(1) } else { batch * steps };
    let fits = turned <= size && cos.sizes() == sin.sizes() && cos.sizes().last() == Some(&half) && cos.len() == rows * half;
    if !fits || positions.as_ref().is_some_and(|p| p.len() != batch * steps) {
        return Err(c.error("shape-conflict", format!("caches {:?} and {:?} do not fit x {:?}", cos.sizes(), sin.sizes(), x.sizes())).into());
    }
    let interleaved = attrs.int("interleaved").unwrap_or(0) != 0;
    let (mut values, cos, sin) = (floats(c, x)?, floats(c, cos)?, floats(c, sin)?);
    for b in 0..batch {
        for t in 0..steps {
            let row = match &positions {
                Some(p) => index_in(c, p[b * steps + t], rows)?,
                None => b * steps + t,
            };
            for h in 0..heads {
                let start = b * walk[0] + h * walk[1] + t * walk[2];
                for i in 0..half {
                    let (p, q) = if interleaved { (start + 2 * i, start + 2 * i + 1) } else { (start + i, start + half + i) };
                    let (co, si) = (cos[row * half + i], sin[row * half + i]);
                    (values[p], values[q]) = (co * values[p] - si * values[q], si * values[p] + co * values[q]);
                }
            }
        }
    }
    Ok(vec![store(x.dtype(), x.sizes(), &values)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, cos, sin, y) = (c.input(0)?, c.input(1)?, c.input(2)?, c.output(0)?);
    let positions = if c.has(3) { Some(c.input(3)?) } else { None };
    let attrs = &c.node().attrs;
    let interleaved = attrs.int("interleaved").unwrap_or(0) != 0;
    let (heads, steps, size) = match &x.dims[..] {
        [_, h, t, s] => (h.clone(), t.clone(), s.clone()),
        [_, t, hidden] => {
            let h = Dim::from(attrs.int("num_heads").filter(|h| *h > 0).ok_or_else(|| c.unsupported("num_heads is missing"))?);
            (h.clone(), t.clone(), hidden.floor_div(&h))
        }
        _ => return Err(c.unsupported("the operand has not rank 3 or 4").into()),
    };
    let turned = match attrs.int("rotary_embedding_dim").unwrap_or(0) {
        0 => size.clone(),
        d => Dim::from(d),
    };
    let half = turned.floor_div(&Dim::from(2));
    let place = |b: AxisId, h: AxisId, t: AxisId, at: Index| match x.rank() {
        4 => vec![b.into(), h.into(), t.into(), at],
        _ => vec![b.into(), t.into(), Index::from(h).scale(&size).add(&at)],
    };
    let mut k = c.kernel();
    let (b, h, t) = (k.parallel("b", x.dims[0].clone()), k.parallel("h", heads.clone()), k.parallel("t", steps.clone()));
    let (r, i) = (k.parallel("r", Dim::from(2)), k.parallel("i", half.clone()));
    // Number r of pair i, and its partner.
    let member = |r: Index| match interleaved {
        true => Index::from(i).scale(&Dim::from(2)).add(&r),
        false => r.scale(&half).add(&i.into()),
    };
    let (own, partner) = (member(r.into()), member(Index::from(r).scale(&Dim::from(-1)).add_dim(&Dim::from(1))));
    let row: Vec<Index> = match &positions {
        Some(p) => {
            let v = k.load(p.buffer, p.dtype, [b.into(), t.into()]);
            vec![k.wrapped_index(v, &cos.dims[0]), i.into()]
        }
        None => vec![b.into(), t.into(), i.into()],
    };
    let (co, si) = (k.load(cos.buffer, cos.dtype, row.clone()), k.load(sin.buffer, sin.dtype, row));
    let (u, v) = (k.load(x.buffer, x.dtype, place(b, h, t, own.clone())), k.load(x.buffer, x.dtype, place(b, h, t, partner)));
    // The first of a pair takes the sine away, the second adds it.
    let sign = k.index(Index::from(r).scale(&Dim::from(2)).add_dim(&Dim::from(-1)));
    let sign = k.cast(x.dtype, sign);
    let v = k.mul(si, v);
    let v = k.mul(sign, v);
    let u = k.mul(co, u);
    let v = k.add(u, v);
    k.store(y.buffer, place(b, h, t, own), v);
    c.push(k);
    if turned != size {
        let mut k = c.kernel();
        let (b, h, t) = (k.parallel("b", x.dims[0].clone()), k.parallel("h", heads), k.parallel("t", steps));
        let rest = k.parallel("i", &size - &turned);
        let at = Index::from(rest).add_dim(&turned);
        let v = k.load(x.buffer, x.dtype, place(b, h, t, at.clone()));
        k.store(y.buffer, place(b, h, t, at), v);
        c.push(k);
    }
    Ok(())
}
