//! Normalised objects are readable by typed clients: every kind goes through its k8s-openapi type
//! and back, and loses nothing.

use k8s_openapi::{
    api::{
        apps, authentication, autoscaling, batch, certificates, coordination, core, discovery,
        events, flowcontrol, networking, node, policy, rbac, scheduling, storage,
    },
    serde::{Serialize, de::DeserializeOwned},
};
use kabuki_api::{
    defaults,
    kind::{self, Kind},
    schema,
};
use serde_json::{Value, json};

fn check<T: Serialize + DeserializeOwned>(kind: &Kind, mut object: Value) {
    object["metadata"] = json!({"name": "x", "namespace": "n", "uid": "u",
        "creationTimestamp": "2024-01-01T00:00:00Z", "labels": {"a": "b"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "q", "controller": true}]});
    schema::check_types(kind, &object).unwrap();
    assert_eq!(schema::unknown_fields(kind, &object), [] as [&str; 0], "{}", kind.kind);
    schema::prune(kind, &mut object);
    defaults::apply(kind, &mut object);
    schema::check_types(kind, &object).unwrap();
    assert_eq!(schema::unknown_fields(kind, &object), [] as [&str; 0], "{} defaults", kind.kind);
    let typed: T = serde_json::from_value(object.clone()).unwrap();
    let mut back = serde_json::to_value(typed).unwrap();
    schema::prune(kind, &mut back);
    assert_eq!(back, object, "{}", kind.kind);
}

fn template() -> Value {
    json!({"metadata": {"labels": {"a": "b"}}, "spec": {"hostNetwork": true,
        "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}],
            "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            "resources": {"limits": {"cpu": "0.5"}},
            "livenessProbe": {"grpc": {"port": 1}},
            "lifecycle": {"preStop": {"httpGet": {"port": "x"}}}}],
        "volumes": [{"name": "a"}, {"name": "b", "configMap": {"name": "m", "items":
            [{"key": "k", "path": "p", "mode": 256}]}},
            {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
            [{"weight": 1, "preference": {"matchExpressions": [{"key": "k", "operator": "Exists"}]}}]}},
        "tolerations": [{"operator": "Exists", "tolerationSeconds": 0, "effect": "NoExecute"}]}})
}

#[test]
fn workloads() {
    let pod = json!({"spec": template()["spec"], "status": {"phase": "Running", "containerStatuses":
        [{"name": "c", "state": {"running": {"startedAt": "2024-01-01T00:00:00Z"}}}]}});
    check::<core::v1::Pod>(kind::POD, pod);
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template()});
    check::<apps::v1::Deployment>(
        kind::DEPLOYMENT,
        json!({"spec": spec, "status": {"replicas": 1}}),
    );
    check::<apps::v1::ReplicaSet>(kind::REPLICA_SET, json!({"spec": spec, "status": {}}));
    check::<apps::v1::DaemonSet>(kind::DAEMON_SET, json!({"spec": spec, "status": {}}));
    let mut set = spec.clone();
    set["volumeClaimTemplates"] = json!([{"metadata": {"name": "v"}, "spec": claim()}]);
    check::<apps::v1::StatefulSet>(kind::STATEFUL_SET, json!({"spec": set, "status": {}}));
    check::<apps::v1::ControllerRevision>(
        kind::CONTROLLER_REVISION,
        json!({"data": {"any": [1, {"thing": null}]}, "revision": 0}),
    );
    check::<core::v1::ReplicationController>(
        kind::REPLICATION_CONTROLLER,
        json!({"spec": {"template": template()}, "status": {}}),
    );
    check::<core::v1::PodTemplate>(kind::POD_TEMPLATE, json!({"template": template()}));
    let job = json!({"template": template(), "parallelism": 0, "suspend": true, "podFailurePolicy":
        {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}});
    check::<batch::v1::Job>(
        kind::JOB,
        json!({"spec": job, "status": {"ready": 0, "uncountedTerminatedPods": {"failed": ["u"]}}}),
    );
    check::<batch::v1::CronJob>(
        kind::CRON_JOB,
        json!({"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": job}},
            "status": {"active": [{"name": "j"}]}}),
    );
}

