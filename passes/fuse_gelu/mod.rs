//! fuse-gelu: the decomposed Gelu, in its exact and its tanh form, becomes one Gelu (opset 20) again.
//!
//! Exact: `x/2 · (1 + erf(x/√2))`; tanh: `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))` (Hendrycks, Gimpel: "Gaussian error linear
//! units"). The order of the products and `x/√2` as a product with 0.7071 are all recognised. Refused where the target opset lacks Gelu.

use lapidary_ir::{Attrs, Result};
use lapidary_rewrite::{Effect, Match, Pass, Patch, Reason, Rule, Run};

pub static PASS: Pass =
    Pass { name: "fuse-gelu", source: include_str!("mod.rs"), effect: Effect::Rounding, options: &[], rules: RULES, run: Run::Rules };

macro_rules! erf_rules {
    ($name:literal, $inner:literal) => {
        [
            Rule::new(
                concat!($name, "-halved-x"),
                "`(x · ½) · (1 + erf(x/√2))` is `Gelu(x)`.",
                concat!("%y = Mul(Mul(?x, 0.5), Add(Erf(", $inner, "), 1))"),
                when,
                exact,
            ),
            Rule::new(
                concat!($name, "-halved-sum"),
                "`x · (½ · (1 + erf(x/√2)))` is `Gelu(x)`.",
                concat!("%y = Mul(?x, Mul(Add(Erf(", $inner, "), 1), 0.5))"),
                when,
                exact,
            ),
            Rule::new(
                concat!($name, "-halved-last"),
                "`½ · (x · (1 + erf(x/√2)))` is `Gelu(x)`.",
                concat!("%y = Mul(Mul(?x, Add(Erf(", $inner, "), 1)), 0.5)"),
                when,
                exact,
            ),
        ]
    };
}

macro_rules! tanh_rule {
    ($name:literal, $cube:literal) => {
        Rule::new(
            $name,
            "`(x · ½) · (1 + tanh(√(2/π) · (x + 0.044715 x³)))` is `Gelu(x, approximate=\"tanh\")`.",
            concat!("%y = Mul(Mul(?x, 0.5), Add(Tanh(Mul(Add(?x, Mul(", $cube, ", 0.044715)), 0.7978845608)), 1))"),
            when,
            tanh,
        )
    };
}

const BY_DIV: [Rule; 3] = erf_rules!("gelu-div", "Div(?x, 1.4142135623)");
const BY_MUL: [Rule; 3] = erf_rules!("gelu-mul", "Mul(?x, 0.7071067811)");
const TANH_POW: Rule = tanh_rule!("gelu-tanh-pow", "Pow(?x, 3)");
const TANH_MUL: Rule = tanh_rule!("gelu-tanh-mul", "Mul(Mul(?x, ?x), ?x)");

static RULES: &[Rule] = &{
    let [a, b, c] = BY_DIV;
    let [d, e, f] = BY_MUL;
    [a, b, c, d, e, f, TANH_POW, TANH_MUL]
};

fn when(m: &Match<'_>) -> Result<(), Reason> {
    m.needs_opset("Gelu")
}

fn exact(m: &Match<'_>, p: &mut Patch) -> Result<(), Reason> {
    build(m, p, Attrs::new())
}

fn tanh(m: &Match<'_>, p: &mut Patch) -> Result<(), Reason> {
    build(m, p, Attrs::new().with("approximate", "tanh"))
}

fn build(m: &Match<'_>, p: &mut Patch, attrs: Attrs) -> Result<(), Reason> {
    let y = p.op("Gelu", [m.value("x")?.into()], attrs);
    p.replace(m.output(), y);
    Ok(())
}
