//! Model-local functions: kept by default, expanded when asked.

mod support;

use lapidary_onnx::proto::attribute_proto::AttributeType;
use lapidary_onnx::proto::*;
use lapidary_onnx::*;
use support::*;

/// `Scaled(a) { m = a * k[alpha]; b = cond ? m : a }` as two functions, one of which calls the other, with a subgraph.
fn model() -> ModelProto {
    let imports = || vec![OperatorSetIdProto { domain: None, version: Some(18) }, OperatorSetIdProto { domain: Some("f".into()), version: Some(1) }];
    let inner = FunctionProto {
        name: Some("Leaky".into()),
        domain: Some("f".into()),
        input: vec!["a".into(), "unused".into()],
        output: vec!["m".into(), "a".into()],
        attribute: vec!["slope".into(), "absent".into()],
        node: vec![NodeProto {
            attribute: vec![
                AttributeProto { ref_attr_name: Some("slope".into()), ..attribute("alpha", AttributeType::Float) },
                AttributeProto { ref_attr_name: Some("absent".into()), ..attribute("nothing", AttributeType::Int) },
            ],
            ..node_of("LeakyRelu", &["a"], &["m"])
        }],
        opset_import: imports(),
        ..Default::default()
    };
    let branch =
        |from: &str| GraphProto { node: vec![node_of("Identity", &[from], &["local"])], output: vec![value("local", 1, &[2])], ..Default::default() };
    let outer = FunctionProto {
        name: Some("Choice".into()),
        domain: Some("f".into()),
        input: vec!["c".into(), "a".into()],
        output: vec!["b".into()],
        attribute_proto: vec![AttributeProto { f: Some(0.25), ..attribute("slope", AttributeType::Float) }],
        node: vec![
            NodeProto {
                domain: Some("f".into()),
                name: Some("call".into()),
                attribute: vec![AttributeProto { ref_attr_name: Some("slope".into()), ..attribute("slope", AttributeType::Float) }],
                ..node_of("Leaky", &["a"], &["m", "same"])
            },
            NodeProto {
                attribute: vec![graph_attribute("then_branch", branch("m")), graph_attribute("else_branch", branch("same"))],
                ..node_of("If", &["c"], &["b"])
            },
        ],
        opset_import: imports(),
        ..Default::default()
    };
    let call =
        |name: &str, from: &str, to: &str| NodeProto { domain: Some("f".into()), name: Some(name.into()), ..node_of("Choice", &["c", from], &[to]) };
    let mut last = call("two", "t", "y");
    last.attribute = vec![AttributeProto { f: Some(0.5), ..attribute("slope", AttributeType::Float) }];
    let mut m = model_of(
        18,
        GraphProto {
            input: vec![value("x", 1, &[2]), value("c", 9, &[])],
            output: vec![value("y", 1, &[2])],
            node: vec![call("one", "x", "t"), last],
            ..Default::default()
        },
    );
    m.opset_import.push(OperatorSetIdProto { domain: Some("f".into()), version: Some(1) });
    m.functions = vec![inner, outer];
    m
}

#[test]
fn calls_stay_calls_until_expanded() {
    let model = model_from_proto(model(), &ReadOptions::default()).unwrap();
    assert_eq!(model.graph.operators().len(), 2);
    let expanded = expand_functions(&model, &ExpandLimits::default()).unwrap();
    assert!(expanded.functions.is_empty() && expanded.graph.verify().is_empty());
    let ops: Vec<String> = expanded.graph.operators().iter().map(|n| expanded.graph.node(*n).op.to_string()).collect();
    assert_eq!(ops.iter().filter(|o| *o == "LeakyRelu").count(), 2, "{ops:?}");
    assert_eq!(ops.iter().filter(|o| *o == "If").count(), 2, "{ops:?}");
    assert!(ops.iter().all(|o| ["LeakyRelu", "If", "Identity"].contains(&o.as_str())), "{ops:?}");
    // The default of the function, then what the call says; the attribute that no call gives is not there.
    let slopes: Vec<_> = expanded.graph.operators().iter().filter_map(|n| expanded.graph.node(*n).attrs.float("alpha")).collect();
    assert_eq!(slopes, [0.25, 0.5]);
    assert!(expanded.graph.operators().iter().all(|n| expanded.graph.node(*n).attrs.get("nothing").is_none()));
    assert_eq!(expanded.opsets.keys().map(|k| &**k).collect::<Vec<_>>(), [""]);
}

#[test]
fn a_body_of_another_opset_is_refused_where_its_operators_changed() {
    let mut m = model();
    m.functions[0].opset_import[0].version = Some(15);
    let at_15 = model_from_proto(m.clone(), &ReadOptions::default()).unwrap();
    // LeakyRelu changed in version 16.
    let d = expand_functions(&at_15, &ExpandLimits::default()).unwrap_err().0.remove(0);
    assert!(d.message.contains("LeakyRelu"), "{d}");
    m.functions[0].opset_import[0].version = Some(17);
    let at_17 = model_from_proto(m, &ReadOptions::default()).unwrap();
    assert!(expand_functions(&at_17, &ExpandLimits::default()).is_ok());
}
