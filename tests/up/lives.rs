//! How containers begin, fail, are probed, and end.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    stage::{STEP, Stage, condition},
    support::eventually,
};

const RESTARTS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: always}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: localhost/busybox:1, imagePullPolicy: IfNotPresent, command: [sh, -c, echo crashed; exit 3]}
---
apiVersion: v1
kind: Pod
metadata: {name: on-failure}
spec:
  restartPolicy: OnFailure
  containers:
  - name: c
    image: localhost/busybox:1
    imagePullPolicy: IfNotPresent
    command: [sh, -c, 'test -f /d/once || { touch /d/once; exit 1; }']
    volumeMounts: [{name: d, mountPath: /d}]
  volumes: [{name: d, emptyDir: {}}]
---
apiVersion: v1
kind: Pod
metadata: {name: never}
spec:
  restartPolicy: Never
  containers:
  - {name: c, image: localhost/busybox:1, imagePullPolicy: IfNotPresent, command: [sh, -c, exit 3]}
---
apiVersion: v1
kind: Pod
metadata: {name: missing}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: 'localhost/none:1', imagePullPolicy: IfNotPresent}
---
apiVersion: v1
kind: Pod
metadata: {name: steady}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: localhost/busybox:1, imagePullPolicy: IfNotPresent, command: [sleep, '1000']}
";

const INIT: &str = "
apiVersion: v1
kind: Pod
metadata: {name: init}
spec:
  restartPolicy: Never
  initContainers:
  - {name: a, image: localhost/busybox:1, imagePullPolicy: IfNotPresent, command: [sh, -c, echo a >> /d/f], volumeMounts: [{name: d, mountPath: /d}]}
  - {name: b, image: localhost/busybox:1, imagePullPolicy: IfNotPresent, command: [sh, -c, echo b >> /d/f], volumeMounts: [{name: d, mountPath: /d}]}
  containers:
  - {name: c, image: localhost/busybox:1, imagePullPolicy: IfNotPresent, command: [cat, /d/f], volumeMounts: [{name: d, mountPath: /d}]}
  volumes: [{name: d, emptyDir: {}}]
---
apiVersion: v1
kind: Pod
metadata: {name: init-fails}
spec:
  restartPolicy: Never
  initContainers:
  - {name: a, image: localhost/busybox:1, imagePullPolicy: IfNotPresent, command: [sh, -c, exit 4]}
  containers:
  - {name: c, image: localhost/busybox:1, imagePullPolicy: IfNotPresent, command: [echo, never]}
";

/// PROBES: three servers whose readiness or liveness hangs on files of the host.
const PROBED: &str = "
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: NAME}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: localhost/busybox:1
    imagePullPolicy: IfNotPresent
    command: [httpd, -f, -p, '8080', -h, /host/www]
    volumeMounts: [{name: host, mountPath: /host}]
    PROBE
  volumes: [{name: host, hostPath: {path: DIR}}]
";

const PROBES: [(&str, &str); 6] = [
    (
        "ready-exec",
        "readinessProbe: {exec: {command: [cat, /host/ready]}, periodSeconds: 1, failureThreshold: 1}",
    ),
    (
        "ready-http",
        "readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 1, failureThreshold: 1}",
    ),
    ("ready-tcp", "readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}"),
    (
        "live-exec",
        "livenessProbe: {exec: {command: [cat, /host/alive]}, periodSeconds: 1, failureThreshold: 3}",
    ),
    (
        "live-http",
        "livenessProbe: {httpGet: {path: /alive, port: 8080}, periodSeconds: 1, failureThreshold: 3}",
    ),
    ("live-tcp", "livenessProbe: {tcpSocket: {port: 9}, periodSeconds: 1, failureThreshold: 2}"),
];

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: probed}
spec: {selector: {app: ready-exec}, ports: [{port: 80, targetPort: 8080}]}
";

const ENDINGS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: polite}
spec:
  terminationGracePeriodSeconds: 20
  containers:
  - name: c
    image: localhost/busybox:1
    imagePullPolicy: IfNotPresent
    command: [sh, -c, 'trap \"sleep 1; echo last words > /host/last; exit 0\" TERM; echo up; while true; do sleep 0.1; done']
    volumeMounts: [{name: host, mountPath: /host}]
  volumes: [{name: host, hostPath: {path: DIR}}]
