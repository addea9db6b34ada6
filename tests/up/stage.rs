//! One `kabuki up` with the images of the tests, and a client of its API.

use std::time::Duration;

use serde_json::Value;

use crate::support::{
    cluster::{Cluster, KABUKI},
    eventually,
    host::Lab,
    image::{Format, busybox, nginx},
    process::run,
};

/// How long a step may take.
pub const STEP: Duration = Duration::from_secs(30);

/// A running cluster of one process.
pub struct Stage {
    pub cluster: Cluster,
}

impl Stage {
    /// Starts it on a lab of its own, 172.31.`net`.0/24, and loads the images.
    pub fn up(net: u8) -> Self {
        let mut cluster = Cluster::new(Lab::new(net, &["u"]), "");
        cluster.up("u");
        let stage = Self { cluster };
        let archives = [
            ("busybox.tar", busybox(Format::Oci).oci_archive("localhost/busybox:1")),
            ("nginx.tar", nginx(Format::Docker).docker_archive("localhost/nginx:1")),
        ];
        for (name, bytes) in archives {
            let path = stage.cluster.dir.path().join(name);
            std::fs::write(&path, bytes).expect("archive");
            let loaded = stage.kabuki(&["image", "load", &path.to_string_lossy()], true);
            assert!(loaded.contains("loaded localhost/"), "{loaded}");
        }
        eventually("the node is Ready", STEP, || {
            let node = stage.get("/api/v1/nodes/u")?;
            if condition(&node, "Ready") { Ok(()) } else { Err(node["status"].to_string()) }
        });
        stage
    }

    /// Runs a subcommand of the binary, with the data directory or the kubeconfig of the cluster.
    pub fn kabuki(&self, args: &[&str], data_dir: bool) -> String {
        let member = &self.cluster.members[0];
        let mut command = member.host.command(KABUKI);
        command.args(args);
        if data_dir {
            command.arg(format!("--data-dir={}", member.data_dir.display()));
        } else {
            command.arg(format!(
                "--kubeconfig={}",
                member.data_dir.join("admin.kubeconfig").display()
            ));
        }
        run(&mut command).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Nothing that a human must look at was logged.
    pub fn assert_no_errors(&self) {
        let log = self.cluster.members[0].process.tail(usize::MAX);
        let errors: Vec<&str> = log.lines().filter(|l| l.contains(" ERROR ")).collect();
        assert!(errors.is_empty(), "{}", errors.join("\n"));
    }

    /// One request as the administrator.
    pub fn call(&self, verb: &str, path: &str, kind: &str, body: &str) -> Result<String, String> {
        let config = self.cluster.kube_config(0);
        let request = http::Request::builder()
            .method(verb)
            .uri(path)
            .header("content-type", kind)
            .body(body.as_bytes().to_vec())
            .expect("request");
        self.cluster.members[0].host.block_on(async {
            let client = kube::Client::try_from(config).map_err(|e| e.to_string())?;
            client.request_text(request).await.map_err(|e| e.to_string())
        })
    }

    /// Reads an object.
    pub fn get(&self, path: &str) -> Result<Value, String> {
        let text = self.call("GET", path, "application/json", "")?;
        serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))
    }

    /// Creates every object of a YAML manifest in the namespace `default`.
    pub fn create(&self, manifest: &str) {
        for document in manifest.split("---\n") {
            let object: Value = serde_yaml::from_str(document).expect("manifest");
            let (version, kind) = (&object["apiVersion"], &object["kind"]);
            let version = version.as_str().expect("apiVersion");
            let base = if version == "v1" { "/api/v1".into() } else { format!("/apis/{version}") };
            let plural = kind.as_str().expect("kind").to_lowercase();
            let path = format!("{base}/namespaces/default/{plural}s");
            self.call("POST", &path, "application/yaml", document)
                .unwrap_or_else(|e| panic!("{path} {}: {e}", object["metadata"]["name"]));
        }
    }

    /// A pod of the namespace `default`.
    pub fn pod(&self, name: &str) -> Result<Value, String> {
        self.get(&format!("/api/v1/namespaces/default/pods/{name}"))
    }

    /// Deletes a pod with this grace, in seconds.
    pub fn delete_pod(&self, name: &str, grace: u32) {
        let path = format!("/api/v1/namespaces/default/pods/{name}?gracePeriodSeconds={grace}");
        self.call("DELETE", &path, "application/json", "").expect("delete");
    }

    /// Waits until a pod satisfies `check`.
    pub fn pod_until(&self, what: &str, name: &str, check: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("pod {name}: {what}"), STEP, || {
            let pod = self.pod(name)?;
            if check(&pod) { Ok(pod) } else { Err(pod["status"].to_string()) }
        })
    }

    /// Waits until a pod is in a phase.
    pub fn pod_phase(&self, name: &str, phase: &str) -> Value {
        self.pod_until(phase, name, |pod| pod["status"]["phase"] == phase)
    }

    /// The log of the only container of a pod.
    pub fn log(&self, name: &str) -> Result<String, String> {
        let path = format!("/api/v1/namespaces/default/pods/{name}/log");
        self.call("GET", &path, "application/json", "")
    }

    /// Waits until the log of a pod holds `words`, and returns it.
    pub fn log_until(&self, name: &str, words: &str) -> String {
        eventually(&format!("pod {name} prints {words:?}"), STEP, || {
            let text = self.log(name)?;
            if text.contains(words) { Ok(text) } else { Err(text) }
        })
    }
}

/// True when a condition of an object is True.
pub fn condition(object: &Value, name: &str) -> bool {
    object["status"]["conditions"]
        .as_array()
        .is_some_and(|all| all.iter().any(|c| c["type"] == name && c["status"] == "True"))
}
