//! What the headers of a layer's tar entries say, checked.

use std::{
    ffi::{CString, OsStr},
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use nix::{
    sys::{
        stat::{Mode, SFlag},
        time::TimeSpec,
    },
    unistd::{Gid, Uid},
};
use tar::{Entry, EntryType};

use crate::error::{Error, Result};

/// Longest path in a layer.
const PATH_LIMIT_BYTES: usize = 4096;
/// Largest extended attribute.
const XATTR_LIMIT_BYTES: usize = 64 * 1024;

/// An error of the tar reader as one of the image.
pub(super) fn bad(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |e| Error::ImageContent(format!("{what}: {e}"))
}

/// Owner, mode and time of an entry.
pub(super) struct Attributes {
    pub uid: Uid,
    pub gid: Gid,
    pub mode: Mode,
    pub time: TimeSpec,
}

/// A path of an archive as a relative path without `.`; `..` is refused.
pub(super) fn clean_path(bytes: &[u8]) -> Result<PathBuf> {
    let path = Path::new(OsStr::from_bytes(bytes));
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::CurDir => {}
            _ => {
                return Err(Error::ImageContent(format!(
                    "path {} leads out of the layer",
                    path.display()
                )));
            }
        }
    }
    if bytes.len() > PATH_LIMIT_BYTES || bytes.contains(&0) {
        return Err(Error::ImageContent("a path is too long or contains a zero byte".into()));
    }
    Ok(clean)
}

/// Owner, mode and time.
pub(super) fn attributes<R: Read>(entry: &Entry<'_, R>) -> Result<Attributes> {
    let header = entry.header();
    let number = |value: io::Result<u64>| -> Result<u32> {
        let value = value.map_err(bad("bad tar header"))?;
        u32::try_from(value).map_err(|_| Error::ImageContent("an owner is out of range".into()))
    };
    Ok(Attributes {
        uid: Uid::from_raw(number(header.uid())?),
        gid: Gid::from_raw(number(header.gid())?),
        mode: Mode::from_bits_truncate(header.mode().map_err(bad("bad tar header"))? & 0o7777),
        time: TimeSpec::new(i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0), 0),
    })
}

/// Kind and number of a device or pipe.
pub(super) fn device<R: Read>(entry: &Entry<'_, R>, kind: EntryType) -> Result<(SFlag, u64)> {
    let header = entry.header();
    let number = |value: io::Result<Option<u32>>| -> Result<u64> {
        Ok(u64::from(value.map_err(bad("bad tar header"))?.unwrap_or(0)))
    };
    if kind == EntryType::Fifo {
        return Ok((SFlag::S_IFIFO, 0));
    }
    let flag = if kind == EntryType::Char { SFlag::S_IFCHR } else { SFlag::S_IFBLK };
    let (major, minor) = (number(header.device_major())?, number(header.device_minor())?);
    if kind == EntryType::Char && major == 0 && minor == 0 {
        return Err(Error::ImageContent("a layer holds an overlay whiteout device".into()));
    }
    Ok((flag, nix::sys::stat::makedev(major, minor)))
}

/// The extended attributes of an entry, without those that mean something to overlayfs itself.
pub(super) fn xattrs<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<(CString, Vec<u8>)>> {
    let mut list = Vec::new();
    let Some(extensions) = entry.pax_extensions().map_err(bad("bad tar header"))? else {
        return Ok(list);
    };
    for extension in extensions {
        let extension = extension.map_err(bad("bad tar header"))?;
        let Some(key) = extension.key_bytes().strip_prefix(b"SCHILY.xattr.") else { continue };
        let value = extension.value_bytes();
        if value.len() > XATTR_LIMIT_BYTES {
            return Err(Error::ImageContent("an extended attribute is too large".into()));
        }
        let wanted = key.starts_with(b"user.") || key == b"security.capability";
        if let Ok(key) = CString::new(key)
            && wanted
        {
            list.push((key, value.to_vec()));
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_and_stay_inside() {
        for (path, clean) in [("./a/./b", "a/b"), ("/a", "a"), ("", ""), ("./", "")] {
            assert_eq!(clean_path(path.as_bytes()).expect(path), Path::new(clean));
        }
        for bad in ["..", "a/../b", "../a"] {
            assert!(clean_path(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(clean_path(&[b'a'; PATH_LIMIT_BYTES + 1]).is_err());
        assert!(clean_path(b"a\0b").is_err());
    }
}
