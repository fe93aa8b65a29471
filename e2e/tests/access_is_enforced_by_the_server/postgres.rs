//! A database whose wire protocol the mesh must not guess: PostgreSQL, on a port that is opaque by default.

use std::{
    fs,
    io::ErrorKind,
    net::IpAddr,
    os::unix::fs::chown,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use smidge_e2e::{
    eventually, holds,
    objects::{self, Port},
    world::{AppPod, SOON},
};
use smidge_sandbox::{APP_UID, Command, Process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::shop::Shop;

const PORT: Port<'static> = Port { name: "db", port: 5432, target: 5432 };

#[tokio::test]
async fn a_permitted_client_of_postgresql_is_served_and_a_denied_one_receives_zero_bytes() -> Result<()> {
    let shop = Shop::open("database").await?;
    let _database = database(&shop).await?;
    let address = service(&shop).await?;
    shop.ports("postgresql", &[PORT.target]).await?;
    shop.target("queries", &["buyer"], &[("TCPRoute", "postgresql")]).await?;
    eventually("answer of the database", SOON, async || {
        let answer = query(&shop.buyer, address).await?;
        holds(answer == "42\n", || answer.clone())
    })
    .await?;
    let answer = encryption_asked_for(&shop.buyer, address).await?;
    ensure!(answer == b"N", "the permitted client is answered {answer:?}");
    let answer = encryption_asked_for(&shop.thief, address).await?;
    ensure!(answer.is_empty(), "the denied client received {answer:?}");
    let answer = encryption_asked_for(&shop.stranger, shop.store_ip()).await?;
    ensure!(answer.is_empty(), "the client without an identity received {answer:?}");
    Ok(())
}

/// A database of its own in the store's pod.
async fn database(shop: &Shop) -> Result<Process> {
    let folder = shop.world.sandbox.folder().join("database");
    fs::create_dir(&folder)?;
    chown(&folder, Some(APP_UID), Some(APP_UID))?;
    let pod = &shop.store.pod;
    let made = Command::new(program("initdb")?).args(["-U", "postgres", "-A", "trust", "--no-sync", "-D"]).arg(&folder);
    let made = pod.run(&made).await?;
    ensure!(made.status.success(), "{made:?}");
    fs::write(folder.join("pg_hba.conf"), "host all all all trust\n")?;
    let server = Command::new(program("postgres")?).arg("-D").arg(&folder);
    let server = server.args(["-c", "listen_addresses=*", "-c", "unix_socket_directories=", "-c", "fsync=off"]);
    let server = pod.spawn(&server)?;
    eventually("database", SOON, async || holds(server.log().contains("ready to accept"), || server.log())).await?;
    Ok(server)
}

/// The Service over it.
async fn service(shop: &Shop) -> Result<IpAddr> {
    let (namespace, world) = (&shop.world.namespace, &shop.world);
    world.apply(&objects::service(namespace, "database", "store", &[PORT], None)).await?;
    world.apply(&objects::endpoint_slice(namespace, "database", &[PORT], true, &[("store", shop.store_ip())])).await?;
    world.field("service/database", "{.spec.clusterIP}").await?.parse().context("the Service has no address")
}

async fn query(caller: &AppPod, address: IpAddr) -> Result<String> {
    let psql =
        Command::new(program("psql")?).args(["-U", "postgres", "-Atc", "select 6 * 7", "-h", &address.to_string()]);
    let output = timeout(SOON, caller.pod.run(&psql)).await??;
    ensure!(output.status.success(), "{output:?}");
    Ok(output.stdout)
}

/// What comes back on PostgreSQL's SSLRequest, the first thing that its clients say; the server answers it with one byte.
async fn encryption_asked_for(caller: &AppPod, address: IpAddr) -> Result<Vec<u8>> {
    let mut stream = caller.pod.connect((address, PORT.port).into()).await?;
    let mut answer = Vec::new();
    let exchange = async {
        stream.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]).await?;
        stream.shutdown().await?;
        stream.read_to_end(&mut answer).await
    };
    match timeout(SOON, exchange).await.context("neither answered nor closed")? {
        // A proxy that closes before it has read all resets the connection.
        Err(error) if error.kind() != ErrorKind::ConnectionReset => return Err(error.into()),
        _ => {}
    }
    Ok(answer)
}

/// A program of Debian's package `postgresql`, of whichever version is installed.
fn program(name: &str) -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("install the package postgresql")?;
    let found = versions
        .flatten()
        .map(|version| version.path().join("bin").join(name))
        .find(|path: &PathBuf| Path::exists(path));
    found.with_context(|| format!("no {name} below /usr/lib/postgresql: install the package postgresql"))
}
