//! `Col2Im(x, image_shape, block_shape)`: adds up overlapping blocks: x: [N, C·∏block, L] to [N, C, image…], block number l lying at the
//! place that a sliding window with `strides`, `pads` and `dilations` has at its l-th step. The transpose of im2col.
//!
//! Real numbers. Source: ONNX Col2Im-18.

use crate::cells::{room, visit};
use crate::shapes::{shape_from, size_of};
use crate::window::Window;
use crate::{Datum, EvalCtx, InferCtx, OpDef};
use lapidary_ir::{Dim, Result, Shape, Tensor};

pub static DEF: OpDef = OpDef { eval: Some(eval), ..OpDef::base("Col2Im", include_str!("col2im.rs"), infer) };

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let x = c.ty(0)?;
    let image = shape_from(c, 1);
    let block = c.contents(2).map(|b| b.dims.iter().fold(Dim::from(1), |a, d| &a * d));
    let shape = match (x.shape.dims(), image.dims()) {
        (Some([n, cb, _]), Some(image)) => {
            let channels = block.map_or_else(|| c.symbols.fresh(), |b| cb.floor_div(&b));
            Shape::Ranked([n.clone(), channels].into_iter().chain(image.iter().cloned()).collect())
        }
        (None, Some(image)) => c.fresh_shape(image.len() + 2),
        (Some(d), Some(_)) => return Err(c.error("shape-conflict", format!("the operand has rank {}, not 3", d.len())).into()),
        _ => Shape::Unranked,
    };
    c.set_tensor(0, x.dtype, shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (x, image, block) = (c.tensor(0)?, c.ints(1)?, c.ints(2)?);
    let image = image.into_iter().map(|v| size_of(c, "an image size", v)).collect::<Result<Vec<_>>>()?;
    let block = block.into_iter().map(|v| size_of(c, "a block size", v)).collect::<Result<Vec<_>>>()?;
    let &[n, cb, l] = x.sizes() else { return Err(c.error("shape-conflict", "the operand has not rank 3").into()) };
    let w = Window::of(c, &c.node.attrs, &image, &block)?;
    let per: usize = block.iter().product();
    let steps: usize = w.out.iter().product();
    if per == 0 || cb % per != 0 || steps != l {
        return Err(c.error("shape-conflict", format!("{:?} is not made of {steps} blocks of {block:?}", x.sizes())).into());
    }
    let channels = cb / per;
    let sizes = [&[n, channels], image.as_slice()].concat();
    let mut out = vec![0.0; room(c, x.dtype(), &sizes)?];
    let values = x.to_f64().ok_or_else(|| c.error("type-error", format!("elements of type {} cannot be added", x.dtype())))?;
    let pixels: usize = image.iter().product();
    let mut source = 0;
    for plane in 0..n * channels {
        visit(&block, |k| {
            visit(&w.out, |o| {
                if let Some(p) = w.place(o, k) {
                    out[plane * pixels + p] += values[source];
                }
                source += 1;
            });
        });
    }
    Ok(vec![Tensor::from_f64(x.dtype(), &sizes, &out)?.into()])
}
