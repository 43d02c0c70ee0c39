//! ONNX files to and from `Graph`: protobuf, external data, opset differences. No other crate knows protobuf.
#![deny(unsafe_code)]

pub mod codes;
pub mod decode;
mod encode;
pub mod external;
pub mod mapping;
pub mod proto;
mod sha1;
pub mod store;
mod visit;
