//! Arrays of numpy: `.npy` streams to tensors and back.

use lapidary_ir::{DType, Diagnostic, Diagnostics, Result, Tensor};
use npyz::{Endianness, NpyHeader, Order, TypeChar};
use std::io::{self, Read, Write};

/// What the head of a `.npy` stream says.
pub(crate) struct Head {
    pub kind: Kind,
    pub sizes: Vec<usize>,
    /// Bytes of one element as stored.
    pub item_bytes: usize,
    big_endian: bool,
    fortran: bool,
}

/// How elements are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Of(DType),
    /// Fixed-width text in UTF-32, padded with zeros.
    Unicode,
    /// Fixed-width bytes, padded with zeros.
    Bytes,
    /// Numbers that numpy has no name for (bf16, 8-bit floats): only the reader's own type says what they are.
    Raw,
}

/// Reads the head; the stream then stands at the first element.
pub(crate) fn head(r: &mut impl Read) -> Result<Head> {
    let h = NpyHeader::from_reader(r).map_err(damaged)?;
    let npyz::DType::Plain(t) = h.dtype() else {
        return Err(unfit("arrays of records are not supported").help("store each field as an array of its own").into());
    };
    let bytes = t.num_bytes().unwrap_or(0);
    let kind = match (t.type_char(), bytes) {
        (TypeChar::Bool, 1) => Kind::Of(DType::Bool),
        (TypeChar::Int, 1) => Kind::Of(DType::I8),
        (TypeChar::Int, 2) => Kind::Of(DType::I16),
        (TypeChar::Int, 4) => Kind::Of(DType::I32),
        (TypeChar::Int, 8) => Kind::Of(DType::I64),
        (TypeChar::Uint, 1) => Kind::Of(DType::U8),
        (TypeChar::Uint, 2) => Kind::Of(DType::U16),
        (TypeChar::Uint, 4) => Kind::Of(DType::U32),
        (TypeChar::Uint, 8) => Kind::Of(DType::U64),
        (TypeChar::Float, 2) => Kind::Of(DType::F16),
        (TypeChar::Float, 4) => Kind::Of(DType::F32),
        (TypeChar::Float, 8) => Kind::Of(DType::F64),
        (TypeChar::Complex, 8) => Kind::Of(DType::C64),
        (TypeChar::Complex, 16) => Kind::Of(DType::C128),
        (TypeChar::UnicodeStr, _) => Kind::Unicode,
        (TypeChar::ByteStr, _) => Kind::Bytes,
        (TypeChar::RawData, 1 | 2) => Kind::Raw,
        (TypeChar::Object, _) => {
            return Err(unfit("the array holds Python objects").help("store strings with astype(str), sequences as one array each").into());
        }
        _ => return Err(unfit(&format!("the array's element type '{t}' is none of ONNX's")).into()),
    };
    let sizes: Option<Vec<usize>> = h.shape().iter().map(|s| usize::try_from(*s).ok()).collect();
    let sizes = sizes.filter(|s| bytes_of(s, bytes).is_some()).ok_or_else(|| unfit("the array is larger than memory"))?;
    let (big_endian, fortran) = (t.endianness() == Endianness::Big, h.order() == Order::Fortran && h.shape().len() > 1);
    Ok(Head { kind, sizes, item_bytes: bytes, big_endian, fortran })
}

fn bytes_of(sizes: &[usize], item: usize) -> Option<usize> {
    sizes.iter().try_fold(item, |n, s| n.checked_mul(*s)).filter(|n| *n <= isize::MAX as usize)
}

fn damaged(e: io::Error) -> Diagnostics {
    Diagnostic::error("array-damaged", format!("this is no array of numpy, or a damaged one: {e}")).into()
}

fn unfit(message: &str) -> Diagnostic {
    Diagnostic::error("array-type", message)
}

