//! Who a container runs as: numbers given by the pod, or names looked up in the image.

use std::{
    fs::File,
    io::Read,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::Mode,
};

use crate::{
    error::{Error, Result},
    spec::Security,
};

/// Largest passwd or group file that is read.
const FILE_LIMIT_BYTES: u64 = 4 * 1024 * 1024;

/// A resolved user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct User {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub home: String,
}

/// Resolves the user of a container from the pod's settings, the image's `user[:group]` and the
/// image's own /etc/passwd and /etc/group.
pub(super) fn resolve(root: &Path, image_user: &str, security: &Security) -> Result<User> {
    let passwd = read_inside(root, "etc/passwd")?;
    let group = read_inside(root, "etc/group")?;
    let user = choose(&passwd, &group, image_user, security)?;
    if security.run_as_non_root && user.uid == 0 {
        return Err(Error::Create(
            "container has runAsNonRoot and image will run as root; set runAsUser".into(),
        ));
    }
    Ok(user)
}

fn choose(passwd: &str, group: &str, image_user: &str, security: &Security) -> Result<User> {
    let (image_name, image_group) = image_user.split_once(':').unwrap_or((image_user, ""));
    let wanted = security.run_as_user.map_or(image_name.to_string(), |uid| uid.to_string());
    let wanted = if wanted.is_empty() { "0".to_string() } else { wanted };
    let entry = passwd
        .lines()
        .filter_map(Passwd::parse)
        .find(|p| p.name == wanted || p.uid.to_string() == wanted);
    let uid = match (&entry, wanted.parse::<u32>()) {
        (Some(entry), _) => entry.uid,
        (None, Ok(uid)) => uid,
        (None, Err(_)) => {
            return Err(Error::Create(format!(
                "unable to find user {wanted}: no matching entry in the image's passwd file"
            )));
        }
    };
    let mut gid = entry.as_ref().map_or(0, |e| e.gid);
    if security.run_as_user.is_none() && !image_group.is_empty() {
        gid = group_id(group, image_group)?;
    }
    if let Some(given) = security.run_as_group {
        gid = given;
    }
    let mut groups = Vec::new();
    if let Some(entry) = &entry {
        for line in group.lines() {
            let mut fields = line.split(':').skip(2);
            let (Some(id), Some(members)) = (fields.next(), fields.next()) else { continue };
            if let Ok(id) = id.parse()
                && members.split(',').any(|m| m == entry.name)
            {
                groups.push(id);
            }
        }
    }
    groups.extend(&security.supplemental_groups);
    groups.sort_unstable();
    groups.dedup();
    let home = entry.map_or_else(|| "/".to_string(), |e| e.home.to_string());
    Ok(User { uid, gid, groups, home })
}

fn group_id(group: &str, wanted: &str) -> Result<u32> {
    let named = group.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(wanted)).then(|| fields.nth(1)?.parse().ok())?
    });
    named.or_else(|| wanted.parse().ok()).ok_or_else(|| {
        Error::Create(format!(
            "unable to find group {wanted}: no matching entry in the image's group file"
        ))
    })
}

struct Passwd<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Passwd<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).filter(|h| !h.is_empty()).unwrap_or("/");
        Some(Self { name, uid, gid, home })
    }
}

/// Reads a file of the image without ever leaving its root, whatever links the image contains.
fn read_inside(root: &Path, path: &str) -> Result<String> {
    let root = File::open(root).map_err(Error::file("cannot open", root))?;
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
        .mode(Mode::empty())
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let Ok(fd) = openat2(root.as_fd(), path, how) else { return Ok(String::new()) };
    read_regular(fd)
}

fn read_regular(fd: OwnedFd) -> Result<String> {
    let file = File::from(fd);
    if !file.metadata().is_ok_and(|m| m.is_file()) {
        return Ok(String::new());
    }
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT_BYTES)
        .read_to_end(&mut bytes)
        .map_err(Error::system("cannot read the image's users"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/var/www:/bin/false\nbad\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nlogs:x:50:web,other\n";

    #[test]
    fn users_are_resolved_like_other_runtimes_do() {
        type Case = (&'static str, Option<u32>, Option<u32>, Expected);
        type Expected = (u32, u32, &'static [u32], &'static str);
        let table: &[Case] = &[
            ("", None, None, (0, 0, &[], "/root")),
            ("web", None, None, (33, 34, &[50], "/var/www")),
            ("33", None, None, (33, 34, &[50], "/var/www")),
            ("web:logs", None, None, (33, 50, &[50], "/var/www")),
            ("1000:7", None, None, (1000, 7, &[], "/")),
            ("web:logs", Some(1000), None, (1000, 0, &[], "/")),
            ("web", None, Some(9), (33, 9, &[50], "/var/www")),
        ];
        for (image, user, group, (uid, gid, groups, home)) in table {
            let security =
                Security { run_as_user: *user, run_as_group: *group, ..Default::default() };
            let got = choose(PASSWD, GROUP, image, &security).expect(image);
            let expected =
                User { uid: *uid, gid: *gid, groups: groups.to_vec(), home: home.to_string() };
            assert_eq!(got, expected, "{image} {user:?} {group:?}");
        }
        assert!(choose(PASSWD, GROUP, "nobody-here", &Security::default()).is_err());
        assert!(choose(PASSWD, GROUP, "web:nobody", &Security::default()).is_err());
    }
}
