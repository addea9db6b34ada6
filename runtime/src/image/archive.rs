//! Loading images from tar archives: what `docker save` writes and OCI image layouts.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    bounded::{Bounded, unpacked_limit},
    digest,
    manifest::{self, CONFIG_LIMIT_BYTES, Descriptor, Document, MANIFEST_LIMIT_BYTES},
    reference,
    store::{ImageStore, NewImage, check_configuration, layer_names},
    unpack,
};
use crate::{
    error::{Error, Result},
    files,
    pod::blocking,
};

/// Most files in an archive, and most bytes.
const FILE_LIMIT: usize = 10_000;
const ARCHIVE_LIMIT_BYTES: u64 = 64 * 1024 * 1024 * 1024;
/// How often a link in an archive may point at another link.
const LINK_DEPTH: usize = 8;
/// Names of images in an OCI layout.
const NAME_ANNOTATIONS: [&str; 2] =
    ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// An archive spread out on disk.
struct Contents {
    files: HashMap<String, PathBuf>,
    links: HashMap<String, String>,
}

/// An image described by an archive.
struct Found {
    references: Vec<String>,
    digests: Vec<String>,
    config_digest: String,
    config: Vec<u8>,
    layers: Vec<(PathBuf, u64)>,
}

/// Loads all images of the archive at `path`.
pub(super) async fn load(store: &ImageStore, path: &Path, work: &Path) -> Result<Vec<String>> {
    let (path, dir) = (path.to_path_buf(), work.to_path_buf());
    let images = blocking(move || {
        let contents = spread(&path, &dir)?;
        if contents.find("manifest.json").is_some() {
            docker(&contents)
        } else if contents.find("index.json").is_some() {
            oci(&contents)
        } else {
            Err(Error::ImageContent(
                "neither manifest.json nor index.json is in it; use an archive made by `docker save` or an OCI image layout".into(),
            ))
        }
    })
    .await?;
    let mut loaded = Vec::new();
    for image in images {
        let configuration = check_configuration(&image.config, &image.config_digest)?;
        let names = layer_names(&configuration, image.layers.len())?;
        for (at, (file, _)) in image.layers.iter().enumerate() {
            let diff_id = &configuration.diff_ids[at];
            store.add_layer(&names[at], file, diff_id, &names[..at]).await?;
        }
        let info = store
            .add(NewImage {
                id: image.config_digest,
                references: image.references.clone(),
                digests: image.digests,
                configuration,
                layers: names,
                size_bytes: image.layers.iter().map(|(_, size)| size).sum(),
            })
            .await?;
        if image.references.is_empty() {
            loaded.push(info.id);
        }
        loaded.extend(image.references);
    }
    Ok(loaded)
}

/// Writes every file of the archive to `dir` under a number: names from outside never become paths.
fn spread(path: &Path, dir: &Path) -> Result<Contents> {
    let packed = fs::metadata(path).map_err(Error::file("cannot open", path))?.len();
    let limit = unpacked_limit(packed, ARCHIVE_LIMIT_BYTES);
    let (stream, headers) = Bounded::new(unpack::open_stream(path)?, limit);
    let mut archive = tar::Archive::new(stream);
    let mut contents = Contents { files: HashMap::new(), links: HashMap::new() };
    let (mut total, mut count) = (0u64, 0);
    let bad = |e: io::Error| Error::ImageContent(format!("the archive cannot be read: {e}"));
    let mut entries = archive.entries().map_err(bad)?;
    while let Some(entry) = headers.next(&mut entries) {
        let mut entry = entry.map_err(bad)?;
        let name = normal(&entry.path().map_err(bad)?.to_string_lossy());
        let kind = entry.header().entry_type();
        if count >= FILE_LIMIT {
            return Err(Error::ImageContent(format!("the archive has over {FILE_LIMIT} files")));
        }
        if kind.is_symlink() || kind.is_hard_link() {
            let link = entry.link_name().map_err(bad)?.unwrap_or_default();
            let link = link.to_string_lossy();
            let target = match Path::new(&name).parent() {
                Some(parent) if kind.is_symlink() => normal(&parent.join(&*link).to_string_lossy()),
                _ => normal(&link),
            };
            contents.links.insert(name, target);
        } else if kind.is_file() {
            total = total.saturating_add(entry.size());
            if total > limit {
                return Err(Error::ImageContent("the archive is too large".into()));
            }
            let file = dir.join(count.to_string());
            let mut out = File::create(&file).map_err(Error::file("cannot make", &file))?;
            io::copy(&mut entry, &mut out).map_err(bad)?;
            contents.files.insert(name, file);
        }
        io::copy(&mut entry, &mut io::sink()).map_err(bad)?;
        count += 1;
    }
    Ok(contents)
}

