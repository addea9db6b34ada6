//! Unpacking a layer into a directory that overlayfs takes as a lower layer.
//!
//! A layer comes from outside: every path is resolved by the kernel inside the layer's directory
//! (`openat2` with `RESOLVE_IN_ROOT`), so that neither `..` nor a symbolic link made by an earlier
//! entry leads out of it. Sizes and counts are limited, and the digest of the whole stream is
//! compared before the layer is used.

use std::{
    ffi::{CStr, CString, OsStr},
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use nix::{
    fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::{
        FchmodatFlags, Mode, SFlag, fchmod, fchmodat, fstatat, mkdirat, mknodat, utimensat,
    },
    unistd::{Gid, LinkatFlags, Uid, UnlinkatFlags, fchown, fchownat, linkat, symlinkat, unlinkat},
};
use tar::{Entry, EntryType};

use super::{
    bounded::{Bounded, unpacked_limit},
    digest::Hashing,
    entry::{Attributes, attributes, bad, clean_path, device, xattrs},
};
use crate::{
    error::{Error, Result},
    sys,
};

/// Largest unpacked layer.
const LAYER_LIMIT_BYTES: u64 = 32 * 1024 * 1024 * 1024;
/// Most entries of a layer.
const ENTRY_LIMIT: u64 = 2_000_000;
/// Prefix of entries that delete something of a lower layer.
const WHITEOUT: &[u8] = b".wh.";
/// Entry that hides all of a lower layer's directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Unpacks the layer in `file` (gzip, zstd or plain, seen from its first bytes) into the empty
/// directory `target` and checks that its uncompressed digest is `diff_id`. `parents` are the
/// directories of the layers below, topmost first.
pub(super) fn unpack(file: &Path, diff_id: &str, parents: &[PathBuf], target: &Path) -> Result<()> {
    let packed = std::fs::metadata(file).map_err(Error::file("cannot read", file))?.len();
    let limit = unpacked_limit(packed, LAYER_LIMIT_BYTES);
    let mut hashing = Hashing::new(open_stream(file)?, limit);
    let root = File::open(target).map_err(Error::file("cannot open", target))?;
    let mut layer = Layer { root, target, parents, room: limit };
    {
        let unreadable = || bad("a layer cannot be read");
        let (stream, headers) = Bounded::new(&mut hashing, limit);
        let mut archive = tar::Archive::new(stream);
        let mut entries = archive.entries().map_err(bad("the layer is no tar archive"))?;
        let mut count = 0;
        while let Some(entry) = headers.next(&mut entries) {
            count += 1;
            if count > ENTRY_LIMIT {
                return Err(Error::ImageContent(format!("a layer has over {ENTRY_LIMIT} entries")));
            }
            let mut entry = entry.map_err(unreadable())?;
            layer.entry(&mut entry)?;
            // Whatever else the entry has is not a part of the next one's headers.
            io::copy(&mut entry, &mut io::sink()).map_err(unreadable())?;
        }
    }
    io::copy(&mut hashing, &mut io::sink()).map_err(bad("a layer cannot be read"))?;
    let digest = hashing.digest();
    if digest != diff_id {
        return Err(Error::ImageContent(format!(
            "a layer's content has digest {digest}, its configuration says {diff_id}"
        )));
    }
    Ok(())
}

/// A reader of the uncompressed bytes.
pub(super) fn open_stream(file: &Path) -> Result<Box<dyn Read>> {
    let mut magic = [0; 4];
    let mut input = File::open(file).map_err(Error::file("cannot open", file))?;
    let mut have = 0;
    while have < magic.len() {
        match input.read(&mut magic[have..]).map_err(Error::file("cannot read", file))? {
            0 => break,
            n => have += n,
        }
    }
    let input = io::Cursor::new(magic[..have].to_vec()).chain(input);
    let input = io::BufReader::with_capacity(256 * 1024, input);
    Ok(match magic {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(input)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(
            zstd::stream::read::Decoder::with_buffer(input).map_err(bad("bad zstd stream"))?,
        ),
        _ => Box::new(input),
    })
}

struct Layer<'a> {
    root: File,
    target: &'a Path,
    parents: &'a [PathBuf],
    /// How much more the files of the layer may hold. Holes of sparse files are not in the stream.
    room: u64,
}

