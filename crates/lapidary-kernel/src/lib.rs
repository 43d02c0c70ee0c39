//! The loop-level IR between the graph (operators) and LLVM (registers): [`Kernel`]s say *what* is computed as loops over buffers,
//! with no order, tiles or target; a [`Program`] is the buffers and the kernels in order. See docs/kernels.md.
//!
//! * A kernel has parallel axes (one point each is independent), and statements that reduce over, or run along, further axes.
//! * Values are a DAG of scalar expressions ([`Expr`]), read through affine [`Index`]es. Out-of-range reads are guarded.
//! * Views (transpose, slice, reshape, broadcast) are kernels of one load and one store; lowering composes them into indices.
#![forbid(unsafe_code)]

pub mod blocked;
mod builder;
mod choices;
mod compact;
mod expr;
pub mod f29;
mod index;
pub mod interp;
mod moves;
mod plan;
mod program;
mod schedule;
pub mod text;
pub mod typical;
mod verify;

pub use blocked::{Blocked, Blocks, PANEL};
pub use builder::KernelBuilder;
pub use choices::{Algorithm, Block, Choices, Tile};
pub use expr::{BinaryOp, Expr, ExprId, ExprKind, Scalar, UnaryOp};
pub use f29::F29;
pub use index::{Atom, AxisId, Guard, Index, delinearize, linearize};
pub use moves::{BAND, LAYOUT, Move, PACK, WINOGRAD};
pub use plan::{ARENA_ALIGN, Bounds, Plan, Port, Strips, align};
pub use program::{Axis, Buffer, BufferId, BufferKind, Check, Factor, Kernel, Local, LocalId, Program, Recurrence, ReduceOp, Stmt};
pub use schedule::{Cpu, Factors, QUAD, Schedule, Target};
