//! Image archives from disk: broken, and made to write where they must not.

use std::path::Path;

use serde_json::json;
use tar::EntryType;

use crate::{
    case::{Door, Report},
    registry::digest,
};

const BAD: &str = "Some(1) kabuki: bad image content: ";

/// One entry, written as it is: a well-behaved writer would refuse most of these.
struct Entry<'a> {
    path: &'a str,
    kind: EntryType,
    link: &'a str,
    data: Vec<u8>,
    /// The size the header says, if not that of the data.
    says: Option<u64>,
}

fn entry<'a>(path: &'a str, kind: EntryType, link: &'a str) -> Entry<'a> {
    Entry { path, kind, link, data: Vec::new(), says: None }
}

fn file<'a>(path: &'a str, data: &[u8]) -> Entry<'a> {
    Entry { data: data.to_vec(), ..entry(path, EntryType::Regular, "") }
}

fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        let name = &mut header.as_old_mut().name;
        name[..entry.path.len()].copy_from_slice(entry.path.as_bytes());
        header.set_entry_type(entry.kind);
        if !entry.link.is_empty() {
            header.set_link_name_literal(entry.link).expect("link");
        }
        header.set_mode(0o777);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(entry.says.unwrap_or(entry.data.len() as u64));
        if matches!(entry.kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(0).expect("device");
            header.set_device_minor(0).expect("device");
        }
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(&entry.data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

/// A docker archive of one layer.
fn archive(layer: &[u8]) -> Vec<u8> {
    archive_of(layer, &digest(layer))
}

fn archive_of(layer: &[u8], diff_id: &str) -> Vec<u8> {
    let config = json!({"architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]}});
    let manifest =
        json!([{"Config": "config.json", "RepoTags": ["bad:1"], "Layers": ["layer.tar"]}]);
    tar(&[
        file("config.json", config.to_string().as_bytes()),
        file("layer.tar", layer),
        file("manifest.json", manifest.to_string().as_bytes()),
    ])
}

pub fn run(door: &Door<'_>, report: &mut Report) {
    archives(door, report);
    layers(door, report);
    bombs(door, report);
    escapes(door, report);
    let tmp = door.member().data_dir.join("node/images/tmp");
    let left = std::fs::read_dir(&tmp).map_or(0, Iterator::count);
    report.check("nothing is left of it", &format!("{left} left"), "0 left");
}

fn load(door: &Door<'_>, bytes: &[u8]) -> String {
    let path = door.cluster.dir.path().join("bad.tar");
    std::fs::write(&path, bytes).expect("archive");
    let data = format!("--data-dir={}", door.member().data_dir.display());
    let (code, said) = door.kabuki(&["image", "load", &path.to_string_lossy(), &data]);
    format!("{code:?} {said}")
}

fn archives(door: &Door<'_>, report: &mut Report) {
    let whole = archive(&tar(&[file("a", b"x")]));
    let neither = format!(
        "{BAD}neither manifest.json nor index.json is in it; use an archive made by `docker save` or an OCI image layout\n"
    );
    let missing = json!([{"Config": "config.json", "RepoTags": null, "Layers": ["none.tar"]}]);
    let named = json!([{"Config": "config.json", "RepoTags": ["BAD NAME"], "Layers": []}]);
    let lost = json!({"schemaVersion": 2, "manifests": [{"digest": digest(b"x"), "size": 1}]});
    let manifest =
        |text: &str| tar(&[file("config.json", b"{}"), file("manifest.json", text.as_bytes())]);
    for (name, bytes, want) in [
        ("an empty archive", Vec::new(), neither.clone()),
        (
            "an archive that is text",
            b"hello".repeat(500),
            format!("{BAD}the archive cannot be read: *\n"),
        ),
        (
            "an archive cut in the middle",
            whole[..1_700].to_vec(),
            format!("{BAD}the archive cannot be read: *\n"),
        ),
        ("an archive of nothing known", tar(&[file("a", b"x")]), neither),
        (
            "a broken manifest.json",
            manifest("{"),
            format!("{BAD}manifest.json is not understood: *\n"),
        ),
        (
            "a layer that is not in it",
            manifest(&missing.to_string()),
            format!("{BAD}none.tar is missing in the archive\n"),
        ),
        (
            "a bad name in it",
            manifest(&named.to_string()),
            "Some(1) kabuki: invalid image name \"BAD NAME\": *\n".to_owned(),
        ),
        (
            "a blob that is not in it",
            tar(&[file("index.json", lost.to_string().as_bytes())]),
            format!("{BAD}blobs/sha256/* is missing in the archive\n"),
        ),
        (
            "links that lead to each other",
            tar(&[
                entry("manifest.json", EntryType::Symlink, "b"),
                entry("b", EntryType::Symlink, "manifest.json"),
            ]),
            format!("{BAD}neither manifest.json nor index.json*\n"),
        ),
        (
            "a blob of another digest",
            {
                let hex = digest(b"x")["sha256:".len()..].to_owned();
                tar(&[
                    file("index.json", lost.to_string().as_bytes()),
                    file(&format!("blobs/sha256/{hex}"), b"y"),
                ])
            },
            format!("{BAD}blob sha256:* has digest sha256:*\n"),
        ),
    ] {
        report.check(name, &load(door, &bytes), &want);
    }
    let data = format!("--data-dir={}", door.member().data_dir.display());
    let (code, said) = door.kabuki(&["image", "load", "/nonexistent", &data]);
    let want = "Some(1) kabuki: cannot open /nonexistent: No such file or directory (os error 2)\n";
    report.check("an archive that is not there", &format!("{code:?} {said}"), want);
}

fn layers(door: &Door<'_>, report: &mut Report) {
    let other = archive_of(&tar(&[file("a", b"x")]), &digest(b"other"));
    let junk = vec![0x41; 4_096];
    let mut checksum = tar(&[file("a", b"x")]);
    checksum[150] ^= 1;
    let mut short = tar(&[file("a", &[1; 5_000])]);
    short.truncate(2_000);
    for (name, bytes, want) in [
        (
            "a layer of other content",
            other,
            format!("{BAD}a layer's content has digest *, its configuration says *\n"),
        ),
        ("a layer that is no tar", archive(&junk), format!("{BAD}a layer cannot be read: *\n")),
        (
            "a header with a wrong checksum",
            archive(&checksum),
            format!("{BAD}a layer cannot be read: *\n"),
        ),
        ("a file cut in the middle", archive(&short), format!("{BAD}*\n")),
        (
            "an unknown kind of entry",
            archive(&tar(&[entry("a", EntryType::new(b'Z'), "")])),
            format!("{BAD}a has unknown entry type *\n"),
        ),
        (
            "a whiteout device",
            archive(&tar(&[entry("a", EntryType::Char, "")])),
            format!("{BAD}a layer holds an overlay whiteout device\n"),
        ),
    ] {
        report.check(name, &load(door, &bytes), &want);
    }
}

/// Little that becomes much.
fn bombs(door: &Door<'_>, report: &mut Report) {
    // Names and attributes are read into memory before anything can be said of the entry.
    let long_name =
        Entry { data: vec![b'x'; 8 << 20], ..entry("././@LongLink", EntryType::GNULongName, "") };
    let long_pax = Entry { data: vec![b'x'; 8 << 20], ..entry("pax", EntryType::XHeader, "") };
    for (name, bomb) in [("a name of 8 MiB", long_name), ("attributes of 8 MiB", long_pax)] {
        let bytes = archive(&tar(&[bomb, file("a", b"x")]));
        report.check(
            name,
            &load(door, &bytes),
            &format!(
                "{BAD}a layer cannot be read: the headers of one entry are larger than 1 MiB\n"
            ),
        );
    }
    let outer =
        Entry { data: vec![b'x'; 8 << 20], ..entry("././@LongLink", EntryType::GNULongName, "") };
    report.check(
        "a name of 8 MiB in the archive itself",
        &load(door, &tar(&[outer, file("a", b"x")])),
        &format!(
            "{BAD}the archive cannot be read: the headers of one entry are larger than 1 MiB\n"
        ),
    );
    // A file of an exbibyte that is one hole.
    let mut sparse = tar(&[file("hole", b"")]);
    sparse[156] = b'S';
    // One part, of no bytes at the end, and the size of the whole: 2^60 in base 256.
    let exbibyte = [0x80, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0];
    sparse[386..398].copy_from_slice(&exbibyte);
    sparse[398..410].copy_from_slice(b"00000000000\0");
    sparse[483..495].copy_from_slice(&exbibyte);
    checksum(&mut sparse[..512]);
    report.check(
        "a hole of an exbibyte",
        &load(door, &archive(&sparse)),
        &format!("{BAD}cannot unpack hole: larger than the limit for image content\n"),
    );
}

fn checksum(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// Layers that try to write beside their directory.
fn escapes(door: &Door<'_>, report: &mut Report) {
    let victim = door.cluster.dir.path().join("victim");
    std::fs::create_dir(&victim).expect("victim");
    std::fs::write(victim.join("file"), "untouched").expect("victim");
    let outside = victim.display().to_string();
    let up = format!("{}{}", "../".repeat(12), outside.trim_start_matches('/'));
    let up_file = format!("{up}/file");
    let out_file = format!("{outside}/file");
    let link = |target| entry("l", EntryType::Symlink, target);
    for (name, entries, want) in [
        (
            "a path with ..",
            vec![file("../../../escape", b"x")],
            format!("{BAD}path ../../../escape leads out of the layer\n"),
        ),
        ("an absolute path", vec![file(&out_file, b"x")], "*".to_owned()),
        (
            "a file through an absolute link",
            vec![link(&outside), file("l/x", b"x")],
            "*".to_owned(),
        ),
        ("a file through a relative link", vec![link(&up), file("l/x", b"x")], "*".to_owned()),
        ("a file over a link", vec![link(&out_file), file("l", b"x")], "*".to_owned()),
        (
            "a directory over a link",
            vec![link(&outside), entry("l", EntryType::Directory, "")],
            "*".to_owned(),
        ),
        (
            "a hard link with ..",
            vec![entry("h", EntryType::Link, &up_file), file("h", b"x")],
            format!("{BAD}path * leads out of the layer\n"),
        ),
        (
            "a hard link to an absolute path",
            vec![entry("h", EntryType::Link, &out_file), file("h", b"x")],
            format!("{BAD}hard link to *: * (its target must be in the same layer)\n"),
        ),
        (
            "a hard link through a link",
            vec![link(&outside), entry("h", EntryType::Link, "l/file")],
            format!("{BAD}hard link to l/file: * (its target must be in the same layer)\n"),
        ),
        (
            "a whiteout through a link",
            vec![link(&outside), file("l/.wh.file", b"")],
            "*".to_owned(),
        ),
        (
            "an opaque mark through a link",
            vec![link(&outside), file("l/.wh..wh..opq", b"")],
            "*".to_owned(),
        ),
        (
            "a whiteout of ..",
            vec![file("a/.wh...", b"")],
            format!("{BAD}a whiteout without a name\n"),
        ),
        (
            "a whiteout without name",
            vec![file("a/.wh.", b"")],
            format!("{BAD}a whiteout without a name\n"),
        ),
        (
            "a device through a link",
            vec![link(&outside), entry("l/d", EntryType::Fifo, "")],
            "*".to_owned(),
        ),
    ] {
        let said = load(door, &archive(&tar(&entries)));
        let harm = if untouched(&victim) { "" } else { "WROTE OUTSIDE " };
        let want = if want == "*" { "Some(*".to_owned() } else { want };
        report.check(name, &format!("{harm}{said}"), &want);
        // What could be loaded stays inside its layer; it goes again.
        let data = format!("--data-dir={}", door.member().data_dir.display());
        door.kabuki(&["image", "remove", "bad:1", &data]);
    }
}

fn untouched(victim: &Path) -> bool {
    let names: Vec<_> =
        std::fs::read_dir(victim).expect("victim").flatten().map(|e| e.file_name()).collect();
    names == ["file"]
        && std::fs::read_to_string(victim.join("file")).is_ok_and(|t| t == "untouched")
}
