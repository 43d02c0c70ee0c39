//! What passes are made of, and what runs them: patterns, rules and patches; [`Pass`] and its context; pipelines as text; the pass
//! manager with its checks, dumps, crash reproducers and ledger. The passes themselves live in `lapidary-passes`.
#![forbid(unsafe_code)]

pub mod compare;
mod cost;
mod crash;
mod driver;
mod exec;
mod inputs;
mod ledger;
mod lift;
mod limits;
mod manager;
mod memory;
pub mod metric;
pub mod options;
mod pass;
mod patch;
pub mod pattern;
pub mod pipeline;
mod rule;
pub mod selector;

pub use cost::{Sizes, graph_bytes, graph_multiply_adds, multiply_adds, node_count};
pub use driver::apply_rules;
pub use exec::{DataSource, Evaluator, Executor, InMemory, NoData, Runner, Samples};
pub use inputs::random_inputs;
pub use ledger::{Entry, ErrorStats, Ledger, OutputError};
pub use limits::Limits;
pub use manager::{Check, CheckFailure, Environment, Report, RunOptions, Verdict, run};
pub use metric::{Metric, Sums};
pub use options::{Kind, OptionSpec, OptionValue, Options};
pub use pass::{Effect, Miss, Outcome, Pass, PassCtx, Run, SideFile, for_each_graph, origin};
pub use patch::{Operand, Patch, available, check_replacement, newest_op, replace_value};
pub use pipeline::{Call, Pipeline, Step};
pub use rule::{Match, Reason, Rule, always, applies, ensure};
