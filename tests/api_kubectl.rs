//! The real kubectl, old and new, and kube-rs against the HTTP face.

mod api_support;
#[path = "api_kubectl/explain.rs"]
mod explain;

use std::time::Duration;

use api_support::{Kubectl, TestApi, kubectls};

const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 2
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: web
        image: nginx:1
        ports: [{containerPort: 80}]
"#;

async fn everything(api: &TestApi, kubectl: &Kubectl, ns: &str) {
    documents(kubectl).await;
    objects(api, kubectl, ns).await;
    deployment(kubectl, ns).await;
    server_side(kubectl, ns).await;
    pods(kubectl, ns).await;
    stored_kinds(kubectl, ns).await;
    limits(kubectl, ns).await;
    kubectl.ok(&format!("delete namespace {ns} --wait=false")).await;
}

async fn documents(kubectl: &Kubectl) {
    let version = kubectl.ok("version -o json").await;
    assert!(version.contains("v1.36.0+kabuki"), "{version}");
    let resources = kubectl.ok("api-resources").await;
    for line in ["pods", "deployments", "clusterrolebindings", "endpointslices"] {
        assert!(resources.contains(line), "{line} in\n{resources}");
    }
    assert!(kubectl.ok("api-versions").await.contains("apps/v1"));
    assert_eq!(kubectl.ok("get --raw /healthz").await, "ok");
    assert!(kubectl.ok("cluster-info").await.contains("is running at"));
    assert_eq!(kubectl.ok("auth can-i create pods").await.trim(), "yes");
}

async fn objects(api: &TestApi, kubectl: &Kubectl, ns: &str) {
    kubectl.ok(&format!("create namespace {ns}")).await;
    api.service_account(ns).await;
    kubectl.ok(&format!("create configmap -n {ns} c --from-literal=a=1 --from-literal=b=2")).await;
    kubectl.ok(&format!("create secret -n {ns} generic s --from-literal=a=1")).await;
    let shown = kubectl.ok(&format!("get -n {ns} configmap,secret")).await;
    assert!(shown.contains("configmap/c") && shown.contains("Opaque"), "{shown}");
    assert!(
        kubectl.ok(&format!("get -n {ns} cm c")).await.starts_with("NAME   DATA   AGE\nc      2")
    );
    assert!(kubectl.ok(&format!("get -n {ns} cm c -o yaml")).await.contains("  a: \"1\"\n"));
    assert_eq!(kubectl.ok(&format!("get -n {ns} cm c -o jsonpath={{.data.b}}")).await, "2");
    assert!(kubectl.ok("get namespaces -A -o wide").await.contains("kube-system"));
    assert!(kubectl.ok("get all -A").await.contains("service/kubernetes"));
    kubectl.ok(&format!("label -n {ns} cm c tier=x")).await;
    kubectl.ok(&format!("annotate -n {ns} cm c note=x")).await;
    assert!(kubectl.ok(&format!("get -n {ns} cm -l tier=x -o name")).await.contains("configmap/c"));
    kubectl
        .ok(&format!("patch -n {ns} cm c --type=merge -p '{{\"data\":{{\"a\":\"nine\"}}}}'"))
        .await;
    let path = "[{\"op\":\"remove\",\"path\":\"/data/b\"}]";
    kubectl.ok(&format!("patch -n {ns} cm c --type=json -p '{path}'")).await;
    let edit = [("KUBE_EDITOR", "sed -i s/nine/ten/")];
    kubectl.with_env(&format!("edit -n {ns} cm c"), "", &edit).await;
    assert_eq!(
        kubectl.ok(&format!("get -n {ns} cm c -o jsonpath={{.data}}")).await,
        "{\"a\":\"ten\"}"
    );
    assert!(kubectl.ok(&format!("describe -n {ns} cm c")).await.contains("tier=x"));
    kubectl.ok(&format!("create serviceaccount -n {ns} robot")).await;
    let token = kubectl.ok(&format!("create token -n {ns} robot")).await;
    assert_eq!(token.matches('.').count(), 2, "{token}");
    kubectl.ok(&format!("create role -n {ns} r --verb=get --resource=pods")).await;
    kubectl.ok(&format!("create rolebinding -n {ns} b --role=r --serviceaccount={ns}:robot")).await;
    let can = format!("auth can-i get pods -n {ns} --as=system:serviceaccount:{ns}:robot");
    assert_eq!(kubectl.ok(&can).await.trim(), "yes");
    assert!(kubectl.ok(&format!("get -n {ns} role,rolebinding -o wide")).await.contains("Role/r"));
    kubectl.ok(&format!("create service clusterip -n {ns} svc --tcp=80:8080")).await;
    assert!(kubectl.ok(&format!("get -n {ns} svc -o wide")).await.contains("80/TCP"));
    assert!(kubectl.ok(&format!("describe -n {ns} svc svc")).await.contains("TargetPort"));
    kubectl.ok(&format!("delete -n {ns} cm c")).await;
    assert!(kubectl.fails(&format!("get -n {ns} cm c")).await.contains("\"c\" not found"));
}

