//! Golden rows: what `kubectl get -o wide` prints for objects as the API serves them.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{columns, duration::parse, row, *};
use crate::kind;

fn now() -> OffsetDateTime {
    parse("2026-01-02T12:00:00Z").unwrap()
}

pub(super) fn cells(kind: &Kind, object: &Value) -> Vec<String> {
    let row = row(kind, object, now());
    assert_eq!(row.cells.len(), columns(kind).len(), "one cell per column of {}", kind.kind);
    row.cells
        .into_iter()
        .map(|c| match c {
            Value::String(text) => text,
            other => other.to_string(),
        })
        .collect()
}

pub(super) fn meta(name: &str) -> Value {
    json!({"name": name, "namespace": "default", "creationTimestamp": "2026-01-02T11:55:00Z"})
}

/// A pod with two containers whose statuses are given.
fn pod(status: Value) -> Value {
    json!({"metadata": meta("p"), "status": status,
        "spec": {"containers": [{"name": "a"}, {"name": "b"}], "nodeName": "n1"}})
}

fn running(name: &str) -> Value {
    json!({"name": name, "ready": true, "restartCount": 0, "state": {"running": {}}})
}

#[test]
fn pod_columns() {
    let object = pod(json!({"phase": "Running", "podIPs": [{"ip": "10.244.0.7"}],
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [running("a"), {"name": "b", "ready": false, "restartCount": 3,
            "state": {"running": {}},
            "lastState": {"terminated": {"finishedAt": "2026-01-02T11:59:30Z"}}}]}));
    assert_eq!(
        cells(kind::POD, &object),
        ["p", "1/2", "Running", "3 (30s ago)", "5m", "10.244.0.7", "n1", "<none>", "<none>"]
    );
}

