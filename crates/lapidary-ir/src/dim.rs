//! Sizes as integer polynomials over named symbols, in a normal form, so that equal sizes compare equal.

use crate::Name;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Add, Mul, Neg, Sub};
use std::sync::Arc;

/// A size: a polynomial with integer coefficients over [`Atom`]s. Symbols are ≥ 0. Arithmetic saturates at the ends of `i64`
/// (nothing that large can be allocated, so the allocation is what reports it).
///
/// ```
/// use lapidary_ir::Dim;
/// let n = Dim::symbol("N");
/// assert_eq!((&(&n * &Dim::from(6)) + &Dim::from(4)).floor_div(&Dim::from(2)), &(&n * &Dim::from(3)) + &Dim::from(2));
/// assert_eq!((&n * &Dim::from(768)).floor_div(&n), Dim::from(768));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dim(Repr);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr {
    Const(i64),
    /// Terms with non-zero coefficients, sorted from the highest monomial down; never a lone constant.
    Poly(Arc<[(Monomial, i64)]>),
}

/// Factors with their powers, sorted by atom. Empty for the constant term.
type Monomial = Vec<(Atom, u32)>;

/// What a polynomial is made of besides numbers.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Atom {
    Symbol(Name),
    /// Quotient rounded towards minus infinity.
    FloorDiv(Arc<(Dim, Dim)>),
    /// Remainder with the sign of the divisor.
    Mod(Arc<(Dim, Dim)>),
    Min(Arc<(Dim, Dim)>),
    Max(Arc<(Dim, Dim)>),
}

impl From<i64> for Dim {
    fn from(v: i64) -> Dim {
        Dim(Repr::Const(v))
    }
}
impl From<i32> for Dim {
    fn from(v: i32) -> Dim {
        Dim::from(v as i64)
    }
}
impl From<usize> for Dim {
    fn from(v: usize) -> Dim {
        Dim::from(i64::try_from(v).unwrap_or(i64::MAX))
    }
}
impl From<&Dim> for Dim {
    fn from(v: &Dim) -> Dim {
        v.clone()
    }
}
impl From<&str> for Dim {
    fn from(v: &str) -> Dim {
        Dim::symbol(v)
    }
}

