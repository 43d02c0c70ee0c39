//! fuse-layer-norm: what exporters decompose becomes one LayerNormalization (opset 17) again.
//!
//! `(x - mean(x)) / √(mean((x - mean(x))²) + ε) · s + h` over the last axes. Refused, with the reason: a target opset that lacks the
//! operator, other axes than the last ones, scale or shift that is not constant of the normalized shape, an ε that is not one number.

use lapidary_ir::{Attrs, Result};
use lapidary_rewrite::{Effect, Match, Pass, Patch, Reason, Rule, Run, ensure};

pub static PASS: Pass =
    Pass { name: "fuse-layer-norm", source: include_str!("mod.rs"), effect: Effect::Rounding, options: &[], rules: RULES, run: Run::Rules };

/// The pattern with a given square and a given way to divide.
macro_rules! pattern {
    ($square:literal, $norm:literal) => {
        concat!(
            "%m = ReduceMean(?x, ?axes?)\n%d = Sub(?x, %m)\n%v = ReduceMean(",
            $square,
            ", ?axes2?)\n%e = Add(%v, ?eps)\n%r = Sqrt(%e)\n%n = ",
            $norm,
            "\n%g = Mul(%n, ?scale)\n%y = Add(%g, ?shift)"
        )
    };
}

static RULES: &[Rule] = &[
    Rule::new(
        "layer-norm-pow",
        "The decomposed form, squares by `Pow(d, 2)`, is `LayerNormalization(x, s, h)`.",
        pattern!("Pow(%d, 2)", "Div(%d, %r)"),
        when,
        build,
    ),
    Rule::new(
        "layer-norm-mul",
        "The decomposed form, squares by `d · d`, is `LayerNormalization(x, s, h)`.",
        pattern!("Mul(%d, %d)", "Div(%d, %r)"),
        when,
        build,
    ),
];

fn when(m: &Match<'_>) -> Result<(), Reason> {
    m.needs_opset("LayerNormalization")?;
    axis(m).map(|_| ())?;
    let eps = m.constant("eps")?;
    ensure(eps.len() == 1, "its epsilon is not one number")
}

/// The first normalized axis, counted from the end.
fn axis(m: &Match<'_>) -> Result<i64, Reason> {
    let rank = m.rank("x")? as i64;
    let mut first = None;
    for (node, name) in [("m", "axes"), ("v", "axes2")] {
        ensure(m.node(node)?.attrs.int("keepdims").unwrap_or(1) == 1, "a mean drops its axes")?;
        let mut axes: Vec<i64> = m.ints(name)?.iter().map(|a| if *a < 0 { a + rank } else { *a }).collect();
        axes.sort_unstable();
        let n = axes.len() as i64;
        ensure(n > 0 && axes.iter().enumerate().all(|(i, a)| *a == rank - n + i as i64), "the means are not over the last axes")?;
        ensure(first.is_none_or(|f| f == -n), "the two means are over different axes")?;
        first = Some(-n);
    }
    let first = first.ok_or("it has no axes")?;
    let normalized: Option<Vec<usize>> =
        m.dims("x")?[(rank + first) as usize..].iter().map(|d| d.as_const().and_then(|v| usize::try_from(v).ok())).collect();
    let normalized = normalized.ok_or("the normalized sizes are not known")?;
    for name in ["scale", "shift"] {
        ensure(m.constant(name)?.sizes() == normalized, format!("'{name}' does not have the normalized shape"))?;
    }
    Ok(first)
}

fn build(m: &Match<'_>, p: &mut Patch) -> Result<(), Reason> {
    let eps = m.constant("eps")?.to_f64().and_then(|v| v.first().copied()).ok_or("its epsilon is not real")?;
    let attrs = Attrs::new().with("axis", axis(m)?).with("epsilon", eps as f32);
    let y = p.op("LayerNormalization", [m.value("x")?.into(), m.value("scale")?.into(), m.value("shift")?.into()], attrs);
    p.replace(m.output(), y);
    Ok(())
}
