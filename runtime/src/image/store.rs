//! The image store of a node: which images are here, which layers they are made of, who uses them.
//!
//! On disk: `index.json` (all images), `layers/<name>` (unpacked layers, shared by images), `tmp/`
//! (work in progress; emptied at start). An image is in the index only when all its layers are
//! complete, and a layer gets its name only when it is unpacked, checked and flushed.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use super::{
    ImageInfo, PullOptions, archive, digest,
    manifest::{self, Configuration},
    pull, reference, unpack,
};
use crate::{
    error::{Error, Result},
    files::{self, Durability},
    pod::blocking,
    sys,
};

/// Layers unpacked at once.
const UNPACK_LIMIT: usize = 2;
/// How often, and with what pause, a store that is in use is tried.
const LOCK_TRIES: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(50);

/// Images on this node. Cheap to clone.
#[derive(Clone)]
pub struct ImageStore {
    pub(super) inner: Arc<Inner>,
}

type PullResult = Option<std::result::Result<ImageInfo, (ErrorKind, String)>>;

/// What survives of an error that several callers wait for.
#[derive(Debug, Clone, Copy)]
enum ErrorKind {
    Name,
    Content,
    Unsupported,
    Pull,
}

pub(super) struct Inner {
    pub dir: PathBuf,
    pub images: Mutex<BTreeMap<String, ImageInfo>>,
    /// Container id → image id.
    pins: Mutex<HashMap<String, String>>,
    pulls: Mutex<HashMap<String, watch::Receiver<PullResult>>>,
    unpacking: Semaphore,
    /// Locked while this process owns the store; the kernel unlocks it when the process dies.
    _owned: fs::File,
    /// Held while layers are removed or an image is entered, so that no layer vanishes in between.
    pub layers: tokio::sync::RwLock<()>,
}

impl std::fmt::Debug for ImageStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageStore").field("dir", &self.inner.dir).finish_non_exhaustive()
    }
}

/// An image that is complete but for being entered.
pub(super) struct NewImage {
    pub id: String,
    pub references: Vec<String>,
    pub digests: Vec<String>,
    pub configuration: Configuration,
    pub layers: Vec<String>,
    pub size_bytes: u64,
}