const STORED: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector:
    matchLabels: {app: db}
  template:
    metadata:
      labels: {app: db}
    spec:
      containers:
      - {name: db, image: "db:1", volumeMounts: [{name: data, mountPath: /data}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      resources: {requests: {storage: 1Gi}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector:
    matchLabels: {app: agent}
  template:
    metadata:
      labels: {app: agent}
    spec:
      containers: [{name: agent, image: "agent:1"}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
"#;

/// Kinds that are stored and watched before their controllers are there.
async fn stored_kinds(kubectl: &Kubectl, ns: &str) {
    let apply = format!("apply -n {ns} -f -");
    let made = kubectl.pipe(&apply, STORED).await;
    assert!(made.contains("statefulset.apps/db created"), "{made}");
    let again = kubectl.pipe(&apply, STORED).await;
    // As with kube-apiserver: kubectl sends the list of claim templates again, without its defaults.
    assert_eq!(again.matches("unchanged").count(), 2, "{again}");
    kubectl.ok(&format!("scale -n {ns} sts db --replicas=3")).await;
    let shown = kubectl.ok(&format!("get -n {ns} sts,ds,pvc -o wide")).await;
    assert!(
        shown.contains("0/3") && shown.contains("<none>") && shown.contains("Pending"),
        "{shown}"
    );
    let wrong = STORED.replace("serviceName: db", "serviceName: other");
    let refused = kubectl.run_failing(&apply, &wrong).await;
    assert!(refused.contains("updates to statefulset spec for fields other than"), "{refused}");
    // Typed clients send protobuf from 1.32 on.
    kubectl.ok(&format!("create job -n {ns} once --image=i:1")).await;
    kubectl.ok(&format!("create cronjob -n {ns} often --image=i:1 --schedule='*/5 * * * *'")).await;
    kubectl.ok(&format!("create job -n {ns} now --from=cronjob/often")).await;
    let shown = kubectl.ok(&format!("get -n {ns} jobs,cj")).await;
    assert!(shown.contains("0/1") && shown.contains("*/5 * * * *"), "{shown}");
    assert!(kubectl.ok(&format!("describe -n {ns} job once")).await.contains("controller-uid"));
    kubectl
        .ok(&format!("delete -n {ns} sts/db ds/agent pvc/data job/once cronjob/often --wait=false"))
        .await;
}

/// Limit ranges and quotas, as kubectl makes and describes them.
async fn limits(kubectl: &Kubectl, ns: &str) {
    let range = "apiVersion: v1\nkind: LimitRange\nmetadata: {name: r}\n\
        spec: {limits: [{type: Container, max: {cpu: 500m}}]}\n";
    assert!(kubectl.pipe(&format!("apply -n {ns} -f -"), range).await.contains("created"));
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = words(kubectl.ok(&format!("describe -n {ns} limits r")).await);
    assert!(shown.contains("Container cpu - 500m 500m 500m -"), "{shown}");
    kubectl
        .ok(&format!(
            "create quota -n {ns} q --hard=count/leases.coordination.k8s.io=3,limits.cpu=1"
        ))
        .await;
    let lease = "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: l}\n";
    kubectl.pipe(&format!("apply -n {ns} -f -"), lease).await;
    let shown = kubectl.ok(&format!("get -n {ns} quota")).await;
    assert!(
        shown.contains("count/leases.coordination.k8s.io: 1/3")
            && shown.contains("limits.cpu: 0/1"),
        "{shown}"
    );
    let shown = words(kubectl.ok(&format!("describe -n {ns} quota q")).await);
    assert!(shown.contains("count/leases.coordination.k8s.io 1 3"), "{shown}");
    kubectl.ok(&format!("delete -n {ns} quota/q limits/r lease/l")).await;
}

async fn deployment(kubectl: &Kubectl, ns: &str) {
    let apply = format!("apply -n {ns} -f -");
    assert!(kubectl.pipe(&apply, DEPLOYMENT).await.contains("deployment.apps/web created"));
    assert!(kubectl.pipe(&apply, DEPLOYMENT).await.contains("unchanged"));
    let changed = DEPLOYMENT.replace("nginx:1", "nginx:2").replace("replicas: 2", "replicas: 3");
    assert!(kubectl.pipe(&apply, &changed).await.contains("configured"));
    let wide = kubectl.ok(&format!("get -n {ns} deploy -o wide")).await;
    assert!(wide.contains("0/3") && wide.contains("nginx:2") && wide.contains("app=web"), "{wide}");
    let wrong = DEPLOYMENT.replace("replicas:", "replica:");
    let refused = kubectl.run_failing(&apply, &wrong).await;
    assert!(refused.contains("unknown field \"spec.replica\""), "{refused}");
    kubectl.ok(&format!("scale -n {ns} deploy web --replicas=5")).await;
    kubectl.ok(&format!("set image -n {ns} deploy web web=nginx:3")).await;
    kubectl.ok(&format!("rollout restart -n {ns} deploy web")).await;
    let spec = kubectl.ok(&format!("get -n {ns} deploy web -o json")).await;
    let spec: serde_json::Value = serde_json::from_str(&spec).unwrap();
    assert_eq!(spec["spec"]["replicas"], 5);
    assert_eq!(spec["spec"]["template"]["spec"]["containers"][0]["image"], "nginx:3");
    assert!(
        kubectl.ok(&format!("describe -n {ns} deploy web")).await.contains("RollingUpdateStrategy")
    );
    let generation = &spec["metadata"]["generation"];
    let status = format!(
        "{{\"status\":{{\"observedGeneration\":{generation},\"replicas\":5,\"updatedReplicas\":5,\
         \"readyReplicas\":5,\"availableReplicas\":5,\"conditions\":[{{\"type\":\"Available\",\
         \"status\":\"True\"}}]}}}}"
    );
    kubectl
        .ok(&format!("patch -n {ns} deploy web --subresource=status --type=merge -p '{status}'"))
        .await;
    kubectl.ok(&format!("rollout status -n {ns} deploy web --timeout=10s")).await;
    kubectl.ok(&format!("wait -n {ns} deploy web --for=condition=Available --timeout=10s")).await;
    kubectl.ok(&format!("delete -n {ns} deploy web --timeout=10s")).await;
}

/// `apply --server-side`, also of what was applied without it.
async fn server_side(kubectl: &Kubectl, ns: &str) {
    let apply = format!("apply -n {ns} --server-side -f -");
    let said = kubectl.pipe(&apply, DEPLOYMENT).await;
    assert!(said.contains("deployment.apps/web serverside-applied"), "{said}");
    let get = format!("get -n {ns} deploy web --show-managed-fields -o json");
    let first = kubectl.ok(&get).await;
    assert!(first.contains("\"manager\": \"kubectl\""), "{first}");
    kubectl.pipe(&apply, DEPLOYMENT).await;
    assert_eq!(kubectl.ok(&get).await, first, "the same again changes nothing");

    // Nothing differs, then something does (diff answers 1), and a dry run stores nothing.
    let diff = format!("diff -n {ns} --server-side -f -");
    assert_eq!(kubectl.pipe(&diff, DEPLOYMENT).await, "");
    let changed = DEPLOYMENT.replace("nginx:1", "nginx:2");
    kubectl.run_failing(&diff, &changed).await;
    let dry = kubectl.pipe(&format!("{apply} --dry-run=server"), &changed).await;
    assert!(dry.contains("serverside-applied (server dry run)"), "{dry}");
    assert_eq!(kubectl.ok(&get).await, first);

    // Another manager, its conflict, and force.
    let other = format!("{apply} --field-manager=other");
    let refused = kubectl.run_failing(&other, &changed).await;
    assert!(
        refused.contains(
            "conflict with \"kubectl\": .spec.template.spec.containers[name=\"web\"].image"
        ),
        "{refused}"
    );
    kubectl.pipe(&format!("{other} --force-conflicts"), &changed).await;
    let image =
        format!("get -n {ns} deploy web -o jsonpath={{.spec.template.spec.containers[0].image}}");
    assert_eq!(kubectl.ok(&image).await, "nginx:2");
    kubectl.ok(&format!("delete -n {ns} deploy web --timeout=10s")).await;

    // From client-side to server-side: kubectl takes over what it applied itself.
    kubectl.pipe(&format!("apply -n {ns} -f -"), DEPLOYMENT).await;
    let said = kubectl.pipe(&apply, &changed).await;
    assert!(said.contains("serverside-applied"), "{said}");
    assert_eq!(kubectl.ok(&image).await, "nginx:2");
    let owners = kubectl.ok(&get).await;
    assert!(!owners.contains("kubectl-client-side-apply"), "{owners}");
    let less = changed.replace("        ports: [{containerPort: 80}]\n", "");
    kubectl.pipe(&apply, &less).await;
    let ports =
        format!("get -n {ns} deploy web -o jsonpath={{.spec.template.spec.containers[0].ports}}");
    assert_eq!(kubectl.ok(&ports).await, "", "what is not applied any more goes");
    kubectl.ok(&format!("delete -n {ns} deploy web --timeout=10s")).await;
}

async fn pods(kubectl: &Kubectl, ns: &str) {
    let mut watch = kubectl.start(&format!("get -n {ns} pods -w"));
    tokio::time::sleep(Duration::from_millis(500)).await;
    kubectl.ok(&format!("run -n {ns} p --image=busybox")).await;
    let binding = "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":\"p\"},\
         \"target\":{\"kind\":\"Node\",\"name\":\"n1\"}}"
        .to_string();
    kubectl
        .pipe(&format!("create --raw /api/v1/namespaces/{ns}/pods/p/binding -f -"), &binding)
        .await;
    assert!(kubectl.ok(&format!("get -n {ns} pods -o wide")).await.contains("Pending"));
    assert!(kubectl.ok(&format!("describe -n {ns} pod p")).await.contains("n1"));
    assert_eq!(kubectl.ok(&format!("logs -n {ns} p")).await, "n1 p\nfollow=false\n");
    assert_eq!(kubectl.ok(&format!("logs -n {ns} -f p")).await, "n1 p\nfollow=true\n");
    let refused = kubectl.fails(&format!("exec -n {ns} p -- ls")).await;
    assert!(refused.contains("not implemented"), "{refused}");
    kubectl.ok(&format!("delete -n {ns} pod p --grace-period=0 --force --timeout=10s")).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    watch.kill().unwrap();
    let output = watch.wait_with_output().unwrap();
    let seen = String::from_utf8_lossy(&output.stdout);
    assert!(seen.starts_with("NAME") && seen.matches("\np ").count() >= 2, "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_does_its_work() {
    let api = TestApi::start().await;
    for (number, program) in kubectls().into_iter().enumerate() {
        let kubectl = Kubectl::new(&api, program);
        everything(&api, &kubectl, &format!("t{number}")).await;
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kube_rs_lists_and_watches() {
    use futures_util::{StreamExt, TryStreamExt};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{
        Api,
        api::{Patch, PatchParams, PostParams},
        runtime::{WatchStreamExt, watcher},
    };
    let api = TestApi::start().await;
    let text = std::fs::read_to_string(api.dir.path().join("admin.kubeconfig")).unwrap();
    let config = kube::config::Kubeconfig::from_yaml(&text).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await.unwrap();
    let client = kube::Client::try_from(config).unwrap();
    assert_eq!(client.apiserver_version().await.unwrap().minor, "36");
    assert!(client.list_api_groups().await.unwrap().groups.iter().any(|g| g.name == "apps"));
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let events = watcher(maps.clone(), watcher::Config::default()).applied_objects();
    let mut events = events.boxed();
    let map = serde_json::from_value(serde_json::json!({"metadata": {"name": "k"}})).unwrap();
    let first = tokio::spawn(async move { events.try_next().await.unwrap().unwrap() });
    maps.create(&PostParams::default(), &map).await.unwrap();
    let patch = serde_json::json!({"data": {"a": "b"}});
    let patched = maps.patch("k", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    assert_eq!(patched.data.unwrap()["a"], "b");
    let seen = tokio::time::timeout(Duration::from_secs(10), first).await.unwrap().unwrap();
    assert_eq!(seen.metadata.name.as_deref(), Some("k"));
    let missing = maps.get("x").await.unwrap_err();
    assert!(missing.to_string().contains("not found"), "{missing}");
    api.stop().await;
}
