//! A whole mesh in one test: an API server, the operator, and pods in network namespaces with real Envoys.
//!
//! ```text
//! kubectl apply ──→ API server ←watch── smidge operator ──delta ADS, Unix socket──→ Envoys in the pods of a Sandbox
//! ```
//! A [`World`] plays the parts of a cluster that do not run here: it gives pods their addresses and their readiness,
//! and Services their EndpointSlices. Each test has one of its own, and everything in it ends with it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    process::{Command as Program, ExitStatus},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;
use smidge_injector::PROXY_UID;
use smidge_sandbox::{Command, Pod, PodSpec, Process, Sandbox, Sidecar};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Mutex,
};

use crate::{
    ApiServer, Daemon,
    api_server::free_port,
    eventually, holds,
    objects::{self, PodObject, Port},
    secure::{self, CONTROL_PLANE, Secure},
};

/// How long anything that should happen within milliseconds may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// The ports that every app serves, by name.
pub const APP_PORTS: [Port<'static>; 5] = [
    Port { name: "http", port: 80, target: 8080 },
    Port { name: "tcp-echo", port: 90, target: 9000 },
    Port { name: "tcp-banner", port: 91, target: 9100 },
    Port { name: "any", port: 92, target: 8081 },
    Port { name: "grpc", port: 93, target: 8082 },
];

/// A mesh with one namespace.
#[derive(Debug)]
pub struct World {
    /// The API server.
    pub api: ApiServer,
    /// Where its pods live.
    pub sandbox: Sandbox,
    /// Its namespace.
    pub namespace: String,
    operator: Mutex<Option<Daemon>>,
    /// How its pods reach an operator that serves by TLS; `None`: by its socket.
    pub secure: Option<Secure>,
    ports: [u16; 2],
    /// What the operator is started with beside the usual.
    arguments: Vec<String>,
    /// How the operator is started from now on, where that is not as usual.
    pub operators: Mutex<Operators>,
    folder: tempfile::TempDir,
    next: Mutex<u16>,
}

/// How operators are started.
#[derive(Clone, Debug, Default)]
pub struct Operators {
    /// Which program; by default the one that is tested.
    pub program: Option<PathBuf>,
    /// Where it logs.
    pub log: Option<PathBuf>,
    /// What it finds in its environment beside the usual.
    pub environment: Vec<(String, String)>,
}

/// A pod with the test's app in it.
#[derive(Debug)]
pub struct AppPod {
    /// Its name.
    pub name: String,
    /// Its network namespace and its Envoy.
    pub pod: Pod,
    /// The path of the test's app within the sandbox.
    app: PathBuf,
    /// What serves in it.
    pub server: Process,
}

/// How a pod differs from the usual one.
#[derive(Clone, Copy, Debug)]
pub struct PodOptions<'a> {
    /// The label `app`, by which Services select it.
    pub app: &'a str,
    /// Its service account.
    pub service_account: &'a str,
    /// Whether it has a sidecar.
    pub meshed: bool,
}

impl World {
    /// Starts the API server, the operator and an empty sandbox. `labels` are put on the namespace.
    pub async fn start(namespace: &str, labels: &[(&str, &str)]) -> Result<Self> {
        Self::start_with(namespace, labels, &[]).await
    }

    /// The same, with more arguments for the operator.
    pub async fn start_with(namespace: &str, labels: &[(&str, &str)], arguments: &[&str]) -> Result<Self> {
        Self::begin(namespace, labels, arguments, false, Operators::default()).await
    }

    /// The same, with an operator that serves by TLS: pods prove themselves by their tokens, and the root is in a Secret.
    pub async fn start_secure(namespace: &str, labels: &[(&str, &str)], arguments: &[&str]) -> Result<Self> {
        Self::begin(namespace, labels, arguments, true, Operators::default()).await
    }