impl ImageStore {
    /// Opens the store and throws away what was left unfinished. Blocks. Images are a copy of what
    /// registries have: an index that cannot be read, or an image with a layer missing, is forgotten
    /// and pulled again. Layers stay until [`ImageStore::remove_unused`], since containers of an
    /// earlier daemon may run on them.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process has it open.
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        files::make_private_dir(dir)?;
        let owned = own(dir)?;
        files::remove_tree(&dir.join("tmp"))?;
        files::make_dir(&dir.join("tmp"))?;
        files::make_dir(&dir.join("layers"))?;
        let index = dir.join("index.json");
        let list: Vec<ImageInfo> = match index.try_exists() {
            Ok(true) => files::read_json(&index).unwrap_or_else(|error| {
                tracing::warn!(%error, "the list of images is damaged; images are pulled again");
                Vec::new()
            }),
            _ => Vec::new(),
        };
        let layer = |name: &String| dir.join("layers").join(name).is_dir();
        let whole = list.into_iter().filter(|i| i.layers.iter().all(layer));
        let images: BTreeMap<_, _> = whole.map(|i| (i.id.clone(), i)).collect();
        let inner = Inner {
            dir: dir.into(),
            images: Mutex::new(images),
            pins: Mutex::default(),
            pulls: Mutex::default(),
            unpacking: Semaphore::new(UNPACK_LIMIT),
            _owned: owned,
            layers: tokio::sync::RwLock::new(()),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Pulls `reference`; concurrent pulls of one reference are joined. Goes on when the caller gives
    /// up waiting.
    ///
    /// # Errors
    /// [`Error::ImageName`] for a malformed reference, [`Error::Pull`] when the registry does not
    /// give it, [`Error::ImageContent`] when what it gives fails a check.
    pub async fn pull(&self, reference: &str, options: &PullOptions) -> Result<ImageInfo> {
        let full = reference::parse(reference)?.to_string();
        loop {
            let mut receiver = self.join_pull(&full, options);
            match receiver.wait_for(Option::is_some).await.map(|r| r.clone()) {
                Ok(Some(Ok(info))) => return Ok(info),
                Ok(Some(Err((kind, reason)))) => {
                    let reference = reference.to_string();
                    return Err(match kind {
                        ErrorKind::Name => Error::ImageName { reference, reason },
                        ErrorKind::Content => Error::ImageContent(reason),
                        ErrorKind::Unsupported => Error::Unsupported(reason),
                        ErrorKind::Pull => Error::Pull { reference, reason },
                    });
                }
                // The task that pulled died: somebody has to try again.
                _ => drop(self.inner.pulls.lock().remove(&full)),
            }
        }
    }

    fn join_pull(&self, full: &str, options: &PullOptions) -> watch::Receiver<PullResult> {
        let mut pulls = self.inner.pulls.lock();
        if let Some(receiver) = pulls.get(full) {
            return receiver.clone();
        }
        let (sender, receiver) = watch::channel(None);
        pulls.insert(full.to_string(), receiver.clone());
        let (store, full, options) = (self.clone(), full.to_string(), options.clone());
        tokio::spawn(async move {
            let result = pull::pull(&store, &full, &options).await.map_err(|e| match e {
                Error::ImageName { reason, .. } => (ErrorKind::Name, reason),
                Error::ImageContent(reason) => (ErrorKind::Content, reason),
                Error::Unsupported(reason) => (ErrorKind::Unsupported, reason),
                Error::Pull { reason, .. } => (ErrorKind::Pull, reason),
                other => (ErrorKind::Pull, other.to_string()),
            });
            store.inner.pulls.lock().remove(&full);
            sender.send_replace(Some(result));
        });
        receiver
    }

    /// The image a reference (or an image id) leads to, if it is here. Short names are completed as
    /// Docker does (`busybox` is `docker.io/library/busybox:latest`).
    pub fn get(&self, reference: &str) -> Option<ImageInfo> {
        let images = self.inner.images.lock();
        if let Some(info) = images.get(reference) {
            return Some(info.clone());
        }
        let full = reference::parse(reference).ok()?.to_string();
        images.values().find(|i| i.references.contains(&full) || i.digests.contains(&full)).cloned()
    }

    /// Loads every image of a docker-archive or oci-archive tar; answers their references (the image
    /// id where an image has none).
    ///
    /// # Errors
    /// [`Error::ImageContent`] when the archive is malformed.
    pub async fn load(&self, path: &Path) -> Result<Vec<String>> {
        let work = self.work_dir()?;
        let result = archive::load(self, path, &work).await;
        blocking(move || files::remove_tree(&work)).await?;
        result
    }

    /// All images.
    pub fn list(&self) -> Vec<ImageInfo> {
        self.inner.images.lock().values().cloned().collect()
    }

    /// Ids of images that containers of this runtime use.
    pub fn in_use(&self) -> HashSet<String> {
        self.inner.pins.lock().values().cloned().collect()
    }

    /// Removes a reference, and the image when it was the last one; an image id removes all.
    ///
    /// # Errors
    /// [`Error::InUse`] when a container uses the image, [`Error::NotFound`] when it is not here.
    pub async fn remove(&self, reference: &str) -> Result<()> {
        let _guard = self.inner.layers.write().await;
        let info =
            self.get(reference).ok_or_else(|| Error::NotFound(format!("image {reference}")))?;
        let full = reference::parse(reference).map(|r| r.to_string()).unwrap_or_default();
        {
            let mut images = self.inner.images.lock();
            let pins = self.inner.pins.lock();
            let others = info.references.iter().any(|r| *r != full) && reference != info.id;
            if others && info.references.contains(&full) {
                if let Some(info) = images.get_mut(&info.id) {
                    info.references.retain(|r| *r != full);
                }
            } else if let Some((container, _)) = pins.iter().find(|(_, id)| **id == info.id) {
                return Err(Error::InUse(format!("image {reference} is used by {container}")));
            } else {
                images.remove(&info.id);
            }
        }
        let store = self.clone();
        blocking(move || {
            store.save()?;
            store.sweep()
        })
        .await
    }

    /// Notes that a container uses an image.
    pub(crate) fn pin(&self, container: &str, image: &str) -> Result<()> {
        let mut images = self.inner.images.lock();
        let info = images
            .get_mut(image)
            .ok_or_else(|| Error::NotFound(format!("image {image} (pull it again)")))?;
        info.used_at = SystemTime::now();
        self.inner.pins.lock().insert(container.into(), image.into());
        Ok(())
    }

    pub(crate) fn unpin(&self, container: &str) {
        self.inner.pins.lock().remove(container);
    }

    /// A fresh directory for work in progress.
    pub(super) fn work_dir(&self) -> Result<PathBuf> {
        let dir = self.inner.dir.join("tmp").join(uuid::Uuid::new_v4().to_string());
        files::make_private_dir(&dir)?;
        Ok(dir)
    }

    pub(super) fn has_layer(&self, name: &str) -> bool {
        self.inner.dir.join("layers").join(name).is_dir()
    }

    /// Unpacks a layer file on top of the layers named in `below` (lowest first), unless it is here.
    pub(super) async fn add_layer(
        &self,
        name: &str,
        file: &Path,
        diff_id: &str,
        below: &[String],
    ) -> Result<()> {
        if self.has_layer(name) {
            return Ok(());
        }
        let permit = self.inner.unpacking.acquire().await;
        let _permit = permit.map_err(|_| Error::Protocol("the store is closed".into()))?;
        let work = self.work_dir()?;
        let layers = self.inner.dir.join("layers");
        let target = layers.join(name);
        let parents: Vec<PathBuf> = below.iter().rev().map(|n| layers.join(n)).collect();
        let (file, diff_id) = (file.to_path_buf(), diff_id.to_string());
        blocking(move || {
            let result = install(&work, &file, &diff_id, &parents, &target);
            files::remove_tree(&work)?;
            result
        })
        .await
    }

    /// Enters an image whose layers are here, and takes its references from other images.
    pub(super) async fn add(&self, new: NewImage) -> Result<ImageInfo> {
        let _guard = self.inner.layers.read().await;
        if let Some(missing) = new.layers.iter().find(|n| !self.has_layer(n)) {
            return Err(Error::ImageContent(format!("layer {missing} vanished; pull again")));
        }
        let now = SystemTime::now();
        let id = new.id.clone();
        let (info, before) = {
            let mut images = self.inner.images.lock();
            let before = images.get(&id).cloned();
            for other in images.values_mut().filter(|i| i.id != new.id) {
                other.references.retain(|r| !new.references.contains(r));
            }
            let info = images.entry(new.id.clone()).or_insert_with(|| ImageInfo {
                id: new.id.clone(),
                config: new.configuration.config,
                layers: new.layers,
                size_bytes: new.size_bytes,
                created_at: now,
                ..Default::default()
            });
            info.used_at = now;
            merge(&mut info.references, new.references);
            merge(&mut info.digests, new.digests);
            (info.clone(), before)
        };
        let store = self.clone();
        if let Err(error) = blocking(move || store.save()).await {
            // What is not on disk is not there: it would be gone after a restart.
            let mut images = self.inner.images.lock();
            match before {
                Some(before) => drop(images.insert(id, before)),
                None => drop(images.remove(&id)),
            }
            return Err(error);
        }
        Ok(info)
    }

    pub(super) fn save(&self) -> Result<()> {
        let images = self.inner.images.lock();
        let list: Vec<&ImageInfo> = images.values().collect();
        files::write_json(&self.inner.dir.join("index.json"), &list, Durability::Disk)
    }
}

/// Takes the store for this process. A process that is just dying gets a moment to let go.
fn own(dir: &Path) -> Result<fs::File> {
    let path = dir.join("lock");
    let file = fs::File::create(&path).map_err(Error::file("cannot open", &path))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_WAIT),
            Err(fs::TryLockError::Error(e)) => return Err(Error::file("cannot lock", &path)(e)),
        }
    }
    Err(Error::InUse(format!(
        "the image store {} is open in another process; ask that one, or stop it",
        dir.display()
    )))
}

