//! What each level forbids, in upstream's words.

use serde_json::json;

use super::*;
use crate::registry::{MemView, Notes};

fn said(labels: Value, kind: &'static Kind, object: Value) -> (Option<String>, Vec<String>) {
    let mut own = json!({});
    for (name, value) in labels.as_object().unwrap() {
        own[format!("pod-security.kubernetes.io/{name}")] = value.clone();
    }
    let view = MemView::new().with(NAMESPACE, json!({"metadata": {"name": "d", "labels": own}}));
    let info = RequestInfo { notes: Notes::open(), ..RequestInfo::default() };
    let mut object = object;
    object["metadata"]["name"] = "p".into();
    object["metadata"]["namespace"] = "d".into();
    let refused = check(&view, &info, kind, None, &object).err().map(|s| s.message.clone());
    (refused, info.notes.take().0)
}

fn detail(level: &str, pod: Value) -> String {
    let (refused, _) = said(json!({"enforce": level}), POD, pod);
    let start = format!("pods \"p\" is forbidden: violates PodSecurity \"{level}:latest\": ");
    refused.map_or_else(String::new, |text| {
        text.strip_prefix(&start).unwrap_or_else(|| panic!("{text}")).to_owned()
    })
}

#[test]
fn an_ordinary_pod_is_not_restricted_enough() {
    let pod = json!({"spec": {"containers": [{"name": "c"}]}});
    assert_eq!(
        detail("restricted", pod.clone()),
        "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
    assert_eq!(detail("baseline", pod.clone()), "");
    assert_eq!(said(json!({}), POD, pod), (None, vec![]));
}

/// A pod the restricted level lets pass, changed by `change`.
fn good(change: &dyn Fn(&mut Value)) -> Value {
    let mut pod = json!({"metadata": {}, "spec": {"securityContext": {"runAsNonRoot": true,
            "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "a", "securityContext": {"allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]}}}]}});
    change(&mut pod);
    pod
}

fn spec(field: &'static str, value: Value) -> Value {
    good(&|pod| pod["spec"][field] = value.clone())
}

fn container(field: &'static str, value: Value) -> Value {
    good(&|pod| pod["spec"]["containers"][0][field] = value.clone())
}

fn context(field: &'static str, value: Value) -> Value {
    good(&|pod| pod["spec"]["containers"][0]["securityContext"][field] = value.clone())
}

