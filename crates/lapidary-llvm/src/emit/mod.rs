//! From kernels to LLVM modules.

pub mod body;
pub mod contract;
pub mod expr;
mod f29;
mod finish;
pub mod index;
pub mod ir;
pub mod library;
pub mod loops;
pub mod machine;
pub mod math;
pub mod memory;
pub mod nest;
mod operands;
pub mod ops;
mod quantize;
pub mod scope;
pub mod sizes;
pub mod statements;
pub mod tile;
mod tile_blocks;
pub mod turn;
pub mod types;
pub mod window_codes;