/// `./a/../b` as `b`.
fn normal(name: &str) -> String {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

impl Contents {
    fn find(&self, name: &str) -> Option<&PathBuf> {
        let mut name = normal(name);
        for _ in 0..LINK_DEPTH {
            match self.files.get(&name) {
                Some(file) => return Some(file),
                None => name = self.links.get(&name)?.clone(),
            }
        }
        None
    }

    fn file(&self, name: &str) -> Result<&PathBuf> {
        self.find(name)
            .ok_or_else(|| Error::ImageContent(format!("{name} is missing in the archive")))
    }

    fn small(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        files::read_limited(self.file(name)?, limit)
    }

    /// A blob of an OCI layout, with its digest checked.
    fn blob(&self, digest: &str) -> Result<PathBuf> {
        let file = self.file(&format!("blobs/sha256/{}", digest::hex_of(digest)?))?;
        let input = File::open(file).map_err(Error::file("cannot open", file))?;
        let mut hashing = digest::Hashing::new(input.take(u64::MAX), u64::MAX);
        io::copy(&mut hashing, &mut io::sink()).map_err(Error::file("cannot read", file))?;
        let actual = hashing.digest();
        if actual != digest {
            return Err(Error::ImageContent(format!("blob {digest} has digest {actual}")));
        }
        Ok(file.clone())
    }
}

fn with_size(file: PathBuf) -> Result<(PathBuf, u64)> {
    let size = fs::metadata(&file).map_err(Error::file("cannot read", &file))?.len();
    Ok((file, size))
}

fn docker(contents: &Contents) -> Result<Vec<Found>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Item {
        config: String,
        #[serde(default)]
        repo_tags: Option<Vec<String>>,
        layers: Vec<String>,
    }
    let bytes = contents.small("manifest.json", MANIFEST_LIMIT_BYTES)?;
    let items: Vec<Item> = serde_json::from_slice(&bytes)
        .map_err(|e| Error::ImageContent(format!("manifest.json is not understood: {e}")))?;
    let mut found = Vec::new();
    for item in items {
        let config = contents.small(&item.config, CONFIG_LIMIT_BYTES)?;
        let mut references = Vec::new();
        for tag in item.repo_tags.unwrap_or_default() {
            references.push(reference::parse(&tag)?.to_string());
        }
        let layers = item.layers.iter().map(|l| with_size(contents.file(l)?.clone()));
        found.push(Found {
            references,
            digests: Vec::new(),
            // Nothing in this format says what the digest should be; layers are checked against the
            // configuration.
            config_digest: digest::of(&config),
            config,
            layers: layers.collect::<Result<_>>()?,
        });
    }
    Ok(found)
}

fn oci(contents: &Contents) -> Result<Vec<Found>> {
    let bytes = contents.small("index.json", MANIFEST_LIMIT_BYTES)?;
    let Document::Index(list) = manifest::parse(&bytes)? else {
        return Err(Error::ImageContent("index.json is no index".into()));
    };
    list.iter().map(|top| oci_image(contents, top)).collect()
}

fn oci_image(contents: &Contents, top: &Descriptor) -> Result<Found> {
    let name = NAME_ANNOTATIONS.iter().find_map(|key| {
        // A bare tag is no name: it says nothing about the repository.
        top.annotations.get(*key).filter(|n| n.contains('/') || n.contains(':'))
    });
    let parsed = name.map(|n| reference::parse(n)).transpose()?;
    let mut bytes = files::read_limited(&contents.blob(&top.digest)?, MANIFEST_LIMIT_BYTES)?;
    let image = loop {
        match manifest::parse(&bytes)? {
            Document::Image(image) => break image,
            Document::Index(list) => {
                let chosen = manifest::choose(&list)?;
                bytes = files::read_limited(&contents.blob(&chosen.digest)?, MANIFEST_LIMIT_BYTES)?;
            }
        }
    };
    let config = files::read_limited(&contents.blob(&image.config.digest)?, CONFIG_LIMIT_BYTES)?;
    let layers = image.layers.iter().map(|l| with_size(contents.blob(&l.digest)?));
    let digests = parsed
        .iter()
        .map(|r| format!("{}/{}@{}", r.registry(), r.repository(), top.digest))
        .collect();
    Ok(Found {
        references: parsed.map(|r| r.to_string()).into_iter().collect(),
        digests,
        config_digest: image.config.digest,
        config,
        layers: layers.collect::<Result<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised() {
        for (name, expected) in [("./a/b", "a/b"), ("a/../b", "b"), ("../../a", "a"), ("/a", "a")] {
            assert_eq!(normal(name), expected);
        }
    }

    #[test]
    fn links_are_followed_and_loops_end() {
        let contents = Contents {
            files: [("x/layer.tar".to_string(), PathBuf::from("1"))].into(),
            links: [
                ("y/layer.tar".to_string(), "x/layer.tar".to_string()),
                ("a".into(), "b".into()),
                ("b".into(), "a".into()),
            ]
            .into(),
        };
        assert_eq!(contents.find("y/layer.tar"), Some(&PathBuf::from("1")));
        assert_eq!(contents.find("a"), None);
    }
}
