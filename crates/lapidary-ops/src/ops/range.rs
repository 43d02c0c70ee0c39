//! `Range(start, limit, delta)`: `start, start + delta, …` as long as `limit` is not reached; a vector of
//! `max(0, ⌈(limit - start) / delta⌉)` elements.
//!
//! Scalars of one numeric type. Source: ONNX Range-27.

use crate::cells::room;
use crate::{Contents, Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_kernel::Index;

use lapidary_ir::{DType, Dim, Result, Shape, Tensor};

pub static DEF: OpDef = OpDef { eval: Some(eval), lower: Some(lower), ..OpDef::base("Range", include_str!("range.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let dtype = c.dtype(0)?;
    let one = |c: &InferCtx<'_>, slot| c.contents(slot).and_then(|k| k.dims.into_iter().next());
    let length = match (one(c, 0), one(c, 1), one(c, 2)) {
        (Some(start), Some(limit), Some(delta)) => match delta.as_const() {
            Some(0) => return Err(c.error("range", "delta is 0").into()),
            Some(k) => {
                let way = if k > 0 { &limit - &start } else { &start - &limit };
                let n = way.maximum(&Dim::from(0)).ceil_div(&Dim::from(k.saturating_abs()));
                if let Some(count) = n.as_const().filter(|n| *n <= Contents::LIMIT as i64) {
                    let dims = (0..count).map(|i| &start + &Dim::from(i.saturating_mul(k))).collect();
                    c.set_contents(0, Contents::vector(dims));
                }
                Some(n)
            }
            None => None,
        },
        _ => float_length(c),
    };
    let length = length.unwrap_or_else(|| c.symbols.fresh());
    c.set_tensor(0, dtype, Shape::of([length]));
    Ok(())
}

fn float_length(c: &InferCtx<'_>) -> Option<Dim> {
    let one = |slot| c.constant(slot)?.to_f64()?.first().copied();
    Some(Dim::from(count(one(0)?, one(1)?, one(2)?)? as i64))
}

fn count(start: f64, limit: f64, delta: f64) -> Option<usize> {
    let n = ((limit - start) / delta).ceil();
    (n.is_finite() && n < isize::MAX as f64).then_some(n.max(0.0) as usize)
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let dtype = c.tensor(0)?.dtype();
    let endless = || c.error("range", "the range has no end: delta is 0, or an operand is not finite");
    if dtype.is_int() && dtype != DType::U64 {
        let one = |slot| c.ints(slot)?.first().copied().ok_or_else(|| c.error("missing-operand", format!("operand {slot} is empty")).into());
        let (start, limit, delta): (i64, i64, i64) = match (one(0), one(1), one(2)) {
            (Ok(a), Ok(b), Ok(d)) => (a, b, d),
            (Err(e), ..) | (_, Err(e), _) | (.., Err(e)) => return Err(e),
        };
        if delta == 0 {
            return Err(endless().into());
        }
        let way = if delta > 0 { limit as i128 - start as i128 } else { start as i128 - limit as i128 }.max(0) as u128;
        let n = usize::try_from(way.div_ceil(delta.unsigned_abs() as u128)).unwrap_or(usize::MAX);
        let n = room(c, dtype, &[n])?;
        let values: Vec<i64> = (0..n as i64).map(|i| start.wrapping_add(i.wrapping_mul(delta))).collect();
        return Ok(vec![Tensor::from_i64(dtype, &[n], &values)?.into()]);
    }
    let one = |slot: usize| -> Result<f64> {
        let v = c.tensor(slot)?.to_f64().and_then(|v| v.first().copied());
        v.ok_or_else(|| c.error("type-error", format!("operand {slot} is not a number")).into())
    };
    let (start, limit, delta) = (one(0)?, one(1)?, one(2)?);
    let n = room(c, dtype, &[count(start, limit, delta).ok_or_else(endless)?])?;
    let values: Vec<f64> = (0..n).map(|i| start + i as f64 * delta).collect();
    Ok(vec![Tensor::from_f64(dtype, &[n], &values)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let y = c.output(0)?;
    let known: Vec<Option<Dim>> = (0..3).map(|i| c.contents(i).and_then(|v| v.dims.first().cloned())).collect();
    let mut k = c.kernel();
    let i = k.parallel("i", y.dims[0].clone());
    let v = match (&known[0], &known[2]) {
        (Some(start), Some(step)) => {
            let v = k.index(Index::from(i).scale(step).add_dim(start));
            k.cast(y.dtype, v)
        }
        _ => {
            let (start, step) = (c.input(0)?, c.input(2)?);
            let start = k.load(start.buffer, start.dtype, vec![Index::from(0); start.rank()]);
            let step = k.load(step.buffer, step.dtype, vec![Index::from(0); step.rank()]);
            let n = k.index(i.into());
            let n = k.cast(y.dtype, n);
            let v = k.mul(n, step);
            k.add(start, v)
        }
    };
    k.store(y.buffer, [i.into()], v);
    c.push(k);
    Ok(())
}
