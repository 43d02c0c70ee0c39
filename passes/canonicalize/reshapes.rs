use crate::common::same_type;
use lapidary_ir::{Attrs, Dim};
use lapidary_rewrite::{Reason, Rule, always, applies, ensure};

pub const RESHAPE_SAME: Rule = Rule::new(
    "reshape-same",
    "`Reshape`, `Flatten`, `Squeeze`, `Unsqueeze` to the shape that x has are `x`.",
    "%y = Reshape|Flatten|Squeeze|Unsqueeze(?x, ..)",
    |m| applies(same_type(m.graph, m.value("x")?, m.output()), "the shape changes"),
    |m, p| {
        p.replace(m.output(), m.value("x")?);
        Ok(())
    },
);

pub const RESHAPE_CHAIN: Rule = Rule::new(
    "reshape-chain",
    "A reshape of a reshape (or Flatten, Squeeze, Unsqueeze) is one reshape of the first value.",
    "%i = Reshape|Flatten|Squeeze|Unsqueeze(?x, ..)\n%y = Reshape|Flatten|Squeeze|Unsqueeze(%i, ..)",
    always,
    |m, p| {
        let x = m.value("x")?;
        if same_type(m.graph, x, m.output()) {
            p.replace(m.output(), x);
            return Ok(());
        }
        // A shape that is computed at run time but copies nothing from the middle value (no zeros) serves the first value as well.
        let shape = match request(m.dims("x")?, m.dims_of(m.output())?) {
            Ok(shape) => p.ints(&format!("{}_shape", m.label()), &shape),
            Err(reason) => {
                ensure(m.root().is("Reshape"), reason.text)?;
                let operand = m.root().input(1).ok_or("its shape is omitted")?;
                let contents = m.contents_of(operand).ok_or("its shape is not known")?;
                let plain = contents.dims.iter().all(|d| d.as_const().is_some_and(|v| v != 0));
                ensure(plain, "its shape may copy sizes of the value between")?;
                operand.into()
            }
        };
        let y = p.op("Reshape", [x.into(), shape], Attrs::new());
        p.replace(m.output(), y);
        Ok(())
    },
)
.shared();

pub const RESHAPE_KNOWN: Rule = Rule::new(
    "reshape-known",
    "A `Reshape` whose computed shape is known up to copied sizes and one unknown takes a constant shape (`0` copies, `-1` is the unknown).",
    "%y = Reshape(?x, ?shape)",
    |m| applies(!m.is_constant("shape"), "its shape is constant already"),
    |m, p| {
        // What the operand says, not what the output was declared as.
        let contents = m.contents_of(m.value("shape")?).ok_or("its shape is not known")?;
        ensure(!contents.dims.iter().any(|d| d.as_const() == Some(0)), "its shape holds a zero")?;
        let shape = request(m.dims("x")?, &contents.dims)?;
        let shape = p.ints(&format!("{}_shape", m.label()), &shape);
        let y = p.op("Reshape", [m.value("x")?.into(), shape], Attrs::new());
        p.replace(m.output(), y);
        Ok(())
    },
);

/// The shape to ask `Reshape` (without `allowzero`) for, so that a value of dims `from` gets dims `to` whatever the symbols are.
fn request(from: &[Dim], to: &[Dim]) -> Result<Vec<i64>, Reason> {
    let mut out = vec![];
    for (axis, d) in to.iter().enumerate() {
        out.push(match d.as_const() {
            Some(0) => return Err("a dim is 0".into()),
            // Positive, or the -1 that stands in the operand already.
            Some(v) => v,
            None if from.get(axis) == Some(d) => 0,
            None => -1,
        });
    }
    let unknown = out.iter().filter(|v| **v == -1).count();
    if unknown > 1 {
        return Err("more than one size is only known when the model runs".into());
    }
    Ok(out)
}
