use serde_json::json;

use super::*;
use crate::kind::{CONFIG_MAP, DEPLOYMENT, POD};

fn error(body: &[u8], media: Media, kind: &'static Kind) -> String {
    let status = decode(body, media, kind).unwrap_err();
    assert_eq!((status.code, status.reason.as_str()), (400, "BadRequest"));
    status.message.clone()
}

#[test]
fn json_records_duplicates() {
    let body = br#"{"metadata":{"name":"a","name":"b"},"spec":{"replicas":1,
        "template":{"spec":{"containers":[{"name":"x"},{"name":"y","name":"z"}]}},"replicas":2}}"#;
    let decoded = decode(body, Media::Json, DEPLOYMENT).unwrap();
    assert_eq!(
        decoded.duplicates.paths(),
        ["metadata.name", "spec.template.spec.containers[1].name", "spec.replicas"]
    );
    assert_eq!(decoded.object["spec"]["replicas"], 2);
    assert_eq!(decoded.object["apiVersion"], "apps/v1");
    assert_eq!(decoded.object["kind"], "Deployment");
}

#[test]
fn other_kinds_are_refused() {
    for (body, want) in [
        (
            &br#"{"apiVersion":"v1","kind":"Deployment"}"#[..],
            "the API version in the data (v1) does not match the expected API version (apps/v1)",
        ),
        (
            br#"{"apiVersion":"apps/v1","kind":"ReplicaSet"}"#,
            "ReplicaSet in version \"v1\" cannot be handled as a Deployment: the kind in the data (ReplicaSet) does not match the expected kind (Deployment)",
        ),
        (
            b"",
            "the object provided is unrecognized (must be of type Deployment): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)",
        ),
    ] {
        assert_eq!(error(body, Media::Json, DEPLOYMENT), want);
    }
    for body in ["[]", "1", "{\"kind\":1}", "{", "{}x", "\u{0}", "{\"a\":1e999}", "nul"] {
        assert!(!error(body.as_bytes(), Media::Json, POD).is_empty(), "{body}");
    }
}

#[test]
fn yaml_is_read_with_kubernetes_habits() {
    let body = b"---\n# comment\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  8080: \"x\"\n  yes: z\n  'no': \"yes\"\n  s: !!str no\n  t: |\n    line\n";
    let decoded = decode(body, Media::Yaml, CONFIG_MAP).unwrap();
    assert_eq!(
        decoded.object["data"],
        json!({"8080": "x", "true": "z", "no": "yes", "s": "no", "t": "line\n"})
    );
    let body = b"metadata: {name: a}\nspec:\n  hostNetwork: on\n  volumes:\n  - name: v\n    secret: {defaultMode: 0644, secretName: '0644'}\n";
    let decoded = decode(body, Media::Yaml, POD).unwrap();
    let secret = &decoded.object["spec"]["volumes"][0]["secret"];
    assert_eq!(*secret, json!({"defaultMode": 420, "secretName": "0644"}));
    assert_eq!(decoded.object["spec"]["hostNetwork"], true);
    let decoded = decode(b"{\"metadata\":{\"name\":\"a\"}}", Media::Yaml, POD).unwrap();
    assert_eq!(decoded.object["metadata"]["name"], "a");
    let anchors = b"metadata: &m {name: a}\nspec: *m\n";
    assert_eq!(decode(anchors, Media::Yaml, POD).unwrap().object["spec"], json!({"name": "a"}));
}

#[test]
fn merge_keys_are_spliced_in() {
    let body = b"x: &x {a: '1', b: '1'}\ny: &y {b: '2', c: '2'}\nmetadata: {name: a}\ndata:\n  <<: [*x, *y]\n  c: '3'\n";
    let decoded = decode(body, Media::Yaml, CONFIG_MAP).unwrap();
    assert_eq!(decoded.object["data"], json!({"a": "1", "b": "1", "c": "3"}));
    let text = error(b"data:\n  <<: 1\n", Media::Yaml, CONFIG_MAP);
    assert!(text.contains("map merge requires map or sequence of maps as the value"), "{text}");
    let quoted = b"data:\n  '<<': x\n";
    let decoded = decode(quoted, Media::Yaml, CONFIG_MAP).unwrap();
    assert_eq!(decoded.object["data"], json!({"<<": "x"}));
}

