//! ONNX files to and from [`lapidary_ir::Graph`]: protobuf, external data, opset differences. No other crate knows protobuf.
//!
//! [`read_model`] maps a file and gives a [`Model`]: the graph, and what the file says around it. [`write_model`] streams it out again.
//! Weights are never copied on the way: tensors are slices of the map, and the writer sends them from there.
#![deny(unsafe_code)]

mod attr;
pub mod codes;
pub mod data;
pub mod decode;
mod encode;
mod expand;
mod export;
pub mod external;
mod import;
mod ir_version;
mod lifted;
pub mod mapping;
mod model;
pub mod opset;
pub mod proto;
mod read;
pub mod schemas;
mod sha1;
pub mod store;
pub mod tensor;
mod types;
mod visit;
mod write;

pub use expand::{ExpandLimits, expand_functions};
pub use mapping::Access;
pub use model::{About, Model};
pub use read::{ReadOptions, model_from_bytes, model_from_proto, read_model};
pub use store::{ExternalData, Written};
pub use write::{ValueInfo, WriteOptions, model_to_bytes, model_to_proto, write_model};
