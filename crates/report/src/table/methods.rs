//! What a method's name says about its standing in a table.

/// Whether a method looks at test labels or picks the best of several per column, so that it bounds what is
/// possible but takes no part in the comparison: its name ends in `-oracle` or `-envelope`.
pub(crate) fn is_bound(method: &str) -> bool {
    method.ends_with("-oracle") || method.ends_with("-envelope")
}
