//! fuse-activations: activation functions that exporters spell out become one operator where the target opset has it.
//!
//! HardSigmoid (any opset), HardSwish (14), Mish (18), Swish (24). PaddlePaddle writes HardSwish as Add, Clip, Mul, Div; where HardSwish
//! itself is too new, it becomes the product of the value and its HardSigmoid.

use crate::common::neutral;
use lapidary_ir::{Attrs, Result};
use lapidary_rewrite::{Effect, Match, Pass, Patch, Reason, Rule, Run, always, applies, ensure};

pub static PASS: Pass =
    Pass { name: "fuse-activations", source: include_str!("mod.rs"), effect: Effect::Rounding, options: &[], rules: RULES, run: Run::Rules };

static RULES: &[Rule] = &[
    Rule::new(
        "hard-sigmoid-div",
        "`Clip(x + 3, 0, 6) / 6` is `HardSigmoid(x, 1/6, 1/2)`.",
        "%y = Div(Clip(Add(?x, 3), 0, 6), 6)",
        always,
        hard_sigmoid,
    ),
    Rule::new(
        "hard-sigmoid-mul",
        "`Clip(x + 3, 0, 6) · 1/6` is `HardSigmoid(x, 1/6, 1/2)`.",
        "%y = Mul(Clip(Add(?x, 3), 0, 6), 0.1666666667)",
        always,
        hard_sigmoid,
    ),
    Rule::new(
        "hard-swish-div",
        "`x · Clip(x + 3, 0, 6) / 6` is `x · HardSigmoid(x, 1/6, 1/2)`.",
        "%y = Div(Mul(?x, Clip(Add(?x, 3), 0, 6)), 6)",
        always,
        hard_swish_parts,
    ),
    Rule::new(
        "hard-swish-mul",
        "`x · Clip(x + 3, 0, 6) · 1/6` is `x · HardSigmoid(x, 1/6, 1/2)`.",
        "%y = Mul(Mul(?x, Clip(Add(?x, 3), 0, 6)), 0.1666666667)",
        always,
        hard_swish_parts,
    ),
    Rule::new(
        "hard-swish",
        "`x · HardSigmoid(x, 1/6, 1/2)` is `HardSwish(x)`.",
        "%h = HardSigmoid(?x)\n%y = Mul(?x, %h)",
        |m| {
            m.needs_opset("HardSwish")?;
            let a = &m.node("h")?.attrs;
            let near = |v: f32, want: f32| (v - want).abs() < 1e-7;
            ensure(
                near(a.float("alpha").unwrap_or(0.2), 1.0 / 6.0) && near(a.float("beta").unwrap_or(0.5), 0.5),
                "its slope or offset is another one",
            )
        },
        |m, p| one(m, p, "HardSwish"),
    ),
    Rule::new(
        "mish",
        "`x · tanh(softplus(x))` is `Mish(x)`.",
        "%y = Mul(?x, Tanh(Softplus(?x)))",
        |m| m.needs_opset("Mish"),
        |m, p| one(m, p, "Mish"),
    ),
    Rule::new("swish", "`x · sigmoid(x)` is `Swish(x)`.", "%y = Mul(?x, Sigmoid(?x))", |m| m.needs_opset("Swish"), |m, p| one(m, p, "Swish")),
    Rule::new(
        "relu-max",
        "`Max(x, 0)` is `Relu(x)`.",
        "%y = Max(?x, ?zero)",
        |m| {
            applies(neutral(m.constant_here("zero")?, 0.0), "the other operand is not zero")?;
            ensure(m.dtype("x")?.is_float(), "Relu of integers is newer")?;
            ensure(crate::common::same_type(m.graph, m.value("x")?, m.output()), "the zero broadcasts the other operand")
        },
        |m, p| one(m, p, "Relu"),
    ),
];

fn one(m: &Match<'_>, p: &mut Patch, op: &str) -> Result<(), Reason> {
    let y = p.op(op, [m.value("x")?.into()], Attrs::new());
    p.replace(m.output(), y);
    Ok(())
}

fn attrs() -> Attrs {
    Attrs::new().with("alpha", 1.0f32 / 6.0).with("beta", 0.5f32)
}

fn hard_sigmoid(m: &Match<'_>, p: &mut Patch) -> Result<(), Reason> {
    let y = p.op("HardSigmoid", [m.value("x")?.into()], attrs());
    p.replace(m.output(), y);
    Ok(())
}

fn hard_swish_parts(m: &Match<'_>, p: &mut Patch) -> Result<(), Reason> {
    let h = p.op("HardSigmoid", [m.value("x")?.into()], attrs());
    let y = p.op("Mul", [m.value("x")?.into(), h], Attrs::new());
    p.replace(m.output(), y);
    Ok(())
}
