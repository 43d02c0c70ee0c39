//! Constants in 16 bits, and what they lose.

use lapidary_ir::{DType, Element, Result, Tensor, encode_16};

/// What rounding did to a tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    pub elements: usize,
    /// Finite elements beyond the largest number.
    pub overflow: usize,
    /// Elements that are not zero and smaller than the smallest normal number, those that became zero among them.
    pub subnormal: usize,
    pub zero: usize,
}

/// Exponent bits of a 16-bit type.
pub fn exponent_bits(to: DType) -> u32 {
    if to == DType::BF16 { 8 } else { 5 }
}

/// The largest finite code.
fn largest(to: DType) -> u16 {
    let bits = exponent_bits(to);
    (((1 << bits) - 1) << (15 - bits)) - 1
}

/// The tensor in `to` (f16 or bf16), each element rounded to nearest even once. `infinity`: finite elements may become infinite; otherwise
/// they become the largest number.
pub fn convert(t: &Tensor, to: DType, infinity: bool) -> Result<(Tensor, Loss)> {
    let (bits, largest) = (exponent_bits(to), largest(to));
    let smallest = 1u16 << (15 - bits); // the first normal code
    let mut loss = Loss { elements: t.len(), ..Loss::default() };
    let mut bytes = Vec::with_capacity(t.len() * 2);
    for v in t.bytes().chunks_exact(4).map(f32::read) {
        let mut code = encode_16(f64::from(v), bits);
        let size = code & 0x7fff;
        if v.is_finite() && size > largest {
            loss.overflow += 1;
            if !infinity {
                code = code & 0x8000 | largest;
            }
        }
        if v != 0.0 && size < smallest {
            loss.subnormal += 1;
            loss.zero += usize::from(size == 0);
        }
        code.write(&mut bytes);
    }
    Ok((Tensor::new(to, t.sizes(), bytes)?, loss))
}
