use half::{bf16, f16};

/// Element types of tensors: all of ONNX's, with its names shortened the usual way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// Not known yet (an operator without a shape rule produced the value).
    Unknown,
    Bool,
    U2,
    I2,
    U4,
    I4,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F4E2M1,
    F8E4M3FN,
    F8E4M3FNUZ,
    F8E5M2,
    F8E5M2FNUZ,
    F8E8M0,
    F16,
    BF16,
    F32,
    F64,
    C64,
    C128,
    String,
}

/// One row per element type: the type, its name in the text form, bits per element, the ONNX `TensorProto.DataType` code.
const TABLE: &[(DType, &str, usize, i32)] = &[
    (DType::Unknown, "unknown", 0, 0),
    (DType::Bool, "bool", 8, 9),
    (DType::U2, "u2", 2, 25),
    (DType::I2, "i2", 2, 26),
    (DType::U4, "u4", 4, 21),
    (DType::I4, "i4", 4, 22),
    (DType::U8, "u8", 8, 2),
    (DType::I8, "i8", 8, 3),
    (DType::U16, "u16", 16, 4),
    (DType::I16, "i16", 16, 5),
    (DType::U32, "u32", 32, 12),
    (DType::I32, "i32", 32, 6),
    (DType::U64, "u64", 64, 13),
    (DType::I64, "i64", 64, 7),
    (DType::F4E2M1, "f4e2m1", 4, 23),
    (DType::F8E4M3FN, "f8e4m3fn", 8, 17),
    (DType::F8E4M3FNUZ, "f8e4m3fnuz", 8, 18),
    (DType::F8E5M2, "f8e5m2", 8, 19),
    (DType::F8E5M2FNUZ, "f8e5m2fnuz", 8, 20),
    (DType::F8E8M0, "f8e8m0", 8, 24),
    (DType::F16, "f16", 16, 10),
    (DType::BF16, "bf16", 16, 16),
    (DType::F32, "f32", 32, 1),
    (DType::F64, "f64", 64, 11),
    (DType::C64, "c64", 64, 14),
    (DType::C128, "c128", 128, 15),
    (DType::String, "string", 0, 8),
];

impl DType {
    fn row(self) -> &'static (DType, &'static str, usize, i32) {
        TABLE.iter().find(|r| r.0 == self).unwrap_or(&TABLE[0])
    }
    /// Every element type, in the order of the enum.
    pub fn all() -> impl Iterator<Item = DType> {
        TABLE.iter().map(|r| r.0)
    }
    /// The name in the text form, such as `f32`.
    pub fn name(self) -> &'static str {
        self.row().1
    }
    /// The element type with this name in the text form.
    pub fn from_name(name: &str) -> Option<DType> {
        TABLE.iter().find(|r| r.1 == name).map(|r| r.0)
    }
    /// The ONNX `TensorProto.DataType` code; 0 for unknown.
    pub fn onnx_code(self) -> i32 {
        self.row().3
    }
    /// The element type with this ONNX `TensorProto.DataType` code.
    pub fn from_onnx_code(code: i32) -> Option<DType> {
        TABLE.iter().find(|r| r.3 == code).map(|r| r.0)
    }
    /// Bits that one element takes in memory; 0 for strings and the unknown type.
    pub fn bits(self) -> usize {
        self.row().2
    }
    /// Bytes that `count` elements take, sub-byte types packed (low bits first, the last byte padded with zeros).
    pub fn bytes_for(self, count: usize) -> Option<usize> {
        Some(count.checked_mul(self.bits())?.div_ceil(8))
    }
    /// Whether elements smaller than a byte share bytes.
    pub fn is_packed(self) -> bool {
        matches!(self.bits(), 2 | 4)
    }
    /// Whether this is a real floating-point type (any width, including 8 and 4 bits).
    pub fn is_float(self) -> bool {
        use DType::*;
        matches!(self, F4E2M1 | F8E4M3FN | F8E4M3FNUZ | F8E5M2 | F8E5M2FNUZ | F8E8M0 | F16 | BF16 | F32 | F64)
    }
    /// Whether this is a signed or unsigned integer type (any width; not bool).
    pub fn is_int(self) -> bool {
        use DType::*;
        matches!(self, U2 | I2 | U4 | I4 | U8 | I8 | U16 | I16 | U32 | I32 | U64 | I64)
    }
    /// Whether this is a signed integer type.
    pub fn is_signed_int(self) -> bool {
        use DType::*;
        matches!(self, I2 | I4 | I8 | I16 | I32 | I64)
    }
    /// Smallest and largest value of an integer type.
    pub fn int_range(self) -> Option<(i128, i128)> {
        if !self.is_int() {
            return None;
        }
        let bits = self.bits() as u32;
        Some(if self.is_signed_int() { (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1) } else { (0, (1i128 << bits) - 1) })
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Rust types that are stored as one element each, little endian.
pub trait Element: Copy + Send + Sync + 'static {
    const DTYPE: DType;
    const SIZE: usize;
    /// Reads the element from the first `SIZE` bytes.
    fn read(bytes: &[u8]) -> Self;
    /// Appends the element's bytes.
    fn write(self, out: &mut Vec<u8>);
}

macro_rules! element {
    ($($t:ty => $d:ident),*) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            const SIZE: usize = size_of::<$t>();
            fn read(bytes: &[u8]) -> Self {
                let mut raw = [0u8; size_of::<$t>()];
                raw.copy_from_slice(&bytes[..size_of::<$t>()]);
                <$t>::from_le_bytes(raw)
            }
            fn write(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
element!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, u64 => U64, i64 => I64, f16 => F16, bf16 => BF16, f32 => F32, f64 => F64);

impl Element for bool {
    const DTYPE: DType = DType::Bool;
    const SIZE: usize = 1;
    fn read(bytes: &[u8]) -> Self {
        bytes[0] != 0
    }
    fn write(self, out: &mut Vec<u8>) {
        out.push(self as u8);
    }
}
