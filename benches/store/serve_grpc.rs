//! The gRPC face of a member of Kabuki's store: etcd's calls.

use std::sync::Arc;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream, server::SendResponse};
use http_02::{HeaderMap, HeaderValue, Request, Response};
use kabuki_raft::{Event, EventKind, Record, Store, Txn};
use tokio::net::TcpStream;

use crate::{
    grpc::WINDOW_BYTES,
    wire::{self, Message, PUT, RANGE, STATUS, WATCH, take_message},
};

/// Calls of one connection at once.
const MAX_STREAMS: u32 = 4096;

/// Serves one connection.
pub async fn connection(store: &Store, id: u64, tcp: TcpStream) -> anyhow::Result<()> {
    let mut connection = h2::server::Builder::new()
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .handshake(tcp)
        .await?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        let store = store.clone();
        tokio::spawn(async move { answer(store, id, request, respond).await.ok() });
    }
    Ok(())
}

async fn answer(
    store: Store,
    id: u64,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> anyhow::Result<()> {
    let path = request.uri().path().to_owned();
    let message = first_message(request.into_body()).await?;
    let begin = |respond: &mut SendResponse<Bytes>| {
        let response = Response::builder().header("content-type", "application/grpc").body(())?;
        anyhow::Ok(respond.send_response(response, false)?)
    };
    let done = match path.as_str() {
        PUT => put(&store, &message).await,
        RANGE => range(&store, &message).await,
        STATUS => Ok(status(&store, id)),
        WATCH => {
            let stream = begin(&mut respond)?;
            return watch(&store, &message, stream).await;
        }
        _ => Err(anyhow::anyhow!("no such call")),
    };
    let mut stream = begin(&mut respond)?;
    let mut trailers = HeaderMap::new();
    match done {
        Ok(message) => {
            stream.send_data(message, false)?;
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
        }
        Err(error) => {
            eprintln!("{path}: {error}");
            trailers.insert("grpc-status", HeaderValue::from_static("14"));
        }
    }
    stream.send_trailers(trailers)?;
    Ok(())
}

async fn first_message(mut body: RecvStream) -> anyhow::Result<Bytes> {
    let mut buffer = BytesMut::new();
    loop {
        if let Some(message) = take_message(&mut buffer) {
            return Ok(message);
        }
        let chunk = body.data().await.context("the request ended early")??;
        body.flow_control().release_capacity(chunk.len())?;
        buffer.extend_from_slice(&chunk);
    }
}

fn text(bytes: &Bytes) -> anyhow::Result<&str> {
    Ok(std::str::from_utf8(bytes)?)
}

async fn put(store: &Store, message: &Bytes) -> anyhow::Result<Bytes> {
    let key = wire::embedded(message, 1);
    store.write(Txn::put(text(&key)?, wire::embedded(message, 2))).await?;
    Ok(Message::new(32).bytes(1, &header(store.revision())).framed())
}

async fn range(store: &Store, message: &Bytes) -> anyhow::Result<Bytes> {
    let key = wire::embedded(message, 1);
    let revision = store.read_barrier().await?;
    let answer = Message::new(2048).bytes(1, &header(revision));
    Ok(match store.get(text(&key)?) {
        Some(record) => answer.bytes(2, &key_value(&record)).number(4, 1).framed(),
        None => answer.framed(),
    })
}

fn status(store: &Store, id: u64) -> Bytes {
    let me = Message::new(32).number(2, id).embedded();
    let leader = store.status().leader.unwrap_or(0);
    Message::new(64).bytes(1, &me).number(4, leader).framed()
}

async fn watch(
    store: &Store,
    message: &Bytes,
    mut stream: SendStream<Bytes>,
) -> anyhow::Result<()> {
    let prefix = wire::embedded(&wire::embedded(message, 1), 1);
    let revision = store.revision();
    let mut watch = store.watch(text(&prefix)?, revision)?;
    let created = Message::new(32).bytes(1, &header(revision)).number(3, 1);
    stream.send_data(created.framed(), false)?;
    loop {
        let events = watch.next().await?;
        let last = events.last().map_or(revision, |event| event.revision);
        let mut message = Message::new(64 + events.len() * 2048).bytes(1, &header(last));
        for event in &events {
            message = message.bytes(11, &change(event));
        }
        stream.send_data(message.framed(), false)?;
    }
}

fn header(revision: u64) -> Bytes {
    Message::new(32).number(1, 1).number(2, 1).number(3, revision).number(4, 1).embedded()
}

fn key_value(record: &Arc<Record>) -> Bytes {
    Message::new(record.key.len() + record.value.len() + 64)
        .bytes(1, record.key.as_bytes())
        .number(2, record.create_revision)
        .number(3, record.mod_revision)
        .number(4, 1)
        .bytes(5, &record.value)
        .embedded()
}

fn change(event: &Arc<Event>) -> Bytes {
    let kind = u64::from(event.kind == EventKind::Delete);
    Message::new(event.record.value.len() + 256)
        .number(1, kind)
        .bytes(2, &key_value(&event.record))
        .embedded()
}
