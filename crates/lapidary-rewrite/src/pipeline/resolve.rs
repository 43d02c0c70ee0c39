use super::Pipeline;
use crate::Pass;
use crate::options::Options;
use lapidary_ir::{Diagnostic, Diagnostics, Result, nearest};

/// Checks every name and option of a pipeline against the passes that there are. All mistakes are reported, each with its place in `text`
/// (empty where the pipeline did not come from text).
pub fn resolve(pipeline: &Pipeline, passes: &[&'static Pass], text: &str) -> Result<()> {
    let mut found = vec![];
    pipeline.calls(&mut |call| {
        let Some(pass) = passes.iter().find(|p| p.name == call.name) else {
            let d = Diagnostic::error("unknown-pass", format!("there is no pass '{}'", call.name));
            let d = match nearest(&call.name, passes.iter().map(|p| p.name)) {
                Some(near) => d.help(format!("did you mean '{near}'?")),
                None => d.help("`lapidary passes` lists them all"),
            };
            found.push(placed(d, text, &call.span));
            return;
        };
        if let Err((i, message)) = Options::resolve(pass.name, pass.options, &call.options) {
            let span = call.option_spans.get(i).cloned().unwrap_or(call.span.clone());
            let d = Diagnostic::error("pass-option", message).help(format!("`lapidary passes {}` explains its options", pass.name));
            found.push(placed(d, text, &span));
        }
    });
    if found.is_empty() { Ok(()) } else { Err(Diagnostics(found)) }
}

fn placed(d: Diagnostic, text: &str, span: &std::ops::Range<usize>) -> Diagnostic {
    if text.is_empty() || span.end > text.len() { d } else { d.source(text, span.clone()) }
}
