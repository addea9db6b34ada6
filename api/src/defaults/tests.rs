use serde_json::{Value, json};

use crate::kind;

use super::*;
use crate::schema;

fn applied(kind: &Kind, mut object: Value) -> Value {
    schema::check_types(kind, &object).unwrap();
    schema::prune(kind, &mut object);
    apply(kind, &mut object);
    let once = object.clone();
    schema::prune(kind, &mut object);
    apply(kind, &mut object);
    assert_eq!(once, object, "applying twice changes nothing");
    object
}

#[test]
fn pod_spec() {
    let got = applied(
        kind::POD,
        json!({"metadata": {"name": "p"}, "spec": {"hostNetwork": true, "serviceAccount": "sa",
            "containers": [{"name": "c", "image": "busybox", "ports": [{"containerPort": 80}],
                "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "livenessProbe": {"httpGet": {"port": 80}},
                "resources": {"limits": {"cpu": "0.5", "memory": "1024Mi"}}}],
            "volumes": [{"name": "a"}, {"name": "b", "secret": {"secretName": "s"}},
                {"name": "h", "hostPath": {"path": "/x"}},
                {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}}),
    );
    let want = json!({"dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "securityContext": {},
        "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler",
        "serviceAccountName": "sa", "serviceAccount": "sa", "hostNetwork": true,
        "enableServiceLinks": true,
        "containers": [{"name": "c", "image": "busybox", "imagePullPolicy": "Always",
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "ports": [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}],
            "env": [{"name": "A", "valueFrom":
                {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
            "livenessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1,
                "failureThreshold": 3},
            "resources": {"limits": {"cpu": "500m", "memory": "1Gi"},
                "requests": {"cpu": "500m", "memory": "1Gi"}}}],
        "volumes": [{"name": "a", "emptyDir": {}},
            {"name": "b", "secret": {"secretName": "s", "defaultMode": 420}},
            {"name": "h", "hostPath": {"path": "/x", "type": ""}},
            {"name": "t", "projected": {"defaultMode": 420, "sources":
                [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}]}}]});
    assert_eq!(got["spec"], want);
}

#[test]
fn pull_policies() {
    for (image, want) in [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.25", "IfNotPresent"),
        ("localhost:5000/nginx", "Always"),
        ("localhost:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:0123", "IfNotPresent"),
        ("nginx:latest@sha256:0123", "Always"),
    ] {
        let got = applied(
            kind::POD,
            json!({"metadata": {}, "spec": {"containers": [{"name": "c", "image": image}]}}),
        );
        assert_eq!(got["spec"]["containers"][0]["imagePullPolicy"], want, "{image}");
    }
}

#[test]
fn workloads_and_services() {
    let spec = json!({"selector": {}, "template": {"spec": {"containers": []}}});
    let got = applied(kind::DEPLOYMENT, json!({"metadata": {}, "spec": spec}));
    assert_eq!(
        got["spec"]["strategy"],
        json!({"type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
    );
    assert_eq!(got["spec"]["replicas"], 1);
    assert_eq!(got["spec"]["revisionHistoryLimit"], 10);
    assert_eq!(got["spec"]["template"]["spec"]["restartPolicy"], "Always");
    assert!(got["spec"]["template"]["spec"].get("enableServiceLinks").is_none());

    let got = applied(kind::SERVICE, json!({"metadata": {}, "spec": {"ports": [{"port": 80}]}}));
    assert_eq!(
        got["spec"],
        json!({"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
            "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"],
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]})
    );
    let got = applied(
        kind::SERVICE,
        json!({"metadata": {}, "spec": {"type": "NodePort", "sessionAffinity": "ClientIP",
            "ports": [{"port": 80, "targetPort": "http"}]}}),
    );
    assert_eq!(got["spec"]["externalTrafficPolicy"], "Cluster");
    assert_eq!(
        got["spec"]["sessionAffinityConfig"],
        json!({"clientIP": {"timeoutSeconds": 10800}})
    );
    assert_eq!(got["spec"]["ports"][0]["targetPort"], "http");
}

#[test]
fn small_kinds() {
    let got = applied(kind::NAMESPACE, json!({"metadata": {"name": "n"}}));
    assert_eq!(got["metadata"]["labels"]["kubernetes.io/metadata.name"], "n");
    assert_eq!(got["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(got["status"]["phase"], "Active");

    let got = applied(
        kind::SECRET,
        json!({"metadata": {}, "data": {"a": "QQ==", "b": "Qg=="}, "stringData": {"a": "x"}}),
    );
    assert_eq!(got["data"], json!({"a": "eA==", "b": "Qg=="}));
    assert_eq!(got["type"], "Opaque");
    assert!(got.get("stringData").is_none());

    let got = applied(
        kind::ROLE_BINDING,
        json!({"metadata": {}, "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}]}),
    );
    assert_eq!(got["roleRef"]["apiGroup"], RBAC_GROUP);
    assert_eq!(got["subjects"][0]["apiGroup"], RBAC_GROUP);
    assert!(got["subjects"][1].get("apiGroup").is_none());

    let got = applied(
        kind::ENDPOINT_SLICE,
        json!({"metadata": {}, "addressType": "IPv4", "endpoints": [], "ports": [{"port": 1}]}),
    );
    assert_eq!(got["ports"][0], json!({"name": "", "port": 1, "protocol": "TCP"}));
}

#[test]
fn quality_of_service() {
    for (resources, want) in [
        (json!({}), "BestEffort"),
        (json!({"requests": {"cpu": "1"}}), "Burstable"),
        (json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}}), "Guaranteed"),
        (
            json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}),
            "Burstable",
        ),
    ] {
        assert_eq!(qos_class(&json!({"containers": [{"resources": resources}]})), want);
    }
    let mut pod = json!({"metadata": {}, "spec": {}, "status": {"phase": "Running"}});
    initial_status(kind::POD, &mut pod);
    assert_eq!(pod["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
}

#[test]
fn wrong_shapes_do_not_panic() {
    for bad in [
        json!(null),
        json!("x"),
        json!([1]),
        json!({"spec": "x", "metadata": 1}),
        json!({"spec": {"containers": ["x"], "ports": [1], "template": 3, "strategy": "x"}}),
    ] {
        for kind in kind::all() {
            apply(kind, &mut bad.clone());
            initial_status(kind, &mut json!({"spec": bad}));
        }
    }
}

fn defaulted(kind: &Kind, spec: Value) -> Value {
    let mut object = json!({"metadata": {"name": "x", "uid": "u"}, "spec": spec});
    apply(kind, &mut object);
    (kind.prepare)(&mut object);
    initial_status(kind, &mut object);
    let once = object.clone();
    apply(kind, &mut object);
    assert_eq!(object, once, "twice is as once");
    object
}

#[test]
fn controllers_of_pods() {
    let labels = json!({"a": "b"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"restartPolicy": "Never"}});
    let set = defaulted(crate::kind::STATEFUL_SET, json!({"volumeClaimTemplates": [{"spec": {}}]}));
    assert_eq!(
        set["spec"],
        json!({"replicas": 1, "revisionHistoryLimit": 10, "podManagementPolicy": "OrderedReady",
            "updateStrategy": {"type": "RollingUpdate",
                "rollingUpdate": {"partition": 0, "maxUnavailable": 1}},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "volumeClaimTemplates": [{"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}]})
    );
    assert_eq!(set["status"], json!({"replicas": 0, "availableReplicas": 0}));

    let daemons = defaulted(crate::kind::DAEMON_SET, json!({}));
    assert_eq!(
        daemons["spec"]["updateStrategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}})
    );
    let generation = "deprecated.daemonset.template.generation";
    assert_eq!(daemons["metadata"]["annotations"][generation], "1");
    let mut changed = daemons.clone();
    changed["spec"]["template"] = template.clone();
    (crate::kind::DAEMON_SET.prepare_change)(&daemons, &mut changed);
    assert_eq!(changed["metadata"]["annotations"][generation], "2");

    let old = json!({"spec": {"priority": 5, "preemptionPolicy": "Never"}});
    let mut new = json!({"spec": {"preemptionPolicy": "PreemptLowerPriority"}});
    (crate::kind::POD.prepare_change)(&old, &mut new);
    assert_eq!(new["spec"], json!({"priority": 5, "preemptionPolicy": "PreemptLowerPriority"}));

    let controller = defaulted(crate::kind::REPLICATION_CONTROLLER, json!({"template": template}));
    assert_eq!(controller["spec"]["selector"], labels);
    assert_eq!(controller["metadata"]["labels"], labels);

    let job = defaulted(crate::kind::JOB, json!({"template": template}));
    for (field, value) in [
        ("parallelism", json!(1)),
        ("completions", json!(1)),
        ("backoffLimit", json!(6)),
        ("completionMode", json!("NonIndexed")),
        ("podReplacementPolicy", json!("TerminatingOrFailed")),
        ("selector", json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}})),
    ] {
        assert_eq!(job["spec"][field], value, "{field}");
    }
    let labels = &job["spec"]["template"]["metadata"]["labels"];
    assert_eq!(
        labels,
        &json!({"a": "b", "controller-uid": "u", "batch.kubernetes.io/controller-uid": "u",
            "job-name": "x", "batch.kubernetes.io/job-name": "x"})
    );
    assert_eq!(&job["metadata"]["labels"], labels);
    let queue = defaulted(crate::kind::JOB, json!({"parallelism": 3}));
    assert!(queue["spec"].get("completions").is_none());

    let cron =
        defaulted(crate::kind::CRON_JOB, json!({"jobTemplate": {"spec": {"template": template}}}));
    assert_eq!(
        (&cron["spec"]["concurrencyPolicy"], &cron["spec"]["failedJobsHistoryLimit"]),
        (&json!("Allow"), &json!(1))
    );
    assert_eq!(
        cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["dnsPolicy"],
        "ClusterFirst"
    );
}
