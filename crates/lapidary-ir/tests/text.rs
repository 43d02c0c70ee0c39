//! The text form: what is printed reads back to the same graph, and what is read prints the same text.

use lapidary_ir::text::{self, ParseOptions, PrintOptions, read_tensors, write_tensors};
use lapidary_ir::{Dim, Graph, Type};
use lapidary_testkit::{any_dim, any_graph, any_type, assert_same_graph};
use proptest::prelude::*;

/// Through the text and the tensors beside it.
fn round_trip(g: &Graph, print: &PrintOptions) -> (String, Graph) {
    let side = read_tensors(&write_tensors(g, print).unwrap().into()).unwrap();
    let source = g.to_text(print);
    let options = ParseOptions { newest: print.newest, tensors: &|h| side.get(&h).cloned(), ..ParseOptions::default() };
    let parsed = text::parse(&source, &options).unwrap_or_else(|e| panic!("{e}\n{source}"));
    (source, parsed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn graphs_read_back_as_printed(g in any_graph(), inline in prop::sample::select(vec![0usize, 2, 1000]), known in any::<bool>()) {
        let findings = g.verify();
        prop_assert!(findings.is_empty(), "{findings:?}");
        let newest = |_: &str, name: &str| if known { name.len() as u32 } else { 0 };
        let print = PrintOptions { newest: &newest, inline_elements: inline, ..PrintOptions::default() };
        let (source, parsed) = round_trip(&g, &print);
        assert_same_graph(&g, &parsed);
        prop_assert!(parsed.verify().is_empty());
        prop_assert_eq!(parsed.to_text(&print), source);
        // Comments change nothing.
        let (_, parsed) = round_trip(&g, &PrintOptions { comments: true, ..print });
        assert_same_graph(&g, &parsed);
    }

    #[test]
    fn dims_read_back_as_displayed(d in any_dim()) {
        prop_assert_eq!(text::parse_dim(&d.to_string()).unwrap(), d);
    }

    #[test]
    fn types_read_back_as_displayed(t in any_type()) {
        prop_assert_eq!(text::parse_type(&t.to_string()).unwrap(), t);
    }

    #[test]
    fn any_text_gives_a_graph_or_an_error(s in "\\PC{0,60}") {
        let _ = text::parse(&s, &ParseOptions::default());
        let _ = text::parse(&format!("graph (%x: f32[N]) {{ {s}"), &ParseOptions::default());
        let _ = text::parse_dim(&s);
    }

    #[test]
    fn a_damaged_text_gives_a_graph_or_an_error(g in any_graph(), at in any::<prop::sample::Index>(), with in "[-%@?#{}()\\[\\]=:,.0-9a-z\"' ]{0,3}") {
        let mut s = g.to_text(&PrintOptions::default());
        let i = (0..=at.index(s.len())).rev().find(|i| s.is_char_boundary(*i)).unwrap();
        let end = (i + 1..s.len()).find(|i| s.is_char_boundary(*i)).unwrap_or(s.len());
        s.replace_range(i..end, &with);
        if let Err(e) = text::parse(&s, &ParseOptions::default()) {
            for d in e.0 {
                let (line, range) = d.place.source.expect("an error shows its line");
                prop_assert!(line.get(range).is_some());
            }
        }
    }
}

const EXAMPLE: &str = r#"symbol N in 1..=32
graph @block(%x: f32[N, 64, 56, 56], %scales: f32[4] @"resize scales") {
  const %w : f32[64, 64, 3, 3] = splat(0.5)
  const %table : i64[2, 2] = [[1, -2], [3, 4]]
  const %empty : f32[0, 3] = []
  const %words : string[2] = ["a", "caf\u{e9}"]
  %c = Conv(%x, %w) {pads=[1, 1, 1, 1]} : f32[N, 64, 56, 56] @"/layer1/conv" !{pkg="torch"} doc "first"
  %p, _ = MaxPool.12(%c) {kernel_shape=[2, 2]} : f32[N, 64, 28, 28], i64[N, 64, 28, 28]
  %u = Resize(%p, _, %scales) {mode="nearest", cubic=-0.75, none=floats[], t=type(seq<f32[*]>)} : f32[N, 64, 56, 56]
  %"odd name" = com.microsoft.Gelu.1(%u) : f32['a b', ((N + 1) floordiv 2)]
  %y = If(%flag, %u) : ?
    region then_branch @g1() captures(%u: f32[N, 64, 56, 56] = %u) {
      return %u
    }
    region else_branch(%i: i64[]) captures(%q: f32[N, 64, 56, 56] = 1) {
      %z = Neg(%q) : f32[N, 64, 56, 56]
      return %z
    }
  return %u, %y
}
"#;

#[test]
fn an_example_with_everything_reads_and_prints() {
    let source = EXAMPLE
        .replace("%flag, ", "%c, ")
        .replace("\"caf\\u{e9}\"", "\"café\"")
        .replace("captures(%q: f32[N, 64, 56, 56] = 1)", "captures(%q: f32[N, 64, 56, 56] = %u)");
    // Attributes are sorted by name, and nothing is known of versions.
    let source = source.replace("{mode=\"nearest\", cubic=-0.75, none", "{cubic=-0.75, mode=\"nearest\", none");
    let newest = |_: &str, name: &str| if name == "MaxPool" { 22 } else { 0 };
    let options = ParseOptions { newest: &newest, ..ParseOptions::default() };
    let g = text::parse(&source, &options).unwrap();
    assert!(g.verify().is_empty(), "{:?}", g.verify());
    assert_eq!(g.to_text(&PrintOptions { newest: &newest, ..PrintOptions::default() }), source);
    let pool = g.node_ids().find(|n| g.node(*n).is("MaxPool")).unwrap();
    assert_eq!(g.node(pool).op.version, 12);
    assert_eq!(g.print_line(pool, &PrintOptions::default()), "%p, _ = MaxPool.12(%c) {kernel_shape=[2, 2]} : f32[N, 64, 28, 28], i64[N, 64, 28, 28]");
}

fn error_of(source: &str) -> lapidary_ir::Diagnostic {
    text::parse(source, &ParseOptions::default()).unwrap_err().0.remove(0)
}

/// What the error is about, its line, and its help.
fn shown(source: &str) -> String {
    let d = error_of(source);
    let (line, range) = d.place.source.unwrap();
    format!("{}: {} | {} | {}", d.notes[0], d.message, &line[range], d.help.unwrap_or_default())
}

#[test]
fn errors_say_what_and_where() {
    let cases = [
        (
            "graph () {\n  %y = Neg(%x) : f32[]\n  return %y\n}",
            "line 2, column 12: unknown value '%x' | %x | a value is defined on a line above its uses, or is an input of the graph",
        ),
        ("graph (%input: f32[]) {\n  return %inptu\n}", "line 2, column 10: unknown value '%inptu' | %inptu | did you mean '%input'?"),
        ("graph (%x: f23[2]) { return }", "line 1, column 12: unknown type 'f23' | f23 | did you mean 'f32'?"),
        (
            "graph (%x: f32[2], %x: f32[2]) { return }",
            "line 1, column 20: the value '%x' is defined twice | %x | each value of a graph has a name of its own",
        ),
        ("graph () {\n const %w : f32[3] = [1, 2]\n return }", "line 2, column 27: 2 elements where the type has 3 | ] | "),
        ("graph () {\n const %w : u8[1] = [256]\n return }", "line 2, column 21: '256' is no u8 | [256] | "),
        (
            "graph () {\n const %w : f32[9] = #0123456789abcdef\n return }",
            "line 2, column 22: no tensor has the content hash '#0123456789abcdef' | #0123456789abcdef | give the .safetensors file that was written with this text",
        ),
        (
            "graph (%x: f32[]) { %y = Cast(%x) {to=float} : f32[] return }",
            "line 1, column 39: 'float' is no value of an attribute | float | a string is quoted: \"float\"",
        ),
        (
            "graph (%x: f32[]) { %a, %b = Split(%x) : f32[] return }",
            "line 1, column 48: expected ',' and the type of '%b', found 'return' | return | ",
        ),
        ("graph (%x: f32[]", "line 1, column 17: expected ',', found the end of the text |  | "),
        (
            "graph () { const %w : f32[1000000, 1000000] = splat(0) return }",
            "line 1, column 47: 'splat' and 'random' may make up at most 1073741824 bytes | splat(0) | ",
        ),
    ];
    for (source, want) in cases {
        assert_eq!(shown(source), want);
    }
}

#[test]
fn nesting_has_limits() {
    let deep = |n: usize| format!("graph (%x: {}f32[]{}) {{ return }}", "seq<".repeat(n), ">".repeat(n));
    assert!(text::parse(&deep(10), &ParseOptions::default()).is_ok());
    assert!(error_of(&deep(100_000)).message.contains("at most 32 deep"));
    assert!(text::parse_dim(&format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000))).is_err());
    let product: Vec<String> = (0..40).map(|i| format!("(a{i} + b{i})")).collect();
    assert!(text::parse_dim(&product.join("*")).is_err());
    let regions = format!("graph () {{ {}", "A() region b() { ".repeat(1000));
    assert!(error_of(&regions).message.contains("regions nest"));
}