/// Reads the elements that follow a head. `wanted` decides what raw elements are, and packs 4-bit and 2-bit types.
pub(crate) fn read(r: &mut impl Read, wanted: DType) -> Result<Tensor> {
    let h = head(r)?;
    let need = bytes_of(&h.sizes, h.item_bytes).unwrap_or(0);
    let data = take(r, need)?;
    h.tensor(&h.sizes, data, wanted)
}

/// Exactly `need` bytes; memory grows with what is there, never with what is claimed.
pub(crate) fn take(r: &mut impl Read, need: usize) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    r.take(need as u64).read_to_end(&mut data).map_err(damaged)?;
    if data.len() < need {
        return Err(Diagnostic::error("array-damaged", format!("the array needs {need} bytes, but only {} follow", data.len())).into());
    }
    Ok(data)
}

impl Head {
    /// Whether rows along axis 0 lie one after the other, so that a slice can be read on its own.
    pub fn sliceable(&self) -> bool {
        !self.fortran && !self.sizes.is_empty()
    }
    /// A tensor of stored bytes, for the whole array or for a slice of it.
    pub fn tensor(&self, sizes: &[usize], mut data: Vec<u8>, wanted: DType) -> Result<Tensor> {
        if self.big_endian {
            let part = match self.kind {
                Kind::Unicode => 4,
                Kind::Of(DType::C64 | DType::C128) => self.item_bytes / 2,
                _ => self.item_bytes,
            };
            if part > 1 {
                data.chunks_exact_mut(part).for_each(<[u8]>::reverse);
            }
        }
        if self.fortran {
            data = to_row_major(&data, sizes, self.item_bytes);
        }
        match self.kind {
            Kind::Of(stored) if wanted.is_packed() && stored.is_int() => {
                let codes = Tensor::new(stored, sizes, data)?.to_i64().unwrap_or_default();
                Tensor::from_i64(wanted, sizes, &codes)
            }
            // Booleans of other writers may hold any nonzero byte.
            Kind::Of(DType::Bool) => Tensor::new(DType::Bool, sizes, data.iter().map(|b| u8::from(*b != 0)).collect::<Vec<u8>>()),
            Kind::Of(stored) => Tensor::new(stored, sizes, data),
            Kind::Raw if wanted.bits() == self.item_bytes * 8 => Tensor::new(wanted, sizes, data),
            Kind::Raw => Err(unfit(&format!("the array holds raw {}-byte elements, which are no {wanted}", self.item_bytes)).into()),
            Kind::Bytes => {
                let text = data.chunks_exact(self.item_bytes.max(1)).map(|c| trimmed(c).to_vec().into());
                Tensor::strings(sizes, pad(text.collect(), sizes, self.item_bytes))
            }
            Kind::Unicode => {
                let text = data.chunks_exact(self.item_bytes.max(1)).map(|c| {
                    let chars = c.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                    let s: String = chars.take_while(|c| *c != 0).map(|c| char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
                    s.into()
                });
                Tensor::strings(sizes, pad(text.collect(), sizes, self.item_bytes))
            }
        }
    }
}

/// Text of width 0 takes no bytes: every element is empty.
fn pad(mut text: Vec<bytes::Bytes>, sizes: &[usize], item_bytes: usize) -> Vec<bytes::Bytes> {
    if item_bytes == 0 {
        text.resize(sizes.iter().product(), bytes::Bytes::new());
    }
    text
}

fn trimmed(c: &[u8]) -> &[u8] {
    let end = c.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
    &c[..end]
}

/// Elements stored with the first axis fastest, brought into order with the last axis fastest.
fn to_row_major(data: &[u8], sizes: &[usize], item: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut at = vec![0usize; sizes.len()];
    for _ in 0..sizes.iter().product::<usize>() {
        let index = at.iter().zip(sizes).rev().fold(0, |i, (a, s)| i * s + a);
        out.extend_from_slice(&data[index * item..(index + 1) * item]);
        for axis in (0..sizes.len()).rev() {
            at[axis] += 1;
            if at[axis] < sizes[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    out
}

/// Writes a tensor as `.npy`. Types without a name in numpy become raw bytes (bf16, 8-bit floats) or one integer each (4-bit and smaller).
pub(crate) fn write(w: &mut impl Write, t: &Tensor) -> io::Result<()> {
    let (descr, data): (String, std::borrow::Cow<'_, [u8]>) = match t.dtype() {
        DType::String => unicode(t.as_strings().unwrap_or_default()),
        d if d.is_packed() => {
            let signed = d.is_signed_int();
            let codes = t.to_i64().unwrap_or_else(|| t.unpack().unwrap_or_default().into_iter().map(i64::from).collect());
            (if signed { "|i1" } else { "|u1" }.into(), codes.iter().map(|v| *v as u8).collect::<Vec<u8>>().into())
        }
        d => {
            let letter = match d {
                DType::Bool => 'b',
                DType::F16 | DType::F32 | DType::F64 => 'f',
                DType::C64 | DType::C128 => 'c',
                d if d.is_signed_int() => 'i',
                d if d.is_int() => 'u',
                _ => 'V',
            };
            let bytes = d.bits() / 8;
            (format!("{}{letter}{bytes}", if bytes == 1 { '|' } else { '<' }), t.bytes().as_ref().into())
        }
    };
    let dims: Vec<String> = t.sizes().iter().map(|s| s.to_string()).collect();
    let shape = if dims.len() == 1 { format!("({},)", dims[0]) } else { format!("({})", dims.join(", ")) };
    let mut head = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    // Magic, version and length take 10 bytes; data start at a multiple of 64.
    while (10 + head.len() + 1) % 64 != 0 {
        head.push(' ');
    }
    head.push('\n');
    w.write_all(b"\x93NUMPY\x01\x00")?;
    w.write_all(&(head.len() as u16).to_le_bytes())?;
    w.write_all(head.as_bytes())?;
    w.write_all(&data)
}

fn unicode(strings: &[bytes::Bytes]) -> (String, std::borrow::Cow<'static, [u8]>) {
    let text: Vec<Vec<u32>> = strings.iter().map(|s| String::from_utf8_lossy(s).chars().map(u32::from).collect()).collect();
    let width = text.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let mut data = Vec::with_capacity(text.len() * width * 4);
    for s in &text {
        (0..width).for_each(|i| data.extend(s.get(i).copied().unwrap_or(0).to_le_bytes()));
    }
    (format!("<U{width}"), data.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(t: &Tensor) -> Tensor {
        let mut file = vec![];
        write(&mut file, t).unwrap();
        read(&mut &file[..], t.dtype()).unwrap()
    }

    #[test]
    fn written_arrays_read_back() {
        for d in DType::all().filter(|d| !matches!(d, DType::Unknown | DType::String)) {
            let t = match d {
                DType::C64 | DType::C128 => Tensor::zeros(d, &[2, 3]).unwrap(),
                d => Tensor::random(d, &[2, 3], 7, None).unwrap(),
            };
            if !matches!(d, DType::F4E2M1) {
                assert_eq!(round_trip(&t), t, "{d}");
            }
        }
        let t = Tensor::strings(&[2], vec!["a".into(), "größe".into()]).unwrap();
        assert_eq!(round_trip(&t), t);
        assert_eq!(round_trip(&Tensor::scalar(3i64)), Tensor::scalar(3i64));
    }

    #[test]
    fn first_axis_fastest_becomes_last_axis_fastest() {
        let stored: Vec<u8> = vec![1, 4, 2, 5, 3, 6];
        assert_eq!(to_row_major(&stored, &[2, 3], 1), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn refuses_short_data() {
        let mut file = vec![];
        write(&mut file, &Tensor::from_vec(vec![1f32, 2.0])).unwrap();
        assert!(read(&mut &file[..file.len() - 1], DType::F32).is_err());
        assert!(read(&mut &b"no array"[..], DType::F32).is_err());
    }
}
