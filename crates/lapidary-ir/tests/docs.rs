//! Each example in `docs/ir.md` is a graph that prints as it stands there.

use lapidary_ir::text::{self, ParseOptions, PrintOptions};

#[test]
fn the_examples_of_the_manual_are_current() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ir.md")).unwrap();
    // What the example leaves out is the newest version; here, 13 of all but those that it shows.
    let newest = |domain: &str, name: &str| if domain.is_empty() && name != "ReduceMax" { 13 } else { 0 };
    let examples: Vec<&str> = page.split("```lap\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let g = text::parse(example, &ParseOptions { newest: &newest, ..ParseOptions::default() }).unwrap();
        assert!(g.verify().is_empty(), "{:?}", g.verify());
        assert_eq!(g.to_text(&PrintOptions { newest: &newest, ..PrintOptions::default() }), example);
    }
}
