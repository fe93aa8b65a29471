//! What an installation consists of: the files of `manifests/` and the CRDs, with the images that were asked for.

use kube::api::DynamicObject;
use serde_json::Value;

use crate::{Error, OPERATOR};

/// What may differ between installations. `None` leaves what the manifests say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The image of the control plane.
    pub image: Option<String>,
    /// The image of the sidecar: a stock Envoy.
    pub proxy_image: Option<String>,
    /// The image of the init container that sets the redirect rules.
    pub redirect_image: Option<String>,
    /// How many replicas of the control plane.
    pub replicas: Option<u16>,
}

/// Before the webhook there must be somebody to answer it; before everything its namespace, its kinds and its rights.
const FILES: &[(&str, &str)] = &[
    ("namespace.yaml", include_str!("../../manifests/namespace.yaml")),
    ("rbac.yaml", include_str!("../../manifests/rbac.yaml")),
    ("account.yaml", include_str!("../../manifests/account.yaml")),
    ("readers.yaml", include_str!("../../manifests/readers.yaml")),
    ("services.yaml", include_str!("../../manifests/services.yaml")),
    ("network-policy.yaml", include_str!("../../manifests/network-policy.yaml")),
    ("webhook.yaml", include_str!("../../manifests/webhook.yaml")),
    ("operator.yaml", include_str!("../../manifests/operator.yaml")),
];

/// All objects, in the order in which they are applied.
///
/// # Errors
/// Only when a manifest that was built in is broken.
pub fn objects(options: &Options) -> Result<Vec<DynamicObject>, Error> {
    let mut objects = crds()?;
    for &(file, yaml) in FILES {
        let broken = |source: serde_yaml::Error| Error::Manifest { file, source: source.into() };
        let mut documents: Vec<DynamicObject> = serde_yaml::from_multiple(yaml).map_err(broken)?;
        documents.iter_mut().filter(|object| is_of_kind(object, "Deployment")).for_each(|it| adapt(it, options));
        objects.extend(documents);
    }
    Ok(objects)
}

fn crds() -> Result<Vec<DynamicObject>, Error> {
    let broken = |source: serde_json::Error| Error::Manifest { file: "crds", source: source.into() };
    let convert = |crd| serde_json::to_value(crd).and_then(serde_json::from_value).map_err(broken);
    smidge_crds::all().into_iter().map(convert).collect()
}

/// Whether an object is of this kind.
pub(crate) fn is_of_kind(object: &DynamicObject, kind: &str) -> bool {
    object.types.as_ref().is_some_and(|types| types.kind == kind)
}

fn adapt(deployment: &mut DynamicObject, options: &Options) {
    debug_assert_eq!(deployment.metadata.name.as_deref(), Some(OPERATOR));
    if let Some(replicas) = options.replicas {
        deployment.data["spec"]["replicas"] = replicas.into();
    }
    let container = &mut deployment.data["spec"]["template"]["spec"]["containers"][0];
    if let Some(image) = &options.image {
        container["image"] = image.as_str().into();
    }
    for (flag, image) in [("--proxy-image=", &options.proxy_image), ("--redirect-image=", &options.redirect_image)] {
        if let Some(image) = image {
            set_flag(&mut container["args"], flag, image);
        }
    }
}

fn set_flag(arguments: &mut Value, flag: &str, value: &str) {
    for argument in arguments.as_array_mut().into_iter().flatten() {
        if argument.as_str().is_some_and(|text| text.starts_with(flag)) {
            *argument = format!("{flag}{value}").into();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn deployment(options: &Options) -> DynamicObject {
        objects(options).unwrap().into_iter().find(|object| is_of_kind(object, "Deployment")).unwrap()
    }

    #[test]
    fn images_that_are_asked_for_are_the_ones_that_run() {
        let options = Options {
            image: Some("own/smidge:1".into()),
            proxy_image: Some("own/envoy:1".into()),
            redirect_image: Some("own/redirect:1".into()),
            replicas: Some(3),
        };
        let spec = deployment(&options).data["spec"].clone();
        assert_eq!(spec["replicas"], 3);
        let text = spec.to_string();
        for image in ["\"own/smidge:1\"", "\"--proxy-image=own/envoy:1\"", "\"--redirect-image=own/redirect:1\""] {
            assert!(text.contains(image), "{image} in {text}");
        }
    }

    #[test]
    fn who_asks_for_nothing_gets_what_the_manifests_say() {
        let args = deployment(&Options::default()).data["spec"]["template"]["spec"]["containers"][0]["args"].clone();
        assert!(args.to_string().contains(&format!("\"--proxy-image={}\"", smidge_injector::PROXY_IMAGE)), "{args}");
    }

    /// The CRDs name a Service, and the operator may write into exactly those that do.
    #[test]
    fn the_crds_ask_the_service_that_is_installed_and_the_operator_may_tell_them_whom_to_trust() {
        let objects = objects(&Options::default()).unwrap();
        let service = |object: &&DynamicObject| object.metadata.name.as_deref() == Some(smidge_crds::WEBHOOK_SERVICE);
        let services: Vec<_> = objects.iter().filter(|it| is_of_kind(it, "Service")).filter(service).collect();
        assert_eq!(services[0].metadata.namespace.as_deref(), Some(smidge_crds::CONTROL_PLANE));
        let role = objects.iter().find(|object| is_of_kind(object, "ClusterRole")).unwrap();
        let rules = role.data["rules"].as_array().unwrap();
        let rule = rules.iter().find(|rule| rule["resources"][0] == "customresourcedefinitions").unwrap();
        let names: BTreeSet<String> = serde_json::from_value(rule["resourceNames"].clone()).unwrap();
        assert_eq!(names, smidge_crds::converted().map(|crd| crd.metadata.name.unwrap()).collect());
    }

    /// What is in kustomization.yaml and what is built in must be the same files.
    #[test]
    fn kustomize_and_install_apply_the_same() {
        let kustomization = include_str!("../../manifests/kustomization.yaml");
        let listed: BTreeSet<&str> = kustomization.lines().filter_map(|line| line.strip_prefix("- ")).collect();
        let crds: Vec<String> =
            smidge_crds::all().iter().map(|crd| format!("crds/{}", smidge_crds::file_name(crd))).collect();
        let built_in = FILES.iter().map(|&(file, _)| file).chain(crds.iter().map(String::as_str)).collect();
        assert_eq!(listed, built_in);
    }
}