#[test]
fn yaml_duplicates_are_named_by_line() {
    let body = b"metadata:\n  name: a\n  name: b\nspec:\n  paused: true\n  template:\n    spec: {}\n  paused: true\n  template:\n    # below\n    spec: {}\n";
    let decoded = decode(body, Media::Yaml, DEPLOYMENT).unwrap();
    assert_eq!(
        decoded.duplicates.error(&[]),
        "yaml: unmarshal errors:\n  line 3: key \"name\" already set in map\n  line 8: key \"paused\" already set in map\n  line 11: key \"template\" already set in map"
    );
}

#[test]
fn yaml_errors_say_the_line_as_go_yaml_does() {
    for (body, want) in [
        ("a: b: c\n", "yaml: mapping values are not allowed in this context"),
        ("a: b\nc: d: e\n", "yaml: line 2: mapping values are not allowed in this context"),
        ("a:\n  - b\n c: d\n", "yaml: line 2: did not find expected key"),
        ("a: [1\n", "yaml: line 1: did not find expected ',' or ']'"),
        ("\ta: b\n", "yaml: found character that cannot start any token"),
        ("a: .inf\n", "json: unsupported value: +Inf"),
        ("a: *b\n", "yaml: unknown anchor"),
    ] {
        let text = error(body.as_bytes(), Media::Yaml, POD);
        assert!(text.contains(&format!("error converting YAML to JSON: {want}")), "{text}");
    }
}

#[test]
fn hostile_text_is_refused_quickly() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..30 {
        let list = vec![format!("*a{}", i - 1); 10].join(",");
        bomb.push_str(&format!("a{i}: &a{i} [{list}]\n"));
    }
    let deep = |open: &str, count: usize| open.repeat(count);
    let long_aliases = {
        let big = "x".repeat(100_000);
        format!("a: &a {big}\nb: [{}]\n", vec!["*a"; 1000].join(","))
    };
    for (body, media) in [
        (bomb, Media::Yaml),
        (long_aliases, Media::Yaml),
        (deep("[", 100_000), Media::Json),
        (deep("{\"a\":", 100_000), Media::Json),
        (deep("[", 100_000), Media::Yaml),
        (deep("{a: ", 100_000), Media::Yaml),
        (deep("{a: #}\n", 30_000), Media::Yaml),
        (deep("- ", 100_000), Media::Yaml),
        (deep("[", 3_000_000), Media::Yaml),
        (deep("a: b\n---\n", 10), Media::Yaml),
        ("a: !x {b: 1}".to_owned(), Media::Yaml),
        ("a: .inf".to_owned(), Media::Yaml),
        ("a: *b".to_owned(), Media::Yaml),
        ("\t".to_owned(), Media::Yaml),
        (String::new(), Media::Yaml),
    ] {
        error(body.as_bytes(), media, POD);
    }
    let big = vec![b' '; MAX_BODY_BYTES + 1];
    assert_eq!(decode(&big, Media::Json, POD).unwrap_err().code, 413);
}

#[test]
fn delete_options() {
    assert_eq!(decode_delete_options(b"", Media::Json).unwrap(), json!({}));
    let body =
        br#"{"kind":"DeleteOptions","apiVersion":"apps/v1","propagationPolicy":"Background"}"#;
    let options = decode_delete_options(body, Media::Json).unwrap();
    assert_eq!(options["propagationPolicy"], "Background");
    assert!(decode_delete_options(br#"{"kind":"Pod"}"#, Media::Json).is_err());
    assert!(decode_delete_options(br#"{"gracePeriodSeconds":"x"}"#, Media::Json).is_err());
}

#[test]
fn content_types() {
    for (header, want) in [
        ("application/json; charset=utf-8", Some(Media::Json)),
        ("", Some(Media::Json)),
        ("application/yaml", Some(Media::Yaml)),
        ("application/vnd.kubernetes.protobuf", Some(Media::Protobuf)),
        ("text/plain", None),
        ("application/cbor", None),
    ] {
        assert_eq!(Media::from_content_type(header), want);
    }
}
