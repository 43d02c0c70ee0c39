//! Sizes that stand for those that are known at run time only, where something must be weighed before.

use lapidary_ir::Dim;

/// Rows of an image, elements of a sequence.
const SYMBOL: i64 = 512;

/// An extent with every symbol at a typical size: what is computed from an image's size tells how much smaller it is.
pub fn size(extent: &Dim) -> i64 {
    extent.eval(&|_| Some(SYMBOL)).unwrap_or(i64::MAX)
}

/// The product of the sizes of a tensor, or of the axes of a kernel. A symbol in front counts images or sequences: there is one.
pub fn elements<'d>(dims: impl IntoIterator<Item = &'d Dim>) -> i64 {
    let each = dims.into_iter().enumerate().map(|(i, d)| if i == 0 && d.as_symbol().is_some() { 1 } else { size(d) });
    each.fold(1, i64::saturating_mul)
}
