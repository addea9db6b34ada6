//! Debian's docker-registry, and pushing to it.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Packing, configuration, digest, pack};

/// Debian's registry on a loopback port; ends with the test.
pub struct Registry {
    child: Child,
    /// `127.0.0.1:port`.
    pub address: String,
    _dir: tempfile::TempDir,
}

impl Registry {
    /// Starts it, with one user (`user`, `secret`) when `auth` is set.
    pub fn start(auth: bool) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|l| l.local_addr())
            .expect("port")
            .port();
        let address = format!("127.0.0.1:{port}");
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\nhttp: {{addr: '{address}'}}\n",
            dir.path().join("data").display()
        );
        if auth {
            // user:secret
            let line = "user:$2y$05$nLgr3MaLJw3WUGNdL1.pKeG985OH6n8y3pHrlLIROfVEYWzgktf6C\n";
            fs::write(dir.path().join("htpasswd"), line).expect("htpasswd");
            config += &format!(
                "auth:\n  htpasswd: {{realm: test, path: {}}}\n",
                dir.path().join("htpasswd").display()
            );
        }
        let file = dir.path().join("config.yml");
        fs::write(&file, config).expect("config");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry must be installed");
        let registry = Self { child, address, _dir: dir };
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(&registry.address).is_err() {
            assert!(Instant::now() < until, "the registry does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    /// Puts a manifest.
    pub async fn push(&self, repository: &str, reference: &str, media: &str, bytes: Vec<u8>) {
        let url = format!("http://{}/v2/{repository}/manifests/{reference}", self.address);
        let client = reqwest::Client::new();
        let answer =
            client.put(url).header("content-type", media).body(bytes).send().await.expect("push");
        assert!(answer.status().is_success(), "{}", answer.text().await.expect("text"));
    }

    /// Puts a blob; answers its digest.
    pub async fn push_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let base = format!("http://{}", self.address);
        let client = reqwest::Client::new();
        let start = client.post(format!("{base}/v2/{repository}/blobs/uploads/")).send();
        let start = start.await.expect("upload");
        let location = start.headers()["location"].to_str().expect("location").to_string();
        let location =
            if location.starts_with('/') { format!("{base}{location}") } else { location };
        let joint = if location.contains('?') { '&' } else { '?' };
        let digest = digest(bytes);
        let put = client
            .put(format!("{location}{joint}digest={digest}"))
            .header("content-type", "application/octet-stream")
            .body(bytes.to_vec())
            .send();
        assert!(put.await.expect("upload").status().is_success());
        digest
    }

    /// Pushes an image; answers its manifest's descriptor.
    pub async fn push_image(
        &self,
        repository: &str,
        reference: Option<&str>,
        docker: bool,
        layers: &[(Vec<u8>, Packing)],
    ) -> Value {
        let plain: Vec<Vec<u8>> = layers.iter().map(|(l, _)| l.clone()).collect();
        let config = configuration(&plain);
        let config_digest = self.push_blob(repository, &config).await;
        let mut list = Vec::new();
        for (layer, packing) in layers {
            let (bytes, ending) = pack(layer, *packing);
            let digest = self.push_blob(repository, &bytes).await;
            let media = if docker {
                "application/vnd.docker.image.rootfs.diff.tar.gzip".to_string()
            } else {
                format!("application/vnd.oci.image.layer.v1.{ending}")
            };
            list.push(json!({ "mediaType": media, "digest": digest, "size": bytes.len() }));
        }
        let (media, config_media) = if docker {
            (
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.container.image.v1+json",
            )
        } else {
            (
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.oci.image.config.v1+json",
            )
        };
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media,
            "config": { "mediaType": config_media, "digest": config_digest, "size": config.len() },
            "layers": list,
        })
        .to_string()
        .into_bytes();
        let name = digest(&manifest);
        let descriptor = json!({ "mediaType": media, "digest": name, "size": manifest.len() });
        self.push(repository, reference.unwrap_or(&name), media, manifest).await;
        descriptor
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
