//! `Upsample(x, scales)`: the predecessor of Resize, with `mode` `nearest` or `linear`, coordinates divided by the scale.
//!
//! Real numbers. Source: ONNX Upsample-9 (deprecated since opset 10; lifted to Resize on import).

use crate::forms;
use crate::ops::resize;
use crate::{Datum, EvalCtx, Form, InferCtx, OpDef};
use lapidary_ir::Result;

pub static DEF: OpDef = OpDef { eval: Some(eval), forms: &[RESIZE, OPERAND, SCALES], ..OpDef::base("Upsample", include_str!("upsample.rs"), infer) };

/// Version 10 replaced the operator by Resize.
const RESIZE: Form = Form {
    since: 10,
    lift: |g, n| {
        let scales = g.node(n).input(1);
        g.set_input(n, 1, None);
        g.set_input(n, 2, scales);
        g.node_mut(n).attrs.set("coordinate_transformation_mode", "asymmetric");
        if g.node(n).attrs.str("mode").unwrap_or("nearest") == "nearest" {
            g.node_mut(n).attrs.set("nearest_mode", "floor");
        }
        forms::rename(g, n, "Resize", 13);
        Ok(true)
    },
    lower: |_, _| Err("Upsample exists before version 10 only".into()),
};

/// Version 9 made an operand of the scales.
const OPERAND: Form = Form {
    since: 9,
    lift: |g, n| {
        if let Some(scales) = g.node(n).attrs.floats("scales").map(<[f32]>::to_vec) {
            g.node_mut(n).attrs.remove("scales");
            forms::set_constant(g, n, 1, "scales", lapidary_ir::Tensor::from_vec(scales));
        }
        forms::lifted(g, n, 9)
    },
    lower: |g, n| {
        if let Some(t) = forms::constant(g, n, 1, "scales")? {
            let scales = t.to_vec::<f32>().ok_or("'scales' is not f32")?;
            forms::drop_operand(g, n, 1);
            g.node_mut(n).attrs.set("scales", scales);
        }
        Ok(())
    },
};

/// Before version 7 the scales were those of height and width.
const SCALES: Form = Form {
    since: 7,
    lift: |g, n| {
        let attrs = &mut g.node_mut(n).attrs;
        if let (Some(h), Some(w)) = (attrs.float("height_scale"), attrs.float("width_scale")) {
            attrs.remove("height_scale");
            attrs.remove("width_scale");
            attrs.set("scales", vec![1.0, 1.0, h, w]);
        }
        if attrs.str("mode") == Some("bilinear") {
            attrs.set("mode", "linear");
        }
        forms::lifted(g, n, 7)
    },
    lower: |_, _| Err("before version 7 only images are resized".into()),
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let x = c.ty(0)?;
    let shape = match (x.shape.dims(), c.constant(1).and_then(|s| s.to_f64())) {
        (Some(dims), Some(scales)) if scales.len() == dims.len() => {
            lapidary_ir::Shape::Ranked(dims.iter().zip(scales).map(|(d, s)| resize::scaled(c.symbols, d, s)).collect())
        }
        (Some(dims), _) => c.fresh_shape(dims.len()),
        (None, _) => lapidary_ir::Shape::Unranked,
    };
    c.set_tensor(0, x.dtype, shape);
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let x = c.tensor(0)?;
    let scales = c.tensor(1)?.to_f64().unwrap_or_default();
    let axes: Vec<usize> = (0..x.rank()).collect();
    if scales.len() != axes.len() {
        return Err(c.error("shape-conflict", format!("{} scales for rank {}", scales.len(), axes.len())).into());
    }
    let how = resize::Settings::upsample(c)?;
    Ok(vec![resize::resample(c, x, &axes, &resize::scaled_sizes(c, x.sizes(), &axes, &scales)?, &scales, &[], &how)?.into()])
}
