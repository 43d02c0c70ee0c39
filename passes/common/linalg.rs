//! Decompositions for the weight passes, in f64, on one thread: the same bits on every run.

use faer::linalg::solvers::Svd;
use faer::{Mat, MatRef, Side};

/// `h` with a part of its mean diagonal added to the diagonal; a zero diagonal element (a column that never appeared) becomes 1.
/// Source of the rule: Frantar et al., "GPTQ" (2023), section 3.3.
pub fn damped(h: MatRef<'_, f64>, part: f64) -> Mat<f64> {
    let n = h.nrows();
    let mut out = h.to_owned();
    let mean = (0..n).map(|i| h[(i, i)]).sum::<f64>() / n.max(1) as f64;
    for i in 0..n {
        if h[(i, i)] == 0.0 {
            out[(i, i)] = 1.0;
        }
        out[(i, i)] += part * mean;
    }
    out
}

/// The lower triangular `L` with `L·Lᵀ = h`; `None` when `h` is not positive definite.
pub fn cholesky(h: MatRef<'_, f64>) -> Option<Mat<f64>> {
    h.llt(Side::Lower).ok().map(|f| f.L().to_owned())
}

/// The inverse of a symmetric positive definite matrix; `None` when it is none.
pub fn inverse(h: MatRef<'_, f64>) -> Option<Mat<f64>> {
    use faer::linalg::solvers::DenseSolveCore;
    h.llt(Side::Lower).ok().map(|f| f.inverse())
}

/// The upper triangular `U` with `Uᵀ·U = h⁻¹`: row `j` says how an error in column `j` is spread over the columns behind it.
pub fn inverse_factor(h: MatRef<'_, f64>) -> Option<Mat<f64>> {
    cholesky(inverse(h)?.as_ref()).map(|l| l.transpose().to_owned())
}

/// Singular values in falling order, with `u` and `v` so that `m = u · diag(s) · vᵀ`. Signs are fixed: the largest element of each column of
/// `u` is positive.
pub fn svd(m: MatRef<'_, f64>) -> Option<(Mat<f64>, Vec<f64>, Mat<f64>)> {
    let f: Svd<f64> = m.thin_svd().ok()?;
    let (mut u, mut v) = (f.U().to_owned(), f.V().to_owned());
    let s: Vec<f64> = f.S().column_vector().iter().copied().collect();
    for j in 0..s.len() {
        let largest = u.col(j).iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        if largest < 0.0 {
            u.col_mut(j).iter_mut().for_each(|x| *x = -*x);
            v.col_mut(j).iter_mut().for_each(|x| *x = -*x);
        }
    }
    Some((u, s, v))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rows: usize, columns: usize) -> Mat<f64> {
        Mat::from_fn(rows, columns, |i, j| ((i * 7 + j * 13) % 11) as f64 - 5.0 + if i == j { 3.0 } else { 0.0 })
    }

    fn norm(m: Mat<f64>) -> f64 {
        (0..m.ncols()).flat_map(|j| m.col(j).iter().copied().collect::<Vec<_>>()).fold(0.0, |a, b| a.max(b.abs()))
    }

    #[test]
    fn factors_multiply_back() {
        let x = sample(40, 6);
        let h = damped((x.transpose() * &x).as_ref(), 0.01);
        let l = cholesky(h.as_ref()).unwrap();
        assert!(norm(&l * l.transpose() - &h) < 1e-9);
        let u = inverse_factor(h.as_ref()).unwrap();
        assert!(norm(&h * u.transpose() * &u - Mat::<f64>::identity(6, 6)) < 1e-9);
        let (u, s, v) = svd(x.as_ref()).unwrap();
        let scaled = Mat::from_fn(40, 6, |i, j| u[(i, j)] * s[j]);
        assert!(norm(scaled * v.transpose() - &x) < 1e-9 && s.windows(2).all(|w| w[0] >= w[1]));
    }

    #[test]
    fn a_matrix_that_is_not_positive_has_no_factor() {
        assert!(cholesky(Mat::<f64>::from_fn(2, 2, |i, j| if i == j { 1.0 } else { 2.0 }).as_ref()).is_none());
    }
}