impl Dim {
    /// The size named `name`.
    pub fn symbol(name: impl Into<Name>) -> Dim {
        Dim::atom(Atom::Symbol(name.into()))
    }
    fn atom(a: Atom) -> Dim {
        Dim(Repr::Poly(Arc::from([(vec![(a, 1)], 1)])))
    }
    pub fn as_const(&self) -> Option<i64> {
        match self.0 {
            Repr::Const(v) => Some(v),
            Repr::Poly(_) => None,
        }
    }
    pub fn is_const(&self) -> bool {
        self.as_const().is_some()
    }
    /// The symbol, when the dim is nothing else.
    pub fn as_symbol(&self) -> Option<&Name> {
        match self.terms() {
            [(m, 1)] => match m.as_slice() {
                [(Atom::Symbol(n), 1)] => Some(n),
                _ => None,
            },
            _ => None,
        }
    }
    /// The terms of a dim that is not constant: factors with powers, and the coefficient. Empty for a constant.
    pub fn terms(&self) -> &[(Vec<(Atom, u32)>, i64)] {
        match &self.0 {
            Repr::Const(_) => &[],
            Repr::Poly(t) => t,
        }
    }
    fn to_map(&self) -> BTreeMap<Monomial, i64> {
        match &self.0 {
            Repr::Const(0) => BTreeMap::new(),
            Repr::Const(v) => BTreeMap::from([(vec![], *v)]),
            Repr::Poly(t) => t.iter().cloned().collect(),
        }
    }
    fn from_map(map: BTreeMap<Monomial, i64>) -> Dim {
        let mut terms: Vec<_> = map.into_iter().filter(|(_, c)| *c != 0).collect();
        match terms.as_slice() {
            [] => Dim::from(0),
            [(m, c)] if m.is_empty() => Dim::from(*c),
            _ => {
                terms.sort_by(|a, b| order(&b.0, &a.0));
                Dim(Repr::Poly(terms.into()))
            }
        }
    }
    /// `self / d` rounded towards minus infinity. An exact quotient of polynomials is taken as such (a divisor is never zero at run
    /// time in a valid model).
    pub fn floor_div(&self, d: &Dim) -> Dim {
        if let (Some(a), Some(b)) = (self.as_const(), d.as_const())
            && b != 0
        {
            return Dim::from(floor_div(a, b));
        }
        if d.as_const() == Some(1) {
            return self.clone();
        }
        if let Some(q) = self.exact_div(d) {
            return q;
        }
        if let Some(k) = d.as_const()
            && k > 0
        {
            // floor((k·q + r) / k) = q + floor(r / k), coefficient by coefficient.
            let (mut q, mut r) = (BTreeMap::new(), BTreeMap::new());
            for (m, c) in self.to_map() {
                q.insert(m.clone(), floor_div(c, k));
                r.insert(m, c.rem_euclid(k));
            }
            let q = Dim::from_map(q);
            // floor((g·a + rest) / (g·b)) = floor(a / b)
            let (r, _, _, k) = reduce(&Dim::from_map(r), k);
            if let Some(c) = r.as_const() {
                return &q + &Dim::from(floor_div(c, k));
            }
            // floor(floor(x / a) / b) = floor(x / (a·b))
            if let [(m, 1)] = r.terms()
                && let [(Atom::FloorDiv(p), 1)] = m.as_slice()
                && let Some(inner) = p.1.as_const()
                && inner > 0
                && let Some(k2) = inner.checked_mul(k)
            {
                return &q + &p.0.floor_div(&Dim::from(k2));
            }
            return &q + &Dim::atom(Atom::FloorDiv(Arc::new((r, Dim::from(k)))));
        }
        Dim::atom(Atom::FloorDiv(Arc::new((self.clone(), d.clone()))))
    }
    /// `self / d` rounded up.
    pub fn ceil_div(&self, d: &Dim) -> Dim {
        (&(self + d) - &Dim::from(1)).floor_div(d)
    }
    /// `self - d * floor(self / d)`.
    pub fn modulo(&self, d: &Dim) -> Dim {
        if let (Some(a), Some(b)) = (self.as_const(), d.as_const())
            && b != 0
        {
            return Dim::from(floor_mod(a, b));
        }
        if self.exact_div(d).is_some() {
            return Dim::from(0);
        }
        if let Some(k) = d.as_const()
            && k > 0
        {
            let reduced = Dim::from_map(self.to_map().into_iter().map(|(m, c)| (m, c.rem_euclid(k))).collect());
            if let Some(c) = reduced.as_const() {
                return Dim::from(c);
            }
            // (g·a + rest) mod (g·b) = g·(a mod b) + rest
            let (reduced, rest, g, k) = reduce(&reduced, k);
            return &(&Dim::from(g) * &Dim::atom(Atom::Mod(Arc::new((reduced, Dim::from(k)))))) + &Dim::from(rest);
        }
        Dim::atom(Atom::Mod(Arc::new((self.clone(), d.clone()))))
    }
    pub fn minimum(&self, other: &Dim) -> Dim {
        if self.known_le(other) {
            return self.clone();
        }
        if other.known_le(self) {
            return other.clone();
        }
        let (a, b) = if self <= other { (self, other) } else { (other, self) };
        Dim::atom(Atom::Min(Arc::new((a.clone(), b.clone()))))
    }
    pub fn maximum(&self, other: &Dim) -> Dim {
        if self.known_le(other) {
            return other.clone();
        }
        if other.known_le(self) {
            return self.clone();
        }
        let (a, b) = if self <= other { (self, other) } else { (other, self) };
        Dim::atom(Atom::Max(Arc::new((a.clone(), b.clone()))))
    }
    /// `Some(q)` with `q * d == self` as polynomials.
    pub fn exact_div(&self, d: &Dim) -> Option<Dim> {
        if d.as_const() == Some(0) {
            return None;
        }
        if self.as_const() == Some(0) {
            return Some(Dim::from(0));
        }
        let divisor = d.to_map();
        let (lead_m, lead_c) = divisor.iter().max_by(|a, b| order(a.0, b.0))?;
        let (mut rest, mut quotient) = (self.to_map(), BTreeMap::new());
        for _ in 0..64 {
            let Some((m, c)) = rest.iter().max_by(|a, b| order(a.0, b.0)).map(|(m, c)| (m.clone(), *c)) else {
                return Some(Dim::from_map(quotient));
            };
            let m = monomial_div(&m, lead_m)?;
            let c = c.checked_div(*lead_c).filter(|q| q.checked_mul(*lead_c) == Some(c))?;
            for (dm, dc) in &divisor {
                let key = monomial_mul(&m, dm);
                let left = rest.get(&key).copied().unwrap_or(0).saturating_sub(c.saturating_mul(*dc));
                if left == 0 {
                    rest.remove(&key)
                } else {
                    rest.insert(key, left)
                };
            }
            quotient.insert(m, c);
        }
        None
    }
    /// Whether the value is ≥ 0 whatever the symbols are.
    pub fn known_non_negative(&self) -> bool {
        match &self.0 {
            Repr::Const(v) => *v >= 0,
            Repr::Poly(t) => t.iter().all(|(m, c)| *c >= 0 && m.iter().all(|(a, p)| p % 2 == 0 || a.known_non_negative())),
        }
    }
    /// Whether `self <= other` whatever the symbols are. `false` where that cannot be told.
    pub fn known_le(&self, other: &Dim) -> bool {
        self.known_le_within(other, 4)
    }
    /// Looks at most `depth` minima and maxima deep.
    fn known_le_within(&self, other: &Dim, depth: usize) -> bool {
        if (other - self).known_non_negative() {
            return true;
        }
        let Some(depth) = depth.checked_sub(1) else { return false };
        let lower = match self.as_atom() {
            Some(Atom::Min(p)) => p.0.known_le_within(other, depth) || p.1.known_le_within(other, depth),
            Some(Atom::Max(p)) => p.0.known_le_within(other, depth) && p.1.known_le_within(other, depth),
            _ => false,
        };
        lower
            || match other.as_atom() {
                Some(Atom::Min(p)) => self.known_le_within(&p.0, depth) && self.known_le_within(&p.1, depth),
                Some(Atom::Max(p)) => self.known_le_within(&p.0, depth) || self.known_le_within(&p.1, depth),
                _ => false,
            }
    }
    /// The atom, when the dim is nothing else.
    fn as_atom(&self) -> Option<&Atom> {
        match self.terms() {
            [(m, 1)] => match m.as_slice() {
                [(a, 1)] => Some(a),
                _ => None,
            },
            _ => None,
        }
    }
    /// The value with every symbol replaced by what `f` says of it; `None` when it knows one not, or on division by zero.
    pub fn eval(&self, f: &impl Fn(&str) -> Option<i64>) -> Option<i64> {
        match &self.0 {
            Repr::Const(v) => Some(*v),
            Repr::Poly(t) => {
                let mut sum = 0i64;
                for (m, c) in t.iter() {
                    let mut product = *c;
                    for (a, p) in m {
                        let v = a.eval(f)?;
                        for _ in 0..*p {
                            product = product.checked_mul(v)?;
                        }
                    }
                    sum = sum.checked_add(product)?;
                }
                Some(sum)
            }
        }
    }
    /// The same size in terms of other symbols: each symbol for which `f` gives a dim is replaced.
    pub fn substitute(&self, f: &impl Fn(&str) -> Option<Dim>) -> Dim {
        match &self.0 {
            Repr::Const(_) => self.clone(),
            Repr::Poly(t) => t.iter().fold(Dim::from(0), |sum, (m, c)| {
                let product = m.iter().fold(Dim::from(*c), |product, (a, p)| {
                    let v = a.substitute(f);
                    (0..*p).fold(product, |x, _| &x * &v)
                });
                &sum + &product
            }),
        }
    }
    /// The names of all symbols within, sorted.
    pub fn symbols(&self) -> BTreeSet<Name> {
        let mut out = BTreeSet::new();
        self.collect_symbols(&mut out);
        out
    }
    fn collect_symbols(&self, out: &mut BTreeSet<Name>) {
        for (a, _) in self.terms().iter().flat_map(|(m, _)| m) {
            match a {
                Atom::Symbol(n) => {
                    out.insert(n.clone());
                }
                Atom::FloorDiv(p) | Atom::Mod(p) | Atom::Min(p) | Atom::Max(p) => {
                    p.0.collect_symbols(out);
                    p.1.collect_symbols(out);
                }
            }
        }
    }
}

