use crate::{DType, Diagnostic, Diagnostics, Dim, Element, Result, Shape, TensorType};
use bytes::Bytes;
use half::{bf16, f16};
use smallvec::SmallVec;
use std::sync::Arc;

/// A constant: element type, sizes, and the elements, row-major and little endian, in bytes that may be a slice of a mapped file.
/// Elements smaller than a byte are packed, the first in the low bits. Cloning shares the bytes.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    dtype: DType,
    sizes: SmallVec<[usize; 4]>,
    data: Data,
}

#[derive(Clone, PartialEq)]
enum Data {
    Raw(Bytes),
    Strings(Arc<[Bytes]>),
}

impl Tensor {
    /// A tensor over raw bytes. Fails when the bytes are not as many as type and sizes ask for.
    pub fn new(dtype: DType, sizes: &[usize], data: impl Into<Bytes>) -> Result<Tensor> {
        let data = data.into();
        let need = elements(sizes).and_then(|n| dtype.bytes_for(n));
        if need != Some(data.len()) || matches!(dtype, DType::Unknown | DType::String) {
            let need = need.map_or("more bytes than there can be".into(), |n| format!("{n} bytes"));
            return Err(Diagnostic::error("tensor-size", format!("a tensor {dtype}{sizes:?} needs {need}, but has {}", data.len())).into());
        }
        Ok(Tensor { dtype, sizes: sizes.into(), data: Data::Raw(data) })
    }
    /// A tensor of strings (bytes, as in ONNX).
    pub fn strings(sizes: &[usize], data: Vec<Bytes>) -> Result<Tensor> {
        if elements(sizes) != Some(data.len()) {
            return Err(Diagnostic::error("tensor-size", format!("a tensor string{sizes:?} does not hold {} strings", data.len())).into());
        }
        Ok(Tensor { dtype: DType::String, sizes: sizes.into(), data: Data::Strings(data.into()) })
    }
    /// A tensor from Rust values. Panics when `sizes` does not hold `values.len()` elements: for sizes that code has just computed.
    pub fn from_slice<T: Element>(sizes: &[usize], values: &[T]) -> Tensor {
        assert_eq!(elements(sizes), Some(values.len()), "sizes {sizes:?} hold {} values", values.len());
        let mut data = Vec::with_capacity(values.len() * T::SIZE);
        values.iter().for_each(|v| v.write(&mut data));
        Tensor { dtype: T::DTYPE, sizes: sizes.into(), data: Data::Raw(data.into()) }
    }
    pub fn scalar<T: Element>(value: T) -> Tensor {
        Tensor::from_slice(&[], &[value])
    }
    pub fn from_vec<T: Element>(values: Vec<T>) -> Tensor {
        Tensor::from_slice(&[values.len()], &values)
    }
    /// All zeros (empty strings for strings). Fails when the size does not fit memory's address space.
    pub fn zeros(dtype: DType, sizes: &[usize]) -> Result<Tensor> {
        let too_large = || Diagnostics::from(Diagnostic::error("tensor-size", format!("a tensor {dtype}{sizes:?} does not fit memory")));
        let count = elements(sizes).ok_or_else(too_large)?;
        if dtype == DType::String {
            return Tensor::strings(sizes, vec![Bytes::new(); count]);
        }
        let bytes = dtype.bytes_for(count).filter(|b| *b < isize::MAX as usize).ok_or_else(too_large)?;
        Tensor::new(dtype, sizes, vec![0u8; bytes])
    }
    /// Values given as f64, converted (rounded to nearest even, integers saturated) to `dtype`. For f64 itself and all narrower types
    /// this is one rounding. `values` must be as many as `sizes` hold.
    pub fn from_f64(dtype: DType, sizes: &[usize], values: &[f64]) -> Result<Tensor> {
        from_scalars(dtype, sizes, values.iter().map(|v| crate::tensor::Scalar::F(*v)))
    }
    /// Values given as i64, wrapped to integer types, converted to floating ones.
    pub fn from_i64(dtype: DType, sizes: &[usize], values: &[i64]) -> Result<Tensor> {
        from_scalars(dtype, sizes, values.iter().map(|v| crate::tensor::Scalar::I(*v)))
    }
    /// Elements that `seed` decides, the same on every machine: evenly spread over `range`, which is [-1, 1) for floating types, all
    /// codes of integers up to 8 bits, ±100 (from 0 where unsigned) for wider ones. Fails for strings and complex numbers.
    pub fn random(dtype: DType, sizes: &[usize], seed: u64, range: Option<(f64, f64)>) -> Result<Tensor> {
        let count = Tensor::zeros(dtype, sizes)?.len();
        let (low, high) = range.unwrap_or(match dtype.int_range() {
            Some((low, high)) if dtype.bits() <= 8 => (low as f64, high as f64),
            Some((low, _)) => (if low < 0 { -100.0 } else { 0.0 }, 100.0),
            None if dtype == DType::Bool => (0.0, 1.0),
            None => (-1.0, 1.0),
        });
        let mut state = seed;
        let mut unit = || (split_mix(&mut state) >> 11) as f64 / (1u64 << 53) as f64;
        if dtype.is_float() {
            let values: Vec<f64> = (0..count).map(|_| low + (high - low) * unit()).collect();
            return Tensor::from_f64(dtype, sizes, &values);
        }
        let values: Vec<i64> = (0..count).map(|_| (low + (high - low + 1.0) * unit()).floor().min(high) as i64).collect();
        Tensor::from_i64(dtype, sizes, &values)
    }
    pub fn dtype(&self) -> DType {
        self.dtype
    }
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }
    pub fn rank(&self) -> usize {
        self.sizes.len()
    }
    /// How many elements.
    pub fn len(&self) -> usize {
        self.sizes.iter().product()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    pub fn ty(&self) -> TensorType {
        TensorType::new(self.dtype, Shape::Ranked(self.sizes.iter().map(|s| Dim::from(*s)).collect()))
    }
    /// The raw bytes; empty for strings.
    pub fn bytes(&self) -> &Bytes {
        static EMPTY: Bytes = Bytes::new();
        match &self.data {
            Data::Raw(b) => b,
            Data::Strings(_) => &EMPTY,
        }
    }
    pub fn as_strings(&self) -> Option<&[Bytes]> {
        match &self.data {
            Data::Raw(_) => None,
            Data::Strings(s) => Some(s),
        }
    }
    /// Bytes that the elements take.
    pub fn byte_size(&self) -> usize {
        match &self.data {
            Data::Raw(b) => b.len(),
            Data::Strings(s) => s.iter().map(Bytes::len).sum(),
        }
    }
    /// The elements as Rust values, when `T` is the element type.
    pub fn to_vec<T: Element>(&self) -> Option<Vec<T>> {
        (self.dtype == T::DTYPE).then(|| self.bytes().chunks_exact(T::SIZE).map(T::read).collect())
    }
    /// The elements as f64, whatever real type they have (`bool` as 0 and 1); `None` for strings and complex numbers.
    pub fn to_f64(&self) -> Option<Vec<f64>> {
        macro_rules! all {
            ($t:ty) => {
                self.bytes().chunks_exact(<$t as Element>::SIZE).map(|c| f64::from(<$t as Element>::read(c))).collect()
            };
        }
        Some(match self.dtype {
            DType::F64 => all!(f64),
            DType::F32 => all!(f32),
            DType::F16 => all!(f16),
            DType::BF16 => all!(bf16),
            DType::F8E4M3FN => self.bytes().iter().map(|b| float8::F8E4M3::from_bits(*b).to_f64()).collect(),
            DType::F8E5M2 => self.bytes().iter().map(|b| float8::F8E5M2::from_bits(*b).to_f64()).collect(),
            DType::F8E4M3FNUZ => self.bytes().iter().map(|b| crate::dtype_small::decode_f8(*b, 3, 8, true)).collect(),
            DType::F8E5M2FNUZ => self.bytes().iter().map(|b| crate::dtype_small::decode_f8(*b, 2, 16, true)).collect(),
            DType::F8E8M0 => self.bytes().iter().map(|b| crate::dtype_small::decode_e8m0(*b)).collect(),
            DType::F4E2M1 => self.unpack()?.iter().map(|b| crate::dtype_small::decode_f4(*b)).collect(),
            DType::U64 => self.bytes().chunks_exact(8).map(|c| u64::read(c) as f64).collect(),
            _ => self.to_i64()?.into_iter().map(|v| v as f64).collect(),
        })
    }
    /// The elements as i64, for integer types and bool (u64 wraps); `None` for others.
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        macro_rules! all {
            ($t:ty) => {
                self.bytes().chunks_exact(<$t as Element>::SIZE).map(|c| <$t as Element>::read(c) as i64).collect()
            };
        }
        Some(match self.dtype {
            DType::Bool => all!(bool),
            DType::U8 => all!(u8),
            DType::I8 => all!(i8),
            DType::U16 => all!(u16),
            DType::I16 => all!(i16),
            DType::U32 => all!(u32),
            DType::I32 => all!(i32),
            DType::U64 => all!(u64),
            DType::I64 => all!(i64),
            DType::U4 | DType::U2 => self.unpack()?.into_iter().map(i64::from).collect(),
            DType::I4 => self.unpack()?.into_iter().map(|b| (((b << 4) as i8) >> 4) as i64).collect(),
            DType::I2 => self.unpack()?.into_iter().map(|b| (((b << 6) as i8) >> 6) as i64).collect(),
            _ => return None,
        })
    }
    /// The codes of a packed type, one per byte, as stored (not sign-extended).
    pub fn unpack(&self) -> Option<Vec<u8>> {
        let bits = self.dtype.bits();
        if !self.dtype.is_packed() {
            return None;
        }
        let per = 8 / bits;
        let mask = (1u8 << bits) - 1;
        Some((0..self.len()).map(|i| (self.bytes()[i / per] >> ((i % per) * bits)) & mask).collect())
    }
    /// The same elements with other sizes. Fails when the count differs.
    pub fn reshaped(&self, sizes: &[usize]) -> Result<Tensor> {
        if elements(sizes) != Some(self.len()) {
            return Err(Diagnostic::error("tensor-size", format!("{:?} cannot be reshaped to {sizes:?}", self.sizes)).into());
        }
        Ok(Tensor { dtype: self.dtype, sizes: sizes.into(), data: self.data.clone() })
    }
    /// 64 bits of content hash over type, sizes and elements; equal on every machine.
    pub fn content_hash(&self) -> u64 {
        let mut h = xxhash_rust::xxh3::Xxh3::new();
        h.update(self.dtype.name().as_bytes());
        self.sizes.iter().for_each(|s| h.update(&(*s as u64).to_le_bytes()));
        // Without elements nothing tells where sizes end: `[0]` would be a scalar zero.
        if self.is_empty() {
            h.update(b"empty");
        }
        match &self.data {
            Data::Raw(b) => h.update(b),
            Data::Strings(s) => s.iter().for_each(|b| {
                h.update(&(b.len() as u64).to_le_bytes());
                h.update(b);
            }),
        }
        h.digest()
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{:?}#{:016x}", self.dtype, self.sizes, self.content_hash())
    }
}

