//! Any bytes give a model or an error; a model that was read is a well-formed graph, and what is written of it reads back to the same bytes.
#![no_main]

use bytes::Bytes;
use lapidary_onnx::{ExpandLimits, ReadOptions, WriteOptions, expand_functions, model_from_bytes, model_to_bytes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let options = ReadOptions { lift: data.len() % 2 == 0, ..ReadOptions::default() };
    let Ok(model) = model_from_bytes(&Bytes::copy_from_slice(data), &options) else { return };
    // Whatever stands wrong in the file, the graph's own structure must hold.
    for d in model.graph.verify() {
        assert!(!["edges", "no-such-value", "input", "const", "region"].contains(&d.code), "{d}");
    }
    let _ = expand_functions(&model, &ExpandLimits { growth: 4, slack: 1000, ..ExpandLimits::default() });
    let Ok(written) = model_to_bytes(&model, &WriteOptions::default()) else { return };
    let again = model_from_bytes(&Bytes::from(written.clone()), &options).unwrap_or_else(|e| panic!("{e}"));
    if let Ok(twice) = model_to_bytes(&again, &WriteOptions::default()) {
        assert!(twice == written, "written twice, and different");
    }
});