impl Atom {
    fn known_non_negative(&self) -> bool {
        match self {
            Atom::Symbol(_) => true,
            Atom::FloorDiv(p) => p.0.known_non_negative() && p.1.known_non_negative(),
            Atom::Mod(p) => p.1.known_non_negative(),
            Atom::Min(p) => p.0.known_non_negative() && p.1.known_non_negative(),
            Atom::Max(p) => p.0.known_non_negative() || p.1.known_non_negative(),
        }
    }
    fn eval(&self, f: &impl Fn(&str) -> Option<i64>) -> Option<i64> {
        match self {
            Atom::Symbol(n) => f(n),
            Atom::FloorDiv(p) => {
                let (a, b) = (p.0.eval(f)?, p.1.eval(f)?);
                (b != 0).then(|| floor_div(a, b))
            }
            Atom::Mod(p) => {
                let (a, b) = (p.0.eval(f)?, p.1.eval(f)?);
                (b != 0).then(|| floor_mod(a, b))
            }
            Atom::Min(p) => Some(p.0.eval(f)?.min(p.1.eval(f)?)),
            Atom::Max(p) => Some(p.0.eval(f)?.max(p.1.eval(f)?)),
        }
    }
    fn substitute(&self, f: &impl Fn(&str) -> Option<Dim>) -> Dim {
        match self {
            Atom::Symbol(n) => f(n).unwrap_or_else(|| Dim::symbol(n.clone())),
            Atom::FloorDiv(p) => p.0.substitute(f).floor_div(&p.1.substitute(f)),
            Atom::Mod(p) => p.0.substitute(f).modulo(&p.1.substitute(f)),
            Atom::Min(p) => p.0.substitute(f).minimum(&p.1.substitute(f)),
            Atom::Max(p) => p.0.substitute(f).maximum(&p.1.substitute(f)),
        }
    }
}

