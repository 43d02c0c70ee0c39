//! Any text gives a graph or an error that shows its line; a graph that was read prints to text that reads back to the same text.
#![no_main]

use lapidary_ir::text::{self, ParseOptions, PrintOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    let options = ParseOptions { constant_bytes_max: 1 << 16, ..ParseOptions::default() };
    let graph = match text::parse(source, &options) {
        Ok(graph) => graph,
        Err(e) => {
            for d in &e.0 {
                let (line, range) = d.place.source.as_ref().expect("an error shows its line");
                assert!(line.get(range.clone()).is_some(), "{d}: {range:?} of {line:?}");
            }
            return;
        }
    };
    // Not every graph that can be written is well-formed, but verifying it must not panic.
    let _ = graph.verify();
    let print = PrintOptions { inline_elements: usize::MAX, ..PrintOptions::default() };
    let printed = graph.to_text(&print);
    let again = text::parse(&printed, &ParseOptions::default()).unwrap_or_else(|e| panic!("{e}\n{printed}"));
    assert_eq!(again.to_text(&print), printed);
});
