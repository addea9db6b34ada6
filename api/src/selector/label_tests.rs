use serde_json::{Value, json};

use super::LabelSelector;

#[test]
fn text_form() {
    let labels = json!({"app": "web", "tier": "front", "n": "5", "in": "x"});
    for (selector, want) in [
        ("", true),
        ("app=web", true),
        ("app==web,tier=front", true),
        ("app=web , tier != front", false),
        ("app!=db", true),
        ("missing!=x", true),
        ("app in (web, db)", true),
        ("app in (db)", false),
        ("app notin (db)", true),
        ("missing notin (db)", true),
        ("app", true),
        ("!app", false),
        ("!missing", true),
        ("n>4", true),
        ("n<4", false),
        ("in=x", true),
        ("app=", false),
        ("app in (,web)", true),
    ] {
        let parsed = LabelSelector::parse(selector).unwrap();
        assert_eq!(parsed.matches(&labels), want, "{selector}");
        assert_eq!(LabelSelector::parse(&parsed.to_string()).unwrap(), parsed, "{selector}");
    }
}

#[test]
fn bad_text_is_named() {
    for (selector, want) in [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "unable to parse requirement: found 'c', expected: ',' or 'end of string'"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a,", "unable to parse requirement: found '', expected: identifier after ','"),
        (
            ",a",
            "unable to parse requirement: found ',', expected: !, identifier, or 'end of string'",
        ),
    ] {
        assert_eq!(LabelSelector::parse(selector).unwrap_err().0, want);
    }
    let error = LabelSelector::parse("a=-b").unwrap_err().0;
    assert!(error.starts_with(
        "unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must"
    ));
    assert!(LabelSelector::parse(&"(".repeat(10_000)).is_err());
}

#[test]
fn object_form() {
    let labels = json!({"app": "web"});
    for (object, want) in [
        (Value::Null, false),
        (json!({}), true),
        (json!({"matchLabels": {"app": "web"}}), true),
        (json!({"matchLabels": {"app": "db"}}), false),
        (json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}), true),
        (
            json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}),
            false,
        ),
        (json!({"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}), true),
        (json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}), true),
    ] {
        assert_eq!(LabelSelector::from_object(&object).unwrap().matches(&labels), want, "{object}");
    }
    let bad = json!({"matchExpressions": [{"key": "app", "operator": "Near"}]});
    assert_eq!(
        LabelSelector::from_object(&bad).unwrap_err().0,
        "\"Near\" is not a valid label selector operator"
    );
    assert!(!LabelSelector::from_map(&json!({})).matches(&labels));
    assert!(LabelSelector::from_map(&json!({"app": "web"})).matches(&labels));
    let shown = json!({"matchLabels": {"b": "1", "a": "2"},
        "matchExpressions": [{"key": "c", "operator": "In", "values": ["y", "x"]}]});
    assert_eq!(LabelSelector::from_object(&shown).unwrap().to_string(), "a=2,b=1,c in (x,y)");
}
