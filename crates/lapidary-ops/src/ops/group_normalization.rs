//! `GroupNormalization(x, scale, bias) = (x − mean) / √(var + epsilon) · scale + bias`, with mean and variance (population) over each of
//! `num_groups` groups of consecutive channels (axis 1) and all their positions. `epsilon` is 1e-5 by default.
//!
//! Before version 21, scale and bias belong to groups, not to channels.
//!
//! Shapes: `x` is [N, C, …], scale and bias are [C]; the result has the shape of `x`.
//!
//! Types: X, scale, bias, Y: f16 bf16 f32 f64.
//!
//! Versions: 18, 21. Source: the ONNX operator "GroupNormalization".

use crate::elementwise::kernels;
use crate::numbers::{floats, store};
use crate::rows::{self, Rows};
use crate::{Datum, EvalCtx, Form, LowerCtx, OpDef, elementwise, forms, reduce};
use lapidary_ir::{Dim, Graph, NodeId, Result, Tensor};
use lapidary_kernel::Index;

pub static DEF: OpDef = OpDef {
    lower: Some(lower),
    eval: Some(eval),
    forms: &[PER_CHANNEL],
    ..OpDef::base("GroupNormalization", include_str!("group_normalization.rs"), elementwise::same)
};

/// Version 21 gave every channel its own scale and bias.
const PER_CHANNEL: Form = Form { since: 21, lift: newer, lower: older };

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let (x, scale, bias) = (c.tensor(0)?, c.tensor(1)?, c.tensor(2)?);
    let epsilon = f64::from(c.node.attrs.float("epsilon").unwrap_or(1e-5));
    let groups = usize::try_from(c.node.attrs.int("num_groups").unwrap_or(0)).unwrap_or(0);
    let [n, channels, rest @ ..] = x.sizes() else {
        return Err(c.error("bad-rank", "'GroupNormalization' needs an operand of rank 2 at least").into());
    };
    if groups == 0 || channels % groups != 0 {
        return Err(c.error("bad-attribute", format!("{channels} channels do not split into {groups} groups")).into());
    }
    let positions: usize = rest.iter().product();
    let plan = reduce::over(&[*n, groups, channels / groups * positions], &[false, false, true]);
    let mut y = reduce::standardize(&floats(c, x)?, &plan, epsilon);
    // One number per channel; per group in old versions.
    let per = |t: &Tensor| -> Result<Vec<f64>> {
        let old = (1..21).contains(&c.node.op.version);
        if t.len() != if old { groups } else { *channels } {
            return Err(c.error("shape-conflict", format!("a parameter of {} elements does not fit {channels} channels", t.len())).into());
        }
        let v = floats(c, t)?;
        Ok((0..*channels).map(|k| if old { v[k / (channels / groups)] } else { v[k] }).collect())
    };
    let (scale, bias) = (per(scale)?, per(bias)?);
    for (i, v) in y.iter_mut().enumerate() {
        let channel = i / positions % channels;
        *v = *v * scale[channel] + bias[channel];
    }
    Ok(vec![store(x.dtype(), x.sizes(), &y)?.into()])
}

/// Repeats constant parameters; computed ones stay in the old form.
fn newer(g: &mut Graph, n: NodeId) -> Result<bool> {
    let channels = g.node(n).input(0).and_then(|v| g.ty(v).dims()?.get(1)?.as_const());
    let groups = g.node(n).attrs.int("num_groups").filter(|k| *k > 0);
    let (Some(channels), Some(groups)) = (channels, groups) else { return Ok(false) };
    let parameter = |slot| g.node(n).input(slot).and_then(|v| g.as_constant(v)).cloned();
    let (Some(scale), Some(bias)) = (parameter(1), parameter(2)) else { return Ok(false) };
    for (slot, name, t) in [(1, "scale", scale), (2, "bias", bias)] {
        let Some(values) = t.to_f64().filter(|v| v.len() as i64 == groups && channels % groups == 0) else { return Ok(false) };
        let each = (channels / groups) as usize;
        let values: Vec<f64> = values.into_iter().flat_map(|v| std::iter::repeat_n(v, each)).collect();
        forms::set_constant(g, n, slot, name, Tensor::from_f64(t.dtype(), &[values.len()], &values)?);
    }
    forms::lifted(g, n, 21)
}

fn older(g: &mut Graph, n: NodeId) -> Result<(), String> {
    let groups = g.node(n).attrs.int("num_groups").filter(|k| *k > 0).ok_or("'num_groups' is missing")? as usize;
    let mut lowered = vec![];
    for (slot, name) in [(1, "scale"), (2, "bias")] {
        let t = forms::constant(g, n, slot, name)?.ok_or_else(|| format!("'{name}' is missing"))?;
        let values = t.to_f64().filter(|v| v.len() % groups == 0).ok_or_else(|| format!("'{name}' does not split into groups"))?;
        let each = (values.len() / groups).max(1);
        if values.chunks(each).any(|c| c.iter().any(|v| v.to_bits() != c[0].to_bits())) {
            return Err(format!("before version 21, '{name}' is one number per group"));
        }
        let values: Vec<f64> = values.chunks(each).map(|c| c[0]).collect();
        lowered.push((slot, name, Tensor::from_f64(t.dtype(), &[values.len()], &values).map_err(|e| e.to_string())?));
    }
    for (slot, name, t) in lowered {
        forms::set_constant(g, n, slot, name, t);
    }
    Ok(())
}

fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = rows::ends(c)?;
    let parameters = [c.input(1)?, c.input(2)?];
    let epsilon = f64::from(c.node().attrs.float("epsilon").unwrap_or(1e-5));
    let groups = c.node().attrs.int("num_groups").filter(|g| *g > 0).map(Dim::from);
    let groups = groups.ok_or_else(|| c.unsupported("'num_groups' is missing"))?;
    let Some(per) = x.dims.get(1).and_then(|d| d.exact_div(&groups)) else {
        return Err(c.unsupported("the channels do not split into groups").into());
    };
    let old = (1..21).contains(&c.node().op.version);
    let mut k = c.kernel();
    let (n, g) = (k.parallel("n", x.dims[0].clone()), k.parallel("g", groups));
    let mut local = vec![k.axis("c", per.clone())];
    let channel = Index::from(g).scale(&per).add(&local[0].into());
    let mut at = vec![n.into(), channel.clone()];
    let mut terms = per;
    for (a, d) in x.dims.iter().enumerate().skip(2) {
        let axis = k.axis(&format!("j{a}"), d.clone());
        at.push(axis.into());
        local.push(axis);
        terms = &terms * d;
    }
    let mut r = Rows { k, at, local, terms };
    let v = r.load(&x);
    let (d, _, variance) = r.centered(v);
    let inverse = r.inverse_deviation(variance, epsilon);
    let (mut v, dtype) = (r.k.mul(d, inverse), r.k.dtype(inverse));
    for (i, p) in parameters.iter().enumerate() {
        let owner = if old { Index::from(g) } else { channel.clone() };
        let p = kernels::load(&mut r.k, p, vec![owner]);
        let p = r.k.cast(dtype, p);
        v = if i == 0 { r.k.mul(v, p) } else { r.k.add(v, p) };
    }
    r.store(&y, v);
    c.push(r.k);
    Ok(())
}
