//! fuse-conv-bn: fold what follows a convolution channel by channel into its weights.
//!
//! A convolution is linear, so a BatchNormalization behind it, or a product with or a sum of one constant per channel, is another
//! convolution: `BN(conv(x, w) + b) = conv(x, w · s/√(v+ε)) + (b - m) · s/√(v+ε) + h`. The same holds for ConvTranspose and Gemm.
//! The new weights are computed in f64 and rounded once. Refused: weights that are not constant or that other nodes use too (they
//! would be stored twice), convolutions whose result has other users, and normalization in training mode.

mod affine;

use lapidary_ir::Result;
use lapidary_rewrite::{Effect, Match, Pass, Reason, Rule, Run, ensure};

pub static PASS: Pass =
    Pass { name: "fuse-conv-bn", source: include_str!("mod.rs"), effect: Effect::Rounding, options: &[], rules: RULES, run: Run::Rules };

static RULES: &[Rule] = &[
    Rule::new(
        "conv-bn",
        "`BatchNormalization(Conv(x, w, b), s, h, m, v)` is `Conv(x, w·k, (b - m)·k + h)` with `k = s/√(v+ε)`.",
        "%c = Conv|ConvTranspose|Gemm(?x, ?w, ?b?)\n%y = BatchNormalization(%c, ?scale, ?shift, ?mean, ?var)",
        inference,
        |m, p| {
            let (k, h) = batch_norm(m)?;
            affine::fold(m, p, &k, &h)
        },
    ),
    Rule::new(
        "conv-add",
        "`Conv(x, w, b) + c` with one constant per channel is `Conv(x, w, b + c)`.",
        "%c = Conv|ConvTranspose|Gemm(?x, ?w, ?b?)\n%y = Add(%c, ?k)",
        affine::same_shape,
        |m, p| {
            let h = affine::channels(m, "k")?;
            affine::fold(m, p, &vec![1.0; h.len()], &h)
        },
    ),
    Rule::new(
        "conv-sub",
        "`Conv(x, w, b) - c` with one constant per channel is `Conv(x, w, b - c)`.",
        "%c = Conv|ConvTranspose|Gemm(?x, ?w, ?b?)\n%y = Sub(%c, ?k)",
        affine::same_shape,
        |m, p| {
            let h: Vec<f64> = affine::channels(m, "k")?.iter().map(|v| -v).collect();
            affine::fold(m, p, &vec![1.0; h.len()], &h)
        },
    ),
    Rule::new(
        "conv-mul",
        "`Conv(x, w, b) · c` with one constant per channel is `Conv(x, w·c, b·c)`.",
        "%c = Conv|ConvTranspose|Gemm(?x, ?w, ?b?)\n%y = Mul(%c, ?k)",
        affine::same_shape,
        |m, p| {
            let k = affine::channels(m, "k")?;
            affine::fold(m, p, &k, &vec![0.0; k.len()])
        },
    ),
    Rule::new(
        "conv-div",
        "`Conv(x, w, b) / c` with one constant per channel is `Conv(x, w/c, b/c)`.",
        "%c = Conv|ConvTranspose|Gemm(?x, ?w, ?b?)\n%y = Div(%c, ?k)",
        affine::same_shape,
        |m, p| {
            let k: Vec<f64> = affine::channels(m, "k")?.iter().map(|v| 1.0 / v).collect();
            ensure(k.iter().all(|v| v.is_finite()), "a divisor is zero")?;
            affine::fold(m, p, &k, &vec![0.0; k.len()])
        },
    ),
    Rule::new(
        "bn-bn",
        "A `BatchNormalization` of a `BatchNormalization` is one.",
        "%c = BatchNormalization(?x, ?scale0, ?shift0, ?mean0, ?var0)\n%y = BatchNormalization(%c, ?scale, ?shift, ?mean, ?var)",
        |m| {
            inference(m)?;
            ensure(m.node("c")?.attrs.int("training_mode").unwrap_or(0) == 0, "the first normalizes by the batch's own statistics")
        },
        affine::merge_norms,
    ),
];

fn inference(m: &Match<'_>) -> Result<(), Reason> {
    ensure(m.root().attrs.int("training_mode").unwrap_or(0) == 0, "it normalizes by the batch's own statistics")?;
    ensure(m.root().outputs().iter().enumerate().all(|(i, _)| i == 0 || m.graph.use_count(m.root.out(i)) == 0), "its statistics are used")
}

/// A batch norm as one factor and one summand per channel.
fn batch_norm(m: &Match<'_>) -> Result<(Vec<f64>, Vec<f64>), Reason> {
    affine::norm(m, m.root(), ["scale", "shift", "mean", "var"])
}
