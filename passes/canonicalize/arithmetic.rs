use crate::common::{neutral, same_type};
use lapidary_rewrite::{Match, Reason, Rule, always, applies, ensure};

pub const IDENTITY: Rule = Rule::new("identity", "`Identity(x)` is `x`.", "%y = Identity(?x)", always, |m, p| {
    p.replace(m.output(), m.value("x")?);
    Ok(())
});

pub const DROPOUT: Rule = Rule::new(
    "dropout",
    "`Dropout(x)` is `x`: models are compiled for inference, whatever mode an exporter left.",
    "%y = Dropout(?x, ?ratio?, ?training?)",
    |m| {
        let mask = m.root().outputs().len() > 1 && m.graph.use_count(m.root.out(1)) > 0;
        ensure(!mask, "its mask is used")
    },
    |m, p| {
        p.replace(m.output(), m.value("x")?);
        Ok(())
    },
);

/// `x op c` is `x` in type too: a constant of more dims would broadcast.
fn keeps(m: &Match<'_>, value: f64) -> Result<(), Reason> {
    applies(neutral(m.constant_here("c")?, value), "the constant is another one")?;
    ensure(same_type(m.graph, m.value("x")?, m.output()), "the constant broadcasts the other operand")
}

pub const TIMES_ONE: Rule = Rule::new(
    "times-one",
    "`x · 1` and `x / 1` and `x¹` are `x`.",
    "%y = Mul|Div|Pow(?x, ?c)",
    |m| keeps(m, 1.0),
    |m, p| {
        p.replace(m.output(), m.value("x")?);
        Ok(())
    },
);

pub const MINUS_ZERO: Rule = Rule::new(
    "minus-zero",
    "`x - 0` is `x`, for floats too: `-0 - 0` is `-0`.",
    "%y = Sub(?x, ?c)",
    |m| {
        keeps(m, 0.0)?;
        ensure(m.constant("c")?.to_f64().is_some_and(|v| v.iter().all(|z| z.is_sign_positive())), "the zero is negative")
    },
    |m, p| {
        p.replace(m.output(), m.value("x")?);
        Ok(())
    },
);

pub const PLUS_INTEGER_ZERO: Rule = Rule::new(
    "plus-integer-zero",
    "`x + 0` is `x` for integers. (For floats `-0 + 0` is `0`: see `plus-zero`.)",
    "%y = Add(?x, ?c)",
    |m| {
        keeps(m, 0.0)?;
        ensure(m.dtype("x")?.is_int(), "floats have a negative zero; simplify-arithmetic may drop it")
    },
    |m, p| {
        p.replace(m.output(), m.value("x")?);
        Ok(())
    },
);

pub const SINGLE_OPERAND: Rule = Rule::new(
    "single-operand",
    "`Concat`, `Sum`, `Max`, `Min`, `Mean` of one value are that value.",
    "%y = Concat|Sum|Max|Min|Mean(?x)",
    always,
    |m, p| {
        p.replace(m.output(), m.value("x")?);
        Ok(())
    },
);

pub const NOT_NOT: Rule = Rule::new("not-not", "`Not(Not(x))` is `x`.", "%y = Not(Not(?x))", always, |m, p| {
    p.replace(m.output(), m.value("x")?);
    Ok(())
})
.shared();
