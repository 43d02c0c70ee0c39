//! Every pass of Lapidary, one folder each, and the named pipelines. [`PASSES`] is the only list: a line names the
//! folder, whose `PASS` is the pass. A pass imports nothing from a sibling, what several need lives in `common`.
#![forbid(unsafe_code)]

mod common;

pub use common::sensitivity;
pub use common::statistics::Observations;
use lapidary_rewrite::Pass;

/// Declares the modules and the list of their passes.
macro_rules! passes {
    ($($folder:ident)*) => {
        $(mod $folder;)*

        /// All passes, sorted by name.
        pub static PASSES: &[&Pass] = &[$(&$folder::PASS),*];
    };
}

passes! {
    auto_precision
    calibrate
    canonicalize
    convert_float
    convert_quantized
    correct_bias
    cse
    dce
    decompose_outliers
    equalize_layers
    extract_lora
    factorize_low_rank
    fake_quant
    fold_constants
    fold_quant
    fuse_activations
    fuse_attention
    fuse_conv_bn
    fuse_gelu
    fuse_layer_norm
    fuse_matmul_add
    lift_constants
    merge_lora
    prune_channels
    prune_heads
    prune_layers
    prune_width
    quantize_dynamic
    quantize_weights
    simplify_arithmetic
    smooth_quant
    sparsify
    trigger_crash
}

/// The named pipelines: name, text, what it is for.
pub static PIPELINES: &[(&str, &str, &str)] = &[
    ("O0", "", "nothing: the model is read and written"),
    ("O1", "lift-constants, repeat(canonicalize, cse, dce)", "what changes no bit of any result"),
    (
        "O2",
        "lift-constants, repeat(fold-constants, canonicalize, simplify-arithmetic, fuse-conv-bn, cse, dce), fuse-layer-norm, fuse-gelu, fuse-attention, fuse-activations, dce",
        "the default: folding, fusing and cleaning up, within rounding",
    ),
    (
        "O3",
        "lift-constants, repeat(fold-constants, canonicalize, simplify-arithmetic, fuse-conv-bn, cse, dce), fuse-layer-norm, fuse-gelu, fuse-attention, fuse-activations, fuse-matmul-add, repeat(fold-constants, canonicalize, simplify-arithmetic, fuse-conv-bn, cse, dce)",
        "everything that keeps results within rounding",
    ),
];

/// The pass of a name.
pub fn find(name: &str) -> Option<&'static Pass> {
    PASSES.iter().find(|p| p.name == name).copied()
}

/// The text of a named pipeline: `O2`, or `-O2`.
pub fn pipeline(name: &str) -> Option<&'static str> {
    let name = name.trim_start_matches('-');
    PIPELINES.iter().find(|p| p.0 == name).map(|p| p.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapidary_rewrite::{pattern::Pattern, pipeline};
    use std::collections::BTreeSet;

    #[test]
    fn passes_are_sorted_and_explain_themselves() {
        assert!(PASSES.windows(2).all(|w| w[0].name < w[1].name));
        for p in PASSES {
            assert!(p.manual().lines().count() > 1, "'{}' has no manual page", p.name);
            let options: BTreeSet<_> = p.options.iter().map(|o| o.name).collect();
            assert_eq!(options.len(), p.options.len());
            pipeline::resolve(&pipeline::parse(p.name).unwrap(), PASSES, p.name).unwrap();
        }
    }

    #[test]
    fn patterns_are_valid_and_rule_names_unique() {
        let mut names = BTreeSet::new();
        for rule in PASSES.iter().flat_map(|p| p.rules) {
            Pattern::parse(rule.pattern).unwrap_or_else(|e| panic!("{}: {e}", rule.name));
            assert!(names.insert(rule.name), "two rules are called '{}'", rule.name);
            assert!(!rule.doc.is_empty());
        }
    }

    #[test]
    fn named_pipelines_are_valid_and_print_as_written() {
        for (name, text, _) in PIPELINES {
            let p = pipeline::parse(text).unwrap();
            pipeline::resolve(&p, PASSES, text).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(p.to_string(), *text);
        }
    }

    #[test]
    fn no_pass_imports_a_sibling() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let folders: Vec<_> = std::fs::read_dir(root).unwrap().flatten().filter(|e| e.path().is_dir()).collect();
        for folder in &folders {
            let own = folder.file_name().into_string().unwrap();
            let mut files = vec![folder.path()];
            while let Some(path) = files.pop() {
                if path.is_dir() {
                    files.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                for other in &folders {
                    let other = other.file_name().into_string().unwrap();
                    let reaches = text.contains(&format!("crate::{other}")) || text.contains(&format!("super::{other}"));
                    assert!(!reaches || other == own || other == "common", "{} imports '{other}'", path.display());
                }
            }
        }
    }
}
