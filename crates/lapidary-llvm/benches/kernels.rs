//! Single kernels on one thread, one for each template and form that models spend their time in. What is counted as elements is operations
//! (a product and its sum are two) or, where a kernel only moves data, bytes.
//!
//! ```console
//! $ cargo bench -p lapidary-llvm --features llvm19
//! $ cargo bench -p lapidary-llvm --features llvm19 -- conv
//! ```

#[cfg(any(feature = "llvm19", feature = "llvm22"))]
#[path = "../tests/common/mod.rs"]
mod common;

#[cfg(any(feature = "llvm19", feature = "llvm22"))]
mod kernels {
    use super::common::{folder, has, random};
    use criterion::{Criterion, Throughput};
    use lapidary_ir::{DType, Tensor};
    use lapidary_kernel::Cpu;
    use lapidary_llvm::CompileOptions;
    use lapidary_llvm::loaded::Library;
    use lapidary_lower::LowerOptions;
    use std::time::Duration;

    /// A graph of one operator or two.
    struct Case {
        name: &'static str,
        source: String,
        inputs: Vec<Tensor>,
        throughput: Throughput,
        exact_conv: bool,
    }

    impl Case {
        fn new(name: &'static str, source: String, input: Tensor, operations: usize) -> Case {
            Case { name, source, inputs: vec![input], throughput: Throughput::Elements(operations as u64), exact_conv: false }
        }
        /// Bytes read and written once each.
        fn moving(name: &'static str, source: String, input: Tensor) -> Case {
            let throughput = Throughput::Bytes(2 * input.bytes().len() as u64);
            Case { name, source, inputs: vec![input], throughput, exact_conv: false }
        }
    }

    /// A product of `m` rows with constant weights.
    fn product(name: &'static str, m: usize) -> Case {
        let source = format!(
            "graph @g(%x: f32[{m}, 768]) {{\n  const %w : f32[768, 768] = random(1)\n  %y = MatMul(%x, %w) : f32[{m}, 768]\n  return %y\n}}\n"
        );
        Case::new(name, source, random(DType::F32, &[m, 768], 2), 2 * m * 768 * 768)
    }

    fn bf16() -> Case {
        let source = "graph @g(%x: bf16[768, 768]) {\n  const %w : bf16[768, 768] = random(1)\n  %a = Cast(%x) {to=1} : f32[768, 768]\n  \
                      %b = Cast(%w) {to=1} : f32[768, 768]\n  %y = MatMul(%a, %b) : f32[768, 768]\n  return %y\n}\n";
        Case::new("product/bf16 768x768x768", source.into(), random(DType::BF16, &[768, 768], 2), 2 * 768 * 768 * 768)
    }

    fn codes() -> Case {
        let source =
            "graph @g(%x: u8[768, 768]) {\n  const %w : i8[768, 768] = random(1)\n  %y = MatMulInteger(%x, %w) : i32[768, 768]\n  return %y\n}\n";
        Case::new("product/u8*s8 768x768x768", source.into(), random(DType::U8, &[768, 768], 2), 2 * 768 * 768 * 768)
    }

    /// One row by weights of 4 bits, the step of a language model; activations in floats, or rounded to codes.
    fn blocks(name: &'static str, accuracy_level: usize) -> Case {
        let source = format!(
            "graph @g(%x: f32[1, 768]) {{\n  const %w : u8[3072, 24, 16] = random(1)\n  const %s : f32[73728] = random(2)\n  \
             %y = com.microsoft.MatMulNBits(%x, %w, %s) {{K=768, N=3072, bits=4, block_size=32, accuracy_level={accuracy_level}}} : f32[1, 3072]\n  \
             return %y\n}}\n"
        );
        Case::new(name, source, random(DType::F32, &[1, 768], 2), 2 * 768 * 3072)
    }

    /// A convolution that keeps the image's size. Operations are those of the plain sum, whatever the algorithm.
    fn convolution(name: &'static str, (channels, size, window, groups): (usize, usize, usize, usize), exact_conv: bool) -> Case {
        let (each, pad, shape) = (channels / groups, window / 2, format!("f32[1, {channels}, {size}, {size}]"));
        let source = format!(
            "graph @g(%x: {shape}) {{\n  const %w : f32[{channels}, {each}, {window}, {window}] = random(1)\n  \
             %y = Conv(%x, %w) {{pads=[{pad}, {pad}, {pad}, {pad}], group={groups}}} : {shape}\n  return %y\n}}\n"
        );
        let input = random(DType::F32, &[1, channels, size, size], 2);
        Case { exact_conv, ..Case::new(name, source, input, 2 * channels * each * size * size * window * window) }
    }

