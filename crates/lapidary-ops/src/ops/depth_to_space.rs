//! `DepthToSpace(x)`: moves channels into blocks of pixels, x: [N, C·b², H, W] to [N, C, H·b, W·b], b = `blocksize`. `mode` says whether
//! channels are counted block first (`DCR`, the default) or channel first (`CRD`).
//!
//! Any element type. Source: ONNX DepthToSpace-13.

use crate::cells::{strided, strides};
use crate::forms::new_attribute;
use crate::{Datum, EvalCtx, InferCtx, LowerCtx, OpDef};
use lapidary_kernel::Index;

use lapidary_ir::{Dim, Result, Shape};

pub static DEF: OpDef = OpDef {
    eval: Some(eval),
    lower: Some(lower),
    forms: &[new_attribute!(11, "mode", "DCR")],
    ..OpDef::base("DepthToSpace", include_str!("depth_to_space.rs"), infer)
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

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    let block = c.node().attrs.int("blocksize").unwrap_or(1);
    let depth_first = c.node().attrs.str("mode").unwrap_or("DCR") == "DCR";
    let channels = y.dims[1].clone();
    let mut k = c.kernel();
    let (n, ch) = (k.parallel("n", x.dims[0].clone()), k.parallel("c", channels.clone()));
    let (h, bh) = (k.parallel("h", x.dims[2].clone()), k.parallel("bh", block.into()));
    let (w, bw) = (k.parallel("w", x.dims[3].clone()), k.parallel("bw", block.into()));
    let (block, at) = (Dim::from(block), |a| Index::from(a));
    let inner = at(bh).scale(&block).add(&at(bw));
    let source = if depth_first { inner.scale(&channels).add(&at(ch)) } else { at(ch).scale(&(&block * &block)).add(&inner) };
    let v = k.load(x.buffer, x.dtype, [at(n), source, at(h), at(w)]);
    k.store(y.buffer, [at(n), at(ch), at(h).scale(&block).add(&at(bh)), at(w).scale(&block).add(&at(bw))], v);
    c.push(k);
    Ok(())
}
