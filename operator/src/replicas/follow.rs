//! The side of who does not lead: one stream to the leader, opened again whenever it ends.

use std::{io, net::SocketAddr, time::Duration};

use futures::{SinkExt, StreamExt};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    time::{Instant, interval, sleep, sleep_until, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_util::codec::Framed;

use super::{
    Account, BEAT, SILENCE, Trust, codec,
    wire::{Frame, frames},
};
use crate::{leader::Leadership, message::Message};

/// How long to wait before the next try.
const RETRY: Duration = Duration::from_millis(500);

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("TLS with it is not to be had")]
    Tls(#[from] rustls::Error),
    #[error("it cannot be reached or has hung up")]
    Io(#[from] io::Error),
    #[error("it is silent")]
    Silent,
    /// The loop has ended, or has a newer stream.
    #[error("there is nothing more to tell")]
    Done,
}

/// Tells whoever leads elsewhere, until the loop has ended. `name`: of this replica.
pub(crate) async fn follow(
    trust: Trust,
    name: String,
    mut leadership: watch::Receiver<Leadership>,
    messages: mpsc::Sender<Message>,
) {
    while !messages.is_closed() {
        let leader = leadership.borrow_and_update().elsewhere();
        let Some(leader) = leader else {
            if leadership.changed().await.is_err() {
                return;
            }
            continue;
        };
        let ended = tokio::select! {
            Err(error) = tell(leader, &trust, &name, &messages) => error,
            () = moved(&mut leadership, leader) => continue,
        };
        tracing::debug!(%leader, error = &ended as &dyn std::error::Error, "the stream to the leader has ended");
        sleep(RETRY).await;
    }
}

/// Ends when somebody else leads, or nobody.
async fn moved(leadership: &mut watch::Receiver<Leadership>, leader: SocketAddr) {
    // An error means that nobody tells any more: the end is near.
    let _ = leadership.wait_for(|now| now.elsewhere() != Some(leader)).await;
}

async fn tell(
    leader: SocketAddr,
    trust: &Trust,
    name: &str,
    messages: &mpsc::Sender<Message>,
) -> Result<std::convert::Infallible, Error> {
    let connecting = async {
        let stream = TcpStream::connect(leader).await?;
        stream.set_nodelay(true)?;
        Ok::<_, Error>(TlsConnector::from(trust.client()?).connect(trust.server_name()?, stream).await?)
    };
    let stream = timeout(SILENCE, connecting).await.map_err(|_| Error::Silent)??;
    let mut stream = Framed::new(stream, codec());
    stream.send(Frame::hello(name).encoded()).await?;
    tracing::info!(%leader, "telling the leader what the proxies here acknowledge");
    // One at a time: what a slow leader does not take is not even made.
    let (sender, mut accounts) = mpsc::channel::<Account>(1);
    messages.send(Message::Leader(sender)).await.map_err(|_| Error::Done)?;
    let (mut beat, mut heard) = (interval(BEAT), Instant::now());
    loop {
        let words = tokio::select! {
            biased;
            // First: what has come while words were sent counts, however long that took.
            word = stream.next() => {
                word.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))??;
                heard = Instant::now();
                continue;
            }
            _ = beat.tick() => vec![Frame::default()],
            account = accounts.recv() => frames(account.ok_or(Error::Done)?),
            () = sleep_until(heard + SILENCE) => return Err(Error::Silent),
        };
        for word in words {
            timeout(SILENCE, stream.send(word.encoded())).await.map_err(|_| Error::Silent)??;
        }
    }
}
