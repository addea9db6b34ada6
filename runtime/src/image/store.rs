//! The image store of a node.

use std::{collections::HashSet, path::Path};

use super::{ImageInfo, PullOptions};
use crate::error::{Error, Result};

/// Images on this node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ImageStore;

impl ImageStore {
    /// Pulls `reference`; concurrent pulls of one reference are joined.
    ///
    /// # Errors
    /// [`Error::ImageName`] for a malformed reference, [`Error::Pull`] when the registry does not
    /// give it, [`Error::ImageContent`] when what it gives fails a check.
    pub async fn pull(&self, reference: &str, _options: &PullOptions) -> Result<ImageInfo> {
        Err(Error::Unsupported(format!("pull of {reference}")))
    }

    /// The image a reference (or an image id) leads to, if it is here. Short names are completed as
    /// Docker does (`busybox` is `docker.io/library/busybox:latest`).
    pub fn get(&self, _reference: &str) -> Option<ImageInfo> {
        None
    }

    /// Loads every image of a docker-archive or oci-archive tar; answers their references.
    ///
    /// # Errors
    /// [`Error::ImageContent`] when the archive is malformed.
    pub async fn load(&self, path: &Path) -> Result<Vec<String>> {
        Err(Error::Unsupported(format!("load of {}", path.display())))
    }

    /// All images.
    pub fn list(&self) -> Vec<ImageInfo> {
        Vec::new()
    }

    /// Images without a container in this runtime, least recently used first.
    pub fn unused(&self) -> Vec<ImageInfo> {
        Vec::new()
    }

    /// Ids of images that containers of this runtime use.
    pub fn in_use(&self) -> HashSet<String> {
        HashSet::new()
    }

    /// Removes a reference, and the image when it was the last one; an image id removes all.
    ///
    /// # Errors
    /// [`Error::InUse`] when a container uses the image, [`Error::NotFound`] when it is not here.
    pub async fn remove(&self, reference: &str) -> Result<()> {
        Err(Error::NotFound(format!("image {reference}")))
    }
}