#[test]
fn pod_status_words() {
    let waiting = |r: &str| json!({"name": "b", "state": {"waiting": {"reason": r}}});
    let exited = |t: Value| json!({"name": "b", "state": {"terminated": t}});
    let running_and = |other: Value, conditions: Value| {
        json!({"phase": "Running", "containerStatuses": [running("a"), other],
            "conditions": conditions})
    };
    let ready = json!([{"type": "Ready", "status": "True"}]);
    let table = [
        (json!({"phase": "Pending"}), "Pending", "0/2"),
        (json!({"phase": "Failed", "reason": "Evicted"}), "Evicted", "0/2"),
        (
            json!({"phase": "Pending", "conditions":
                [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}),
            "SchedulingGated",
            "0/2",
        ),
        (running_and(waiting("CrashLoopBackOff"), json!([])), "CrashLoopBackOff", "1/2"),
        (running_and(exited(json!({"exitCode": 7})), json!([])), "ExitCode:7", "1/2"),
        (running_and(exited(json!({"signal": 9, "exitCode": 137})), json!([])), "Signal:9", "1/2"),
        (running_and(exited(json!({"reason": "Error"})), json!([])), "Error", "1/2"),
        (
            running_and(exited(json!({"reason": "Completed", "exitCode": 0})), ready),
            "Running",
            "1/2",
        ),
        (
            running_and(exited(json!({"reason": "Completed", "exitCode": 0})), json!([])),
            "NotReady",
            "1/2",
        ),
    ];
    for (status, word, ready) in table {
        let cells = cells(kind::POD, &pod(status.clone()));
        assert_eq!((cells[2].as_str(), cells[1].as_str()), (word, ready), "{status}");
    }
}

#[test]
fn pod_init_containers() {
    let with_init = |init: Value, phase: &str| {
        json!({"metadata": meta("p"),
            "spec": {"containers": [{"name": "a"}],
                "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]},
            "status": {"phase": phase, "initContainerStatuses": init,
                "containerStatuses": [{"name": "a", "state": {"waiting":
                    {"reason": "PodInitializing"}}}]}})
    };
    let done = json!({"name": "i", "state": {"terminated": {"exitCode": 0}}, "restartCount": 2});
    let table = [
        (json!([{"name": "i", "state": {"running": {}}}]), "Init:0/2", "0/2", "0"),
        (
            json!([{"name": "i", "state": {"waiting": {"reason": "ErrImagePull"}}}]),
            "Init:ErrImagePull",
            "0/2",
            "0",
        ),
        (
            json!([{"name": "i", "state": {"terminated": {"exitCode": 3}}}]),
            "Init:ExitCode:3",
            "0/2",
            "0",
        ),
        (json!([done, {"name": "s", "state": {"running": {}}}]), "Init:1/2", "0/2", "2"),
        (
            json!([done, {"name": "s", "started": true, "ready": true, "state": {"running": {}}}]),
            "PodInitializing",
            "1/2",
            "0",
        ),
    ];
    for (init, word, ready, restarts) in table {
        let cells = cells(kind::POD, &with_init(init.clone(), "Pending"));
        assert_eq!(cells[1..4], [ready, word, restarts], "{init}");
    }
}

#[test]
fn deleted_pods_and_conditions() {
    let mut object = pod(json!({"phase": "Running", "containerStatuses": [running("a")]}));
    object["metadata"]["deletionTimestamp"] = "2026-01-02T11:59:00Z".into();
    assert_eq!(cells(kind::POD, &object)[2], "Terminating");
    object["status"]["reason"] = "NodeLost".into();
    assert_eq!(cells(kind::POD, &object)[2], "Unknown");
    let done = pod(json!({"phase": "Succeeded"}));
    let conditions = row(kind::POD, &done, now()).conditions.unwrap();
    assert_eq!(conditions[0]["reason"], "Succeeded");
}

#[test]
fn workloads() {
    let object = json!({"metadata": meta("web"),
        "spec": {"replicas": 3, "selector": {"matchLabels": {"b": "2", "a": "1"},
            "matchExpressions": [{"key": "c", "operator": "In", "values": ["y", "x"]}]},
            "template": {"spec": {"containers": [{"name": "a", "image": "i:1"},
                {"name": "b", "image": "j:2"}]}}},
        "status": {"replicas": 3, "readyReplicas": 2, "updatedReplicas": 1}});
    assert_eq!(
        cells(kind::DEPLOYMENT, &object),
        ["web", "2/3", "1", "0", "5m", "a,b", "i:1,j:2", "a=1,b=2,c in (x,y)"]
    );
    assert_eq!(
        cells(kind::REPLICA_SET, &object)[..5],
        ["web", "3", "3", "2", "5m"].map(str::to_owned)
    );
}

#[test]
fn controllers_of_pods() {
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"nodeSelector": {"disk": "ssd"},
        "containers": [{"name": "c", "image": "i:1"}, {"name": "d", "image": "j:1"}]}});
    let set = json!({"metadata": meta("s"), "spec": {"replicas": 3, "template": template},
        "status": {"readyReplicas": 2}});
    assert_eq!(cells(kind::STATEFUL_SET, &set), ["s", "2/3", "5m", "c,d", "i:1,j:1"]);
    let daemons = json!({"metadata": meta("d"), "spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": template}, "status": {"desiredNumberScheduled": 4, "currentNumberScheduled": 3,
        "numberReady": 2, "updatedNumberScheduled": 1, "numberAvailable": 2}});
    assert_eq!(
        cells(kind::DAEMON_SET, &daemons),
        ["d", "4", "3", "2", "1", "2", "disk=ssd", "5m", "c,d", "i:1,j:1", "a=b"]
    );
    let controller = json!({"metadata": meta("r"), "spec": {"replicas": 2, "selector": {"a": "b"},
        "template": template}, "status": {"replicas": 1}});
    assert_eq!(
        cells(kind::REPLICATION_CONTROLLER, &controller),
        ["r", "2", "1", "0", "5m", "c,d", "i:1,j:1", "a=b"]
    );
    let stored = json!({"metadata": meta("t"), "template": template});
    assert_eq!(cells(kind::POD_TEMPLATE, &stored), ["t", "c,d", "i:1,j:1", "a=b"]);
    let mut revision = json!({"metadata": meta("v"), "revision": 7});
    assert_eq!(cells(kind::CONTROLLER_REVISION, &revision), ["v", "<none>", "7", "5m"]);
    revision["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s", "controller": true}]);
    assert_eq!(cells(kind::CONTROLLER_REVISION, &revision)[1], "statefulset.apps/s");
}

#[test]
fn jobs() {
    let job =
        |spec: Value, status: Value| json!({"metadata": meta("j"), "spec": spec, "status": status});
    let ended = |word: &str| {
        json!({"conditions": [{"type": word, "status": "True"}], "succeeded": 1,
        "startTime": "2026-01-02T11:58:00Z", "completionTime": "2026-01-02T11:58:05Z"})
    };
    for (object, want) in [
        (job(json!({"completions": 1}), ended("Complete")), ["Complete", "1/1", "5s"]),
        (job(json!({"completions": 3}), ended("Failed")), ["Failed", "1/3", "5s"]),
        (job(json!({"parallelism": 2}), json!({})), ["Running", "0/1 of 2", ""]),
        (job(json!({}), json!({"startTime": "2026-01-02T11:59:00Z"})), ["Running", "0/1", "60s"]),
    ] {
        assert_eq!(cells(kind::JOB, &object)[1..4], want);
    }
    let mut cron = json!({"metadata": meta("c"), "spec": {"schedule": "* * * * *", "suspend": false},
        "status": {}});
    assert_eq!(
        cells(kind::CRON_JOB, &cron)[..7],
        ["c", "* * * * *", "<none>", "False", "0", "<none>", "5m"]
    );
    cron["status"] = json!({"active": [{}], "lastScheduleTime": "2026-01-02T11:59:30Z"});
    assert_eq!(cells(kind::CRON_JOB, &cron)[4..6], ["1", "30s"]);
}

