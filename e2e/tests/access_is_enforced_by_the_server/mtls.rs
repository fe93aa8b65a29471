//! The table of ARCHITECTURE.md, cell by cell: mode, mtls and caller say what comes of a request and of a connection.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use smidge_e2e::{
    eventually,
    world::{AppPod, SOON},
};
use tokio::{io::AsyncReadExt, time::timeout};

use crate::shop::Shop;

/// What comes of it. A request is answered by the app, refused by the sidecar, or not answered at all.
const SERVED: u16 = 200;
const REFUSED: u16 = 403;
const CLOSED: u16 = 0;

/// What a permitted pod, another pod, a stranger and a guest (at a route that is not its own, and its own) get by HTTP; and
/// whether each is greeted by a server that speaks first.
struct Row {
    mode: &'static str,
    mtls: &'static str,
    http: [u16; 5],
    tcp: [bool; 4],
}

const TABLE: [Row; 6] = [
    Row {
        mode: "deny",
        mtls: "strict",
        http: [SERVED, REFUSED, CLOSED, REFUSED, SERVED],
        tcp: [true, false, false, true],
    },
    Row {
        mode: "deny",
        mtls: "permissive",
        http: [SERVED, REFUSED, REFUSED, REFUSED, SERVED],
        tcp: [true, false, false, true],
    },
    Row {
        mode: "audit",
        mtls: "strict",
        http: [SERVED, SERVED, CLOSED, SERVED, SERVED],
        tcp: [true, true, false, true],
    },
    Row { mode: "audit", mtls: "permissive", http: [SERVED; 5], tcp: [true; 4] },
    Row {
        mode: "allow",
        mtls: "strict",
        http: [SERVED, SERVED, CLOSED, SERVED, SERVED],
        tcp: [true, true, false, true],
    },
    Row { mode: "allow", mtls: "permissive", http: [SERVED; 5], tcp: [true; 4] },
];

/// How long a client that says nothing waits for a server that speaks first: half a second, on a busy machine.
const PROMPTLY: Duration = Duration::from_secs(3);

#[tokio::test]
async fn mode_and_mtls_decide_for_every_kind_of_caller() -> Result<()> {
    let shop = Shop::open("table").await?;
    shop.routes("open", json!([{"name": "open", "pathRegex": "/open"}])).await?;
    shop.ports("every", &[]).await?;
    shop.target("everything", &["buyer"], &[("TCPRoute", "every")]).await?;
    let guest = shop.outsider("guest").await?;
    shop.let_in(json!([{"kind": "IPRange", "cidr": format!("{}/32", guest.pod.ips()[0])}])).await?;
    for row in &TABLE {
        let labels = [format!("smidge.dev/mode={}", row.mode), format!("smidge.dev/mtls={}", row.mtls)];
        let label = ["label", "--overwrite", "namespace", &shop.world.namespace, &labels[0], &labels[1]];
        shop.world.api.kubectl(&label).await?;
        let what = format!("mode {} with mtls {}", row.mode, row.mtls);
        eventually(&what, SOON, async || check(&shop, &guest, row).await).await?;
    }
    Ok(())
}

async fn check(shop: &Shop, guest: &AppPod, row: &Row) -> Result<()> {
    let status = async |outside: bool, caller: &AppPod, path: &str| {
        let (ip, port) = if outside { (shop.store_ip(), 8080) } else { (shop.service, 80) };
        anyhow::Ok(caller.call(ip, port, &[path]).await?["status"].as_u64().unwrap_or_default())
    };
    let http = [
        status(false, &shop.buyer, "/any").await?,
        status(false, &shop.thief, "/any").await?,
        status(true, &shop.stranger, "/any").await?,
        status(true, guest, "/any").await?,
        status(true, guest, "/open").await?,
    ];
    ensure!(http == row.http.map(u64::from), "HTTP: {http:?}, not {:?}", row.http);
    let greeted = [
        is_greeted(shop, &shop.buyer, false).await?,
        is_greeted(shop, &shop.thief, false).await?,
        is_greeted(shop, &shop.stranger, true).await?,
        is_greeted(shop, guest, true).await?,
    ];
    ensure!(greeted == row.tcp, "TCP: {greeted:?}, not {:?}", row.tcp);
    Ok(())
}

/// Whether a client that says nothing gets the server's greeting, promptly; else it gets not one byte.
async fn is_greeted(shop: &Shop, caller: &AppPod, outside: bool) -> Result<bool> {
    let to = if outside { (shop.store_ip(), 9100) } else { (shop.service, 91) };
    let (mut stream, begun) = (caller.pod.connect(to.into()).await?, Instant::now());
    let mut greeting = [0; 64];
    // A connection that is closed by a reset has brought nothing either.
    let read = timeout(SOON, stream.read(&mut greeting)).await?.unwrap_or_default();
    let (greeting, waited) = (&greeting[..read], begun.elapsed());
    ensure!(read == 0 || greeting == b"220 store ready\r\n", "{} got {greeting:?}", caller.name);
    ensure!(read == 0 || waited < PROMPTLY, "{} was greeted after {waited:?}", caller.name);
    Ok(read > 0)
}
