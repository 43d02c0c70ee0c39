//! Since when each operator of ONNX has its forms: questions to the table in [`lapidary_ops::schema`].

use lapidary_ops::schema::{self, SCHEMAS};

/// The newest version of an operator set of ONNX; `None` for others.
pub fn newest_opset(domain: &str) -> Option<u32> {
    if domain.is_empty() { Some(schema::newest_opset()) } else { SCHEMAS.iter().filter(|s| s.domain == domain).map(|s| s.since).max() }
}

/// The version of the operator's form at `opset`: the newest not above it.
///
/// `None` for an operator that ONNX does not define, `Some(Err)` for one that does not exist at that opset, with the reason.
pub fn since_version(domain: &str, name: &str, opset: u32) -> Option<Result<u32, String>> {
    let first = schema::versions(domain, name).first()?;
    Some(match schema::find(domain, name, opset) {
        None => Err(format!("'{name}' exists since opset {}, and the opset is {opset}", first.since)),
        Some(s) if s.deprecated => Err(format!("'{name}' was withdrawn in opset {}, and the opset is {opset}", s.since)),
        Some(s) => Ok(s.since),
    })
}

/// The newest version of the operator that is not withdrawn; 0 for operators that ONNX does not define.
pub fn newest_version(domain: &str, name: &str) -> u32 {
    schema::newest(domain, name).map_or(0, |s| s.since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_form_of_an_opset() {
        assert_eq!(since_version("", "Softmax", 12), Some(Ok(11)));
        assert_eq!(since_version("", "Softmax", 28), Some(Ok(13)));
        assert!(since_version("", "LayerNormalization", 16).unwrap().unwrap_err().contains("since opset 17"));
        assert!(since_version("", "Upsample", 10).unwrap().unwrap_err().contains("withdrawn"));
        assert_eq!(since_version("", "GroupNormalization", 21), Some(Ok(21)));
        assert_eq!(since_version("com.microsoft", "Gelu", 1), None);
        assert_eq!(newest_opset(""), Some(28));
        assert_eq!(newest_opset("ai.onnx.ml"), Some(5));
    }
}