fn claim() -> Value {
    json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "", "selector": {"matchLabels": {"a": "b"}}})
}

#[test]
fn kinds_of_networking_and_scaling() {
    check::<networking::v1::Ingress>(
        kind::INGRESS,
        json!({"spec": {"rules": [{"host": "h", "http": {"paths": [{"path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}]}, "status":
            {"loadBalancer": {"ingress": [{"ip": "1.2.3.4", "ports": [{"port": 80, "protocol": "TCP"}]}]}}}),
    );
    check::<networking::v1::IngressClass>(
        kind::INGRESS_CLASS,
        json!({"spec": {"controller": "a/b", "parameters": {"kind": "K", "name": "n"}}}),
    );
    check::<networking::v1::NetworkPolicy>(
        kind::NETWORK_POLICY,
        json!({"spec": {"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
            "ports": [{"port": "http"}, {"port": 1, "endPort": 2}]}]}}),
    );
    check::<policy::v1::PodDisruptionBudget>(
        kind::POD_DISRUPTION_BUDGET,
        json!({"spec": {"minAvailable": 0, "maxUnavailable": "5%", "selector": {}}, "status":
            {"disruptedPods": {"p": "2024-01-01T00:00:00Z"}}}),
    );
    let target = json!({"kind": "Deployment", "name": "d"});
    check::<autoscaling::v1::HorizontalPodAutoscaler>(
        kind::HORIZONTAL_POD_AUTOSCALER_V1,
        json!({"spec": {"scaleTargetRef": target, "maxReplicas": 2}, "status": {"currentReplicas": 0}}),
    );
    check::<autoscaling::v2::HorizontalPodAutoscaler>(
        kind::HORIZONTAL_POD_AUTOSCALER,
        json!({"spec": {"scaleTargetRef": target, "maxReplicas": 2,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}},
            "status": {"desiredReplicas": 0, "conditions": []}}),
    );
    check::<node::v1::RuntimeClass>(
        kind::RUNTIME_CLASS,
        json!({"handler": "h", "overhead": {"podFixed": {"cpu": "0.25"}}}),
    );
    check::<flowcontrol::v1::FlowSchema>(
        kind::FLOW_SCHEMA,
        json!({"spec": {"priorityLevelConfiguration": {"name": "p"}}, "status": {}}),
    );
    check::<flowcontrol::v1::PriorityLevelConfiguration>(
        kind::PRIORITY_LEVEL_CONFIGURATION,
        json!({"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue",
            "queuing": {"queues": 1}}}}}),
    );
}

