//! `TensorProto` ↔ [`Tensor`]: raw little-endian bytes inside, whatever field the file used.

use crate::codes;
use crate::external::{ExternalFiles, Location};
use crate::proto::tensor_proto::DataLocation;
use crate::proto::{SparseTensorProto, TensorProto};
use bytes::Bytes;
use lapidary_ir::{DType, Diagnostic, Result, Tensor};
use smallvec::SmallVec;
use std::sync::Arc;

/// Reads a tensor. Raw and external data stay slices of their file; the typed fields are rewritten as raw bytes.
///
/// # Errors
/// An unknown element type, negative or overflowing dims, data that is missing or does not fit type and dims, segments, bad external data.
pub fn decode(t: &TensorProto, files: &mut ExternalFiles) -> Result<Tensor> {
    read(t, files).map_err(|mut e| {
        for d in &mut e.0 {
            d.place.value.get_or_insert_with(|| t.name().to_owned());
        }
        e
    })
}

fn read(t: &TensorProto, files: &mut ExternalFiles) -> Result<Tensor> {
    let bad = |message: String| Diagnostic::error(codes::TENSOR, message);
    let dtype = dtype(t.data_type())?;
    let mut sizes: SmallVec<[usize; 4]> = SmallVec::new();
    for &dim in &t.dims {
        sizes.push(usize::try_from(dim).map_err(|_| bad(format!("a tensor has the negative dim {dim}")))?);
    }
    let count = sizes.iter().try_fold(1usize, |n, s| n.checked_mul(*s));
    let need = count.and_then(|n| dtype.bytes_for(n)).filter(|n| *n <= isize::MAX as usize);
    let (Some(count), Some(need)) = (count, need) else {
        return Err(bad(format!("a tensor's dims {sizes:?} are larger than memory")).into());
    };
    if let Some(s) = &t.segment
        && (s.begin() != 0 || s.end() != count as i64)
    {
        return Err(Diagnostic::unsupported(codes::TENSOR, format!("a tensor holds only its segment {}..{}", s.begin(), s.end()))
            .note("ONNX never said how the segments of a tensor find each other")
            .help("write the tensor whole")
            .into());
    }
    if dtype == DType::String {
        return Tensor::strings(&sizes, t.string_data.clone());
    }
    if t.data_location() == DataLocation::External {
        return Tensor::new(dtype, &sizes, files.slice(&Location::parse(&t.external_data)?, need as u64)?);
    }
    let typed = [t.float_data.len(), t.int32_data.len(), t.int64_data.len(), t.double_data.len(), t.uint64_data.len()];
    let data = match &t.raw_data {
        // An empty `raw_data` beside a filled typed field is what some writers leave behind.
        Some(raw) if !raw.is_empty() || typed == [0; 5] => raw.clone(),
        _ => typed_data(t, dtype, count)?,
    };
    if data.len() != need {
        let what = format!("a tensor {dtype}{sizes:?} needs {need} bytes, and the file has {}", data.len());
        return Err(bad(what).help("the file is damaged, or its writer is; export it again").into());
    }
    Tensor::new(dtype, &sizes, data)
}

/// The element type with this ONNX code.
pub fn dtype(code: i32) -> Result<DType> {
    match DType::from_onnx_code(code) {
        Some(DType::Unknown) => Err(Diagnostic::error(codes::TYPE, "a tensor has no element type").into()),
        Some(dtype) => Ok(dtype),
        None if matches!(code, 27 | 28) => {
            Err(Diagnostic::unsupported(codes::TYPE, "6-bit floating-point elements are not supported").help("cast to f8e4m3fn").into())
        }
        None => Err(Diagnostic::error(codes::TYPE, format!("there is no element type {code}"))
            .help("the file is damaged or newer than this program")
            .into()),
    }
}

