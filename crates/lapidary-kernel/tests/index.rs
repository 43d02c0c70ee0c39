//! The algebra of indices against plain integers: whatever is simplified evaluates to the same at every point.

use lapidary_ir::Dim;
use lapidary_kernel::{AxisId, ExprId, Index, delinearize, linearize};
use proptest::prelude::*;

const AXES: usize = 4;

/// An index as it was asked for, before any rule applies.
#[derive(Clone, Debug)]
enum Tree {
    Axis(u16),
    Value(u32),
    Dim(Dim),
    Add(Box<Tree>, Box<Tree>),
    Scale(Box<Tree>, Dim),
    Div(Box<Tree>, Dim),
    Mod(Box<Tree>, Dim),
}

#[derive(Clone, Debug)]
struct Point {
    extents: Vec<Dim>,
    at: Vec<u32>,
    sizes: [i64; 2],
}

impl Point {
    fn symbol(&self, name: &str) -> Option<i64> {
        match name {
            "N" => Some(self.sizes[0]),
            "M" => Some(self.sizes[1]),
            _ => None,
        }
    }
    fn size(&self, d: &Dim) -> i64 {
        d.eval(&|n| self.symbol(n)).unwrap()
    }
    fn extent(&self, a: AxisId) -> Dim {
        self.extents[a.0 as usize].clone()
    }
    /// The axis' position; `None` where an axis is empty, as then there is no point at all.
    fn axis(&self, a: u16) -> Option<i64> {
        let extent = self.size(&self.extents[a as usize]);
        (extent > 0).then(|| self.at[a as usize] as i64 % extent)
    }
    fn exists(&self) -> bool {
        (0..AXES as u16).all(|a| self.axis(a).is_some())
    }
    fn value(e: u32) -> i64 {
        [7, -3, 0, 100][e as usize % 4]
    }
    fn eval(&self, i: &Index) -> i64 {
        i.eval(&|a| self.axis(a.0).unwrap(), &|e| Point::value(e.0), &|n| self.symbol(n)).unwrap()
    }
}

impl Tree {
    fn build(&self, extent: &impl Fn(AxisId) -> Dim) -> Index {
        match self {
            Tree::Axis(a) => Index::from(AxisId(*a)),
            Tree::Value(e) => Index::value(ExprId(*e)),
            Tree::Dim(d) => Index::from(d.clone()),
            Tree::Add(a, b) => a.build(extent).add(&b.build(extent)),
            Tree::Scale(a, d) => a.build(extent).scale(d),
            Tree::Div(a, d) => a.build(extent).floor_div(d, extent),
            Tree::Mod(a, d) => a.build(extent).modulo(d, extent),
        }
    }
    fn plain(&self, p: &Point) -> i64 {
        match self {
            Tree::Axis(a) => p.axis(*a).unwrap(),
            Tree::Value(e) => Point::value(*e),
            Tree::Dim(d) => p.size(d),
            Tree::Add(a, b) => a.plain(p) + b.plain(p),
            Tree::Scale(a, d) => a.plain(p) * p.size(d),
            Tree::Div(a, d) => a.plain(p).div_euclid(p.size(d)),
            Tree::Mod(a, d) => a.plain(p).rem_euclid(p.size(d)),
        }
    }
    /// Whether no divisor within is 0.
    fn divides(&self, p: &Point) -> bool {
        match self {
            Tree::Axis(_) | Tree::Value(_) | Tree::Dim(_) => true,
            Tree::Add(a, b) => a.divides(p) && b.divides(p),
            Tree::Scale(a, _) => a.divides(p),
            Tree::Div(a, d) | Tree::Mod(a, d) => p.size(d) > 0 && a.divides(p),
        }
    }
}

fn positive() -> impl Strategy<Value = Dim> {
    let (n, m) = (Dim::symbol("N"), Dim::symbol("M"));
    prop_oneof![
        (1i64..9).prop_map(Dim::from),
        Just(n.clone()),
        Just(m.clone()),
        (1i64..5).prop_map({
            let n = n.clone();
            move |k| &n * &Dim::from(k)
        }),
        Just(&n * &m),
        Just(&n + &Dim::from(1)),
        Just((&n + &Dim::from(1)).floor_div(&Dim::from(2)) + Dim::from(1)),
    ]
}

