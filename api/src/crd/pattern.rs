//! Patterns in the syntax of Go's `regexp` (RE2), compiled by a library whose syntax differs in
//! small ways: classes do not nest in Go, `\d`, `\w`, `\s` and `\b` are ASCII there, and a brace
//! that is no repetition stands for itself.

use regex::{Regex, RegexBuilder};

use super::PATTERN_BYTES_MAX;

/// Compiles a pattern; matching takes time linear in the text.
///
/// # Errors
/// The text of what is wrong, on one line.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(&translate(pattern));
    builder.size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX).nest_limit(250);
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("expression too large: more than {limit} bytes when compiled")
        }
        other => {
            // The last line of a syntax error says what it is; the others draw where it is.
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default().trim();
            format!("{}: `{pattern}`", last.trim_start_matches("error: "))
        }
    })
}

/// The detail of a pattern that does not compile.
pub(super) fn refusal(why: &str) -> String {
    format!("must be a valid regular expression, but isn't: error parsing regexp: {why}")
}

/// A pattern of Go's syntax in that of the library.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match c {
            '\\' => taken = escape(rest, in_class, &mut out),
            '[' if !in_class => {
                in_class = true;
                // A bracket that closes right away stands for itself.
                for lead in ["[^]", "[]", "[^", "["] {
                    if rest.starts_with(lead) {
                        taken = lead.len();
                        out.push_str(&lead.replace(']', "\\]"));
                        break;
                    }
                }
            }
            '[' => match rest.starts_with("[:").then(|| rest.find(":]")).flatten() {
                Some(end) => {
                    taken = end + 2;
                    out.push_str(&rest[..taken]);
                }
                None => out.push_str("\\["),
            },
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            // Two dashes would take the second class from the first.
            '-' if in_class && rest.starts_with("--") => out.push_str("\\-"),
            '{' if !in_class && !is_repetition(rest) => out.push_str("\\{"),
            other => out.push(other),
        }
        rest = rest.get(taken..).unwrap_or_default();
    }
    out
}

/// Writes an escape and answers how many bytes of the pattern it was.
fn escape(rest: &str, in_class: bool, out: &mut String) -> usize {
    let Some(next) = rest[1..].chars().next() else {
        out.push('\\');
        return 1;
    };
    let class = match next {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => "\\t\\n\\x0C\\r ",
        'D' => "^0-9",
        'W' => "^0-9A-Za-z_",
        'S' => "^\\t\\n\\x0C\\r ",
        'Q' if !in_class => {
            let quoted = &rest[2..];
            let end = quoted.find("\\E").unwrap_or(quoted.len());
            out.push_str(&regex::escape(&quoted[..end]));
            return (2 + end + 2).min(rest.len());
        }
        'b' if !in_class => {
            out.push_str("(?-u:\\b)");
            return 2;
        }
        '<' | '>' => {
            out.push(next);
            return 2;
        }
        other => {
            out.push('\\');
            out.push(other);
            return 1 + other.len_utf8();
        }
    };
    // Inside a class the negated ones must nest; the plain ones may.
    if in_class && !class.starts_with('^') {
        out.push_str(class);
    } else {
        out.push('[');
        out.push_str(class);
        out.push(']');
    }
    2
}

/// Whether a brace begins `{n}`, `{n,}` or `{n,m}`.
fn is_repetition(rest: &str) -> bool {
    let Some(end) = rest.find('}') else { return false };
    let inside = &rest[1..end];
    let (low, high) = inside.split_once(',').unwrap_or((inside, "0"));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    !low.is_empty() && digits(low) && digits(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_syntax_means_what_it_means_in_go() {
        for (pattern, yes, no) in [
            (r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$", "* * * * */5", "* * * *"),
            (r"^[^[]$", "a", "["),
            (r"^[[a]+$", "[a", "b"),
            (r"^[]a]+$", "]a", "b"),
            (r"^[^]a]+$", "b", "]"),
            (r"^[a&&b]+$", "a&b", "c"),
            (r"^a{,2}$", "a{,2}", "aa"),
            (r"^{a}$", "{a}", "a"),
            (r"^a{2}$", "aa", "a{2}"),
            (r"^\d$", "1", "٣"),
            (r"^[\d-]+$", "1-2", "a"),
            (r"^[\D]$", "a", "1"),
            (r"^\w+$", "a_1", "é"),
            (r"^\Qa.b\E+$", "a.bb", "acb"),
            (r"^\<a\>$", "<a>", "a"),
            (r"^[[:alpha:]]+$", "ab", "1"),
            (r"(?i)^abc$", "ABC", "d"),
        ] {
            let regex = compile(pattern).unwrap_or_else(|why| panic!("{pattern}: {why}"));
            assert!(regex.is_match(yes), "{pattern} {yes}");
            assert!(!regex.is_match(no), "{pattern} {no}");
        }
    }

    #[test]
    fn what_does_not_compile_says_why() {
        for pattern in ["(", "[a", "*", "\\", "(?<a", "a{1000}{1000}", "\\p{Nonsense}"] {
            let why = compile(pattern).unwrap_err();
            assert!(!why.contains('\n'), "{why}");
        }
    }
}
