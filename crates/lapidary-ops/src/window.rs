//! The geometry of sliding windows, shared by convolutions, pools and Col2Im: kernel sizes, strides, dilations, pads, ceil mode.

use crate::shapes::{Report, size_of};
use crate::{EvalCtx, InferCtx};
use lapidary_ir::{Attrs, Dim, Result};

/// A window sliding over the spatial axes of an image. Padding is what lies outside of it.
pub struct Window {
    pub image: Vec<usize>,
    pub kernel: Vec<usize>,
    pub strides: Vec<usize>,
    pub dilations: Vec<usize>,
    /// Padding before and after, along each axis.
    pub pads: Vec<(i64, i64)>,
    /// How many steps fit along each axis.
    pub out: Vec<usize>,
}

/// An attribute with one positive number for each of `rank` axes, 1 where absent.
fn per_axis(c: &impl Report, attrs: &Attrs, name: &str, rank: usize) -> Result<Vec<i64>> {
    match attrs.ints(name) {
        None => Ok(vec![1; rank]),
        Some(v) if v.len() != rank => Err(c.report("attribute-value", format!("{name} has {} entries for {rank} spatial axes", v.len())).into()),
        Some(v) if v.iter().any(|v| *v <= 0 || *v > i32::MAX as i64) => {
            Err(c.report("attribute-value", format!("{name} is {v:?}: entries must be positive")).into())
        }
        Some(v) => Ok(v.to_vec()),
    }
}

/// The attribute `pads`: beginnings, then ends; zeros where absent.
fn explicit_pads(c: &impl Report, attrs: &Attrs, rank: usize) -> Result<Vec<(i64, i64)>> {
    match attrs.ints("pads") {
        None => Ok(vec![(0, 0); rank]),
        Some(v) if v.len() != 2 * rank => Err(c.report("attribute-value", format!("pads has {} entries for {rank} spatial axes", v.len())).into()),
        Some(v) if v.iter().any(|v| v.abs() > i32::MAX as i64) => Err(c.report("attribute-value", format!("pads is {v:?}: out of range")).into()),
        Some(v) => Ok((0..rank).map(|a| (v[a], v[a + rank])).collect()),
    }
}

/// How the attribute `auto_pad` wants the padding.
#[derive(Clone, Copy, PartialEq)]
enum AutoPad {
    Explicit,
    Valid,
    /// As many steps as the image divided by the stride, rounded up; the odd padding at the end, or at the beginning.
    Same {
        odd_first: bool,
    },
}

fn auto_pad(c: &impl Report, attrs: &Attrs) -> Result<AutoPad> {
    Ok(match attrs.str("auto_pad").unwrap_or("NOTSET") {
        "NOTSET" | "" => AutoPad::Explicit,
        "VALID" => AutoPad::Valid,
        "SAME_UPPER" => AutoPad::Same { odd_first: false },
        "SAME_LOWER" => AutoPad::Same { odd_first: true },
        other => {
            let d = c.report("attribute-value", format!("auto_pad '{other}' is not known"));
            return Err(d.help("it is one of NOTSET, VALID, SAME_UPPER, SAME_LOWER").into());
        }
    })
}

/// The kernel sizes of the attribute, or `otherwise`.
pub fn kernel_shape(c: &impl Report, attrs: &Attrs, otherwise: Option<&[usize]>) -> Result<Vec<usize>> {
    match (attrs.ints("kernel_shape"), otherwise) {
        (Some(k), Some(w)) if k.len() != w.len() || k.iter().zip(w).any(|(k, w)| *k != *w as i64) => {
            Err(c.report("shape-conflict", format!("kernel_shape is {k:?}, the weight has {w:?}")).into())
        }
        (Some(k), _) if k.contains(&0) => Err(c.report("attribute-value", format!("kernel_shape is {k:?}")).into()),
        (Some(k), _) => k.iter().map(|k| size_of(c, "a kernel size", *k)).collect(),
        (None, Some(w)) => Ok(w.to_vec()),
        (None, None) => Err(c.report("missing-attribute", "attribute 'kernel_shape' is required".into()).into()),
    }
}

/// How many steps a window makes over symbolic spatial dims.
pub fn out_dims(c: &InferCtx<'_>, image: &[Dim], kernel: &[Dim]) -> Result<Vec<Dim>> {
    let (attrs, rank) = (&c.node.attrs, image.len());
    if kernel.len() != rank {
        return Err(c.error("shape-conflict", format!("a kernel of rank {} over {rank} spatial axes", kernel.len())).into());
    }
    let (strides, dilations) = (per_axis(c, attrs, "strides", rank)?, per_axis(c, attrs, "dilations", rank)?);
    let pads = explicit_pads(c, attrs, rank)?;
    let (auto, one) = (auto_pad(c, attrs)?, Dim::from(1));
    let ceil = attrs.int("ceil_mode").unwrap_or(0) != 0;
    let mut out = vec![];
    for a in 0..rank {
        let stride = Dim::from(strides[a]);
        if let AutoPad::Same { .. } = auto {
            out.push(image[a].ceil_div(&stride));
            continue;
        }
        let (before, after) = if auto == AutoPad::Valid { (0, 0) } else { pads[a] };
        let reach = &(&(&kernel[a] - &one) * &Dim::from(dilations[a])) + &one;
        let room = &(&image[a] + &Dim::from(before.saturating_add(after))) - &reach;
        let steps = if ceil {
            // No step may begin in the padding at the end.
            (&room.ceil_div(&stride) + &one).minimum(&(&image[a] + &Dim::from(before)).ceil_div(&stride))
        } else {
            &room.floor_div(&stride) + &one
        };
        out.push(match steps.as_const() {
            Some(v) if v < 0 => Dim::from(0),
            _ => steps,
        });
    }
    Ok(out)
}

