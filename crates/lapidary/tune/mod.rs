//! Tuning: candidate schedules of each kernel are measured on this machine, and the fastest are kept.
//!
//! Four decisions are taken one after the other: the algorithm of each convolution, strips or none, the register tile of each contraction, the
//! block around it. For each decision, all kernels take their first alternative in one library, their second in another, and so on. Libraries
//! count the time of each kernel, and take turns with the one that holds what was chosen before. The cost model's choice stays unless another
//! is clearly faster, alone and together with all others that were chosen.

#[cfg(feature = "llvm")]
mod alternatives;
mod file;
#[cfg(feature = "llvm")]
mod measure;
#[cfg(feature = "llvm")]
mod search;

pub use file::Tuning;
#[cfg(feature = "llvm")]
pub(crate) use search::tune;

use serde::Serialize;

/// What tuning found.
#[derive(Clone, Debug, Serialize)]
pub struct Tuned {
    #[serde(skip)]
    pub tuning: Tuning,
    /// Choices that are other than the cost models'.
    pub changed: usize,
    /// The fastest run by the cost models' choices, and by those that were found.
    pub before_ms: f64,
    pub after_ms: f64,
}

/// Tells that this build cannot measure.
#[cfg(not(feature = "llvm"))]
pub(crate) fn tune(
    _: &lapidary_ir::Graph,
    _: &[lapidary_ops::Datum],
    _: &crate::CompileOptions,
    _: &mut dyn FnMut(&str),
) -> lapidary_ir::Result<Tuned> {
    Err(crate::native::no_code_generation())
}
