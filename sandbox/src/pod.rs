//! A pod: a network namespace with addresses, in which programs run and sockets can be opened.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use smidge_injector::Redirect;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::{Command, Error, Output, Process, Sandbox, Sidecar, envoy, holder::in_network, network};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// What a pod shall be.
#[derive(Debug, Clone)]
pub struct PodSpec {
    /// The pod's name.
    pub name: String,
    /// Its namespace; `<name>.<namespace>` is the id of its Envoy's node.
    pub namespace: String,
    /// Its addresses, at most a few, of either family; any address will do: pods are neighbours on one bridge.
    pub ips: Vec<IpAddr>,
    /// Its Envoy; `None` leaves the pod outside the mesh, without redirect rules.
    pub sidecar: Option<Sidecar>,
}

/// A pod of a [`Sandbox`]. Programs started in it live on when it is dropped, until their [`Process`] is.
#[derive(Debug)]
pub struct Pod {
    sandbox: Sandbox,
    name: String,
    namespace: String,
    ips: Vec<IpAddr>,
    logs: AtomicUsize,
    sidecar: Option<(Sidecar, Process)>,
}

impl Pod {
    pub(crate) fn new(sandbox: Sandbox, spec: PodSpec) -> Result<Self, Error> {
        let PodSpec { name, namespace, ips, sidecar } = spec;
        let mut pod = Self { sandbox, name, namespace, ips, logs: AtomicUsize::new(1), sidecar: None };
        pod.make_network()?;
        if let Some(sidecar) = sidecar {
            pod.redirect(&sidecar.redirect)?;
            let process = envoy::start(&pod, &sidecar)?;
            pod.sidecar = Some((sidecar, process));
        }
        Ok(pod)
    }

    /// `<name>.<namespace>`: the id of the pod's Envoy towards the control plane.
    pub fn id(&self) -> String {
        format!("{}.{}", self.name, self.namespace)
    }

    /// The pod's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The pod's addresses as they were given.
    pub fn ips(&self) -> &[IpAddr] {
        &self.ips
    }

    /// The pod's Envoy: its log, and to pause and resume it.
    ///
    /// # Errors
    /// [`Error::NoSidecar`] for a pod outside the mesh.
    pub fn envoy(&self) -> Result<&Process, Error> {
        self.sidecar.as_ref().map(|(_, process)| process).ok_or_else(|| self.no_sidecar())
    }

    /// The pod's Envoy, to end it.
    ///
    /// # Errors
    /// [`Error::NoSidecar`] for a pod outside the mesh.
    pub fn envoy_mut(&mut self) -> Result<&mut Process, Error> {
        let error = self.no_sidecar();
        self.sidecar.as_mut().map(|(_, process)| process).ok_or(error)
    }

    /// Ends the pod's Envoy, if it still runs, and starts a new one in the same way.
    pub async fn restart_envoy(&mut self) -> Result<(), Error> {
        self.envoy_mut()?.kill().await?;
        let Some((sidecar, _)) = self.sidecar.take() else { return Err(self.no_sidecar()) };
        let process = envoy::start(self, &sidecar)?;
        self.sidecar = Some((sidecar, process));
        Ok(())
    }

    fn no_sidecar(&self) -> Error {
        Error::NoSidecar { pod: self.id() }
    }

    /// Starts a program in the pod; its output goes to a log.
    pub fn spawn(&self, command: &Command) -> Result<Process, Error> {
        let name = command.name();
        let log = format!("log/{}.{name}.{}", self.id(), self.logs.fetch_add(1, Ordering::Relaxed));
        Process::start(format!("{name} in {}", self.id()), self.enter(command), self.sandbox.folder().join(log))
    }

    /// Runs a program in the pod to its end, whatever its exit status. Dropping the future kills it.
    pub async fn run(&self, command: &Command) -> Result<Output, Error> {
        Output::of(&command.name(), self.enter(command)).await
    }

    /// Opens a connection from this pod, as an app in it would; it passes the redirect rules.
    pub async fn connect(&self, to: SocketAddr) -> Result<TcpStream, Error> {
        let what = format!("connect from {} to {to}", self.id());
        let socket = self.inside(move || socket_for(to)).map_err(Error::io(&what))?;
        let connected = tokio::time::timeout(CONNECT, socket.connect(to)).await;
        connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(Error::io(what))
    }

    /// Listens in this pod, as an app in it would.
    pub fn listen(&self, on: SocketAddr) -> Result<TcpListener, Error> {
        let listen = move || {
            let listener = std::net::TcpListener::bind(on)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = self.inside(listen).and_then(TcpListener::from_std);
        listener.map_err(Error::io(format!("listen in {} on {on}", self.id())))
    }

    /// Runs `open` on a thread that has the pod's network: the sockets it makes belong to the pod for good.
    pub fn inside<T: Send>(&self, open: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        in_network(&self.net_outside(), open)
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    fn enter(&self, command: &Command) -> tokio::process::Command {
        command.inside(self.sandbox.inner.holder.enter_with_net(&self.net_outside()))
    }

    /// The file on which the pod's network namespace is mounted, as seen in the sandbox.
    fn net(&self) -> PathBuf {
        self.sandbox.folder().join("net").join(self.id())
    }

    /// The same file as seen by the owner.
    fn net_outside(&self) -> PathBuf {
        self.sandbox.inner.holder.outside(&self.net())
    }

    fn make_network(&self) -> Result<(), Error> {
        let (holder, net) = (&self.sandbox.inner.holder, self.net());
        fs::File::create_new(&net).map_err(Error::io(format!("make pod {}", self.id())))?;
        // Ports below 1024 are open to the pod's apps, as container runtimes have it.
        let open_ports = "echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start";
        let unshare = format!("--net={}", net.display());
        holder.run(holder.enter(), &["unshare", &unshare, "sh", "-c", open_ports], "")?;
        let veth = format!("v{}", self.sandbox.next());
        holder.run(holder.enter(), &["ip", "-batch", "-"], &network::join_bridge(&veth, &net))?;
        holder.run(self.enter_as_root(), &["ip", "-batch", "-"], &network::addresses(&self.ips))
    }

    fn redirect(&self, redirect: &Redirect) -> Result<(), Error> {
        let rules = smidge_injector::redirect_rules(redirect);
        self.sandbox.inner.holder.run(self.enter_as_root(), &["nft", "-f", "-"], &rules)
    }

    fn enter_as_root(&self) -> Vec<std::ffi::OsString> {
        self.sandbox.inner.holder.enter_with_net(&self.net_outside())
    }
}

/// A socket of the family of this address.
fn socket_for(address: SocketAddr) -> io::Result<TcpSocket> {
    if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}
