//! `ArgMin(x)` is the index along `axis` (default 0) of the smallest element: the first of several, or the last with `select_last_index=1`.
//! NaN wins.
//!
//! Shapes: the axis becomes 1, or goes with `keepdims=0`.
//!
//! Types: data: u8 i8 u16 i16 u32 i32 u64 i64 f16 bf16 f32 f64.
//!
//! Versions: 1, 11, 12, 13. Source: the ONNX operator "ArgMin".

use crate::{OpDef, arg};
use lapidary_kernel::ReduceOp;

pub static DEF: OpDef = OpDef {
    lower: Some(|c| arg::lower(c, ReduceOp::Min)),
    eval: Some(|c| arg::eval(c, &|a, b| a < b)),
    forms: &[arg::LAST],
    ..OpDef::base("ArgMin", include_str!("arg_min.rs"), arg::infer)
};