/// The elements of the one typed field that ONNX says holds them, as raw bytes.
fn typed_data(t: &TensorProto, dtype: DType, count: usize) -> Result<Bytes> {
    use DType::*;
    let (field, have, per) = match dtype {
        F32 => ("float_data", t.float_data.len(), 1),
        C64 => ("float_data", t.float_data.len(), 2),
        F64 => ("double_data", t.double_data.len(), 1),
        C128 => ("double_data", t.double_data.len(), 2),
        I64 => ("int64_data", t.int64_data.len(), 1),
        U32 | U64 => ("uint64_data", t.uint64_data.len(), 1),
        _ => ("int32_data", t.int32_data.len(), 1),
    };
    let want = if dtype.is_packed() { dtype.bytes_for(count) } else { count.checked_mul(per) };
    if want != Some(have) {
        let want = want.map_or_else(|| "more".to_owned(), |w| w.to_string());
        return Err(Diagnostic::error(
            codes::TENSOR,
            format!("a tensor {dtype}{:?} needs {want} numbers in '{field}', and the file has {have}", t.dims),
        )
        .help("the file is damaged, or its writer is; export it again")
        .into());
    }
    // All allocations below are bounded by what the file holds.
    Ok(match dtype {
        F32 | C64 => t.float_data.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>(),
        F64 | C128 => t.double_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        I64 => t.int64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        U64 => t.uint64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        U32 => t.uint64_data.iter().flat_map(|v| (*v as u32).to_le_bytes()).collect(),
        I32 => t.int32_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        I16 | U16 | F16 | BF16 => t.int32_data.iter().flat_map(|v| (*v as u16).to_le_bytes()).collect(),
        _ => t.int32_data.iter().map(|v| *v as u8).collect(),
    }
    .into())
}

/// Writes a tensor: `raw_data` (a share of the tensor's bytes, no copy), or `string_data`.
pub fn encode(tensor: &Tensor, name: &str) -> TensorProto {
    let mut out = TensorProto {
        dims: tensor.sizes().iter().map(|s| *s as i64).collect(),
        data_type: Some(tensor.dtype().onnx_code()),
        name: (!name.is_empty()).then(|| name.to_owned()),
        ..TensorProto::default()
    };
    match tensor.as_strings() {
        Some(strings) => out.string_data = strings.to_vec(),
        None => out.raw_data = Some(tensor.bytes().clone()),
    }
    out
}

/// Values, indices, dense dims.
pub type Sparse = (Arc<Tensor>, Arc<Tensor>, Vec<i64>);

/// Reads a sparse tensor in coordinate form, without making it dense.
pub fn decode_sparse(s: &SparseTensorProto, files: &mut ExternalFiles) -> Result<Sparse> {
    let (Some(values), Some(indices)) = (&s.values, &s.indices) else {
        return Err(Diagnostic::error(codes::TENSOR, "a sparse tensor lacks its values or its indices").into());
    };
    let (values, indices) = (decode(values, files)?, decode(indices, files)?);
    let count = values.len();
    let fits = match indices.sizes() {
        [n] => *n == count,
        [n, rank] => *n == count && *rank == s.dims.len(),
        _ => false,
    };
    if !fits || values.rank() != 1 || indices.dtype() != DType::I64 || s.dims.iter().any(|d| *d < 0) {
        return Err(Diagnostic::error(codes::TENSOR, "a sparse tensor's values, indices and dims do not fit each other")
            .note(format!("values {:?}, indices {:?} {}, dims {:?}", values.sizes(), indices.sizes(), indices.dtype(), s.dims))
            .into());
    }
    Ok((Arc::new(values), Arc::new(indices), s.dims.clone()))
}

