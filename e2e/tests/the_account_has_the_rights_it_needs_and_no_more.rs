//! The account of `manifests/` against a real API server: an operator that does all that it ever does is forbidden nothing, uses
//! every right that it has, and has none by which a stolen account would be worth more than that.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use smidge_e2e::{
    Faults, Rest, TRUST_BUNDLES, eventually,
    faults::Asked,
    holds, objects, repository,
    secure::CONTROL_PLANE,
    world::{PodOptions, SOON, World, beside_this_test},
};
use tokio::process::Command;

const NAMESPACE: &str = "rights";

/// A cluster in which nothing was done yet, and an operator whose requests are noted.
struct Setting {
    faults: Faults,
    rest: Rest,
    world: World,
}

impl Setting {
    async fn begin() -> Result<Self> {
        let world = World::start_secure(NAMESPACE, &[], &["--trust-propagation", "1s"]).await?;
        world.kill_operator().await?;
        world.api.stop().await?;
        world.api.resume_with(&TRUST_BUNDLES).await?;
        let rest = Rest::new(world.api.client().await?);
        let own = format!("namespaces/{CONTROL_PLANE}");
        for path in [
            format!("/api/v1/{own}/secrets/smidge-root"),
            format!("/apis/coordination.k8s.io/v1/{own}/leases/smidge-leader"),
            format!("/api/v1/namespaces/{NAMESPACE}/configmaps/smidge-trust"),
        ] {
            // It had begun with some of them, maybe.
            let _ = rest.delete(&path).await;
        }
        let faults = Faults::before(&world.api).await?;
        world.reach_api_by(&faults.url())?;
        world.start_operator().await?;
        Ok(Self { faults, rest, world })
    }

    /// What the account may do, as far as this API server has it.
    async fn granted(&self) -> Result<BTreeSet<Asked>> {
        let mut granted = BTreeSet::new();
        for file in ["rbac.yaml", "account.yaml"] {
            let text = fs::read_to_string(repository().join("manifests").join(file))?;
            for document in text.split("\n---\n") {
                let object: Value = serde_yaml::from_str(document)?;
                for rule in object["rules"].as_array().into_iter().flatten() {
                    granted.extend(rights(rule));
                }
            }
        }
        let mut served = BTreeSet::new();
        for group in granted.iter().map(|right| right.group.clone()).collect::<BTreeSet<_>>() {
            served.extend(self.resources(&group).await?.into_iter().map(|resource| (group.clone(), resource)));
        }
        granted.retain(|right| served.contains(&(right.group.clone(), right.resource.clone())));
        Ok(granted)
    }

    /// Of all versions of a group.
    async fn resources(&self, group: &str) -> Result<Vec<String>> {
        let versions = match group {
            "" => vec!["/api/v1".to_owned()],
            group => {
                let versions = self.rest.read(&format!("/apis/{group}")).await?["versions"].take();
                let of = |version: &Value| Some(format!("/apis/{}", version["groupVersion"].as_str()?));
                versions.as_array().into_iter().flatten().filter_map(of).collect()
            }
        };
        let mut resources = Vec::new();
        for version in versions {
            let listed = self.rest.read(&version).await?["resources"].take();
            resources
                .extend(listed.as_array().into_iter().flatten().filter_map(|of| Some(of["name"].as_str()?.to_owned())));
        }
        Ok(resources)
    }

    async fn until_asked(&self, group: &str, resource: &str, verb: &'static str) -> Result<()> {
        let wanted = Asked { group: group.to_owned(), resource: resource.to_owned(), verb };
        eventually(&format!("{verb} of {resource}"), SOON * 2, async || {
            holds(self.faults.asked().contains_key(&wanted), || {
                format!("forbidden: {:?}; {}", self.faults.forbidden(), self.world.operator_log())
            })
        })
        .await
    }
}

fn rights(rule: &Value) -> Vec<Asked> {
    const VERBS: [&str; 9] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "*"];
    let texts = |field: &str| -> Vec<String> {
        rule[field].as_array().into_iter().flatten().filter_map(|of| Some(of.as_str()?.to_owned())).collect()
    };
    let mut rights = Vec::new();
    for (group, resource) in texts("apiGroups").iter().flat_map(|g| texts("resources").into_iter().map(move |r| (g, r)))
    {
        let verbs = texts("verbs");
        let verbs = VERBS.into_iter().filter(|verb| verbs.iter().any(|granted| granted == verb));
        rights.extend(verbs.map(|verb| Asked { group: group.clone(), resource: resource.clone(), verb }));
    }
    rights
}

