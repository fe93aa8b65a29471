//! The API server that the other tests stand on: it answers, survives being stopped and paused, and keeps its objects.

use std::time::Duration;

use anyhow::Result;
use smidge_e2e::{ApiServer, eventually, holds};

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: harness}
spec: {serviceAccountName: web, containers: [{name: app, image: app}]}
";

#[tokio::test]
async fn a_pod_needs_no_controller_and_gets_its_address_from_the_test() -> Result<()> {
    let server = ApiServer::shared().await?;
    server.create_namespace("harness", &["smidge.dev/inject=enabled"]).await?;
    server.apply(POD).await?;
    server.patch_status("harness", "pod/web", r#"{"podIP":"10.1.2.3","podIPs":[{"ip":"10.1.2.3"}]}"#).await?;
    let address = server.kubectl(&["get", "pod", "-n", "harness", "web", "-o", "jsonpath={.status.podIP}"]).await?;
    assert_eq!(address, "10.1.2.3");
    Ok(())
}

#[tokio::test]
async fn a_refused_object_is_an_error_with_the_servers_words() -> Result<()> {
    let server = ApiServer::shared().await?;
    let refused = server.apply("{apiVersion: v1, kind: Namespace, metadata: {name: Not_A_Name}}").await;
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("RFC 1123"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_stopped_server_comes_back_with_its_objects() -> Result<()> {
    let server = ApiServer::start().await?;
    server.create_namespace("kept", &[]).await?;
    server.stop().await?;
    assert!(server.kubectl(&["get", "namespace", "kept", "--request-timeout=1s"]).await.is_err());
    server.resume().await?;
    server.kubectl(&["get", "namespace", "kept"]).await?;
    server.pause().await?;
    assert!(server.kubectl(&["get", "namespace", "kept", "--request-timeout=1s"]).await.is_err());
    server.resume().await?;
    eventually("answer", Duration::from_secs(10), async || {
        let found = server.kubectl(&["get", "namespace", "kept", "-o", "name"]).await?;
        holds(found.trim() == "namespace/kept", || found.clone())
    })
    .await
}

#[tokio::test]
async fn the_crds_of_the_manifests_folder_are_served() -> Result<()> {
    let server = ApiServer::shared().await?;
    server.install_crds().await?;
    let listed = server.kubectl(&["api-resources", "--categories=smi", "-o", "name"]).await?;
    assert!(listed.contains("trafficsplits.split.smi-spec.io"), "{listed}");
    Ok(())
}
