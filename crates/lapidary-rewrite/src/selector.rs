use lapidary_ir::Node;

/// Which nodes an `on(…)` means. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selector(pub Vec<Condition>);

#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub field: Field,
    /// Compares with a glob (`~`) rather than for equality (`=`).
    pub glob: bool,
    pub text: String,
}

/// What a condition looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The node's name (that of its first output when it has none).
    Name,
    /// The operator.
    Op,
    /// Any of the node's output values.
    Value,
}

impl Field {
    pub const ALL: &[(Field, &str)] = &[(Field::Name, "name"), (Field::Op, "op"), (Field::Value, "value")];
    pub fn word(self) -> &'static str {
        Field::ALL.iter().find(|(f, _)| *f == self).map_or("", |(_, w)| w)
    }
}

impl Selector {
    pub fn matches(&self, node: &Node) -> bool {
        self.0.iter().all(|c| {
            let holds = |text: &str| if c.glob { glob(&c.text, text) } else { c.text == text };
            match c.field {
                Field::Name => holds(node.label()),
                Field::Op => holds(&node.op.to_string()),
                Field::Value => node.outputs().iter().any(|v| holds(&v.name)),
            }
        })
    }
}

/// Shell-like patterns over the whole text: `*` is any run of characters (slashes too), `?` any one, `[a-z0]` one of a set, `[!…]` one
/// outside it. Linear in practice: only the last `*` is retried.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut i, mut j) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while j < t.len() {
        if i < p.len() && p[i] == '*' {
            star = Some((i, j));
            i += 1;
        } else if let Some(next) = one(&p, i, t[j]) {
            i = next;
            j += 1;
        } else if let Some((si, sj)) = star {
            star = Some((si, sj + 1));
            i = si + 1;
            j = sj + 1;
        } else {
            return false;
        }
    }
    p[i..].iter().all(|c| *c == '*')
}

/// Matches one character at `p[i]`; gives where the pattern goes on.
fn one(p: &[char], i: usize, c: char) -> Option<usize> {
    match *p.get(i)? {
        '?' => Some(i + 1),
        '[' => match p[i + 1..].iter().position(|x| *x == ']').filter(|n| *n > 0) {
            None => (c == '[').then_some(i + 1),
            Some(n) => {
                let set = &p[i + 1..i + 1 + n];
                let (negated, set) = if set[0] == '!' { (true, &set[1..]) } else { (false, set) };
                let mut k = 0;
                let mut found = false;
                while k < set.len() {
                    if k + 2 < set.len() && set[k + 1] == '-' {
                        found |= (set[k]..=set[k + 2]).contains(&c);
                        k += 3;
                    } else {
                        found |= set[k] == c;
                        k += 1;
                    }
                }
                (found != negated).then_some(i + n + 2)
            }
        },
        x => (x == c).then_some(i + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn globs_match_whole_names() {
        assert!(glob("layer[0-3]/*", "layer2/conv/w"));
        assert!(!glob("layer[0-3]/*", "layer4/conv"));
        assert!(glob("*conv?", "a/conv/conv1"));
        assert!(glob("[!a]x", "bx") && !glob("[!a]x", "ax"));
        assert!(!glob("conv", "conv1") && glob("**", "") && glob("[", "["));
    }
}
