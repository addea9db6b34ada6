//! What a container sees: its environment, volumes, token, and limits.

use std::path::Path;

use serde_json::Value;

use crate::{
    stage::Stage,
    support::{cluster::cgroup_root, eventually},
};

const SOURCES: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue, size: large}
---
apiVersion: v1
kind: Secret
metadata: {name: hidden}
stringData: {password: open sesame}
---
apiVersion: v1
kind: Service
metadata: {name: early}
spec: {selector: {app: early}, ports: [{port: 1234}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: default, namespace: default}]
";

const ENVIRONMENT: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: environment, labels: {tier: front}, annotations: {note: hello}}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: localhost/busybox:1
    imagePullPolicy: IfNotPresent
    workingDir: /tmp
    command: [sh, -c, 'pwd; env; echo "arguments $0 $1 $2"; echo done']
    args: [zero, $(PLAIN), $$(PLAIN)]
    envFrom:
    - {configMapRef: {name: settings}, prefix: CM_}
    - {secretRef: {name: hidden}}
    - {configMapRef: {name: missing, optional: true}}
    env:
    - {name: PLAIN, value: plain}
    - {name: MIXED, value: '<$(PLAIN)> <$(NOPE)> <$$(PLAIN)>'}
    - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: SPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
    - {name: LABEL, valueFrom: {fieldRef: {fieldPath: "metadata.labels['tier']"}}}
    - {name: NOTE, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['note']"}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
    - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
    - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
    - {name: CPU, valueFrom: {resourceFieldRef: {resource: requests.cpu, divisor: 1m}}}
    - {name: COLOUR, valueFrom: {configMapKeyRef: {name: settings, key: colour}}}
    - {name: PASSWORD, valueFrom: {secretKeyRef: {name: hidden, key: password}}}
    - {name: OPTIONAL, valueFrom: {configMapKeyRef: {name: settings, key: nope, optional: true}}}
    resources: {limits: {memory: 40Mi}, requests: {cpu: 25m}}
"#;

const VOLUMES: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: volumes, labels: {tier: front}}
spec:
  restartPolicy: Never
  containers:
  - name: writer
    image: localhost/busybox:1
    imagePullPolicy: IfNotPresent
    command: [sh, -c, 'echo from the writer > /scratch/note; echo from the pod > /host/from-pod']
    volumeMounts:
    - {name: scratch, mountPath: /scratch}
    - {name: host, mountPath: /host}
  - name: c
    image: localhost/busybox:1
    imagePullPolicy: IfNotPresent
    command:
    - sh
    - -c
    - |
      until test -s /scratch/note; do sleep 0.1; done
      cd /; for f in scratch/note cm/colour one/renamed sub/file secret/password host/given \
        all/colour all/deep/word all/labels; do echo "$f: $(cat $f)"; done
      echo "token: $(cat all/token | tr -cd . | wc -c)"
      stat -L -c 'mode %a' secret/password
      grep -q ' /memory tmpfs ' /proc/mounts && echo memory is tmpfs
      echo x > /cm/colour || echo read-only
      ls cm one; echo done
    volumeMounts:
    - {name: scratch, mountPath: /scratch}
    - {name: memory, mountPath: /memory}
    - {name: cm, mountPath: /cm}
    - {name: one, mountPath: /one}
    - {name: cm, mountPath: /sub/file, subPath: size}
    - {name: secret, mountPath: /secret, readOnly: true}
    - {name: host, mountPath: /host}
    - {name: all, mountPath: /all}
  volumes:
  - {name: scratch, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory}}
  - {name: cm, configMap: {name: settings}}
  - {name: one, configMap: {name: settings, items: [{key: colour, path: renamed}]}}
  - {name: secret, secret: {secretName: hidden, defaultMode: 0400}}
  - {name: host, hostPath: {path: DIR, type: Directory}}
  - name: all
    projected:
      sources:
      - configMap: {name: settings}
      - secret: {name: hidden, items: [{key: password, path: deep/word}]}
      - downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}
      - serviceAccountToken: {path: token, audience: somebody, expirationSeconds: 600}
"#;

const TOKEN: &str = "
apiVersion: v1
kind: Pod
metadata: {name: token}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: localhost/busybox:1
    imagePullPolicy: IfNotPresent
    command:
    - sh
    - -c
    - |
      cd /var/run/secrets/kubernetes.io/serviceaccount
      cat namespace; echo; cat token; echo; cat ca.crt
      echo $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT
      timeout 2 nc $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT < /dev/null && echo connected
      echo done
";

const MEMORY: &str = "
apiVersion: v1
kind: Pod
metadata: {name: limited}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: localhost/busybox:1
    imagePullPolicy: IfNotPresent
    command: [sleep, '1000']
    resources: {limits: {memory: 24Mi, cpu: 500m}}
---
apiVersion: v1
kind: Pod
metadata: {name: hungry}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: localhost/busybox:1
    imagePullPolicy: IfNotPresent
    command: [tail, /dev/zero]
    resources: {limits: {memory: 16Mi}}
";

/// Creates the objects and pods.
pub fn create(stage: &Stage, dir: &Path) {
    std::fs::write(dir.join("given"), "from the host").expect("file");
    stage.create(SOURCES);
    eventually("the default account is there", crate::stage::STEP, || {
        stage.get("/api/v1/namespaces/default/serviceaccounts/default")
    });
    stage.create(ENVIRONMENT);
    stage.create(&VOLUMES.replace("DIR", &dir.display().to_string()));
    stage.create(TOKEN);
    stage.create(MEMORY);
}

