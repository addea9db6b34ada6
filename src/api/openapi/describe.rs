//! What definitions and fields mean. The text is collected when the binary is built (`build.rs`),
//! from a dependency; what that does not describe has no description.

use std::cmp::Ordering;

/// Sorted entries `definition TAB field TAB text`, each ended by the record separator.
const TEXTS: &str = include_str!(concat!(env!("OUT_DIR"), "/descriptions.txt"));
const END: char = '\u{1e}';

/// The description of a definition (empty field) or of a field; empty if there is none.
pub(super) fn describe(definition: &str, field: &str) -> &'static str {
    find(TEXTS, definition, field)
}

/// Halves the text until one entry is left: an index of it would be larger than what it saves.
fn find<'t>(mut texts: &'t str, definition: &str, field: &str) -> &'t str {
    while !texts.is_empty() {
        // All separators are ASCII, so that a search in bytes cuts between characters.
        let bytes = texts.as_bytes();
        let middle = bytes.len() / 2;
        let separator = u8::try_from(END).unwrap_or_default();
        let start = bytes[..middle].iter().rposition(|b| *b == separator).map_or(0, |at| at + 1);
        let Some(length) = bytes[start..].iter().position(|b| *b == separator) else { return "" };
        let entry = &texts[start..start + length];
        let mut parts = entry.splitn(3, '\t');
        let key = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        match (definition, field).cmp(&key) {
            Ordering::Equal => return parts.next().unwrap_or_default(),
            Ordering::Less => texts = &texts[..start],
            Ordering::Greater => texts = &texts[start + length + 1..],
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found() {
        let texts = "a\t\tthe a\u{1e}a\tx\tits x, é\u{1e}a.b\ty\tits y\u{1e}";
        for (definition, field, want) in [
            ("a", "", "the a"),
            ("a", "x", "its x, é"),
            ("a.b", "y", "its y"),
            ("a", "y", ""),
            ("", "", ""),
            ("z", "z", ""),
        ] {
            assert_eq!(find(texts, definition, field), want, "{definition} {field}");
        }
        assert_eq!(find("", "a", ""), "");
    }

    #[test]
    fn what_users_ask_for_is_described() {
        for (definition, field) in [
            ("io.k8s.api.core.v1.Pod", ""),
            ("io.k8s.api.core.v1.Pod", "spec"),
            ("io.k8s.api.core.v1.PodSpec", "containers"),
            ("io.k8s.api.apps.v1.DeploymentSpec", "replicas"),
            ("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "labels"),
        ] {
            assert!(describe(definition, field).len() > 10, "{definition} {field}");
        }
    }
}
