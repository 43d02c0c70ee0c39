//! What can be wrong with a file: one error value with a code, a place, notes and a help line.

use std::fmt;

/// A user's file that cannot be read or written: what, where, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// One of [`codes`].
    pub code: &'static str,
    /// What is wrong, in the user's words.
    pub message: String,
    /// The file, and inside it the node, tensor or field.
    pub place: Option<String>,
    /// Further facts.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Error {
    /// An error with one of the [`codes`] and a message.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Error { code, message: message.into(), place: None, notes: Vec::new(), help: None }
    }

    /// Says where; the outermost caller that knows more prepends to it.
    pub fn at(mut self, place: impl Into<String>) -> Self {
        let place = place.into();
        self.place = Some(match self.place.take() {
            Some(inner) if !place.is_empty() && inner != place => format!("{place}: {inner}"),
            Some(inner) => inner,
            None => place,
        });
        self
    }

    /// Adds a fact.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Says what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.message, self.code)?;
        if let Some(place) = &self.place {
            write!(f, "\n  at {place}")?;
        }
        for note in &self.notes {
            write!(f, "\n  note: {note}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Every code that this crate reports, for docs and tests.
pub mod codes {
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
        /// Nodes that wait for each other.
        CYCLE = "onnx-cycle";
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
}