fn elements(sizes: &[usize]) -> Option<usize> {
    sizes.iter().try_fold(1usize, |a, s| a.checked_mul(*s)).filter(|n| *n <= isize::MAX as usize)
}

/// One step of SplitMix64 (Steele, Lea, Flood 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[derive(Clone, Copy)]
pub(crate) enum Scalar {
    F(f64),
    I(i64),
}

fn from_scalars(dtype: DType, sizes: &[usize], values: impl ExactSizeIterator<Item = Scalar>) -> Result<Tensor> {
    let mut out = Vec::with_capacity(dtype.bytes_for(values.len()).unwrap_or(0));
    let mut codes = Vec::new();
    for v in values {
        let as_f = match v {
            Scalar::F(f) => f,
            Scalar::I(i) => i as f64,
        };
        macro_rules! int {
            ($t:ty) => {
                match v {
                    Scalar::F(f) => (f.round_ties_even() as $t).write(&mut out),
                    Scalar::I(i) => (i as $t).write(&mut out),
                }
            };
        }
        match dtype {
            DType::F64 => as_f.write(&mut out),
            DType::F32 => match v {
                Scalar::F(f) => (f as f32).write(&mut out),
                Scalar::I(i) => (i as f32).write(&mut out),
            },
            DType::F16 => crate::dtype_small::encode_16(as_f, 5).write(&mut out),
            DType::BF16 => crate::dtype_small::encode_16(as_f, 8).write(&mut out),
            DType::Bool => (as_f != 0.0).write(&mut out),
            DType::U8 => int!(u8),
            DType::I8 => int!(i8),
            DType::U16 => int!(u16),
            DType::I16 => int!(i16),
            DType::U32 => int!(u32),
            DType::I32 => int!(i32),
            DType::U64 => int!(u64),
            DType::I64 => int!(i64),
            DType::F8E4M3FN | DType::F8E5M2 | DType::F8E4M3FNUZ | DType::F8E5M2FNUZ | DType::F8E8M0 => {
                out.push(crate::dtype_small::encode_f8(dtype, as_f))
            }
            DType::F4E2M1 => codes.push(crate::dtype_small::encode_f4(as_f)),
            DType::U4 | DType::I4 | DType::U2 | DType::I2 => {
                let (lo, hi) = dtype.int_range().unwrap_or((0, 0));
                let code = match v {
                    Scalar::F(f) => (f.round_ties_even().clamp(lo as f64, hi as f64)) as i64,
                    Scalar::I(i) => i,
                };
                codes.push(code as u8);
            }
            DType::Unknown | DType::String | DType::C64 | DType::C128 => {
                return Err(Diagnostic::unsupported("dtype", format!("real numbers cannot be stored as {dtype}")).into());
            }
        }
    }
    if dtype.is_packed() {
        let bits = dtype.bits();
        let mask = (1u8 << bits) - 1;
        out = codes.chunks(8 / bits).map(|c| c.iter().enumerate().fold(0, |b, (i, v)| b | ((v & mask) << (i * bits)))).collect();
    }
    Tensor::new(dtype, sizes, out)
}
