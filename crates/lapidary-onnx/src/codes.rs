//! Every diagnostic code of this crate, for docs and tests.

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: &str = $code;)+
        /// All codes, in the order of this list.
        pub const ALL: &[&str] = &[$($code),+];
    };
}
codes! {
    /// The named file does not exist.
    FILE_MISSING = "file-missing";
    /// The file exists and cannot be read.
    FILE_UNREADABLE = "file-unreadable";
    /// A folder, device or pipe.
    FILE_NOT_REGULAR = "file-not-regular";
    /// No bytes at all.
    FILE_EMPTY = "file-empty";
    /// Larger than any model.
    FILE_TOO_LARGE = "file-too-large";
    /// The output cannot be written.
    FILE_UNWRITABLE = "file-unwritable";
    /// Another format altogether.
    NOT_ONNX = "not-onnx";
    /// The file ends inside a field.
    TRUNCATED = "onnx-truncated";
    /// The protobuf is damaged.
    CORRUPT = "onnx-corrupt";
    /// Nested deeper than the limit.
    TOO_DEEP = "onnx-too-deep";
    /// A model without a graph.
    NO_GRAPH = "onnx-no-graph";
    /// A newer file format than this reader knows.
    IR_VERSION = "onnx-ir-version";
    /// Operator set imports are missing or contradictory.
    OPSET = "onnx-opset";
    /// Two values of one name.
    DUPLICATE_VALUE = "onnx-duplicate-value";
    /// An operand that nothing produces.
    UNDEFINED_VALUE = "onnx-undefined-value";
    /// Declared types of values that the file does not have.
    STALE = "onnx-stale-types";
    /// Fields that ONNX does not define.
    DROPPED = "onnx-dropped-fields";
    /// Graph inputs with initial values.
    DEFAULTS = "onnx-default-inputs";
    /// A tensor whose data does not fit its type and shape.
    TENSOR = "onnx-tensor";
    /// An attribute that is not one value of one type.
    ATTRIBUTE = "onnx-attribute";
    /// A type that ONNX does not define.
    TYPE = "onnx-type";
    /// Two functions of one name, or a function that is not well formed.
    FUNCTION = "onnx-function";
    /// External data that is described badly.
    EXTERNAL_DATA = "external-data";
    /// An external file outside the model's folder.
    EXTERNAL_PATH = "external-data-path";
    /// An external file that does not exist.
    EXTERNAL_MISSING = "external-data-missing";
    /// An external file that is too short.
    EXTERNAL_SHORT = "external-data-short";
    /// An external file that does not have its checksum.
    EXTERNAL_CHECKSUM = "external-data-checksum";
    /// A graph that has no form at the wanted opset.
    NO_FORM = "opset-no-form";
    /// More than protobuf can hold in one file.
    TOO_LARGE_TO_EMBED = "onnx-too-large-to-embed";
}
