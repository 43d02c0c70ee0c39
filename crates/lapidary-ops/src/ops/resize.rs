//! `Resize(x, roi, scales, sizes)`: resamples `axes` (default: all) to `sizes` (i64) or by `scales` (f32): `⌊size · scale⌋` elements.
//!
//! Each element x of a resized axis is read at a coordinate that `coordinate_transformation_mode` gives, and there `mode` interpolates:
//! `nearest` (rounded by `nearest_mode`), `linear`, `cubic` (Keys, with `cubic_coeff_a`), with `antialias` over a window widened by the
//! scale. Beyond the edges the edge repeats, or with `exclude_outside` counts nothing; `tf_crop_and_resize` fills with
//! `extrapolation_value`. Real numbers; nearest of any type. Source: ONNX Resize-19.

use crate::cells::{Cells, CellsMut, around, room, strides, visit};
use crate::forms;
use crate::forms::new_attribute;
use crate::shapes::{axes_in, size_of};
use crate::views::axis_of;
use crate::{Datum, EvalCtx, Form, InferCtx, LowerCtx, OpDef};
use lapidary_ir::{DType, Dim, Graph, NodeId, Result, Shape, Symbols, Tensor};
use lapidary_kernel::{BinaryOp, ExprId, Index, KernelBuilder, UnaryOp};

pub static DEF: OpDef = OpDef {
    eval: Some(eval),
    lower: Some(lower),
    forms: &[SYMMETRIC, AXES, OMITTED, COORDINATES, UPSAMPLE],
    ..OpDef::base("Resize", include_str!("resize.rs"), infer)
};

/// Version 19 brought the coordinates `half_pixel_symmetric`.
const SYMMETRIC: Form = Form {
    since: 19,
    lift: |g, n| forms::lifted(g, n, 19),
    lower: |g, n| match g.node(n).attrs.str("coordinate_transformation_mode") {
        Some(m @ "half_pixel_symmetric") => Err(format!("coordinate transformation mode '{m}' exists since version 19 only")),
        _ => Ok(()),
    },
};
/// Version 18 brought axes, antialiasing and kept ratios.
const AXES: Form = new_attribute!(18, "keep_aspect_ratio_policy", "stretch"; "antialias", 0; then all_axes);

fn all_axes(g: &mut Graph, n: NodeId) -> Result<(), String> {
    let Some(axes) = g.node(n).attrs.ints("axes") else { return Ok(()) };
    let rank = forms::rank_of(g, n, 0);
    if rank != Some(axes.len()) || axes.iter().enumerate().any(|(i, a)| *a != i as i64) {
        return Err("attribute 'axes' exists since version 18 only".into());
    }
    g.node_mut(n).attrs.remove("axes");
    Ok(())
}

/// Before version 13, operands that are not used are empty tensors.
const OMITTED: Form = Form {
    since: 13,
    lift: |g, n| forms::lifted(g, n, 13),
    lower: |g, n| {
        for (slot, name) in [(1, "roi"), (2, "scales")] {
            if g.node(n).input(slot).is_none() {
                forms::set_constant(g, n, slot, name, Tensor::from_vec(Vec::<f32>::new()));
            }
        }
        Ok(())
    },
};

/// Version 11 brought coordinates, roi and sizes; before, coordinates were divided by the scale and rounded down.
const COORDINATES: Form = Form {
    since: 11,
    lift: |g, n| {
        let scales = g.node(n).input(1);
        forms::set_constant(g, n, 1, "roi", Tensor::from_vec(Vec::<f32>::new()));
        g.set_input(n, 2, scales);
        g.node_mut(n).attrs.set("coordinate_transformation_mode", "asymmetric");
        if g.node(n).attrs.str("mode").unwrap_or("nearest") == "nearest" {
            g.node_mut(n).attrs.set("nearest_mode", "floor");
        }
        forms::lifted(g, n, 11)
    },
    lower: plain,
};

