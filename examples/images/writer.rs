//! A small writer of container images: layers from files of this machine, an OCI or Docker manifest,
//! and archives of both kinds.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Plain tar.
    None,
    /// gzip.
    Gzip,
    /// zstd (OCI only).
    Zstd,
}

/// Which manifest format is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OCI image specification 1.1.
    Oci,
    /// Docker image manifest v2, schema 2.
    Docker,
}

/// Bytes with their digest and media type.
#[derive(Debug, Clone)]
pub struct Blob {
    /// `sha256:<hex>`.
    pub digest: String,
    /// Media type in a manifest.
    pub media_type: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// The files of one layer.
#[derive(Debug, Default)]
pub struct Layer {
    tar: Vec<(String, Entry)>,
}

#[derive(Debug)]
enum Entry {
    File(Vec<u8>, u32),
    Link(String),
    Dir(u32),
}

impl Layer {
    /// Adds a file.
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.tar.push((relative(path), Entry::File(content.into(), mode)));
        self
    }

    /// Adds a symbolic link.
    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.tar.push((relative(path), Entry::Link(target.to_string())));
        self
    }

    /// Adds a directory.
    pub fn dir(mut self, path: &str, mode: u32) -> Self {
        self.tar.push((relative(path), Entry::Dir(mode)));
        self
    }

    /// Adds a file of this machine, following symbolic links, under the same path.
    pub fn host_file(self, path: &Path) -> Self {
        let content =
            std::fs::read(path).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
        self.file(&path.to_string_lossy(), content, 0o755)
    }

    /// Adds a program of this machine and the shared libraries it needs.
    pub fn program(mut self, path: &str) -> Self {
        self = self.host_file(Path::new(path));
        for library in libraries(path) {
            self = self.host_file(&library);
        }
        self
    }

    fn tar(&self) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, entry) in &self.tar {
            let mut header = tar::Header::new_gnu();
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            let content: &[u8] = match entry {
                Entry::File(content, mode) => {
                    header.set_entry_type(tar::EntryType::Regular);
                    header.set_mode(*mode);
                    content
                }
                Entry::Link(target) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_mode(0o777);
                    header.set_link_name(target).expect("link");
                    &[]
                }
                Entry::Dir(mode) => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_mode(*mode);
                    &[]
                }
            };
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, path, content).expect("tar entry");
        }
        builder.into_inner().expect("tar")
    }
}

/// An image: config, layers and manifest format.
#[derive(Debug, Clone)]
pub struct Image {
    format: Format,
    config: Blob,
    layers: Vec<Blob>,
}

impl Image {
    /// Builds an image. `process` holds the `config` object: Cmd, Entrypoint, Env, ….
    pub fn new(format: Format, process: &Value, layers: &[(Layer, Compression)]) -> Self {
        let mut diff_ids = Vec::new();
        let mut blobs = Vec::new();
        for (layer, compression) in layers {
            let tar = layer.tar();
            diff_ids.push(digest(&tar));
            blobs.push(blob(layer_type(format, *compression), compress(tar, *compression)));
        }
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": process,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let media_type = match format {
            Format::Oci => "application/vnd.oci.image.config.v1+json",
            Format::Docker => "application/vnd.docker.container.image.v1+json",
        };
        Self { format, config: blob(media_type, config.to_string().into_bytes()), layers: blobs }
    }

    /// Everything a manifest refers to.
    pub fn blobs(&self) -> Vec<&Blob> {
        self.layers.iter().chain([&self.config]).collect()
    }

    /// Media type of the manifest.
    pub fn manifest_type(&self) -> &'static str {
        match self.format {
            Format::Oci => "application/vnd.oci.image.manifest.v1+json",
            Format::Docker => "application/vnd.docker.distribution.manifest.v2+json",
        }
    }

    /// The manifest.
    pub fn manifest(&self) -> Vec<u8> {
        let describe = |b: &Blob| json!({"mediaType": b.media_type, "digest": b.digest, "size": b.bytes.len()});
        json!({
            "schemaVersion": 2,
            "mediaType": self.manifest_type(),
            "config": describe(&self.config),
            "layers": self.layers.iter().map(describe).collect::<Vec<_>>(),
        })
        .to_string()
        .into_bytes()
    }

    /// An OCI layout in a tar, as `skopeo copy … oci-archive:` writes.
    pub fn oci_archive(&self, name: &str) -> Vec<u8> {
        let manifest = self.manifest();
        let index = json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": self.manifest_type(),
                "digest": digest(&manifest),
                "size": manifest.len(),
                "annotations": {"org.opencontainers.image.ref.name": name},
            }],
        });
        let mut layer = Layer::default()
            .file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)
            .file("index.json", index.to_string(), 0o644)
            .file(&blob_path(&digest(&manifest)), manifest, 0o644);
        for blob in self.blobs() {
            layer = layer.file(&blob_path(&blob.digest), blob.bytes.clone(), 0o644);
        }
        layer.tar()
    }

    /// An archive as `docker save` writes.
    pub fn docker_archive(&self, name: &str) -> Vec<u8> {
        let plain = |d: &str| d.trim_start_matches("sha256:").to_string();
        let layer_names: Vec<String> =
            self.layers.iter().map(|l| format!("{}/layer.tar", plain(&l.digest))).collect();
        let config_name = format!("{}.json", plain(&self.config.digest));
        let manifest = json!([{"Config": config_name, "RepoTags": [name], "Layers": layer_names}]);
        let mut layer = Layer::default().file("manifest.json", manifest.to_string(), 0o644).file(
            &config_name,
            self.config.bytes.clone(),
            0o644,
        );
        for (name, blob) in layer_names.iter().zip(&self.layers) {
            layer = layer.file(name, blob.bytes.clone(), 0o644);
        }
        layer.tar()
    }
}

