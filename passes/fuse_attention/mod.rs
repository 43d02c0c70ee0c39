//! fuse-attention: the attention that exporters decompose becomes one Attention (opset 23) again.
//!
//! `Softmax(a · q·kᵀ + mask) · v` in the form [batch, heads, steps, size], the factor on the scores, on q, on kᵀ, or split between the two; with
//! a mask that is added (`s + m`) or that chooses (`Where(keep, s, -inf)`; the lowest number of f32 counts as -inf). A mask that provably is
//! `key ≤ query` becomes `is_causal`.
//!
//! A query that may see no key is what tells the forms apart: softmax gives NaN there, Attention zeros. So a mask must provably leave each
//! query a key (it is finite, causal, or constant), or the NaN be replaced by zeros as exporters do (`Where(IsNaN(w), 0, w)`). Refused, with the
//! reason: a target opset that lacks the operator, scores or weights that are used elsewhere, a softmax over another axis, operands of
//! other ranks or of sizes that are not known to agree, hidden scores that are not -inf, masks that are broadcast along queries or keys
//! (ONNX allows them, ONNX Runtime does not run them).

mod mask;
mod scores;

use lapidary_ir::Attrs;
use lapidary_rewrite::{Effect, Match, Pass, Patch, Reason, Rule, Run, applies, ensure};
use mask::Mask;
use scores::Scores;

pub static PASS: Pass =
    Pass { name: "fuse-attention", source: include_str!("mod.rs"), effect: Effect::Rounding, options: &[], rules: RULES, run: Run::Rules };

static RULES: &[Rule] = &[
    Rule::new(
        "attention",
        "`Softmax(a · q·kᵀ) · v` is `Attention(q, k, v)`.",
        "%w = Softmax(?s)\n%y = MatMul(%w, ?v)",
        |m| fits(m, |_| Ok(Mask::None)),
        |m, p| build(m, p, |_| Ok(Mask::None)),
    ),
    Rule::new(
        "attention-mask",
        "`Softmax(a · q·kᵀ + m) · v` is `Attention(q, k, v, m)` where each query sees a key.",
        "%w = Softmax(Add(?s, ?mask))\n%y = MatMul(%w, ?v)",
        |m| fits(m, mask::added_and_seen),
        |m, p| build(m, p, mask::added_and_seen),
    ),
    Rule::new(
        "attention-mask-zeros",
        "`w · v` with `w = Softmax(a · q·kᵀ + m)`, and zeros where that is NaN, is `Attention(q, k, v, m)` for finite q and k.",
        "%w = Softmax(Add(?s, ?mask))\n%z = Where(IsNaN(%w), 0, %w)\n%y = MatMul(%z, ?v)",
        |m| fits(m, mask::added),
        |m, p| build(m, p, mask::added),
    ),
    Rule::new(
        "attention-keep",
        "`Softmax(Where(keep, a · q·kᵀ, -inf)) · v` is `Attention(q, k, v, keep)` where each query sees a key.",
        "%w = Softmax(Where(?keep, ?s, ?fill))\n%y = MatMul(%w, ?v)",
        |m| fits(m, mask::kept),
        |m, p| build(m, p, mask::kept),
    ),
    Rule::new(
        "attention-hide",
        "`Softmax(Where(hide, -inf, a · q·kᵀ)) · v` is `Attention(q, k, v, not hide)` where each query sees a key.",
        "%w = Softmax(Where(?hide, ?fill, ?s))\n%y = MatMul(%w, ?v)",
        |m| fits(m, mask::hidden),
        |m, p| build(m, p, mask::hidden),
    ),
];

type ReadMask = fn(&Match<'_>) -> Result<Mask, Reason>;

fn fits(m: &Match<'_>, mask: ReadMask) -> Result<(), Reason> {
    let scores = Scores::of(m)?;
    m.needs_opset("Attention")?;
    let axis = m.node("w")?.attrs.int("axis").unwrap_or(-1);
    ensure(axis == -1 || axis == 3, "the softmax is not over the keys")?;
    let (q, k, v) = (m.dims_of(scores.q)?, scores.key_dims(m)?, m.dims("v")?);
    ensure(q.len() == 4 && v.len() == 4, "its operands are not [batch, heads, steps, size]")?;
    ensure(q[..2] == k[..2] && k[..2] == v[..2], "batches and heads of its operands are not known to agree")?;
    ensure(q[3] == k[3] && k[2] == v[2], "keys and values, or queries and keys, are not known to agree in size")?;
    ensure(scores.scale > 0.0 && scores.scale.is_finite(), "its factor is not positive")?;
    mask::check(m, &mask(m)?, [&q[0], &q[1], &q[2], &k[2]])
}

fn build(m: &Match<'_>, p: &mut Patch, mask: ReadMask) -> Result<(), Reason> {
    let scores = Scores::of(m)?;
    let key = scores.key(m, p)?;
    let mut attrs = Attrs::new().with("scale", scores.scale as f32);
    let mut operands = vec![scores.q.into(), key, m.value("v")?.into()];
    match mask(m)? {
        Mask::None => {}
        Mask::Causal(_) => attrs = attrs.with("is_causal", 1),
        Mask::Value(v) => operands.push(v.into()),
        Mask::Not(v) => operands.push(p.op("Not", [v.into()], Attrs::new())),
    }
    let y = p.op("Attention", operands, attrs);
    p.named_like(y, m.root);
    p.replace(m.output(), y);
    Ok(())
}

/// A place whose operands tell that it is none.
fn no_place<T>(found: Option<T>, what: &str) -> Result<T, Reason> {
    applies(found.is_some(), what)?;
    found.ok_or_else(|| what.into())
}
