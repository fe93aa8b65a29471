//! What callers get is what `smidge authz` says beforehand: the same call is made and asked about.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smidge_e2e::world::{AppPod, beside_this_test};

use crate::shop::Shop;

/// Calls the store's HTTP port and asks what comes of it.
pub(crate) async fn foretells(shop: &Shop, caller: &AppPod, arguments: &[&str]) -> Result<()> {
    let answer = caller.call(shop.service, 80, arguments).await?;
    is_foretold(shop, caller, arguments, &answer)
}

/// Whether an answer of the store's HTTP port is the one that was to be expected.
pub(crate) fn is_foretold(shop: &Shop, caller: &AppPod, arguments: &[&str], answer: &Value) -> Result<()> {
    let told = authz(shop, caller, 8080, &as_asked(arguments))?;
    let status = match told["ports"][0]["verdict"].as_str().unwrap_or_default() {
        "permitted" | "audited" | "unrestricted" => 200,
        "forbidden" => 403,
        "bad path" => 400,
        _ => 0,
    };
    ensure!(answer["status"] == status, "{} with {arguments:?} got {answer}, and was told {told}", caller.name);
    let seen: Option<Value> = answer["body"].as_str().and_then(|body| serde_json::from_str(body).ok());
    let path = seen.as_ref().and_then(|seen| seen["path"].as_str()?.split('?').next());
    ensure!(path.is_none_or(|path| told["request"]["path"] == path), "the app saw {seen:?}, and was told {told}");
    Ok(())
}

/// Asks what comes of a call on a port of the store's pods.
pub(crate) fn verdict_is(
    shop: &Shop,
    caller: &AppPod,
    (port, path): (u16, Option<&str>),
    expected: &str,
) -> Result<()> {
    let request: Vec<String> = path.iter().map(|path| format!("--path={path}")).collect();
    let told = authz(shop, caller, port, &request)?;
    let address = Value::from(caller.pod.ips()[0].to_string());
    let is_meant = |port: &&Value| port["caller"].is_null() || port["caller"] == address;
    let port_told = told["ports"].as_array().into_iter().flatten().find(is_meant);
    ensure!(
        port_told.is_some_and(|told| told["verdict"] == expected),
        "{} at port {port}, {path:?}: {told}",
        caller.name
    );
    Ok(())
}

/// What is said of a call, as JSON; the exit code says the same.
fn authz(shop: &Shop, caller: &AppPod, port: u16, request: &[String]) -> Result<Value> {
    let account = |name: &str| format!("{}/{name}", shop.world.namespace);
    let mut command = Command::new(beside_this_test("smidge")?);
    command.args(["authz", &account(&caller.name), &account("store"), "-o", "json", "--port", &port.to_string()]);
    let output = command.args(request).env("KUBECONFIG", shop.world.api.kubeconfig()).output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    let told: Value = serde_json::from_slice(&output.stdout).with_context(|| complaint.into_owned())?;
    ensure!(told["allowed"] == output.status.success(), "{:?}: {told}", output.status);
    Ok(told)
}

/// The arguments of the test's client as those of the command.
fn as_asked(arguments: &[&str]) -> Vec<String> {
    let mut asked = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut next = || rest.next().copied().unwrap_or_default();
        match *argument {
            "--method" => asked.push(format!("--method={}", next())),
            "-H" => asked.push(format!("--header={}", next().replacen(": ", "=", 1))),
            path if path.starts_with('/') => asked.push(format!("--path={path}")),
            // How it is sent.
            _ => {}
        }
    }
    asked
}
