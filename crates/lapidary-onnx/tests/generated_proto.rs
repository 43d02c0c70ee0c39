//! Guards the committed protobuf types against drift from `proto/onnx-ml.proto`.

use std::path::Path;

const HEADER: &str = "\
// Generated from proto/onnx-ml.proto (ONNX 1.23.2, SPDX-License-Identifier: Apache-2.0). Do not edit:
// LAPIDARY_BLESS=1 cargo test -p lapidary-onnx generated_proto_is_current

";

#[test]
fn generated_proto_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fresh = HEADER.to_owned() + &generate(&root.join("proto"));
    let committed = root.join("src/proto/onnx.rs");
    if std::env::var_os("LAPIDARY_BLESS").is_some_and(|v| v == "1") {
        std::fs::write(&committed, &fresh).expect("the source folder is writable");
        return;
    }
    let old = std::fs::read_to_string(&committed).expect("src/proto/onnx.rs is committed");
    assert!(old == fresh, "src/proto/onnx.rs is stale: run LAPIDARY_BLESS=1 cargo test -p lapidary-onnx generated_proto_is_current");
}

/// Compiles the schema without `protoc` and returns the Rust source. Comments are left out: the schema beside it has them.
fn generate(proto: &Path) -> String {
    let descriptors = protox::compile(["onnx-ml.proto"], [proto]).expect("the schema compiles");
    let out = tempfile::tempdir().expect("a temporary folder");
    prost_build::Config::new().bytes(["."]).disable_comments(["."]).out_dir(out.path()).compile_fds(descriptors).expect("code generation");
    std::fs::read_to_string(out.path().join("onnx.rs")).expect("one file per protobuf package")
}
