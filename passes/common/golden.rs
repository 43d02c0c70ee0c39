//! The arrays that `tests/scripts/make_golden_compression.py` and its like wrote down, for tests: what other tools make of the same weights.

use faer::Mat;
use lapidary_ir::Element;
use std::collections::BTreeMap;

pub struct Golden(BTreeMap<String, (u8, Vec<u8>)>);

impl Golden {
    pub fn read() -> Golden {
        Golden::of("compression.bin")
    }
    /// Those of a file in `tests/golden/`.
    pub fn of(file: &str) -> Golden {
        let all = std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(file)).unwrap();
        let mut rest = &all[..];
        let mut take = |n: usize| {
            let (a, b) = rest.split_at(n.min(rest.len()));
            rest = b;
            a.to_vec()
        };
        let mut out = BTreeMap::new();
        loop {
            let n = take(4);
            if n.is_empty() {
                return Golden(out);
            }
            let name = String::from_utf8(take(u32::read(&n) as usize)).unwrap();
            let kind = take(1)[0];
            let count = u32::read(&take(4)) as usize;
            let size = BTreeMap::from([(b'u', 1), (b'f', 4), (b'd', 8)])[&kind];
            out.insert(name, (kind, take(count * size)));
        }
    }
    pub fn bytes(&self, name: &str) -> &[u8] {
        assert_eq!(self.0[name].0, b'u', "{name}");
        &self.0[name].1
    }
    pub fn reals(&self, name: &str) -> Vec<f64> {
        let (kind, bytes) = &self.0[name];
        match kind {
            b'd' => bytes.chunks_exact(8).map(f64::read).collect(),
            _ => bytes.chunks_exact(4).map(|b| f64::from(f32::read(b))).collect(),
        }
    }
    pub fn floats(&self, name: &str) -> Vec<f32> {
        self.reals(name).into_iter().map(|v| v as f32).collect()
    }
    pub fn matrix(&self, name: &str, rows: usize) -> Mat<f64> {
        let v = self.reals(name);
        let columns = v.len() / rows;
        Mat::from_fn(rows, columns, |r, c| v[r * columns + c])
    }
    /// A symmetric matrix of which the upper triangle is stored.
    pub fn symmetric(&self, name: &str, size: usize) -> Mat<f64> {
        let mut out = Mat::<f64>::zeros(size, size);
        let pairs = (0..size).flat_map(|i| (i..size).map(move |j| (i, j)));
        pairs.zip(self.reals(name)).for_each(|((i, j), v)| {
            out[(i, j)] = v;
            out[(j, i)] = v;
        });
        out
    }
    /// The bytes of an array of any type.
    pub fn raw(&self, name: &str) -> &[u8] {
        &self.0[name].1
    }
}

/// Numbers of many magnitudes that the script draws too.
pub fn draw(mut state: u64) -> impl FnMut() -> f64 {
    move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((state >> 40) as f64 - 8388608.0) * 2f64.powi(-10 - ((state >> 32) % 16) as i32)
    }
}
