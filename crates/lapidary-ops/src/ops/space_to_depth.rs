//! `SpaceToDepth(x)`: moves blocks of pixels into channels, x: [N, C, H, W] to [N, C·b², H/b, W/b], b = `blocksize`. Channels are
//! counted block first, or channel first with `mode=CRD`.
//!
//! Any element type. Source: ONNX SpaceToDepth-13, with the mode of later versions.

use crate::cells::{strided, strides};
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{Dim, Result, Shape};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("SpaceToDepth", include_str!("space_to_depth.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let x = c.ty(0)?;
    let b = c.node.attrs.int("blocksize").unwrap_or(0);
    if b <= 0 {
        return Err(c.error("attribute-value", format!("blocksize is {b}")).into());
    }
    let shape = match x.shape.dims() {
        Some([n, ch, h, w]) => {
            let b = Dim::from(b);
            Shape::of([n.clone(), &(ch * &b) * &b, h.floor_div(&b), w.floor_div(&b)])
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
    let (&[n, ch, h, w], true) = (x.sizes(), b > 0) else { return Err(c.error("shape-conflict", format!("{:?} has no blocks", x.sizes())).into()) };
    if h % b != 0 || w % b != 0 {
        return Err(c.error("shape-conflict", format!("{h}×{w} pixels are not made of blocks of {b}×{b}")).into());
    }
    let s = strides(&[n, ch, h / b, b, w / b, b]).into_iter().map(|s| s as isize).collect::<Vec<_>>();
    let by_channel = c.node.attrs.str("mode") == Some("CRD");
    let (sizes, walk) = if by_channel {
        ([n, ch, b, b, h / b, w / b], [s[0], s[1], s[3], s[5], s[2], s[4]])
    } else {
        ([n, b, b, ch, h / b, w / b], [s[0], s[3], s[5], s[1], s[2], s[4]])
    };
    let out = strided(x, &sizes, &walk, 0)?;
    Ok(vec![out.reshaped(&[n, ch * b * b, h / b, w / b])?.into()])
}
