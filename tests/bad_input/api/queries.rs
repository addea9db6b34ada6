//! Paths, query parameters and headers.

use super::{MAPS, PODS, YAML, send};
use crate::case::{Case, Door, Report};

pub fn run(door: &Door<'_>, report: &mut Report) {
    lists(door, report);
    selectors(door, report);
    watches(door, report);
    negotiation(door, report);
    paths(door, report);
}

fn lists(door: &Door<'_>, report: &mut Report) {
    let conflict = r#"422 Invalid ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: "#;
    let needs = format!(
        "{conflict}Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
    );
    let exact = format!(
        "{conflict}Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""
    );
    let unknown = format!(
        "{conflict}Unsupported value: \"Newest\": supported values: \"Exact\", \"NotOlderThan\", \"\""
    );
    let paging =
        format!("{conflict}Forbidden: resourceVersionMatch is forbidden when continue is provided");
    for (query, want) in [
        ("limit=x", r#"400 BadRequest *strconv.ParseInt: parsing "x": invalid syntax*"#),
        (
            "limit=99999999999999999999",
            r#"400 BadRequest *strconv.ParseInt: parsing "99999999999999999999": value out of range*"#,
        ),
        ("continue=!!!", "400 BadRequest continue key is not valid: *"),
        ("continue=e30", "400 BadRequest continue key is not valid: *"),
        (
            "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIvcmVnaXN0cnkvc2VjcmV0cy8ifQ",
            "400 BadRequest continue key is not valid: *",
        ),
        ("resourceVersion=abc", r#"*resourceVersion: Invalid value: "abc": *"#),
        ("resourceVersion=-1", r#"*resourceVersion: Invalid value: "-1": *"#),
        (
            "resourceVersion=99999999999",
            "504 Timeout Timeout: Too large resource version: 99999999999, current: *",
        ),
        ("resourceVersionMatch=Exact", &needs),
        ("resourceVersionMatch=Exact&resourceVersion=0", &exact),
        ("resourceVersionMatch=Newest&resourceVersion=1", &unknown),
        ("resourceVersionMatch=Exact&resourceVersion=1&continue=e30", &paging),
    ] {
        let path = format!("{MAPS}?{query}");
        let (name, want) = (format!("list?{query}"), want);
        report.api(&Case::new(&name, want), &door.get(&path));
    }
    let answer = door.get(&format!("{MAPS}?limit=-1"));
    report.check("list?limit=-1", &answer.code.to_string(), "200");
}

fn selectors(door: &Door<'_>, report: &mut Report) {
    for (query, want) in [
        ("labelSelector=a%20b", "400 BadRequest unable to parse requirement: *"),
        ("labelSelector=a%20in%20(b", "400 BadRequest unable to parse requirement: *"),
        ("labelSelector=,%20,", "400 BadRequest unable to parse requirement: *"),
        ("labelSelector=a%3D%3D%3Db", "400 BadRequest unable to parse requirement: *"),
        ("labelSelector=-a%3Db", "400 BadRequest unable to parse requirement: *"),
        (
            "fieldSelector=nonsense%3D1",
            r#"400 BadRequest "nonsense" is not a known field selector: only "metadata.name", "metadata.namespace""#,
        ),
        (
            "fieldSelector=metadata.name",
            "400 BadRequest invalid selector: 'metadata.name'; can't understand 'metadata.name'",
        ),
    ] {
        let name = format!("list?{query}");
        report.api(&Case::new(&name, want), &door.get(&format!("{MAPS}?{query}")));
    }
    let long = format!("{MAPS}?labelSelector={}", "a,".repeat(30_000));
    let answer = door.get(&long);
    let got = format!("{}", answer.code);
    report.check("a selector of 60,000 bytes", &got, "4*");
}

fn watches(door: &Door<'_>, report: &mut Report) {
    for (query, want) in [
        ("watch=1&resourceVersion=abc", r#"*Invalid value: "abc"*"#),
        ("watch=1&sendInitialEvents=true", "422 Invalid *sendInitialEvents*"),
        (
            "watch=1&timeoutSeconds=x",
            r#"400 BadRequest *strconv.ParseInt: parsing "x": invalid syntax*"#,
        ),
        ("watch=1&labelSelector=a%20b", "400 BadRequest unable to parse requirement: *"),
    ] {
        let name = format!("list?{query}");
        report.api(&Case::new(&name, want), &door.get(&format!("{MAPS}?{query}")));
    }
}

fn negotiation(door: &Door<'_>, report: &mut Report) {
    let known = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
    let body = format!(
        "415 UnsupportedMediaType the body of the request was in an unknown format - accepted media types include: {known}"
    );
    let accept = format!("406 NotAcceptable only the following media types are accepted: {known}");
    for media in
        ["text/plain", "application/cbor", "multipart/form-data; boundary=x", ";;;", "application"]
    {
        let name = format!("content-type {media}");
        send(door, report, Case::new(&name, &body), ("POST", MAPS, media), b"{}");
    }
    for wanted in ["image/png", "application/cbor", "application/json;as=Chart;g=meta.k8s.io;v=v1"]
    {
        let answer = door.send("GET", MAPS, &[("accept", wanted)], b"");
        report.api(&Case::new(&format!("accept {wanted}"), &accept), &answer);
    }
    let case = Case::new("protobuf as a patch", "415 UnsupportedMediaType *");
    let media = "application/vnd.kubernetes.protobuf";
    send(door, report, case, ("PATCH", &format!("{MAPS}/keep"), media), b"k8s\0");
    let answer = door.send("GET", MAPS, &[("authorization", "Bearer nonsense")], b"");
    let got = format!("{}", answer.code);
    report.check("a certificate and a bad token", &got, "*");
}

fn paths(door: &Door<'_>, report: &mut Report) {
    let unknown = "404 NotFound the server could not find the requested resource";
    for (name, method, path, want) in [
        ("an unknown resource", "GET", "/api/v1/namespaces/default/unicorns", unknown),
        ("an unknown group", "GET", "/apis/example.com/v1/things", unknown),
        ("an unknown version", "GET", "/api/v9/pods", unknown),
        ("a node in a namespace", "GET", "/api/v1/namespaces/default/nodes", unknown),
        ("half an escape", "GET", "/api/v1/namespaces/default/pods/%zz", "4*"),
        ("an escaped slash", "GET", "/api/v1/namespaces/default/pods/a%2fb", "404 *"),
        ("an escaped zero byte", "GET", "/api/v1/namespaces/default/pods/a%00b", "404 *"),
        ("dots", "GET", "/api/v1/namespaces/..%2f..%2fsecrets", "404 *"),
        ("an unknown verb", "BREW", MAPS, "405 *"),
        (
            "a create on an object",
            "POST",
            "/api/v1/namespaces/default/pods/x",
            "405 MethodNotAllowed *",
        ),
        ("a delete of everything", "DELETE", "/api/v1/namespaces", "405 MethodNotAllowed *"),
        ("a create without namespace", "POST", "/api/v1/configmaps", "405 MethodNotAllowed *"),
        (
            "an unknown part of a pod",
            "GET",
            "/api/v1/namespaces/default/pods/x/soul",
            "404 NotFound *",
        ),
    ] {
        let answer = door.send(method, path, &[("content-type", "application/json")], b"");
        report.api(&Case::new(name, want), &answer);
    }
    for (name, query, want) in [
        (
            "dryRun=Some",
            "dryRun=Some",
            r#"422 Invalid CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: *"All""#,
        ),
        (
            "an unprintable manager",
            "fieldManager=%01",
            "422 Invalid CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"\\x01\": should only contain printable characters",
        ),
    ] {
        let path = format!("{MAPS}?{query}");
        send(door, report, Case::new(name, want), ("POST", &path, YAML), b"metadata: {name: q}\n");
    }
    let manager = "m".repeat(129);
    let path = format!("{MAPS}?fieldManager={manager}");
    let case = Case::new(
        "a long manager",
        "422 Invalid CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes",
    );
    send(door, report, case, ("POST", &path, YAML), b"metadata: {name: q}\n");
    let answer = door.get(&format!("{PODS}/none/log?tailLines=x"));
    report.api(&Case::new("tailLines=x", "4*"), &answer);
}
