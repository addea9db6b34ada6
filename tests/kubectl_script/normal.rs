//! What differs from run to run is replaced by a word, in what is printed and in what is expected.

use std::sync::LazyLock;

use regex::Regex;

/// Letters of generated names (apimachinery `util/rand`).
const RAND: &str = "[bcdfghjklmnpqrstvwxz2456789]";

static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let named = |text: &str| Regex::new(&text.replace("RAND", RAND)).expect("a regex");
    vec![
        (named(r"\x1b\[[0-9;]*m"), ""),
        (named(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UID"),
        (named(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"), "TIME"),
        (named(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC"), "TIME"),
        (named(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}"), "TIME"),
        (named(r#"(resourceVersion"?: )"\d+""#), "$1\"RV\""),
        (named(r"127\.0\.0\.1:\d+"), "SERVER"),
        (named(r"\b10\.(9[6-9]|10\d|11[01])\.\d+\.\d+\b"), "IP"),
        (named(r":3[0-2]\d{3}/"), ":NODEPORT/"),
        (named(r"X509SHA256=[0-9a-f]{64}"), "X509SHA256=HASH"),
        (named(r"-RAND{7,10}-RAND{5}\b"), "-HASH-RAND"),
        (named(r"-RAND{7,10}\b"), "-HASH"),
        (named(r#"(pod-template-hash[=:] ?"?)RAND{7,10}\b"#), "${1}HASH"),
        (named(r"\b(kube-api-access|gen)-RAND{5}\b"), "$1-RAND"),
        (named(r"\.[0-9a-f]{16}\b"), ".RAND"),
        (named(r"\b(\d{1,2}m)?\d{1,3}s\b"), "AGE"),
    ]
});

static SPACES: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(\S) {2,}").expect("a regex"));

/// One line, comparable.
pub fn line(text: &str) -> String {
    let mut text = text.to_owned();
    for (rule, word) in RULES.iter() {
        if rule.is_match(&text) {
            text = rule.replace_all(&text, *word).into_owned();
        }
    }
    // The width of a column follows its longest value, which may be one of those.
    SPACES.replace_all(&text, "$1  ").trim_end().to_owned()
}

#[test]
fn ages_ids_and_widths_are_replaced() {
    for (text, want) in [
        ("web-7d9fbc5b6-x2k4z   0/1   3m12s", "web-HASH-RAND  0/1  AGE"),
        ("  uid: 1b4e28ba-2fa1-11d2-883f-0016d3cca427", "  uid: UID"),
        ("svc   10.97.3.4   80:31000/TCP   7s", "svc  IP  80:NODEPORT/TCP  AGE"),
        ("resourceVersion: \"12\"", "resourceVersion: \"RV\""),
    ] {
        assert_eq!(line(text), want);
    }
}