/// `(a, rest, g, b)` with `d = g·a + rest`, `k = g·b`, `0 ≤ rest < g`, and g as large as the symbolic terms allow.
/// Coefficients must be ≥ 0 and `k` > 0.
fn reduce(d: &Dim, k: i64) -> (Dim, i64, i64, i64) {
    let map = d.to_map();
    let g = map.iter().filter(|(m, _)| !m.is_empty()).fold(k, |mut a, (_, c)| {
        let mut b = *c;
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    });
    let rest = map.get(&Monomial::new()).map_or(0, |c| c % g);
    (Dim::from_map(map.into_iter().map(|(m, c)| (m, c / g)).collect()), rest, g, k / g)
}

/// Rounded towards minus infinity; the one quotient that does not fit (of `i64::MIN / -1`) saturates. `b` must not be 0.
fn floor_div(a: i64, b: i64) -> i64 {
    let Some(q) = a.checked_div(b) else { return i64::MAX };
    if a.wrapping_rem(b) != 0 && ((a < 0) != (b < 0)) { q - 1 } else { q }
}

/// The remainder with the sign of `b`, which must not be 0.
fn floor_mod(a: i64, b: i64) -> i64 {
    let r = a.wrapping_rem(b);
    if r != 0 && ((r < 0) != (b < 0)) { r + b } else { r }
}

/// A monomial order (degree first, then the atoms), as polynomial division needs.
fn order(a: &Monomial, b: &Monomial) -> Ordering {
    let degree = |m: &Monomial| m.iter().map(|(_, p)| *p).sum::<u32>();
    degree(a).cmp(&degree(b)).then_with(|| {
        // Lexicographic on exponent vectors: the first atom (in sorted order) whose power differs decides.
        let atoms: BTreeSet<&Atom> = a.iter().chain(b).map(|(x, _)| x).collect();
        let power = |m: &Monomial, x: &Atom| m.iter().find(|(y, _)| y == x).map_or(0, |(_, p)| *p);
        atoms.into_iter().map(|x| power(a, x).cmp(&power(b, x))).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    })
}

fn monomial_mul(a: &Monomial, b: &Monomial) -> Monomial {
    let mut powers: BTreeMap<Atom, u32> = a.iter().cloned().collect();
    for (x, p) in b {
        *powers.entry(x.clone()).or_default() += p;
    }
    powers.into_iter().collect()
}

