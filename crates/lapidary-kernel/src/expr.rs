use crate::{BufferId, Guard, Index, LocalId};
use lapidary_ir::DType;

/// An expression of a kernel, by position in [`crate::Kernel::exprs`]. Operands come before users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExprId(pub u32);

/// A scalar value and its type. Arithmetic is done in this type: f16 and bf16 round after each step, integers wrap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Expr {
    pub dtype: DType,
    pub kind: ExprKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ExprKind {
    Const(Scalar),
    /// The value of an index, as i64.
    Index(Index),
    /// Whether every index lies in its range (bool).
    Within(Guard),
    /// An element of a buffer. Where the guard fails, `otherwise` (by default 0) instead, and nothing is read.
    Load {
        buffer: BufferId,
        index: Vec<Index>,
        guard: Guard,
        otherwise: Option<ExprId>,
    },
    /// A local scalar, or the element of a local array at the given axes' current positions.
    Local(LocalId),
    Unary(UnaryOp, ExprId),
    Binary(BinaryOp, ExprId, ExprId),
    /// `a · b + c` in f32 or f64, rounded once.
    Fma(ExprId, ExprId, ExprId),
    /// `condition ? then : else`; both sides may be evaluated.
    Select(ExprId, ExprId, ExprId),
    /// Conversion to the expression's dtype: float to integer truncates and saturates (NaN gives 0), integers wrap, to bool is `!= 0`,
    /// to a narrower float rounds to nearest even.
    Cast(ExprId),
}

/// A constant, by bits, so that it can be compared and hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// The bits of an f64.
    Float(u64),
    /// Integers and bool.
    Int(i64),
}

impl Scalar {
    pub fn float(v: f64) -> Scalar {
        Scalar::Float(v.to_bits())
    }
    pub fn as_f64(self) -> f64 {
        match self {
            Scalar::Float(b) => f64::from_bits(b),
            Scalar::Int(v) => v as f64,
        }
    }
    pub fn as_i64(self) -> i64 {
        match self {
            Scalar::Float(b) => f64::from_bits(b) as i64,
            Scalar::Int(v) => v,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    Neg,
    Abs,
    Sign,
    Exp,
    Log,
    Sqrt,
    Reciprocal,
    Floor,
    Ceil,
    /// To nearest, ties to even.
    Round,
    /// Towards zero.
    Trunc,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Asinh,
    Acosh,
    Atanh,
    Erf,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// Of bool.
    Not,
    BitNot,
    IsNan,
    IsInf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    /// Integers truncate towards zero; division by zero gives 0.
    Div,
    /// Remainder with the sign of the divisor (integers: Python's `%`); by zero gives 0.
    Mod,
    /// Remainder with the sign of the dividend (C's `fmod`).
    Rem,
    /// NaN wins.
    Min,
    /// NaN wins.
    Max,
    Pow,
    /// Of bool, as are the next two.
    And,
    Or,
    Xor,
    BitAnd,
    BitOr,
    BitXor,
    /// Shifts by the width or more give 0.
    Shl,
    Shr,
    /// Comparisons give bool.
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl BinaryOp {
    pub fn is_comparison(self) -> bool {
        use BinaryOp::*;
        matches!(self, Eq | Ne | Lt | Le | Gt | Ge)
    }
}

impl ExprKind {
    /// The expressions that this one is made of, those within its indices included.
    pub fn operands(&self) -> Vec<ExprId> {
        let mut out = vec![];
        match self {
            ExprKind::Const(_) | ExprKind::Local(_) => {}
            ExprKind::Index(i) => i.values(&mut out),
            ExprKind::Within(g) => g.iter().for_each(|(i, _)| i.values(&mut out)),
            ExprKind::Load { index, guard, otherwise, .. } => {
                index.iter().for_each(|i| i.values(&mut out));
                guard.iter().for_each(|(i, _)| i.values(&mut out));
                out.extend(otherwise);
            }
            ExprKind::Unary(_, a) | ExprKind::Cast(a) => out.push(*a),
            ExprKind::Binary(_, a, b) => out.extend([*a, *b]),
            ExprKind::Fma(a, b, c) | ExprKind::Select(a, b, c) => out.extend([*a, *b, *c]),
        }
        out
    }
}