/// Debian's static busybox with its applets as links.
pub fn busybox(format: Format) -> Image {
    let applets = "sh ls cat echo sleep wget nslookup hostname id env ps kill date head tail grep \
                   sed timeout true false test touch mkdir rm mv ip ping nc httpd mount df dd printf seq";
    let mut links = Layer::default().dir("tmp", 0o1777).dir("etc", 0o755).file(
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
        0o644,
    );
    for applet in applets.split_whitespace() {
        links = links.link(&format!("bin/{applet}"), "/bin/busybox");
    }
    let second = if format == Format::Oci { Compression::Zstd } else { Compression::Gzip };
    Image::new(
        format,
        &json!({"Cmd": ["/bin/sh"], "Env": ["PATH=/bin:/usr/bin:/sbin"]}),
        &[
            (Layer::default().host_file(Path::new("/bin/busybox")), Compression::Gzip),
            (links, second),
        ],
    )
}

/// Debian's nginx, serving /usr/share/nginx/html on port 80.
pub fn nginx(format: Format) -> Image {
    let config = "daemon off;\nuser root;\nworker_processes 1;\npid /tmp/nginx.pid;\n\
        error_log /dev/stderr warn;\nevents { worker_connections 256; }\n\
        http {\n  access_log /dev/stdout;\n  default_type text/html;\n\
        client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f; \
        uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;\n\
        server { listen 80; root /usr/share/nginx/html; index index.html; }\n}\n";
    let program = Layer::default().program("/usr/sbin/nginx");
    let files = Layer::default()
        .dir("tmp", 0o1777)
        .dir("var/log/nginx", 0o755)
        .dir("var/lib/nginx", 0o755)
        .dir("run", 0o755)
        .file("etc/nginx/nginx.conf", config, 0o644)
        .file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644)
        .file("etc/group", "root:x:0:\n", 0o644)
        .file("usr/share/nginx/html/index.html", "<h1>nginx</h1>\n", 0o644);
    Image::new(
        format,
        &json!({"Entrypoint": ["/usr/sbin/nginx"], "Cmd": ["-c", "/etc/nginx/nginx.conf"],
                "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGQUIT"}),
        &[(program, Compression::Gzip), (files, Compression::None)],
    )
}

fn relative(path: &str) -> String {
    path.trim_start_matches('/').to_string()
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn blob(media_type: &str, bytes: Vec<u8>) -> Blob {
    Blob { digest: digest(&bytes), media_type: media_type.to_string(), bytes }
}

fn layer_type(format: Format, compression: Compression) -> &'static str {
    match (format, compression) {
        (Format::Oci, Compression::None) => "application/vnd.oci.image.layer.v1.tar",
        (Format::Oci, Compression::Gzip) => "application/vnd.oci.image.layer.v1.tar+gzip",
        (Format::Oci, Compression::Zstd) => "application/vnd.oci.image.layer.v1.tar+zstd",
        (Format::Docker, Compression::None) => "application/vnd.docker.image.rootfs.diff.tar",
        (Format::Docker, _) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
    }
}

fn compress(tar: Vec<u8>, compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => tar,
        Compression::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&tar).and_then(|()| encoder.finish()).expect("gzip")
        }
        Compression::Zstd => zstd::encode_all(tar.as_slice(), 3).expect("zstd"),
    }
}

/// The shared libraries `ldd` names, the loader included.
fn libraries(program: &str) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().expect("ldd");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}