/// Names of the layers of a configuration; its layer count must be the manifest's.
pub(super) fn layer_names(configuration: &Configuration, count: usize) -> Result<Vec<String>> {
    if configuration.diff_ids.len() != count || count == 0 {
        return Err(Error::ImageContent(format!(
            "the manifest has {count} layers, the configuration {}",
            configuration.diff_ids.len()
        )));
    }
    digest::chain_names(&configuration.diff_ids)
}

/// Checks and understands a configuration against its digest.
pub(super) fn check_configuration(bytes: &[u8], expected: &str) -> Result<Configuration> {
    let actual = digest::of(bytes);
    if actual != expected {
        return Err(Error::ImageContent(format!(
            "the configuration has digest {actual}, the manifest says {expected}"
        )));
    }
    manifest::configuration(bytes)
}

fn merge(list: &mut Vec<String>, more: Vec<String>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

fn install(
    work: &Path,
    file: &Path,
    diff_id: &str,
    parents: &[PathBuf],
    target: &Path,
) -> Result<()> {
    let root = work.join("root");
    files::make_dir(&root)?;
    unpack::unpack(file, diff_id, parents, &root)?;
    sys::sync_fs(&root)?;
    match fs::rename(&root, target) {
        // Somebody unpacked the same layer meanwhile.
        Err(_) if target.is_dir() => Ok(()),
        other => other.map_err(Error::file("cannot move a layer to", target)),
    }
}
