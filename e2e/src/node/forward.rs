//! The way from a test to the node's API server: connections to a port of this machine's loopback go on as connections that
//! are made in the node's network. So nothing of the machine's own network has to change.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    thread,
};

use anyhow::Result;
use nix::sched::{CloneFlags, setns};
use tokio::{io::copy_bidirectional, net::TcpStream, runtime, sync::oneshot};

/// A port of loopback; closed when dropped.
#[derive(Debug)]
pub(super) struct Forward {
    _open: oneshot::Sender<()>,
}

impl Forward {
    /// Connections that `listener` accepts go to `to` in `network`.
    pub(super) fn new(listener: TcpListener, network: File, to: SocketAddr) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (open, closed) = oneshot::channel::<()>();
        // The listener has been made here and stays here; what this thread makes from now on is made over there.
        thread::Builder::new().name("node's network".into()).spawn(move || {
            setns(network, CloneFlags::CLONE_NEWNET)?;
            runtime.block_on(async {
                tokio::select! {
                    ended = accept(listener, to) => ended,
                    _ = closed => Ok(()),
                }
            })
        })?;
        Ok(Self { _open: open })
    }
}

/// Binds a free port of loopback.
pub(super) fn listen() -> Result<(TcpListener, u16)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

async fn accept(listener: TcpListener, to: SocketAddr) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (mut near, _) = listener.accept().await?;
        tokio::spawn(async move {
            // Where nobody listens over there, the caller finds its connection closed.
            if let Ok(mut far) = TcpStream::connect(to).await {
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}
