//! The operators, one file each. [`OPS`] is the only list: a line names the file, and with it the module and its `DEF`.

use crate::OpDef;

/// Declares the modules and the list of their definitions.
macro_rules! operators {
    ($($file:ident)*) => {
        $(pub(crate) mod $file;)*

        /// Every operator that Lapidary knows, sorted by domain, then name.
        pub static OPS: &[&OpDef] = &[$(&$file::DEF),*];
    };
}

operators! {
    abs
    acos
    acosh
    add
    and
    arg_max
    arg_min
    asin
    asinh
    atan
    atanh
    attention
    average_pool
    batch_normalization
    bit_shift
    bitwise_and
    bitwise_not
    bitwise_or
    bitwise_xor
    cast
    cast_like
    ceil
    celu
    center_crop_pad
    clip
    col2im
    compress
    concat
    concat_from_sequence
    constant
    constant_of_shape
    conv
    conv_integer
    conv_transpose
    cos
    cosh
    cum_prod
    cum_sum
    depth_to_space
    dequantize_linear
    div
    dropout
    dynamic_quantize_linear
    einsum
    elu
    equal
    erf
    exp
    expand
    eye_like
    flatten
    floor
    gru
    gather
    gather_elements
    gather_nd
    gelu
    gemm
    global_average_pool
    global_lp_pool
    global_max_pool
    greater
    greater_or_equal
    group_normalization
    hard_sigmoid
    hard_swish
    hardmax
    identity
    r#if
    instance_normalization
    is_inf
    is_nan
    lrn
    lstm
    layer_normalization
    leaky_relu
    less
    less_or_equal
    log
    log_softmax
    r#loop
    lp_normalization
    lp_pool
    mat_mul
    mat_mul_integer
    max
    max_pool
    mean
    mean_variance_normalization
    min
    mish
    modulo
    mul
    neg
    non_zero
    not
    one_hot
    optional
    optional_get_element
    optional_has_element
    or
    prelu
    pad
    pow
    q_linear_conv
    q_linear_mat_mul
    quantize_linear
    rms_normalization
    rnn
    range
    reciprocal
    reduce_l1
    reduce_l2
    reduce_log_sum
    reduce_log_sum_exp
    reduce_max
    reduce_mean
    reduce_min
    reduce_prod
    reduce_sum
    reduce_sum_square
    relu
    reshape
    resize
    reverse_sequence
    rotary_embedding
    round
    scan
    scatter
    scatter_elements
    scatter_nd
    selu
    sequence_at
    sequence_construct
    sequence_empty
    sequence_erase
    sequence_insert
    sequence_length
    sequence_map
    shape
    shrink
    sigmoid
    sign
    sin
    sinh
    size
    slice
    softmax
    softplus
    softsign
    space_to_depth
    split
    split_to_sequence
    sqrt
    squeeze
    sub
    sum
    swish
    tan
    tanh
    thresholded_relu
    tile
    top_k
    transpose
    trilu
    unique
    unsqueeze
    upsample
    r#where
    xor
    matmul_bnb4
    matmul_nbits
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn operators_are_sorted() {
        for w in super::OPS.windows(2) {
            let sorted = (w[0].domain, w[0].name) < (w[1].domain, w[1].name);
            assert!(sorted, "'{}' stands before '{}': the list is sorted by domain, then name, capitals first", w[0].name, w[1].name);
        }
    }

    #[test]
    fn every_file_has_a_line() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ops");
        let files = std::fs::read_dir(dir).unwrap().flatten().map(|e| e.file_name().into_string().unwrap());
        let files: BTreeSet<String> = files.filter_map(|f| f.strip_suffix(".rs").map(String::from)).filter(|f| f != "mod").collect();
        let list = include_str!("mod.rs").split("\noperators! {").nth(1).and_then(|t| t.split('}').next()).unwrap();
        let listed: BTreeSet<String> = list.split_whitespace().map(|l| l.trim_start_matches("r#").to_owned()).collect();
        let without: Vec<_> = files.difference(&listed).collect();
        assert!(without.is_empty(), "no line in the list names {without:?}");
    }
}
