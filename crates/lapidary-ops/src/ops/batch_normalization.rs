//! `BatchNormalization(x, scale, b, mean, var) = (x − mean) / √(var + epsilon) · scale + b`, each channel (axis 1) with its own parameters.
//! `epsilon` is 1e-5 by default.
//!
//! With `training_mode=1` mean and variance (population) are those of `x`, and the further results are the running ones: `mean · momentum +
//! batch mean · (1 − momentum)`, likewise the variance. Before version 14 there are up to five results, of which inference uses the first;
//! before version 9 `spatial=0` gives every position its own parameters.
//!
//! Shapes: `x` is [N, C, …], the parameters are [C]; the first result has the shape of `x`, the others that of the parameters.
//!
//! Types: X, Y: f16 bf16 f32 f64; scale, B: f16 bf16 f32 f64; input_mean, input_var, running_mean, running_var: f16 bf16 f32 f64.
//!
//! Versions: 1, 6, 7, 9, 14, 15. Source: the ONNX operator "BatchNormalization".

use crate::elementwise::broadcast::indices;
use crate::elementwise::kernels;
use crate::numbers::{floats, store};
use crate::rows;
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef, Operand, forms, reduce};
use lapidary_ir::{Attr, DType, Dim, Node, Result, Type, Value};
use lapidary_kernel::{ExprId, Index, KernelBuilder, ReduceOp, UnaryOp};

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(eval),
    forms: &[MODE, SPATIAL, forms::CONSUMED_INPUTS],
    ..OpDef::base("BatchNormalization", include_str!("batch_normalization.rs"), infer)
};

/// Version 14 brought `training_mode` for what used to be asked for by listing more results than one, used or not.
const MODE: Form = Form {
    since: 14,
    lift: |g, n| {
        let outputs = g.node(n).outputs().len();
        // The saved statistics are gone in version 14.
        if (3..outputs).any(|o| g.use_count(n.out(o)) > 0) {
            return Ok(false);
        }
        g.truncate_outputs(n, 3);
        if outputs > 1 {
            g.node_mut(n).attrs.set("training_mode", 1);
        }
        forms::lifted(g, n, 14)
    },
    lower: |g, n| {
        let training = g.node_mut(n).attrs.remove("training_mode") == Some(Attr::Int(1));
        if !training {
            g.truncate_outputs(n, 1);
            return if g.node(n).outputs().len() == 1 { Ok(()) } else { Err("before version 14, more results than one mean training".into()) };
        }
        for output in g.node(n).outputs().len()..5 {
            let slot = if output % 2 == 1 { 3 } else { 4 };
            let ty = g.node(n).input(slot).map_or(Type::Unknown, |v| g.ty(v).clone());
            let name = g.fresh_name(&format!("{}_statistic_{output}", g.node(n).label()));
            g.add_node_output(n, Value::new(name, ty));
        }
        Ok(())
    },
};

/// Whether the statistics are those of the operand itself.
pub fn is_training(node: &Node) -> bool {
    node.attrs.int("training_mode") == Some(1) || (node.op.version < 14 && node.outputs().len() > 1)
}

/// Version 9 dropped `spatial`, version 7 `is_test`.
const SPATIAL: Form = Form {
    since: 9,
    lift: |g, n| {
        if g.node(n).attrs.int("spatial") == Some(0) {
            return Ok(false);
        }
        let attrs = &mut g.node_mut(n).attrs;
        attrs.remove("spatial");
        attrs.remove("is_test");
        forms::lifted(g, n, 9)
    },
    lower: |g, n| {
        // Version 7 takes inference from one result alone; version 6 has to be told, and later ones have no such attribute.
        g.truncate_outputs(n, 1);
        Ok(())
    },
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let (x, mean, var) = (c.ty(0)?, c.ty(3)?, c.ty(4)?);
    if let (Some(dims), Some([p])) = (x.shape.dims(), c.dims(1)) {
        if dims.len() < 2 && p.as_const() != Some(1) {
            return Err(c.error("bad-rank", "'BatchNormalization' needs an operand of rank 2 at least").into());
        }
        if let Some(channels) = dims.get(1) {
            c.same("channels and scale", channels, p)?;
        }
    }
    c.set(0, x);
    for output in 1..c.output_count() {
        c.set(output, if output % 2 == 1 { mean.clone() } else { var.clone() });
    }
    Ok(())
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (x, scale, bias, mean, var) = (c.tensor(0)?, c.tensor(1)?, c.tensor(2)?, c.tensor(3)?, c.tensor(4)?);
    let epsilon = f64::from(c.node.attrs.float("epsilon").unwrap_or(1e-5));
    let momentum = f64::from(c.node.attrs.float("momentum").unwrap_or(0.9));
    // With spatial=0 the parameters have all axes but the first; otherwise channels alone.
    let at = if scale.rank() > 1 && Some(scale.sizes()) == x.sizes().get(1..) {
        indices(x.sizes(), scale.sizes())
    } else if x.rank() == 1 && scale.len() == 1 {
        vec![0; x.len()]
    } else {
        reduce::channels(c, x.sizes(), scale)?
    };
    if [bias, mean, var].iter().any(|p| p.len() != scale.len()) {
        return Err(c.error("shape-conflict", "the parameters of 'BatchNormalization' differ in size").into());
    }
    let values = floats(c, x)?;
    let (m, v) = (floats(c, mean)?, floats(c, var)?);
    let (s, b) = (floats(c, scale)?, floats(c, bias)?);
    if is_training(c.node) {
        let reduced: Vec<bool> = (0..x.rank()).map(|a| a != 1).collect();
        let (batch_mean, batch_var) = reduce::moments(&values, &reduce::over(x.sizes(), &reduced));
        let y = normalized(&values, &at, [&s, &b, &batch_mean, &batch_var], epsilon);
        let running = |old: &[f64], new: &[f64]| -> Vec<f64> { old.iter().zip(new).map(|(o, n)| o * momentum + n * (1.0 - momentum)).collect() };
        return Ok(vec![
            store(x.dtype(), x.sizes(), &y)?.into(),
            store(mean.dtype(), mean.sizes(), &running(&m, &batch_mean))?.into(),
            store(var.dtype(), var.sizes(), &running(&v, &batch_var))?.into(),
            store(mean.dtype(), mean.sizes(), &batch_mean)?.into(),
            store(var.dtype(), var.sizes(), &batch_var)?.into(),
        ]);
    }
    let y = normalized(&values, &at, [&s, &b, &m, &v], epsilon);
    let mut out: Vec<Datum> = vec![store(x.dtype(), x.sizes(), &y)?.into()];
    for output in 1..c.node.outputs().len() {
        out.push(if output % 2 == 1 { mean.clone() } else { var.clone() }.into());
    }
    Ok(out)
}

