//! Whether two names mean the same module: exporters put prefixes before names, or take them away.

/// How well a name of the adapter fits a name in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// One is the end of the other, at a point.
    End,
    /// The same but for `_` in the place of `.`.
    Written,
    Same,
}

pub fn fit(wanted: &str, found: &str) -> Option<Fit> {
    if wanted == found {
        return Some(Fit::Same);
    }
    let flat = |s: &str| s.replace(['.', '/'], "_");
    let bare = flat(found);
    if flat(wanted) == bare.strip_prefix("p_").unwrap_or(&bare) {
        return Some(Fit::Written);
    }
    let end = |long: &str, short: &str| long.strip_suffix(short).is_some_and(|rest| rest.ends_with('.'));
    (end(wanted, found) || end(found, wanted)).then_some(Fit::End)
}

/// Modules that exporters and optimizers join along their outputs, in this order.
const JOINED: &[[&str; 3]] = &[
    ["q_proj", "k_proj", "v_proj"],
    ["query", "key", "value"],
    ["q_lin", "k_lin", "v_lin"],
    ["to_q", "to_k", "to_v"],
    ["wq", "wk", "wv"],
    ["q", "k", "v"],
    ["query_proj", "key_proj", "value_proj"],
];

/// What the joined weight is called.
const WHOLE: &[&str] = &["qkv_proj", "qkv", "c_attn", "in_proj", "query_key_value", "Wqkv", "qkv_lin", "to_qkv", "wqkv"];

/// The parent of a query, key or value, and its three.
pub fn three(module: &str) -> Option<(&str, usize, [String; 3])> {
    let (parent, last) = module.rsplit_once('.').unwrap_or(("", module));
    let set = JOINED.iter().find(|set| set.contains(&last))?;
    let which = set.iter().position(|s| *s == last)?;
    Some((parent, which, set.map(|s| joined(parent, s))))
}

/// Names that the joined weight below a parent may have; the parent itself, when an operator stands right in it.
pub fn wholes(parent: &str) -> Vec<String> {
    WHOLE.iter().map(|w| joined(parent, w)).chain([parent.to_string()]).filter(|s| !s.is_empty()).collect()
}

/// The sets of three that a joined module may have been taken apart into.
pub fn parts(module: &str) -> Vec<[String; 3]> {
    let (parent, last) = module.rsplit_once('.').unwrap_or(("", module));
    if !WHOLE.contains(&last) {
        return vec![];
    }
    JOINED.iter().map(|set| set.map(|s| joined(parent, s))).collect()
}

fn joined(parent: &str, last: &str) -> String {
    if parent.is_empty() { last.into() } else { format!("{parent}.{last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_by_their_ends_at_points() {
        assert_eq!(fit("a.b", "a.b"), Some(Fit::Same));
        assert_eq!(fit("model.a.b", "a.b"), Some(Fit::End));
        assert_eq!(fit("b", "a.b"), Some(Fit::End));
        assert_eq!(fit("a.0.b", "p_a_0_b"), Some(Fit::Written));
        assert_eq!(fit("proj", "a.c_proj"), None);
        assert_eq!(three("h.0.k_proj").unwrap().2[2], "h.0.v_proj");
        assert_eq!(three("h.0.k_proj").unwrap().1, 1);
    }
}
