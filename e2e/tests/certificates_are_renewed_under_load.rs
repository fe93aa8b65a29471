//! Certificates that end within seconds, on real Envoys under load: each is followed by the next, and nobody notices.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::Value;
use smidge_e2e::world::{AppPod, World, end};

/// How long a certificate is good. It is renewed after two thirds of that; a busy machine has the last third for it.
const LIFETIME: &str = "15s";

/// What an Envoy shows of its own certificate.
#[derive(Debug, PartialEq)]
struct Certificate {
    serial: String,
    expires: Timestamp,
}

impl Certificate {
    fn is_over(&self) -> bool {
        self.expires < Timestamp::now()
    }
}

#[tokio::test]
async fn certificates_are_renewed_while_connections_and_requests_go_on() -> Result<()> {
    let world =
        World::start_with("renewal", &[("smidge.dev/mode", "deny")], &["--certificate-lifetime", LIFETIME]).await?;
    let (buyer, store) = tokio::try_join!(world.pod("buyer"), world.pod("store"))?;
    world.permit(&["buyer"], &["store"]).await?;
    let ip = world.service("store", "store", &[&store]).await?[0];
    let before = seen_by_the_app(&buyer, ip).await?;
    let first = [certificate(&buyer).await?, certificate(&store).await?];

    let (web, echo) = (SocketAddr::new(ip, 80).to_string(), SocketAddr::new(ip, 90).to_string());
    let load = buyer.start(&["load", &web, "--rate", "100"])?;
    let held = [buyer.start(&["hold", &echo])?, buyer.start(&["hold", &web, "--web-socket"])?];
    while !first.iter().all(Certificate::is_over) {
        // Every connection is a handshake of its own.
        let answer = buyer.client(&["tcp", &echo, "--send", "ping", "--bytes", "10"]).await?;
        assert_eq!(answer["received"], "store:ping", "{answer}");
    }

    for (pod, first) in [&buyer, &store].into_iter().zip(&first) {
        let now = certificate(pod).await?;
        assert!(now.serial != first.serial && !now.is_over(), "{}: first {first:?}, now {now:?}", pod.name);
    }
    // A Service that nobody has called yet: new connections, each side of which has outlived its first certificate.
    let other = world.service("other", "store", &[&store]).await?[0];
    let after = seen_by_the_app(&buyer, other).await?;
    assert_ne!(before, after, "the certificate that the server's sidecar has verified");
    for held in held {
        let held = end(held).await?;
        assert_eq!(held["broken"], Value::Null, "{held}");
    }
    let sum = end(load).await?;
    assert_eq!(sum["failed"], 0, "{sum}");
    assert!(sum["sent"].as_u64() > Some(500), "the load went on all the time: {sum}");
    Ok(())
}

/// The hash of the caller's certificate, as the server's sidecar tells its app.
async fn seen_by_the_app(caller: &AppPod, ip: IpAddr) -> Result<String> {
    let answer = caller.call_until(200, ip, 80, &[]).await?;
    let seen: Value = serde_json::from_str(answer["body"].as_str().unwrap_or_default())?;
    let client = seen["headers"]["x-forwarded-client-cert"].as_str().unwrap_or_default().to_owned();
    let hash = client.split(';').find_map(|part| part.strip_prefix("Hash="));
    hash.map(str::to_owned).with_context(|| format!("no hash of a certificate in {client:?}"))
}

/// The certificate that a pod's Envoy uses now.
async fn certificate(pod: &AppPod) -> Result<Certificate> {
    let told: Value = serde_json::from_str(&pod.pod.admin("GET", "/certs").await?)?;
    let chains = told["certificates"].as_array().into_iter().flatten();
    let chain = chains.filter_map(|of| of["cert_chain"].get(0)).next().with_context(|| told.to_string())?;
    let text = |field: &str| chain[field].as_str().map(str::to_owned).with_context(|| chain.to_string());
    Ok(Certificate { serial: text("serial_number")?, expires: text("expiration_time")?.parse()? })
}
