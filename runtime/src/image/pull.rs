//! Pulling an image from a registry.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol},
    manifest::OciDescriptor,
};
use tokio::io::AsyncWriteExt;

use super::{
    ImageInfo, PullOptions, RegistryAuth, digest,
    manifest::{self, CONFIG_LIMIT_BYTES, Descriptor, Document, MANIFEST_LIMIT_BYTES, Manifest},
    reference,
    store::{ImageStore, NewImage, check_configuration, layer_names},
};
use crate::{
    error::{Error, Result},
    files,
    pod::blocking,
};

/// Layers of one image transferred at once.
const PARALLEL: usize = 3;
/// Tries for one blob, and the wait before the second; it doubles.
const TRIES: u32 = 3;
const RETRY_WAIT: Duration = Duration::from_millis(300);
/// How long a connection may take, and how long a registry may stay silent.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// How deep indexes may point at indexes.
const INDEX_DEPTH: usize = 3;
/// Bytes gathered before they are written to disk.
const WRITE_BUFFER_BYTES: usize = 256 * 1024;

struct Source {
    client: Client,
    reference: Reference,
    auth: oci_client::secrets::RegistryAuth,
}

/// Pulls the image named `full` into the store.
pub(super) async fn pull(
    store: &ImageStore,
    full: &str,
    options: &PullOptions,
) -> Result<ImageInfo> {
    let source = Source::new(full, options)?;
    let (bytes, top_digest) = source.manifest(&source.reference).await?;
    let manifest = source.image_manifest(bytes).await?;
    let config = source.small_blob(&manifest.config, CONFIG_LIMIT_BYTES).await?;
    let configuration = check_configuration(&config, &manifest.config.digest)?;
    let names = layer_names(&configuration, manifest.layers.len())?;
    let work = store.work_dir()?;
    let result = source.layers(store, &work, &manifest, &names, &configuration.diff_ids).await;
    blocking(move || files::remove_tree(&work)).await?;
    result?;
    let size = manifest.layers.iter().map(|l| l.size).sum::<u64>() + manifest.config.size;
    let reference = &source.reference;
    let repository = format!("{}/{}", reference.registry(), reference.repository());
    // A name with a digest is found by its digest.
    let tagged = reference.tag().is_some() && reference.digest().is_none();
    store
        .add(NewImage {
            id: manifest.config.digest.clone(),
            references: if tagged { vec![full.to_string()] } else { Vec::new() },
            digests: vec![format!("{repository}@{top_digest}")],
            configuration,
            layers: names,
            size_bytes: size,
        })
        .await
}

impl Source {
    fn new(full: &str, options: &PullOptions) -> Result<Self> {
        // The process's choice, if it made one, stands; without any, TLS would panic.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let reference = reference::parse(full)?;
        let registry = reference.resolve_registry().to_string();
        let mut plain = options.insecure_registries.clone();
        if reference::is_loopback(&registry) {
            plain.push(registry);
        }
        let config = ClientConfig {
            protocol: ClientProtocol::HttpsExcept(plain),
            connect_timeout: Some(CONNECT_LIMIT),
            read_timeout: Some(SILENCE_LIMIT),
            user_agent: concat!("kabuki/", env!("CARGO_PKG_VERSION")),
            ..Default::default()
        };
        let client = Client::try_from(config).map_err(|e| failed(full, &e))?;
        let auth = match &options.auth {
            RegistryAuth::Anonymous => oci_client::secrets::RegistryAuth::Anonymous,
            RegistryAuth::Basic(user, password) => {
                oci_client::secrets::RegistryAuth::Basic(user.clone(), password.clone())
            }
            RegistryAuth::Bearer(token) => oci_client::secrets::RegistryAuth::Bearer(token.clone()),
        };
        Ok(Self { client, reference, auth })
    }

    fn failed(&self, e: &dyn std::error::Error) -> Error {
        failed(&self.reference.to_string(), e)
    }

    async fn manifest(&self, reference: &Reference) -> Result<(Vec<u8>, String)> {
        let (bytes, _) = self
            .client
            .pull_manifest_raw(reference, &self.auth, &manifest::ACCEPTED)
            .await
            .map_err(|e| self.failed(&e))?;
        if bytes.len() as u64 > MANIFEST_LIMIT_BYTES {
            return Err(Error::ImageContent(format!("a manifest of {} bytes", bytes.len())));
        }
        let actual = digest::of(&bytes);
        if let Some(expected) = reference.digest()
            && expected != actual
        {
            return Err(Error::ImageContent(format!(
                "the manifest has digest {actual}, {expected} was asked for"
            )));
        }
        Ok((bytes.to_vec(), actual))
    }