#[test]
fn random_constants_are_the_same_everywhere() {
    let g =
        text::parse("graph () { const %w : f32[3] = random(7) const %i : i4[5] = random(1, -2, 2) return %w }", &ParseOptions::default()).unwrap();
    let w = g.as_constant(g.outputs()[0]).unwrap();
    assert_eq!(w.to_vec::<f32>().unwrap(), [-0.2203405, -0.9664234, 0.80152136]);
    assert!(g.verify().is_empty());
}

#[test]
fn what_splats_make_up_is_limited_together() {
    let source = "graph () { const %a : f32[10] = splat(0) const %b : f32[10] = splat(0) return %a, %b }";
    let limited = |bytes| text::parse(source, &ParseOptions { constant_bytes_max: bytes, ..ParseOptions::default() });
    assert!(limited(80).is_ok() && limited(79).is_err());
}

#[test]
fn versions_show_where_the_resolver_says_otherwise() {
    let newest = |domain: &str, name: &str| if domain.is_empty() && name == "Softmax" { 13 } else { 0 };
    let options = ParseOptions { newest: &newest, ..ParseOptions::default() };
    let source = "graph @g(%x: f32[2]) {\n  %a = Softmax(%x) : f32[2]\n  %b = Softmax.11(%a) : f32[2]\n  %c = Unknown.3(%b) : f32[2]\n  %d = \"Odd-Op\"(%c) : f32[2]\n  %e = \"my domain\".\"7\".2(%d) : f32[2]\n  return %e\n}\n";
    let g = text::parse(source, &options).unwrap();
    let versions: Vec<u32> = g.operators().into_iter().map(|n| g.node(n).op.version).collect();
    assert_eq!(versions, [13, 11, 3, 0, 2]);
    assert_eq!(g.to_text(&PrintOptions { newest: &newest, ..PrintOptions::default() }), source);
}

#[test]
fn fresh_symbols_avoid_those_in_the_text() {
    let mut g = text::parse("graph (%x: f32[_d3, N]) { return }", &ParseOptions::default()).unwrap();
    assert_eq!(g.symbols.fresh(), Dim::symbol("_d4"));
    assert_eq!(g.ty(g.inputs()[0]), &Type::tensor(lapidary_ir::DType::F32, ["_d3", "N"]));
}