#[test]
fn baseline() {
    assert_eq!(detail("restricted", good(&|_| ())), "");
    let sysctls = good(&|pod| {
        pod["spec"]["securityContext"]["sysctls"] =
            json!([{"name": "a"}, {"name": "net.ipv4.tcp_rmem"}, {"name": "b"}]);
    });
    let linux = good(&|pod| {
        pod["spec"]["securityContext"]["seLinuxOptions"] = json!({"type": "foo", "user": "u"});
        pod["spec"]["containers"][0]["securityContext"]["seLinuxOptions"] = json!({"role": "r"});
    });
    let armor = good(&|pod| {
        pod["spec"]["securityContext"]["appArmorProfile"] = json!({"type": "Unconfined"});
        pod["metadata"]["annotations"] =
            json!({"container.apparmor.security.beta.kubernetes.io/a": "unconfined"});
    });
    let host_port =
        json!([{"containerPort": 1, "hostPort": 8080}, {"containerPort": 2, "hostPort": 80}]);
    for (pod, want) in [
        (
            armor,
            "forbidden AppArmor profiles (pod and annotation must not set AppArmor profile type to \"Unconfined\", \"container.apparmor.security.beta.kubernetes.io/a=\"unconfined\"\")",
        ),
        (
            context("capabilities", json!({"add": ["NET_ADMIN", "BPF", "CHOWN"]})),
            "non-default capabilities (container \"a\" must not include \"BPF\", \"NET_ADMIN\" in securityContext.capabilities.add)",
        ),
        (
            good(&|pod| {
                pod["spec"]["hostNetwork"] = true.into();
                pod["spec"]["hostIPC"] = true.into();
            }),
            "host namespaces (hostNetwork=true, hostIPC=true)",
        ),
        (
            spec(
                "volumes",
                json!([{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "hostPath": {"path": "/"}}]),
            ),
            "hostPath volumes (volumes \"v\", \"w\")",
        ),
        (container("ports", host_port), "hostPort (container \"a\" uses hostPorts 80, 8080)"),
        (
            container("livenessProbe", json!({"httpGet": {"port": 1, "host": "h"}})),
            "probe or lifecycle host (container \"a\" uses probe or lifecycle host \"h\")",
        ),
        (
            context("privileged", json!(true)),
            "privileged (container \"a\" must not set securityContext.privileged=true)",
        ),
        (
            context("procMount", json!("Unmasked")),
            "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            linux,
            "seLinuxOptions (pod and container \"a\" set forbidden securityContext.seLinuxOptions: type \"foo\"; user may not be set; role may not be set)",
        ),
        (
            context("seccompProfile", json!({"type": "Unconfined"})),
            "seccompProfile (container \"a\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (sysctls, "forbidden sysctls (a, b)"),
        (
            context("windowsOptions", json!({"hostProcess": true})),
            "hostProcess (container \"a\" must not set securityContext.windowsOptions.hostProcess=true)",
        ),
    ] {
        assert_eq!(detail("baseline", pod), want);
    }
}

#[test]
fn restricted() {
    let both = good(&|pod| {
        pod["spec"]["initContainers"] = pod["spec"]["containers"].clone();
        pod["spec"]["initContainers"][0]["name"] = "i".into();
        for list in ["initContainers", "containers"] {
            pod["spec"][list][0]["securityContext"]["runAsNonRoot"] = false.into();
        }
        pod["spec"]["securityContext"]["runAsNonRoot"] = false.into();
    });
    for (pod, want) in [
        (
            context("capabilities", json!({"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CHOWN"]})),
            "unrestricted capabilities (container \"a\" must not include \"CHOWN\" in securityContext.capabilities.add)",
        ),
        (
            spec(
                "volumes",
                json!([{"name": "v", "hostPath": {"path": "/"}}, {"name": "e", "emptyDir": {}},
                {"name": "n", "nfs": {"server": "s"}}]),
            ),
            "restricted volume types (volumes \"v\", \"n\" use restricted volume types \"hostPath\", \"nfs\")",
        ),
        (
            both,
            "runAsNonRoot != true (pod and containers \"i\", \"a\" must not set securityContext.runAsNonRoot=false)",
        ),
        (context("runAsUser", json!(0)), "runAsUser=0 (container \"a\" must not set runAsUser=0)"),
        (
            context("seccompProfile", json!({"type": "Unconfined"})),
            "seccompProfile (container \"a\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (spec("hostPID", json!(true)), "host namespaces (hostPID=true)"),
    ] {
        assert_eq!(detail("restricted", pod), want);
    }
    let own_users = good(&|pod| {
        pod["spec"]["hostUsers"] = false.into();
        pod["spec"]["securityContext"]["runAsNonRoot"] = false.into();
    });
    assert_eq!(detail("restricted", own_users.clone()), "");
    let old = json!({"enforce": "restricted", "enforce-version": "v1.34"});
    assert!(said(old, POD, own_users).0.unwrap().contains("\"restricted:v1.34\": runAsNonRoot"));
}

#[test]
fn workloads_are_warned_of() {
    let workload =
        json!({"spec": {"template": {"spec": {"hostPID": true, "containers": [{"name": "c"}]}}}});
    let warning =
        "would violate PodSecurity \"baseline:latest\": host namespaces (hostPID=true)".to_owned();
    for labels in [json!({"enforce": "baseline"}), json!({"warn": "baseline"})] {
        let heard = said(labels, DEPLOYMENT, workload.clone());
        assert_eq!(heard, (None, vec![warning.clone()]));
    }
    assert_eq!(said(json!({"audit": "baseline"}), DEPLOYMENT, workload), (None, vec![]));
    let pod = json!({"spec": {"hostPID": true, "containers": [{"name": "c"}]}});
    let heard = said(json!({"enforce": "baseline", "warn": "baseline"}), POD, pod);
    assert_eq!(heard.1, [] as [&str; 0], "refused is enough");
}

#[test]
fn a_stricter_namespace_says_who_violates_it() {
    let mut view = MemView::new();
    for (name, host) in [("b", true), ("a", true), ("c", false)] {
        let mut pod = good(&|pod| pod["spec"]["hostPID"] = host.into());
        pod["metadata"] = json!({"name": name, "namespace": "d"});
        view.put(POD, pod);
    }
    let namespace = |level: &str| json!({"metadata": {"name": "d", "labels": {"pod-security.kubernetes.io/enforce": level}}});
    let change = |from: &str, to: &str| {
        let info = RequestInfo { notes: Notes::open(), ..RequestInfo::default() };
        let old = namespace(from);
        let result = check(&view, &info, NAMESPACE, Some(&old), &namespace(to));
        (result.err().map(|s| s.message.clone()), info.notes.take().0)
    };
    assert_eq!(
        change("privileged", "restricted").1,
        [
            "existing pods in namespace \"d\" violate the new PodSecurity enforce level \"restricted:latest\"",
            "a (and 1 other pod): host namespaces",
        ]
    );
    assert_eq!(change("restricted", "baseline"), (None, vec![]));
    assert_eq!(
        change("baseline", "none").0.unwrap(),
        "Namespace \"d\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"none\": must be one of privileged, baseline, restricted"
    );
    assert_eq!(change("none", "none"), (None, vec![]), "what is there already may stay");
}