    /// The same by another version's program, with the CRDs that it has built in.
    pub async fn start_secure_by(namespace: &str, program: PathBuf) -> Result<Self> {
        let operators = Operators { program: Some(program), ..Operators::default() };
        Self::begin(namespace, &[], &[], true, operators).await
    }

    async fn begin(
        namespace: &str,
        labels: &[(&str, &str)],
        arguments: &[&str],
        is_secure: bool,
        operators: Operators,
    ) -> Result<Self> {
        let api = ApiServer::start().await?;
        match &operators.program {
            None => api.install_crds().await?,
            Some(program) => api.install_crds_of(program).await?,
        }
        let sandbox = Sandbox::new(namespace)?;
        let (operator, operators, next) = (Mutex::default(), Mutex::new(operators), Mutex::new(1));
        let folder = tempfile::Builder::new().prefix("smidge-world-").tempdir()?;
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let ports = [free_port()?, free_port()?];
        let secure = is_secure.then(|| Secure::new(&sandbox, vec![([127, 0, 0, 1], ports[0]).into()])).transpose()?;
        let world = Self {
            api,
            sandbox,
            namespace: namespace.to_owned(),
            operator,
            secure,
            ports,
            arguments,
            operators,
            folder,
            next,
        };
        if is_secure {
            secure::account(&world.api, world.folder.path()).await?;
        }
        world.apply(&objects::namespace(namespace, labels)).await?;
        world.start_operator().await?;
        Ok(world)
    }

    /// Starts the operator, with the state that an earlier one left.
    pub async fn start_operator(&self) -> Result<()> {
        *self.operator.lock().await = Some(self.operator_on("operator-0", self.ports).await?);
        Ok(())
    }

    /// Starts a second replica of an operator that serves by TLS; new connections come to it first. Returns it and the port of
    /// its metrics.
    pub async fn start_replica(&self, name: &str) -> Result<(Daemon, u16)> {
        let ports = [free_port()?, free_port()?];
        let replica = self.operator_on(name, ports).await?;
        let secure = self.secure.as_ref().context("only those that serve by TLS can be several")?;
        secure.prefer(([127, 0, 0, 1], ports[0]).into()).await;
        Ok((replica, ports[1]))
    }

    async fn operator_on(&self, name: &str, ports: [u16; 2]) -> Result<Daemon> {
        let Operators { program, log, environment } = self.operators.lock().await.clone();
        let mut command = Program::new(program.map_or_else(|| beside_this_test("smidge"), Ok)?);
        command.arg("operator").args(&self.arguments);
        if self.secure.is_some() {
            let [xds, metrics] = ports.map(|port| format!("127.0.0.1:{port}"));
            command.args(["--xds-address", &xds, "--replica-address", "127.0.0.1:0", "--metrics", &metrics]);
            command.env("POD_NAMESPACE", CONTROL_PLANE).env("POD_NAME", name);
        } else {
            command.arg("--xds-socket").arg(self.socket()).args(["--xds-group", &PROXY_UID.to_string()]);
            command.arg("--state").arg(self.folder.path().join("state"));
        }
        let account = self.folder.path().join("operator.kubeconfig");
        let kubeconfig = if self.secure.is_some() { &account } else { self.api.kubeconfig() };
        command.env("KUBECONFIG", kubeconfig).env("RUST_LOG", "info,smidge=debug");
        command.envs(environment);
        let log =
            log.unwrap_or_else(|| self.folder.path().join(if name == "operator-0" { "operator.log" } else { name }));
        Daemon::start("smidge operator", &command, &log)
    }

    /// Operators that serve by TLS and are started from now on reach the API server by this URL.
    pub fn reach_api_by(&self, url: &str) -> Result<()> {
        let file = self.folder.path().join("operator.kubeconfig");
        let mut kubeconfig: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
        kubeconfig["clusters"][0]["cluster"] = serde_json::json!({"server": url});
        Ok(std::fs::write(file, kubeconfig.to_string())?)
    }

    /// The operator's process id.
    pub async fn operator_pid(&self) -> Result<u32> {
        Ok(self.operator.lock().await.as_ref().context("the operator does not run")?.pid())
    }

