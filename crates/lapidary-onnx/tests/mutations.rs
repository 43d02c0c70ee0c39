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

/// Reads, and whatever could be read is written and read again.
fn survive(data: Vec<u8>) {
    let Ok(model) = model_from_bytes(&Bytes::from(data), &ReadOptions::default()) else { return };
    let found = model.graph.verify();
    assert!(found.iter().all(|d| d.code != "edges" && d.code != "no-such-value"), "{found:?}");
    let _ = expand_functions(&model, &ExpandLimits::default());
    if let Ok(bytes) = model_to_bytes(&model, &WriteOptions::default()) {
        let again = model_from_bytes(&Bytes::from(bytes), &ReadOptions::default());
        assert!(again.is_ok(), "what was written cannot be read: {}", again.err().map(|e| e.to_string()).unwrap_or_default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

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
