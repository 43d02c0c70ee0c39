//! fuse-matmul-add: a matrix product and its bias as one Gemm.
//!
//! `MatMul(a, w) + c` becomes `Gemm(a, w, c)` where `a` and `w` are matrices (rank 2), `w` is constant, and `c` broadcasts to the result.
//! Products of higher rank stay: Gemm would need two reshapes, which cost more than the sum saves.

use lapidary_ir::Attrs;
use lapidary_rewrite::{Effect, Pass, Rule, Run, applies, ensure};

pub static PASS: Pass =
    Pass { name: "fuse-matmul-add", source: include_str!("mod.rs"), effect: Effect::Rounding, options: &[], rules: RULES, run: Run::Rules };

static RULES: &[Rule] = &[Rule::new(
    "matmul-add",
    "`MatMul(a, w) + c` of matrices is `Gemm(a, w, c)`.",
    "%p = MatMul(?a, ?w)\n%y = Add(%p, ?c)",
    |m| {
        applies(m.rank("a")? == 2 && m.rank("w")? == 2, "the operands are not matrices")?;
        m.constant_here("w")?;
        let c = m.constant_here("c")?;
        ensure(c.rank() <= 2, "the summand has more than two dims")?;
        let product = m.id("p")?.out(0);
        ensure(m.graph.ty(product) == m.graph.ty(m.output()), "the summand broadcasts the product")?;
        ensure(m.dtype("a")?.is_float(), "integer products keep their own operator")
    },
    |m, p| {
        let y = p.op("Gemm", [m.value("a")?.into(), m.value("w")?.into(), m.value("c")?.into()], Attrs::new());
        p.named_like(y, m.id("p")?);
        p.replace(m.output(), y);
        Ok(())
    },
)];
