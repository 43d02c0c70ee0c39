use crate::cost::Sizes;
use lapidary_ir::{DType, Diagnostic, Graph, Result, Tensor, Type};
use lapidary_ops::Datum;

/// Pseudo-random inputs for a graph, equal for equal seeds on every machine: floats in [-1, 1), integers and booleans 0 or 1 (which is
/// within every table), empty strings. Symbols take their size from `sizes`, else a small one by where they stand first: 2 on axis 0, 64
/// on image axes (rank 4 and more, axis 2 on), 8 elsewhere.
pub fn random_inputs(graph: &Graph, sizes: &Sizes, seed: u64) -> Result<Vec<Datum>> {
    let mut sizes = sizes.clone();
    let mut out = vec![];
    for (number, input) in graph.inputs().iter().enumerate() {
        let value = graph.value(*input);
        let unknown = |what: &str| {
            let d = Diagnostic::unsupported("random-input", format!("no random value can be made for input '{}': {what}", value.name));
            d.help("give data with --inputs")
        };
        let Type::Tensor(ty) = &value.ty else { return Err(unknown("it is not a tensor").into()) };
        let Some(dims) = ty.shape.dims() else { return Err(unknown("its rank is not known").into()) };
        for (axis, d) in dims.iter().enumerate() {
            for symbol in d.symbols() {
                let size = if axis == 0 {
                    2
                } else if dims.len() >= 4 && axis >= 2 {
                    64
                } else {
                    8
                };
                sizes.entry(symbol.to_string()).or_insert(size);
            }
        }
        let dims: Option<Vec<usize>> = dims.iter().map(|d| d.eval(&|n| sizes.get(n).copied()).and_then(|v| usize::try_from(v).ok())).collect();
        let dims = dims.ok_or_else(|| unknown("its sizes are not known"))?;
        let Some(count) = dims.iter().try_fold(1usize, |a, d| a.checked_mul(*d)).filter(|c| *c <= 1 << 28) else {
            return Err(unknown("it is too large").into());
        };
        let mut state = seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = || splitmix(&mut state);
        let t = match ty.dtype {
            DType::String | DType::C64 | DType::C128 | DType::Unknown => {
                Tensor::zeros(if ty.dtype == DType::Unknown { DType::F32 } else { ty.dtype }, &dims)
            }
            d if d.is_float() => {
                let values: Vec<f64> = (0..count).map(|_| (next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0).collect();
                Tensor::from_f64(d, &dims, &values)
            }
            d => Tensor::from_i64(d, &dims, &(0..count).map(|_| (next() >> 63) as i64).collect::<Vec<_>>()),
        };
        out.push(Datum::Tensor(t?));
    }
    Ok(out)
}

/// Every float moved by one unit in its last place, up or down by chance, but for zeros, powers of two and what is not finite: what no rewriting of a
/// model can be asked to be better than.
pub(crate) fn nudged(d: &Datum, seed: u64) -> Result<Datum> {
    let mut state = seed;
    let Some(t) = d.as_tensor() else { return Ok(d.clone()) };
    let mantissa = match t.dtype() {
        DType::F16 => 10,
        DType::BF16 => 7,
        DType::F32 => 23,
        DType::F64 => 52,
        _ => return Ok(d.clone()),
    };
    let last = (1u64 << mantissa) - 1;
    let mut bytes = t.bytes().to_vec();
    for element in bytes.chunks_exact_mut(t.dtype().bits() / 8) {
        let mut wide = [0u8; 8];
        wide[..element.len()].copy_from_slice(element);
        let bits = u64::from_le_bytes(wide);
        // Within the mantissa, so that neither zero nor infinity is reached or left.
        let moved = match (splitmix(&mut state) & 1 == 0, bits & last) {
            (_, 0) => bits,
            (true, m) if m < last => bits + 1,
            _ => bits - 1,
        };
        element.copy_from_slice(&moved.to_le_bytes()[..element.len()]);
    }
    Ok(Tensor::new(t.dtype(), t.sizes(), bytes)?.into())
}

/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators" (OOPSLA 2014).
fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
