//! Laws of symbolic sizes: what they evaluate to is what the numbers would give, and equal polynomials are equal.

use lapidary_ir::{Dim, Name};
use lapidary_testkit::any_dim;
use proptest::prelude::*;

/// Values of the symbols: all are ≥ 0. Symbols that are not listed get a value from their name, so that every dim evaluates.
fn value_of(name: &str, seed: i64) -> Option<i64> {
    Some((name.bytes().fold(seed, |h, b| (h * 31 + i64::from(b)) % 1009) % 13).abs())
}

/// Whether all numbers are so small that no product below saturates.
fn small(d: &Dim) -> bool {
    d.as_const().is_none_or(|c| c.abs() < 10_000) && d.terms().len() < 12 && d.terms().iter().all(|(m, c)| c.abs() < 10_000 && m.len() < 5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arithmetic_evaluates_as_numbers_do(a in any_dim(), b in any_dim(), seed in 0i64..1000) {
        prop_assume!(small(&a) && small(&b));
        let env = |n: &str| value_of(n, seed);
        let (Some(x), Some(y)) = (a.eval(&env), b.eval(&env)) else { return Ok(()) };
        prop_assume!(x.abs() < 1 << 30 && y.abs() < 1 << 30);
        prop_assert_eq!((&a + &b).eval(&env), Some(x + y));
        prop_assert_eq!((&a - &b).eval(&env), Some(x - y));
        prop_assert_eq!((&a * &b).eval(&env), Some(x * y));
        prop_assert_eq!((-&a).eval(&env), Some(-x));
        prop_assert_eq!(a.minimum(&b).eval(&env), Some(x.min(y)), "min({}, {})", a, b);
        prop_assert_eq!(a.maximum(&b).eval(&env), Some(x.max(y)), "max({}, {})", a, b);
        if y != 0 {
            let quotient = x.div_euclid(y) - i64::from(y < 0 && x.rem_euclid(y) != 0);
            prop_assert_eq!(a.floor_div(&b).eval(&env), Some(quotient), "{} floordiv {}", a, b);
            prop_assert_eq!(a.modulo(&b).eval(&env), Some(x - y * quotient), "{} mod {}", a, b);
        }
        if y > 0 {
            prop_assert_eq!(a.ceil_div(&b).eval(&env), Some((x + y - 1).div_euclid(y)), "{} ceildiv {}", a, b);
        }
    }

    #[test]
    fn substitution_evaluates_as_its_parts_do(a in any_dim(), b in any_dim(), seed in 0i64..1000) {
        prop_assume!(small(&a) && small(&b));
        let env = |n: &str| value_of(n, seed);
        let Some(y) = b.eval(&env).filter(|y| (0..1 << 30).contains(y)) else { return Ok(()) };
        let substituted = a.substitute(&|n| (n == "N").then(|| b.clone()));
        let with_n = |n: &str| if n == "N" { Some(y) } else { env(n) };
        if let (Some(got), Some(want)) = (substituted.eval(&env), a.eval(&with_n)) {
            prop_assert_eq!(got, want, "{} with N = {}", a, b);
        }
    }

    #[test]
    fn equal_polynomials_are_equal(a in any_dim(), b in any_dim(), c in any_dim()) {
        prop_assume!(small(&a) && small(&b) && small(&c));
        prop_assert_eq!(&a + &b, &b + &a);
        prop_assert_eq!(&a * &b, &b * &a);
        prop_assert_eq!(&(&a + &b) + &c, &a + &(&b + &c));
        prop_assert_eq!(&(&a + &b) * &c, &(&a * &c) + &(&b * &c));
        prop_assert_eq!(&a - &a, Dim::from(0));
        prop_assert_eq!(a.minimum(&b), b.minimum(&a));
        prop_assert_eq!(a.maximum(&b), b.maximum(&a));
        if b != Dim::from(0) {
            let product = &a * &b;
            prop_assert_eq!(product.exact_div(&b).map(|q| &q * &b), Some(product), "{} over {}", a, b);
        }
    }

    #[test]
    fn what_is_known_holds(a in any_dim(), b in any_dim(), seed in 0i64..1000) {
        let env = |n: &str| value_of(n, seed);
        if let Some(x) = a.eval(&env) {
            prop_assert!(!a.known_non_negative() || x >= 0, "{a} = {x}");
            if let Some(y) = b.eval(&env) {
                prop_assert!(!a.known_le(&b) || x <= y, "{a} <= {b}");
            }
        }
    }

    #[test]
    fn no_number_makes_arithmetic_panic(x in extreme(), y in extreme(), z in extreme()) {
        let n = Dim::symbol("N");
        let (a, b) = (&(&n * &Dim::from(x)) + &Dim::from(z), Dim::from(y));
        for (a, b) in [(&a, &b), (&b, &a), (&Dim::from(x), &b)] {
            for d in [a + b, a - b, a * b, a.floor_div(b), a.modulo(b), a.minimum(b), a.maximum(b), a.ceil_div(b)] {
                let _ = d.eval(&|_| Some(z));
                prop_assert_eq!(lapidary_ir::text::parse_dim(&d.to_string()), Ok(d));
            }
        }
    }
}

fn extreme() -> impl Strategy<Value = i64> {
    prop_oneof![prop::sample::select(vec![i64::MIN, i64::MIN + 1, -1, 0, 1, 2, i64::MAX]), any::<i64>()]
}

#[test]
fn sizes_of_real_models_simplify() {
    let (n, h) = (Dim::symbol("N"), Dim::symbol("H"));
    let text = |d: Dim| d.to_string();
    assert_eq!(text((&(&n * &Dim::from(6)) + &Dim::from(4)).floor_div(&Dim::from(4))), "N + (N floordiv 2) + 1");
    assert_eq!(text(h.floor_div(&Dim::from(2)).floor_div(&Dim::from(2))), "(H floordiv 4)");
    assert_eq!(text((&h * &Dim::from(6)).modulo(&Dim::from(4))), "2*(H mod 2)");
    assert_eq!(text((&(&h * &Dim::from(2)) + &Dim::from(1)).floor_div(&Dim::from(4))), "(H floordiv 2)");
    assert_eq!((&h * &Dim::from(6)).floor_div(&Dim::from(4)), (&h * &Dim::from(3)).floor_div(&Dim::from(2)));
    assert_eq!((&(&n * &h) * &Dim::from(64)).floor_div(&(&h * &Dim::from(8))), &n * &Dim::from(8));
    assert_eq!((&n * &Dim::from(12)).modulo(&Dim::from(4)), Dim::from(0));
    assert_eq!(n.minimum(&(&n + &Dim::from(1))), n);
    assert_eq!(n.maximum(&Dim::from(0)), n);
    assert_eq!(text(&(&n * &n) - &Dim::from(1)), "N*N - 1");
    assert_eq!(n.symbols().into_iter().collect::<Vec<Name>>(), [Name::from("N")]);
    assert_eq!(Dim::symbol("a b").to_string(), "'a b'");
    assert_eq!(Dim::symbol("mod").to_string(), "'mod'");
}
