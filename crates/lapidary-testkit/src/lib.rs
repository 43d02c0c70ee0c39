//! What tests of all crates share: random well-formed graphs, types and tensors, structural comparison of graphs, and assertions
//! on numbers in the words of the contract ("Equality").
#![forbid(unsafe_code)]

mod arbitrary;
mod graphs;
mod same;

pub use arbitrary::{any_attr, any_dim, any_name, any_tensor, any_tensor_of, any_type, small_sizes};
pub use graphs::any_graph;
pub use same::{assert_close, assert_same_graph, graph_difference};