fn plain(g: &mut Graph, n: NodeId) -> Result<(), String> {
    let attrs = &g.node(n).attrs;
    let mode = attrs.str("mode").unwrap_or("nearest").to_string();
    let floor = attrs.str("nearest_mode") == Some("floor");
    if attrs.str("coordinate_transformation_mode") != Some("asymmetric") || mode == "cubic" || (mode == "nearest" && !floor) {
        return Err("before version 11, coordinates are asymmetric, and rounded down".into());
    }
    if g.node(n).input(3).is_some() || g.node(n).input(2).is_none() {
        return Err("before version 11, only scales are known".into());
    }
    for name in ["coordinate_transformation_mode", "nearest_mode", "cubic_coeff_a", "exclude_outside", "extrapolation_value"] {
        g.node_mut(n).attrs.remove(name);
    }
    let scales = g.node(n).input(2);
    g.set_input(n, 2, None);
    g.set_input(n, 1, scales);
    Ok(())
}

/// Before version 10 the operator was called Upsample.
const UPSAMPLE: Form = Form {
    since: 10,
    lift: |g, n| forms::lifted(g, n, 10),
    lower: |g, n| {
        forms::rename(g, n, "Upsample", 9);
        Ok(())
    },
};

fn infer(c: &mut InferCtx<'_>) -> Result<()> {
    let x = c.ty(0)?;
    let Some(dims) = x.shape.dims() else {
        c.set_tensor(0, x.dtype, Shape::Unranked);
        return Ok(());
    };
    let all: Vec<i64> = (0..dims.len() as i64).collect();
    let axes = axes_in(c, c.node.attrs.ints("axes").unwrap_or(&all), dims.len())?;
    let scales = c.constant(2).filter(|s| !s.is_empty()).and_then(|s| s.to_f64());
    let mut out = dims.to_vec();
    if let Some(scales) = scales {
        if scales.len() != axes.len() {
            return Err(c.error("shape-conflict", format!("{} scales for {} axes", scales.len(), axes.len())).into());
        }
        axes.iter().zip(scales).for_each(|(a, s)| out[*a] = scaled(c.symbols, &dims[*a], s));
    } else if let Some(sizes) = c.contents(3).filter(|s| !s.dims.is_empty()) {
        if sizes.dims.len() != axes.len() {
            return Err(c.error("shape-conflict", format!("{} sizes for {} axes", sizes.dims.len(), axes.len())).into());
        }
        let policy = c.node.attrs.str("keep_aspect_ratio_policy").unwrap_or("stretch");
        let known = |d: &Dim| d.as_const().and_then(|v| usize::try_from(v).ok());
        let kept = axes.iter().zip(&sizes.dims).map(|(a, s)| Some((known(&dims[*a])?, known(s)?))).collect::<Option<Vec<_>>>();
        let sizes: Vec<Dim> = match (policy, kept) {
            ("stretch", _) => sizes.dims,
            (policy, Some(pairs)) => keep_ratio(policy, &pairs).into_iter().map(Dim::from).collect(),
            _ => axes.iter().map(|_| c.symbols.fresh()).collect(),
        };
        axes.iter().zip(sizes).for_each(|(a, s)| out[*a] = s);
    } else {
        axes.iter().for_each(|a| out[*a] = c.symbols.fresh());
    }
    c.set_tensor(0, x.dtype, Shape::Ranked(out.into()));
    Ok(())
}

/// `⌊d · scale⌋`, as a polynomial when the scale is a fraction with a small denominator.
pub fn scaled(symbols: &mut Symbols, d: &Dim, scale: f64) -> Dim {
    if let Some(v) = d.as_const() {
        return Dim::from((v as f64 * scale).floor() as i64);
    }
    let fraction = (1..=64i64).find(|q| (scale * *q as f64).fract() == 0.0 && (scale * *q as f64).abs() < 1e9);
    match fraction {
        Some(q) => (d * &Dim::from((scale * q as f64) as i64)).floor_div(&Dim::from(q)),
        None => symbols.fresh(),
    }
}

