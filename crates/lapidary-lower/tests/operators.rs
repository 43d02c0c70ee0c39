//! Operators' kernels mean what their evaluators mean, before and after optimization. One graph per line group; sizes of symbols are
//! given below. What an operator's own example (`examples.rs`) cannot show stands here: symbols of other sizes, random operands.

use lapidary_ir::text::{ParseOptions, parse};
use lapidary_ir::{DType, Graph, Tensor, Type};
use lapidary_kernel::interp;
use lapidary_ops::{Datum, evaluate, infer_types};

const SIZES: [&[(&str, i64)]; 2] = [&[("N", 2), ("T", 5)], &[("N", 1), ("T", 1)]];

/// `inputs => body`, the last value is the output.
const CASES: &[&str] = &[
    "%x: f32[N, T, 12] => %y = Reshape(%x, %s) where %s : i64[3] = [0, 0, 12]",
    "%x: f32[N, 6, 4] => %y = Reshape(%x, %s) where %s : i64[3] = [-1, 4, 6]",
    "%x: f32[N, T, 12] => %y = Transpose(%x) {perm=[2, 0, 1]}",
    "%x: f32[N, T, 12] => %y = Flatten(%x) {axis=2}",
    "%x: f32[N, 1, 12] => %y = Squeeze(%x, %s) where %s : i64[1] = [1]",
    "%x: f32[N, T] => %y = Unsqueeze(%x, %s) where %s : i64[2] = [0, -1]",
    "%x: f32[N, T], %z: f32[N, 3] => %y = Concat(%x, %z, %x) {axis=1}",
    "%x: f32[N, 12] => %y = Slice(%x, %a, %b, %c, %d) where %a : i64[1] = [-2], %b : i64[1] = [-11], %c : i64[1] = [1], %d : i64[1] = [-3]",
    "%x: f32[N, T, 12] => %y = Slice(%x, %a, %b) where %a : i64[3] = [0, 0, 3], %b : i64[3] = [9223372036854775807, 1, 11]",
    "%x: f32[N, 12], %i: i64[T] => %y = Gather(%x, %i) {axis=1}",
    "%x: f32[T, 3], %i: i64[N, 2] => %y = Gather(%x, %i)",
    "%x: f32[N, 12], %i: i64[N, 3] => %y = GatherElements(%x, %i) {axis=1}",
    "%x: f32[N, 12, 3], %i: i64[4, 2] => %y = GatherND(%x, %i)",
    "%x: f32[N, 1] => %y = Expand(%x, %s) where %s : i64[3] = [3, 1, 4]",
    "%x: f32[N, 3] => %y = Tile(%x, %s) where %s : i64[2] = [2, 3]",
    "%x: f32[N, 4, 4] => %y = Pad(%x, %p) where %p : i64[6] = [0, 1, 2, 0, 0, 1]",
    "%x: f32[N, 4, 4] => %y = Pad(%x, %p) {mode=\"reflect\"} where %p : i64[6] = [0, 1, 2, 0, 3, 1]",
    "%x: f32[N, 4, 4] => %y = Pad(%x, %p) {mode=\"edge\"} where %p : i64[6] = [0, 1, 2, 0, 3, 1]",
    "%x: f32[N, 4, 4] => %y = Pad(%x, %p) {mode=\"wrap\"} where %p : i64[6] = [0, 1, 2, 0, 3, 1]",
    "%x: f32[N, 5, 6] => %y = Trilu(%x, %k) {upper=0} where %k : i64[] = 1",
    "%x: f32[N, 8, 3, 4] => %y = DepthToSpace(%x) {blocksize=2}",
    "%x: f32[N, 8, 3, 4] => %y = DepthToSpace(%x) {blocksize=2, mode=\"CRD\"}",
    "%x: f32[N, 2, 4, 6] => %y = SpaceToDepth(%x) {blocksize=2}",
    "%x: f32[N, 2, 4, 6] => %y = SpaceToDepth(%x) {blocksize=2, mode=\"CRD\"}",
    "%x: f32[N, 2, 4, 6] => %y = Resize(%x, _, %s) {mode=\"nearest\", coordinate_transformation_mode=\"asymmetric\", nearest_mode=\"floor\"} where %s : f32[4] = [1.0, 1.0, 2.0, 3.0]",
    "%x: f32[N, 2, 4, 6] => %y = Resize(%x, _, _, %s) {mode=\"linear\", keep_aspect_ratio_policy=\"not_larger\", axes=[2, 3]} where %s : i64[2] = [7, 8]",
    "%x: f32[N, 2, 4, 6] => %y = Resize(%x, _, _, %s) {mode=\"linear\", keep_aspect_ratio_policy=\"not_smaller\", axes=[2, 3]} where %s : i64[2] = [7, 8]",
    "%x: f32[N, 2, 4, 6] => %y = Resize(%x, _, %s) {mode=\"linear\", coordinate_transformation_mode=\"align_corners\"} where %s : f32[4] = [1.0, 1.0, 0.6, 0.6]",
    "%x: f32[N, 2, 4, 6] => %y = Resize(%x, _, %s) {mode=\"linear\", coordinate_transformation_mode=\"half_pixel_symmetric\"} where %s : f32[4] = [1.0, 1.0, 0.6, 2.3]",
    "%x: f32[N, 2, 4, 6] => %y = Resize(%x, _, %s) {mode=\"linear\"} where %s : f32[4] = [1.0, 1.0, 1.5, 0.5]",
    "%x: f32[N, 2, 4, 6] => %y = Resize(%x, _, _, %s) {mode=\"cubic\", coordinate_transformation_mode=\"align_corners\"} where %s : i64[4] = [2, 2, 7, 3]",
    "%x: f32[N, 2, 4, 6] => %y = Resize(%x, _, %s) {mode=\"nearest\"} where %s : f32[4] = [1.0, 1.0, 0.7, 2.4]",
    "%x: f32[N, T, 12] => %y = MatMul(%x, %w) where %w : f32[12, 20] = random(3)",
    "%x: f32[N, T, 12], %z: f32[1, 12, T] => %y = MatMul(%x, %z)",
    "%x: f32[N, 3, T, 12], %z: f32[3, 12, 8] => %y = MatMul(%x, %z)",
    "%x: f32[12], %z: f32[N, 12, T] => %y = MatMul(%x, %z)",
    "%x: f32[N, T, 12], %z: f32[12] => %y = MatMul(%x, %z)",
    "%x: f32[N, 12] => %y = Gemm(%x, %w, %b) {transB=1, alpha=0.5, beta=2.0} where %w : f32[20, 12] = random(3), %b : f32[20] = random(4)",
    "%x: f32[12, T] => %y = Gemm(%x, %w) {transA=1} where %w : f32[12, 16] = random(3)",
    "%x: f32[N, 4, 9, 8] => %y = Conv(%x, %w, %b) {pads=[1, 1, 1, 1]} where %w : f32[16, 4, 3, 3] = random(3), %b : f32[16] = random(4)",
    "%x: f32[N, 4, 9, 8] => %y = Conv(%x, %w) {strides=[2, 1], dilations=[1, 2], auto_pad=\"SAME_UPPER\"} where %w : f32[8, 4, 3, 3] = random(3)",
    "%x: f32[N, 4, 9, 8] => %y = Conv(%x, %w) {group=4, pads=[1, 1, 1, 1], strides=[2, 2]} where %w : f32[4, 1, 3, 3] = random(3)",
    "%x: f32[N, 4, 9, 8] => %y = Conv(%x, %w) {group=2} where %w : f32[16, 2, 1, 1] = random(3)",
    "%x: f32[N, 4, 9] => %y = Conv(%x, %w) {pads=[2, 0]} where %w : f32[16, 4, 3] = random(3)",
    "%x: f32[N, 4, 5, 4] => %y = ConvTranspose(%x, %w, %b) {strides=[2, 2]} where %w : f32[4, 16, 2, 2] = random(3), %b : f32[16] = random(4)",
    "%x: f32[N, 4, 5, 4] => %y = ConvTranspose(%x, %w) {strides=[2, 3], pads=[1, 0, 1, 2], output_padding=[1, 1], dilations=[1, 2], group=2} where %w : f32[4, 5, 3, 3] = random(3)",
    "%x: f32[N, 4, 9, 8] => %y = MaxPool(%x) {kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]}",
    "%x: f32[N, 4, 9, 8] => %y = MaxPool(%x) {kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1}",
    "%x: f32[N, 4, 9, 8] => %y = AveragePool(%x) {kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]}",
    "%x: f32[N, 4, 9, 8] => %y = AveragePool(%x) {kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1, ceil_mode=1}",
    "%x: f32[N, 4, 9, 8] => %y = AveragePool(%x) {kernel_shape=[3, 2], dilations=[2, 1]}",
    "%x: f32[N, 4, 9, 8] => %y = BatchNormalization(%x, %s, %b, %m, %v) where %s : f32[4] = [1.0, 2.0, 0.5, 1.5], %b : f32[4] = random(1), %m : f32[4] = random(2), %v : f32[4] = [1.0, 0.5, 2.0, 1.0]",
    "%x: f32[N, 4, 9, 8] => %y = BatchNormalization.15(%x, %s, %b, %m, %v) {training_mode=1} where %s : f32[4] = [1.0, 2.0, 0.5, 1.5], %b : f32[4] = random(1), %m : f32[4] = random(2), %v : f32[4] = [1.0, 0.5, 2.0, 1.0]",
    "%x: f32[N, 4, 9, 8] => %y = GlobalAveragePool(%x)",
    "%x: f32[N, 4, 9, 8] => %y = GlobalMaxPool(%x)",
    "%x: u8[N, T, 12], %z: u8[] => %y = MatMulInteger(%x, %w, %z, %v) where %w : i8[12, 5] = random(3), %v : i8[5] = [0, 1, -2, 3, 4]",
    "%x: u8[N, 4, 7, 6], %z: u8[] => %y = ConvInteger(%x, %w, %z) {pads=[1, 1, 1, 1]} where %w : i8[8, 4, 3, 3] = random(3)",
    "%x: u8[N, 12] => %y = QLinearMatMul(%x, %s, %z, %w, %t, %v, %u, %o) where %s : f32[] = 0.5, %z : u8[] = 1, %w : i8[12, 5] = random(3), %t : f32[5] = [0.25, 0.5, 0.125, 1.0, 0.5], %v : i8[5] = [0, 0, 0, 0, 0], %u : f32[] = 2.0, %o : u8[] = 100",
    "%x: u8[N, 4, 7, 6] => %y = QLinearConv(%x, %s, %z, %w, %t, %v, %u, %o, %b) {pads=[1, 1, 1, 1]} where %s : f32[] = 0.5, %z : u8[] = 1, %w : i8[2, 4, 3, 3] = random(3), %t : f32[2] = [0.25, 0.5], %v : i8[2] = [0, 0], %u : f32[] = 2.0, %o : u8[] = 100, %b : i32[2] = [5, -7]",
    "%x: f32[N, T, 12], %z: f32[N, 3, 12] => %y = Einsum(%x, %z) {equation=\"bij,bkj->bik\"}",
    "%x: f32[N, 4, 4], %z: f32[4] => %y = Einsum(%x, %z) {equation=\"...ii,i->...\"}",
    "%x: f32[N, 3, T, 8], %c: f32[9, 4], %s: f32[9, 4], %p: i64[N, T] => %y = RotaryEmbedding(%x, %c, %s, %p)",
    "%x: f32[N, T, 24], %c: f32[N, T, 2], %s: f32[N, T, 2] => %y = RotaryEmbedding(%x, %c, %s) {num_heads=3, interleaved=1, rotary_embedding_dim=4}",
    "%x: f32[N, T] => %y = EyeLike(%x) {k=1}",
    "%x: i64[N, T] => %y = OneHot(%x, %d, %v) {axis=1} where %d : i64[] = 3, %v : f32[2] = [0.5, 2.0]",
    "%x: f32[T, N, 3], %l: i64[N] => %y = ReverseSequence(%x, %l)",
    "%x: f32[N, 4, 9, 8] => %y = LpPool(%x) {kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], p=3}",
    "%x: f32[N, 4, 9, 8] => %y = GlobalLpPool(%x)",
    "%x: f32[N, T, 3] => %y = Shape(%x) {start=1}",
    "%x: f32[N, T, 3] => %y = Size(%x)",
    "%x: f32[5, 3], %i: i64[N, 1], %u: f32[N, 3] => %y = ScatterND(%x, %i, %u)",
    "%x: f32[5, T], %i: i64[N, T], %u: f32[N, T] => %y = ScatterElements(%x, %i, %u)",
    "%x: f32[N, 5, 8] => %y = CenterCropPad(%x, %s) {axes=[1, 2]} where %s : i64[2] = [8, 3]",
    "%x: f32[N, 4, T, 8], %k: f32[N, 2, T, 8], %v: f32[N, 2, T, 6] => %y = Attention(%x, %k, %v) {is_causal=1}",
    "%x: f32[N, T, 32], %k: f32[N, 5, 16], %v: f32[N, 5, 16], %m: f32[T, 5] => %y = Attention(%x, %k, %v, %m) {q_num_heads=4, kv_num_heads=2, softcap=2.0}",
    "%x: f32[N, 4, T, 8], %k: f32[N, 4, 3, 8], %v: f32[N, 4, 3, 8], %m: bool[N, 1, T, 5], %p: f32[N, 4, 2, 8], %q: f32[N, 4, 2, 8] => %y = Attention(%x, %k, %v, %m, %p, %q)",
    "%x: f32[N, 4, T, 8], %k: f32[N, 4, 6, 8], %v: f32[N, 4, 6, 8] => %y = Attention(%x, %k, %v, _, _, _, _) {left_window_size=2, right_window_size=1, scale=0.5}",
];

