//! kubectl's verbs, and curl, on running pods.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use base64::Engine;

use crate::{
    stage::{STEP, Stage},
    support::{eventually, kubectl::Kubectl, process::run},
};

const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: localhost/busybox:1
        imagePullPolicy: IfNotPresent
        command: [/bin/sh, -c, 'trap exit TERM; echo $WORD; while true; do sleep 0.1; done']
        env: [{name: WORD, value: first}]
";

/// A kubectl and the namespace it works in.
struct User<'a> {
    kubectl: Kubectl,
    namespace: &'a str,
}

impl User<'_> {
    fn ok(&self, line: &str) -> String {
        self.kubectl.ok(&format!("-n {} {line}", self.namespace))
    }

    fn apply(&self, manifest: &str) -> String {
        let line = format!("-n {} apply -f -", self.namespace);
        self.kubectl.pipe(&line, manifest).unwrap_or_else(|e| panic!("apply: {e}"))
    }

    fn command(&self, line: &str) -> Command {
        let mut words = vec!["-n", self.namespace];
        words.extend(line.split_whitespace());
        self.kubectl.command(&words)
    }

    fn has(&self, line: &str, words: &[&str]) {
        let text = self.ok(line);
        for word in words {
            assert!(text.contains(word), "{line}: no {word:?} in\n{text}");
        }
    }
}

/// Everything, in a namespace of its own.
pub fn everything(stage: &Stage, program: &Path, namespace: &str) {
    let kubectl = stage.cluster.kubectl(program, 0);
    let user = User { kubectl, namespace };
    user.kubectl.ok(&format!("create namespace {namespace}"));
    user.has("version -o json", &["serverVersion", "kabuki"]);
    user.has("api-resources", &["deployments", "pods", "endpointslices"]);
    deployment(&user);
    changes(&user);
    rollouts(&user);
    logs(&user);
    deletion(&user);
}

fn deployment(user: &User) {
    let mut watch = user
        .command("get pods -w --no-headers")
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl get -w");
    assert!(user.apply(WEB).contains("deployment.apps/web created"));
    assert!(user.apply(WEB).contains("unchanged"));
    user.ok("rollout status deployment/web --timeout=30s");
    user.ok("wait --for=condition=Available deployment/web --timeout=30s");
    user.ok("wait --for=condition=Ready pod -l app=web --timeout=30s");
    let lines = BufReader::new(watch.stdout.take().expect("output")).lines();
    let running = lines.map_while(Result::ok).find(|l| l.contains("1/1") && l.contains("Running"));
    assert!(running.is_some(), "get -w ended without showing a running pod");
    watch.kill().expect("kill");
    watch.wait().expect("wait");
    user.has("get pods -o wide", &["1/1", "Running", "10.244.0.", "NODE"]);
    user.has("get deployment web -o yaml", &["availableReplicas: 2", "image: localhost/busybox:1"]);
    user.has("get deployment web -o json", &["\"availableReplicas\": 2"]);
    user.has("get all", &["deployment.apps/web", "replicaset.apps/web-", "pod/web-", "2/2"]);
    user.has("describe deployment web", &["2 available", "NewReplicaSet", "ScalingReplicaSet"]);
    let pod = user.ok("get pods -l app=web -o jsonpath={.items[0].metadata.name}");
    user.has(
        &format!("describe pod {pod}"),
        &["Running", "Successfully assigned", "Started", "QoS Class", "WORD", "first"],
    );
    user.has("get events", &["Scheduled", "Started", "ScalingReplicaSet"]);
    user.has(&format!("logs {pod}"), &["first"]);
}