impl Layer<'_> {
    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<()> {
        let path = clean_path(&entry.path_bytes())?;
        let kind = entry.header().entry_type();
        let Some(name) = path.file_name().map(OsStr::to_os_string) else {
            // The root directory itself.
            if kind.is_dir() {
                let attributes = attributes(entry)?;
                return self.finish_dir(&self.root, &attributes);
            }
            return Ok(());
        };
        let parent_path = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let parent = self.directory(&parent_path)?;
        if name.as_bytes() == OPAQUE {
            return set_opaque(&parent);
        }
        if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
            return whiteout(&parent, OsStr::from_bytes(hidden));
        }
        let attributes = attributes(entry)?;
        let xattrs = xattrs(entry)?;
        self.clear(&parent, &name, kind)?;
        let at = |e: nix::Error| failed(&path, e);
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(&parent, &name, entry, &attributes).map_err(|e| {
                    Error::ImageContent(format!("cannot unpack {}: {e}", path.display()))
                })?;
            }
            EntryType::Directory => {
                let dir = self.open_dir(&parent_path.join(&name), &parent, &name)?;
                self.finish_dir(&dir, &attributes)?;
            }
            EntryType::Symlink => {
                let link = entry.link_name_bytes().unwrap_or_default().into_owned();
                symlinkat(OsStr::from_bytes(&link), &parent, name.as_os_str()).map_err(at)?;
                self.finish_node(&parent, &name, &attributes, false).map_err(at)?;
            }
            EntryType::Link => return self.hard_link(entry, &parent, &name),
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                let (kind, device) = device(entry, kind)?;
                mknodat(&parent, name.as_os_str(), kind, attributes.mode, device).map_err(at)?;
                self.finish_node(&parent, &name, &attributes, true).map_err(at)?;
            }
            EntryType::XGlobalHeader => return Ok(()),
            other => {
                return Err(Error::ImageContent(format!(
                    "{} has unknown entry type {other:?}",
                    path.display()
                )));
            }
        }
        for (key, value) in xattrs {
            set_xattr(&parent, &name, &key, &value)?;
        }
        Ok(())
    }

    /// The directory at `path` inside the layer, made (with its parents) where it is missing.
    fn directory(&self, path: &Path) -> Result<OwnedFd> {
        match open_inside(&self.root, path) {
            Ok(fd) => Ok(fd),
            Err(nix::Error::ENOENT) => {
                let parent = self.directory(path.parent().unwrap_or(Path::new("")))?;
                let Some(name) = path.file_name() else {
                    return Err(Error::ImageContent("the layer's root vanished".into()));
                };
                match mkdirat(&parent, name, Mode::from_bits_truncate(0o755)) {
                    Ok(()) | Err(nix::Error::EEXIST) => {}
                    Err(e) => return Err(failed(path, e)),
                }
                let dir = open_inside(&self.root, path).map_err(|e| failed(path, e))?;
                self.inherit(path, &dir)?;
                Ok(dir)
            }
            Err(e) => Err(failed(path, e)),
        }
    }

    /// A directory that this layer does not describe looks like the one of the layer below, which it
    /// would otherwise hide.
    fn inherit(&self, path: &Path, dir: &OwnedFd) -> Result<()> {
        for parent in self.parents {
            let Ok(root) = File::open(parent) else { continue };
            let Ok(below) = open_inside(&root, path) else { continue };
            let Ok(stat) = nix::sys::stat::fstat(&below) else { continue };
            let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
            fchown(dir, Some(uid), Some(gid)).map_err(|e| failed(path, e))?;
            return fchmod(dir, Mode::from_bits_truncate(stat.st_mode))
                .map_err(|e| failed(path, e));
        }
        Ok(())
    }

    /// Makes room for an entry: a later entry of a layer replaces an earlier one.
    fn clear(&self, parent: &OwnedFd, name: &OsStr, kind: EntryType) -> Result<()> {
        let Ok(stat) = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW) else { return Ok(()) };
        let is_dir = stat.st_mode & libc::S_IFMT == libc::S_IFDIR;
        if is_dir && kind.is_dir() {
            return Ok(());
        }
        let result = if is_dir {
            // The kernel names the directory by our descriptor: no link can lead elsewhere.
            let base = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd()));
            std::fs::remove_dir_all(base.join(name))
        } else {
            unlinkat(parent, name, UnlinkatFlags::NoRemoveDir).map_err(io::Error::from)
        };
        result.map_err(Error::file("cannot replace", self.target.join(name)))
    }

    fn file<R: Read>(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        entry: &mut Entry<'_, R>,
        attributes: &Attributes,
    ) -> io::Result<()> {
        let too_large = || io::Error::other("larger than the limit for image content");
        self.room = self.room.checked_sub(entry.size()).ok_or_else(too_large)?;
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_NOFOLLOW;
        let fd = nix::fcntl::openat(
            parent,
            name,
            flags | OFlag::O_CLOEXEC,
            Mode::from_bits_truncate(0o600),
        )?;
        let mut file = File::from(fd);
        io::copy(entry, &mut file)?;
        fchown(&file, Some(attributes.uid), Some(attributes.gid))?;
        // After chown, which clears setuid and setgid.
        fchmod(&file, attributes.mode)?;
        nix::sys::stat::futimens(&file, &attributes.time, &attributes.time)?;
        Ok(())
    }

    fn open_dir(&self, path: &Path, parent: &OwnedFd, name: &OsStr) -> Result<OwnedFd> {
        match mkdirat(parent, name, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(nix::Error::EEXIST) => {}
            Err(e) => return Err(failed(path, e)),
        }
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        nix::fcntl::openat(parent, name, flags, Mode::empty()).map_err(|e| failed(path, e))
    }

    fn finish_dir(&self, dir: impl AsFd, attributes: &Attributes) -> Result<()> {
        let set = || -> nix::Result<()> {
            fchown(&dir, Some(attributes.uid), Some(attributes.gid))?;
            fchmod(&dir, attributes.mode)?;
            nix::sys::stat::futimens(&dir, &attributes.time, &attributes.time)
        };
        set().map_err(|e| failed(self.target, e))
    }

    fn finish_node(
        &self,
        parent: &OwnedFd,
        name: &OsStr,
        attributes: &Attributes,
        mode: bool,
    ) -> nix::Result<()> {
        let flag = AtFlags::AT_SYMLINK_NOFOLLOW;
        fchownat(parent, name, Some(attributes.uid), Some(attributes.gid), flag)?;
        if mode {
            fchmodat(parent, name, attributes.mode, FchmodatFlags::FollowSymlink)?;
        }
        let flag = nix::sys::stat::UtimensatFlags::NoFollowSymlink;
        utimensat(parent, name, &attributes.time, &attributes.time, flag)
    }

    fn hard_link<R: Read>(
        &self,
        entry: &Entry<'_, R>,
        parent: &OwnedFd,
        name: &OsStr,
    ) -> Result<()> {
        let source = clean_path(&entry.link_name_bytes().unwrap_or_default())?;
        let Some(source_name) = source.file_name() else {
            return Err(Error::ImageContent("a hard link to the root directory".into()));
        };
        let from = open_inside(&self.root, source.parent().unwrap_or(Path::new("")));
        let linked =
            from.and_then(|dir| linkat(&dir, source_name, parent, name, LinkatFlags::empty()));
        linked.map_err(|e| {
            Error::ImageContent(format!(
                "hard link to {}: {e} (its target must be in the same layer)",
                source.display()
            ))
        })
    }
}

