//! Kernels to native libraries through LLVM: code, descriptor, weights, link.
//!
//! [`compile`] takes a [`Plan`](lapidary_kernel::Plan) to `libNAME.so` or `.a`, with header and pkg-config file. [`loaded`] opens such
//! libraries; it needs no LLVM.

pub mod loaded;
mod options;

#[cfg(any(feature = "llvm19", feature = "llvm22"))]
mod compile;
#[cfg(any(feature = "llvm19", feature = "llvm22"))]
mod emit;
#[cfg(any(feature = "llvm19", feature = "llvm22"))]
mod link;
#[cfg(any(feature = "llvm19", feature = "llvm22"))]
mod weights;

#[cfg(any(feature = "llvm19", feature = "llvm22"))]
pub use compile::compile;
#[cfg(any(feature = "llvm19", feature = "llvm22"))]
pub use emit::tile::{max_vectors, row_counts};
pub use options::{CompileOptions, Emit, KernelReport, Report, WeightsMode};