    async fn image_manifest(&self, mut bytes: Vec<u8>) -> Result<Manifest> {
        for _ in 0..INDEX_DEPTH {
            match manifest::parse(&bytes)? {
                Document::Image(manifest) => return Ok(manifest),
                Document::Index(list) => {
                    let chosen = manifest::choose(&list)?;
                    let reference = self.reference.clone_with_digest(chosen.digest.clone());
                    digest::hex_of(&chosen.digest)?;
                    bytes = self.manifest(&reference).await?.0;
                }
            }
        }
        Err(Error::ImageContent("image indexes are nested too deeply".into()))
    }

    async fn small_blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        let blob = oci_descriptor(descriptor);
        let opened = self.client.pull_blob_stream(&self.reference, &blob).await;
        let mut stream = opened.map_err(|e| self.failed(&e))?.stream;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.try_next().await.map_err(|e| self.failed(&e))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > limit {
                return Err(Error::ImageContent(format!("a blob is larger than {limit} bytes")));
            }
        }
        Ok(bytes)
    }

    /// Transfers the layers that are not here, several at once, and unpacks them in order.
    async fn layers(
        &self,
        store: &ImageStore,
        work: &Path,
        manifest: &Manifest,
        names: &[String],
        diff_ids: &[String],
    ) -> Result<()> {
        let transfers: Vec<_> = (0..manifest.layers.len())
            .map(|at| {
                self.missing_layer(
                    store,
                    &names[at],
                    &manifest.layers[at],
                    work.join(at.to_string()),
                )
            })
            .collect();
        let mut arrived = stream::iter(transfers).buffered(PARALLEL);
        let mut at = 0;
        while let Some(file) = arrived.try_next().await? {
            if let Some(file) = file {
                store.add_layer(&names[at], &file, &diff_ids[at], &names[..at]).await?;
                blocking(move || files::remove_file(&file)).await?;
            }
            at += 1;
        }
        Ok(())
    }

    /// Transfers a layer to `file` unless it is here already.
    async fn missing_layer(
        &self,
        store: &ImageStore,
        name: &str,
        layer: &Descriptor,
        file: PathBuf,
    ) -> Result<Option<PathBuf>> {
        if store.has_layer(name) {
            return Ok(None);
        }
        self.transfer(layer, &file).await?;
        Ok(Some(file))
    }

    async fn transfer(&self, layer: &Descriptor, file: &Path) -> Result<()> {
        let mut wait = RETRY_WAIT;
        for attempt in 1.. {
            match self.try_transfer(layer, file).await {
                // What arrived was wrong, or it never will: asking again does not help.
                Err(e @ (Error::ImageContent(_) | Error::File { .. })) => return Err(e),
                Err(e) if attempt >= TRIES => return Err(e),
                Err(_) => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Ok(()) => break,
            }
        }
        Ok(())
    }

    async fn try_transfer(&self, layer: &Descriptor, file: &Path) -> Result<()> {
        let blob = oci_descriptor(layer);
        let opened = self.client.pull_blob_stream(&self.reference, &blob).await;
        let mut stream = opened.map_err(|e| self.failed(&e))?.stream;
        let made = tokio::fs::File::create(file).await.map_err(Error::file("cannot make", file))?;
        let mut out = tokio::io::BufWriter::with_capacity(WRITE_BUFFER_BYTES, made);
        let mut hasher = digest::Hasher::default();
        let mut size = 0u64;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|e| self.failed(&e))?;
            size += chunk.len() as u64;
            if size > layer.size {
                return Err(Error::ImageContent(format!(
                    "layer {} is larger than the {} bytes of its manifest",
                    layer.digest, layer.size
                )));
            }
            hasher.update(&chunk);
            out.write_all(&chunk).await.map_err(Error::file("cannot write", file))?;
        }
        out.flush().await.map_err(Error::file("cannot write", file))?;
        if size < layer.size {
            return Err(failed(
                &self.reference.to_string(),
                &std::io::Error::other(format!("layer {} ended early", layer.digest)),
            ));
        }
        let actual = hasher.finish();
        if actual != layer.digest {
            return Err(Error::ImageContent(format!(
                "a layer has digest {actual}, the manifest says {}",
                layer.digest
            )));
        }
        Ok(())
    }
}

fn oci_descriptor(descriptor: &Descriptor) -> OciDescriptor {
    OciDescriptor {
        media_type: descriptor.media_type.clone(),
        digest: descriptor.digest.clone(),
        size: i64::try_from(descriptor.size).unwrap_or(i64::MAX),
        ..Default::default()
    }
}

fn failed(reference: &str, e: &dyn std::error::Error) -> Error {
    let mut reason = e.to_string();
    let mut next = e.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !reason.contains(&more) {
            reason.push_str(": ");
            reason.push_str(&more);
        }
        next = cause.source();
    }
    Error::Pull { reference: reference.to_string(), reason }
}