/// Sizes with one common scale, from `(size, wanted)` pairs: the smallest of the wanted ones, or the largest.
fn keep_ratio(policy: &str, pairs: &[(usize, usize)]) -> Vec<usize> {
    let ratios = pairs.iter().map(|(have, want)| *want as f64 / *have as f64);
    let scale = if policy == "not_larger" { ratios.fold(f64::INFINITY, f64::min) } else { ratios.fold(0.0, f64::max) };
    pairs.iter().map(|(have, _)| (*have as f64 * scale + 0.5).floor() as usize).collect()
}

/// `⌊size · scale⌋` for each resized axis.
pub fn scaled_sizes(c: &EvalCtx<'_>, sizes: &[usize], axes: &[usize], scales: &[f64]) -> Result<Vec<usize>> {
    let mut out = sizes.to_vec();
    for (a, s) in axes.iter().zip(scales) {
        let v = (sizes[*a] as f64 * s).floor();
        if !s.is_finite() || *s <= 0.0 || v > 1e15 {
            return Err(c.error("resize", format!("a scale is {s}")).into());
        }
        out[*a] = v as usize;
    }
    Ok(out)
}

fn eval(c: &EvalCtx<'_>) -> Result<Vec<Datum>> {
    let x = c.tensor(0)?;
    let all: Vec<i64> = (0..x.rank() as i64).collect();
    let axes = axes_in(c, c.node.attrs.ints("axes").unwrap_or(&all), x.rank())?;
    let numbers = |slot| -> Result<Vec<f64>> { Ok(c.optional(slot)?.and_then(|t| t.to_f64()).unwrap_or_default()) };
    let (roi, mut scales, wanted) = (numbers(1)?, numbers(2)?, if c.has(3) { c.ints(3)? } else { vec![] });
    let given = if scales.is_empty() { wanted.len() } else { scales.len() };
    if given != axes.len() {
        return Err(c.error("shape-conflict", format!("{given} scales or sizes for {} axes", axes.len())).into());
    }
    let sizes = if scales.is_empty() {
        let mut wanted = wanted.into_iter().map(|v| size_of(c, "a size", v)).collect::<Result<Vec<_>>>()?;
        let policy = c.node.attrs.str("keep_aspect_ratio_policy").unwrap_or("stretch");
        scales = axes.iter().zip(&wanted).map(|(a, w)| *w as f64 / x.sizes()[*a].max(1) as f64).collect();
        if policy != "stretch" {
            let pairs: Vec<(usize, usize)> = axes.iter().zip(&wanted).map(|(a, w)| (x.sizes()[*a].max(1), *w)).collect();
            wanted = keep_ratio(policy, &pairs);
            let pick = if policy == "not_larger" { f64::min } else { f64::max };
            let common = scales.iter().copied().reduce(pick).unwrap_or(1.0);
            scales.fill(common);
        }
        let mut out = x.sizes().to_vec();
        axes.iter().zip(wanted).for_each(|(a, w)| out[*a] = w);
        out
    } else {
        scaled_sizes(c, x.sizes(), &axes, &scales)?
    };
    let how = Settings::of(c)?;
    Ok(vec![resample(c, x, &axes, &sizes, &scales, &roi, &how)?.into()])
}