#[test]
fn storage_kinds() {
    check::<core::v1::LimitRange>(
        kind::LIMIT_RANGE,
        json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "2", "memory": "1Gi"}}]}}),
    );
    check::<core::v1::ResourceQuota>(
        kind::RESOURCE_QUOTA,
        json!({"spec": {"hard": {"pods": "2"}, "scopes": ["NotBestEffort"], "scopeSelector":
            {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["x"]}]}},
            "status": {"hard": {"pods": "2"}, "used": {"pods": "0"}}}),
    );
    check::<storage::v1::StorageClass>(
        kind::STORAGE_CLASS,
        json!({"provisioner": "p", "allowVolumeExpansion": false, "allowedTopologies":
            [{"matchLabelExpressions": [{"key": "k", "values": ["v"]}]}]}),
    );
    check::<storage::v1::CSIDriver>(kind::CSI_DRIVER, json!({"spec": {"attachRequired": false}}));
    check::<storage::v1::CSINode>(
        kind::CSI_NODE,
        json!({"spec": {"drivers": [{"name": "d", "nodeID": "n", "allocatable": {"count": 0}}]}}),
    );
    check::<storage::v1::CSIStorageCapacity>(
        kind::CSI_STORAGE_CAPACITY,
        json!({"storageClassName": "c", "capacity": "1024Mi", "nodeTopology": {}}),
    );
    check::<storage::v1::VolumeAttachment>(
        kind::VOLUME_ATTACHMENT,
        json!({"spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "v"}},
            "status": {"attached": false}}),
    );
    check::<storage::v1::VolumeAttributesClass>(
        kind::VOLUME_ATTRIBUTES_CLASS,
        json!({"driverName": "d", "parameters": {"a": "b"}}),
    );
    check::<core::v1::PersistentVolumeClaim>(
        kind::PERSISTENT_VOLUME_CLAIM,
        json!({"spec": claim(), "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}),
    );
    for source in [
        json!({"hostPath": {"path": "/x"}}),
        json!({"nfs": {"server": "s", "path": "/p", "readOnly": true}}),
        json!({"csi": {"driver": "d", "volumeHandle": "h", "volumeAttributes": {"a": "b"},
            "nodeStageSecretRef": {"name": "s"}}}),
        json!({"local": {"path": "/d"}, "nodeAffinity": {"required": {"nodeSelectorTerms":
            [{"matchExpressions": [{"key": "k", "operator": "Exists"}]}]}}}),
    ] {
        let mut spec = source;
        spec["capacity"] = json!({"storage": "1024Mi"});
        spec["claimRef"] = json!({"kind": "PersistentVolumeClaim", "name": "c"});
        check::<core::v1::PersistentVolume>(
            kind::PERSISTENT_VOLUME,
            json!({"spec": spec, "status": {"phase": "Available"}}),
        );
    }
}

#[test]
fn cluster_kinds() {
    check::<core::v1::Namespace>(kind::NAMESPACE, json!({}));
    check::<core::v1::Node>(
        kind::NODE,
        json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}, "status":
            {"capacity": {"cpu": "2"}, "nodeInfo": {"kernelVersion": "6"}}}),
    );
    let role = json!({"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]});
    check::<rbac::v1::Role>(kind::ROLE, role.clone());
    check::<rbac::v1::ClusterRole>(kind::CLUSTER_ROLE, role);
    let binding = json!({"roleRef": {"kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "User", "name": "u"}]});
    check::<rbac::v1::RoleBinding>(kind::ROLE_BINDING, binding.clone());
    check::<rbac::v1::ClusterRoleBinding>(kind::CLUSTER_ROLE_BINDING, binding);
    check::<scheduling::v1::PriorityClass>(kind::PRIORITY_CLASS, json!({"value": 0}));
    check::<certificates::v1::CertificateSigningRequest>(
        kind::CERTIFICATE_SIGNING_REQUEST,
        json!({"spec": {"request": "QQ==", "signerName": "a.b/c", "extra": {"k": ["v"]}},
            "status": {"certificate": "QQ=="}}),
    );
    check::<authentication::v1::TokenReview>(kind::TOKEN_REVIEW, json!({"spec": {"token": "t"}}));
}

#[test]
fn namespaced_kinds() {
    check::<core::v1::Service>(
        kind::SERVICE,
        json!({"spec": {"ports": [{"port": 80}], "type": "LoadBalancer"}, "status": {"loadBalancer": {}}}),
    );
    check::<core::v1::Endpoints>(
        kind::ENDPOINTS,
        json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}]}),
    );
    check::<discovery::v1::EndpointSlice>(
        kind::ENDPOINT_SLICE,
        json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"],
            "conditions": {"ready": false}}], "ports": [{"port": 1}]}),
    );
    check::<core::v1::ConfigMap>(kind::CONFIG_MAP, json!({"data": {"a": ""}, "immutable": false}));
    check::<core::v1::Secret>(kind::SECRET, json!({"data": {"a": "QQ=="}}));
    check::<core::v1::ServiceAccount>(kind::SERVICE_ACCOUNT, json!({"secrets": [{"name": "s"}]}));
    check::<core::v1::Event>(
        kind::EVENT,
        json!({"involvedObject": {"kind": "Pod"}, "eventTime": "2024-01-01T00:00:00.5Z", "message": "m"}),
    );
    check::<events::v1::Event>(
        kind::EVENTS_EVENT,
        json!({"regarding": {"kind": "Pod"}, "eventTime": "2024-01-01T00:00:00.000001Z", "note": "m"}),
    );
    check::<coordination::v1::Lease>(
        kind::LEASE,
        json!({"spec": {"holderIdentity": "", "renewTime": "2024-01-01T00:00:00Z"}}),
    );
}
