use lapidary_ir::{Dim, Tensor};
use smallvec::SmallVec;

/// The elements of a small integer tensor, as far as they are known as sizes: what Shape → Gather → Concat → Reshape chains compute.
#[derive(Clone, Debug, PartialEq)]
pub struct Contents {
    pub sizes: SmallVec<[usize; 4]>,
    pub dims: Vec<Dim>,
}

impl Contents {
    /// More elements than this are data, not shapes.
    pub const LIMIT: usize = 1024;

    pub fn vector(dims: Vec<Dim>) -> Contents {
        Contents { sizes: SmallVec::from_slice(&[dims.len()]), dims }
    }
    pub fn scalar(dim: Dim) -> Contents {
        Contents { sizes: SmallVec::new(), dims: vec![dim] }
    }
    /// The contents of an integer constant that is small enough; bools count as 0 and 1.
    pub fn of(tensor: &Tensor) -> Option<Contents> {
        if tensor.len() > Contents::LIMIT || tensor.dtype().is_float() {
            return None;
        }
        Some(Contents { sizes: tensor.sizes().into(), dims: tensor.to_i64()?.into_iter().map(Dim::from).collect() })
    }
    /// All elements, when every one is a plain number.
    pub fn as_ints(&self) -> Option<Vec<i64>> {
        self.dims.iter().map(Dim::as_const).collect()
    }
}