#[test]
fn volumes_and_claims() {
    let mut claim = json!({"metadata": meta("c"), "spec": {"storageClassName": "fast",
        "volumeMode": "Filesystem", "accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Pending"}});
    assert_eq!(
        cells(kind::PERSISTENT_VOLUME_CLAIM, &claim),
        ["c", "Pending", "", "", "", "fast", "<unset>", "5m", "Filesystem"]
    );
    claim["spec"]["volumeName"] = "v".into();
    claim["status"] = json!({"phase": "Bound", "capacity": {"storage": "2Gi"},
        "accessModes": ["ReadWriteMany", "ReadWriteOnce"]});
    assert_eq!(
        cells(kind::PERSISTENT_VOLUME_CLAIM, &claim)[1..5],
        ["Bound", "v", "2Gi", "RWO,RWX"]
    );
    let volume = json!({"metadata": meta("v"), "spec": {"capacity": {"storage": "2Gi"},
        "accessModes": ["ReadWriteOncePod"], "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": "d", "name": "c"}}, "status": {"phase": "Bound"}});
    assert_eq!(
        cells(kind::PERSISTENT_VOLUME, &volume),
        ["v", "2Gi", "RWOP", "Retain", "Bound", "d/c", "", "<unset>", "", "5m", "<unset>"]
    );
}

#[test]
fn signing_requests() {
    let mut request = json!({"metadata": meta("r"), "spec": {"signerName": "a.b/c", "username": "jane"},
        "status": {}});
    let shown = cells(kind::CERTIFICATE_SIGNING_REQUEST, &request);
    assert_eq!(shown, ["r", "5m", "a.b/c", "jane", "<none>", "Pending"]);
    request["spec"]["expirationSeconds"] = 86_400.into();
    request["status"] = json!({"conditions": [{"type": "Approved"}], "certificate": "QQ=="});
    let shown = cells(kind::CERTIFICATE_SIGNING_REQUEST, &request);
    assert_eq!(shown[4..], ["24h", "Approved,Issued"]);
}