fn graph(case: &str) -> Result<Graph, String> {
    let (inputs, rest) = case.split_once("=>").unwrap();
    let (body, constants) = rest.split_once(" where ").unwrap_or((rest, ""));
    // Constants are separated by ", %".
    let constants: String =
        constants.split(", %").filter(|c| !c.trim().is_empty()).map(|c| format!("  const %{}\n", c.trim().trim_start_matches('%'))).collect();
    let text = format!("graph @case({}) {{\n{constants}  {} : ?\n  return %y\n}}\n", inputs.trim(), body.trim());
    parse(&text, &ParseOptions::default()).map_err(|e| format!("{text}\n{e}"))
}

fn input(ty: &Type, sizes: &[(&str, i64)], seed: usize) -> Tensor {
    let dims: Vec<usize> =
        ty.dims().unwrap().iter().map(|d| d.eval(&|n| sizes.iter().find(|(s, _)| *s == n).map(|(_, v)| *v)).unwrap() as usize).collect();
    let count: usize = dims.iter().product();
    match ty.dtype() {
        DType::I64 => Tensor::from_slice(&dims, &(0..count).map(|i| ((i * 7 + seed) % 2) as i64 - ((i + seed) % 2) as i64).collect::<Vec<i64>>()),
        DType::Bool => Tensor::from_slice(&dims, &(0..count).map(|i| (i * 7 + seed).is_multiple_of(3)).collect::<Vec<bool>>()),
        d => Tensor::from_f64(d, &dims, &(0..count).map(|i| (((i + 1) * (2 * seed + 37)) % 101) as f64 / 25.0 - 2.0).collect::<Vec<f64>>()).unwrap(),
    }
}