    fn softmax() -> Case {
        let source = "graph @g(%x: f32[768, 768]) {\n  %y = Softmax(%x) {axis=-1} : f32[768, 768]\n  return %y\n}\n";
        Case::moving("rows/softmax 768x768", source.into(), random(DType::F32, &[768, 768], 2))
    }

    fn layer_norm() -> Case {
        let source = "graph @g(%x: f32[768, 768]) {\n  const %s : f32[768] = random(1)\n  const %b : f32[768] = random(2)\n  \
                      %y = LayerNormalization(%x, %s, %b) {axis=-1} : f32[768, 768]\n  return %y\n}\n";
        Case::moving("rows/layer norm 768x768", source.into(), random(DType::F32, &[768, 768], 2))
    }

    fn transposed() -> Case {
        let source = "graph @g(%x: f32[768, 768]) {\n  %y = Transpose(%x) {perm=[1, 0]} : f32[768, 768]\n  return %y\n}\n";
        Case::moving("copy/transposed 768x768", source.into(), random(DType::F32, &[768, 768], 2))
    }

    fn cases() -> Vec<Case> {
        vec![
            product("product/f32 768x768x768", 768),
            product("product/f32 one row", 1),
            bf16(),
            codes(),
            blocks("product/4 bits, one row", 0),
            blocks("product/4 bits, one row of codes", 4),
            convolution("conv/1x1 256 at 28", (256, 28, 1, 1), false),
            convolution("conv/3x3 64 at 56, Winograd", (64, 56, 3, 1), false),
            convolution("conv/3x3 64 at 56, direct", (64, 56, 3, 1), true),
            convolution("conv/3x3 depthwise 96 at 56", (96, 56, 3, 96), false),
            softmax(),
            layer_norm(),
            transposed(),
        ]
    }

    pub fn run() {
        let Some(cpu) = [Cpu::X86V4, Cpu::X86V3].into_iter().find(|c| has(*c)) else {
            return eprintln!("skipped: no code is generated for this CPU");
        };
        let mut criterion = Criterion::default()
            .sample_size(20)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_millis(1500))
            .configure_from_args();
        for (number, case) in cases().into_iter().enumerate() {
            let library = compiled(&case, cpu, number);
            let mut context = library.context(1, None).unwrap_or_else(|e| panic!("{}: {e}", case.name));
            let inputs: Vec<&Tensor> = case.inputs.iter().collect();
            let (group, name) = case.name.split_once('/').unwrap_or((case.name, ""));
            let mut group = criterion.benchmark_group(group);
            group.throughput(case.throughput.clone());
            group.bench_function(name, |b| b.iter(|| context.run_in_place(&inputs).unwrap_or_else(|e| panic!("{e}"))));
            group.finish();
        }
        criterion.final_summary();
    }

    fn compiled(case: &Case, cpu: Cpu, number: usize) -> Library {
        let mut graph = lapidary_ir::text::parse(&case.source, &Default::default()).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let facts = lapidary_ops::infer_types(&mut graph).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let options = LowerOptions { exact_conv: case.exact_conv, ..LowerOptions::default() };
        let plan = lapidary_lower::lower(&graph, &facts, &options).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let path = folder().join(format!("libbench{number}.so"));
        lapidary_llvm::compile(&plan, &CompileOptions { cpus: vec![cpu], ..CompileOptions::default() }, &path)
            .unwrap_or_else(|e| panic!("{}: {e}", case.name));
        Library::open(&path).unwrap_or_else(|e| panic!("{}: {e}", case.name))
    }
}

fn main() {
    #[cfg(any(feature = "llvm19", feature = "llvm22"))]
    kernels::run();
    #[cfg(not(any(feature = "llvm19", feature = "llvm22")))]
    eprintln!("no kernels without code generation: name a feature, llvm19 or llvm22");
}
