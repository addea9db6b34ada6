//! The daemon is killed in the middle of a pull.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    stage::{NewPod, STEP, Stage, condition, restarts},
    support::{
        eventually,
        host::Host,
        image::{Compression, Format, Image, Layer},
    },
};

/// Where the slow way to the registry listens.
pub const SLOW_PORT: u16 = 5001;
/// Bytes carried at once by the slow way, and the pause after them: 1.3 MB/s.
const CHUNK: usize = 64 * 1024;
const PAUSE: Duration = Duration::from_millis(50);
/// Size of the large layer, incompressible.
const LARGE: usize = 6 << 20;

/// An image of static busybox with a layer of `size` bytes that do not compress.
pub fn large_image(size: usize, seed: u64) -> Image {
    let mut state = seed | 1;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take(size / 8)
    .flatten()
    .collect();
    let program = ["sh", "sleep", "echo", "cat"]
        .iter()
        .fold(Layer::default().host_file(std::path::Path::new("/bin/busybox")), |layer, applet| {
            layer.link(&format!("bin/{applet}"), "/bin/busybox")
        });
    Image::new(
        Format::Oci,
        &json!({"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]}),
        &[
            (program, Compression::Gzip),
            (Layer::default().file("noise", noise, 0o644), Compression::None),
        ],
    )
}

/// A TCP way to the registry that carries little at a time, until it is told to be quick.
struct SlowWay {
    quick: watch::Sender<bool>,
}

impl SlowWay {
    fn open(host: &Host) -> Self {
        let (quick, slow) = watch::channel(false);
        let host = host.clone();
        let (ready, listening) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let address = host.address;
            host.block_on(async move {
                let listener = TcpListener::bind((address, SLOW_PORT)).await.expect("listen");
                ready.send(()).expect("the test waits");
                let mut end = slow.clone();
                loop {
                    tokio::select! {
                        accepted = listener.accept() => {
                            let (client, _) = accepted.expect("accept");
                            let to = TcpStream::connect((address, 5000)).await.expect("registry");
                            tokio::spawn(carry(client, to, slow.clone()));
                        }
                        gone = end.changed() => if gone.is_err() { return },
                    }
                }
            });
        });
        listening.recv().expect("the way is open");
        Self { quick }
    }
}

async fn carry(client: TcpStream, server: TcpStream, quick: watch::Receiver<bool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = tokio::spawn(async move {
        // Whichever side ends first ends the connection.
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    });
    let mut chunk = vec![0; CHUNK];
    while let Ok(n) = from_server.read(&mut chunk).await {
        if n == 0 || to_client.write_all(&chunk[..n]).await.is_err() {
            break;
        }
        if !*quick.borrow() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    up.abort();
}

pub fn daemon_killed_while_pulling(stage: &mut Stage) {
    let image = large_image(LARGE, 7);
    stage.registry.push(&image, "large", "1");
    let host = stage.cluster.lab.host("reg").clone();
    let way = Arc::new(SlowWay::open(&host));
    let reference = format!("{}:{SLOW_PORT}/large:1", host.address);
    let pod = NewPod { image: reference, ..NewPod::new("puller", "Always", "exec sleep 100000") };
    stage.create_pod(&pod.on("n2"));
    let tmp = stage.node(1).data_dir.join("node/images/tmp");
    for round in 0..2 {
        eventually("a layer is on its way", STEP, || {
            let bytes = size_of(&tmp);
            if bytes > 1 << 20 { Ok(()) } else { Err(format!("round {round}: {bytes} bytes")) }
        });
        let machine = &mut stage.cluster.nodes[1];
        machine.process.kill();
        assert!(size_of(&tmp) > 0, "the pull was over before the daemon was killed");
        machine.restart();
    }
    way.quick.send_replace(true);
    let pod = stage.pod_until("runs", "puller", |p| condition(p, "Ready"));
    assert_eq!(restarts(&pod), 0, "{pod}");
    eventually("no half pull is left", STEP, || {
        let bytes = size_of(&tmp);
        if bytes == 0 { Ok(()) } else { Err(format!("{bytes} bytes")) }
    });
    stage.wait_ready("n2");
}

/// Bytes of the files below a directory.
pub fn size_of(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|e| match e.metadata() {
            Ok(meta) if meta.is_dir() => size_of(&e.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}
