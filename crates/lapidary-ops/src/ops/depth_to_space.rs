//! `DepthToSpace(x)`: moves channels into blocks of pixels, x: [N, C·b², H, W] to [N, C, H·b, W·b], b = `blocksize`. `mode` says whether
//! channels are counted block first (`DCR`, the default) or channel first (`CRD`).
//!
//! Any element type. Source: ONNX DepthToSpace-13.

use crate::cells::{strided, strides};
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{Dim, Result, Shape};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("DepthToSpace", include_str!("depth_to_space.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let x = c.ty(0)?;
    let b = c.node.attrs.int("blocksize").unwrap_or(0);
    if b <= 0 {
        return Err(c.error("attribute-value", format!("blocksize is {b}")).into());
    }
    let shape = match x.shape.dims() {
        Some([n, ch, h, w]) => {
            let b = Dim::from(b);
            Shape::of([n.clone(), ch.floor_div(&(&b * &b)), h * &b, w * &b])
        }
        Some(d) => return Err(c.error("shape-conflict", format!("the operand has rank {}, not 4", d.len())).into()),
        None => c.fresh_shape(4),
    };
    c.set_tensor(0, x.dtype, shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let x = c.tensor(0)?;
    let b = usize::try_from(c.node.attrs.int("blocksize").unwrap_or(0)).unwrap_or(0);
    let (&[n, ch, h, w], true) = (x.sizes(), b > 0) else { return Err(c.error("shape-conflict", format!("{:?} has no depth", x.sizes())).into()) };
    let block = b.saturating_mul(b);
    if ch % block != 0 {
        return Err(c.error("shape-conflict", format!("{ch} channels are not a multiple of {block}")).into());
    }
    let depth = ch / block;
    // The six axes of the result (n, c, h, i, w, j) as strides into the operand.
    let by_channel = c.node.attrs.str("mode") == Some("CRD");
    let s = strides(if by_channel { [n, depth, b, b, h, w] } else { [n, b, b, depth, h, w] }.as_slice());
    let walk = if by_channel { [s[0], s[1], s[4], s[2], s[5], s[3]] } else { [s[0], s[3], s[4], s[1], s[5], s[2]] };
    let out = strided(x, &[n, depth, h, b, w, b], &walk.map(|s| s as isize), 0)?;
    Ok(vec![out.reshaped(&[n, depth, h * b, w * b])?.into()])
}
