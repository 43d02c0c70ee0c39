use serde::Serialize;

/// What is wrong, where, and what to do about it. Data, rendered by whoever shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnostic {
    pub severity: Severity,
    /// A stable, greppable code such as `shape-conflict`.
    pub code: &'static str,
    /// In the user's words: lower case, no full stop, names in quotes.
    pub message: String,
    pub place: Place,
    pub notes: Vec<String>,
    pub help: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A user's mistake or a broken file.
    Error,
    /// A limit of ours: what was asked for is legal, but not supported.
    Unsupported,
    Warning,
    Note,
}

/// Where: any part may be absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Place {
    pub file: Option<String>,
    pub node: Option<String>,
    pub op: Option<String>,
    pub value: Option<String>,
    /// The text (an IR line, a pipeline, a file's line) and the byte range in it that is meant.
    pub source: Option<(String, std::ops::Range<usize>)>,
}

impl Diagnostic {
    pub fn error(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Error, code, message: message.into(), place: Place::default(), notes: vec![], help: None }
    }
    pub fn unsupported(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Unsupported, ..Diagnostic::error(code, message) }
    }
    pub fn warning(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, message) }
    }
    /// Nothing is wrong, but the user may want to know.
    pub fn remark(code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Note, ..Diagnostic::error(code, message) }
    }
    pub fn note(mut self, note: impl Into<String>) -> Diagnostic {
        self.notes.push(note.into());
        self
    }
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }
    pub fn file(mut self, path: impl Into<String>) -> Diagnostic {
        self.place.file = Some(path.into());
        self
    }
    /// The node meant: its operator and its name.
    pub fn at(mut self, node: &crate::Node) -> Diagnostic {
        self.place.op = Some(node.op.to_string());
        self.place.node = Some(node.label().to_string());
        self
    }
    pub fn value(mut self, name: impl Into<String>) -> Diagnostic {
        self.place.value = Some(name.into());
        self
    }
    pub fn source(mut self, text: impl Into<String>, range: std::ops::Range<usize>) -> Diagnostic {
        self.place.source = Some((text.into(), range));
        self
    }
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        let p = &self.place;
        if let (Some(op), Some(node)) = (&p.op, &p.node) {
            write!(f, " (at {op} '{node}')")?;
        }
        if let Some(v) = &p.value {
            write!(f, " (value '{v}')")?;
        }
        if let Some(v) = &p.file {
            write!(f, " (file '{v}')")?;
        }
        for n in &self.notes {
            write!(f, "; {n}")?;
        }
        if let Some(h) = &self.help {
            write!(f, "; help: {h}")?;
        }
        Ok(())
    }
}

/// One or more diagnostics, as an error.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl std::fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, d) in self.0.iter().enumerate() {
            write!(f, "{}{d}", if i > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}
impl std::error::Error for Diagnostics {}
impl std::error::Error for Diagnostic {}
impl From<Diagnostic> for Diagnostics {
    fn from(d: Diagnostic) -> Diagnostics {
        Diagnostics(vec![d])
    }
}

/// What most of Lapidary returns.
pub type Result<T, E = Diagnostics> = std::result::Result<T, E>;

/// The candidate nearest to a mistyped word, if any is near enough to be worth suggesting.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.into_iter().map(|c| (strsim::damerau_levenshtein(&word.to_lowercase(), &c.to_lowercase()), c));
    scored.filter(|(d, c)| *d <= 1 + c.len().max(word.len()) / 4).min_by_key(|(d, _)| *d).map(|(_, c)| c)
}
