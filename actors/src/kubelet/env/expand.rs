//! `$(NAME)` expansion, as upstream's `third_party/forked/golang/expansion`.

/// Replaces `$(NAME)` by what `mapping` knows; unknown names stay as written, `$$` is one `$`.
pub fn expand(input: &str, mapping: impl Fn(&str) -> Option<String>) -> String {
    let mut output = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        output.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        match after.chars().next() {
            None => {
                output.push('$');
                rest = after;
            }
            Some('$') => {
                output.push('$');
                rest = &after[1..];
            }
            Some('(') => match after.find(')') {
                Some(end) => {
                    let name = &after[1..end];
                    match mapping(name) {
                        Some(value) => output.push_str(&value),
                        None => output.push_str(&rest[at..at + 2 + end]),
                    }
                    rest = &after[end + 1..];
                }
                None => {
                    output.push_str("$(");
                    rest = &after[1..];
                }
            },
            Some(other) => {
                output.push('$');
                output.push(other);
                rest = &after[other.len_utf8()..];
            }
        }
    }
    output.push_str(rest);
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expands_as_upstream() {
        let known = |name: &str| match name {
            "VAR_A" => Some("A".to_owned()),
            "VAR_EMPTY" => Some(String::new()),
            "VAR_REF" => Some("$(VAR_A)".to_owned()),
            _ => None,
        };
        let table = [
            ("$(VAR_A)", "A"),
            ("___$(VAR_A)___", "___A___"),
            ("$(VAR_EMPTY)", ""),
            ("$(VAR_REF)", "$(VAR_A)"),
            ("$$(VAR_A)", "$(VAR_A)"),
            ("$$$(VAR_A)", "$A"),
            ("foo$", "foo$"),
            ("foo$$", "foo$"),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("$(VAR_A", "$(VAR_A"),
            ("$VAR_A", "$VAR_A"),
            ("$(VAR_A)$(VAR_A)", "AA"),
            ("ümlaut $é $(VAR_A)", "ümlaut $é A"),
            ("", ""),
        ];
        for (input, expected) in table {
            assert_eq!(expand(input, known), expected, "{input}");
        }
    }
}
