//! Diagnostics on the terminal, with the IR line, the pipeline or the recipe as source; as JSON with `--format json`.

use super::args::Global;
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use lapidary::{Diagnostic, Severity};
use std::io::{IsTerminal, Write};

/// Shows several; as JSON they are one object.
pub fn show_all(all: &[Diagnostic], global: &Global) {
    const SHOWN: usize = 20;
    if global.json() {
        let value = serde_json::json!({ "diagnostics": all });
        let _ = writeln!(std::io::stderr(), "{value}");
        return;
    }
    all.iter().take(SHOWN).for_each(|d| show(d, global));
    if all.len() > SHOWN {
        let _ = writeln!(std::io::stderr(), "… and {} more", all.len() - SHOWN);
    }
}

/// Shows one.
pub fn show(d: &Diagnostic, global: &Global) {
    let mut err = std::io::stderr();
    let _ = if global.json() { writeln!(err, "{}", serde_json::json!({ "diagnostics": [d] })) } else { writeln!(err, "{}", text(d, styled())) };
}

/// Whether standard error takes colours.
pub fn styled() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// The diagnostic as text.
pub fn text(d: &Diagnostic, styled: bool) -> String {
    let level = match d.severity {
        Severity::Error | Severity::Unsupported => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let mut group = level.clone().primary_title(d.message.clone()).id(d.code).elements(Vec::<annotate_snippets::Element>::new());
    let p = &d.place;
    let shown = p.source.as_ref().filter(|(text, range)| range.end <= text.len() && range.start <= range.end);
    if let Some((source, range)) = shown {
        let range = boundary(source, range.start)..boundary(source, range.end.max(range.start));
        let snippet = Snippet::source(source.clone()).line_start(1).annotation(AnnotationKind::Primary.span(range));
        let snippet = match &p.file {
            Some(file) if source.contains('\n') => snippet.path(file.clone()),
            _ => snippet.line_numbering(false),
        };
        group = group.element(snippet);
    }
    // Where, as far as the message and the source do not say it already.
    let unsaid = |s: &&String| !s.is_empty() && !d.message.contains(&format!("'{s}'")) && !shown.is_some_and(|(text, _)| text.contains(s.as_str()));
    let mut at = vec![];
    if let Some(node) = p.node.as_ref().filter(unsaid) {
        at.push(match &p.op {
            Some(op) => format!("{op} '{node}'"),
            None => format!("node '{node}'"),
        });
    }
    at.extend(p.value.as_ref().filter(unsaid).map(|v| format!("value '{v}'")));
    let place = if at.is_empty() { String::new() } else { format!("at {}", at.join(", ")) };
    let file = p.file.as_ref().filter(unsaid).map_or(String::new(), |v| format!("in '{v}'"));
    if !place.is_empty() || !file.is_empty() {
        group = group.element(Level::NOTE.message(format!("{place} {file}").trim().to_string()));
    }
    if d.severity == Severity::Unsupported {
        group = group.element(Level::NOTE.message("this is a limit of lapidary, not a mistake in the model"));
    }
    for note in &d.notes {
        group = group.element(Level::NOTE.message(note.clone()));
    }
    if let Some(help) = &d.help {
        group = group.element(Level::HELP.message(help.clone()));
    }
    let renderer = if styled { Renderer::styled().decor_style(DecorStyle::Unicode) } else { Renderer::plain() };
    renderer.render(&[group]).to_string()
}

fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_where_and_what_to_do() {
        let d = Diagnostic::error("unknown-pass", "there is no pass 'dec'").source("canonicalize, dec", 14..17).help("did you mean 'dce'?");
        let want = "error[unknown-pass]: there is no pass 'dec'\n |\n | canonicalize, dec\n |               ^^^\n |\n = help: did you mean 'dce'?";
        assert_eq!(text(&d, false), want);
    }
}