    /// `kill -9` to the operator.
    pub async fn kill_operator(&self) -> Result<()> {
        self.operator.lock().await.take().context("the operator does not run")?.kill()
    }

    /// SIGTERM to the operator; returns once it has ended, and says how.
    pub async fn stop_operator(&self) -> Result<ExitStatus> {
        self.operator.lock().await.take().context("the operator does not run")?.stop()
    }

    /// Where an operator that serves by TLS lets proxies in.
    pub fn xds_address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.ports[0]).into()
    }

    /// One of the operator's metrics, where it serves by TLS, by its whole name.
    pub async fn metric(&self, name: &str) -> Result<u64> {
        let metrics = self.metrics().await?;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.with_context(|| format!("no {name} in {metrics}"))?.parse().with_context(|| name.to_owned())
    }

    /// The operator's metrics, where it serves by TLS.
    pub async fn metrics(&self) -> Result<String> {
        self.metrics_at(self.ports[1]).await
    }

    /// Where the operator serves its metrics.
    pub fn metrics_port(&self) -> u16 {
        self.ports[1]
    }

    /// The metrics of a replica.
    pub async fn metrics_at(&self, port: u16) -> Result<String> {
        self.answer_at(port, "/metrics").await
    }

    /// What a replica answers to a GET on the port of its metrics, with its head.
    pub async fn answer_at(&self, port: u16, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    /// Where a replica logs.
    pub fn log_of(&self, replica: &str) -> PathBuf {
        self.folder.path().join(replica)
    }

    /// Everything the operator has logged.
    pub fn operator_log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("operator.log")).unwrap_or_default()
    }

    /// The root's certificate and key in PEM, as the operator keeps them.
    pub fn root(&self) -> Result<String> {
        let file = self.folder.path().join("state/root.pem");
        std::fs::read_to_string(&file).with_context(|| file.display().to_string())
    }

    /// The operator's xDS socket, at the same path for the pods.
    pub fn socket(&self) -> PathBuf {
        self.sandbox.folder().join("xds.sock")
    }

    /// Applies an object as `kubectl` does.
    pub async fn apply(&self, object: &Value) -> Result<()> {
        self.api.apply(&object.to_string()).await.map(drop)
    }

    /// Deletes an object as `kubectl` does.
    pub async fn delete(&self, object: &Value) -> Result<()> {
        self.api.delete(&object.to_string()).await.map(drop)
    }

    /// `kubectl wait` for a condition of `<kind>/<name>`.
    pub async fn wait_for(&self, condition: &str, object: &str) -> Result<()> {
        let condition = format!("--for=condition={condition}");
        self.api.kubectl(&["wait", "-n", &self.namespace, &condition, "--timeout=30s", object]).await.map(drop)
    }

    /// A field of an object by JSONPath.
    pub async fn field(&self, object: &str, path: &str) -> Result<String> {
        let output = format!("-ojsonpath={path}");
        self.api.kubectl(&["get", "-n", &self.namespace, object, &output]).await
    }

    /// A meshed pod with the service account and the label `app` of its own name, ready to serve and be called.
    pub async fn pod(&self, name: &str) -> Result<AppPod> {
        self.pod_with(name, PodOptions { app: name, service_account: name, meshed: true }).await
    }

    /// A pod, ready to serve and be called.
    pub async fn pod_with(&self, name: &str, options: PodOptions<'_>) -> Result<AppPod> {
        let mut pod = self.unready_pod(name, options).await?;
        self.set_ready(&pod, true).await?;
        if options.meshed {
            pod.pod.wait_ready(SOON).await.with_context(|| self.operator_log())?;
        }
        Ok(pod)
    }

    /// A pod that runs, with its Envoy started, of which the cluster does not say yet that it is ready.
    pub async fn unready_pod(&self, name: &str, options: PodOptions<'_>) -> Result<AppPod> {
        self.unready_pod_with_ports(name, options, &APP_PORTS.map(|port| (port.name, port.target))).await
    }

    /// The same, with other names for the ports of its container. What the app serves stays the same.
    pub async fn unready_pod_with_ports(
        &self,
        name: &str,
        options: PodOptions<'_>,
        ports: &[(&str, u16)],
    ) -> Result<AppPod> {
        let ips = self.addresses().await;
        let object = PodObject {
            namespace: &self.namespace,
            name,
            service_account: options.service_account,
            app: options.app,
            ips: &ips,
            meshed: options.meshed,
            ports,
        };
        self.apply(&objects::service_account(&self.namespace, options.service_account)).await?;
        self.apply(&object.spec()).await?;
        self.api.patch_status(&self.namespace, &format!("pod/{name}"), &object.status(false).to_string()).await?;
        let mut sidecar = options.meshed.then(|| self.sidecar(options.service_account));
        if let (Some(secure), Some(sidecar)) = (&self.secure, &mut sidecar) {
            let mounted = secure.mount(&self.api, &self.namespace, name, options.service_account).await;
            mounted.with_context(|| self.operator_log())?;
            sidecar.bootstrap = Some(secure.bootstrap(name, &format!("{name}.{}", self.namespace))?);
        }
        let spec = PodSpec { name: name.to_owned(), namespace: self.namespace.clone(), ips: ips.into(), sidecar };
        self.run_app(name, self.sandbox.pod(spec)?).await
    }

    /// Tells the cluster whether a pod is ready, as its kubelet would.
    pub async fn set_ready(&self, pod: &AppPod, ready: bool) -> Result<()> {
        let object = PodObject {
            namespace: &self.namespace,
            name: &pod.name,
            service_account: "",
            app: "",
            ips: pod.pod.ips(),
            meshed: true,
            ports: &[],
        };
        let status = object.status(ready).to_string();
        self.api.patch_status(&self.namespace, &format!("pod/{}", pod.name), &status).await
    }

    /// A ClusterIP Service with [`APP_PORTS`] over the pods, and its EndpointSlices. Returns its addresses.
    pub async fn service(&self, name: &str, app: &str, pods: &[&AppPod]) -> Result<Vec<IpAddr>> {
        self.service_object(name, app, None, pods).await?;
        let ips = self.field(&format!("service/{name}"), "{.spec.clusterIPs[*]}").await?;
        ips.split_whitespace().map(|ip| ip.parse().with_context(|| ip.to_owned())).collect()
    }

    /// A headless Service with [`APP_PORTS`] over the pods, and its EndpointSlices.
    pub async fn headless(&self, name: &str, app: &str, pods: &[&AppPod]) -> Result<()> {
        self.service_object(name, app, Some("None"), pods).await
    }

    async fn service_object(&self, name: &str, app: &str, cluster_ip: Option<&str>, pods: &[&AppPod]) -> Result<()> {
        self.apply(&objects::service(&self.namespace, name, app, &APP_PORTS, cluster_ip)).await?;
        self.endpoints(name, pods).await
    }

    /// The EndpointSlices of a Service with [`APP_PORTS`], one per family, as the cluster's controller would keep them.
    pub async fn endpoints(&self, service: &str, pods: &[&AppPod]) -> Result<()> {
        for is_v4 in [true, false] {
            let of_family = |pod: &AppPod| pod.pod.ips().iter().copied().find(|ip| ip.is_ipv4() == is_v4);
            let pods: Vec<_> = pods.iter().filter_map(|pod| Some((pod.name.as_str(), of_family(pod)?))).collect();
            self.apply(&objects::endpoint_slice(&self.namespace, service, &APP_PORTS, is_v4, &pods)).await?;
        }
        Ok(())
    }

    /// Everybody may call everything on these service accounts.
    pub async fn permit(&self, sources: &[&str], destinations: &[&str]) -> Result<()> {
        self.apply(&objects::tcp_route(&self.namespace, "every-port", &[])).await?;
        for destination in destinations {
            let rules = [("TCPRoute", "every-port")];
            self.apply(&objects::target(&self.namespace, &format!("to-{destination}"), destination, sources, &rules))
                .await?;
        }
        Ok(())
    }

    /// The next pod's addresses, one of each family.
    async fn addresses(&self) -> [IpAddr; 2] {
        let mut next = self.next.lock().await;
        *next += 1;
        let [high, low] = next.to_be_bytes();
        [Ipv4Addr::new(10, 244, high, low).into(), Ipv6Addr::new(0xfd00, 0x10, 0x244, 0, 0, 0, 0, *next).into()]
    }

    fn sidecar(&self, service_account: &str) -> Sidecar {
        // A listener that is taken away closes its connections after two seconds instead of ten minutes.
        let args = vec!["--drain-time-s".into(), "2".into()];
        Sidecar { args, ..Sidecar::new(service_account, &self.socket()) }
    }

    async fn run_app(&self, name: &str, pod: Pod) -> Result<AppPod> {
        let app = self.sandbox.program(&beside_this_test("testapp")?)?;
        let [http, tcp, banner, any, grpc] = APP_PORTS.map(|port| port.target.to_string());
        let mut serve = Command::new(&app).args(["serve", "--name", name, "--tcp", &tcp, "--banner", &banner]);
        serve = serve.args(["--http", &http, "--http", &any, "--http", &grpc]);
        let server = pod.spawn(&serve)?;
        eventually("app that serves", SOON, async || holds(server.log().contains("ready"), || server.log())).await?;
        Ok(AppPod { name: name.to_owned(), pod, app, server })
    }
}