/// Writes a sparse tensor; the name is that of its values.
pub fn encode_sparse((values, indices, dims): &Sparse, name: &str) -> SparseTensorProto {
    SparseTensorProto { values: Some(encode(values, name)), indices: Some(encode(indices, "")), dims: dims.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tensor_proto::Segment;

    fn proto(code: i32, dims: &[i64]) -> TensorProto {
        TensorProto { dims: dims.to_vec(), data_type: Some(code), name: Some("w".into()), ..Default::default() }
    }

    fn read(t: &TensorProto) -> Result<Tensor> {
        decode(t, &mut ExternalFiles::none())
    }

    #[test]
    fn typed_fields_become_raw_bytes() {
        let t = TensorProto { float_data: vec![1.0, -2.0], ..proto(1, &[2]) };
        assert_eq!(read(&t).unwrap(), Tensor::from_slice(&[2], &[1f32, -2.0]));
        // Half-precision numbers lie as their bits in int32_data.
        let t = TensorProto { int32_data: vec![0x3c00, 0xc000], ..proto(10, &[2]) };
        assert_eq!(read(&t).unwrap().to_f64().unwrap(), [1.0, -2.0]);
        let t = TensorProto { int32_data: vec![-1, 255], ..proto(3, &[2]) };
        assert_eq!(read(&t).unwrap().to_i64().unwrap(), [-1, -1]);
        let t = TensorProto { uint64_data: vec![u64::from(u32::MAX)], ..proto(12, &[1]) };
        assert_eq!(read(&t).unwrap().to_i64().unwrap(), [i64::from(u32::MAX)]);
        // Four-bit elements are packed in pairs, the first in the low bits.
        let t = TensorProto { int32_data: vec![0x21, 0x0f], ..proto(22, &[3]) };
        assert_eq!(read(&t).unwrap().to_i64().unwrap(), [1, 2, -1]);
        let t = TensorProto { int32_data: vec![0b11_10_01_00], ..proto(25, &[4]) };
        assert_eq!(read(&t).unwrap().to_i64().unwrap(), [0, 1, 2, 3]);
        let t = TensorProto { float_data: vec![1.0, 2.0], ..proto(14, &[1]) };
        assert_eq!(read(&t).unwrap().bytes().len(), 8);
        let t = TensorProto { string_data: vec![Bytes::from_static(b"\xff")], ..proto(8, &[1]) };
        assert_eq!(read(&t).unwrap().as_strings().unwrap().len(), 1);
    }

    #[test]
    fn written_and_read_again_is_the_same() {
        for dtype in DType::all().filter(|d| !matches!(d, DType::Unknown)) {
            let tensor = Tensor::zeros(dtype, &[3, 5]).unwrap();
            assert_eq!(read(&encode(&tensor, "w")).unwrap(), tensor, "{dtype}");
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let raw = |n: usize| Some(Bytes::from(vec![0; n]));
        for t in [
            TensorProto { raw_data: raw(7), ..proto(1, &[2]) },
            TensorProto { raw_data: raw(8), ..proto(1, &[-1]) },
            TensorProto { raw_data: raw(8), ..proto(1, &[i64::MAX, i64::MAX]) },
            TensorProto { raw_data: raw(0), ..proto(1, &[1 << 62]) },
            TensorProto { float_data: vec![1.0], ..proto(1, &[2]) },
            TensorProto { float_data: vec![1.0], ..proto(7, &[1]) },
            TensorProto { raw_data: raw(8), segment: Some(Segment { begin: Some(2), end: Some(4) }), ..proto(1, &[2]) },
            proto(1, &[1]),
            proto(8, &[1]),
            proto(0, &[1]),
            proto(27, &[1]),
            proto(99, &[1]),
        ] {
            let error = read(&t).unwrap_err();
            assert_eq!(error.0[0].place.value.as_deref(), Some("w"), "{error}");
        }
    }

    #[test]
    fn refuses_sparse_tensors_whose_parts_disagree() {
        let values = TensorProto { float_data: vec![1.0, 2.0], ..proto(1, &[2]) };
        let indices = |n: i64| TensorProto { int64_data: vec![0; n as usize], ..proto(7, &[n]) };
        let sparse = |i| SparseTensorProto { values: Some(values.clone()), indices: Some(i), dims: vec![9] };
        assert!(decode_sparse(&sparse(indices(2)), &mut ExternalFiles::none()).is_ok());
        assert!(decode_sparse(&sparse(indices(3)), &mut ExternalFiles::none()).is_err());
        let none = SparseTensorProto::default();
        assert!(decode_sparse(&none, &mut ExternalFiles::none()).is_err());
    }
}
