//! What one or several adapters add to a module.
//!
//! Sources: Yadav et al., "TIES-Merging" (2023); Yu et al., "Language Models are Super Mario" (DARE, 2024); the forms on A and B are those
//! of PEFT's `add_weighted_adapter`.

use super::adapter::{Module, product};
use crate::common::linalg::svd;
use faer::Mat;
use lapidary_ir::{DType, Diagnostic, Result, Tensor};
use lapidary_rewrite::PassCtx;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Thin {
    /// All elements stay.
    None,
    /// The largest stay.
    Magnitude,
    /// Chance decides, and what stays grows in turn.
    Chance,
}

/// How several adapters become one.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    thin: Thin,
    /// Elements against the sign of the majority go.
    elect: bool,
    /// The majority is that of the sum; else of the count.
    by_sum: bool,
    density: f64,
    /// On A and B, each by itself; else on what they add to the weight.
    factors: bool,
    seed: u64,
    rank: Option<usize>,
}

/// What is added to one module.
pub struct Change<'a> {
    pub module: String,
    /// The adapters that know the module, with their weights.
    pub parts: Vec<(f64, &'a Module)>,
}

impl Method {
    pub fn of(ctx: &PassCtx<'_>) -> Result<Method> {
        let wrong = |text: String, help: &str| Err(Diagnostic::error("pass-option", text).help(help).into());
        let word = ctx.options.text("combine").unwrap_or("linear");
        let (thin, elect) = match word {
            "ties" => (Thin::Magnitude, true),
            "dare" => (Thin::Chance, false),
            "dare-ties" => (Thin::Chance, true),
            "magnitude" => (Thin::Magnitude, false),
            _ => (Thin::None, false),
        };
        let density = ctx.options.float("density");
        match density {
            None if thin != Thin::None => {
                return wrong(format!("combine={word} needs 'density'"), "the part of the elements that stays: density=0.5");
            }
            Some(_) if thin == Thin::None => return wrong(format!("combine={word} keeps every element: 'density' says nothing"), "leave it out"),
            Some(d) if !(d > 0.0 && d <= 1.0) => return wrong(format!("'density' is {d}"), "it is the part that stays, above 0 and up to 1"),
            _ => {}
        }
        let rank = match ctx.options.int("rank") {
            Some(r) if r < 1 => return wrong(format!("'rank' is {r}"), "leave it out to keep the sum whole"),
            r => r.map(|r| r as usize),
        };
        let factors = ctx.options.text("of") == Some("factors");
        if factors && rank.is_some() {
            return wrong("'rank' cuts what is added to a weight; of=factors keeps the adapters' own".into(), "leave one of them out");
        }
        let by_sum = ctx.options.text("sign") != Some("frequency");
        let seed = ctx.options.int("seed").unwrap_or(0) as u64;
        Ok(Method { thin, elect, by_sum, density: density.unwrap_or(1.0), factors, seed, rank })
    }
    /// One matrix from several, each with its weight.
    fn join(&self, all: &[(f64, Mat<f64>)], salt: &str) -> Result<Mat<f64>> {
        let Some((_, first)) = all.first() else { return Ok(Mat::new()) };
        let (rows, columns) = (first.nrows(), first.ncols());
        let thinned: Vec<(f64, Mat<f64>)> =
            all.iter().enumerate().map(|(i, (w, m))| Ok((*w, self.thinned(m, &format!("{salt}/{i}"))?))).collect::<Result<_>>()?;
        Ok(Mat::from_fn(rows, columns, |r, c| {
            let values = thinned.iter().map(|(w, m)| (*w, m[(r, c)]));
            if !self.elect {
                return values.map(|(w, v)| w * v).sum();
            }
            let sign = |v: f64| if v == 0.0 { 0.0 } else { v.signum() };
            let votes: f64 = values.clone().map(|(_, v)| if self.by_sum { v } else { sign(v) }).sum();
            let winner = if votes >= 0.0 { 1.0 } else { -1.0 };
            let (sum, count) = values.filter(|(_, v)| sign(*v) == winner).fold((0.0, 0.0), |(s, n), (w, v)| (s + w * v, n + 1.0));
            sum / f64::max(count, 1.0)
        }))
    }
    fn thinned(&self, m: &Mat<f64>, salt: &str) -> Result<Mat<f64>> {
        let (rows, columns) = (m.nrows(), m.ncols());
        let mut kept = vec![true; rows * columns];
        let mut grow = 1.0;
        match self.thin {
            Thin::Magnitude if self.density < 1.0 => {
                let mut order: Vec<usize> = (0..rows * columns).collect();
                let size = |i: &usize| m[(i / columns, i % columns)].abs();
                order.sort_by(|a, b| size(b).total_cmp(&size(a)));
                order.iter().skip((self.density * (rows * columns) as f64) as usize).for_each(|i| kept[*i] = false);
            }
            Thin::Chance if self.density < 1.0 => {
                let draws = Tensor::random(DType::F64, &[rows * columns], seed_of(self.seed, salt), Some((0.0, 1.0)))?.to_f64().unwrap_or_default();
                kept = draws.iter().map(|d| *d < self.density).collect();
                grow = 1.0 / self.density;
            }
            _ => {}
        }
        Ok(Mat::from_fn(rows, columns, |r, c| if kept[r * columns + c] { m[(r, c)] * grow } else { 0.0 }))
    }
}

