//! Images: archives, a real registry, hostile layers. Needs root (overlay devices and attributes).

mod support;

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Instant,
};

use kabuki_runtime::{Error, ImageInfo, ImageStore, PullOptions, image::RegistryAuth};
use serde_json::json;
use support::{registry::Registry, *};

fn tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn layer_dir(node: &Node, image: &ImageInfo, at: usize) -> PathBuf {
    node.config.root.join("images/layers").join(&image.layers[at])
}

fn tmp_is_empty(node: &Node) -> bool {
    fs::read_dir(node.config.root.join("images/tmp")).expect("tmp").next().is_none()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_are_pulled_from_a_registry() {
    tls();
    let registry = Registry::start(false);
    let lower = layer(&[
        Item::Dir("etc", 0o755),
        Item::File("etc/gone", b"x", 0o644),
        Item::File("etc/kept", b"x", 0o4755),
        Item::Dir("opaque", 0o711),
        Item::File("opaque/old", b"x", 0o644),
        Item::Dir("shut", 0o700),
    ]);
    let upper = layer(&[
        Item::File("etc/.wh.gone", b"", 0o644),
        Item::File("opaque/.wh..wh..opq", b"", 0o644),
        Item::Owned("shut/new", b"new", 5, 6),
        Item::Hard("etc/hard", "shut/new"),
        Item::Link("link", "/etc/kept"),
    ]);
    let layers =
        [(lower, Packing::Gzip), (upper, Packing::Zstd), (busybox_layer(), Packing::Plain)];
    let own = registry.push_image("team/app", None, false, &layers).await;
    let mut own = own;
    own["platform"] = json!({ "os": "linux", "architecture": "amd64" });
    let mut other = own.clone();
    other["platform"] = json!({ "os": "linux", "architecture": "s390x" });
    let media = "application/vnd.oci.image.index.v1+json";
    let index = json!({ "schemaVersion": 2, "mediaType": media, "manifests": [other, own] });
    let index = index.to_string().into_bytes();
    registry.push("team/app", "1", media, index.clone()).await;

    let node = Node::new();
    let runtime = node.runtime().await;
    let store = runtime.images();
    let name = format!("{}/team/app:1", registry.address);
    let begin = Instant::now();
    let options = PullOptions::default();
    let pulls: Vec<_> = (0..4)
        .map(|_| {
            let (store, name, options) = (store.clone(), name.clone(), options.clone());
            tokio::spawn(async move { store.pull(&name, &options).await })
        })
        .collect();
    let mut images = Vec::new();
    for pull in pulls {
        images.push(pull.await.expect("task").expect("pull"));
    }
    println!("pull of 3 layers by 4 callers: {:?}", begin.elapsed());
    let image = &images[0];
    assert!(images.iter().all(|i| i.id == image.id));
    assert_eq!(image.references, std::slice::from_ref(&name));
    let by_digest = format!("{}/team/app@{}", registry.address, digest(&index));
    assert_eq!(image.digests, std::slice::from_ref(&by_digest));
    assert_eq!(store.get(&by_digest).expect("by digest").id, image.id);
    assert_eq!(image.config.env, ["PATH=/bin", "FROM_IMAGE=yes"]);
    let (low, up) = (layer_dir(&node, image, 0), layer_dir(&node, image, 1));
    let mode =
        |path: &Path| fs::symlink_metadata(path).expect("file").permissions().mode() & 0o7777;
    assert_eq!(mode(&low.join("etc/kept")), 0o4755);
    let gone = fs::symlink_metadata(up.join("etc/gone")).expect("whiteout");
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    let new = fs::metadata(up.join("shut/new")).expect("new");
    assert_eq!((new.uid(), new.gid(), new.nlink()), (5, 6, 2));
    // A directory the upper layer does not describe keeps the mode of the lower one.
    assert_eq!((mode(&up.join("shut")), mode(&up.join("opaque"))), (0o700, 0o711));
    assert_eq!(fs::read_link(up.join("link")).expect("link"), Path::new("/etc/kept"));
    let pod = runtime.create_pod(sandbox("pulled")).await.expect("pod");
    let script = "ls /etc/gone /opaque/old; cat /etc/hard; exit 4";
    run(&pod, container("a", image, script)).await;
    assert_eq!(wait_exit(&pod, "a").await.code, 4);
    let lines = log(&pod, "a").await;
    assert!(lines.contains(&"stdout F new".to_string()), "{lines:?}");
    assert_eq!(lines.iter().filter(|l| l.contains("No such file")).count(), 2, "{lines:?}");
    assert!(matches!(store.remove(&name).await, Err(Error::InUse(_))));
    pod.destroy().await.expect("destroy");
    let image = image.clone();

    let second = kabuki_runtime::Runtime::new(node.config.clone()).await;
    assert!(matches!(second, Err(Error::InUse(_))), "one process owns a store");
    drop((pod, images, runtime));
    let again = node.runtime().await;
    assert_eq!(again.images().list().len(), 1);
    assert_eq!(again.images().unused().len(), 1);
    again.images().remove(&image.id).await.expect("remove");
    assert!(again.images().list().is_empty() && tmp_is_empty(&node));
    let layers = fs::read_dir(node.config.root.join("images/layers")).expect("layers");
    assert_eq!(layers.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_images_and_refusals() {
    tls();
    let registry = Registry::start(false);
    let small = layer(&[Item::File("a", b"a", 0o644)]);
    registry.push_image("x", Some("2"), true, &[(small.clone(), Packing::Gzip)]).await;
    let node = Node::new();
    let runtime = node.runtime().await;
    let store = runtime.images();
    let options = PullOptions::default();
    let name = format!("{}/x:2", registry.address);
    store.pull(&name, &options).await.expect("docker image");
    let missing = store.pull(&format!("{}/x:none", registry.address), &options).await;
    assert!(matches!(missing, Err(Error::Pull { .. })), "{missing:?}");
    let nobody = store.pull("127.0.0.1:1/x:1", &options).await;
    assert!(matches!(nobody, Err(Error::Pull { .. })), "{nobody:?}");
    assert!(matches!(store.pull("BAD NAME", &options).await, Err(Error::ImageName { .. })));

    // A configuration that promises other content than the layer has.
    let config = configuration(&[layer(&[Item::File("b", b"b", 0o644)])]);
    let config_digest = registry.push_blob("x", &config).await;
    let (bytes, _) = pack(&small, Packing::Gzip);
    let layer_digest = registry.push_blob("x", &bytes).await;
    let manifest = |size: usize| {
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": config_digest, "size": config.len() },
            "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": layer_digest, "size": size }],
        })
        .to_string()
        .into_bytes()
    };
    let media = "application/vnd.oci.image.manifest.v1+json";
    registry.push("x", "liar", media, manifest(bytes.len())).await;
    let liar = store.pull(&format!("{}/x:liar", registry.address), &options).await;
    assert!(matches!(&liar, Err(Error::ImageContent(text)) if text.contains("digest")), "{liar:?}");
    assert_eq!(store.list().len(), 1);
    assert!(tmp_is_empty(&node));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_used() {
    tls();
    let registry = Registry::start(true);
    let node = Node::new();
    let runtime = node.runtime().await;
    let name = format!("{}/secret:1", registry.address);
    let refused = runtime.images().pull(&name, &PullOptions::default()).await;
    assert!(matches!(refused, Err(Error::Pull { .. })), "{refused:?}");
    let auth = RegistryAuth::Basic("user".into(), "wrong".into());
    let refused = runtime.images().pull(&name, &PullOptions { auth, ..Default::default() }).await;
    assert!(
        matches!(&refused, Err(Error::Pull { reason, .. }) if reason.contains("authorized")),
        "{refused:?}"
    );
    // Nothing was pushed: with the right password the registry says so instead.
    let auth = RegistryAuth::Basic("user".into(), "secret".into());
    let known = runtime.images().pull(&name, &PullOptions { auth, ..Default::default() }).await;
    assert!(
        matches!(&known, Err(Error::Pull { reason, .. }) if reason.contains("unknown")),
        "{known:?}"
    );
}