fn monomial_div(a: &Monomial, b: &Monomial) -> Option<Monomial> {
    let mut powers: BTreeMap<Atom, u32> = a.iter().cloned().collect();
    for (x, p) in b {
        let have = powers.get_mut(x)?;
        *have = have.checked_sub(*p)?;
    }
    Some(powers.into_iter().filter(|(_, p)| *p > 0).collect())
}

impl Add for &Dim {
    type Output = Dim;
    fn add(self, other: &Dim) -> Dim {
        if let (Some(a), Some(b)) = (self.as_const(), other.as_const()) {
            return Dim::from(a.saturating_add(b));
        }
        let mut sum = self.to_map();
        for (m, c) in other.to_map() {
            let at = sum.entry(m).or_default();
            *at = at.saturating_add(c);
        }
        Dim::from_map(sum)
    }
}
impl Neg for &Dim {
    type Output = Dim;
    fn neg(self) -> Dim {
        self * &Dim::from(-1)
    }
}
impl Sub for &Dim {
    type Output = Dim;
    fn sub(self, other: &Dim) -> Dim {
        self + &-other
    }
}
impl Mul for &Dim {
    type Output = Dim;
    fn mul(self, other: &Dim) -> Dim {
        if let (Some(a), Some(b)) = (self.as_const(), other.as_const()) {
            return Dim::from(a.saturating_mul(b));
        }
        let mut product = BTreeMap::new();
        let right = other.to_map();
        for (m, c) in self.to_map() {
            for (n, d) in &right {
                let at: &mut i64 = product.entry(monomial_mul(&m, n)).or_default();
                *at = at.saturating_add(c.saturating_mul(*d));
            }
        }
        Dim::from_map(product)
    }
}
macro_rules! owned_operators {
    ($($t:ident $f:ident),*) => {$(
        impl $t for Dim {
            type Output = Dim;
            fn $f(self, other: Dim) -> Dim {
                (&self).$f(&other)
            }
        }
    )*};
}
owned_operators!(Add add, Sub sub, Mul mul);

/// Writes a name bare where it reads back as one word, in single quotes otherwise.
pub(crate) fn write_symbol(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    let reserved = ["floordiv", "mod", "min", "max", "ceildiv"].contains(&name);
    if crate::text::is_word(name) && !reserved {
        return f.write_str(name);
    }
    f.write_str("'")?;
    for c in name.chars() {
        match c {
            '\'' | '\\' => write!(f, "\\{c}")?,
            c if c.is_control() || crate::text::is_layout(c) => write!(f, "\\u{{{:x}}}", c as u32)?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("'")
}

/// A dim as an operand of `floordiv` and `mod`: in brackets unless it is a plain number or one atom.
struct Factor<'a>(&'a Dim);

impl fmt::Display for Factor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one_atom = matches!(self.0.terms(), [(m, 1)] if matches!(m.as_slice(), [(_, 1)]));
        if one_atom || self.0.as_const().is_some_and(|c| c >= 0) { write!(f, "{}", self.0) } else { write!(f, "({})", self.0) }
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::Symbol(n) => write_symbol(f, n),
            Atom::FloorDiv(p) => write!(f, "({} floordiv {})", Factor(&p.0), Factor(&p.1)),
            Atom::Mod(p) => write!(f, "({} mod {})", Factor(&p.0), Factor(&p.1)),
            Atom::Min(p) => write!(f, "min({}, {})", p.0, p.1),
            Atom::Max(p) => write!(f, "max({}, {})", p.0, p.1),
        }
    }
}
impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms = match &self.0 {
            Repr::Const(v) => return write!(f, "{v}"),
            Repr::Poly(t) => t,
        };
        for (i, (m, c)) in terms.iter().enumerate() {
            let magnitude = c.unsigned_abs();
            match (i, *c < 0) {
                (0, true) => f.write_str("-")?,
                (0, false) => {}
                (_, true) => f.write_str(" - ")?,
                (_, false) => f.write_str(" + ")?,
            }
            if magnitude != 1 || m.is_empty() {
                write!(f, "{magnitude}")?;
            }
            let mut first = magnitude == 1;
            for (a, p) in m {
                for _ in 0..*p {
                    write!(f, "{}{a}", if first { "" } else { "*" })?;
                    first = false;
                }
            }
        }
        Ok(())
    }
}
impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
