//! `Cast(x)` is `x` in the element type `to`.
//!
//! Floats are rounded to nearest even; to integers they are truncated (out of range, which ONNX leaves open, gives the nearest end; NaN
//! gives zero). Integers wrap. Anything but zero is true. With `saturate=1` (default) values too large for an 8-bit float become its
//! largest, with `saturate=0` infinity or NaN. `round_mode` (`up`, `down`, `nearest`) is for f8e8m0. Strings are read and written as
//! decimal numbers.
//!
//! Before version 6 `to` is the name of the type.
//!
//! Shapes: the result has the operand's shape.
//!
//! Types: input: all element types; output: all element types.
//!
//! Versions: 1, 6, 9, 13, 19, 21, 23, 24, 25, 28. Source: the ONNX operator "Cast".

use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef, cast};
use lapidary_ir::{Attr, DType, Node, Result};

pub static DEF: OpDef = OpDef { lower: Some(lower), eval: Some(eval), forms: &[NAMES], ..OpDef::base("Cast", include_str!("cast.rs"), infer) };

/// Version 6 made `to` a number.
const NAMES: Form = Form {
    since: 6,
    lift: |g, n| {
        let Some(to) = target(g.node(n)) else { return Ok(false) };
        g.node_mut(n).attrs.set("to", i64::from(to.onnx_code()));
        crate::forms::lifted(g, n, 6)
    },
    lower: |g, n| {
        let to = target(g.node(n)).and_then(cast::onnx_name).ok_or("before version 6, the type has no name")?;
        g.node_mut(n).attrs.set("to", to);
        Ok(())
    },
};

fn target(node: &Node) -> Option<DType> {
    match node.attrs.get("to")? {
        Attr::Int(code) => DType::from_onnx_code(i32::try_from(*code).ok()?).filter(|d| *d != DType::Unknown),
        Attr::Str(_) => cast::from_onnx_name(node.attrs.str("to")?),
        _ => None,
    }
}

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let to = target(c.node).ok_or_else(|| c.error("bad-attribute", "'to' is not an element type"))?;
    let from = c.ty(0)?;
    cast::infer_contents(c, from.dtype, to);
    c.set_tensor(0, to, from.shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let to = target(c.node).ok_or_else(|| c.error("bad-attribute", "'to' is not an element type"))?;
    Ok(vec![cast::cast(c, c.tensor(0)?, to)?.into()])
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    cast::lower(c)
}
