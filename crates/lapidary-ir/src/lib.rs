//! The typed graph that every pass rewrites: operators, named values, symbolic dims, constant tensors.
//!
//! This crate knows nothing of ONNX files, LLVM or terminals. Start with [`Graph`]; a value's type is a [`Type`], most often a
//! [`TensorType`] whose [`Shape`] is made of [`Dim`]s (integer polynomials over named sizes). Mistakes are [`Diagnostic`]s.
#![forbid(unsafe_code)]

mod attr;
pub mod compare;
mod diagnostic;
mod dim;
mod dtype;
mod dtype_small;
mod graph;
mod order;
pub mod safetensors;
mod tensor;
pub mod text;
mod types;
mod verify;

pub use attr::{Attr, Attrs};
pub use compare::{Comparison, Tolerance, compare};
pub use diagnostic::{Diagnostic, Diagnostics, Place, Result, Severity, nearest};
pub use dim::{Atom, Dim};
pub use dtype::{DType, Element};
pub use dtype_small::{encode_16, round_16};
pub use graph::{Graph, Node, NodeId, NodeSpec, OpName, Origin, Region, Symbols, Use, Value, ValueId};
pub use tensor::Tensor;
pub use types::{Dims, Shape, TensorType, Type};

/// Any name in the IR: values, nodes, operators, symbols. Cheap to clone.
pub type Name = std::sync::Arc<str>;

/// The domain of the IR's own operators: `input` and `const`. Every value has a producer node, so that outgoing edges are the uses.
pub const CORE_DOMAIN: &str = "core";
