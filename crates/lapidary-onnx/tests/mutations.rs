//! Damaged models: reading gives a model or an error, never a panic, and never takes memory by what a file declares.

mod support;

use bytes::Bytes;
use lapidary_onnx::*;
use proptest::prelude::*;
use prost::Message;
use support::*;

fn seeds() -> Vec<Vec<u8>> {
    let mut out = vec![kitchen_sink().encode_to_vec()];
    for name in ["tiny", "nested", "doubling_functions", "external"] {
        out.push(std::fs::read(fixture(&format!("{name}.onnx"))).unwrap());
    }
    out
}

/// Reads, and whatever could be read is written, read and written again.
fn survive(data: Vec<u8>) {
    for lift in [false, true] {
        let options = ReadOptions { lift, ..ReadOptions::default() };
        let Ok(model) = model_from_bytes(&Bytes::from(data.clone()), &options) else { return };
        for d in model.graph.verify() {
            assert!(!["edges", "no-such-value", "input", "const", "region"].contains(&d.code), "{d}");
        }
        let _ = expand_functions(&model, &ExpandLimits::default());
        let Ok(bytes) = model_to_bytes(&model, &WriteOptions::default()) else { continue };
        let again = model_from_bytes(&Bytes::from(bytes.clone()), &options).unwrap_or_else(|e| panic!("what was written cannot be read: {e}"));
        if let Ok(twice) = model_to_bytes(&again, &WriteOptions::default()) {
            assert!(twice == bytes, "written twice, and different");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").ok().and_then(|c| c.parse().ok()).unwrap_or(1000), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes(seed in 0usize..5, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut data = seeds().swap_remove(seed);
        for (at, byte) in changes {
            let at = at.index(data.len());
            data[at] = byte;
        }
        survive(data);
    }

    #[test]
    fn cut_and_spliced(seed in 0usize..5, other in 0usize..5, from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let mut data = seeds().swap_remove(seed);
        let other = seeds().swap_remove(other);
        data.truncate(from.index(data.len()));
        data.extend_from_slice(&other[to.index(other.len())..]);
        survive(data);
    }

    #[test]
    fn noise(data in prop::collection::vec(any::<u8>(), 0..200)) {
        survive(data);
    }
}
