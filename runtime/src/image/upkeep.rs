//! What keeps the image store in order: layers nobody needs, images of running containers.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::Path,
};

use super::{ImageInfo, ImageStore};
use crate::{
    error::{Error, Result},
    files,
    pod::blocking,
};

impl ImageStore {
    /// Images without a container in this runtime, least recently used first: what can be removed
    /// when the disk is full.
    pub fn unused(&self) -> Vec<ImageInfo> {
        let used = self.in_use();
        let mut list = self.list();
        list.retain(|i| !used.contains(&i.id));
        list.sort_by_key(|i| i.used_at);
        list
    }

    /// Removes layers that no image is made of.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub(crate) async fn remove_unused(&self) -> Result<()> {
        let _guard = self.inner.layers.write().await;
        let store = self.clone();
        blocking(move || store.sweep()).await
    }

    /// Enters an image again that a running container was made of, and pins it.
    ///
    /// # Errors
    /// When a layer is gone, or the index cannot be written.
    pub(crate) async fn restore(&self, container: &str, info: ImageInfo) -> Result<()> {
        if let Some(missing) = info.layers.iter().find(|n| !self.has_layer(n)) {
            return Err(Error::ImageContent(format!("layer {missing} is gone")));
        }
        let id = info.id.clone();
        self.inner.images.lock().entry(id.clone()).or_insert(info);
        self.pin(container, &id)?;
        let store = self.clone();
        blocking(move || store.save()).await
    }

    /// Removes layers that no image is made of. The caller holds the layers' lock.
    pub(super) fn sweep(&self) -> Result<()> {
        let images = self.inner.images.lock().clone();
        remove_unused_layers(&self.inner.dir, &images)
    }
}

/// Removes layers no image is made of; they are moved aside first, so that a crash leaves nothing
/// that looks whole.
fn remove_unused_layers(dir: &Path, images: &BTreeMap<String, ImageInfo>) -> Result<()> {
    let used: HashSet<&String> = images.values().flat_map(|i| &i.layers).collect();
    let layers = dir.join("layers");
    let entries = fs::read_dir(&layers).map_err(Error::file("cannot list", &layers))?;
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if !used.contains(&name) {
            let aside = dir.join("tmp").join(uuid::Uuid::new_v4().to_string());
            fs::rename(entry.path(), &aside)
                .map_err(Error::file("cannot set aside layer", entry.path()))?;
            files::remove_tree(&aside)?;
        }
    }
    Ok(())
}
