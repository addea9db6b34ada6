//! The container's root: the image's layers with a writable layer on top. Mounted in a mount
//! namespace of the helper's own, which the container inherits: when its last process is gone the
//! mount is gone, and the host never saw it.

use std::{fs, path::Path};

use nix::{
    mount::{MsFlags, mount as sys_mount},
    sched::{CloneFlags, unshare},
};

use crate::{
    error::{Error, Result},
    files,
    paths::{self, PodPaths},
    spec::ContainerSpec,
};

/// The kernel takes mount options of one page.
const OPTIONS_LIMIT_BYTES: usize = 4095;
/// Length of a layer directory's name.
const LAYER_NAME_LIMIT: usize = 64;

/// Mounts the root filesystem of a container at `root`.
pub(super) fn mount(paths: &PodPaths, spec: &ContainerSpec, root: &Path) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)
        .map_err(|e| Error::system("cannot make a mount namespace")(e.into()))?;
    let flags = MsFlags::MS_SLAVE | MsFlags::MS_REC;
    sys_mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
        .map_err(|e| Error::system("cannot detach the mount namespace")(e.into()))?;
    let writable = paths.writable(&spec.id);
    let (upper, work) = (writable.join("upper"), writable.join("work"));
    for dir in [&upper, &work, &root.to_path_buf()] {
        files::make_dir(dir)?;
    }
    match spec.image.layers.last() {
        // The root directory's mode comes from the topmost layer that has one.
        Some(top) => copy_mode(&paths.layers.join(top), &upper)?,
        None => return Err(Error::ImageContent("the image has no layers".into())),
    }
    let options = options(&spec.image.layers, &upper, &work)?;
    // Layers are named relative to their directory to fit the option string.
    nix::unistd::chdir(&paths.layers)
        .map_err(|e| Error::file("cannot enter", &paths.layers)(e.into()))?;
    sys_mount(Some("overlay"), root, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .map_err(|e| Error::file("cannot mount the image at", root)(e.into()))?;
    nix::unistd::chdir("/").map_err(|e| Error::system("cannot leave the layers")(e.into()))
}

fn options(layers: &[String], upper: &Path, work: &Path) -> Result<String> {
    for layer in layers {
        paths::check_name("layer", layer, LAYER_NAME_LIMIT)?;
    }
    let lower: Vec<&str> = layers.iter().rev().map(String::as_str).collect();
    // "volatile": the writable layer is never used again after a crash, so that nothing has to be
    // flushed when it is unmounted.
    let options = format!(
        "lowerdir={},upperdir={},workdir={},volatile",
        lower.join(":"),
        escape(upper)?,
        escape(work)?
    );
    if options.len() > OPTIONS_LIMIT_BYTES {
        return Err(Error::Unsupported(format!(
            "an image of {} layers: the overlay mount takes {OPTIONS_LIMIT_BYTES} bytes of options; squash the image",
            layers.len()
        )));
    }
    Ok(options)
}

/// Commas and colons separate overlay options.
fn escape(path: &Path) -> Result<String> {
    let text = path
        .to_str()
        .ok_or_else(|| Error::Invalid(format!("path {} is not UTF-8", path.display())))?;
    Ok(text.replace('\\', "\\\\").replace(',', "\\,").replace(':', "\\:"))
}

fn copy_mode(from: &Path, to: &Path) -> Result<()> {
    let permissions = fs::metadata(from).map_err(Error::file("cannot read layer", from))?;
    fs::set_permissions(to, permissions.permissions())
        .map_err(Error::file("cannot set mode of", to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_listed_top_first_and_limited() {
        let layers = ["a".to_string(), "b".to_string()];
        let text = options(&layers, Path::new("/u,x"), Path::new("/w")).expect("options");
        assert_eq!(text, "lowerdir=b:a,upperdir=/u\\,x,workdir=/w,volatile");
        let many = vec!["0123456789abcdef0123456789abcdef".to_string(); 110];
        assert!(options(&many, Path::new("/u"), Path::new("/w")).is_ok());
        let many = vec!["0123456789abcdef0123456789abcdef".to_string(); 127];
        assert!(options(&many, Path::new("/u"), Path::new("/w")).is_err());
        assert!(options(&["../x".to_string()], Path::new("/u"), Path::new("/w")).is_err());
    }
}