fn failed(path: &Path, e: nix::Error) -> Error {
    Error::ImageContent(format!("cannot unpack {}: {e}", path.display()))
}

/// Opens a directory inside `root`; symbolic links are followed as if `root` were `/`.
fn open_inside(root: &File, path: &Path) -> nix::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let how = OpenHow::new()
        .flags(OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(root, path, how)
}

fn set_xattr(parent: &OwnedFd, name: &OsStr, key: &CStr, value: &[u8]) -> Result<()> {
    let path = Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string()).join(name);
    let text = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::ImageContent("a name contains a zero byte".into()))?;
    match sys::set_xattr(&text, key, value) {
        // File systems without user attributes: the image works without them.
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
        other => other.map_err(Error::file("cannot set an attribute of", path)),
    }
}

fn set_opaque(dir: &OwnedFd) -> Result<()> {
    let path = format!("/proc/self/fd/{}", dir.as_raw_fd());
    // A path made of a number has no zero byte.
    let text = CString::new(path.as_str()).unwrap_or_default();
    // The descriptor's link must be followed: the attribute belongs to the directory.
    sys::set_xattr_following(&text, c"trusted.overlay.opaque", b"y")
        .map_err(Error::file("cannot hide the lower directory of", path))
}

fn whiteout(parent: &OwnedFd, name: &OsStr) -> Result<()> {
    let odd = name.is_empty() || name == "." || name == ".." || name.as_bytes().contains(&b'/');
    if odd {
        return Err(Error::ImageContent("a whiteout without a name".into()));
    }
    if name.as_bytes().starts_with(WHITEOUT) {
        // Other names of this form are reserved for a file system nobody uses any more.
        return Ok(());
    }
    match mknodat(parent, name, SFlag::S_IFCHR, Mode::empty(), 0) {
        // What this layer itself put there hides the lower one already.
        Ok(()) | Err(nix::Error::EEXIST) => Ok(()),
        Err(e) => Err(failed(Path::new(name), e)),
    }
}