#[test]
fn kernels_mean_what_evaluators_mean() {
    let mut wrong = vec![];
    for case in CASES {
        for sizes in SIZES {
            if let Err(e) = check(case, sizes) {
                wrong.push(format!("{case}\n  with {sizes:?}: {e}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), CASES.len() * SIZES.len(), wrong.join("\n"));
}

fn check(case: &str, sizes: &[(&str, i64)]) -> Result<(), String> {
    let mut g = graph(case)?;
    let facts = infer_types(&mut g).map_err(|e| e.to_string())?;
    let inputs: Vec<Tensor> = g.inputs().iter().enumerate().map(|(i, v)| input(g.ty(*v), sizes, i)).collect();
    let want = evaluate(&g, inputs.iter().cloned().map(Datum::Tensor).collect()).map_err(|e| e.to_string())?;
    let mut p = lapidary_lower::lower_graph(&g, &facts).map_err(|e| e.to_string())?;
    let symbol = |n: &str| sizes.iter().find(|(s, _)| *s == n).map(|(_, v)| *v);
    for stage in ["as lowered", "optimized"] {
        let got = interp::interpret(&p, &inputs, &symbol).map_err(|e| format!("{stage}: {e}"))?;
        for (got, want) in got.iter().zip(&want) {
            let want = want.as_tensor().ok_or("not a tensor")?;
            if got.sizes() != want.sizes() || got.dtype() != want.dtype() {
                return Err(format!("{stage}: {got:?}, the evaluator has {want:?}"));
            }
            let (a, b) = (got.to_f64().ok_or("no numbers")?, want.to_f64().ok_or("no numbers")?);
            let close = |x: f64, y: f64| x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= 2e-5 * (1.0 + y.abs());
            if let Some(i) = (0..a.len()).find(|i| !close(a[*i], b[*i])) {
                return Err(format!("{stage}: element {i} is {}, the evaluator has {}", a[i], b[i]));
            }
        }
        lapidary_lower::optimize(&mut p, &Default::default()).map_err(|e| e.to_string())?;
    }
    Ok(())
}
