//! simplify-arithmetic: drop and merge arithmetic with constants, within rounding.
//!
//! `x + 0` is `x` but for the sign of zero; `(x + a) + b` and `(x · a) · b` with constants are one operation, rounded once instead of
//! twice. A mean is taken before a product that treats all pixels alike, so that the product has one pixel. `canonicalize` does what changes
//! no bit at all.

use crate::common::{neutral, same_type};
use lapidary_ir::{Result, Tensor};
use lapidary_rewrite::{Effect, Match, Pass, Reason, Rule, Run, always, applies, ensure};

pub static PASS: Pass =
    Pass { name: "simplify-arithmetic", source: include_str!("mod.rs"), effect: Effect::Rounding, options: &[], rules: RULES, run: Run::Rules };

static RULES: &[Rule] = &[
    Rule::new(
        "plus-zero",
        "`x + 0` is `x` (and `-0` stays `-0`).",
        "%y = Add(?x, ?c)",
        |m| {
            applies(neutral(m.constant_here("c")?, 0.0), "the constant is not zero")?;
            ensure(same_type(m.graph, m.value("x")?, m.output()), "the constant broadcasts the other operand")
        },
        |m, p| {
            p.replace(m.output(), m.value("x")?);
            Ok(())
        },
    ),
    Rule::new("add-add", "`(x + a) + b` is `x + (a + b)` for constants.", "%y = Add(Add(?x, ?a), ?b)", small_constants, |m, p| {
        combine(m, p, "Add", |a, b| a + b)
    }),
    Rule::new("mul-mul", "`(x · a) · b` is `x · (a · b)` for constants.", "%y = Mul(Mul(?x, ?a), ?b)", small_constants, |m, p| {
        combine(m, p, "Mul", |a, b| a * b)
    }),
    Rule::new("div-mul", "`(x · a) / b` is `x · (a / b)` for constants.", "%y = Div(Mul(?x, ?a), ?b)", small_constants, |m, p| {
        combine(m, p, "Mul", |a, b| a / b)
    }),
    Rule::new("mul-div", "`(x / a) · b` is `x · (b / a)` for constants.", "%y = Mul(Div(?x, ?a), ?b)", small_constants, |m, p| {
        combine(m, p, "Mul", |a, b| b / a)
    }),
    Rule::new("neg-neg", "`-(-x)` is `x`.", "%y = Neg(Neg(?x))", always, |m, p| {
        p.replace(m.output(), m.value("x")?);
        Ok(())
    }),
    Rule::new(
        "clip-relu",
        "`Relu` of a `Clip` whose lower bound is not negative, and `Clip` from zero of a `Relu`, are the `Clip` alone.",
        "%y = Clip(Relu(?x), ?low, ?high?)",
        |m| ensure(neutral(m.constant_here("low")?, 0.0), "the lower bound is not zero"),
        |m, p| {
            let y = p.copy(m, m.root, [m.value("x")?.into(), m.value("low")?.into(), m.optional("high").into()]);
            p.replace(m.output(), y);
            Ok(())
        },
    ),
    Rule::new("relu-relu", "`Relu(Relu(x))` is `Relu(x)`.", "%r = Relu(?x)\n%y = Relu(%r)", always, |m, p| {
        p.replace(m.output(), m.id("r")?.out(0));
        Ok(())
    })
    .shared(),
    Rule::new(
        "mean-of-pointwise-conv",
        "The mean of all pixels of a `Conv` with a kernel of one pixel is the `Conv` of the mean of its input's pixels.",
        "%c = Conv(?x, ?w, ?b?)\n%y = GlobalAveragePool(%c)",
        pointwise,
        |m, p| {
            let mean = p.copy(m, m.root, [m.value("x")?.into()]);
            let y = p.copy(m, m.id("c")?, [mean, m.value("w")?.into(), m.optional("b").into()]);
            p.replace(m.output(), y);
            Ok(())
        },
    )
    .shared(),
];

/// Each pixel of the convolution is a linear function of the same pixel of its input; and where it is computed anyway, its input has fewer
/// channels to add up.
fn pointwise(m: &Match<'_>) -> Result<(), Reason> {
    let conv = m.node("c")?;
    let all = |name: &str, value: i64| conv.attrs.ints(name).is_none_or(|v| v.iter().all(|v| *v == value));
    let [outputs, _, kernel @ ..] = m.dims("w")? else { return Err("its weights have no channels".into()) };
    applies(kernel.iter().all(|d| d.as_const() == Some(1)), "the kernel has more than one pixel")?;
    ensure(all("strides", 1), "it skips pixels")?;
    ensure(all("pads", 0), "it pads with zeros")?;
    let channels = m.dims("x")?.get(1).and_then(|d| d.as_const());
    let fewer = channels.zip(outputs.as_const()).is_some_and(|(x, y)| x <= y);
    ensure(fewer || m.graph.use_count(m.id("c")?.out(0)) == 1, "others need the result, and its input has more channels")
}

/// Only floats are merged (integers may overflow between), and only constants of one element: others could grow by broadcasting.
fn small_constants(m: &Match<'_>) -> Result<(), Reason> {
    let (a, b) = (m.constant_here("a")?, m.constant_here("b")?);
    ensure(m.dtype("x")?.is_float(), "integers may overflow between")?;
    ensure(!m.is_constant("x"), "everything is constant")?;
    ensure(a.len() == 1 || b.len() == 1 || a.sizes() == b.sizes(), "the constants' shapes differ")
}

fn combine(m: &Match<'_>, p: &mut lapidary_rewrite::Patch, op: &str, f: fn(f64, f64) -> f64) -> Result<(), Reason> {
    let (a, b) = (m.constant("a")?, m.constant("b")?);
    let (x, y) = (a.to_f64().ok_or("'a' is not real")?, b.to_f64().ok_or("'b' is not real")?);
    let (long, count) = if a.len() >= b.len() { (a, x.len()) } else { (b, y.len()) };
    let values: Vec<f64> = (0..count).map(|i| f(x[i % x.len()], y[i % y.len()])).collect();
    ensure(values.iter().all(|v| v.is_finite()), "the merged constant is not finite")?;
    // One element of rank r may broadcast x to rank r: the merged constant keeps the larger rank.
    let rank = a.rank().max(b.rank());
    let mut sizes = vec![1; rank - long.rank()];
    sizes.extend_from_slice(long.sizes());
    let c = p.constant(&format!("{}_constant", m.label()), Tensor::from_f64(a.dtype(), &sizes, &values)?);
    let new = p.op(op, [m.value("x")?.into(), c], lapidary_ir::Attrs::new());
    p.replace(m.output(), new);
    Ok(())
}
