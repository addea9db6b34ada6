//! Patches that cannot be applied.

use super::{JSON, MAPS, PODS, send};
use crate::case::{Case, Door, Report};

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

pub fn run(door: &Door<'_>, report: &mut Report) {
    let keep = format!("{MAPS}/keep");
    let unfit = "422 Invalid the server rejected our request due to an error in our request";
    let types = "415 UnsupportedMediaType the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml";
    let many = format!("[{}{{}}]", r#"{"op":"test","path":"/a","value":1},"#.repeat(10_000));
    let huge = format!(r#"{{"data":{{"a":"{}"}}}}"#, "x".repeat(3 << 20));
    let deep = format!("{}1{}", "{\"a\":".repeat(30_000), "}".repeat(30_000));
    for (name, media, body, want) in [
        ("a test that fails", JSON_PATCH, r#"[{"op":"test","path":"/data/k","value":"x"}]"#, unfit),
        ("a path that is not there", JSON_PATCH, r#"[{"op":"remove","path":"/data/none"}]"#, unfit),
        (
            "a parent that is not there",
            JSON_PATCH,
            r#"[{"op":"add","path":"/no/x","value":1}]"#,
            unfit,
        ),
        (
            "an object for a list",
            JSON_PATCH,
            r#"{"op":"remove"}"#,
            "400 BadRequest error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        ),
        ("an operation nobody knows", JSON_PATCH, r#"[{"op":"dance","path":"/data"}]"#, unfit),
        ("a path without slash", JSON_PATCH, r#"[{"op":"remove","path":"data"}]"#, "4*"),
        (
            "10,001 operations",
            JSON_PATCH,
            &many,
            "413 RequestEntityTooLarge Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001",
        ),
        (
            "a list for an object",
            MERGE,
            "[]",
            "400 BadRequest error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (
            "a number for an object",
            STRATEGIC,
            "5",
            "400 BadRequest json: cannot unmarshal number into Go value of type map[string]interface {}",
        ),
        (
            "broken JSON",
            MERGE,
            "{",
            "400 BadRequest error decoding patch: unexpected end of JSON input",
        ),
        (
            "a patch of 3 MiB",
            MERGE,
            &huge,
            "413 RequestEntityTooLarge Request entity too large: limit is 3145728",
        ),
        (
            "a deep patch",
            MERGE,
            &deep,
            "400 BadRequest error decoding patch: exceeded max depth of 100*",
        ),
        (
            "a patch of the type",
            MERGE,
            r#"{"data":5}"#,
            r#"422 Invalid  "" is invalid: patch: Invalid value: *json: cannot unmarshal number into Go struct field ConfigMap.data of type map[string]string"#,
        ),
        ("a patch of the kind", MERGE, r#"{"kind":"Secret"}"#, "400 BadRequest *"),
        ("a patch of the name", MERGE, r#"{"metadata":{"name":"other"}}"#, "4*name*"),
        ("JSON as a patch", JSON, "{}", types),
        ("no media type", "", "{}", types),
        ("an unknown directive", STRATEGIC, r#"{"data":{"$patch":"explode"}}"#, "400 BadRequest *"),
    ] {
        let answer = door.send("PATCH", &keep, &[("content-type", media)], body.as_bytes());
        report.api(&Case::new(name, want), &answer);
    }
    let none = r#"404 NotFound pods "none" not found"#;
    let case = Case::new("a patch of nothing", none);
    send(door, report, case, ("PATCH", &format!("{PODS}/none"), MERGE), b"{}");
    let case = Case::new("a patch of a list", "405 MethodNotAllowed *");
    send(door, report, case, ("PATCH", MAPS, MERGE), b"{}");
    let case = Case::new("a patch of an unknown part", "404 NotFound *");
    send(door, report, case, ("PATCH", &format!("{PODS}/none/soul"), MERGE), b"{}");
}
