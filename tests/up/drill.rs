//! Every actor of the process panics in turn.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    stage::{STEP, Stage, condition},
    support::eventually,
};

/// What is looked at of an actor: how often it was made anew, by itself or with its supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    restarts: u64,
    incarnation: Value,
}

/// A long-lived pod, so that there are pod workers and endpoints to panic, and a server behind a name.
const CAST: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: 2
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: localhost/nginx:1
        imagePullPolicy: IfNotPresent
        ports: [{containerPort: 80}]
        readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
        volumeMounts: [{name: page, mountPath: /usr/share/nginx/html}]
      volumes:
      - name: page
        configMap: {name: NAME}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: NAME}
data: {index.html: page of NAME}
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec:
  selector: {app: NAME}
  ports: [{port: 80}]
";

/// Reads the page by the service's name until it gets it.
const READER: &str = "
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: localhost/busybox:1
    imagePullPolicy: IfNotPresent
    command: [sh, -c, 'until timeout 2 wget -q -O - http://after.default.svc.cluster.local/; do sleep 0.5; done']
";

/// Makes every actor panic and waits until the tree shows its restart.
pub fn panic_all(stage: &Stage) {
    stage.create(&CAST.replace("NAME", "before"));
    available(stage, "before");
    let cast = actors(stage);
    assert!(cast.len() >= 15, "{cast:?}");
    for word in
        ["kubelet/pods/default/before-", "/deployment", "/scheduler", "network/services", "/dns"]
    {
        assert!(cast.keys().any(|p| p.contains(word)), "no {word} in {cast:?}");
    }
    // Pods on their way up while everything around them panics.
    stage.create(&CAST.replace("NAME", "during"));
    for path in cast.keys() {
        panic_one(stage, path);
    }
    eprintln!("{} actors panicked", cast.len());
}

/// An actor whose supervisor panicked before it may be away for a moment; all come back.
fn panic_one(stage: &Stage, path: &str) {
    let url = format!("/debug/actors{path}/panic");
    let before = eventually(&format!("{path} is ordered to panic"), STEP, || {
        let before = actors(stage).remove(path).ok_or("it is not in the tree")?;
        stage.call("POST", &url, "application/json", "{}").map(|_| before)
    });
    eventually(&format!("{path} was restarted"), STEP, || match actors(stage).get(path) {
        Some(now) if *now != before => Ok(()),
        now => Err(format!("{now:?}")),
    });
}

fn actors(stage: &Stage) -> BTreeMap<String, Seen> {
    let tree = eventually("the tree is shown", STEP, || stage.get("/debug/actors"));
    let mut found = BTreeMap::new();
    collect(&tree, &mut found);
    found
}

fn collect(value: &Value, found: &mut BTreeMap<String, Seen>) {
    if let Some(incarnation) = value.get("incarnation")
        && let Some(path) = value["path"].as_str()
    {
        let restarts = value["restarts"].as_u64().expect("restarts");
        found.insert(path.to_owned(), Seen { restarts, incarnation: incarnation.clone() });
    }
    match value {
        Value::Object(map) => map.values().for_each(|v| collect(v, found)),
        Value::Array(items) => items.iter().for_each(|v| collect(v, found)),
        _ => {}
    }
}

fn available(stage: &Stage, name: &str) {
    let path = format!("/apis/apps/v1/namespaces/default/deployments/{name}");
    eventually(&format!("{name} is available"), STEP, || {
        let deployment = stage.get(&path)?;
        let all = deployment["status"]["availableReplicas"] == 2;
        if all && condition(&deployment, "Available") {
            Ok(())
        } else {
            Err(deployment["status"].to_string())
        }
    });
}

/// A new Deployment becomes available and answers by its service's name; no container restarted.
pub fn serves_afterwards(stage: &Stage) {
    stage.create(&CAST.replace("NAME", "after"));
    stage.create(READER);
    for name in ["before", "during", "after"] {
        available(stage, name);
    }
    stage.log_until("reader", "page of after");
    stage.pod_phase("reader", "Succeeded");
    no_container_restarted(stage);
}

fn no_container_restarted(stage: &Stage) {
    let pods = stage.get("/api/v1/namespaces/default/pods").expect("pods");
    for pod in pods["items"].as_array().expect("items") {
        let status = &pod["status"]["containerStatuses"][0];
        assert_eq!(status["restartCount"], 0, "{}: {status}", pod["metadata"]["name"]);
    }
}

/// `kabuki actors` shows the tree, the busiest, and one actor with its panic.
pub fn commands(stage: &Stage) {
    let tree = stage.kabuki(&["actors", "tree"], false);
    for words in ["control-plane", "deployment", "kubelet"] {
        assert!(tree.contains(words), "no {words} in\n{tree}");
    }
    let top = stage.kabuki(&["actors", "top"], true);
    assert!(top.lines().count() > 10, "{top}");
    let path = actors(stage).into_keys().find(|p| p.ends_with("/deployment")).expect("path");
    let shown = stage.kabuki(&["actors", "show", &path], false);
    assert!(shown.contains("panic injected through /debug/actors"), "{shown}");
    assert!(shown.contains("state:"), "{shown}");
}

/// How long the storm lasts.
const STORM: Duration = Duration::from_secs(5);

/// Every actor panics again and again: back-off slows them down, the process lives on, and once the
/// storm is over everybody is back and nothing was lost.
pub fn storm(stage: &mut Stage) {
    let cast = actors(stage);
    let end = Instant::now() + STORM;
    while Instant::now() < end {
        for path in cast.keys() {
            // Some are away just now: that is part of a storm.
            let _ = stage.call("POST", &format!("/debug/actors{path}/panic"), "", "{}");
        }
    }
    assert!(stage.cluster.members[0].process.is_running(), "a crash loop must not end the process");
    eventually("everybody is back", STEP * 2, || {
        // An order ends the back-off: nobody need wait half a minute.
        let away: Vec<String> = actors(stage)
            .keys()
            .filter(|path| {
                let state = stage.get(&format!("/debug/actors{path}"));
                state.is_ok_and(|actor| actor["state"] == "backingOff")
            })
            .cloned()
            .collect();
        for path in &away {
            let _ = stage.call("POST", &format!("/debug/actors{path}/restart"), "", "{}");
        }
        if away.is_empty() { Ok(()) } else { Err(format!("{away:?}")) }
    });
    eventually("the node is Ready again", STEP, || {
        let node = stage.get("/api/v1/nodes/u")?;
        if condition(&node, "Ready") { Ok(()) } else { Err(node["status"].to_string()) }
    });
    let path = "/api/v1/namespaces/default/pods/reader?gracePeriodSeconds=0";
    stage.call("DELETE", path, "application/json", "").expect("delete");
    eventually("the old reader is gone", STEP, || match stage.pod("reader") {
        Err(_) => Ok(()),
        Ok(pod) => Err(pod["status"].to_string()),
    });
    stage.create(READER);
    stage.log_until("reader", "page of after");
    no_container_restarted(stage);
}
