use crate::common::permutation;
use lapidary_ir::Attrs;
use lapidary_rewrite::{Match, Reason, Rule, always, applies};

fn root_perm(m: &Match<'_>) -> Result<Vec<usize>, Reason> {
    permutation(m.root(), m.rank("x")?).ok_or_else(|| "its permutation is not one".into())
}

fn is_identity(perm: &[usize]) -> bool {
    perm.iter().enumerate().all(|(i, p)| i == *p)
}

pub const TRANSPOSE_SAME: Rule = Rule::new(
    "transpose-same",
    "`Transpose(x)` that leaves every axis in place is `x`.",
    "%y = Transpose(?x)",
    |m| applies(is_identity(&root_perm(m)?), "axes move"),
    |m, p| {
        p.replace(m.output(), m.value("x")?);
        Ok(())
    },
);

pub const TRANSPOSE_TRANSPOSE: Rule = Rule::new(
    "transpose-transpose",
    "`Transpose(Transpose(x, p), q)` is `Transpose(x, p∘q)`, and nothing at all when `p∘q` is the identity.",
    "%i = Transpose(?x)\n%y = Transpose(%i)",
    always,
    |m, p| {
        let inner = permutation(m.node("i")?, m.rank("x")?).ok_or("its permutation is not one")?;
        let composed: Vec<usize> = root_perm(m)?.into_iter().map(|axis| inner[axis]).collect();
        if is_identity(&composed) {
            p.replace(m.output(), m.value("x")?);
        } else {
            let perm: Vec<i64> = composed.iter().map(|a| *a as i64).collect();
            let y = p.op("Transpose", [m.value("x")?.into()], Attrs::new().with("perm", perm));
            p.replace(m.output(), y);
        }
        Ok(())
    },
)
.shared();
