//! YAML bodies. serde_yaml turns the whole document into events before it hands out values, so
//! their number is bounded from the text first; aliases are bounded while values are built.

use super::{
    Decoded, json,
    source::Source,
    tree::{Budget, TOO_MUCH, Tree},
};

/// Most characters that can begin a YAML node; bounds events (about 150 bytes each) and the
/// scanner's work per nesting level.
const MAX_STRUCTURE: usize = 300_000;
/// Most steps the scanner may take for nested flow collections: for every token it looks at every
/// collection that may be open, which is quadratic (1e9 are about two seconds).
const MAX_SCAN_STEPS: usize = 1_000_000_000;
/// Most values after aliases are expanded.
const MAX_VALUES: usize = 500_000;
/// Most bytes of text after aliases are expanded.
const MAX_TEXT_BYTES: usize = 2 * super::MAX_BODY_BYTES;

pub(super) fn decode(body: &[u8]) -> Result<Decoded, String> {
    // JSON is YAML, and reading it as what it is has tighter limits and better messages.
    if body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{')
        && let Ok(decoded) = json::decode(body)
    {
        return Ok(decoded);
    }
    read(body).map_err(|text| format!("error converting YAML to JSON: {text}"))
}

fn read(body: &[u8]) -> Result<Decoded, String> {
    let structure = body
        .iter()
        .filter(|b| matches!(b, b'[' | b']' | b'{' | b'}' | b',' | b':' | b'-' | b'?' | b'\n'))
        .count();
    if structure > MAX_STRUCTURE || structure * unclosed(body) > MAX_SCAN_STEPS {
        return Err("yaml: the document is too complex; send it as JSON".to_owned());
    }
    let mut documents = serde_yaml::Deserializer::from_slice(body);
    let Some(document) = documents.next() else {
        return Err("yaml: the body is empty".to_owned());
    };
    let tree = Tree::new(Budget::new(MAX_VALUES, MAX_TEXT_BYTES), Some(Source::new(body)));
    let object = tree.read(document).map_err(|e| wording(&e))?;
    let null = |d| {
        Tree::new(Budget::new(1, 0), None).read(d).is_ok_and(|v: serde_json::Value| v.is_null())
    };
    if !documents.all(null) {
        return Err("yaml: the body must hold exactly one document".to_owned());
    }
    Ok(Decoded { object, duplicates: tree.into_duplicates() })
}

/// go-yaml's text of an error: it is libyaml's as well, but the line stands first, and that of the
/// parser counts from zero.
fn wording(error: &serde_yaml::Error) -> String {
    const OF_THE_PARSER: [&str; 7] = [
        "did not find expected '-' indicator",
        "did not find expected key",
        "did not find expected ',' or ']'",
        "did not find expected ',' or '}'",
        "did not find expected node content",
        "did not find expected <document start>",
        "found undefined tag handle",
    ];
    /// Beginnings of the errors made while values are built; serde_yaml puts a path before them.
    const OWN: [(&str, &str); 4] = [
        ("yaml: ", TOO_MUCH),
        ("yaml: ", "exceeded max depth"),
        ("yaml: ", "map merge requires map or sequence of maps as the value"),
        ("", "json: unsupported value"),
    ];
    /// serde_yaml's own limit on aliases, which small bombs reach first.
    const REPEATED: &str = "repetition limit exceeded";
    let text = error.to_string();
    let (problem, rest) = text.rsplit_once(" at line ").unwrap_or((&text, ""));
    if problem.contains(REPEATED) {
        return format!("yaml: {TOO_MUCH}");
    }
    for (prefix, own) in OWN {
        if let Some(at) = problem.find(own) {
            return format!("{prefix}{}", &problem[at..]);
        }
    }
    // Of problem and context, both with their place, go-yaml shows the problem.
    let (problem, rest) = text.split_once(" at line ").unwrap_or((problem, rest));
    let problem = problem.split(", while ").next().unwrap_or(problem);
    let line: Option<usize> = rest.split(' ').next().and_then(|n| n.parse().ok());
    let counted = if OF_THE_PARSER.contains(&problem) { 1 } else { 0 };
    match line {
        Some(line) if line > 1 => format!("yaml: line {}: {problem}", line - counted),
        _ => format!("yaml: {problem}"),
    }
}

/// An upper bound of how deep flow collections can nest. Openers count unless they are closed on
/// their own line and nothing on it (a quote, a comment) could make the closer a fake one.
fn unclosed(body: &[u8]) -> usize {
    let mut total = 0;
    for line in body.split(|b| *b == b'\n') {
        let doubtful = line.iter().any(|b| matches!(b, b'"' | b'\'' | b'#'));
        let (mut open, mut previous) = (0usize, b' ');
        for byte in line.iter().copied().filter(|b| *b != b' ') {
            match byte {
                b'[' | b'{' => open += 1,
                b']' if !doubtful || previous == b'[' => open = open.saturating_sub(1),
                b'}' if !doubtful || previous == b'{' => open = open.saturating_sub(1),
                _ => {}
            }
            previous = byte;
        }
        total += open;
    }
    total
}
