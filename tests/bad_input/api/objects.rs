//! Objects that are well formed and wrong: names, resources, ports, references, what may not change.

use serde_json::{Value, json};

use super::{DEPLOYMENTS, JSON, MAPS, PODS, SERVICES, create, send};
use crate::case::{Case, Door, Report};

const SUBDOMAIN: &str = r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

pub fn run(door: &Door<'_>, report: &mut Report) {
    names(door, report);
    metadata(door, report);
    pods(door, report);
    ports(door, report);
    services(door, report);
    workloads(door, report);
    changes(door, report);
}

fn names(door: &Door<'_>, report: &mut Report) {
    let long = "a".repeat(254);
    let upper = format!(
        "422 Invalid ConfigMap \"Bad_Name\" is invalid: metadata.name: Invalid value: \"Bad_Name\": {SUBDOMAIN}"
    );
    let too_long = format!(
        "422 Invalid ConfigMap \"{long}\" is invalid: metadata.name: Invalid value: \"{long}\": must be no more than 253 bytes"
    );
    let slash = format!(
        "422 Invalid ConfigMap \"../x\" is invalid: metadata.name: Invalid value: \"../x\": {SUBDOMAIN}"
    );
    for (name, own, want) in [
        ("upper case in a name", "Bad_Name", &upper),
        ("a name too long", &long, &too_long),
        ("a path as a name", "../x", &slash),
    ] {
        let case = Case::new(name, want).causes(&[("metadata.name", "FieldValueInvalid")]);
        create(door, report, case, MAPS, &json!({"metadata": {"name": own}}));
    }
    let case = Case::new(
        "no name",
        r#"422 Invalid ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required"#,
    )
    .causes(&[("metadata.name", "FieldValueRequired")]);
    create(door, report, case, MAPS, &json!({"metadata": {}}));
    let want = format!(
        "422 Invalid Namespace \"a.b\" is invalid: metadata.name: Invalid value: \"a.b\": {LABEL}"
    );
    let body = json!({"metadata": {"name": "a.b"}});
    create(door, report, Case::new("a dot in a namespace", &want), "/api/v1/namespaces", &body);
    let case = Case::new(
        "another namespace than the URL's",
        "400 BadRequest the namespace of the provided object does not match the namespace sent on the request",
    );
    create(door, report, case, MAPS, &json!({"metadata": {"name": "a", "namespace": "other"}}));
    let case = Case::new(
        "a namespace that is not there",
        r#"404 NotFound namespaces "nowhere" not found"#,
    );
    let path = "/api/v1/namespaces/nowhere/configmaps";
    create(door, report, case, path, &json!({"metadata": {"name": "a"}}));
    let case =
        Case::new("a name that is taken", r#"409 AlreadyExists configmaps "keep" already exists"#);
    create(door, report, case, MAPS, &json!({"metadata": {"name": "keep"}}));
}

fn metadata(door: &Door<'_>, report: &mut Report) {
    let key = format!(
        "422 Invalid ConfigMap \"m\" is invalid: metadata.labels: Invalid value: \"a b\": {PART}"
    );
    let long = "v".repeat(64);
    let value = format!(
        "422 Invalid ConfigMap \"m\" is invalid: metadata.labels: Invalid value: \"{long}\": must be no more than 63 bytes"
    );
    let annotations = r#"422 Invalid ConfigMap "m" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes"#;
    let finalizer = format!(
        "422 Invalid ConfigMap \"m\" is invalid: metadata.finalizers: Invalid value: \"a b\": {PART}"
    );
    let owner = r#"422 Invalid ConfigMap "m" is invalid: metadata.ownerReferences*uid: Invalid value: "": *must not be empty"#;
    for (name, meta, want) in [
        ("a space in a label's key", json!({"labels": {"a b": "c"}}), key.as_str()),
        ("a label's value too long", json!({"labels": {"a": long}}), &value),
        (
            "too much in annotations",
            json!({"annotations": {"a": "x".repeat(300_000)}}),
            annotations,
        ),
        ("a bad finalizer", json!({"finalizers": ["a b"]}), &finalizer),
        (
            "an owner without uid",
            json!({"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}),
            owner,
        ),
    ] {
        let mut meta = meta;
        meta["name"] = "m".into();
        create(door, report, Case::new(name, want), MAPS, &json!({"metadata": meta}));
    }
    let case = Case::new(
        "a key of data with a slash",
        "422 Invalid ConfigMap \"m\" is invalid: data[a/b]: Invalid value: \"a/b\": a valid config key must consist of *",
    );
    create(door, report, case, MAPS, &json!({"metadata": {"name": "m"}, "data": {"a/b": "c"}}));
}

fn pod(spec: &Value) -> Value {
    let mut container = json!({"name": "c", "image": "localhost/none:1"});
    for (key, value) in spec["c"].as_object().into_iter().flatten() {
        container[key] = value.clone();
    }
    let mut whole = json!({"containers": [container]});
    for (key, value) in spec.as_object().into_iter().flatten().filter(|(k, _)| *k != "c") {
        whole[key] = value.clone();
    }
    json!({"metadata": {"name": "p"}, "spec": whole})
}

fn pods(door: &Door<'_>, report: &mut Report) {
    for (name, spec, want) in [
        (
            "requests above limits",
            json!({"c": {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}}),
            r#"spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1"#,
        ),
        (
            "a negative request",
            json!({"c": {"resources": {"requests": {"memory": "-1Gi"}}}}),
            r#"spec.containers[0].resources.requests[memory]: Invalid value: "-1Gi": must be greater than or equal to 0"#,
        ),
        (
            "a resource nobody knows",
            json!({"c": {"resources": {"limits": {"beer": "1"}}}}),
            r#"[spec.containers[0].resources.limits[beer]: Invalid value: "beer": must be a standard resource type or fully qualified, spec.containers[0].resources.limits[beer]: Invalid value: "beer": must be a standard resource for containers, *]"#,
        ),
        (
            "half a device",
            json!({"c": {"resources": {"limits": {"example.com/gpu": "500m"}}}}),
            r#"*spec.containers[0].resources.limits[example.com/gpu]: Invalid value: "500m": must be an integer*"#,
        ),
        ("no containers", json!({"containers": []}), "spec.containers: Required value"),
        ("no image", json!({"c": {"image": ""}}), "spec.containers[0].image: Required value"),
        (
            "two containers of one name",
            json!({"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]}),
            r#"spec.containers[1].name: Duplicate value: "c""#,
        ),
        (
            "a policy nobody knows",
            json!({"restartPolicy": "Sometimes"}),
            r#"spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never""#,
        ),
        (
            "a mount of no volume",
            json!({"c": {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}}),
            r#"spec.containers[0].volumeMounts[0].name: Not found: "v""#,
        ),
        (
            "a mount that leads out",
            json!({"volumes": [{"name": "v", "emptyDir": {}}], "c": {"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "../.."}]}}),
            r#"spec.containers[0].volumeMounts[0].subPath: Invalid value: "../..": must not contain '..'"#,
        ),
        (
            "a host path that leads out",
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/a/../../etc"}}]}),
            r#"spec.volumes[0].hostPath.path: Invalid value: "/a/../../etc": must not contain '..'"#,
        ),
        (
            "a probe without action",
            json!({"c": {"livenessProbe": {"periodSeconds": 1}}}),
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
        ),
        (
            "a variable from nowhere",
            json!({"c": {"env": [{"name": "A", "valueFrom": {}}]}}),
            r#"spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`*"#,
        ),
        (
            "a deadline of zero",
            json!({"activeDeadlineSeconds": 0}),
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
        ),
        (
            "a name server that is no address",
            json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["dns"]}}),
            r#"spec.dnsConfig.nameservers[0]: Invalid value: "dns": must be a valid IP address*"#,
        ),
    ] {
        let want = format!("422 Invalid Pod \"p\" is invalid: {want}");
        create(door, report, Case::new(name, &want), PODS, &pod(&spec));
    }
    let case = Case::new(
        "an account that is not there",
        r#"403 Forbidden pods "p" is forbidden: error looking up service account default/ghost: serviceaccount "ghost" not found"#,
    );
    create(door, report, case, PODS, &pod(&json!({"serviceAccountName": "ghost"})));
    let case = Case::new(
        "a priority that is not there",
        r#"403 Forbidden pods "p" is forbidden: no PriorityClass with name ghost was found"#,
    );
    create(door, report, case, PODS, &pod(&json!({"priorityClassName": "ghost"})));
}

fn ports(door: &Door<'_>, report: &mut Report) {
    let port = |more: Value| {
        let mut port = json!({"containerPort": 80});
        for (key, value) in more.as_object().into_iter().flatten() {
            port[key] = value.clone();
        }
        port
    };
    for (name, list, want) in [
        (
            "two ports of one name",
            json!([port(json!({"name": "http"})), {"containerPort": 81, "name": "http"}]),
            r#"spec.containers[0].ports[1].name: Duplicate value: "http""#,
        ),
        (
            "one host port twice",
            json!([port(json!({"hostPort": 8080})), {"containerPort": 81, "hostPort": 8080}]),
            r#"spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//8080""#,
        ),
        (
            "port 70000",
            json!([{"containerPort": 70_000}]),
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            "a protocol nobody knows",
            json!([port(json!({"protocol": "ICMP"}))]),
            r#"spec.containers[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP""#,
        ),
    ] {
        let want = format!("422 Invalid Pod \"p\" is invalid: {want}");
        create(door, report, Case::new(name, &want), PODS, &pod(&json!({"c": {"ports": list}})));
    }
}

fn services(door: &Door<'_>, report: &mut Report) {
    let service = |name: &str, spec: Value| {
        let mut whole = json!({"selector": {"a": "b"}, "ports": [{"port": 80}]});
        for (key, value) in spec.as_object().into_iter().flatten() {
            whole[key] = value.clone();
        }
        json!({"metadata": {"name": name}, "spec": whole})
    };
    let node_port =
        |port: u32| json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    let first = door.post(SERVICES, &service("taken", node_port(30_555)));
    assert_eq!(first.code, 201, "{}", first.text);
    let ip = first.json()["spec"]["clusterIP"].as_str().expect("address").to_owned();
    let taken = format!(
        "spec.clusterIPs: Invalid value: [\"{ip}\"]: failed to allocate IP {ip}: provided IP is already allocated"
    );
    for (name, spec, want) in [
        (
            "a node port that is taken",
            node_port(30_555),
            "spec.ports[0].nodePort: Invalid value: 30555: provided port is already allocated",
        ),
        (
            "a node port out of range",
            node_port(80),
            "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767",
        ),
        ("an address that is taken", json!({"clusterIP": ip}), &taken),
        (
            "an address out of range",
            json!({"clusterIP": "192.0.2.1"}),
            r#"spec.clusterIPs: Invalid value: ["192.0.2.1"]: failed to allocate IP 192.0.2.1: the provided IP (192.0.2.1) is not in the valid range. The range of valid IPs is 10.96.0.0/12"#,
        ),
        (
            "an address that is none",
            json!({"clusterIP": "here"}),
            r#"*spec.clusterIPs[0]: Invalid value: "here": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)*"#,
        ),
        ("no ports", json!({"ports": []}), "spec.ports: Required value"),
        (
            "two ports without names",
            json!({"ports": [{"port": 80}, {"port": 81}]}),
            "[spec.ports[0].name: Required value, spec.ports[1].name: Required value]",
        ),
        (
            "a port twice",
            json!({"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]}),
            r#"spec.ports[1]: Duplicate value: {*}"#,
        ),
        (
            "a type nobody knows",
            json!({"type": "Magic"}),
            r#"spec.type: Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort""#,
        ),
    ] {
        let want = format!("422 Invalid Service \"s\" is invalid: {want}");
        create(door, report, Case::new(name, &want), SERVICES, &service("s", spec));
    }
    let gone = door.send("DELETE", &format!("{SERVICES}/taken"), &[], b"");
    assert_eq!(gone.code, 200, "{}", gone.text);
}

fn workloads(door: &Door<'_>, report: &mut Report) {
    let deployment = |selector: Value, labels: Value, replicas: i64| {
        json!({"metadata": {"name": "d"}, "spec": {"replicas": replicas,
            "selector": {"matchLabels": selector}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
    };
    let (a, b) = (json!({"a": "1"}), json!({"b": "1"}));
    for (name, object, want) in [
        (
            "a selector that misses its own pods",
            deployment(a.clone(), b, 1),
            r#"spec.template.metadata.labels: Invalid value: {"b":"1"}: `selector` does not match template `labels`"#,
        ),
        (
            "replicas below zero",
            deployment(a.clone(), a.clone(), -1),
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            "no selector",
            json!({"metadata": {"name": "d"}, "spec": {"template": {"metadata": {"labels": a},
                "spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
            "*spec.selector: Required value*",
        ),
    ] {
        let want = format!("422 Invalid Deployment.apps \"d\" is invalid: {want}");
        create(door, report, Case::new(name, &want), DEPLOYMENTS, &object);
    }
}

fn changes(door: &Door<'_>, report: &mut Report) {
    let frozen = json!({"metadata": {"name": "frozen"}, "data": {"a": "1"}, "immutable": true});
    let made = door.post(MAPS, &frozen);
    assert_eq!(made.code, 201, "{}", made.text);
    let path = format!("{MAPS}/frozen");
    let mut changed = frozen;
    changed["data"]["a"] = "2".into();
    let put = |name: &str, want: &str, path: &str, body: &Value, report: &mut Report| {
        let body = body.to_string();
        send(door, report, Case::new(name, want), ("PUT", path, JSON), body.as_bytes());
    };
    let want = r#"422 Invalid ConfigMap "frozen" is invalid: data: Forbidden: field is immutable when `immutable` is set"#;
    put("an immutable ConfigMap", want, &path, &changed, report);
    changed["metadata"]["resourceVersion"] = "1".into();
    let want = r#"409 Conflict Operation cannot be fulfilled on configmaps "frozen": the object has been modified; please apply your changes to the latest version and try again"#;
    put("an old resourceVersion", want, &path, &changed, report);
    changed["metadata"]["resourceVersion"] = "x".into();
    put("a resourceVersion that is none", want, &path, &changed, report);
    changed["metadata"] = json!({"name": "other"});
    let want =
        "400 BadRequest the name of the object (other) does not match the name on the URL (frozen)";
    put("another name than the URL's", want, &path, &changed, report);
    let want = r#"404 NotFound configmaps "ghost" not found"#;
    let ghost = json!({"metadata": {"name": "ghost"}});
    put("an object that is not there", want, &format!("{MAPS}/ghost"), &ghost, report);
    let gone = door.send("DELETE", &path, &[], b"");
    assert_eq!(gone.code, 200, "{}", gone.text);
    let case = Case::new(
        "a resourceVersion at create",
        "500 - resourceVersion should not be set on objects to be created",
    );
    let body = json!({"metadata": {"name": "n", "resourceVersion": "5"}});
    create(door, report, case, MAPS, &body);
    let case = Case::new(
        "a namespace that may not go",
        r#"403 Forbidden namespaces "default" is forbidden: this namespace may not be deleted"#,
    );
    send(door, report, case, ("DELETE", "/api/v1/namespaces/default", JSON), b"");
    let case = Case::new(
        "another object than meant",
        r#"409 Conflict Operation cannot be fulfilled on configmaps "keep": Precondition failed: UID in precondition: nobody, UID in object meta: *"#,
    );
    let body = br#"{"preconditions":{"uid":"nobody"}}"#;
    send(door, report, case, ("DELETE", &format!("{MAPS}/keep"), JSON), body);
    let case = Case::new("delete options of another kind", "400 BadRequest *DeleteOptions*");
    send(door, report, case, ("DELETE", &format!("{MAPS}/keep"), JSON), br#"{"kind":"Pod"}"#);
    let case = Case::new("a policy of deletion nobody knows", "*propagationPolicy*");
    let body = br#"{"propagationPolicy":"Later"}"#;
    send(door, report, case, ("DELETE", &format!("{MAPS}/keep"), JSON), body);
}
