//! The protobuf messages of ONNX (IR version 14, opset 28), generated from `proto/onnx-ml.proto`.
//!
//! `bytes` fields are [`bytes::Bytes`]: decoding from a `Bytes` that owns a memory-mapped file slices the map instead
//! of copying weights. `onnx.rs` is written by the test `generated_proto_is_current` when `LAPIDARY_BLESS=1` is set.

#[allow(clippy::all, rustdoc::all, missing_docs)]
#[rustfmt::skip]
mod onnx;

pub use onnx::*;
