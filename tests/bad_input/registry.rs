//! A registry that lies, and names of images that are none. The registry is a few lines of HTTP on
//! the loopback of the cluster's host; the running daemon pulls from it.

use std::{
    collections::HashMap,
    io::Write,
    sync::{Arc, Mutex},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::case::{Door, Report};

const PORT: u16 = 5999;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What the registry answers, by path below `/v2/x/`.
type Shelf = Arc<Mutex<HashMap<String, (String, Vec<u8>)>>>;

pub fn run(door: &Door<'_>, report: &mut Report) {
    names(door, report);
    let shelf = Shelf::default();
    let server = serve(door, shelf.clone());
    lies(door, report, &shelf);
    let before = images(door);
    report.check("no image came of it", &before, "IMAGE *");
    server.abort();
}

pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).expect("gzip");
    out.finish().expect("gzip")
}

fn images(door: &Door<'_>) -> String {
    let data = format!("--data-dir={}", door.member().data_dir.display());
    let mut command = door.member().host.command(crate::support::cluster::KABUKI);
    command.args(["image", "list", &data]);
    crate::support::process::run(&mut command).unwrap_or_else(|e| e).trim_end().to_owned()
}

fn pull(door: &Door<'_>, reference: &str) -> String {
    let data = format!("--data-dir={}", door.member().data_dir.display());
    let (code, said) = door.kabuki(&["image", "pull", reference, &data]);
    format!("{code:?} {said}")
}

fn names(door: &Door<'_>, report: &mut Report) {
    let advice = "; use [registry/]repository[:tag][@digest] in lower case\n";
    let digest = "0".repeat(12);
    for name in [
        "",
        "UPPER",
        "a b",
        "a:b:c",
        &format!("x@sha256:{digest}"),
        "x@md5:00",
        "../../etc/passwd",
        "http://127.0.0.1/x",
        &"x".repeat(5_000),
    ] {
        let want = format!("Some(1) kabuki: invalid image name {name:?}: *{advice}");
        report.check(&format!("the image name {:.40}", name), &pull(door, name), &want);
    }
    let want = "Some(1) kabuki: failed to pull image \"127.0.0.1:1/x:1\": *onnection refused*";
    report.check("a registry that is not there", &pull(door, "127.0.0.1:1/x:1"), want);
}

fn serve(door: &Door<'_>, shelf: Shelf) -> Server {
    let host = door.member().host.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (ready, is_ready) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        host.block_on(async move {
            let listener = TcpListener::bind(("127.0.0.1", PORT)).await.expect("registry");
            ready.send(()).expect("test");
            let accept = async {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(answer(stream, shelf.clone()));
                }
            };
            tokio::select! { () = accept => {}, _ = stopped => {} }
        });
    });
    is_ready.recv().expect("registry");
    Server { stop, thread }
}

/// The running registry.
struct Server {
    stop: tokio::sync::oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Server {
    fn abort(self) {
        let _ = self.stop.send(());
        self.thread.join().expect("registry");
    }
}

async fn answer(mut stream: tokio::net::TcpStream, shelf: Shelf) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let found = shelf.lock().expect("shelf").get(path.trim_start_matches("/v2/x/")).cloned();
    let (code, kind, body) = match found {
        Some((kind, body)) => ("200 OK", kind, body),
        None if path == "/v2/" => ("200 OK", "application/json".to_owned(), b"{}".to_vec()),
        None => ("404 Not Found", "application/json".to_owned(), b"{\"errors\":[]}".to_vec()),
    };
    let head = format!(
        "HTTP/1.1 {code}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).await;
    if !path.is_empty() {
        let _ = stream.write_all(&body).await;
    }
    let _ = stream.shutdown().await;
}

/// An image whose parts may be changed before it is put on the shelf.
struct Image {
    layer: Vec<u8>,
    config: Value,
    /// Digest and size the manifest says of its layer.
    says: (String, u64),
    media: &'static str,
}

impl Image {
    fn new() -> Self {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        tar.append_data(&mut header, "a", &b"x"[..]).expect("entry");
        Self::of(&tar.into_inner().expect("tar"))
    }

    fn of(tar: &[u8]) -> Self {
        let layer = gzip(tar);
        let says = (digest(&layer), layer.len() as u64);
        let config = json!({"architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(tar)]}});
        Self { layer, config, says, media: LAYER }
    }

    fn put(&self, shelf: &Shelf, tag: &str) {
        let config = self.config.to_string().into_bytes();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest(&config), "size": config.len()},
            "layers": [{"mediaType": self.media, "digest": self.says.0, "size": self.says.1}]});
        put(shelf, &format!("blobs/{}", digest(&config)), "application/octet-stream", config);
        let blob = format!("blobs/{}", self.says.0);
        put(shelf, &blob, "application/octet-stream", self.layer.clone());
        put(shelf, &format!("manifests/{tag}"), MANIFEST, manifest.to_string().into_bytes());
    }
}

fn put(shelf: &Shelf, path: &str, kind: &str, body: Vec<u8>) {
    shelf.lock().expect("shelf").insert(path.to_owned(), (kind.to_owned(), body));
}

