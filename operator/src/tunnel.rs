//! One replica has all streams: who does not lead passes the connections of proxies on to the leader, untouched, so that one
//! knows what every proxy has acknowledged. A leader that cannot be reached is no reason to serve nobody: then a replica
//! serves by itself, and sends its proxies to the next leader when there is one.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt};
use tokio::{
    io::copy_bidirectional,
    net::TcpStream,
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use crate::leader::Leadership;

/// How long the leader may take to accept.
const CONNECT: Duration = Duration::from_secs(1);
/// How many connections are passed on.
const TUNNELS: usize = 20_000;
/// How long a replica serves by itself what the leader, who is there, could not be asked to.
const AGAIN: Duration = Duration::from_secs(30);
/// Over how long proxies are sent to another leader, so that they do not all come at once.
const SPREAD: Duration = Duration::from_secs(5);

/// Where connections go.
#[derive(Clone, Debug)]
pub(crate) struct Tunnels {
    leadership: watch::Receiver<Leadership>,
    places: Arc<Semaphore>,
    turn: Arc<AtomicU32>,
}

impl Tunnels {
    /// By who leads.
    pub(crate) fn new(leadership: watch::Receiver<Leadership>) -> Self {
        Self { leadership, places: Arc::new(Semaphore::new(TUNNELS)), turn: Arc::default() }
    }

    /// Passes a connection on to the leader; gives it back if it is to be served here.
    pub(crate) async fn pass(&self, stream: TcpStream) -> Option<TcpStream> {
        let Some(leader) = self.leadership.borrow().elsewhere() else { return Some(stream) };
        let Ok(Ok(there)) = timeout(CONNECT, TcpStream::connect(leader)).await else {
            tracing::debug!(%leader, "the leader cannot be reached: serving a proxy here");
            return Some(stream);
        };
        // Too many: closed, and its Envoy tries again.
        let place = self.places.clone().try_acquire_owned().ok()?;
        tokio::spawn(carry(stream, there, leader, self.leadership.clone(), place));
        None
    }

    /// Ends when a connection that is served here should go elsewhere: to the next leader, or to the one that could not be
    /// reached before.
    pub(crate) fn sent_away(&self) -> BoxFuture<'static, ()> {
        let mut leadership = self.leadership.clone();
        let now = leadership.borrow().elsewhere();
        let turn = self.turn.fetch_add(0x9E37_79B9, Relaxed);
        async move {
            let elsewhere = leadership.wait_for(|next| next.elsewhere().is_some_and(|next| Some(next) != now));
            if now.is_none() {
                // An error means that nobody tells any more: the end is near.
                let _ = elsewhere.await;
            } else {
                let _ = timeout(AGAIN, elsewhere).await;
            }
            sleep(SPREAD.mul_f64(f64::from(turn) / f64::from(u32::MAX))).await;
        }
        .boxed()
    }
}

/// Until either side ends it, or somebody else leads. That nobody is known to lead ends nothing: without an API server no
/// stream could be opened anew.
async fn carry(
    mut here: TcpStream,
    mut there: TcpStream,
    leader: SocketAddr,
    mut leadership: watch::Receiver<Leadership>,
    _place: tokio::sync::OwnedSemaphorePermit,
) {
    // Small messages go to and fro; without it they would wait for each other.
    let _ = there.set_nodelay(true);
    let _ = here.set_nodelay(true);
    tokio::select! {
        _ = copy_bidirectional(&mut here, &mut there) => {}
        Ok(_) = leadership.wait_for(|now| now.is_own() || now.elsewhere().is_some_and(|now| now != leader)) => {}
    }
}