#[tokio::test]
async fn every_right_is_used_and_what_is_done_is_a_right() -> Result<()> {
    let setting = Setting::begin().await?;
    setting.until_asked("", "configmaps", "create").await?;
    a_proxy_comes(&setting).await?;
    every_kind_has_a_status(&setting).await?;
    an_object_breaks_twice(&setting).await?;
    what_is_kept_is_edited(&setting).await?;
    the_root_is_rotated(&setting).await?;
    a_namespace_leaves(&setting).await?;

    let granted = setting.granted().await?;
    let used: BTreeSet<Asked> = setting.faults.asked().into_keys().collect();
    let idle: Vec<_> = granted.difference(&used).collect();
    ensure!(idle.is_empty(), "nobody needs these rights: {idle:#?}");
    ensure!(granted.len() > 30, "only {} rights were found", granted.len());
    ensure!(setting.faults.forbidden().is_empty(), "{:#?}", setting.faults.forbidden());
    Ok(())
}

async fn a_proxy_comes(setting: &Setting) -> Result<()> {
    setting.world.pod_with("web", PodOptions { app: "web", service_account: "web", meshed: true }).await?;
    setting.until_asked("authentication.k8s.io", "tokenreviews", "create").await
}

async fn every_kind_has_a_status(setting: &Setting) -> Result<()> {
    let world = &setting.world;
    world.service("web", "web", &[]).await?;
    world.permit(&["web"], &["web"]).await?;
    world.apply(&objects::route_group(NAMESPACE, "all", &json!([{"name": "all", "pathRegex": ".*"}]))).await?;
    world.apply(&objects::split(NAMESPACE, "web", "web", &[("web", 1)])).await?;
    let backends = json!([{"name": "web", "port": {"number": 80}}]);
    let sources = json!([{"kind": "IPRange", "cidr": "10.0.0.0/8"}]);
    world.apply(&objects::ingress(NAMESPACE, "web", &backends, &sources)).await?;
    world
        .apply(&json!({
            "apiVersion": "specs.smi-spec.io/v1alpha4", "kind": "UDPRoute",
            "metadata": {"name": "dns", "namespace": NAMESPACE}, "spec": {"matches": {"name": "dns", "ports": [53]}},
        }))
        .await?;
    world
        .apply(&json!({
            "apiVersion": "smidge.dev/v1alpha1", "kind": "MeshConfig", "metadata": {"name": "default"}, "spec": {},
        }))
        .await?;
    for (group, kinds) in [
        ("split.smi-spec.io", &["trafficsplits"][..]),
        ("access.smi-spec.io", &["traffictargets"]),
        ("specs.smi-spec.io", &["httproutegroups", "tcproutes", "udproutes"]),
        ("smidge.dev", &["ingressbackends", "meshconfigs"]),
    ] {
        for kind in kinds {
            setting.until_asked(group, &format!("{kind}/status"), "patch").await?;
        }
    }
    Ok(())
}

/// The second time is told by the Event of the first.
async fn an_object_breaks_twice(setting: &Setting) -> Result<()> {
    for (backend, verb) in [("nosuch", Some("create")), ("web", None), ("nosuch", Some("patch"))] {
        setting.world.apply(&objects::split(NAMESPACE, "web", "web", &[(backend, 1)])).await?;
        match verb {
            Some(verb) => setting.until_asked("events.k8s.io", "events", verb).await?,
            None => setting.world.wait_for("ResolvedRefs", "trafficsplit/web").await?,
        }
    }
    Ok(())
}

