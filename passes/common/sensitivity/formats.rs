//! The number formats that a layer may be stored and computed in, as sensitivities and choices see them.

use crate::common::codes::{Grid, Unit};
use crate::common::nbits::stored_bits;
use faer::Mat;
use lapidary_ir::{DType, Diagnostic, Result, nearest};
use std::fmt;

/// What becomes of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// It stays as it is.
    Float,
    /// Weights in 8 bits, a scale for each output, and its input in 8 bits: what `fake-quant` makes.
    Int8,
    /// Weights of so many bits in blocks, a scale and a zero point for each; its input stays: what `quantize-weights` makes.
    Weights(u32),
}

const NAMES: [&str; 9] = ["float", "int8", "w8", "int7", "int6", "int5", "int4", "int3", "int2"];

impl Format {
    /// The format of a name: `float`, `int8`, `w8` (weights alone), `int7` … `int2` (weights alone; `w4` is another name of `int4`).
    ///
    /// # Errors
    /// A name that is none; the nearest one is proposed.
    pub fn parse(name: &str) -> Result<Format> {
        let bits = name.strip_prefix("int").or_else(|| name.strip_prefix('w')).and_then(|b| b.parse::<u32>().ok());
        match (name, bits) {
            ("float" | "f32", _) => Ok(Format::Float),
            ("int8", _) => Ok(Format::Int8),
            ("w8", _) => Ok(Format::Weights(8)),
            (_, Some(bits @ 2..=7)) => Ok(Format::Weights(bits)),
            _ => {
                let near = nearest(name, NAMES).map(|n| format!("did you mean '{n}'? ")).unwrap_or_default();
                let d = Diagnostic::error("format", format!("there is no format '{name}'"));
                Err(d.help(format!("{near}there are float, int8 (weights and inputs), w8 and int7 to int2 (weights alone)")).into())
            }
        }
    }
    /// Several, separated by commas or `|`, each once, in the order given.
    pub fn parse_list(text: &str) -> Result<Vec<Format>> {
        let mut out = vec![];
        for name in text.split([',', '|']).map(str::trim).filter(|n| !n.is_empty()) {
            let format = Format::parse(name)?;
            if !out.contains(&format) {
                out.push(format);
            }
        }
        if out.is_empty() { Err(Diagnostic::error("format", "no format is named").help("write int8,int4").into()) } else { Ok(out) }
    }
    /// The matrix as this format keeps it; `None` for what stays as it is.
    pub fn round(self, w: &Mat<f64>, dtype: DType, block: usize) -> Option<Mat<f64>> {
        let grid = match self {
            Format::Float => return None,
            Format::Int8 => Grid { bits: 8, symmetric: true, unit: Unit::Row, clip: false, dtype: DType::F32 },
            Format::Weights(bits) => Grid { bits, symmetric: false, unit: Unit::Block(block), clip: false, dtype },
        };
        Some(grid.round(w).matrix())
    }
    /// Bits of a weight's code, scales not counted.
    pub fn code_bits(self, dtype: DType) -> u32 {
        match self {
            Format::Float => dtype.bits() as u32,
            Format::Int8 => 8,
            Format::Weights(bits) => bits,
        }
    }
    /// Bytes of a matrix in a file, scales and zero points included: codes of 3 bits take 4 there, of 5 to 7 bits 8.
    pub fn bytes(self, rows: usize, columns: usize, dtype: DType, block: usize) -> u64 {
        let (rows, columns, float) = (rows as u64, columns as u64, dtype.bits() as u64 / 8);
        match self {
            Format::Float => rows * columns * float,
            Format::Int8 => rows * columns + rows * 5,
            Format::Weights(bits) => {
                let (bits, block) = (u64::from(stored_bits(bits)), block.max(1) as u64);
                let blocks = columns.div_ceil(block);
                rows * (blocks * block.min(columns) * bits / 8 + blocks * float + (blocks * bits).div_ceil(8))
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Format::Float => f.write_str("float"),
            Format::Int8 => f.write_str("int8"),
            Format::Weights(8) => f.write_str("w8"),
            Format::Weights(bits) => write!(f, "int{bits}"),
        }
    }
}

impl serde::Serialize for Format {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_mistakes_are_named() {
        for name in NAMES {
            assert_eq!(Format::parse(name).unwrap().to_string(), name);
        }
        assert_eq!(Format::parse_list("int8, w4|int4").unwrap(), [Format::Int8, Format::Weights(4)]);
        for (text, word) in [("int9", "there is no format 'int9'"), ("itn8", "did you mean 'int8'"), (" ,", "no format")] {
            let e = format!("{:?}", Format::parse_list(text).unwrap_err());
            assert!(e.contains(word), "{text}: {e}");
        }
    }

    #[test]
    fn fewer_bits_take_fewer_bytes_where_files_have_them() {
        let bytes = |f: Format| f.bytes(64, 128, DType::F32, 32);
        assert_eq!(bytes(Format::Float), 64 * 128 * 4);
        assert_eq!(bytes(Format::Weights(4)), 64 * (64 + 16 + 2));
        assert_eq!(bytes(Format::Weights(3)), bytes(Format::Weights(4)));
        assert!(bytes(Format::Weights(2)) < bytes(Format::Weights(3)) && bytes(Format::Int8) < bytes(Format::Weights(8)));
    }
}
