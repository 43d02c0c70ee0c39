//! `SpaceToDepth(x)`: moves blocks of pixels into channels, x: [N, C, H, W] to [N, C·b², H/b, W/b], b = `blocksize`. Channels are
//! counted block first, or channel first with `mode=CRD`.
//!
//! Any element type. Source: ONNX SpaceToDepth-13, with the mode of later versions.

use crate::cells::{strided, strides};
use crate::forms::new_attribute;
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_kernel::Index;

use lapidary_ir::{Dim, Result, Shape};

pub static DEF: OpDef = OpDef {
    eval: Some(eval),
    lower: Some(lower),
    forms: &[new_attribute!(28, "mode", "DCR")],
    ..OpDef::base("SpaceToDepth", include_str!("space_to_depth.rs"), infer)
};

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

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    let block = Dim::from(c.node().attrs.int("blocksize").unwrap_or(1));
    let by_channel = c.node().attrs.str("mode") == Some("CRD");
    let mut k = c.kernel();
    let n = k.parallel("n", x.dims[0].clone());
    let (bh, bw) = (k.parallel("bh", block.clone()), k.parallel("bw", block.clone()));
    let ch = k.parallel("c", x.dims[1].clone());
    let (h, w) = (k.parallel("h", y.dims[2].clone()), k.parallel("w", y.dims[3].clone()));
    let at = |a| Index::from(a);
    let v = k.load(x.buffer, x.dtype, [at(n), at(ch), at(h).scale(&block).add(&at(bh)), at(w).scale(&block).add(&at(bw))]);
    let target = match by_channel {
        true => at(ch).scale(&block).add(&at(bh)).scale(&block).add(&at(bw)),
        false => at(bh).scale(&block).add(&at(bw)).scale(&x.dims[1]).add(&at(ch)),
    };
    k.store(y.buffer, [at(n), target, at(h), at(w)], v);
    c.push(k);
    Ok(())
}
