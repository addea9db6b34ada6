//! Keys that occurred twice, in upstream's words: JSON says the path, YAML the line.

use crate::{schema::MAX_STRICT_ERRORS, text::quote};

/// Keys that occurred twice in one object of a body; the last value won.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Duplicates {
    paths: Vec<String>,
    lines: Vec<(usize, String)>,
}

impl Duplicates {
    /// Those of a JSON body, as paths such as `spec.replicas`.
    pub fn of_paths(paths: Vec<String>) -> Self {
        Self { paths, lines: Vec::new() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.lines.is_empty()
    }

    /// The paths of a JSON body.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    pub(super) fn is_full(&self) -> bool {
        self.paths.len() + self.lines.len() >= MAX_STRICT_ERRORS
    }

    pub(super) fn add_path(&mut self, path: &str) {
        self.paths.push(path.to_owned());
    }

    pub(super) fn add_line(&mut self, line: usize, key: &str) {
        self.lines.push((line, key.to_owned()));
    }

    /// Puts one path segment before the paths found since there were `before` of them.
    pub(super) fn prefix(&mut self, before: usize, segment: &str) {
        for path in self.paths.iter_mut().skip(before) {
            let dot = if path.starts_with('[') { "" } else { "." };
            *path = format!("{segment}{dot}{path}");
        }
    }

    fn line_texts(&self) -> impl Iterator<Item = String> {
        self.lines.iter().map(|(n, key)| format!("line {n}: key {} already set in map", quote(key)))
    }

    fn path_texts(&self) -> impl Iterator<Item = String> {
        self.paths.iter().map(|path| format!("duplicate field {}", quote(path)))
    }

    /// One text per key and per unknown field, as `Warning` headers carry them.
    pub fn warnings(&self, unknown: &[String]) -> Vec<String> {
        let unknown = unknown.iter().map(|path| format!("unknown field {}", quote(path)));
        self.line_texts().chain(unknown).chain(self.path_texts()).collect()
    }

    /// The same as one text, as strict errors carry it: YAML's are one error of several lines.
    pub fn error(&self, unknown: &[String]) -> String {
        let mut texts = Vec::new();
        if !self.lines.is_empty() {
            let lines: Vec<String> = self.line_texts().map(|text| format!("\n  {text}")).collect();
            texts.push(format!("yaml: unmarshal errors:{}", lines.concat()));
        }
        texts.extend(unknown.iter().map(|path| format!("unknown field {}", quote(path))));
        texts.extend(self.path_texts());
        texts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_upstreams() {
        let unknown = ["spec.foo".to_owned()];
        let json = Duplicates::of_paths(vec!["spec.replicas".into()]);
        assert_eq!(
            json.error(&unknown),
            "unknown field \"spec.foo\", duplicate field \"spec.replicas\""
        );
        let mut yaml = Duplicates::default();
        yaml.add_line(5, "name");
        yaml.add_line(14, "paused");
        assert_eq!(
            yaml.error(&unknown),
            "yaml: unmarshal errors:\n  line 5: key \"name\" already set in map\n  line 14: key \"paused\" already set in map, unknown field \"spec.foo\""
        );
        assert_eq!(yaml.warnings(&unknown)[1], "line 14: key \"paused\" already set in map");
        assert_eq!(yaml.warnings(&unknown)[2], "unknown field \"spec.foo\"");
    }
}
