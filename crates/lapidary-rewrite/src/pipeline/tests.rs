use super::*;
use crate::selector::{Condition, Field};
use proptest::prelude::*;

#[test]
fn the_design_example_reads_and_prints_back() {
    let text = r#"canonicalize, repeat(fold-constants, fuse-conv-bn, cse, dce), on(name~"layer[0-3]/*")(prune-channels{ratio=0.25, score=l1}), calibrate{data="my data.npz", method=entropy}, fake-quant{profile=ort}, fold-quant"#;
    assert_eq!(parse(text).unwrap().to_string(), text);
}

#[test]
fn comments_and_trailing_commas_mean_nothing() {
    let a = parse("a, # first\n  b{x=1,},").unwrap();
    assert_eq!(a.to_string(), "a, b{x=1}");
}

#[test]
fn mistakes_are_placed() {
    for (text, at, message) in [
        ("a b", 2..3, "'b' does not belong here"),
        ("a, repeat b", 10..11, "expected '(' after 'repeat', found 'b'"),
        ("on(nam=x)(a)", 3..6, "nodes cannot be selected by 'nam'; did you mean 'name'?"),
        ("a{x=1", 5..5, "expected '}' after the options, found the end of the text"),
        ("a{x=1, x=2}", 7..8, "option 'x' is given twice"),
        ("a{x=\"b}", 4..7, "the quoted text does not end"),
        ("a, , b", 3..4, "expected the name of a pass, found ','"),
        ("ü", 0..2, "expected the name of a pass, found 'ü'"),
    ] {
        let d = &parse(text).unwrap_err().0[0];
        assert_eq!((d.message.as_str(), d.place.source.as_ref().map(|s| s.1.clone())), (message, Some(at)), "{text}");
    }
}

fn value() -> impl Strategy<Value = OptionValue> {
    prop_oneof![
        any::<i64>().prop_map(OptionValue::Int),
        any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(OptionValue::Float),
        any::<bool>().prop_map(OptionValue::Bool),
        ".{0,8}".prop_map(OptionValue::Text),
        "[a-z][a-z0-9_.|/-]{0,6}".prop_map(OptionValue::Text),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let name = "[a-z][a-z-]{0,8}[a-z]".prop_filter("keyword", |n| n != "on" && n != "repeat");
    // In a recipe a step's options stand beside these keys, which no option may have.
    let option = "[a-z_]{1,5}".prop_filter("key", |n| n != "on" && n != "pass" && n != "limit" && n != "steps");
    let options = prop::collection::btree_map(option, value(), 0..3);
    let call = (name, options).prop_map(|(n, o)| Step::Pass(Call { name: n, options: o.into_iter().collect(), ..Call::default() }));
    call.prop_recursive(3, 12, 3, |inner| {
        let body = prop::collection::vec(inner, 0..3).prop_map(Pipeline);
        let field = prop::sample::select(Field::ALL).prop_map(|f| f.0);
        let condition = (field, any::<bool>(), ".{0,6}").prop_map(|(field, glob, text)| Condition { field, glob, text });
        prop_oneof![
            (body.clone(), prop::option::of(1u32..100)).prop_map(|(body, limit)| Step::Repeat { body, limit }),
            (prop::collection::vec(condition, 1..3), body).prop_map(|(c, body)| Step::On { selector: Selector(c), body }),
        ]
    })
}

proptest! {
    #[test]
    fn printing_and_parsing_gives_the_pipeline_back(steps in prop::collection::vec(step(), 0..4)) {
        let p = Pipeline(steps);
        prop_assert_eq!(parse(&p.to_string()).unwrap(), p.clone());
        if !p.0.is_empty() {
            prop_assert_eq!(from_toml(&to_toml(&p)).unwrap(), p);
        }
    }
    #[test]
    fn any_text_gives_a_pipeline_or_an_error(text in ".{0,40}") {
        let _ = parse(&text);
        let _ = from_toml(&text);
    }
}