---
apiVersion: v1
kind: Pod
metadata: {name: deaf}
spec:
  terminationGracePeriodSeconds: 60
  containers:
  - {name: c, image: localhost/busybox:1, imagePullPolicy: IfNotPresent, command: [sh, -c, 'trap \"\" TERM; echo up; while true; do sleep 0.1; done']}
---
apiVersion: v1
kind: Pod
metadata: {name: doomed}
spec:
  terminationGracePeriodSeconds: 60
  containers:
  - {name: c, image: localhost/busybox:1, imagePullPolicy: IfNotPresent, command: [sh, -c, 'trap \"\" TERM; echo up; while true; do sleep 0.1; done']}
";

/// Creates the pods.
pub fn create(stage: &Stage, dir: &Path) {
    for file in ["ready", "alive", "www/ready", "www/alive"] {
        std::fs::write(dir.join(file), "ok").expect("file");
    }
    let place = dir.display().to_string();
    stage.create(RESTARTS);
    stage.create(INIT);
    stage.create(SERVICE);
    for (name, probe) in PROBES {
        let pod = PROBED.replace("NAME", name).replace("PROBE", probe).replace("DIR", &place);
        stage.create(&pod);
    }
    stage.create(&ENDINGS.replace("DIR", &place));
}

fn container(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}

fn restarted(pod: &Value) -> bool {
    container(pod)["restartCount"].as_u64().is_some_and(|n| n > 0)
}

/// Init containers run one after the other, before the others; a failed one ends the pod.
pub fn init_containers(stage: &Stage) {
    stage.pod_phase("init", "Succeeded");
    assert_eq!(stage.log_until("init", "b"), "a\nb\n");
    let pod = stage.pod_phase("init-fails", "Failed");
    assert_eq!(pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 4);
    assert!(container(&pod)["state"]["running"].is_null(), "{pod}");
}

/// Failing readiness takes the pod out of its service; failing liveness restarts the container.
pub fn probes(stage: &Stage, dir: &Path) {
    for name in ["ready-exec", "ready-http", "ready-tcp"] {
        stage.pod_until("ready", name, |pod| condition(pod, "Ready"));
    }
    endpoint_is(stage, true);
    std::fs::remove_file(dir.join("ready")).expect("file");
    std::fs::remove_file(dir.join("www/ready")).expect("file");
    for name in ["ready-exec", "ready-http"] {
        let pod = stage.pod_until("not ready", name, |pod| !condition(pod, "Ready"));
        assert!(!restarted(&pod), "{pod}");
    }
    endpoint_is(stage, false);
    std::fs::write(dir.join("ready"), "ok").expect("file");
    endpoint_is(stage, true);

    for name in ["live-exec", "live-http"] {
        let pod = stage.pod_phase(name, "Running");
        assert!(!restarted(&pod), "{pod}");
    }
    std::fs::remove_file(dir.join("alive")).expect("file");
    std::fs::remove_file(dir.join("www/alive")).expect("file");
    for name in ["live-exec", "live-http", "live-tcp"] {
        stage.pod_until("restarted", name, restarted);
    }
    std::fs::write(dir.join("alive"), "ok").expect("file");
    std::fs::write(dir.join("www/alive"), "ok").expect("file");
    let events = stage.get("/api/v1/namespaces/default/events").expect("events").to_string();
    assert!(events.contains("Unhealthy") && events.contains("Killing"), "{events}");
}

fn endpoint_is(stage: &Stage, ready: bool) {
    let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices\
                ?labelSelector=kubernetes.io%2Fservice-name%3Dprobed";
    eventually(&format!("the endpoint's ready is {ready}"), STEP, || {
        let slices = stage.get(path)?;
        let now = &slices["items"][0]["endpoints"][0]["conditions"]["ready"];
        if *now == Value::Bool(ready) { Ok(()) } else { Err(slices.to_string()) }
    });
}

