use crate::{DType, Dim};
use smallvec::SmallVec;
use std::fmt;
use std::sync::Arc;

/// The dims of a ranked shape, outermost first.
pub type Dims = SmallVec<[Dim; 4]>;

/// The shape of a tensor: its dims, or nothing known, not even the rank.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    Ranked(Dims),
    Unranked,
}

impl Shape {
    /// A ranked shape from anything that converts to dims: `Shape::of([2, 3])`.
    pub fn of<D: Into<Dim>>(dims: impl IntoIterator<Item = D>) -> Shape {
        Shape::Ranked(dims.into_iter().map(Into::into).collect())
    }
    pub fn scalar() -> Shape {
        Shape::Ranked(Dims::new())
    }
    pub fn dims(&self) -> Option<&[Dim]> {
        match self {
            Shape::Ranked(d) => Some(d),
            Shape::Unranked => None,
        }
    }
    pub fn rank(&self) -> Option<usize> {
        self.dims().map(<[Dim]>::len)
    }
    /// The sizes, when every dim is a constant that fits memory.
    pub fn sizes(&self) -> Option<SmallVec<[usize; 4]>> {
        self.dims()?.iter().map(|d| d.as_const().and_then(|v| usize::try_from(v).ok())).collect()
    }
    /// The product of the dims: how many elements.
    pub fn elements(&self) -> Option<Dim> {
        Some(self.dims()?.iter().fold(Dim::from(1), |a, d| &a * d))
    }
}

/// Element type and shape of a tensor value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    pub dtype: DType,
    pub shape: Shape,
}

impl TensorType {
    pub fn new(dtype: DType, shape: Shape) -> TensorType {
        TensorType { dtype, shape }
    }
}

/// The type of a value: a tensor nearly always, or one of ONNX's containers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    Tensor(TensorType),
    /// ONNX's sparse tensor: the type of the dense tensor that it stands for.
    Sparse(TensorType),
    Sequence(Arc<Type>),
    Optional(Arc<Type>),
    Map(DType, Arc<Type>),
    /// Nothing is known; printed as `?`.
    Unknown,
}

impl Type {
    /// A tensor type of constant or symbolic dims: `Type::tensor(DType::F32, [2, 3])`.
    pub fn tensor<D: Into<Dim>>(dtype: DType, dims: impl IntoIterator<Item = D>) -> Type {
        Type::Tensor(TensorType::new(dtype, Shape::of(dims)))
    }
    pub fn as_tensor(&self) -> Option<&TensorType> {
        match self {
            Type::Tensor(t) => Some(t),
            _ => None,
        }
    }
    /// The element type of a tensor, [`DType::Unknown`] of anything else.
    pub fn dtype(&self) -> DType {
        self.as_tensor().map_or(DType::Unknown, |t| t.dtype)
    }
    /// The dims of a ranked tensor.
    pub fn dims(&self) -> Option<&[Dim]> {
        self.as_tensor()?.shape.dims()
    }
    pub fn rank(&self) -> Option<usize> {
        self.dims().map(<[Dim]>::len)
    }
    /// The sizes of a tensor all of whose dims are constant.
    pub fn sizes(&self) -> Option<SmallVec<[usize; 4]>> {
        self.as_tensor()?.shape.sizes()
    }
}

impl From<TensorType> for Type {
    fn from(t: TensorType) -> Type {
        Type::Tensor(t)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Unranked => f.write_str("[*]"),
            Shape::Ranked(dims) => {
                f.write_str("[")?;
                for (i, d) in dims.iter().enumerate() {
                    write!(f, "{}{d}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
        }
    }
}

/// `f32[N, 3]`, `i64[]` for a scalar, `f32[*]` where the rank is unknown.
impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Tensor(t) => write!(f, "{t}"),
            Type::Sparse(t) => write!(f, "sparse<{t}>"),
            Type::Sequence(t) => write!(f, "seq<{t}>"),
            Type::Optional(t) => write!(f, "optional<{t}>"),
            Type::Map(k, v) => write!(f, "map<{k}, {v}>"),
            Type::Unknown => f.write_str("?"),
        }
    }
}
