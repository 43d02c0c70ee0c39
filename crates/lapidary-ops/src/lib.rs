//! What operators mean. One file per operator in `ops/`, one sorted list [`OPS`]; `infer` gives types and symbolic shapes, `eval` the
//! reference meaning, `lower` the kernels. The drivers over whole graphs are [`infer_types`] and [`evaluate`].
#![forbid(unsafe_code)]

mod arg;
mod cast;
mod cells;
mod contents;
mod contract;
mod def;
mod elementwise;
mod eval;
mod forms;
mod infer;
mod lanes;
mod lower;
mod numbers;
mod ops;
mod packed;
mod pool;
mod quantize;
mod recurrent;
mod reduce;
mod regions;
mod rows;
mod run_time;
mod running;
pub mod schema;
mod sequences;
mod shapes;
mod slide;
mod softmax;
mod views;
mod window;

pub use contents::Contents;
pub use def::{Form, OpDef, find};
pub use eval::{Datum, EvalCtx, EvalOptions, evaluate, evaluate_node, evaluate_with};
pub use infer::{Facts, InferCtx, infer_node, infer_types};
pub use lower::{LowerCtx, Operand};
pub use ops::OPS;
pub use packed::NF4;
pub use window::Window;