fn any_dim() -> impl Strategy<Value = Dim> {
    prop_oneof![positive(), (-6i64..7).prop_map(Dim::from), positive().prop_map(|d| &Dim::from(0) - &d)]
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![4 => (0..AXES as u16).prop_map(Tree::Axis), 1 => (0u32..4).prop_map(Tree::Value), 1 => any_dim().prop_map(Tree::Dim)];
    leaf.prop_recursive(5, 24, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Tree::Add(Box::new(a), Box::new(b))),
            (inner.clone(), any_dim()).prop_map(|(a, d)| Tree::Scale(Box::new(a), d)),
            (inner.clone(), positive()).prop_map(|(a, d)| Tree::Div(Box::new(a), d)),
            (inner, positive()).prop_map(|(a, d)| Tree::Mod(Box::new(a), d)),
        ]
    })
}

fn point() -> impl Strategy<Value = Point> {
    (prop::collection::vec(positive(), AXES), prop::collection::vec(0u32..64, AXES), [0i64..6, 0i64..6]).prop_map(|(extents, at, sizes)| Point {
        extents,
        at,
        sizes,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, max_global_rejects: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn simplified_is_equal(t in tree(), p in point()) {
        prop_assume!(p.exists() && t.divides(&p));
        let i = t.build(&|a| p.extent(a));
        prop_assert_eq!(p.eval(&i), t.plain(&p), "{:?}", i);
    }

    #[test]
    fn ranges_hold(t in tree(), p in point()) {
        prop_assume!(p.exists() && t.divides(&p));
        let i = t.build(&|a| p.extent(a));
        if let Some((low, high)) = i.range(&|a| p.extent(a)) {
            let v = p.eval(&i);
            prop_assert!(p.size(&low) <= v && v <= p.size(&high), "{v} of {i:?} is not in {low:?}..={high:?}");
        }
        if let Some(c) = i.coefficient(AxisId(0)) {
            // A step along the axis is a step by the coefficient.
            let mut next = p.clone();
            next.at[0] = p.axis(0).unwrap() as u32 + 1;
            if next.axis(0) == Some(p.axis(0).unwrap() + 1) {
                prop_assert_eq!(next.eval(&i) - p.eval(&i), p.size(&c), "{:?}", i);
            }
        }
    }

    #[test]
    fn substitution_is_composition(t in tree(), axes in prop::collection::vec(tree(), AXES), p in point()) {
        prop_assume!(p.exists() && t.divides(&p) && axes.iter().all(|t| t.divides(&p)));
        // The new axes' terms must lie within the old axes' extents: taken modulo.
        let extent = |a: AxisId| p.extent(a);
        let new: Vec<Index> = axes.iter().enumerate().map(|(a, t)| t.build(&extent).modulo(&p.extents[a], &extent)).collect();
        let mut inner = p.clone();
        for (a, i) in new.iter().enumerate() {
            inner.at[a] = p.eval(i) as u32;
        }
        let i = t.build(&extent).substitute(&|a| new[a.0 as usize].clone(), &Index::value, &extent);
        prop_assert_eq!(p.eval(&i), t.plain(&inner), "{:?}", i);
    }

    #[test]
    fn positions_come_back(dims in prop::collection::vec(positive(), 1..5), p in point()) {
        let mut p = p;
        p.extents = dims.clone();
        p.extents.resize(AXES, Dim::from(1));
        prop_assume!(p.exists());
        let at: Vec<Index> = (0..dims.len() as u16).map(|a| AxisId(a).into()).collect();
        let flat = linearize(&at, &dims);
        for (back, i) in delinearize(&flat, &dims, &|a| p.extent(a)).iter().zip(&at) {
            prop_assert_eq!(p.eval(back), p.eval(i));
        }
        // Also where the dims are grouped otherwise.
        let total = dims.iter().fold(Dim::from(1), |a, d| &a * d);
        let turned: Vec<Dim> = dims.iter().rev().cloned().collect();
        let parts = delinearize(&flat, &turned, &|a| p.extent(a));
        let mut rest = p.eval(&flat);
        for (part, d) in parts.iter().zip(&turned).rev() {
            prop_assert_eq!(p.eval(part), rest.rem_euclid(p.size(d)));
            rest = rest.div_euclid(p.size(d));
        }
        prop_assert!(p.eval(&flat) < p.size(&total));
        prop_assert_eq!(p.eval(&linearize(&parts, &turned)), p.eval(&flat));
    }
}
