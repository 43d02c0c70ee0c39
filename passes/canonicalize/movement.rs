use crate::common::same_type;
use lapidary_ir::{Attrs, Dim};
use lapidary_rewrite::{Operand, Rule, always, applies, ensure};

pub const SLICE_ALL: Rule = Rule::new(
    "slice-all",
    "`Slice(x)` of everything, forwards, is `x`.",
    "%y = Slice(?x, ?starts, ?ends, ?axes?, ?steps?)",
    |m| {
        if let Some(v) = m.optional("steps") {
            let steps = m.ints_of(v).ok_or("its steps are not known")?;
            ensure(steps.iter().all(|s| *s == 1), "a step is not 1")?;
        }
        // With steps of one, only the whole has the size of the whole.
        applies(same_type(m.graph, m.value("x")?, m.output()), "it takes a part")
    },
    |m, p| {
        p.replace(m.output(), m.value("x")?);
        Ok(())
    },
);

pub const EXPAND_SAME: Rule = Rule::new(
    "expand-same",
    "`Expand(x)` and `Tile(x)` to the shape that x has are `x`.",
    "%y = Expand|Tile(?x, ?shape)",
    |m| {
        if m.root().is("Tile") {
            applies(m.ints("shape")?.iter().all(|n| *n == 1), "something is repeated")?;
        }
        applies(same_type(m.graph, m.value("x")?, m.output()), "the shape changes")
    },
    |m, p| {
        p.replace(m.output(), m.value("x")?);
        Ok(())
    },
);

pub const PAD_NOTHING: Rule = Rule::new(
    "pad-nothing",
    "`Pad(x)` by zero elements on every side is `x`.",
    "%y = Pad(?x, ?pads, ..)",
    |m| applies(m.ints("pads")?.iter().all(|n| *n == 0), "something is padded"),
    |m, p| {
        p.replace(m.output(), m.value("x")?);
        Ok(())
    },
);

/// A pattern cannot name operands of a variadic operator: the guard looks at the node.
pub const CONCAT_EMPTY: Rule =
    Rule::new("concat-empty", "`Concat` does without operands that are empty along its axis.", "%y = Concat(?first, ?second, ..)", always, |m, p| {
        let node = m.root();
        let axis = node.attrs.int("axis").ok_or("it has no axis")?;
        let mut kept = vec![];
        for v in node.inputs().iter().flatten() {
            let dims = m.dims_of(*v)?;
            let at = if axis < 0 { axis + dims.len() as i64 } else { axis };
            let size = usize::try_from(at).ok().and_then(|a| dims.get(a)).ok_or("its axis is outside the shape")?;
            if *size != Dim::from(0) {
                kept.push(Operand::Old(*v));
            }
        }
        applies(kept.len() < node.inputs().len() && !kept.is_empty(), "no operand is empty")?;
        let y = p.op("Concat", kept, Attrs::new().with("axis", axis));
        p.replace(m.output(), y);
        Ok(())
    });

pub const SPLIT_ONE: Rule = Rule::new(
    "split-one",
    "`Split(x)` into one part is `x`.",
    "%y = Split(?x, ..)",
    |m| applies(m.root().outputs().len() == 1, "it has several parts"),
    |m, p| {
        p.replace(m.output(), m.value("x")?);
        Ok(())
    },
);
