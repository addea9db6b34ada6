//! hostPath volumes: what must be there, and what may be made.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
};

use crate::{
    error::{Error, Result},
    files,
};

/// What a hostPath volume must find (`type` of the volume).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostPathType {
    /// No check; a missing path becomes a directory, as other runtimes do.
    #[default]
    Unset,
    /// Make the directory (0755) when absent.
    DirectoryOrCreate,
    /// Must be a directory.
    Directory,
    /// Make the file (0644) when absent.
    FileOrCreate,
    /// Must be a file.
    File,
    /// Must be a socket.
    Socket,
    /// Must be a character device.
    CharDevice,
    /// Must be a block device.
    BlockDevice,
}

/// Checks (and for the `OrCreate` types makes) a hostPath.
///
/// # Errors
/// [`Error::Invalid`] with upstream's wording when the path is not what the type says.
pub fn host_path(path: &Path, kind: HostPathType) -> Result<()> {
    use HostPathType as T;
    if !crate::oci::is_plain_absolute(path) {
        return Err(Error::Invalid(format!(
            "hostPath {} must be absolute and free of '..'",
            path.display()
        )));
    }
    let found = match fs::metadata(path) {
        Ok(meta) => meta.file_type(),
        Err(e) if e.kind() == ErrorKind::NotFound => match kind {
            T::Unset | T::DirectoryOrCreate => return files::make_dir(path),
            T::FileOrCreate => return make_file(path),
            _ => return Err(wrong(path, kind)),
        },
        Err(e) => return Err(Error::file("cannot read", path)(e)),
    };
    let fits = match kind {
        T::Unset => true,
        T::Directory | T::DirectoryOrCreate => found.is_dir(),
        T::File | T::FileOrCreate => found.is_file(),
        T::Socket => found.is_socket(),
        T::CharDevice => found.is_char_device(),
        T::BlockDevice => found.is_block_device(),
    };
    if fits { Ok(()) } else { Err(wrong(path, kind)) }
}

fn make_file(path: &Path) -> Result<()> {
    fs::File::create(path).map_err(Error::file("cannot make", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
        .map_err(Error::file("cannot set mode of", path))
}

fn wrong(path: &Path, kind: HostPathType) -> Error {
    let what = match kind {
        HostPathType::Unset => "usable",
        HostPathType::Directory | HostPathType::DirectoryOrCreate => "a directory",
        HostPathType::File | HostPathType::FileOrCreate => "a file",
        HostPathType::Socket => "a socket file",
        HostPathType::CharDevice => "a character device",
        HostPathType::BlockDevice => "a block device",
    };
    Error::Invalid(format!("hostPath type check failed: {} is not {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_checked_or_made() {
        use HostPathType as T;
        let base = tempfile::tempdir().expect("directory");
        let at = |name: &str| base.path().join(name);
        assert!(host_path(&at("a/b"), T::Directory).is_err());
        host_path(&at("a/b"), T::DirectoryOrCreate).expect("made");
        host_path(&at("a/b"), T::Directory).expect("there");
        assert!(host_path(&at("a/b"), T::File).is_err());
        host_path(&at("a/f"), T::FileOrCreate).expect("made");
        host_path(&at("a/f"), T::File).expect("there");
        assert!(host_path(&at("a/f"), T::DirectoryOrCreate).is_err());
        host_path(Path::new("/dev/null"), T::CharDevice).expect("device");
        assert!(host_path(Path::new("/dev/null"), T::Socket).is_err());
        assert!(host_path(Path::new("/dev/../etc"), T::Unset).is_err());
        assert!(host_path(Path::new("dev"), T::Unset).is_err());
    }
}
