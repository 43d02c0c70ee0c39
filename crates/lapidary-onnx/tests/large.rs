//! Models beyond protobuf's 2 GiB: out and in again, without a second copy of the weights.

mod support;

use lapidary_ir::{DType, Tensor};
use lapidary_onnx::*;
use support::*;

const TENSORS: usize = 9;
const TENSOR_BYTES: usize = 256 << 20;

/// `(ulimit -d 400000; cargo test -p lapidary-onnx --test large -- --ignored)` shows that no weights are copied.
#[test]
#[ignore = "writes 2.4 GB"]
fn more_than_two_gigabytes_stream_out_and_map_in() {
    let dir = tempfile::tempdir().unwrap();
    // Weights that take no memory: a file of holes, with a mark in each tensor.
    let source = dir.path().join("source");
    let file = std::fs::File::create(&source).unwrap();
    file.set_len((TENSORS * TENSOR_BYTES) as u64).unwrap();
    for i in 0..TENSORS {
        use std::os::unix::fs::FileExt;
        file.write_at(&[i as u8 + 1], (i * TENSOR_BYTES + 12_345) as u64).unwrap();
    }
    let weights = mapping::open(&source, Access::Map).unwrap();
    let mut model = model_from_proto(kitchen_sink(), &ReadOptions::default()).unwrap();
    for i in 0..TENSORS {
        let tensor = Tensor::new(DType::U8, &[TENSOR_BYTES], weights.slice(i * TENSOR_BYTES..(i + 1) * TENSOR_BYTES)).unwrap();
        let id = model.graph.add_const(format!("big_{i}"), tensor);
        model.graph.add_output(id);
    }
    let path = dir.path().join("m.onnx");
    let refused = write_model(&model, &path, &WriteOptions { external: ExternalData::Embed, ..Default::default() }).unwrap_err();
    assert_eq!(refused.0[0].code, codes::TOO_LARGE_TO_EMBED);
    let start = std::time::Instant::now();
    let written = write_model(&model, &path, &WriteOptions::default()).unwrap();
    eprintln!("written in {:?}: {written:?}", start.elapsed());
    assert!(written.model_bytes < 1 << 20 && written.data.is_some_and(|(_, bytes)| bytes > 2_400_000_000));
    let start = std::time::Instant::now();
    let back = read_model(&path, &ReadOptions::default()).unwrap();
    eprintln!("read in {:?}", start.elapsed());
    let values = back.graph.values_by_name();
    for i in 0..TENSORS {
        let tensor = back.graph.as_constant(values[format!("big_{i}").as_str()]).unwrap();
        assert_eq!((tensor.bytes().len(), tensor.bytes()[12_345], tensor.bytes()[12_346]), (TENSOR_BYTES, i as u8 + 1, 0));
    }
}