impl AppPod {
    /// Runs the test's app as a client in this pod and returns the JSON that it prints.
    pub async fn client(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.pod.run(&Command::new(&self.app).args(arguments)).await?;
        serde_json::from_str(&output.stdout).with_context(|| format!("{arguments:?} printed {output:?}"))
    }

    /// One HTTP request; a failure without an answer is status 0.
    pub async fn call(&self, ip: IpAddr, port: u16, more: &[&str]) -> Result<Value> {
        let address = std::net::SocketAddr::new(ip, port).to_string();
        let output = self.pod.run(&Command::new(&self.app).args(["call", &address]).args(more)).await?;
        Ok(serde_json::from_str(&output.stdout)
            .unwrap_or_else(|_| serde_json::json!({"status": 0, "error": output.stderr})))
    }

    /// Calls until the answer has this status, and returns that answer.
    pub async fn call_until(&self, status: u16, ip: IpAddr, port: u16, more: &[&str]) -> Result<Value> {
        let what = format!("{status} from {ip} port {port} {more:?}");
        eventually(&what, SOON, async || {
            let answer = self.call(ip, port, more).await?;
            holds(answer["status"] == status, || answer.to_string()).map(|()| answer)
        })
        .await
    }

    /// Starts a client that goes on until [`end`].
    pub fn start(&self, arguments: &[&str]) -> Result<Process> {
        Ok(self.pod.spawn(&Command::new(&self.app).args(arguments))?)
    }
}

/// Ends a client that went on and returns the last JSON that it printed.
pub async fn end(mut client: Process) -> Result<Value> {
    client.terminate().await?;
    last_line(&client)
}

/// The last JSON that a client has printed until now.
pub fn last_line(client: &Process) -> Result<Value> {
    let log = client.log();
    let line = log.lines().rev().find(|line| line.starts_with('{')).with_context(|| format!("no JSON in {log:?}"))?;
    serde_json::from_str(line).with_context(|| line.to_owned())
}

/// A program of this workspace, in the folder where cargo put it.
pub fn beside_this_test(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    // Tests are in the folder `deps` beside the programs.
    let folder = this.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    let program = folder.context("a test runs from cargo's folder")?.join(name);
    anyhow::ensure!(program.exists(), "{} does not exist: run `cargo build --workspace` first", program.display());
    Ok(program)
}