fn normalized(values: &[f64], at: &[usize], [scale, bias, mean, var]: [&[f64]; 4], epsilon: f64) -> Vec<f64> {
    values.iter().zip(at).map(|(x, k)| (x - mean[*k]) / (var[*k] + epsilon).sqrt() * scale[*k] + bias[*k]).collect()
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    if (1..c.node().outputs().len()).any(|o| c.wants(o)) {
        return Err(c.unsupported("there is no native code for the running statistics of 'BatchNormalization'").into());
    }
    let (x, y) = rows::ends(c)?;
    let [scale, bias] = [c.input(1)?, c.input(2)?];
    if scale.rank() != 1 || x.rank() < 2 {
        return Err(c.unsupported("'BatchNormalization' is compiled with one parameter per channel").into());
    }
    let epsilon = f64::from(c.node().attrs.float("epsilon").unwrap_or(1e-5));
    c.check_equal(&scale.dims[0], &x.dims[1], false);
    // x · factor + offset, both per channel; of constant parameters they fold at compile time.
    let dtype = kernels::wider(scale.dtype);
    let (factor, offset) = (c.temp("factor", dtype, &scale.dims), c.temp("offset", dtype, &scale.dims));
    let mut k = c.kernel();
    let at = kernels::points(&mut k, &scale.dims);
    let (mean, var) = if is_training(c.node()) {
        batch_statistics(&mut k, &x, &at, dtype)
    } else {
        let [mean, var] = [c.input(3)?, c.input(4)?];
        let (m, v) = (kernels::load(&mut k, &mean, at.clone()), kernels::load(&mut k, &var, at.clone()));
        (k.cast(dtype, m), k.cast(dtype, v))
    };
    let v = kernels::plus(&mut k, var, epsilon);
    let deviation = k.unary(UnaryOp::Sqrt, v);
    let (s, b) = (kernels::load(&mut k, &scale, at.clone()), kernels::load(&mut k, &bias, at.clone()));
    let (s, b) = (k.cast(dtype, s), k.cast(dtype, b));
    let f = k.div(s, deviation);
    let shift = k.mul(mean, f);
    let o = k.sub(b, shift);
    kernels::store(&mut k, &factor, at.clone(), f);
    kernels::store(&mut k, &offset, at, o);
    c.push(k);
    let mut k = c.kernel();
    let at = kernels::points(&mut k, &x.dims);
    let wide = kernels::wider(x.dtype);
    let [f, o] = [&factor, &offset].map(|p| {
        let v = kernels::load(&mut k, p, vec![at[1].clone()]);
        k.cast(wide, v)
    });
    let v = kernels::load(&mut k, &x, at.clone());
    let v = k.mul(v, f);
    let v = k.add(v, o);
    kernels::store(&mut k, &y, at, v);
    c.push(k);
    Ok(())
}

/// Mean and variance (population) of one channel over all other axes.
fn batch_statistics(k: &mut KernelBuilder, x: &Operand, channel: &[Index], dtype: DType) -> (ExprId, ExprId) {
    let mut at = vec![];
    let mut over = vec![];
    let mut count = Dim::from(1);
    for (i, d) in x.dims.iter().enumerate() {
        if i == 1 {
            at.push(channel[0].clone());
        } else {
            let axis = k.axis(&format!("x{i}"), d.clone());
            over.push(axis);
            at.push(axis.into());
            count = &count * d;
        }
    }
    let n = k.index(Index::from(count));
    let n = k.cast(dtype, n);
    let v = kernels::load(k, x, at);
    let v = k.cast(dtype, v);
    let sum = k.reduce(ReduceOp::Sum, dtype, &over, v);
    let mean = k.div(sum, n);
    let d = k.sub(v, mean);
    let d = k.mul(d, d);
    let sum = k.reduce(ReduceOp::Sum, dtype, &over, d);
    (mean, k.div(sum, n))
}
