//! The operators, one file each. [`OPS`] is the only list.

use crate::OpDef;

mod abs;
mod acos;
mod acosh;
mod add;
mod and;
mod arg_max;
mod arg_min;
mod asin;
mod asinh;
mod atan;
mod atanh;
mod attention;
mod average_pool;
mod batch_normalization;
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
mod concat_from_sequence;
mod constant;
mod constant_of_shape;
mod conv;
mod conv_integer;
mod conv_transpose;
mod cos;
mod cosh;
mod cum_sum;
mod depth_to_space;
mod dequantize_linear;
mod div;
mod dropout;
mod dynamic_quantize_linear;
mod einsum;
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
mod gemm;
mod global_average_pool;
mod global_lp_pool;
mod global_max_pool;
mod greater;
mod greater_or_equal;
mod group_normalization;
mod gru;
mod hard_sigmoid;
mod hard_swish;
mod hardmax;
mod identity;
mod r#if;
mod instance_normalization;
mod is_inf;
mod is_nan;
mod layer_normalization;
mod leaky_relu;
mod less;
mod less_or_equal;
mod log;
mod log_softmax;
mod r#loop;
mod lp_normalization;
mod lp_pool;
mod lrn;
mod lstm;
mod mat_mul;
mod mat_mul_integer;
mod max;
mod max_pool;
mod mean;
mod mean_variance_normalization;
mod min;
mod mish;
mod modulo;
mod mul;
mod neg;
mod non_zero;
mod not;
mod one_hot;
mod optional;
mod optional_get_element;
mod optional_has_element;
mod or;
mod pad;
mod pow;
mod prelu;
mod q_linear_conv;
mod q_linear_mat_mul;
mod quantize_linear;
mod range;
mod reciprocal;
mod reduce_l1;
mod reduce_l2;
mod reduce_log_sum;
mod reduce_log_sum_exp;
mod reduce_max;
mod reduce_mean;
mod reduce_min;
mod reduce_prod;
mod reduce_sum;
mod reduce_sum_square;
mod relu;
mod reshape;
mod resize;
mod reverse_sequence;
mod rms_normalization;
mod rnn;
mod rotary_embedding;
mod round;
mod scan;
mod scatter;
mod scatter_elements;
mod scatter_nd;
mod selu;
mod sequence_at;
mod sequence_construct;
mod sequence_empty;
mod sequence_erase;
mod sequence_insert;
mod sequence_length;
mod sequence_map;
mod shape;
mod shrink;
mod sigmoid;
mod sign;
mod sin;
mod sinh;
mod size;
mod slice;
mod softmax;
mod softplus;
mod softsign;
mod space_to_depth;
mod split;
mod split_to_sequence;
mod sqrt;
mod squeeze;
mod sub;
mod sum;
mod swish;
mod tan;
mod tanh;
mod thresholded_relu;
mod tile;
mod top_k;
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
    &arg_max::DEF,
    &arg_min::DEF,
    &asin::DEF,
    &asinh::DEF,
    &atan::DEF,
    &atanh::DEF,
    &attention::DEF,
    &average_pool::DEF,
    &batch_normalization::DEF,
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
    &concat_from_sequence::DEF,
    &constant::DEF,
    &constant_of_shape::DEF,
    &conv::DEF,
    &conv_integer::DEF,
    &conv_transpose::DEF,
    &cos::DEF,
    &cosh::DEF,
    &cum_sum::DEF,
    &depth_to_space::DEF,
    &dequantize_linear::DEF,
    &div::DEF,
    &dropout::DEF,
    &dynamic_quantize_linear::DEF,
    &einsum::DEF,
    &elu::DEF,
    &equal::DEF,
    &erf::DEF,
    &exp::DEF,
    &expand::DEF,
    &eye_like::DEF,
    &flatten::DEF,
    &floor::DEF,
    &gru::DEF,
    &gather::DEF,
    &gather_elements::DEF,
    &gather_nd::DEF,
    &gelu::DEF,
    &gemm::DEF,
    &global_average_pool::DEF,
    &global_lp_pool::DEF,
    &global_max_pool::DEF,
    &greater::DEF,
    &greater_or_equal::DEF,
    &group_normalization::DEF,
    &hard_sigmoid::DEF,
    &hard_swish::DEF,
    &hardmax::DEF,
    &identity::DEF,
    &r#if::DEF,
    &instance_normalization::DEF,
    &is_inf::DEF,
    &is_nan::DEF,
    &lrn::DEF,
    &lstm::DEF,
    &layer_normalization::DEF,
    &leaky_relu::DEF,
    &less::DEF,
    &less_or_equal::DEF,
    &log::DEF,
    &log_softmax::DEF,
    &r#loop::DEF,
    &lp_normalization::DEF,
    &lp_pool::DEF,
    &mat_mul::DEF,
    &mat_mul_integer::DEF,
    &max::DEF,
    &max_pool::DEF,
    &mean::DEF,
    &mean_variance_normalization::DEF,
    &min::DEF,
    &mish::DEF,
    &modulo::DEF,
    &mul::DEF,
    &neg::DEF,
    &non_zero::DEF,
    &not::DEF,
    &one_hot::DEF,
    &optional::DEF,
    &optional_get_element::DEF,
    &optional_has_element::DEF,
    &or::DEF,
    &prelu::DEF,
    &pad::DEF,
    &pow::DEF,
    &q_linear_conv::DEF,
    &q_linear_mat_mul::DEF,
    &quantize_linear::DEF,
    &rms_normalization::DEF,
    &rnn::DEF,
    &range::DEF,
    &reciprocal::DEF,
    &reduce_l1::DEF,
    &reduce_l2::DEF,
    &reduce_log_sum::DEF,
    &reduce_log_sum_exp::DEF,
    &reduce_max::DEF,
    &reduce_mean::DEF,
    &reduce_min::DEF,
    &reduce_prod::DEF,
    &reduce_sum::DEF,
    &reduce_sum_square::DEF,
    &relu::DEF,
    &reshape::DEF,
    &resize::DEF,
    &reverse_sequence::DEF,
    &rotary_embedding::DEF,
    &round::DEF,
    &scan::DEF,
    &scatter::DEF,
    &scatter_elements::DEF,
    &scatter_nd::DEF,
    &selu::DEF,
    &sequence_at::DEF,
    &sequence_construct::DEF,
    &sequence_empty::DEF,
    &sequence_erase::DEF,
    &sequence_insert::DEF,
    &sequence_length::DEF,
    &sequence_map::DEF,
    &shape::DEF,
    &shrink::DEF,
    &sigmoid::DEF,
    &sign::DEF,
    &sin::DEF,
    &sinh::DEF,
    &size::DEF,
    &slice::DEF,
    &softmax::DEF,
    &softplus::DEF,
    &softsign::DEF,
    &space_to_depth::DEF,
    &split::DEF,
    &split_to_sequence::DEF,
    &sqrt::DEF,
    &squeeze::DEF,
    &sub::DEF,
    &sum::DEF,
    &swish::DEF,
    &tan::DEF,
    &tanh::DEF,
    &thresholded_relu::DEF,
    &tile::DEF,
    &top_k::DEF,
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
