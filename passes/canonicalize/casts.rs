use lapidary_ir::DType;
use lapidary_rewrite::{Match, Rule, applies, ensure};

fn target(m: &Match<'_>) -> DType {
    m.graph.dtype(m.output())
}

pub const CAST_SAME: Rule = Rule::new(
    "cast-same",
    "`Cast(x)` to the type that x has is `x`.",
    "%y = Cast|CastLike(?x, ..)",
    |m| {
        let from = m.dtype("x")?;
        applies(from != DType::Unknown && from == target(m), "the types differ")
    },
    |m, p| {
        p.replace(m.output(), m.value("x")?);
        Ok(())
    },
);

pub const CAST_CAST: Rule = Rule::new(
    "cast-cast",
    "`Cast(Cast(x, a), b)` is `Cast(x, b)` where `a` holds every value that x can have.",
    "%i = Cast(?x)\n%y = Cast(%i)",
    |m| {
        let middle = m.node("i")?.outputs()[0].ty.dtype();
        let (from, to) = (m.dtype("x")?, target(m));
        ensure(holds(middle, from), format!("{middle} does not hold every {from}"))?;
        // What rounds or saturates differently on the way may not be skipped: only plain targets.
        ensure(to.is_int() || matches!(to, DType::Bool | DType::F16 | DType::BF16 | DType::F32 | DType::F64), format!("casts to {to} have modes"))
    },
    |m, p| {
        let x = m.value("x")?;
        if m.dtype("x")? == target(m) {
            p.replace(m.output(), x);
        } else {
            let y = p.copy(m, m.root, [x.into()]);
            p.replace(m.output(), y);
        }
        Ok(())
    },
)
.shared();

/// Whether every value of `from` is a value of `wide`, so that a cast to `wide` loses nothing.
fn holds(wide: DType, from: DType) -> bool {
    let mantissa = |d: DType| match d {
        DType::F64 => 53,
        DType::F32 => 24,
        DType::F16 => 11,
        DType::BF16 => 8,
        _ => 0,
    };
    if from == DType::Bool {
        return wide.is_int() || mantissa(wide) > 0 || wide == DType::Bool;
    }
    match (wide.int_range(), from.int_range()) {
        (Some(w), Some(f)) => w.0 <= f.0 && f.1 <= w.1,
        (None, Some(f)) => mantissa(wide) > 0 && f.1 < 1i128 << mantissa(wide) && !(wide == DType::F16 && from.bits() >= 16),
        (None, None) => {
            matches!((wide, from), (DType::F64, DType::F32 | DType::F16 | DType::BF16) | (DType::F32, DType::F16 | DType::BF16)) || wide == from
        }
        (Some(_), None) => false,
    }
}
