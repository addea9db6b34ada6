//! Manifests and configurations, OCI and Docker v2, as far as they are needed.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ImageConfig, digest};
use crate::error::{Error, Result};

/// Media types asked for, in order of preference.
pub(super) const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// Largest manifest.
pub(super) const MANIFEST_LIMIT_BYTES: u64 = 4 * 1024 * 1024;
/// Largest configuration.
pub(super) const CONFIG_LIMIT_BYTES: u64 = 8 * 1024 * 1024;
/// Largest compressed layer.
pub(super) const LAYER_LIMIT_BYTES: u64 = 16 * 1024 * 1024 * 1024;
/// Most layers: more do not fit into the mount options.
const LAYER_COUNT_LIMIT: usize = 120;

/// A reference to content.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    #[serde(default)]
    pub platform: Option<Platform>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// What an entry of an index is made for.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Platform {
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub os: String,
    #[serde(default)]
    pub variant: String,
}

/// A manifest of one image.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
}

/// One image, or a choice of several.
#[derive(Debug, Clone)]
pub(super) enum Document {
    Image(Manifest),
    Index(Vec<Descriptor>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    schema_version: u32,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

/// Understands a manifest or an index.
pub(super) fn parse(bytes: &[u8]) -> Result<Document> {
    let raw: Raw = serde_json::from_slice(bytes)
        .map_err(|e| Error::ImageContent(format!("the manifest is not understood: {e}")))?;
    match raw {
        Raw { manifests: Some(list), .. } => Ok(Document::Index(list)),
        Raw { config: Some(config), layers: Some(layers), .. } => {
            check(&config, &layers)?;
            Ok(Document::Image(Manifest { config, layers }))
        }
        Raw { schema_version: 1, .. } => Err(Error::Unsupported(
            "the image has a Docker schema 1 manifest; push it again with a current tool".into(),
        )),
        _ => Err(Error::ImageContent("the manifest has neither layers nor manifests".into())),
    }
}

fn check(config: &Descriptor, layers: &[Descriptor]) -> Result<()> {
    if layers.len() > LAYER_COUNT_LIMIT {
        return Err(Error::Unsupported(format!(
            "an image of {} layers; at most {LAYER_COUNT_LIMIT} can be mounted",
            layers.len()
        )));
    }
    if config.size > CONFIG_LIMIT_BYTES {
        return Err(Error::ImageContent(format!("a configuration of {} bytes", config.size)));
    }
    for layer in layers {
        digest::hex_of(&layer.digest)?;
        if layer.size > LAYER_LIMIT_BYTES {
            return Err(Error::ImageContent(format!(
                "a layer of {} bytes is over the limit of {LAYER_LIMIT_BYTES}",
                layer.size
            )));
        }
        let known = layer.media_type.is_empty() || layer.media_type.contains(".tar");
        if !known || layer.media_type.contains("foreign") {
            return Err(Error::Unsupported(format!(
                "layers of type {:?}; this is not a container image for this system",
                layer.media_type
            )));
        }
    }
    digest::hex_of(&config.digest).map(drop)
}

/// The entry of an index for this machine.
pub(super) fn choose(list: &[Descriptor]) -> Result<&Descriptor> {
    let architecture = architecture();
    let fits = |d: &&Descriptor| match &d.platform {
        Some(p) => p.os == "linux" && p.architecture == architecture,
        // An index of one image (a saved archive) need not say for what it is.
        None => list.len() == 1,
    };
    // The plainest variant runs everywhere.
    list.iter()
        .filter(fits)
        .min_by_key(|d| d.platform.as_ref().map_or(0, |p| p.variant.len()))
        .ok_or_else(|| {
            Error::ImageContent(format!("no manifest for linux/{architecture} in the image index"))
        })
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}

/// What a configuration says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Configuration {
    pub config: ImageConfig,
    pub diff_ids: Vec<String>,
}

/// Understands an image configuration.
pub(super) fn configuration(bytes: &[u8]) -> Result<Configuration> {
    #[derive(Deserialize)]
    struct Root {
        #[serde(default)]
        config: Option<Inner>,
        rootfs: RootFs,
    }
    #[derive(Deserialize)]
    struct RootFs {
        #[serde(default)]
        diff_ids: Vec<String>,
    }
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "PascalCase", default)]
    struct Inner {
        env: Option<Vec<String>>,
        cmd: Option<Vec<String>>,
        entrypoint: Option<Vec<String>>,
        user: Option<String>,
        working_dir: Option<String>,
        stop_signal: Option<String>,
        labels: Option<BTreeMap<String, String>>,
        volumes: Option<BTreeMap<String, serde_json::Value>>,
    }
    let root: Root = serde_json::from_slice(bytes)
        .map_err(|e| Error::ImageContent(format!("the configuration is not understood: {e}")))?;
    let inner = root.config.unwrap_or_default();
    let config = ImageConfig {
        env: inner.env.unwrap_or_default(),
        cmd: inner.cmd.unwrap_or_default(),
        entrypoint: inner.entrypoint.unwrap_or_default(),
        user: inner.user.unwrap_or_default(),
        working_dir: inner.working_dir.unwrap_or_default(),
        stop_signal: inner.stop_signal.unwrap_or_default(),
        labels: inner.labels.unwrap_or_default(),
        volumes: inner.volumes.unwrap_or_default().into_keys().collect(),
    };
    Ok(Configuration { config, diff_ids: root.rootfs.diff_ids })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(os: &str, architecture: &str, variant: &str) -> Descriptor {
        Descriptor {
            media_type: String::new(),
            digest: format!("{os}/{architecture}/{variant}"),
            size: 1,
            platform: Some(Platform {
                os: os.into(),
                architecture: architecture.into(),
                variant: variant.into(),
            }),
            annotations: BTreeMap::new(),
        }
    }

    #[test]
    fn the_entry_of_this_machine_is_chosen() {
        let own = architecture();
        let list = [
            entry("windows", own, ""),
            entry("linux", "mips", ""),
            entry("linux", own, "v3"),
            entry("linux", own, ""),
            entry("unknown", "unknown", ""),
        ];
        assert_eq!(choose(&list).expect("entry").digest, format!("linux/{own}/"));
        assert!(choose(&list[..2]).is_err());
        let plain = Descriptor { platform: None, ..entry("", "", "") };
        assert!(choose(&[plain]).is_ok());
    }

    #[test]
    fn bad_manifests_are_refused() {
        let digest = digest::of(b"x");
        let manifest = |media: &str, digest: &str, size: u64| {
            format!(
                r#"{{"schemaVersion":2,"config":{{"digest":"{digest}","size":2}},
                "layers":[{{"mediaType":"{media}","digest":"{digest}","size":{size}}}]}}"#
            )
        };
        let ok = "application/vnd.oci.image.layer.v1.tar+zstd";
        assert!(parse(manifest(ok, &digest, 5).as_bytes()).is_ok());
        assert!(parse(manifest("application/wasm", &digest, 5).as_bytes()).is_err());
        assert!(parse(manifest(ok, "sha256:../..", 5).as_bytes()).is_err());
        assert!(parse(manifest(ok, &digest, u64::MAX).as_bytes()).is_err());
        assert!(parse(br#"{"schemaVersion":1}"#).is_err());
        assert!(parse(b"{}").is_err());
    }

    #[test]
    fn configurations_may_leave_things_out() {
        let text = br#"{"config":{"Env":null,"Cmd":["a"],"User":"web","Volumes":{"/d":{}}},
            "rootfs":{"type":"layers","diff_ids":["x"]}}"#;
        let got = configuration(text).expect("configuration");
        assert_eq!(got.config.cmd, ["a"]);
        assert_eq!(got.config.volumes, ["/d"]);
        assert_eq!(got.diff_ids, ["x"]);
        assert!(configuration(br#"{"config":{}}"#).is_err());
    }
}
