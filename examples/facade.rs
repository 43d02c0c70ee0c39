//! Opens a model, optimizes it, runs it, and saves the result.
//!
//! ```console
//! $ cargo run --example facade
//! ```

use lapidary::arrays::{inputs_of, load_expected, load_inputs};
use lapidary::{Datum, Model, OpenOptions, SaveOptions, Tolerance, compare_tensors};
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/models/digits_cnn");
    let mut model = Model::open(&folder.join("model.onnx"), &OpenOptions::default())?;
    for input in inputs_of(model.graph()) {
        println!("takes '{}': {}", input.name, input.ty);
    }

    // What each pass did stands in the ledger.
    let before = model.graph().operators().len();
    let report = model.optimize(3)?;
    let changed = report.ledger.entries.iter().filter(|e| e.changed).count();
    println!("{before} operators became {} through {changed} of {} passes", model.graph().operators().len(), report.ledger.entries.len());

    // The optimized model still gives the reference's results.
    let reference = folder.join("reference_a.npz");
    let outputs = model.evaluate(load_inputs(&model.inputs(), &reference)?)?;
    for ((port, got), want) in model.outputs().iter().zip(&outputs).zip(load_expected(&model.outputs(), &reference)?) {
        let (Datum::Tensor(got), Datum::Tensor(want)) = (got, &want) else { continue };
        let found = compare_tensors(got, want, Tolerance::MaxRel(1e-4));
        println!("'{}': {found}", port.name);
        assert!(found.passed);
    }

    let out = std::env::temp_dir().join("digits_cnn.facade.onnx");
    model.save(&out, &SaveOptions::default())?;
    println!("saved {} bytes", std::fs::metadata(&out)?.len());
    std::fs::remove_file(&out)?;
    Ok(())
}
