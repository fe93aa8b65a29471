//! Callers outside the mesh: an IngressBackend lets in whom it names, by address and by certificate, on the ports and routes
//! that it names; the others receive not one byte; and no edit of it breaks a connection.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
};
use serde_json::json;
use smidge_e2e::{
    eventually, holds, objects,
    world::{AppPod, SOON, end, last_line},
};
use smidge_sandbox::Process;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{foretold::verdict_is, shop::Shop};

/// More echoes than come while what is no longer served is drained (2 s here).
const LONGER_THAN_A_DRAIN: u64 = 40;

const UPDATED_IN_PLACE: &str = "listener_manager.listener_in_place_updated$";

#[tokio::test]
async fn an_ingress_backend_lets_in_whom_it_names_and_nobody_else() -> Result<()> {
    let shop = Shop::open("ingress").await?;
    shop.routes("open", json!([{"name": "open", "pathRegex": "/open"}])).await?;
    shop.ports("echo", &[9000]).await?;
    shop.target("echoes", &["buyer"], &[("TCPRoute", "echo")]).await?;
    let passer_by = shop.outsider("passer-by").await?;
    nobody_gets_in(&shop).await?;
    let before = replaced(&shop).await?;

    shop.let_in(json!([{"kind": "IPRange", "cidr": format!("{}/32", shop.stranger.pod.ips()[0])}])).await?;
    the_named_address_gets_in_on_its_ports_and_routes(&shop).await?;
    shop.expect_nothing(&passer_by, (shop.store_ip(), 9100), "").await?;
    shop.expect_nothing(&passer_by, (shop.store_ip(), 8080), "GET /open HTTP/1.1\r\nhost: store\r\n\r\n").await?;

    echoes(&shop, &[&format!("{}/32", shop.stranger.pod.ips()[0])]).await?;
    let held = [(&shop.buyer, (shop.service, 90)), (&shop.stranger, (shop.store_ip(), 9000))];
    let held = [hold(held[0])?, hold(held[1])?];
    echoes(&shop, &["10.244.0.0/16", "192.168.0.0/24"]).await?;

    // The mesh's own callers are judged by who they are, wherever they call from.
    shop.let_in(json!([{"kind": "IPRange", "cidr": "10.244.0.0/16"}])).await?;
    shop.expect(&shop.thief, 80, &["/open"], 403).await?;
    shop.expect_nothing(&shop.thief, (shop.service, 91), "").await?;
    ensure!(shop.call_from_outside(&passer_by, "/open").await?["status"] == 200);

    certificates_get_in(&shop).await?;
    edits_have_broken_no_connection(held).await?;
    ensure!(replaced(&shop).await? == before, "a listener was replaced");
    ensure!(shop.counted(UPDATED_IN_PLACE).await? > 0, "no listener was updated: the test says nothing");

    shop.world.delete(&objects::ingress(&shop.world.namespace, "edge", &json!([]), &json!([]))).await?;
    eventually("end of the permission", SOON, async || nobody_gets_in(&shop).await).await
}

async fn nobody_gets_in(shop: &Shop) -> Result<()> {
    shop.expect_nothing(&shop.stranger, (shop.store_ip(), 8080), "GET /open HTTP/1.1\r\nhost: store\r\n\r\n").await?;
    shop.expect_nothing(&shop.stranger, (shop.store_ip(), 9100), "").await?;
    shop.expect_nothing(&shop.stranger, (shop.store_ip(), 9100), "hello").await
}

async fn the_named_address_gets_in_on_its_ports_and_routes(shop: &Shop) -> Result<()> {
    let answer = shop.call_from_outside(&shop.stranger, "/open").await?;
    ensure!(answer["status"] == 200 && answer["server"] == "store", "{answer}");
    let answer = shop.call_from_outside(&shop.stranger, "/closed").await?;
    let body = answer["body"].as_str().unwrap_or_default();
    ensure!(answer["status"] == 403 && body.contains("no IngressBackend permits it"), "{answer}");
    ensure!(!body.contains("spiffe://"), "who has no identity is told the server's: {body}");
    let greeted = shop.tcp(&shop.stranger, (shop.store_ip(), 9100), "").await?;
    ensure!(greeted["received"] == "220 store ready\r\n", "{greeted}");
    for (call, verdict) in [
        ((8080, Some("/open")), "permitted"),
        ((8080, Some("/closed")), "forbidden"),
        ((9100, None), "permitted"),
        ((9000, None), "closed"),
    ] {
        verdict_is(shop, &shop.stranger, call, verdict)?;
    }
    // A port that it does not name, and its other address.
    shop.expect_nothing(&shop.stranger, (shop.store_ip(), 9000), "hello").await?;
    shop.expect_nothing(&shop.stranger, (shop.store.pod.ips()[1], 9100), "").await
}

