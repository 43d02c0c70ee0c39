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
mod center_crop_pad;
mod clip;
mod col2im;
mod compress;
mod concat;
mod constant;
mod constant_of_shape;
mod cos;
mod cosh;
mod depth_to_space;
mod div;
mod elu;
mod equal;
mod erf;
mod exp;
mod expand;
mod eye_like;
mod flatten;
mod floor;
mod gather;
mod gather_elements;
mod gather_nd;
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
mod non_zero;
mod not;
mod one_hot;
mod or;
mod pad;
mod pow;
mod prelu;
mod range;
mod reciprocal;
mod relu;
mod reshape;
mod resize;
mod reverse_sequence;
mod round;
mod scatter_elements;
mod scatter_nd;
mod selu;
mod shape;
mod shrink;
mod sigmoid;
mod sign;
mod sin;
mod sinh;
mod size;
mod slice;
mod softplus;
mod softsign;
mod space_to_depth;
mod split;
mod sqrt;
mod squeeze;
mod sub;
mod sum;
mod swish;
mod tan;
mod tanh;
mod thresholded_relu;
mod tile;
mod transpose;
mod trilu;
mod unique;
mod unsqueeze;
mod upsample;
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
    &center_crop_pad::DEF,
    &clip::DEF,
    &col2im::DEF,
    &compress::DEF,
    &concat::DEF,
    &constant::DEF,
    &constant_of_shape::DEF,
    &cos::DEF,
    &cosh::DEF,
    &depth_to_space::DEF,
    &div::DEF,
    &elu::DEF,
    &equal::DEF,
    &erf::DEF,
    &exp::DEF,
    &expand::DEF,
    &eye_like::DEF,
    &flatten::DEF,
    &floor::DEF,
    &gather::DEF,
    &gather_elements::DEF,
    &gather_nd::DEF,
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
    &non_zero::DEF,
    &not::DEF,
    &one_hot::DEF,
    &or::DEF,
    &prelu::DEF,
    &pad::DEF,
    &pow::DEF,
    &range::DEF,
    &reciprocal::DEF,
    &relu::DEF,
    &reshape::DEF,
    &resize::DEF,
    &reverse_sequence::DEF,
    &round::DEF,
    &scatter_elements::DEF,
    &scatter_nd::DEF,
    &selu::DEF,
    &shape::DEF,
    &shrink::DEF,
    &sigmoid::DEF,
    &sign::DEF,
    &sin::DEF,
    &sinh::DEF,
    &size::DEF,
    &slice::DEF,
    &softplus::DEF,
    &softsign::DEF,
    &space_to_depth::DEF,
    &split::DEF,
    &sqrt::DEF,
    &squeeze::DEF,
    &sub::DEF,
    &sum::DEF,
    &swish::DEF,
    &tan::DEF,
    &tanh::DEF,
    &thresholded_relu::DEF,
    &tile::DEF,
    &transpose::DEF,
    &trilu::DEF,
    &unique::DEF,
    &unsqueeze::DEF,
    &upsample::DEF,
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
