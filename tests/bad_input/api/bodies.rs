//! Bodies that are broken, huge, deep, or of the wrong kind, before anything is known of the object.

use super::{DEPLOYMENTS, JSON, MAPS, YAML, send};
use crate::case::{Case, Door, Report};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const UNRECOGNISED: &str =
    "400 BadRequest the object provided is unrecognized (must be of type ConfigMap): ";

pub fn run(door: &Door<'_>, report: &mut Report) {
    broken(door, report);
    yaml(door, report);
    strict(door, report);
    sizes(door, report);
    protobuf(door, report);
    types(door, report);
}

fn broken(door: &Door<'_>, report: &mut Report) {
    let json = |detail: &str| {
        format!("{UNRECOGNISED}couldn't get version/kind; json parse error: {detail}")
    };
    for (name, body, detail) in [
        ("empty body", "", "unexpected end of JSON input (<empty>)"),
        ("cut JSON", r#"{"a":"#, r#"unexpected end of JSON input ({"a":)"#),
        (
            "comma too many",
            r#"{"kind":"ConfigMap",}"#,
            r#"invalid character '}' looking for beginning of object key string ({"kind":"ConfigMap",})"#,
        ),
        (
            "YAML sent as JSON",
            "kind: ConfigMap\n",
            "invalid character 'k' looking for beginning of value (6b696e643a20436f6e6669674d61700a)",
        ),
        ("two objects", "{}{}", "invalid character '{' after top-level value ({}{})"),
        ("a list", "[]", "json: cannot unmarshal array into Go value of type struct *"),
        (
            "kind is a number",
            r#"{"kind":1}"#,
            "json: cannot unmarshal number into Go struct field .kind of type string*",
        ),
        ("lone surrogate", r#"{"a":"\ud800"}"#, "*"),
        ("number without end", r#"{"data":{"a":1e}}"#, "invalid character '}' in exponent of *"),
    ] {
        send(door, report, Case::new(name, &json(detail)), ("POST", MAPS, JSON), body.as_bytes());
    }
    let latin: &[u8] = b"{\"metadata\":{\"name\":\"\xff\xfe\"}}";
    let case = Case::new("text that is no UTF-8", "400 BadRequest *");
    send(door, report, case, ("POST", MAPS, JSON), latin);
    for (name, body, want) in [
        (
            "another kind",
            r#"{"apiVersion":"v1","kind":"Secret"}"#,
            r#"400 BadRequest Secret in version "v1" cannot be handled as a ConfigMap: *"#,
        ),
        (
            "another version",
            r#"{"apiVersion":"v2","kind":"ConfigMap"}"#,
            "400 BadRequest the API version in the data (v2) does not match the expected API version (v1)",
        ),
    ] {
        send(door, report, Case::new(name, want), ("POST", MAPS, JSON), body.as_bytes());
    }
}

fn yaml(door: &Door<'_>, report: &mut Report) {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..30 {
        let list = vec![format!("*a{}", i - 1); 10].join(",");
        bomb.push_str(&format!("a{i}: &a{i} [{list}]\n"));
    }
    let deep_flow = "[".repeat(100_000);
    let deep_block = "- ".repeat(100_000);
    let maps = (0..200).map(|i| format!("{}a:\n", " ".repeat(i))).collect::<String>();
    for (name, body, detail) in [
        ("alias bomb", bomb.as_str(), "yaml: document contains excessive aliasing (*"),
        ("deep flow lists", &deep_flow, "yaml: *"),
        ("deep block lists", &deep_block, "yaml: *"),
        ("deep maps", &maps, "yaml: exceeded max depth of 100 (*"),
        (
            "two keys on one line",
            "kind: ConfigMap\nmetadata: name: x\n",
            "yaml: line 2: mapping values are not allowed in this context (*",
        ),
        ("a tab", "\tkind: ConfigMap\n", "yaml: found character that cannot start any token (*"),
        ("unknown anchor", "data: *x\n", "yaml: unknown anchor* (*"),
        ("infinity", "data: {a: .inf}\n", "json: unsupported value: +Inf (*"),
        (
            "merge of a number",
            "data:\n  <<: 1\n",
            "yaml: map merge requires map or sequence of maps as the value (*",
        ),
        ("two documents", "a: b\n---\na: c\n", "yaml: the body must hold exactly one document (*"),
    ] {
        let want = format!("{UNRECOGNISED}error converting YAML to JSON: {detail}");
        send(door, report, Case::new(name, &want), ("POST", MAPS, YAML), body.as_bytes());
    }
    let case = Case::new(
        "yes is a boolean, not text",
        r#"400 BadRequest ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal bool into Go struct field ConfigMap.data of type string"#,
    );
    send(door, report, case, ("POST", MAPS, YAML), b"metadata: {name: y}\ndata: {a: yes}\n");
    let case = Case::new(
        "0644 is a number, not text",
        r#"400 BadRequest ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string"#,
    );
    send(door, report, case, ("POST", MAPS, YAML), b"metadata: {name: y}\ndata: {a: 0644}\n");
}

fn strict(door: &Door<'_>, report: &mut Report) {
    let body = br#"{"metadata":{"name":"s"},"data":{"a":"1","a":"2"},"nonsense":1}"#;
    let path = |rule: &str| format!("{MAPS}?dryRun=All&fieldValidation={rule}");
    let case = Case::new(
        "unknown and duplicate, Strict",
        r#"400 BadRequest ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "nonsense", duplicate field "data.a""#,
    );
    send(door, report, case, ("POST", &path("Strict"), JSON), body);
    let case = Case::new("unknown and duplicate, Warn", "201 -*").warnings(&[
        r#"299 - "unknown field \"nonsense\"""#,
        r#"299 - "duplicate field \"data.a\"""#,
    ]);
    send(door, report, case, ("POST", &path("Warn"), JSON), body);
    let answer = door.send("POST", &path("Ignore"), &[("content-type", JSON)], body);
    let got = format!("{} {:?}", answer.code, answer.warnings);
    report.check("unknown and duplicate, Ignore", &got, "201 []");
    let yaml = b"metadata:\n  name: s\nnonsense: 1\ndata:\n  a: '1'\n  a: '2'\n";
    let case = Case::new(
        "duplicate key in YAML, Strict",
        "400 BadRequest ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: yaml: unmarshal errors:\n  line 6: key \"a\" already set in map, unknown field \"nonsense\"",
    );
    send(door, report, case, ("POST", &path("Strict"), YAML), yaml);
    let case = Case::new("duplicate key in YAML, Warn", "201 -*").warnings(&[
        r#"299 - "line 6: key \"a\" already set in map""#,
        r#"299 - "unknown field \"nonsense\"""#,
    ]);
    send(door, report, case, ("POST", &path("Warn"), YAML), yaml);
    let case = Case::new(
        "an unknown rule",
        r#"422 Invalid CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "strict": supported values: "Ignore", "Strict", "Warn""#,
    );
    send(door, report, case, ("POST", &path("strict"), JSON), body);
    let many = (0..300).map(|i| format!("\"f{i}\":1,")).collect::<String>();
    let body = format!("{{{many}\"metadata\":{{\"name\":\"s\"}}}}");
    let case = Case::new("hundreds of unknown fields", "400 BadRequest *unknown field \"f0\"*");
    send(door, report, case, ("POST", &path("Strict"), JSON), body.as_bytes());
}

fn sizes(door: &Door<'_>, report: &mut Report) {
    let limit = "413 RequestEntityTooLarge Request entity too large: limit is 3145728";
    let huge = format!(r#"{{"metadata":{{"name":"h"}},"data":{{"a":"{}"}}}}"#, "x".repeat(3 << 20));
    send(door, report, Case::new("3 MiB of JSON", limit), ("POST", MAPS, JSON), huge.as_bytes());
    let huge = format!("metadata: {{name: h}}\ndata: {{a: {}}}\n", "x".repeat(3 << 20));
    send(door, report, Case::new("3 MiB of YAML", limit), ("POST", MAPS, YAML), huge.as_bytes());
    let two = format!(r#"{{"metadata":{{"name":"h"}},"data":{{"a":"{}"}}}}"#, "x".repeat(2 << 20));
    let case = Case::new(
        "2 MiB in one ConfigMap",
        r#"422 Invalid ConfigMap "h" is invalid: []: Too long: may not be more than 1048576 bytes"#,
    );
    send(door, report, case, ("POST", MAPS, JSON), two.as_bytes());
    let deep = "[".repeat(1_000_000);
    let want = format!("{UNRECOGNISED}*");
    let case = Case::new("a million brackets", &want);
    send(door, report, case, ("POST", MAPS, JSON), deep.as_bytes());
    let mut nested = "{\"a\":".repeat(50_000) + "1";
    nested.push_str(&"}".repeat(50_000));
    let want = format!("{UNRECOGNISED}*exceeded max depth of 100*");
    let case = Case::new("whole but deep JSON", &want);
    send(door, report, case, ("POST", MAPS, JSON), nested.as_bytes());
    let values = format!("{{\"x\":[{}0]}}", "0,".repeat(1_500_000));
    let case = Case::new("millions of values", "422 Invalid ConfigMap \"\" is invalid: *");
    send(door, report, case, ("POST", MAPS, JSON), values.as_bytes());
}

fn protobuf(door: &Door<'_>, report: &mut Report) {
    let handled = r#"400 BadRequest ConfigMap in version "v1" cannot be handled as a ConfigMap: "#;
    let no_prefix = format!(
        "{UNRECOGNISED}provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]*"
    );
    let eof = format!("{handled}unexpected EOF");
    let overflow = format!("{handled}proto: integer overflow");
    let wire = format!("{handled}proto: illegal wireType 7");
    for (name, body, want) in [
        ("no protobuf prefix", &b"{}"[..], &no_prefix),
        ("cut protobuf", b"k8s\0\x0a\x10\x0a\x02v1", &eof),
        ("a length beyond the end", b"k8s\0\x12\xff\xff\xff\xff\x0f", &eof),
        ("an endless varint", b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", &overflow),
        ("an unknown wire type", b"k8s\0\x0f", &wire),
    ] {
        send(door, report, Case::new(name, want), ("POST", MAPS, PROTOBUF), body);
    }
}

fn types(door: &Door<'_>, report: &mut Report) {
    for (name, path, body, want) in [
        (
            "a number for a map",
            MAPS,
            r#"{"metadata":{"name":"t"},"data":5}"#,
            r#"400 BadRequest ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type map[string]string"#,
        ),
        (
            "text for a number",
            DEPLOYMENTS,
            r#"{"metadata":{"name":"t"},"spec":{"replicas":"two"}}"#,
            r#"400 BadRequest Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"#,
        ),
        (
            "a number too large",
            DEPLOYMENTS,
            r#"{"metadata":{"name":"t"},"spec":{"replicas":99999999999}}"#,
            r#"400 BadRequest Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal number 99999999999 into Go struct field DeploymentSpec.spec.replicas of type int32"#,
        ),
        (
            "base64 that is none",
            MAPS,
            r#"{"metadata":{"name":"t"},"binaryData":{"a":"%%"}}"#,
            r#"400 BadRequest ConfigMap in version "v1" cannot be handled as a ConfigMap: illegal base64 data at input byte 0"#,
        ),
        (
            "a quantity that is none",
            super::PODS,
            r#"{"metadata":{"name":"t"},"spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"cpu":"lots"}}}]}}"#,
            r#"400 BadRequest Pod in version "v1" cannot be handled as a Pod: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"#,
        ),
        (
            "a time that is none",
            MAPS,
            r#"{"metadata":{"name":"t","creationTimestamp":"now"}}"#,
            r#"400 BadRequest ConfigMap in version "v1" cannot be handled as a ConfigMap: parsing time "now" as "2006-01-02T15:04:05Z07:00": cannot parse "now" as "2006""#,
        ),
    ] {
        send(door, report, Case::new(name, want), ("POST", path, JSON), body.as_bytes());
    }
}
