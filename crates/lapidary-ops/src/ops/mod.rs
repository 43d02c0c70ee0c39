//! The operators, one file each. [`OPS`] is the only list.

use crate::OpDef;

mod abs;
mod acos;
mod acosh;
mod add;
mod and;
mod asin;
mod asinh;
mod atan;
mod atanh;
mod bit_shift;
mod bitwise_and;
mod bitwise_not;
mod bitwise_or;
mod bitwise_xor;
mod cast;
mod cast_like;
mod ceil;
mod celu;
mod clip;
mod cos;
mod cosh;
mod div;
mod elu;
mod equal;
mod erf;
mod exp;
mod floor;
mod gelu;
mod greater;
mod greater_or_equal;
mod hard_sigmoid;
mod hard_swish;
mod identity;
mod is_inf;
mod is_nan;
mod leaky_relu;
mod less;
mod less_or_equal;
mod log;
mod max;
mod mean;
mod min;
mod mish;
mod modulo;
mod mul;
mod neg;
mod not;
mod or;
mod pow;
mod prelu;
mod reciprocal;
mod relu;
mod round;
mod selu;
mod shrink;
mod sigmoid;
mod sign;
mod sin;
mod sinh;
mod softplus;
mod softsign;
mod sqrt;
mod sub;
mod sum;
mod swish;
mod tan;
mod tanh;
mod thresholded_relu;
mod r#where;
mod xor;

/// Every operator that Lapidary knows, sorted by domain, then name.
#[rustfmt::skip]
pub static OPS: &[&OpDef] = &[
    &abs::DEF,
    &acos::DEF,
    &acosh::DEF,
    &add::DEF,
    &and::DEF,
    &asin::DEF,
    &asinh::DEF,
    &atan::DEF,
    &atanh::DEF,
    &bit_shift::DEF,
    &bitwise_and::DEF,
    &bitwise_not::DEF,
    &bitwise_or::DEF,
    &bitwise_xor::DEF,
    &cast::DEF,
    &cast_like::DEF,
    &ceil::DEF,
    &celu::DEF,
    &clip::DEF,
    &cos::DEF,
    &cosh::DEF,
    &div::DEF,
    &elu::DEF,
    &equal::DEF,
    &erf::DEF,
    &exp::DEF,
    &floor::DEF,
    &gelu::DEF,
    &greater::DEF,
    &greater_or_equal::DEF,
    &hard_sigmoid::DEF,
    &hard_swish::DEF,
    &identity::DEF,
    &is_inf::DEF,
    &is_nan::DEF,
    &leaky_relu::DEF,
    &less::DEF,
    &less_or_equal::DEF,
    &log::DEF,
    &max::DEF,
    &mean::DEF,
    &min::DEF,
    &mish::DEF,
    &modulo::DEF,
    &mul::DEF,
    &neg::DEF,
    &not::DEF,
    &or::DEF,
    &prelu::DEF,
    &pow::DEF,
    &reciprocal::DEF,
    &relu::DEF,
    &round::DEF,
    &selu::DEF,
    &shrink::DEF,
    &sigmoid::DEF,
    &sign::DEF,
    &sin::DEF,
    &sinh::DEF,
    &softplus::DEF,
    &softsign::DEF,
    &sqrt::DEF,
    &sub::DEF,
    &sum::DEF,
    &swish::DEF,
    &tan::DEF,
    &tanh::DEF,
    &thresholded_relu::DEF,
    &r#where::DEF,
    &xor::DEF,
];

#[cfg(test)]
mod tests {
    #[test]
    fn ops_are_sorted() {
        assert!(super::OPS.windows(2).all(|w| (w[0].domain, w[0].name) < (w[1].domain, w[1].name)));
    }
}