fn changes(user: &User) {
    user.ok("scale deployment web --replicas=3");
    user.ok("wait --for=jsonpath={.status.readyReplicas}=3 deployment/web --timeout=30s");
    user.ok("label deployment web tier=front");
    user.has("get deployment -l tier=front -o name", &["deployment.apps/web"]);
    user.ok("patch deployment web -p {\"spec\":{\"replicas\":1}}");
    user.ok("wait --for=jsonpath={.status.replicas}=1 deployment/web --timeout=30s");
    user.ok("create configmap c --from-literal=word=one");
    user.has("patch cm c --type=merge -p {\"data\":{\"more\":\"x\"}}", &["patched"]);
    let json = r#"[{"op":"replace","path":"/data/word","value":"two"}]"#;
    user.has(&format!("patch cm c --type=json -p {json}"), &["patched"]);
    let mut edit = user.command("edit cm c");
    let edited = run(edit.env("KUBE_EDITOR", "sed -i s/two/three/")).expect("edit");
    assert!(edited.contains("edited"), "{edited}");
    assert_eq!(user.ok("get cm c -o jsonpath={.data}"), r#"{"more":"x","word":"three"}"#);
    // The strategic patch merges the container list by name.
    let env = r#"{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"MORE","value":"yes"}]}]}}}}"#;
    user.ok(&format!("patch deployment web -p {env}"));
    user.ok("rollout status deployment/web --timeout=30s");
    let shown =
        user.ok("get deployment web -o jsonpath={.spec.template.spec.containers[0].env[*].name}");
    assert!(shown.contains("WORD") && shown.contains("MORE"), "{shown}");
}

fn rollouts(user: &User) {
    // A pod of the old revision may go between kubectl's list and its logs.
    let said = || user.kubectl.run(&format!("-n {} logs -l app=web --tail=1", user.namespace));
    let configured = user.apply(&WEB.replace("value: first", "value: second"));
    assert!(configured.contains("configured"), "{configured}");
    user.ok("rollout status deployment/web --timeout=30s");
    eventually("only the second revision is left", STEP, || {
        let text = said()?;
        if text.lines().all(|l| l == "second") && !text.is_empty() { Ok(()) } else { Err(text) }
    });
    user.has("rollout history deployment/web", &["REVISION", "1", "3"]);
    user.has("rollout undo deployment/web --to-revision=1", &["rolled back"]);
    user.ok("rollout status deployment/web --timeout=30s");
    let env = "get deployment web -o jsonpath={.spec.template.spec.containers[0].env[0].value}";
    assert_eq!(user.ok(env), "first");
    let names = "get pods -l app=web -o name";
    let before = user.ok(names);
    user.ok("rollout restart deployment/web");
    user.ok("rollout status deployment/web --timeout=30s");
    eventually("the restart replaced every pod", STEP, || {
        let now = user.ok(names);
        let replaced = !now.is_empty() && before.lines().all(|pod| !now.contains(pod));
        if replaced { Ok(()) } else { Err(now) }
    });
}

fn logs(user: &User) {
    let pod = "
apiVersion: v1
kind: Pod
metadata: {name: counter}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: localhost/busybox:1
    imagePullPolicy: IfNotPresent
    command: [sh, -c, 'for i in 1 2 3 4; do echo line $i; sleep 0.5; done']
";
    user.kubectl
        .pipe(&format!("-n {} create -f -", user.namespace), pod)
        .unwrap_or_else(|e| panic!("create: {e}"));
    user.ok("wait --for=condition=Ready pod/counter --timeout=30s");
    assert_eq!(user.ok("logs -f counter"), "line 1\nline 2\nline 3\nline 4\n");
    user.ok("wait --for=jsonpath={.status.phase}=Succeeded pod/counter --timeout=30s");
    assert_eq!(user.ok("logs counter --tail=2"), "line 3\nline 4\n");
    user.has("get pod counter", &["Completed", "0/1"]);
    user.ok("delete pod counter --timeout=20s");
}

fn deletion(user: &User) {
    let wait = user
        .command("wait --for=delete pod -l app=web --timeout=30s")
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl wait");
    user.has("delete deployment web --timeout=30s", &["deleted"]);
    let waited = wait.wait_with_output().expect("wait");
    assert!(waited.status.success(), "wait --for=delete failed");
    let left = user.ok("get pods,replicasets -o name");
    assert!(left.is_empty(), "{left}");
    user.kubectl.ok(&format!("delete namespace {} --timeout=30s", user.namespace));
}

/// curl with a YAML body and the client certificate of the kubeconfig.
pub fn curl_takes_yaml(stage: &Stage) {
    let member = &stage.cluster.members[0];
    let text = std::fs::read_to_string(member.data_dir.join("admin.kubeconfig")).expect("file");
    let config: serde_json::Value = serde_yaml::from_str(&text).expect("kubeconfig");
    let dir = stage.cluster.dir.path();
    let file = |name: &str, value: &serde_json::Value| {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(value.as_str().unwrap_or_else(|| panic!("{name} in {config}")))
            .expect("base64");
        let path = dir.join(name);
        std::fs::write(&path, bytes).expect("file");
        path
    };
    let user = &config["users"][0]["user"];
    let ca = file("ca.pem", &config["clusters"][0]["cluster"]["certificate-authority-data"]);
    let certificate = file("cert.pem", &user["client-certificate-data"]);
    let key = file("key.pem", &user["client-key-data"]);
    let body = dir.join("map.yaml");
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: curled\ndata:\n  a: b\n";
    std::fs::write(&body, manifest).expect("file");
    let mut curl = member.host.command("curl");
    curl.args(["-sS", "--fail-with-body", "--noproxy", "*", "-X", "POST", "--cacert"]).arg(ca);
    curl.arg("--cert").arg(certificate).arg("--key").arg(key);
    curl.args(["-H", "Content-Type: application/yaml", "--data-binary"]);
    curl.arg(format!("@{}", body.display()));
    curl.arg(format!("{}/api/v1/namespaces/default/configmaps", member.url()));
    let answer = run(&mut curl).unwrap_or_else(|e| panic!("{e}"));
    assert!(answer.contains("\"curled\"") || answer.contains("name: curled"), "{answer}");
    let map = stage.get("/api/v1/namespaces/default/configmaps/curled").expect("config map");
    assert_eq!(map["data"]["a"], "b");
}