/// Variables of every source, expansion, working directory and arguments.
pub fn environment(stage: &Stage) {
    let pod = stage.pod_phase("environment", "Succeeded");
    let log = stage.log_until("environment", "\ndone");
    let ip = pod["status"]["podIP"].as_str().expect("pod address");
    let host = stage.cluster.members[0].host.address;
    let wanted = [
        "/tmp".to_owned(),
        "PLAIN=plain".into(),
        "MIXED=<plain> <$(NOPE)> <$(PLAIN)>".into(),
        "POD=environment".into(),
        "SPACE=default".into(),
        "LABEL=front".into(),
        "NOTE=hello".into(),
        "NODE=u".into(),
        "ACCOUNT=default".into(),
        format!("POD_IP={ip}"),
        format!("HOST_IP={host}"),
        "MEMORY=40".into(),
        "CPU=25".into(),
        "COLOUR=blue".into(),
        "PASSWORD=open sesame".into(),
        "CM_size=large".into(),
        "password=open sesame".into(),
        "HOSTNAME=environment".into(),
        "KUBERNETES_SERVICE_HOST=10.96.0.1".into(),
        "EARLY_SERVICE_PORT=1234".into(),
        "arguments zero plain $(PLAIN)".into(),
    ];
    for line in wanted {
        assert!(log.lines().any(|l| l == line), "no {line:?} in\n{log}");
    }
    assert!(!log.contains("OPTIONAL="), "{log}");
}

/// Every kind of volume, with what was put there.
pub fn volumes(stage: &Stage, dir: &Path) {
    stage.pod_phase("volumes", "Succeeded");
    let path = "/api/v1/namespaces/default/pods/volumes/log?container=c";
    let log = stage.call("GET", path, "application/json", "").expect("log");
    let wanted = [
        "scratch/note: from the writer",
        "cm/colour: blue",
        "one/renamed: blue",
        "sub/file: large",
        "secret/password: open sesame",
        "host/given: from the host",
        "all/colour: blue",
        "all/deep/word: open sesame",
        "all/labels: tier=\"front\"",
        "token: 2",
        "mode 400",
        "memory is tmpfs",
        "read-only",
        "done",
    ];
    for line in wanted {
        assert!(log.lines().any(|l| l == line), "no {line:?} in\n{log}");
    }
    assert!(log.contains("\nrenamed\n") && log.contains("\nsize\n"), "{log}");
    let written = std::fs::read_to_string(dir.join("from-pod")).expect("written by the pod");
    assert_eq!(written, "from the pod\n");
}

/// The token a pod is given speaks for its account, through the service address, and no further.
pub fn token(stage: &Stage) {
    stage.pod_phase("token", "Succeeded");
    let log = stage.log_until("token", "\ndone");
    let mut lines = log.lines();
    assert_eq!(lines.next(), Some("default"));
    let token = lines.next().expect("token").to_owned();
    assert!(log.contains("10.96.0.1:443\nconnected\n"), "{log}");
    let begin = log.find("-----BEGIN CERTIFICATE").expect("ca.crt");
    let end = log.rfind("-----END CERTIFICATE-----").expect("ca.crt") + 25;
    let ca = log[begin..end].to_owned();
    let ask = |path: &str| {
        let url = format!("https://10.96.0.1{path}");
        let authority = reqwest::Certificate::from_pem(ca.as_bytes()).expect("authority");
        let (host, token) = (&stage.cluster.members[0].host, &token);
        host.block_on(async move {
            let client = reqwest::Client::builder()
                .tls_certs_only([authority])
                .no_proxy()
                .build()
                .expect("client");
            let answer = client.get(url).bearer_auth(token).send().await.expect("answer");
            (answer.status().as_u16(), answer.text().await.expect("text"))
        })
    };
    let (code, text) = ask("/api/v1/namespaces/default/configmaps/settings");
    assert!(code == 200 && text.contains("blue"), "{code} {text}");
    let (code, text) = ask("/api/v1/namespaces/default/secrets/hidden");
    assert!(code == 403 && text.contains("system:serviceaccount:default:default"), "{code} {text}");
}

/// The limit is in the kernel, and a container above it is reported as killed for it.
pub fn memory(stage: &Stage) {
    let pod = stage.pod_phase("limited", "Running");
    let uid = pod["metadata"]["uid"].as_str().expect("uid");
    let root = cgroup_root(&stage.cluster.members[0].data_dir);
    let limits = limits(Path::new("/sys/fs/cgroup"), &root, uid);
    assert!(limits.contains(&(24 << 20)), "{limits:?}");
    let pod = stage.pod_phase("hungry", "Failed");
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&ended["reason"], &ended["exitCode"]), (&"OOMKilled".into(), &Value::from(137)));
}

/// The memory limits set in the cgroups of a pod, in bytes, of either cgroup version.
fn limits(top: &Path, root: &str, uid: &str) -> Vec<u64> {
    fn walk(dir: &Path, uid: &str, found: &mut Vec<u64>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, uid, found);
            } else if path.to_string_lossy().contains(uid)
                && (path.ends_with("memory.limit_in_bytes") || path.ends_with("memory.max"))
            {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                found.extend(text.trim().parse::<u64>());
            }
        }
    }
    let mut found = Vec::new();
    for base in [top.to_owned(), top.join("memory"), top.join("unified")] {
        walk(&base.join(root.trim_start_matches('/')), uid, &mut found);
    }
    found
}
