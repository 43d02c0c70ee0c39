//! The operators, one file each. [`OPS`] is the only list.

use crate::OpDef;

mod identity;

/// Every operator that Lapidary knows, sorted by domain, then name.
pub static OPS: &[&OpDef] = &[&identity::DEF];

#[cfg(test)]
mod tests {
    #[test]
    fn ops_are_sorted() {
        assert!(super::OPS.windows(2).all(|w| (w[0].domain, w[0].name) < (w[1].domain, w[1].name)));
    }
}