async fn what_is_kept_is_edited(setting: &Setting) -> Result<()> {
    let map = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/smidge-trust");
    setting.rest.merge(&map, &json!({"data": {"ca.crt": "mine"}})).await?;
    setting.until_asked("", "configmaps", "patch").await?;
    setting.until_asked("certificates.k8s.io", "clustertrustbundles", "patch").await?;
    setting.world.api.apply(include_str!("../../manifests/webhook.yaml")).await?;
    setting.until_asked("apiextensions.k8s.io", "customresourcedefinitions", "patch").await?;
    setting.until_asked("admissionregistration.k8s.io", "validatingwebhookconfigurations", "patch").await?;
    setting.until_asked("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "patch").await
}

async fn the_root_is_rotated(setting: &Setting) -> Result<()> {
    let mut rotate = Command::new(beside_this_test("smidge")?);
    rotate.args(["rotate", "root", "--namespace", CONTROL_PLANE, "--no-wait"]);
    let asked = rotate.env("KUBECONFIG", setting.world.api.kubeconfig()).output().await?;
    ensure!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    setting.until_asked("", "secrets", "update").await
}

async fn a_namespace_leaves(setting: &Setting) -> Result<()> {
    setting.world.api.create_namespace("leaver", &["smidge.dev/inject=enabled"]).await?;
    let map = "/api/v1/namespaces/leaver/configmaps/smidge-trust";
    eventually("ConfigMap", SOON, async || setting.rest.read(map).await).await?;
    setting.world.api.kubectl(&["label", "namespace", "leaver", "smidge.dev/inject-"]).await?;
    setting.until_asked("", "configmaps", "delete").await
}

/// Verb, group, resource, namespace, name.
type Deed = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// What a stolen account is not worth.
const FORBIDDEN: [Deed; 46] = [
    ("get", "", "secrets", "smidge-system", "other"),
    ("list", "", "secrets", "smidge-system", ""),
    ("list", "", "secrets", "", ""),
    ("get", "", "secrets", "shop", "smidge-root"),
    ("delete", "", "secrets", "smidge-system", "smidge-root"),
    ("create", "", "secrets", "shop", ""),
    ("get", "", "configmaps", "shop", "other"),
    ("patch", "", "configmaps", "shop", "other"),
    ("create", "", "configmaps", "kube-system", "other"),
    ("update", "split.smi-spec.io", "trafficsplits", "shop", "web"),
    ("patch", "split.smi-spec.io", "trafficsplits", "shop", "web"),
    ("create", "split.smi-spec.io", "trafficsplits", "shop", ""),
    ("delete", "split.smi-spec.io", "trafficsplits", "shop", "web"),
    ("patch", "access.smi-spec.io", "traffictargets", "shop", "web"),
    ("create", "access.smi-spec.io", "traffictargets", "shop", ""),
    ("patch", "specs.smi-spec.io", "httproutegroups", "shop", "web"),
    ("patch", "smidge.dev", "meshconfigs", "", "default"),
    ("patch", "smidge.dev", "ingressbackends", "shop", "web"),
    ("create", "", "pods", "shop", ""),
    ("delete", "", "pods", "shop", "web"),
    ("patch", "", "pods", "shop", "web"),
    ("create", "", "pods/exec", "shop", "web"),
    ("create", "", "pods/portforward", "shop", "web"),
    ("get", "", "pods/log", "shop", "web"),
    ("patch", "", "pods/ephemeralcontainers", "shop", "web"),
    ("create", "", "pods/binding", "shop", "web"),
    ("create", "", "serviceaccounts/token", "shop", "web"),
    ("create", "", "serviceaccounts/token", "smidge-system", "smidge-operator"),
    ("patch", "", "services", "shop", "web"),
    ("patch", "", "namespaces", "", "shop"),
    ("get", "", "nodes/proxy", "", ""),
    ("patch", "discovery.k8s.io", "endpointslices", "shop", "web"),
    ("create", "apps", "deployments", "shop", ""),
    ("patch", "apps", "deployments", "smidge-system", "smidge-operator"),
    ("create", "rbac.authorization.k8s.io", "clusterrolebindings", "", ""),
    ("escalate", "rbac.authorization.k8s.io", "clusterroles", "", "smidge-operator"),
    ("impersonate", "", "users", "", "admin"),
    ("patch", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", "", "another"),
    ("create", "admissionregistration.k8s.io", "mutatingwebhookconfigurations", "", ""),
    ("patch", "admissionregistration.k8s.io", "validatingwebhookconfigurations", "", "another"),
    ("delete", "admissionregistration.k8s.io", "validatingwebhookconfigurations", "", "smidge-validator"),
    ("patch", "apiextensions.k8s.io", "customresourcedefinitions", "", "another"),
    ("create", "apiextensions.k8s.io", "customresourcedefinitions", "", ""),
    ("delete", "apiextensions.k8s.io", "customresourcedefinitions", "", "trafficsplits.split.smi-spec.io"),
    ("approve", "certificates.k8s.io", "signers", "", "kubernetes.io/kube-apiserver-client"),
    ("*", "*", "*", "", ""),
];

#[tokio::test]
async fn a_stolen_account_can_do_nothing_else() -> Result<()> {
    let world = World::start_secure("stolen", &[], &[]).await?;
    let rest = Rest::new(world.api.client().await?);
    let mut allowed = Vec::new();
    for deed in FORBIDDEN {
        if may(&rest, deed).await? {
            allowed.push(deed);
        }
    }
    ensure!(allowed.is_empty(), "the account may do this: {allowed:#?}");
    // The question is asked in the right way.
    ensure!(may(&rest, ("list", "", "pods", "", "")).await?, "it may list pods");
    ensure!(may(&rest, ("update", "", "secrets", "smidge-system", "smidge-root")).await?, "it may update the root");
    Ok(())
}

async fn may(rest: &Rest, (verb, group, resource, namespace, name): Deed) -> Result<bool> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let attributes = json!({
        "verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": namespace, "name": name,
    });
    let groups = ["system:serviceaccounts", "system:serviceaccounts:smidge-system", "system:authenticated"];
    let user = format!("system:serviceaccount:{CONTROL_PLANE}:smidge-operator");
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": user, "groups": groups, "resourceAttributes": attributes},
    });
    let answer = rest.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review).await?;
    answer["status"]["allowed"].as_bool().context("an answer")
}