/// Its own seed for each matrix, whatever the order in which they are computed (FNV-1a).
fn seed_of(seed: u64, salt: &str) -> u64 {
    salt.bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

impl Change<'_> {
    pub fn first(&self) -> Option<&Module> {
        self.parts.first().map(|p| p.1)
    }
    pub fn keys(&self) -> Vec<&str> {
        self.parts.iter().flat_map(|p| p.1.keys.iter().map(String::as_str)).collect()
    }
    /// What is added to the weight, rows × columns.
    pub fn delta(&self, method: &Method) -> Result<Mat<f64>> {
        let Some(first) = self.first() else { return Ok(Mat::new()) };
        if let ([(weight, m)], Thin::None, None) = (&self.parts[..], method.thin, method.rank) {
            let by = weight * m.scale;
            let p = m.product();
            return Ok(Mat::from_fn(p.nrows(), p.ncols(), |r, c| by * p[(r, c)]));
        }
        if method.factors {
            let same = self.parts.iter().all(|(_, m)| m.a.nrows() == first.a.nrows());
            if !same {
                let text = format!("the adapters have different ranks for '{}': their A and B cannot be joined one by one", self.module);
                return Err(Diagnostic::error("adapter-rank", text).help("use of=deltas").into());
            }
            // The root of each weight goes to A and to B, its sign to A.
            let root = |w: f64, m: &Module| (w * m.scale).abs().sqrt();
            let a: Vec<_> = self.parts.iter().map(|(w, m)| (root(*w, m) * if w * m.scale < 0.0 { -1.0 } else { 1.0 }, m.a.clone())).collect();
            let b: Vec<_> = self.parts.iter().map(|(w, m)| (root(*w, m), m.b.clone())).collect();
            let (a, b) = (method.join(&a, &format!("{}/A", self.module))?, method.join(&b, &format!("{}/B", self.module))?);
            return Ok(product(&a, &b, first.embedding));
        }
        let scaled = |m: &Module| {
            let p = m.product();
            Mat::from_fn(p.nrows(), p.ncols(), |r, c| m.scale * p[(r, c)])
        };
        let all: Vec<_> = self.parts.iter().map(|(w, m)| (*w, scaled(m))).collect();
        let sum = method.join(&all, &self.module)?;
        let Some(rank) = method.rank else { return Ok(sum) };
        let Some((u, s, v)) = svd(sum.as_ref()) else {
            return Err(Diagnostic::error("no-decomposition", format!("the sum for '{}' has no singular values", self.module)).into());
        };
        let keep = rank.min(s.len());
        let scaled = Mat::from_fn(u.nrows(), keep, |r, c| u[(r, c)] * s[c]);
        Ok(scaled * v.subcols(0, keep).transpose())
    }
    /// What is added to the bias.
    pub fn bias(&self) -> Option<Vec<f64>> {
        let mut out: Option<Vec<f64>> = None;
        for (w, m) in &self.parts {
            let Some(b) = &m.bias else { continue };
            let sum = out.get_or_insert_with(|| vec![0.0; b.len()]);
            sum.iter_mut().zip(b).for_each(|(s, b)| *s += w * m.scale * b);
        }
        out
    }
}
