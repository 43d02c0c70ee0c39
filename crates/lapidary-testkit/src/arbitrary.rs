//! Random parts of graphs. Names are hostile on purpose: what a model may contain, the text form must carry.

use bytes::Bytes;
use lapidary_ir::{Attr, DType, Dim, Shape, Tensor, TensorType, Type};
use proptest::collection::vec;
use proptest::prelude::*;
use std::sync::Arc;

/// A name that is not empty: mostly words, else anything.
pub fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z_][a-zA-Z0-9_]{0,8}",
        1 => "[a-z]{1,3}(\\.[a-z0-9]{1,3}){1,2}",
        1 => "[0-9]{1,4}",
        1 => "/?[a-z]{1,4}/[A-Za-z_.:0-9]{1,8}",
        1 => "\\PC{1,6}",
        1 => vec(any::<char>(), 1..4).prop_map(|c| c.into_iter().collect()),
        1 => prop::sample::select(vec!["const", "return", "region", "min", "mod", "floordiv", "_", "nan", "inf", "a.", ".a", "a..b", "//", "?", "\"", "'", "\\", "\n", "\u{202e}", "x y", "é", "7.1", "1e5"]).prop_map(str::to_string),
    ]
}

/// A size with symbols, quotients, remainders, minima and maxima in it.
pub fn any_dim() -> impl Strategy<Value = Dim> {
    let leaf = prop_oneof![
        3 => (0i64..100).prop_map(Dim::from),
        1 => (-5i64..0).prop_map(Dim::from),
        4 => prop::sample::select(vec!["N", "M", "K", "batch", "seq_len"]).prop_map(Dim::from),
        1 => any_name().prop_map(|n| Dim::symbol(n.as_str())),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        (inner.clone(), inner, 0..7).prop_map(|(a, b, op)| match op {
            0 | 1 => &a + &b,
            2 => &a - &b,
            3 => &a * &b,
            4 => a.floor_div(&b),
            5 => a.modulo(&b),
            _ if a <= b => a.minimum(&b),
            _ => a.maximum(&b),
        })
    })
}

/// A dim that a value can have: never a negative constant.
fn size_dim() -> impl Strategy<Value = Dim> {
    any_dim().prop_map(|d| d.as_const().map_or(d, |c| Dim::from(c.max(0))))
}

fn any_tensor_type() -> impl Strategy<Value = TensorType> {
    let shape = prop_oneof![9 => vec(size_dim(), 0..4).prop_map(Shape::of), 1 => Just(Shape::Unranked)];
    (prop::sample::select(DType::all().collect::<Vec<_>>()), shape).prop_map(|(d, s)| TensorType::new(d, s))
}

/// Any type of a value: tensors mostly, containers of them, the unknown type.
pub fn any_type() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![
        8 => any_tensor_type().prop_map(Type::Tensor),
        1 => any_tensor_type().prop_map(Type::Sparse),
        1 => Just(Type::Unknown),
    ];
    leaf.prop_recursive(2, 4, 1, |inner| {
        prop_oneof![
            inner.clone().prop_map(|t| Type::Sequence(Arc::new(t))),
            inner.clone().prop_map(|t| Type::Optional(Arc::new(t))),
            inner.prop_map(|t| Type::Map(DType::I64, Arc::new(t))),
        ]
    })
}

/// Up to three sizes, zeros among them.
pub fn small_sizes() -> impl Strategy<Value = Vec<usize>> {
    vec(0usize..5, 0..4)
}

/// A tensor of any element type that has tensors: every bit pattern may come, odd NaNs and padding included.
pub fn any_tensor() -> impl Strategy<Value = Tensor> {
    let dtypes: Vec<DType> = DType::all().filter(|d| *d != DType::Unknown).collect();
    (prop::sample::select(dtypes), small_sizes()).prop_flat_map(|(d, s)| any_tensor_of(d, s))
}

/// A tensor of this type and these sizes: random bytes, plain numbers, or one number repeated.
pub fn any_tensor_of(dtype: DType, sizes: Vec<usize>) -> BoxedStrategy<Tensor> {
    let count: usize = sizes.iter().product();
    if dtype == DType::String {
        let string = prop_oneof![any_name().prop_map(String::into_bytes), vec(any::<u8>(), 0..5)];
        let repeated = (string.clone(), Just(count)).prop_map(|(s, n)| vec![s; n]);
        let strings = prop_oneof![vec(string, count), repeated];
        return strings
            .prop_map(move |v| {
                let v = v.into_iter().map(Bytes::from).collect();
                Tensor::strings(&sizes, v).unwrap_or_else(|e| unreachable!("as many strings as the sizes hold: {e}"))
            })
            .boxed();
    }
    let bytes = dtype.bytes_for(count).unwrap_or(0);
    let (raw_sizes, number_sizes) = (sizes.clone(), sizes);
    let raw = vec(any::<u8>(), bytes)
        .prop_map(move |b| Tensor::new(dtype, &raw_sizes, b).unwrap_or_else(|e| unreachable!("as many bytes as the sizes need: {e}")));
    let (low, high) = dtype.int_range().map_or((-4, 5), |(l, h)| (l.max(-100) as i64, h.min(100) as i64));
    let one = prop_oneof![(low..=high).prop_map(|v| v as f64), prop::sample::select(vec![0.0, -0.0, 0.1, 1.5, f64::INFINITY, f64::NAN])];
    let repeated = one.clone().prop_map(move |v| vec![v; count]);
    let numbers = prop_oneof![vec(one, count), repeated];
    let numbers = numbers.prop_map(move |v| {
        Tensor::from_f64(dtype, &number_sizes, &v)
            .or_else(|_| Tensor::zeros(dtype, &number_sizes))
            .unwrap_or_else(|e| unreachable!("the sizes are small: {e}"))
    });
    prop_oneof![raw, numbers].boxed()
}

/// Any kind of attribute.
pub fn any_attr() -> impl Strategy<Value = Attr> {
    let bytes = || prop_oneof![any_name().prop_map(String::into_bytes), vec(any::<u8>(), 0..6)].prop_map(Bytes::from);
    let float = || prop_oneof![any::<f32>(), any::<u32>().prop_map(f32::from_bits), (-3i8..4).prop_map(f32::from)];
    let tensor = || any_tensor().prop_map(Arc::new);
    prop_oneof![
        4 => any::<i64>().prop_map(Attr::Int),
        4 => vec(any::<i64>(), 0..4).prop_map(Attr::Ints),
        2 => float().prop_map(Attr::Float),
        2 => vec(float(), 0..4).prop_map(Attr::Floats),
        2 => bytes().prop_map(Attr::Str),
        1 => vec(bytes(), 0..3).prop_map(Attr::Strs),
        2 => tensor().prop_map(Attr::Tensor),
        1 => vec(tensor(), 0..3).prop_map(Attr::Tensors),
        1 => any_type().prop_map(Attr::Type),
        1 => vec(any_type(), 0..3).prop_map(Attr::Types),
        1 => (tensor(), tensor(), vec(any::<i64>(), 0..3)).prop_map(|(v, i, d)| Attr::Sparse(v, i, d)),
        1 => (any_name(), any::<i32>()).prop_map(|(n, c)| Attr::Ref(n.as_str().into(), c)),
    ]
}