/// The attributes of the operator.
pub struct Settings {
    mode: Mode,
    coordinates: String,
    nearest: String,
    cubic_a: f64,
    exclude_outside: bool,
    extrapolation: f64,
    antialias: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

impl Settings {
    fn of(c: &EvalCtx<'_>) -> Result<Settings> {
        let attrs = &c.node.attrs;
        let mode = match attrs.str("mode").unwrap_or("nearest") {
            "nearest" => Mode::Nearest,
            "linear" => Mode::Linear,
            "cubic" => Mode::Cubic,
            other => return Err(c.error("resize", format!("mode '{other}' is not known")).help("it is one of nearest, linear, cubic").into()),
        };
        Ok(Settings {
            mode,
            coordinates: attrs.str("coordinate_transformation_mode").unwrap_or("half_pixel").into(),
            nearest: attrs.str("nearest_mode").unwrap_or("round_prefer_floor").into(),
            cubic_a: attrs.float("cubic_coeff_a").unwrap_or(-0.75) as f64,
            exclude_outside: attrs.int("exclude_outside").unwrap_or(0) != 0,
            extrapolation: attrs.float("extrapolation_value").unwrap_or(0.0) as f64,
            antialias: attrs.int("antialias").unwrap_or(0) != 0,
        })
    }
    /// What Upsample means in these words.
    pub fn upsample(c: &EvalCtx<'_>) -> Result<Settings> {
        Ok(Settings { coordinates: "asymmetric".into(), nearest: "floor".into(), ..Settings::of(c)? })
    }
    /// The coordinate in the operand of element `i` of the result.
    fn source(&self, i: usize, size: usize, out: usize, scale: f64, roi: (f64, f64)) -> Option<f64> {
        // What the scale makes of the size, before it is rounded down.
        let (i, size, resized) = (i as f64, size as f64, size as f64 * scale);
        Some(match self.coordinates.as_str() {
            "half_pixel" => (i + 0.5) / scale - 0.5,
            "half_pixel_symmetric" => {
                let adjustment = out as f64 / resized;
                size / 2.0 * (1.0 - adjustment) + (i + 0.5) / scale - 0.5
            }
            "pytorch_half_pixel" => {
                if resized != 1.0 {
                    (i + 0.5) / scale - 0.5
                } else {
                    0.0
                }
            }
            "align_corners" => {
                if resized != 1.0 {
                    i * (size - 1.0) / (resized - 1.0)
                } else {
                    0.0
                }
            }
            "asymmetric" => i / scale,
            // Only in opset 10 and 11.
            "tf_half_pixel_for_nn" => (i + 0.5) / scale,
            "tf_crop_and_resize" if resized != 1.0 => roi.0 * (size - 1.0) + i * (roi.1 - roi.0) * (size - 1.0) / (resized - 1.0),
            "tf_crop_and_resize" => 0.5 * (roi.0 + roi.1) * (size - 1.0),
            _ => return None,
        })
    }
    fn round(&self, x: f64) -> f64 {
        match self.nearest.as_str() {
            "floor" => x.floor(),
            "ceil" => x.ceil(),
            "round_prefer_ceil" => (x + 0.5).floor(),
            _ => (x - 0.5).ceil(),
        }
    }
    /// The weight of an element at distance `d`.
    fn kernel(&self, d: f64) -> f64 {
        let (d, a) = (d.abs(), self.cubic_a);
        match self.mode {
            Mode::Linear => (1.0 - d).max(0.0),
            _ if d <= 1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
            _ if d < 2.0 => ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a,
            _ => 0.0,
        }
    }
    /// Which elements make up element `i`, and with what weights; `None` where the result is extrapolated.
    fn taps(&self, i: usize, size: usize, out: usize, scale: f64, roi: (f64, f64)) -> Option<Vec<(usize, f64)>> {
        let x = self.source(i, size, out, scale, roi)?;
        let last = size as f64 - 1.0;
        if self.coordinates == "tf_crop_and_resize" && !(0.0..=last).contains(&x) {
            return None;
        }
        let inside = |p: f64| p.clamp(0.0, last) as usize;
        if self.mode == Mode::Nearest {
            return Some(vec![(inside(self.round(x)), 1.0)]);
        }
        let squeeze = if self.antialias { scale.min(1.0) } else { 1.0 };
        let reach = if self.mode == Mode::Linear { 1.0 } else { 2.0 } / squeeze;
        let mut taps = vec![];
        let (mut p, end) = ((x - reach).floor(), x + reach);
        while p <= end {
            let outside = !(0.0..=last).contains(&p);
            let w = self.kernel((p - x) * squeeze);
            if w != 0.0 && !(outside && self.exclude_outside) {
                taps.push((inside(p), w));
            }
            p += 1.0;
        }
        let sum: f64 = taps.iter().map(|t| t.1).sum();
        if self.antialias || self.exclude_outside {
            taps.iter_mut().for_each(|t| t.1 /= sum);
        }
        Some(taps)
    }
}

/// `x` resampled along `axes` to `sizes`, one axis after the other.
pub fn resample(c: &EvalCtx<'_>, x: &Tensor, axes: &[usize], sizes: &[usize], scales: &[f64], roi: &[f64], how: &Settings) -> Result<Tensor> {
    room(c, x.dtype(), sizes)?;
    if x.is_empty() || sizes.contains(&0) {
        return Tensor::zeros(x.dtype(), sizes);
    }
    let mut plans = vec![];
    for (k, axis) in axes.iter().enumerate() {
        let roi = (roi.get(k).copied().unwrap_or(0.0), roi.get(k + axes.len()).copied().unwrap_or(1.0));
        let (size, out) = (x.sizes()[*axis], sizes[*axis]);
        if how.source(0, size, out, scales[k], roi).is_none() {
            let message = format!("coordinate transformation mode '{}' is not known", how.coordinates);
            return Err(c.error("resize", message).into());
        }
        // An axis that keeps its size and scale is read as it is.
        let idle = size == out && scales[k] == 1.0 && how.coordinates != "tf_crop_and_resize" && how.coordinates != "tf_half_pixel_for_nn";
        plans.push((!idle).then(|| (0..out).map(|i| how.taps(i, size, out, scales[k], roi)).collect::<Vec<_>>()));
    }
    if how.mode == Mode::Nearest && how.coordinates != "tf_crop_and_resize" {
        return nearest(x, axes, sizes, &plans);
    }
    let values = x.to_f64().ok_or_else(|| c.error("type-error", format!("elements of type {} cannot be interpolated", x.dtype())))?;
    let (mut values, mut have) = (values, x.sizes().to_vec());
    for (axis, plan) in axes.iter().zip(&plans) {
        let Some(plan) = plan else { continue };
        let (blocks, size, run) = around(&have, *axis);
        let mut out = Vec::with_capacity(blocks * plan.len() * run);
        for b in 0..blocks {
            for taps in plan {
                let start = out.len();
                out.resize(start + run, 0.0);
                for (p, w) in taps.iter().flatten() {
                    let from = &values[(b * size + p) * run..][..run];
                    out[start..].iter_mut().zip(from).for_each(|(o, v)| *o += w * v);
                }
            }
        }
        values = out;
        have[*axis] = plan.len();
    }
    let mut at = 0;
    visit(sizes, |index| {
        let outside = axes.iter().zip(&plans).any(|(a, p)| p.as_ref().is_some_and(|p| p[index[*a]].is_none()));
        if outside {
            values[at] = how.extrapolation;
        }
        at += 1;
    });
    if !x.dtype().is_float() {
        values.iter_mut().for_each(|v| *v = v.trunc());
    }
    Tensor::from_f64(x.dtype(), sizes, &values)
}

type Plan = Vec<Option<Vec<(usize, f64)>>>;

/// Elements are only moved, so they may be of any type.
fn nearest(x: &Tensor, axes: &[usize], sizes: &[usize], plans: &[Option<Plan>]) -> Result<Tensor> {
    let mut steps: Vec<Vec<usize>> = vec![vec![]; sizes.len()];
    let walk = strides(x.sizes());
    for axis in 0..sizes.len() {
        let plan = axes.iter().position(|a| *a == axis).and_then(|k| plans[k].as_ref());
        steps[axis] = match plan {
            Some(p) => p.iter().map(|t| t.iter().flatten().map(|(i, _)| i * walk[axis]).sum()).collect(),
            None => (0..sizes[axis]).map(|i| i * walk[axis]).collect(),
        };
    }
    let (cells, mut out) = (Cells::of(x), CellsMut::empty(x.dtype(), sizes.iter().product()));
    visit(sizes, |index| out.push(&cells, index.iter().enumerate().map(|(a, i)| steps[a][*i]).sum()));
    out.finish(sizes)
}

/// Nearest neighbours by whole factors are index arithmetic; everything else computes its coordinates in f32, as ONNX Runtime does.
fn lower(c: &mut LowerCtx<'_>) -> Result<()> {
    let (x, y) = (c.input(0)?, c.output(0)?);
    let attrs = &c.node().attrs;
    let text = |name: &str, default: &str| attrs.str(name).unwrap_or(default).to_owned();
    let how = Plain {
        mode: text("mode", "nearest"),
        coordinates: text("coordinate_transformation_mode", "half_pixel"),
        nearest: text("nearest_mode", "round_prefer_floor"),
        cubic_a: attrs.float("cubic_coeff_a").unwrap_or(-0.75) as f64,
    };
    for (on, what) in [
        (attrs.int("antialias").unwrap_or(0) != 0, "antialias"),
        (attrs.int("exclude_outside").unwrap_or(0) != 0 && how.mode == "cubic", "exclude_outside"),
        (how.coordinates == "tf_crop_and_resize", "tf_crop_and_resize"),
    ] {
        if on {
            return Err(c.unsupported(format!("there is no native code for Resize with {what} yet")).into());
        }
    }
    let all: Vec<i64> = (0..x.rank() as i64).collect();
    let axes = attrs.ints("axes").unwrap_or(&all).iter().map(|a| axis_of(c, *a, x.rank())).collect::<Result<Vec<_>>>()?;
    let scales = Scales::of(c, &x, &axes)?;
    let mut k = c.kernel();
    let scales = scales.emit(&mut k);
    let at: Vec<Index> = k.parallel_all("i", &y.dims).into_iter().map(Into::into).collect();
    // Per dim: the positions that make up a point, with their weights (`None`: 1).
    let mut taps: Vec<Vec<(Index, Option<ExprId>)>> = at.iter().map(|i| vec![(i.clone(), None)]).collect();
    for (n, axis) in axes.iter().enumerate() {
        let (have, want) = (&x.dims[*axis], &y.dims[*axis]);
        let scale = scales.get(n).copied().unwrap_or(Scale::Ratio);
        let idle = match scale {
            Scale::Known(s) => s == 1.0,
            Scale::Ratio => have == want,
            // Every position is the only one.
            Scale::Loaded(_) => have.as_const() == Some(1) && want.as_const() == Some(1),
        };
        if !idle {
            taps[*axis] = how.taps(&mut k, &at[*axis], have, want, scale);
        }
    }
    let value = blend(&mut k, &x, &taps, &mut vec![]);
    k.store(y.buffer, at, value);
    c.push(k);
    Ok(())
}

/// Where an axis's scale comes from.
enum Scales {
    Known(Vec<f64>),
    /// The operand of scales is read at run time; the size that the model states for the result is taken for what they make of it.
    Operand(crate::Operand, usize),
    /// The result's size by the operand's.
    Ratios,
    /// One scale for all axes: the smallest of the ratios wanted, or the largest.
    Common {
        sizes: crate::Operand,
        dims: Vec<Dim>,
        smallest: bool,
    },
}

/// The scale of one axis in a kernel.
#[derive(Clone, Copy)]
enum Scale {
    Known(f64),
    /// An f32.
    Loaded(ExprId),
    Ratio,
}

impl Scales {
    fn of(c: &mut LowerCtx<'_>, x: &crate::Operand, axes: &[usize]) -> Result<Scales> {
        if let Some(s) = c.constant(2).filter(|s| !s.is_empty()) {
            return Ok(Scales::Known(s.to_f64().unwrap_or_default()));
        }
        let empty = c.node().input(2).is_some_and(|v| c.graph.ty(v).dims().is_some_and(|d| d.first().is_some_and(|d| d.as_const() == Some(0))));
        if c.has(2) && !empty {
            return Ok(Scales::Operand(c.input(2)?, axes.len()));
        }
        match c.node().attrs.str("keep_aspect_ratio_policy").unwrap_or("stretch").to_owned().as_str() {
            "stretch" => Ok(Scales::Ratios),
            policy => {
                let dims = axes.iter().map(|a| x.dims[*a].clone()).collect();
                Ok(Scales::Common { sizes: c.input(3)?, dims, smallest: policy == "not_larger" })
            }
        }
    }
    /// For each axis in turn.
    fn emit(&self, k: &mut KernelBuilder) -> Vec<Scale> {
        match self {
            Scales::Known(s) => s.iter().map(|s| Scale::Known(*s)).collect(),
            Scales::Ratios => vec![],
            Scales::Operand(s, n) => {
                let load = |i: i64| {
                    Scale::Loaded({
                        let v = k.load(s.buffer, s.dtype, [Index::from(Dim::from(i))]);
                        k.cast(DType::F32, v)
                    })
                };
                (0..*n as i64).map(load).collect()
            }
            Scales::Common { sizes, dims, smallest } => {
                let op = if *smallest { BinaryOp::Min } else { BinaryOp::Max };
                let mut common = None;
                for (i, have) in dims.iter().enumerate() {
                    let want = k.load(sizes.buffer, sizes.dtype, [Index::from(Dim::from(i))]);
                    let want = k.cast(DType::F32, want);
                    let have = k.index(Index::from(have.clone()));
                    let have = k.cast(DType::F32, have);
                    let ratio = k.div(want, have);
                    common = Some(common.map_or(ratio, |c| k.binary(op, c, ratio)));
                }
                dims.iter().filter_map(|_| common.map(Scale::Loaded)).collect()
            }
        }
    }
}

/// The sum over all combinations of taps, innermost dim last, so that weights multiply once per dim.
fn blend(k: &mut KernelBuilder, x: &crate::Operand, taps: &[Vec<(Index, Option<ExprId>)>], at: &mut Vec<Index>) -> ExprId {
    let Some((first, rest)) = taps.split_first() else { return k.load(x.buffer, x.dtype, at.clone()) };
    let mut sum = None;
    for (i, w) in first {
        at.push(i.clone());
        let v = blend(k, x, rest, at);
        at.pop();
        let v = match w {
            Some(w) => {
                let w = k.cast(x.dtype, *w);
                k.mul(v, w)
            }
            None => v,
        };
        sum = Some(match sum {
            Some(s) => k.add(s, v),
            None => v,
        });
    }
    sum.unwrap_or_else(|| k.constant(x.dtype, 0.0))
}

/// The attributes that native code covers.
struct Plain {
    mode: String,
    coordinates: String,
    nearest: String,
    cubic_a: f64,
}

impl Plain {
    fn taps(&self, k: &mut KernelBuilder, i: &Index, size: &Dim, out: &Dim, scale: Scale) -> Vec<(Index, Option<ExprId>)> {
        let whole = match scale {
            Scale::Known(s) if s.fract() == 0.0 && s >= 1.0 => Some(Dim::from(s as i64)),
            _ => None,
        };
        let same_cell = matches!(
            (self.coordinates.as_str(), self.nearest.as_str()),
            ("asymmetric", "floor") | ("half_pixel" | "pytorch_half_pixel", "round_prefer_floor" | "round_prefer_ceil")
        );
        if let (Some(factor), "nearest", true) = (&whole, self.mode.as_str(), same_cell) {
            return vec![(k.floor_div(i, factor), None)];
        }
        let x = self.coordinate(k, i, size, out, scale);
        let clamped = |k: &mut KernelBuilder, v: ExprId| {
            let (zero, last) = (k.constant(DType::F32, 0.0), k.index(Index::from(size - &Dim::from(1))));
            let last = k.cast(DType::F32, last);
            let v = k.binary(BinaryOp::Max, v, zero);
            let v = k.binary(BinaryOp::Min, v, last);
            Index::value(k.cast(DType::I64, v))
        };
        if self.mode == "nearest" {
            let half = k.constant(DType::F32, 0.5);
            let v = match self.nearest.as_str() {
                "floor" => k.unary(UnaryOp::Floor, x),
                "ceil" => k.unary(UnaryOp::Ceil, x),
                "round_prefer_ceil" => {
                    let v = k.add(x, half);
                    k.unary(UnaryOp::Floor, v)
                }
                _ => {
                    let v = k.sub(x, half);
                    k.unary(UnaryOp::Ceil, v)
                }
            };
            return vec![(clamped(k, v), None)];
        }
        let floor = k.unary(UnaryOp::Floor, x);
        let t = k.sub(x, floor);
        let offsets: &[i64] = if self.mode == "linear" { &[0, 1] } else { &[-1, 0, 1, 2] };
        offsets
            .iter()
            .map(|o| {
                let shift = k.constant(DType::F32, *o as f64);
                let p = k.add(floor, shift);
                let distance = k.sub(t, shift);
                let distance = k.unary(UnaryOp::Abs, distance);
                let w = self.weight(k, distance, *o == 0 || *o == 1);
                (clamped(k, p), Some(w))
            })
            .collect()
    }
    /// The coordinate in the operand, in f32.
    fn coordinate(&self, k: &mut KernelBuilder, i: &Index, size: &Dim, out: &Dim, scale: Scale) -> ExprId {
        let number = |k: &mut KernelBuilder, d: &Dim| {
            let v = k.index(Index::from(d.clone()));
            k.cast(DType::F32, v)
        };
        let v = k.index(i.clone());
        let v = k.cast(DType::F32, v);
        let (half, one, zero) = (k.constant(DType::F32, 0.5), k.constant(DType::F32, 1.0), k.constant(DType::F32, 0.0));
        let (n, m) = (number(k, size), number(k, out));
        // What the scale makes of the size, before it is rounded down.
        let (scale, resized) = match scale {
            Scale::Ratio => (k.div(m, n), m),
            Scale::Known(s) => {
                let s = k.constant(DType::F32, s);
                (s, k.mul(s, n))
            }
            Scale::Loaded(s) => (s, k.mul(s, n)),
        };
        let centred = |k: &mut KernelBuilder| {
            let v = k.add(v, half);
            let v = k.div(v, scale);
            k.sub(v, half)
        };
        let single = k.binary(BinaryOp::Eq, resized, one);
        match self.coordinates.as_str() {
            "asymmetric" => k.div(v, scale),
            "tf_half_pixel_for_nn" => {
                let v = k.add(v, half);
                k.div(v, scale)
            }
            "align_corners" => {
                let (n, m) = (k.sub(n, one), k.sub(resized, one));
                let v = k.mul(v, n);
                let v = k.div(v, m);
                k.select(single, zero, v)
            }
            "pytorch_half_pixel" => {
                let v = centred(k);
                k.select(single, zero, v)
            }
            "half_pixel_symmetric" => {
                let adjustment = k.div(m, resized);
                let rest = k.sub(one, adjustment);
                let middle = k.mul(n, half);
                let offset = k.mul(middle, rest);
                let v = centred(k);
                k.add(offset, v)
            }
            _ => centred(k),
        }
    }
    /// The weight at a distance; of the cubic kernel the near piece (distance up to 1) or the far one.
    fn weight(&self, k: &mut KernelBuilder, d: ExprId, near: bool) -> ExprId {
        let a = self.cubic_a;
        // Coefficients of the polynomial in d, highest first.
        let coefficients = match (self.mode.as_str(), near) {
            ("linear", _) => vec![-1.0, 1.0],
            (_, true) => vec![a + 2.0, -(a + 3.0), 0.0, 1.0],
            (_, false) => vec![a, -5.0 * a, 8.0 * a, -4.0 * a],
        };
        let mut sum = k.constant(DType::F32, coefficients[0]);
        for c in &coefficients[1..] {
            let c = k.constant(DType::F32, *c);
            sum = k.mul(sum, d);
            sum = k.add(sum, c);
        }
        sum
    }
}
