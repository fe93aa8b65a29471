//! `smidge upgrade`: an installation onto the one that is there. Which images run now decides which will: who took them from a
//! registry of their own goes on with that.

use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Container};
use kube::Api;
use smidge_injector::{PROXY_IMAGE, Settings};
use smidge_installer::{NAMESPACE, OPERATOR, Options, objects};
use smidge_operator::cluster::connect;

use crate::{args::Install, cluster::install_it, seen::runtime};

/// The arguments of the operator that name images.
const PROXY_FLAG: &str = "--proxy-image=";
const REDIRECT_FLAG: &str = "--redirect-image=";

/// What an upgrade changes of an installation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upgrade {
    /// With what it is installed anew.
    pub(crate) options: Options,
    /// The control plane's image before.
    pub(crate) from: String,
    /// Its image from now on.
    pub(crate) to: String,
}

pub(crate) fn run(args: &Install) -> anyhow::Result<ExitCode> {
    let (Upgrade { options, from, to }, lost) = runtime()?.block_on(async {
        let (client, _) = connect().await?;
        let deployments: Api<Deployment> = Api::namespaced(client, NAMESPACE);
        let now = deployments.get_opt(OPERATOR).await.with_context(|| format!("cannot read deployment {OPERATOR}"))?;
        let Some(now) = now else {
            bail!("there is no installation in {NAMESPACE} to upgrade: smidge install makes one");
        };
        let plan = plan(&now, args.options(), &own_image()?);
        Ok::<_, anyhow::Error>((
            plan.map_err(|why| anyhow!("cannot upgrade the control plane: {why}"))?,
            own_arguments(&now)?,
        ))
    })?;
    // Beside the manifests of a dry run, not among them.
    eprintln!("• control plane: {from} → {to} (this is smidge {})", env!("CARGO_PKG_VERSION"));
    lost.iter().for_each(|argument| {
        eprintln!("! the control plane runs with {argument}, which is not carried over: set it again")
    });
    install_it(args, &options)
}

/// The arguments that somebody has given the control plane, and this version's manifests do not.
fn own_arguments(now: &Deployment) -> anyhow::Result<Vec<String>> {
    let built_in = serde_json::to_string(&objects(&Options::default())?)?;
    let is_known = |argument: &String| {
        [PROXY_FLAG, REDIRECT_FLAG].iter().any(|flag| argument.starts_with(flag))
            || built_in.contains(argument.as_str())
    };
    let containers = now.spec.iter().flat_map(|spec| spec.template.spec.iter().flat_map(|spec| &spec.containers));
    Ok(containers.flat_map(|of| of.args.iter().flatten()).filter(|argument| !is_known(argument)).cloned().collect())
}

/// The control plane's image of this version.
fn own_image() -> anyhow::Result<String> {
    let objects = objects(&Options::default())?;
    let deployment = objects.iter().find(|it| it.types.as_ref().is_some_and(|types| types.kind == "Deployment"));
    let image = deployment.and_then(|it| it.data["spec"]["template"]["spec"]["containers"][0]["image"].as_str());
    image.map(str::to_owned).context("the built-in Deployment names no image; this is a bug: please report it")
}

/// Decides from what runs, what was asked for, and `image`, the control plane's own of this version. Replicas stay as many.
pub(crate) fn plan(now: &Deployment, asked: Options, image: &str) -> Result<Upgrade, String> {
    let spec = now.spec.as_ref();
    let container = spec.and_then(|spec| spec.template.spec.as_ref()?.containers.first());
    let container = container.ok_or("its Deployment has no container")?;
    let from = container.image.clone().unwrap_or_default();
    let redirect = Settings::default().redirect_image;
    let to = match &asked.image {
        Some(asked) => asked.clone(),
        None => successor(&from, image).ok_or_else(|| unknown("--image", &from))?,
    };
    let redirect_image = match (asked.redirect_image, flag(container, REDIRECT_FLAG)) {
        (None, Some(now)) => Some(successor(now, &redirect).ok_or_else(|| unknown("--redirect-image", now))?),
        (asked, _) => asked,
    };
    // Envoy has versions of its own: one of somebody's own stays.
    let other = |now: &&str| repository(now) != repository(PROXY_IMAGE);
    let proxy_image = asked.proxy_image.or(flag(container, PROXY_FLAG).filter(other).map(str::to_owned));
    let replicas = spec.and_then(|spec| spec.replicas).and_then(|replicas| u16::try_from(replicas).ok());
    let replicas = asked.replicas.or(replicas.filter(|replicas| *replicas > 0));
    Ok(Upgrade { options: Options { image: Some(to.clone()), proxy_image, redirect_image, replicas }, from, to })
}

fn unknown(option: &str, now: &str) -> String {
    format!("{now} is named by a digest, so the one of this version is not known: name it with {option}")
}

fn flag<'a>(container: &'a Container, flag: &str) -> Option<&'a str> {
    container.args.iter().flatten().find_map(|argument| argument.strip_prefix(flag))
}

/// The image of a newer version: from the same registry, under the same name. What is not named by a tag has no successor.
fn successor(now: &str, default: &str) -> Option<String> {
    let (_, tag) = default.rsplit_once(':')?;
    if repository(now) == repository(default) {
        return Some(default.to_owned());
    }
    (!now.contains('@')).then(|| format!("{}:{tag}", repository(now)))
}

/// An image's name without tag and digest. A registry may have a port.
fn repository(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn installed(image: &str, proxy: &str, redirect: &str) -> Deployment {
        let args = ["operator".to_owned(), format!("{PROXY_FLAG}{proxy}"), format!("{REDIRECT_FLAG}{redirect}")];
        let container = json!({"name": "operator", "image": image, "args": args});
        let spec = json!({"replicas": 3, "selector": {}, "template": {"spec": {"containers": [container]}}});
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    fn planned(now: &Deployment, asked: Options) -> Result<[Option<String>; 3], String> {
        let Options { image, proxy_image, redirect_image, replicas } = plan(now, asked, "smidge:0.2.0")?.options;
        assert_eq!(replicas, Some(3));
        Ok([image, proxy_image, redirect_image])
    }

    #[test]
    fn an_upgrade_takes_images_from_where_they_came_from() {
        let redirect = Settings::default().redirect_image;
        let tag = redirect.rsplit_once(':').unwrap().1;
        let some = |text: &str| Some(text.to_owned());
        let usual = installed("smidge:0.1.0", "envoyproxy/envoy:distroless-v1.39.0", "smidge-redirect:0.0.9");
        assert_eq!(planned(&usual, Options::default()).unwrap(), [some("smidge:0.2.0"), None, Some(redirect.clone())]);
        let own = installed("r:5000/a/smidge:0.1.0", "r:5000/envoy:own", "r:5000/smidge-redirect");
        let expected =
            [some("r:5000/a/smidge:0.2.0"), some("r:5000/envoy:own"), Some(format!("r:5000/smidge-redirect:{tag}"))];
        assert_eq!(planned(&own, Options::default()).unwrap(), expected);
        let asked =
            Options { image: some("x:1"), proxy_image: some("y:1"), redirect_image: some("z:1"), replicas: None };
        assert_eq!(planned(&own, asked).unwrap(), [some("x:1"), some("y:1"), some("z:1")]);
        let pinned = installed("r/smidge@sha256:00", "r/envoy@sha256:00", "smidge-redirect:1");
        assert!(planned(&pinned, Options::default()).unwrap_err().contains("name it with --image"));
    }
}
