//! Starting and stopping the HTTP server.

use nix::sys::socket::{Shutdown, shutdown};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::AsRawFd,
    time::Duration,
};

use super::{
    connection::on_connect,
    face::{ApiConfig, Face},
    link, pipeline,
};
use actix_web::{
    App, HttpServer,
    dev::{Server, ServerHandle},
    web::{self, Data},
};

/// Idle time after which a connection is pinged (HTTP/2) or closed (HTTP/1.1).
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take to send a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long requests under way may take when the server stops, seconds.
const SHUTDOWN_SECONDS: u64 = 5;
/// How long the accepting thread may take to hear of a pause: it complains about a socket that is
/// shut down under its hands.
const PAUSE_SETTLES: Duration = Duration::from_millis(50);
/// How long a connection that was made in the last moment has to send its request.
const LAST_COMERS: Duration = Duration::from_millis(300);
/// How often it is looked, meanwhile, whether any is left; this many times in a row none must be.
const QUIET_POLL: Duration = Duration::from_millis(50);
const QUIET_LOOKS: u32 = 10;
/// Connections per worker.
const MAX_CONNECTIONS: usize = 25_000;
/// TLS handshakes under way per worker.
const MAX_HANDSHAKES: usize = 256;
/// Bytes a client may send ahead on one HTTP/2 stream; larger than most bodies.
const H2_WINDOW_BYTES: u32 = 1024 * 1024;

/// A running server.
pub struct ApiServer {
    handle: ServerHandle,
    face: Data<Face>,
    addresses: Vec<SocketAddr>,
    /// Second handles of the sockets, to refuse connections while others are still served.
    listeners: Vec<TcpListener>,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

impl ApiServer {
    /// The addresses served.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Tells everybody to go elsewhere: `/readyz` fails, and connections of HTTP/1.1 are closed
    /// after their next answer. Everything is still served.
    pub fn drain(&self) {
        self.face.draining.cancel();
    }

    /// Ends streams, lets other requests finish, and closes the sockets.
    pub async fn stop(self) {
        self.drain();
        // First nobody comes in any more. A connection of the last moment is not idle, though it
        // looks so until its first request is here.
        self.handle.pause().await;
        tokio::time::sleep(PAUSE_SETTLES).await;
        for listener in &self.listeners {
            let refused = shutdown(listener.as_raw_fd(), Shutdown::Read);
            if let Err(error) = refused {
                tracing::debug!(%error, "a listening socket cannot be shut down early");
            }
        }
        tokio::time::sleep(LAST_COMERS).await;
        self.face.stopping.cancel();
        let stopped = self.handle.stop(true);
        tokio::select! {
            () = stopped => {
                if let Err(error) = self.task.await {
                    tracing::warn!(%error, "the HTTP server ended badly");
                }
            }
            // Connections of HTTP/2 stay open for as long as their clients like.
            () = quiet(&self.face) => self.task.abort(),
        }
    }

    /// Waits until the server ends by itself, which is a failure.
    ///
    /// # Errors
    /// What made it end.
    pub async fn ended(&mut self) -> io::Result<()> {
        (&mut self.task).await.map_err(io::Error::other)?
    }
}

/// Starts serving. Returns once the sockets are served.
///
/// # Errors
/// When a socket or the worker threads cannot be used.
pub fn start(config: ApiConfig) -> io::Result<ApiServer> {
    let face = Data::new(Face::new(&config));
    let listeners =
        config.listeners.iter().map(TcpListener::try_clone).collect::<Result<_, _>>()?;
    let server = build(config, face.clone())?;
    let addresses = server.1;
    let server = server.0;
    let handle = server.handle();
    let task = tokio::spawn(server);
    let flow = std::sync::Arc::clone(&face.flow);
    tokio::spawn(flow.follow(face.registry.clone(), face.stopping.clone()));
    Ok(ApiServer { handle, face, addresses, listeners, task })
}

/// Returns when nothing has been under way for a while.
async fn quiet(face: &Face) {
    let mut looks = 0;
    while looks < QUIET_LOOKS {
        tokio::time::sleep(QUIET_POLL).await;
        looks = if face.in_flight() == [0; 3] { looks + 1 } else { 0 };
    }
}

fn build(config: ApiConfig, face: Data<Face>) -> io::Result<(Server, Vec<SocketAddr>)> {
    let ApiConfig { listeners, tls, workers, extra, .. } = config;
    let factory = move || {
        let extra = extra.clone();
        App::new()
            .app_data(face.clone())
            .configure(|services| {
                link::configure(services, &face);
                extra(services);
            })
            .default_service(web::to(pipeline::entry))
    };
    let mut server = HttpServer::new(factory)
        .workers(workers.max(1))
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .tls_handshake_timeout(HANDSHAKE_TIMEOUT)
        .max_connections(MAX_CONNECTIONS)
        .max_connection_rate(MAX_HANDSHAKES)
        .h1_allow_half_closed(false)
        .h2_initial_window_size(H2_WINDOW_BYTES)
        .h2_initial_connection_window_size(4 * H2_WINDOW_BYTES)
        .tcp_nodelay(true)
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals()
        .on_connect(on_connect);
    for listener in listeners {
        listener.set_nonblocking(true)?;
        server = server.listen_rustls_0_23(listener, tls.clone())?;
    }
    let addresses = server.addrs();
    Ok((server.run(), addresses))
}
