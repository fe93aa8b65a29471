//! The leader's side: the other replicas' streams, each by itself; what they tell goes to the loop.

use std::{
    convert::Infallible,
    io,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use futures::{FutureExt, SinkExt, StreamExt};
use smidge_report::Replica;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    time::{Instant, interval, sleep_until, timeout},
};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::{
    BEAT, SILENCE, Trust, Word, codec,
    wire::{self, Frame},
};
use crate::{leader::Leadership, message::Message, tls};

/// How many replicas may tell at a time.
const STREAMS: usize = 64;
/// How long a name may be: that of a pod.
const NAME_LIMIT: usize = 253;

type Stream = Framed<tls::Connection, LengthDelimitedCodec>;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("it has hung up")]
    Io(#[from] io::Error),
    #[error("it is not understood")]
    Wire(#[from] wire::Error),
    #[error("it is silent")]
    Silent,
    #[error("it does not say its name")]
    Nameless,
    #[error("this replica does not lead")]
    NotLeading,
    #[error("the loop has ended")]
    Done,
}

/// Hears all replicas while this one leads; what comes back goes on for ever.
///
/// # Errors
/// When TLS is not to be had.
pub(crate) fn hear(
    listener: TcpListener,
    trust: &Trust,
    leadership: watch::Receiver<Leadership>,
    messages: mpsc::Sender<Message>,
) -> Result<impl Future<Output = ()> + use<>, rustls::Error> {
    let (incoming, streams) = (tls::incoming(listener, trust.server()?), AtomicU64::new(0));
    Ok(incoming.for_each_concurrent(STREAMS, move |Ok(connection)| {
        let stream = Framed::new(connection, codec());
        let (number, leadership, messages) = (streams.fetch_add(1, Relaxed), leadership.clone(), messages.clone());
        session(stream, number, leadership, messages).map(move |ended| {
            if let Err(error) = ended {
                tracing::info!(number, error = &error as &dyn std::error::Error, "a replica's stream has ended");
            }
        })
    }))
}

async fn session(
    mut stream: Stream,
    number: u64,
    mut leadership: watch::Receiver<Leadership>,
    messages: mpsc::Sender<Message>,
) -> Result<(), Error> {
    let name = next(&mut stream, Instant::now()).await?.name.filter(|name| name.len() <= NAME_LIMIT);
    let name = name.ok_or(Error::Nameless)?;
    // Others may know of a new leader a little earlier than itself.
    timeout(SILENCE, leading(&mut leadership, true)).await.map_err(|_| Error::NotLeading)?;
    // Each stream is told everything: it is a replica of its own, even the second one of a process.
    let said = Said { replica: format!("{name}#{number}").into(), messages };
    tracing::info!(number, replica = name, "a replica tells what its proxies acknowledge");
    said.say(Word::Opened).await?;
    let ended = tokio::select! {
        Err(error) = take_in(&mut stream, &said) => error,
        () = leading(&mut leadership, false) => Error::NotLeading,
    };
    said.say(Word::Closed).await?;
    Err(ended)
}

/// Until this replica leads, or does not.
async fn leading(leadership: &mut watch::Receiver<Leadership>, leads: bool) {
    // An error means that nobody tells any more: the end is near.
    let _ = leadership.wait_for(|now| now.is_own() == leads).await;
}

/// What one replica says.
struct Said {
    replica: Replica,
    messages: mpsc::Sender<Message>,
}

impl Said {
    async fn say(&self, word: Word) -> Result<(), Error> {
        self.messages.send(Message::Replica(self.replica.clone(), word)).await.map_err(|_| Error::Done)
    }
}

async fn take_in(stream: &mut Stream, said: &Said) -> Result<Infallible, Error> {
    let (mut beat, mut heard) = (interval(BEAT), Instant::now());
    loop {
        tokio::select! {
            biased;
            _ = beat.tick() => {
                let word = Frame::default().encoded();
                timeout(SILENCE, stream.send(word)).await.map_err(|_| Error::Silent)??;
            }
            frame = next(stream, heard) => {
                if let Some(account) = frame?.account()? {
                    said.say(Word::Told(account)).await?;
                }
                // Not before: it is not the other side that is slow when the loop is.
                heard = Instant::now();
            }
        }
    }
}

/// The next frame, unless nothing was heard for too long.
async fn next(stream: &mut Stream, heard: Instant) -> Result<Frame, Error> {
    tokio::select! {
        biased;
        bytes = stream.next() => Ok(Frame::read(&bytes.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))??)?),
        () = sleep_until(heard + SILENCE) => Err(Error::Silent),
    }
}
