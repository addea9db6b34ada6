//! The doors through which bytes of registries and archives come in, for the fuzz targets and the
//! replay of their corpus.

use std::{fs, os::unix::fs::DirBuilderExt as _, path::Path};

use super::{
    digest,
    manifest::{self, Document},
    reference, unpack,
};

/// Manifests, indexes, configurations and names of images.
pub fn manifest(data: &[u8]) {
    match manifest::parse(data) {
        Ok(Document::Index(list)) => drop(manifest::choose(&list)),
        Ok(Document::Image(image)) => {
            assert!(image.layers.iter().all(|l| digest::hex_of(&l.digest).is_ok()));
        }
        Err(_) => {}
    }
    if let Ok(found) = manifest::configuration(data) {
        drop(digest::chain_names(&found.diff_ids));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        drop(reference::parse(text));
    }
}

/// A layer, unpacked below `dir`, which must be empty; it is empty again afterwards.
///
/// # Panics
/// When anything appears beside the layer's own directory.
pub fn layer(data: &[u8], dir: &Path) {
    let (file, target) = (dir.join("layer"), dir.join("a/b/root"));
    fs::write(&file, data).expect("layer file");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&target).expect("target");
    // The digest is compared last: a wrong one leaves everything before it to be tried.
    drop(unpack::unpack(&file, &digest::of(data), &[], &target));
    for (at, only) in [(dir.join("a"), "b"), (dir.join("a/b"), "root")] {
        let found: Vec<_> =
            fs::read_dir(&at).expect("directory").map(|e| e.expect("entry").file_name()).collect();
        assert_eq!(found, [only], "something escaped to {}", at.display());
    }
    let beside = fs::read_dir(dir).expect("directory").count();
    assert_eq!(beside, 2, "something escaped to {}", dir.display());
    fs::remove_dir_all(dir.join("a")).expect("clean up");
    fs::remove_file(file).expect("clean up");
}