/// Lets callers at these addresses in at the store's echo port.
async fn echoes(shop: &Shop, ranges: &[&str]) -> Result<()> {
    let sources: Vec<_> = ranges.iter().map(|cidr| json!({"kind": "IPRange", "cidr": cidr})).collect();
    let backends = json!([{"name": "store", "port": {"number": 90}}]);
    shop.world.apply(&objects::ingress(&shop.world.namespace, "echoes", &backends, &json!(sources))).await?;
    shop.world.wait_for("Programmed", "ingressbackend/echoes").await
}

fn hold((caller, to): (&AppPod, (IpAddr, u16))) -> Result<Process> {
    caller.start(&["hold", &SocketAddr::from(to).to_string(), "--every-ms", "100"])
}

/// Edits were made while these were held; they go on for longer than anything that is drained would.
async fn edits_have_broken_no_connection(held: [Process; 2]) -> Result<()> {
    for held in held {
        let before = last_line(&held)?["echoes"].as_u64().unwrap_or_default();
        eventually("more echoes than come during a drain", SOON, async || {
            let line = last_line(&held)?;
            holds(line["echoes"].as_u64() > Some(before + LONGER_THAN_A_DRAIN), || line.to_string())
        })
        .await?;
        let line = end(held).await?;
        ensure!(line["broken"].is_null(), "{line}");
    }
    Ok(())
}

/// How many listeners of the store's Envoy were changed in more than their chains.
async fn replaced(shop: &Shop) -> Result<u64> {
    Ok(shop.counted("listener_manager.listener_modified$").await? - shop.counted(UPDATED_IN_PLACE).await?)
}

async fn certificates_get_in(shop: &Shop) -> Result<()> {
    let name = "spiffe://partner.example/gateway";
    shop.let_in(json!([{"kind": "AuthenticatedPrincipal", "name": name}])).await?;
    let ask = async |san: &str, path: &str| said_over_tls(shop, san, 8080, &request(path)).await;
    let answer = ask(name, "/open").await?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    ensure!(answer.contains(name), "the app is not told who calls: {answer:?}");
    let answer = ask(name, "/closed").await?;
    ensure!(answer.starts_with("HTTP/1.1 403"), "{answer:?}");
    ensure!(ask("spiffe://partner.example/other", "/open").await?.is_empty());
    let greeting = said_over_tls(shop, name, 9100, "").await?;
    ensure!(greeting.starts_with("220 store ready"), "{greeting:?}");
    ensure!(said_over_tls(shop, "spiffe://partner.example/other", 9100, "").await?.is_empty());
    nobody_gets_in(shop).await
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: store\r\nconnection: close\r\n\r\n")
}

/// What comes back on a TLS connection from outside, with a certificate of the mesh's root that has this name.
async fn said_over_tls(shop: &Shop, san: &str, port: u16, send: &str) -> Result<String> {
    let stream = shop.stranger.pod.connect((shop.store_ip(), port).into()).await?;
    let mut answer = Vec::new();
    let exchange = async {
        let connector = TlsConnector::from(Arc::new(client(&shop.world.root()?, san)?));
        let mut stream = connector.connect(ServerName::try_from("store")?, stream).await?;
        stream.write_all(send.as_bytes()).await?;
        if send.is_empty() {
            let mut some = [0; 64];
            let read = stream.read(&mut some).await?;
            answer.extend_from_slice(&some[..read]);
        } else {
            stream.read_to_end(&mut answer).await?;
        }
        anyhow::Ok(())
    };
    match timeout(SOON, exchange).await.context("neither answered nor closed")? {
        // The server refuses after the client's side of the handshake is done: by an alert.
        Err(error) if !is_refusal(&error) => return Err(error),
        _ => {}
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn is_refusal(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|e| {
        matches!(e.kind(), ErrorKind::InvalidData | ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof)
    })
}

fn client(root: &str, san: &str) -> Result<ClientConfig> {
    let (certificate, key) = leaf(root, san)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer));
    Ok(config.with_client_auth_cert(vec![certificate], key)?)
}

fn leaf(root: &str, san: &str) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
    let certificate = root.find("-----BEGIN CERTIFICATE").context("no certificate")?;
    let (root_key, root) = match root.split_at(certificate) {
        ("", all) => (&all[all.find("-----BEGIN PRIVATE").context("no key")?..], all),
        parts => parts,
    };
    let issuer = Issuer::from_ca_cert_pem(root, KeyPair::from_pem(root_key)?)?;
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(san.try_into()?)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    let leaf = params.signed_by(&key, &issuer)?.der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok((leaf, key))
}

/// This test is about the client's certificate.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_tls13_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519]
    }
}