#[test]
fn services_and_endpoints() {
    let service = |spec: Value| json!({"metadata": meta("s"), "spec": spec});
    let object = service(json!({"type": "NodePort", "clusterIP": "10.96.0.5",
        "clusterIPs": ["10.96.0.5"], "selector": {"app": "x"},
        "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]}));
    assert_eq!(
        cells(kind::SERVICE, &object),
        ["s", "NodePort", "10.96.0.5", "<none>", "80:30080/TCP,53/UDP", "5m", "app=x"]
    );
    let external = service(json!({"type": "ExternalName", "externalName": "example.org"}));
    assert_eq!(
        cells(kind::SERVICE, &external)[1..5],
        ["ExternalName", "<none>", "example.org", "<none>"].map(str::to_owned)
    );
    assert_eq!(cells(kind::SERVICE, &service(json!({"type": "LoadBalancer"})))[3], "<pending>");
    let addresses: Vec<_> = (1..=4).map(|i| json!({"ip": format!("10.0.0.{i}")})).collect();
    let endpoints = json!({"metadata": meta("e"),
        "subsets": [{"addresses": addresses, "ports": [{"port": 80}]}]});
    assert_eq!(
        cells(kind::ENDPOINTS, &endpoints)[1],
        "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 1 more..."
    );
    assert_eq!(cells(kind::ENDPOINTS, &json!({"metadata": meta("e")}))[1], "<none>");
    let slice = json!({"metadata": meta("e"), "addressType": "IPv4", "ports": [{"port": 80}],
        "endpoints": [{"addresses": ["10.0.0.1"]}]});
    assert_eq!(cells(kind::ENDPOINT_SLICE, &slice), ["e", "IPv4", "80", "10.0.0.1", "5m"]);
    assert_eq!(
        cells(kind::ENDPOINT_SLICE, &json!({"metadata": meta("e")}))[2..4],
        ["<unset>", "<unset>"]
    );
}

#[test]
fn nodes() {
    let object = json!({"metadata": {"name": "n", "creationTimestamp": "2026-01-02T11:55:00Z",
            "labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
        "spec": {"unschedulable": true},
        "status": {"conditions": [{"type": "Ready", "status": "Unknown"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.36.0", "osImage": "Debian"}}});
    assert_eq!(
        cells(kind::NODE, &object),
        [
            "n",
            "NotReady,SchedulingDisabled",
            "control-plane,worker",
            "5m",
            "v1.36.0",
            "10.0.0.1",
            "<none>",
            "Debian",
            "<unknown>",
            "<unknown>"
        ]
    );
}

#[test]
fn small_kinds() {
    let secret =
        json!({"metadata": meta("s"), "type": "Opaque", "data": {"a": "eA==", "b": "eA=="}});
    assert_eq!(cells(kind::SECRET, &secret), ["s", "Opaque", "2", "5m"]);
    let map = json!({"metadata": meta("c"), "data": {"a": "x"}, "binaryData": {"b": "eA=="}});
    assert_eq!(cells(kind::CONFIG_MAP, &map), ["c", "2", "5m"]);
    let namespace = json!({"metadata": meta("d"), "status": {"phase": "Active"}});
    assert_eq!(cells(kind::NAMESPACE, &namespace), ["d", "Active", "5m"]);
    assert_eq!(cells(kind::SERVICE_ACCOUNT, &json!({"metadata": meta("d")})), ["d", "5m"]);
    let lease = json!({"metadata": meta("l"), "spec": {"holderIdentity": "n1"}});
    assert_eq!(cells(kind::LEASE, &lease), ["l", "n1", "5m"]);
    let role = json!({"metadata": meta("r")});
    assert_eq!(cells(kind::ROLE, &role), ["r", "2026-01-02T11:55:00Z"]);
    let binding = json!({"metadata": meta("b"), "roleRef": {"kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "User", "name": "u"}, {"kind": "User", "name": "v"},
            {"kind": "ServiceAccount", "name": "a", "namespace": "x"}]});
    assert_eq!(
        cells(kind::ROLE_BINDING, &binding),
        ["b", "ClusterRole/edit", "5m", "u, v", "", "x/a"]
    );
}

#[test]
fn events() {
    let object = json!({"metadata": meta("p.1"), "type": "Normal", "reason": "Started",
        "message": "Started container\n", "involvedObject": {"kind": "Pod", "name": "p",
            "fieldPath": "spec.containers{a}"},
        "source": {"component": "kubelet", "host": "n1"}, "count": 2,
        "firstTimestamp": "2026-01-02T11:00:00Z", "lastTimestamp": "2026-01-02T11:59:50Z"});
    let want = [
        "10s",
        "Normal",
        "Started",
        "pod/p",
        "spec.containers{a}",
        "kubelet, n1",
        "Started container",
        "60m",
        "2",
        "p.1",
    ];
    assert_eq!(cells(kind::EVENT, &object), want);
    let series = json!({"metadata": meta("p.2"), "note": "n", "regarding": {"kind": "Node"},
        "eventTime": "2026-01-02T11:59:00.000000Z", "reportingController": "c"});
    let got = cells(kind::EVENTS_EVENT, &series);
    assert_eq!((got[0].as_str(), got[3].as_str(), got[8].as_str()), ("60s", "node", "1"));
}

#[test]
fn table_documents() {
    let object = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata":
        {"name": "c", "resourceVersion": "7", "creationTimestamp": "2026-01-02T11:55:00Z"}});
    let document: Value =
        serde_json::from_slice(&table(kind::CONFIG_MAP, &object, TableStyle::default(), now()))
            .unwrap();
    assert_eq!(document["apiVersion"], "meta.k8s.io/v1");
    assert_eq!(document["metadata"], json!({"resourceVersion": "7"}));
    assert_eq!(document["columnDefinitions"][0]["format"], "name");
    assert_eq!(document["rows"][0]["cells"], json!(["c", 0, "5m"]));
    assert_eq!(document["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let style =
        TableStyle { include: Include::Object, without_columns: true, ..TableStyle::default() };
    let document: Value =
        serde_json::from_slice(&table(kind::CONFIG_MAP, &object, style, now())).unwrap();
    assert_eq!(document["columnDefinitions"], json!([]));
    assert_eq!(document["rows"][0]["object"], object);
    let bookmark = table_bookmark(kind::CONFIG_MAP, &json!({"resourceVersion": "9"}), style);
    let bookmark: Value = serde_json::from_slice(&bookmark).unwrap();
    assert_eq!(bookmark["rows"][0]["object"]["metadata"]["resourceVersion"], "9");
    let mut list = Vec::new();
    let meta =
        ListMeta { resource_version: "9".into(), continue_token: "t".into(), remaining: Some(2) };
    write_partial_list(&mut list, &meta, std::iter::once(&object), Version::V1Beta1);
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(
        list["metadata"],
        json!({"resourceVersion": "9", "continue": "t", "remainingItemCount": 2})
    );
    assert_eq!(list["items"][0]["metadata"]["name"], "c");
}