/// An image that cannot be had is tried again and again, and both states are shown.
pub fn missing_image(stage: &Stage) {
    let pod = stage.pod_until("back-off", "missing", |pod| {
        container(pod)["state"]["waiting"]["reason"] == "ImagePullBackOff"
    });
    assert_eq!(pod["status"]["phase"], "Pending");
    stage.pod_until("pull fails", "missing", |pod| {
        container(pod)["state"]["waiting"]["reason"] == "ErrImagePull"
    });
}

/// Each restart policy, and the back-off of a container that keeps crashing.
pub fn restarts(stage: &Stage) {
    let pod = stage.pod_until("crash loop", "always", |pod| {
        restarted(pod) && container(pod)["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    assert_eq!(container(&pod)["lastState"]["terminated"]["exitCode"], 3, "{pod}");
    assert_eq!(pod["status"]["phase"], "Running");
    let previous = "/api/v1/namespaces/default/pods/always/log?previous=true";
    assert_eq!(stage.call("GET", previous, "application/json", ""), Ok("crashed\n".to_owned()));
    let pod = stage.pod_phase("on-failure", "Succeeded");
    assert_eq!(container(&pod)["restartCount"], 1, "{pod}");
    let pod = stage.pod_phase("never", "Failed");
    assert_eq!(container(&pod)["restartCount"], 0, "{pod}");
    assert_eq!(container(&pod)["state"]["terminated"]["exitCode"], 3, "{pod}");
}

/// A container may finish within its grace; one that will not is killed after it, or at once.
pub fn ends(stage: &Stage) {
    for name in ["polite", "deaf", "doomed"] {
        stage.log_until(name, "up");
    }
    let begin = Instant::now();
    stage.delete_pod("polite", 20);
    stage.delete_pod("deaf", 1);
    stage.delete_pod("doomed", 0);
    let gone = |name: &str| {
        eventually(&format!("pod {name} is gone"), STEP, || match stage.pod(name) {
            Err(error) if error.contains("not found") => Ok(begin.elapsed().as_millis()),
            other => Err(format!("{other:?}")),
        })
    };
    assert!(gone("doomed") < 1_000, "grace 0 waited");
    let deaf = gone("deaf");
    assert!((1_000..6_000).contains(&deaf), "grace 1 took {deaf} ms");
    let polite = gone("polite");
    assert!((1_000..10_000).contains(&polite), "a polite end took {polite} ms");
    let dir = stage.cluster.dir.path().join("shared");
    let last = std::fs::read_to_string(dir.join("last")).expect("last words");
    assert_eq!(last, "last words\n");
}

/// Pods whose containers are meant to keep running.
const STEADY: [&str; 6] =
    ["steady", "limited", "ready-exec", "ready-tcp", "live-exec", "live-http"];

/// kill -9 of the daemon: the next one adopts what runs, and still ends it when told.
pub fn outlive_the_daemon(stage: &mut Stage) {
    let runs = |stage: &Stage| {
        STEADY.map(|name| {
            let pod = stage.pod_until("ready", name, |pod| condition(pod, "Ready"));
            format!("{name} {} {}", container(&pod)["containerID"], container(&pod)["restartCount"])
        })
    };
    let before = runs(stage);
    let machine = &mut stage.cluster.members[0];
    machine.process.kill();
    std::thread::sleep(Duration::from_millis(500));
    machine.restart();
    machine.wait_ready();
    // A pod made afterwards runs, so the node has looked at its pods again.
    stage.create(
        "{apiVersion: v1, kind: Pod, metadata: {name: later}, spec: {terminationGracePeriodSeconds: 0, \
         containers: [{name: c, image: localhost/busybox:1, imagePullPolicy: IfNotPresent, \
         command: [sleep, '1000']}]}}",
    );
    stage.pod_phase("later", "Running");
    // Liveness that was lost would show after three periods.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(before, runs(stage));
    stage.delete_pod("steady", 0);
    eventually("the adopted pod is gone", STEP, || match stage.pod("steady") {
        Err(error) if error.contains("not found") => Ok(()),
        other => Err(format!("{other:?}")),
    });
}
