//! The functions that recurrent layers apply to gates and cells, by name, for the evaluator and for kernels.

use crate::elementwise::{kernels, math};
use lapidary_ir::{Attr, Attrs};
use lapidary_kernel::{BinaryOp, ExprId, KernelBuilder, UnaryOp};

/// A function of one number, with its two parameters.
#[derive(Clone, Copy)]
pub struct Activation {
    row: &'static Row,
    alpha: f64,
    beta: f64,
}

/// Two are equal that compute the same.
impl PartialEq for Activation {
    fn eq(&self, other: &Activation) -> bool {
        (self.row.name, self.alpha, self.beta) == (other.row.name, other.alpha, other.beta)
    }
}

impl Activation {
    pub fn of(&self, x: f64) -> f64 {
        (self.row.eval)(x, self.alpha, self.beta)
    }
    pub fn lower(&self, k: &mut KernelBuilder, x: ExprId) -> ExprId {
        (self.row.lower)(k, x, self.alpha, self.beta)
    }
}

struct Row {
    /// In lower case: ONNX does not tell cases apart.
    name: &'static str,
    /// Defaults of the parameters that it takes.
    alpha: Option<f64>,
    beta: Option<f64>,
    eval: fn(f64, f64, f64) -> f64,
    lower: fn(&mut KernelBuilder, ExprId, f64, f64) -> ExprId,
}

/// Sorted by name.
const ACTIVATIONS: &[Row] = &[
    Row {
        name: "affine",
        alpha: Some(1.0),
        beta: Some(0.0),
        eval: |x, a, b| a * x + b,
        lower: |k, x, a, b| {
            let v = kernels::scaled(k, x, a);
            kernels::plus(k, v, b)
        },
    },
    Row {
        name: "elu",
        alpha: Some(1.0),
        beta: None,
        eval: |x, a, _| if x >= 0.0 { x } else { a * x.exp_m1() },
        lower: |k, x, a, _| {
            let below = kernels::exp_minus_one(k, x);
            let below = kernels::scaled(k, below, a);
            not_below(k, x, 0.0, below)
        },
    },
    Row {
        name: "hardsigmoid",
        alpha: Some(0.2),
        beta: Some(0.5),
        eval: |x, a, b| (a * x + b).clamp(0.0, 1.0),
        lower: |k, x, a, b| {
            let v = kernels::scaled(k, x, a);
            let v = kernels::plus(k, v, b);
            kernels::clamped(k, v, 0.0, 1.0)
        },
    },
    Row {
        name: "leakyrelu",
        alpha: Some(0.01),
        beta: None,
        eval: |x, a, _| if x >= 0.0 { x } else { a * x },
        lower: |k, x, a, _| {
            let below = kernels::scaled(k, x, a);
            not_below(k, x, 0.0, below)
        },
    },
    Row {
        name: "relu",
        alpha: None,
        beta: None,
        eval: |x, _, _| x.max(0.0),
        lower: |k, x, _, _| {
            let zero = kernels::number(k, x, 0.0);
            k.binary(BinaryOp::Max, x, zero)
        },
    },
    Row {
        name: "scaledtanh",
        alpha: Some(1.0),
        beta: Some(1.0),
        eval: |x, a, b| a * (b * x).tanh(),
        lower: |k, x, a, b| {
            let v = kernels::scaled(k, x, b);
            let v = k.unary(UnaryOp::Tanh, v);
            kernels::scaled(k, v, a)
        },
    },
    Row { name: "sigmoid", alpha: None, beta: None, eval: |x, _, _| 1.0 / (1.0 + (-x).exp()), lower: |k, x, _, _| k.unary(UnaryOp::Sigmoid, x) },
    Row { name: "softplus", alpha: None, beta: None, eval: |x, _, _| math::softplus(x), lower: |k, x, _, _| kernels::softplus(k, x) },
    Row {
        name: "softsign",
        alpha: None,
        beta: None,
        eval: |x, _, _| x / (1.0 + x.abs()),
        lower: |k, x, _, _| {
            let size = k.unary(UnaryOp::Abs, x);
            let size = kernels::plus(k, size, 1.0);
            k.div(x, size)
        },
    },
    Row { name: "tanh", alpha: None, beta: None, eval: |x, _, _| x.tanh(), lower: |k, x, _, _| k.unary(UnaryOp::Tanh, x) },
    Row {
        name: "thresholdedrelu",
        alpha: Some(1.0),
        beta: None,
        eval: |x, a, _| if x >= a { x } else { 0.0 },
        lower: |k, x, a, _| {
            let zero = kernels::number(k, x, 0.0);
            not_below(k, x, a, zero)
        },
    },
];

/// `x` from `bound` on, elsewhere `below`.
fn not_below(k: &mut KernelBuilder, x: ExprId, bound: f64, below: ExprId) -> ExprId {
    let keeps = kernels::compared(k, BinaryOp::Ge, x, bound);
    k.select(keeps, x, below)
}

/// The functions of all directions; parameters are handed out in order to those that take them. An error is what to say of the attributes.
pub fn activations(attrs: &Attrs, default: &[&str], directions: usize) -> Result<Vec<Activation>, String> {
    let names: Vec<String> = match attrs.get("activations") {
        Some(Attr::Strs(v)) => v.iter().map(|s| String::from_utf8_lossy(s).to_lowercase()).collect(),
        _ => (0..directions).flat_map(|_| default).map(|s| s.to_string()).collect(),
    };
    if names.len() != default.len() * directions {
        return Err(format!("{} activations for {directions} directions", names.len()));
    }
    let mut alphas = attrs.floats("activation_alpha").unwrap_or(&[]).iter();
    let mut betas = attrs.floats("activation_beta").unwrap_or(&[]).iter();
    let mut out = vec![];
    for name in names {
        let row = ACTIVATIONS.iter().find(|a| a.name == name).ok_or_else(|| format!("activation '{name}' is not known"))?;
        let take = |default: Option<f64>, from: &mut std::slice::Iter<'_, f32>| default.map_or(0.0, |d| from.next().map_or(d, |v| f64::from(*v)));
        out.push(Activation { row, alpha: take(row.alpha, &mut alphas), beta: take(row.beta, &mut betas) });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_sorted() {
        assert!(ACTIVATIONS.windows(2).all(|w| w[0].name < w[1].name));
    }
}
