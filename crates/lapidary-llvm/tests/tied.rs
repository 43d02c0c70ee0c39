//! Weights that a product and a lookup share: kept once, native against the evaluator.
#![cfg(any(feature = "llvm19", feature = "llvm22"))]

mod common;

use common::*;
use lapidary_ir::{DType, Tensor};
use lapidary_kernel::{Atom, ExprKind, Kernel};

#[test]
fn embeddings_are_looked_up_in_the_panels_of_the_head() {
    let ids = Tensor::from_i64(DType::I64, &[5], &[0, 699, 17, -1, 16]).unwrap();
    let source = "graph @g(%ids: i64[N]) {\n  const %e : f32[700, 96] = random(1)\n  %x = Gather(%e, %ids) {axis=0} : f32[N, 96]\n  \
                  %y = Gemm(%x, %e) {transB=1} : f32[N, 700]\n  return %y, %x\n}\n";
    let in_panels = |k: &Kernel| {
        k.exprs.iter().any(|e| match &e.kind {
            ExprKind::Load { index, .. } => {
                index.iter().flat_map(|i| i.terms()).any(|(a, _)| matches!(a, Atom::FloorDiv(i, _) if i.as_axis().is_none()))
            }
            _ => false,
        })
    };
    agrees_natively(source, &[ids], 1e-5, &|kernels| assert!(kernels.iter().any(|(k, _)| in_panels(k))));
}
