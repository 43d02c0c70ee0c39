//! `Scatter(data, indices, updates)`: the former name of ScatterElements, without reductions.
//!
//! Any element type. Source: ONNX Scatter-9 (deprecated since opset 11; lifted to ScatterElements on import).

use crate::ops::scatter_elements;
use crate::{Form, OpDef, forms};

pub static DEF: OpDef =
    OpDef { eval: scatter_elements::DEF.eval, forms: &[ELEMENTS], ..OpDef::base("Scatter", include_str!("scatter.rs"), scatter_elements::DEF.infer) };

/// Version 11 brought the new name.
const ELEMENTS: Form = Form {
    since: 11,
    lift: |g, n| {
        forms::rename(g, n, "ScatterElements", 11);
        Ok(true)
    },
    lower: |_, _| Err("Scatter exists before version 11 only".into()),
};
