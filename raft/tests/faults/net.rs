//! The network between members: one TCP proxy for each direction of dialling, and one gate for
//! each direction of packets, which can be shut, slow, lossy or cut.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    time::Instant,
};

use crate::rng::Rng;

pub const MEMBERS: usize = 3;
/// Pieces of a stream that may be on their way.
const IN_FLIGHT: usize = 256;
const PIECE: usize = 16 * 1024;

/// What happens to packets of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gate {
    /// Nothing passes, silently.
    pub shut: bool,
    /// Every packet comes this many milliseconds late, plus up to as much again.
    pub delay: u64,
    /// Of 1000 packets so many are lost, and come when TCP sends them again.
    pub loss: u64,
    /// Connections of an older epoch are broken.
    pub epoch: u64,
}

/// The links between three members.
pub struct Net {
    gates: Vec<watch::Sender<Gate>>,
    /// Where each member listens; `None` while it does not run.
    targets: Vec<watch::Sender<Option<u16>>>,
    ports: Vec<u16>,
    rng: Mutex<Rng>,
}

fn link(from: usize, to: usize) -> usize {
    from * MEMBERS + to
}

impl Net {
    pub async fn new(rng: Rng) -> Arc<Self> {
        let mut listeners = Vec::new();
        for _ in 0..MEMBERS * MEMBERS {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let this = Arc::new(Self {
            gates: listeners.iter().map(|_| watch::Sender::default()).collect(),
            targets: (0..MEMBERS).map(|_| watch::Sender::default()).collect(),
            ports: listeners.iter().map(|l| l.local_addr().unwrap().port()).collect(),
            rng: Mutex::new(rng),
        });
        for (n, listener) in listeners.into_iter().enumerate() {
            let (net, from, to) = (Arc::downgrade(&this), n / MEMBERS, n % MEMBERS);
            tokio::spawn(async move {
                while let Ok((dialled, _)) = listener.accept().await {
                    let Some(net) = net.upgrade() else { return };
                    let rng = net.rng.lock().unwrap().fork();
                    let ends = (net.gate(from, to), net.gate(to, from));
                    let target = *net.targets[to].borrow();
                    tokio::spawn(async move { carry(dialled, target, ends, rng).await.ok() });
                }
            });
        }
        this
    }

    /// Where `from` dials to reach `to`.
    pub fn port(&self, from: usize, to: usize) -> u16 {
        self.ports[link(from, to)]
    }

    pub fn set_target(&self, member: usize, port: Option<u16>) {
        self.targets[member].send_replace(port);
    }

    fn gate(&self, from: usize, to: usize) -> watch::Receiver<Gate> {
        self.gates[link(from, to)].subscribe()
    }

    /// Change what happens to packets of one direction.
    pub fn change(&self, from: usize, to: usize, change: impl Fn(&mut Gate)) {
        self.gates[link(from, to)].send_modify(change);
    }

    /// Change every direction that `choose` chooses.
    pub fn change_all(&self, choose: impl Fn(usize, usize) -> bool, change: impl Fn(&mut Gate)) {
        for n in 0..MEMBERS * MEMBERS {
            let (from, to) = (n / MEMBERS, n % MEMBERS);
            if from != to && choose(from, to) {
                self.change(from, to, &change);
            }
        }
    }

    /// Everything passes again; what was held back comes late.
    pub fn heal(&self) {
        self.change_all(|_, _| true, |g| *g = Gate { epoch: g.epoch, ..Gate::default() });
    }

    /// Break every connection; new ones can be made.
    pub fn cut(&self, choose: impl Fn(usize, usize) -> bool) {
        self.change_all(choose, |g| g.epoch += 1);
    }
}

type Ends = (watch::Receiver<Gate>, watch::Receiver<Gate>);

async fn carry(
    dialled: TcpStream,
    target: Option<u16>,
    ends: Ends,
    mut rng: Rng,
) -> io::Result<()> {
    let Some(port) = target else { return Ok(()) };
    dialled.set_nodelay(true)?;
    let (mut there, mut back) = ends;
    there.wait_for(|g| !g.shut).await.ok();
    back.wait_for(|g| !g.shut).await.ok();
    let accepted = TcpStream::connect(("127.0.0.1", port)).await?;
    accepted.set_nodelay(true)?;
    let (dialled_read, dialled_write) = dialled.into_split();
    let (accepted_read, accepted_write) = accepted.into_split();
    let (one, two) = (rng.fork(), rng.fork());
    tokio::select! {
        result = flow(dialled_read, accepted_write, there.clone(), one) => result,
        result = flow(accepted_read, dialled_write, back.clone(), two) => result,
        () = broken(there) => Ok(()),
        () = broken(back) => Ok(()),
    }
}

/// Returns when connections of this direction are cut.
async fn broken(mut gate: watch::Receiver<Gate>) {
    let epoch = gate.borrow().epoch;
    gate.wait_for(|g| g.epoch != epoch).await.ok();
}

async fn flow(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    gate: watch::Receiver<Gate>,
    mut rng: Rng,
) -> io::Result<()> {
    let (queue, mut pieces) = mpsc::channel::<(Instant, Vec<u8>)>(IN_FLIGHT);
    let mut shut = gate.clone();
    let read = async {
        loop {
            let mut piece = vec![0; PIECE];
            let read = from.read(&mut piece).await?;
            if read == 0 {
                return Ok(());
            }
            piece.truncate(read);
            let Gate { delay, loss, .. } = *gate.borrow();
            let mut late = delay + if delay > 0 { rng.range(0..delay + 1) } else { 0 };
            if rng.range(0..1000) < loss {
                late += rng.range(200..600);
            }
            let due = Instant::now() + Duration::from_millis(late);
            if queue.send((due, piece)).await.is_err() {
                return Ok(());
            }
        }
    };
    let write = async {
        while let Some((due, piece)) = pieces.recv().await {
            tokio::time::sleep_until(due).await;
            shut.wait_for(|g| !g.shut).await.ok();
            to.write_all(&piece).await?;
        }
        Ok(())
    };
    tokio::select! {
        result = read => result,
        result = write => result,
    }
}