fn lies(door: &Door<'_>, report: &mut Report, shelf: &Shelf) {
    let bad = "Some(1) kabuki: bad image content: ";
    let mut check = |name: &str, tag: &str, want: &str| {
        report.check(name, &pull(door, &format!("127.0.0.1:{PORT}/x:{tag}")), want);
    };
    check(
        "a tag that is not there",
        "none",
        "Some(1) kabuki: failed to pull image \"127.0.0.1:5999/x:none\": *",
    );
    let changed = |change: &dyn Fn(&mut Image), tag: &str| {
        let mut image = Image::new();
        change(&mut image);
        image.put(shelf, tag);
    };
    changed(&|i| i.says.0 = digest(b"other"), "digest");
    check("a layer of another digest", "digest", "Some(1) kabuki: *digest*");
    changed(&|i| i.says.1 -= 5, "longer");
    check(
        "a layer longer than it says",
        "longer",
        &format!("{bad}layer * is larger than the * bytes of its manifest\n"),
    );
    changed(&|i| i.says.1 += 5, "shorter");
    check(
        "a layer shorter than it says",
        "shorter",
        "Some(1) kabuki: failed to pull image *: layer * ended early\n",
    );
    changed(&|i| i.says.1 = 1 << 60, "huge");
    check(
        "a layer of an exbibyte",
        "huge",
        &format!("{bad}a layer of 1152921504606846976 bytes is over the limit of *\n"),
    );
    changed(&|i| i.media = "application/wasm", "wasm");
    check(
        "a layer of another type",
        "wasm",
        "Some(1) kabuki: not supported: layers of type \"application/wasm\"; this is not a container image for this system\n",
    );
    changed(&|i| i.config["rootfs"]["diff_ids"] = json!([digest(b"other")]), "diff");
    check(
        "a layer of other content",
        "diff",
        &format!("{bad}a layer's content has digest sha256:*, its configuration says sha256:*\n"),
    );
    changed(&|i| i.config["rootfs"]["diff_ids"] = json!([]), "count");
    check(
        "fewer layers in the configuration",
        "count",
        &format!("{bad}the manifest has 1 layers, the configuration 0\n"),
    );
    changed(&|i| i.config = json!("no configuration"), "config");
    check(
        "a configuration that is none",
        "config",
        &format!("{bad}the configuration is not understood: *\n"),
    );
    changed(&|i| i.layer.truncate(i.layer.len() / 2), "cut");
    check("a layer cut in the middle", "cut", "Some(1) kabuki: failed to pull image *digest*\n");

    let mut junk = Image::new();
    junk.layer = b"\x1f\x8bjunk that is no gzip".to_vec();
    junk.says = (digest(&junk.layer), junk.layer.len() as u64);
    junk.put(shelf, "junk");
    check("a layer that is no gzip", "junk", &format!("{bad}*\n"));
    manifests(shelf, &mut check, bad);
}

fn manifests(shelf: &Shelf, check: &mut dyn FnMut(&str, &str, &str), bad: &str) {
    let some = digest(b"x");
    let layers: Vec<Value> = vec![json!({"mediaType": LAYER, "digest": some, "size": 1}); 500];
    let config = json!({"digest": some, "size": 2});
    for (name, tag, kind, body, want) in [
        ("a manifest that is no JSON", "text", MANIFEST, "hello".to_owned(), format!("{bad}the manifest is not understood: *\n")),
        ("an empty manifest", "empty", MANIFEST, "{}".to_owned(), format!("{bad}the manifest has neither layers nor manifests\n")),
        ("a manifest of the old schema", "old", MANIFEST, r#"{"schemaVersion":1}"#.to_owned(), "Some(1) kabuki: not supported: the image has a Docker schema 1 manifest; push it again with a current tool\n".to_owned()),
        ("a manifest of 5 MiB", "large", MANIFEST, format!("{{\"x\":\"{}\"}}", "x".repeat(5 << 20)), format!("{bad}a manifest of 5242888 bytes\n")),
        ("a deep manifest", "deep", MANIFEST, "[".repeat(100_000), format!("{bad}the manifest is not understood: *\n")),
        ("an index for no machine", "index", INDEX, json!({"manifests": []}).to_string(), format!("{bad}no manifest for linux/* in the image index\n")),
        ("500 layers", "many", MANIFEST, json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string(), "Some(1) kabuki: not supported: an image of 500 layers; at most * can be mounted\n".to_owned()),
        ("a negative size", "negative", MANIFEST, json!({"schemaVersion": 2, "config": config, "layers": [{"digest": some, "size": -1}]}).to_string(), format!("{bad}the manifest is not understood: *\n")),
        ("a digest that leads out", "leads", MANIFEST, json!({"schemaVersion": 2, "config": config, "layers": [{"mediaType": LAYER, "digest": "sha256:../../../etc/passwd", "size": 1}]}).to_string(), format!("{bad}\"sha256:../../../etc/passwd\" is not a sha256 digest (the only kind taken)\n")),
    ] {
        put(shelf, &format!("manifests/{tag}"), kind, body.into_bytes());
        check(name, tag, &want);
    }
    // An index that leads to another, and that one to a third, and so on.
    let mut below = json!({"manifests": []}).to_string().into_bytes();
    for _ in 0..6 {
        put(shelf, &format!("manifests/{}", digest(&below)), INDEX, below.clone());
        below = json!({"manifests": [{"digest": digest(&below), "size": below.len()}]})
            .to_string()
            .into_bytes();
    }
    put(shelf, "manifests/nested", INDEX, below);
    check("indexes in indexes", "nested", &format!("{bad}image indexes are nested too deeply\n"));
    let circle = json!({"manifests": [{"digest": some, "size": 1}]}).to_string().into_bytes();
    put(shelf, &format!("manifests/{some}"), INDEX, circle.clone());
    put(shelf, "manifests/circle", INDEX, circle);
    check("an index that leads to itself", "circle", "Some(1) kabuki: *digest*\n");
}