impl Window {
    /// The window of a node's attributes over an image with these spatial sizes.
    pub fn of(c: &EvalCtx<'_>, attrs: &Attrs, image: &[usize], kernel: &[usize]) -> Result<Window> {
        let rank = image.len();
        if kernel.len() != rank || kernel.contains(&0) {
            return Err(c.error("shape-conflict", format!("a kernel of {kernel:?} over an image of {image:?}")).into());
        }
        let (strides, dilations) = (per_axis(c, attrs, "strides", rank)?, per_axis(c, attrs, "dilations", rank)?);
        let mut pads = explicit_pads(c, attrs, rank)?;
        let auto = auto_pad(c, attrs)?;
        let ceil = attrs.int("ceil_mode").unwrap_or(0) != 0;
        let mut out = vec![];
        for a in 0..rank {
            let size = image[a] as i64;
            let reach = (kernel[a] as i64 - 1).saturating_mul(dilations[a]) + 1;
            let stride = strides[a];
            out.push(match auto {
                AutoPad::Same { odd_first } => {
                    let steps = (size + stride - 1) / stride;
                    let total = ((steps - 1) * stride + reach - size).max(0);
                    let small = total / 2;
                    pads[a] = if odd_first { (total - small, small) } else { (small, total - small) };
                    steps
                }
                _ => {
                    if auto == AutoPad::Valid {
                        pads[a] = (0, 0);
                    }
                    let room = size + pads[a].0 + pads[a].1 - reach;
                    let floor = room.div_euclid(stride) + 1;
                    match ceil && room.rem_euclid(stride) != 0 {
                        true => (floor + 1).min((size + pads[a].0 + stride - 1).div_euclid(stride)),
                        false => floor,
                    }
                }
            } as usize);
            if out[a] as i64 <= 0 {
                out[a] = 0;
            }
        }
        let plain = |v: Vec<i64>| v.into_iter().map(|v| v as usize).collect();
        Ok(Window { image: image.to_vec(), kernel: kernel.to_vec(), strides: plain(strides), dilations: plain(dilations), pads, out })
    }
    /// Where along axis `a` the element `k` of the kernel lies at step `o`; `None` in the padding.
    pub fn along(&self, a: usize, o: usize, k: usize) -> Option<usize> {
        let i = (o * self.strides[a] + k * self.dilations[a]) as i64 - self.pads[a].0;
        usize::try_from(i).ok().filter(|i| *i < self.image[a])
    }
    /// The element of the image (row-major) that element `k` of the kernel covers at step `o`; `None` in the padding.
    pub fn place(&self, o: &[usize], k: &[usize]) -> Option<usize> {
        (0..self.image.len()).try_fold(0, |p, a| Some(p * self.image[a] + self.along(a, o[a], k[a])?))
    }
    pub fn steps(&self) -> usize {
        self.out.iter().product()
    }
    pub fn kernel_elements(&self) -> usize {
        self.kernel.iter().product()
    }
}

/// Output size, and padding, of a transposed convolution along each axis. `output_shape` decides the padding; otherwise the pads decide
/// the size: `stride·(size - 1) + output_padding + reach - pads`. Source: ONNX ConvTranspose-22.
pub fn transposed_dims(c: &impl Report, attrs: &Attrs, image: &[Dim], kernel: &[Dim]) -> Result<(Vec<Dim>, Vec<Dim>)> {
    let (rank, one) = (image.len(), Dim::from(1));
    let (strides, dilations) = (per_axis(c, attrs, "strides", rank)?, per_axis(c, attrs, "dilations", rank)?);
    let (pads, auto) = (explicit_pads(c, attrs, rank)?, auto_pad(c, attrs)?);
    let extra = attrs.ints("output_padding").unwrap_or(&[]);
    let wanted = attrs.ints("output_shape").filter(|w| !w.is_empty());
    if wanted.is_some_and(|w| w.len() < rank) || (!extra.is_empty() && extra.len() != rank) || kernel.len() != rank {
        return Err(c.report("attribute-value", format!("output_shape or output_padding does not fit {rank} spatial axes")).into());
    }
    let (mut out, mut begin) = (vec![], vec![]);
    for a in 0..rank {
        let stride = Dim::from(strides[a]);
        let reach = &(&(&kernel[a] - &one) * &Dim::from(dilations[a])) + &one;
        let full = &(&(&(&stride * &(&image[a] - &one)) + &Dim::from(extra.get(a).copied().unwrap_or(0))) + &reach) + &Dim::from(0);
        // Files may give the batch and channel sizes too.
        let target = match (wanted, auto) {
            (Some(w), _) => Some(Dim::from(w[w.len() - rank + a])),
            (None, AutoPad::Same { .. }) => Some(&image[a] * &stride),
            _ => None,
        };
        match target {
            Some(size) => {
                let total = (&full - &size).maximum(&Dim::from(0));
                let small = total.floor_div(&Dim::from(2));
                begin.push(if auto == (AutoPad::Same { odd_first: false }) { small } else { &total - &small });
                out.push(size);
            }
            None => {
                let (before, after) = if auto == AutoPad::Valid { (0, 0) } else { pads[a] };
                begin.push(Dim::from(before));
                out.push(&full - &Dim::from(before.saturating_add(after)));
            }
        }
    }
    Ok((out, begin))
}