async fn load(store: &ImageStore, dir: &Path, layers: &[Vec<u8>]) -> Result<Vec<String>, Error> {
    let file = dir.join("hostile.tar");
    fs::write(&file, docker_archive("hostile:1", layers)).expect("archive");
    store.load(&file).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layers_cannot_leave_their_directory() {
    let node = Node::new();
    let runtime = node.runtime().await;
    let dir = node.dir.path().to_path_buf();
    let victim = dir.join("victim");
    fs::create_dir(&victim).expect("victim");
    let outside = victim.display().to_string();
    let up = format!("{}{outside}", "../".repeat(12));
    let hostile: Vec<(&str, Vec<u8>)> = vec![
        ("dots", layer(&[Item::File("../../../escape", b"x", 0o644)])),
        ("hard link", layer(&[Item::Hard("h", "../../../../etc/passwd")])),
        ("missing hard link", layer(&[Item::Hard("h", "nowhere")])),
    ];
    for (what, layer) in hostile {
        let result = load(runtime.images(), &dir, &[layer]).await;
        assert!(matches!(result, Err(Error::ImageContent(_))), "{what}: {result:?}");
    }
    let through_links = [
        vec![Item::Link("l", &outside), Item::File("l/x", b"x", 0o644)],
        vec![Item::Link("l", &up), Item::File("l/x", b"x", 0o644)],
        vec![Item::Link("l", &outside), Item::File("l", b"x", 0o644)],
    ];
    for items in through_links {
        let result = load(runtime.images(), &dir, &[layer(&items)]).await;
        println!("{result:?}");
        assert!(fs::read_dir(&victim).expect("victim").next().is_none());
    }
    assert!(tmp_is_empty(&node));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oci_layouts_are_loaded() {
    let node = Node::new();
    let runtime = node.runtime().await;
    let small = layer(&[Item::File("a", b"a", 0o644)]);
    let config = configuration(std::slice::from_ref(&small));
    let (packed, ending) = pack(&small, Packing::Zstd);
    let manifest = json!({
        "schemaVersion": 2,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest(&config), "size": config.len() },
        "layers": [{ "mediaType": format!("application/vnd.oci.image.layer.v1.{ending}"),
            "digest": digest(&packed), "size": packed.len() }],
    })
    .to_string()
    .into_bytes();
    let index = json!({
        "schemaVersion": 2,
        "manifests": [{ "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest(&manifest), "size": manifest.len(),
            "annotations": { "io.containerd.image.name": "docker.io/own/image:3" } }],
    })
    .to_string()
    .into_bytes();
    let write = |broken: bool| {
        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |name: String, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, bytes).expect("entry");
        };
        add("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#);
        add("index.json".into(), &index);
        for blob in [&config, &manifest, &packed] {
            let name = format!("blobs/sha256/{}", &digest(blob)["sha256:".len()..]);
            let mut blob = blob.clone();
            if broken {
                blob.push(b' ');
            }
            add(name, &blob);
        }
        let path = node.dir.path().join("layout.tar");
        fs::write(&path, tar.into_inner().expect("tar")).expect("file");
        path
    };
    let broken = runtime.images().load(&write(true)).await;
    assert!(matches!(broken, Err(Error::ImageContent(_))), "{broken:?}");
    let names = runtime.images().load(&write(false)).await.expect("load");
    assert_eq!(names, ["docker.io/own/image:3"]);
    let image = runtime.images().get("own/image:3").expect("image");
    assert_eq!(image.id, digest(&config));
    assert!(layer_dir(&node, &image, 0).join("a").is_file());
    runtime.images().remove("own/image:3").await.expect("remove");
    let none = runtime.images().remove("own/image:3").await;
    assert!(matches!(none, Err(Error::NotFound(_))));
}
