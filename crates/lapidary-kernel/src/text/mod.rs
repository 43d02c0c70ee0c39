//! The text form of programs and kernels: printed for people, diffed, and read back to the same program. The grammar is in
//! `docs/kernels.md`.
//!
//! Every buffer, axis and local has a name that is a word; a buffer whose own name is none, or is taken, has it in quotes behind. Names
//! such as `%3` stand for expressions that several others share: they say nothing about when the expression is evaluated.
//!
//! ```
//! use lapidary_kernel::text::parse_program;
//! let text = "program sums {
//!   in 0 x: f32[N, 64]
//!   out 0 y: f32[N]
//!
//!   kernel row_sums from ReduceSum_1 {
//!     par i < N
//!     axes j < 64
//!     t0 = sum(j): f32 x[i, j]
//!     y[i] = t0
//!   }
//! }
//! ";
//! let program = parse_program(text, &|_| None)?;
//! assert_eq!(program.to_text(), text);
//! # Ok::<(), lapidary_ir::Diagnostics>(())
//! ```

mod expr;
mod index;
mod names;
mod parser;
mod printer;

pub(crate) use names::Names;
pub use parser::parse_program;

use crate::{BinaryOp, Kernel, Program, ReduceOp, UnaryOp};

impl Program {
    /// The program as text. [`parse_program`] reads it back to what [`Program::compact`] makes of the program.
    pub fn to_text(&self) -> String {
        let mut p = self.clone();
        p.compact();
        printer::program(&p)
    }
    /// One kernel of the program as text.
    pub fn kernel_text(&self, k: &Kernel) -> String {
        let mut p = Program { name: self.name.clone(), buffers: self.buffers.clone(), kernels: vec![k.clone()], checks: vec![] };
        p.compact();
        printer::one_kernel(&p)
    }
}

/// Functions of one operand. Negation is a minus.
pub(crate) const UNARY: &[(&str, UnaryOp)] = &[
    ("abs", UnaryOp::Abs),
    ("acos", UnaryOp::Acos),
    ("acosh", UnaryOp::Acosh),
    ("asin", UnaryOp::Asin),
    ("asinh", UnaryOp::Asinh),
    ("atan", UnaryOp::Atan),
    ("atanh", UnaryOp::Atanh),
    ("bitnot", UnaryOp::BitNot),
    ("ceil", UnaryOp::Ceil),
    ("cos", UnaryOp::Cos),
    ("cosh", UnaryOp::Cosh),
    ("erf", UnaryOp::Erf),
    ("exp", UnaryOp::Exp),
    ("floor", UnaryOp::Floor),
    ("isinf", UnaryOp::IsInf),
    ("isnan", UnaryOp::IsNan),
    ("log", UnaryOp::Log),
    ("not", UnaryOp::Not),
    ("reciprocal", UnaryOp::Reciprocal),
    ("round", UnaryOp::Round),
    ("sigmoid", UnaryOp::Sigmoid),
    ("sign", UnaryOp::Sign),
    ("sin", UnaryOp::Sin),
    ("sinh", UnaryOp::Sinh),
    ("sqrt", UnaryOp::Sqrt),
    ("tan", UnaryOp::Tan),
    ("tanh", UnaryOp::Tanh),
    ("trunc", UnaryOp::Trunc),
];

/// Functions of two operands.
pub(crate) const CALLS: &[(&str, BinaryOp)] = &[
    ("max", BinaryOp::Max),
    ("min", BinaryOp::Min),
    ("mod", BinaryOp::Mod),
    ("pow", BinaryOp::Pow),
    ("rem", BinaryOp::Rem),
    ("shl", BinaryOp::Shl),
    ("shr", BinaryOp::Shr),
];

/// Operators between their operands and how tightly they bind. All associate to the left; comparisons do not chain.
pub(crate) const INFIX: &[(&str, BinaryOp, u8)] = &[
    ("or", BinaryOp::Or, 1),
    ("xor", BinaryOp::Xor, 1),
    ("and", BinaryOp::And, 2),
    ("==", BinaryOp::Eq, COMPARISON),
    ("!=", BinaryOp::Ne, COMPARISON),
    ("<=", BinaryOp::Le, COMPARISON),
    (">=", BinaryOp::Ge, COMPARISON),
    ("<", BinaryOp::Lt, COMPARISON),
    (">", BinaryOp::Gt, COMPARISON),
    ("|", BinaryOp::BitOr, 4),
    ("^", BinaryOp::BitXor, 4),
    ("&", BinaryOp::BitAnd, 5),
    ("+", BinaryOp::Add, 6),
    ("-", BinaryOp::Sub, 6),
    ("*", BinaryOp::Mul, 7),
    ("/", BinaryOp::Div, 7),
];
const COMPARISON: u8 = 3;
/// How tightly negation binds, and what needs no parentheses ever.
pub(crate) const NEGATION: u8 = 8;
pub(crate) const PRIMARY: u8 = 9;

pub(crate) const REDUCE: &[(&str, ReduceOp)] =
    &[("max", ReduceOp::Max), ("min", ReduceOp::Min), ("product", ReduceOp::Product), ("sum", ReduceOp::Sum)];

/// Words with a meaning of their own: no buffer, axis or local is called so.
pub(crate) const RESERVED: &[&str] = &[
    "and", "axes", "ceildiv", "check", "const", "else", "false", "floordiv", "fma", "for", "from", "in", "inf", "kernel", "let", "local", "nan",
    "or", "out", "par", "program", "recur", "schedule", "select", "serial", "temp", "true", "when", "within", "xor",
];

/// The dtype that a function of an operand of this dtype gives.
pub(crate) fn unary_dtype(op: UnaryOp, of: lapidary_ir::DType) -> lapidary_ir::DType {
    if keeps_dtype(op) { of } else { lapidary_ir::DType::Bool }
}

pub(crate) fn keeps_dtype(op: UnaryOp) -> bool {
    !matches!(op, UnaryOp::IsNan | UnaryOp::IsInf | UnaryOp::Not)
}
