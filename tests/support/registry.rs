//! Debian's docker-registry on one of the hosts, and pushing to it.

use std::{path::Path, time::Duration};

use super::{eventually, host::Host, image::Image, process::Process};

/// Port of the registry.
const PORT: u16 = 5000;

/// A running registry; gone when dropped.
pub struct Registry {
    host: Host,
    _process: Process,
}

impl Registry {
    /// Starts a registry on `host` that stores below `dir`.
    pub fn start(host: &Host, dir: &Path) -> Self {
        let config = dir.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '{}:{PORT}'}}\n",
            dir.join("registry").display(),
            host.address
        );
        std::fs::write(&config, text).expect("registry config");
        let mut command = host.command("docker-registry");
        command.arg("serve").arg(&config);
        let process = Process::start(command, &dir.join("registry.log"));
        let registry = Self { host: host.clone(), _process: process };
        let url = format!("http://{}/v2/", registry.name());
        eventually("registry answers", Duration::from_secs(10), || {
            host.block_on(async { reqwest::get(&url).await.map_err(|e| e.to_string()).map(drop) })
        });
        registry
    }

    /// `host:port`, as it stands in image names.
    pub fn name(&self) -> String {
        format!("{}:{PORT}", self.host.address)
    }

    /// Pushes an image under `name:tag` and returns its full name.
    pub fn push(&self, image: &Image, name: &str, tag: &str) -> String {
        let base = format!("http://{}/v2/{name}", self.name());
        self.host.block_on(async {
            let client = reqwest::Client::new();
            for blob in image.blobs() {
                let started = client
                    .post(format!("{base}/blobs/uploads/"))
                    .send()
                    .await
                    .and_then(reqwest::Response::error_for_status)
                    .expect("upload starts");
                let location =
                    started.headers()["location"].to_str().expect("location").to_string();
                let separator = if location.contains('?') { '&' } else { '?' };
                client
                    .put(format!("{location}{separator}digest={}", blob.digest))
                    .header("content-type", "application/octet-stream")
                    .body(blob.bytes.clone())
                    .send()
                    .await
                    .and_then(reqwest::Response::error_for_status)
                    .expect("upload ends");
            }
            client
                .put(format!("{base}/manifests/{tag}"))
                .header("content-type", image.manifest_type())
                .body(image.manifest())
                .send()
                .await
                .and_then(reqwest::Response::error_for_status)
                .expect("manifest is taken");
        });
        format!("{}/{name}:{tag}", self.name())
    }
}
