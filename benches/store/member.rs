//! A member of Kabuki's store in a process of its own, reached over frames or etcd's calls.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kabuki_raft::{Store, StoreConfig, Txn};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedSender, unbounded_channel},
};

use crate::{
    certs,
    frames::{self, DONE, FAILED, Frame, read_frames, write_frames},
    serve_grpc,
};

/// What a connection over HTTP/2 begins with.
const HTTP2: &[u8] = b"PRI ";
/// How often joining the others is tried again, and how many times.
const JOIN_PAUSE: Duration = Duration::from_millis(50);
const JOIN_TRIES: usize = 200;

/// What a member is started with.
pub struct MemberArgs {
    /// Its number; member 1 makes the cluster and adds the others.
    pub id: u64,
    /// Where it keeps everything; certificates lie in the directory above.
    pub dir: PathBuf,
    /// `host:port` for clients.
    pub client: String,
    /// `host:port` of every member, in the order of their numbers.
    pub peers: Vec<String>,
}

/// Runs a member until the process is killed.
pub fn run(args: MemberArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(&args.client).await?;
        let store = open(&args).await?;
        loop {
            let (tcp, _) = listener.accept().await?;
            let (store, id) = (store.clone(), args.id);
            tokio::spawn(async move { serve(&store, id, tcp).await.ok() });
        }
    })
}

async fn open(args: &MemberArgs) -> anyhow::Result<Store> {
    let mine = args.peers.get(args.id as usize - 1).context("no such member")?;
    let mut cfg = StoreConfig::new(&args.dir, args.id, "bench");
    cfg.peer_addr.clone_from(mine);
    cfg.tls = Some(certs::tls(args.dir.parent().context("no directory above")?)?);
    let store = Store::open(cfg).await?;
    let listener = TcpListener::bind(mine).await?;
    let peers = store.clone();
    tokio::spawn(async move { peers.serve_peers(listener).await });
    if args.id == 1 {
        store.initialize().await?;
        for (at, peer) in args.peers.iter().enumerate().skip(1) {
            let mut tries = 0;
            while let Err(error) = store.add_member(at as u64 + 1, peer, "").await {
                tries += 1;
                anyhow::ensure!(tries < JOIN_TRIES, "cannot add {peer}: {error}");
                tokio::time::sleep(JOIN_PAUSE).await;
            }
        }
    }
    Ok(store)
}

async fn serve(store: &Store, id: u64, tcp: TcpStream) -> anyhow::Result<()> {
    tcp.set_nodelay(true)?;
    let mut begin = [0; HTTP2.len()];
    while tcp.peek(&mut begin).await? < begin.len() {
        tokio::task::yield_now().await;
    }
    if begin == HTTP2 {
        return serve_grpc::connection(store, id, tcp).await;
    }
    let (reader, writer) = tcp.into_split();
    let (answers, queue) = unbounded_channel();
    tokio::spawn(write_frames(writer, queue));
    let read = read_frames(reader, |frame| {
        let (store, answers) = (store.clone(), answers.clone());
        tokio::spawn(async move {
            let id = frame.id;
            let (kind, body) = match answer(&store, frame, &answers).await {
                Ok(body) => (DONE, body),
                Err(error) => (FAILED, error.to_string().into()),
            };
            // Nobody waits any more when the connection is gone.
            answers.send(Frame { id, kind, body }).ok();
        });
    });
    read.await
}

async fn answer(
    store: &Store,
    frame: Frame,
    answers: &UnboundedSender<Frame>,
) -> anyhow::Result<Bytes> {
    let mut body = frame.body;
    match frame.kind {
        frames::PUT => {
            anyhow::ensure!(body.len() >= 2, "a write is cut off");
            let len = usize::from(body.get_u16());
            anyhow::ensure!(body.len() >= len, "a key is cut off");
            let key = body.split_to(len);
            store.write(Txn::put(std::str::from_utf8(&key)?, body)).await?;
            Ok(Bytes::new())
        }
        frames::READ => {
            store.read_barrier().await?;
            let record = store.get(std::str::from_utf8(&body)?).context("no such key")?;
            Ok(record.value.clone())
        }
        frames::STATUS => {
            let status = store.status();
            Ok(vec![u8::from(status.leader == Some(status.member_id))].into())
        }
        frames::WATCH => watch(store, std::str::from_utf8(&body)?, frame.id, answers).await,
        other => anyhow::bail!("no call {other}"),
    }
}

async fn watch(
    store: &Store,
    prefix: &str,
    id: u64,
    answers: &UnboundedSender<Frame>,
) -> anyhow::Result<Bytes> {
    let mut watch = store.watch(prefix, store.revision())?;
    answers.send(Frame { id, kind: DONE, body: Bytes::new() })?;
    loop {
        let events = watch.next().await?;
        let bytes: usize = events.iter().map(|e| e.record.key.len() + e.record.value.len()).sum();
        let mut body = BytesMut::with_capacity(4 + bytes + events.len() * 6);
        body.put_u32(events.len() as u32);
        for event in &events {
            body.put_u16(event.record.key.len() as u16);
            body.put_slice(event.record.key.as_bytes());
            body.put_u32(event.record.value.len() as u32);
            body.put_slice(&event.record.value);
        }
        answers.send(Frame { id, kind: DONE, body: body.freeze() })?;
    }
}
