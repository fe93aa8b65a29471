//! The objects of an installation → a Helm chart: what may differ between installations is a value, the rest is as `smidge install`
//! applies it.

use std::fmt::Write;

use anyhow::{Context, Result};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::{Value, json};
use smidge_installer::{NAMESPACE, OPERATOR, Options, objects};

/// Values of the chart, with what they are. Their defaults are what the manifests say.
const VALUES: [(&str, &str); 4] = [
    ("image", "The image of the control plane."),
    ("proxyImage", "The image of the sidecar: a stock Envoy."),
    ("redirectImage", "The image of the init container that sets the redirect rules."),
    ("replicas", "How many replicas the control plane has: each serves proxies, one of them leads."),
];

/// Stands in place of a number until the text is made, because an expression is no number.
const REPLICAS: &str = "@replicas@";

/// What `helm install` says at the end.
const NOTES: &str = "\
Smidge is installed. Next:
  kubectl label namespace <name> smidge.dev/inject=enabled    # and restart its pods
  smidge check                                                # says whether all is well
";

/// The chart's files, each a path below its folder and a text.
///
/// # Errors
/// Only when a manifest that was built in is broken.
pub(crate) fn files(version: &str) -> Result<Vec<(String, String)>> {
    let value = |name: &str| Some(format!("{{{{ .Values.{name} }}}}"));
    let options = Options {
        image: value("image"),
        proxy_image: value("proxyImage"),
        redirect_image: value("redirectImage"),
        replicas: None,
    };
    let mut files = vec![
        ("Chart.yaml".to_owned(), chart(version)),
        ("values.yaml".to_owned(), values()?),
        ("templates/NOTES.txt".to_owned(), NOTES.to_owned()),
        ("templates/namespace.yaml".to_owned(), guard()),
    ];
    for object in objects(&options)?.into_iter().filter(|object| kind(object) != "Namespace") {
        let path = format!("templates/{}-{}.yaml", kind(&object).to_lowercase(), object.name_any());
        files.push((path, template(object)?));
    }
    Ok(files)
}

fn kind(object: &DynamicObject) -> &str {
    object.types.as_ref().map_or("", |types| types.kind.as_str())
}

fn chart(version: &str) -> String {
    let chart = json!({
        "apiVersion": "v2", "type": "application", "name": "smidge", "version": version, "appVersion": version,
        "description": "A service mesh for the Service Mesh Interface on stock Envoy", "kubeVersion": ">=1.30.0-0",
    });
    // Each is a word or a number in quotes: JSON is YAML, and more than this a reader of charts does not need.
    let lines = chart.as_object().into_iter().flatten().map(|(key, value)| format!("{key}: {value}\n"));
    lines.collect()
}

/// The control plane's namespace is Helm's to make; its name is known to sidecars, so there is one.
fn guard() -> String {
    format!(
        "{{{{- if ne .Release.Namespace \"{NAMESPACE}\" }}}}\n\
         {{{{- fail \"Smidge lives in namespace {NAMESPACE}: helm install --namespace {NAMESPACE} --create-namespace\" }}}}\n\
         {{{{- end }}}}\n"
    )
}

fn values() -> Result<String> {
    let objects = objects(&Options::default())?;
    let deployment = objects.iter().find(|object| kind(object) == "Deployment" && object.name_any() == OPERATOR);
    let spec = &deployment.context("there is no Deployment")?.data["spec"];
    let container = &spec["template"]["spec"]["containers"][0];
    let flag = |name: &str| {
        let arguments = container["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
        arguments.filter_map(|text| text.strip_prefix(name)).next().map(Value::from).unwrap_or_default()
    };
    let mut text = String::new();
    for (name, meaning) in VALUES {
        let default = match name {
            "image" => container["image"].clone(),
            "proxyImage" => flag("--proxy-image="),
            "redirectImage" => flag("--redirect-image="),
            _ => spec["replicas"].clone(),
        };
        writeln!(text, "# {meaning}\n{name}: {default}")?;
    }
    Ok(text)
}

fn template(mut object: DynamicObject) -> Result<String> {
    match kind(&object) {
        // With a kind go all objects of it: an uninstallation keeps both, as `smidge uninstall` does.
        "CustomResourceDefinition" => {
            object.annotations_mut().insert("helm.sh/resource-policy".to_owned(), "keep".to_owned());
        }
        "Deployment" => object.data["spec"]["replicas"] = REPLICAS.into(),
        _ => {}
    }
    let text = serde_yaml::to_string(&object)?;
    let quoted = [format!("\"{REPLICAS}\""), format!("'{REPLICAS}'"), REPLICAS.to_owned()];
    Ok(quoted.iter().fold(text, |text, placeholder| text.replace(placeholder, "{{ .Values.replicas }}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Helm makes of a template of ours: they hold no other expressions than these.
    fn rendered(template: &str, values: &Value) -> String {
        let mut text = template.to_owned();
        for (name, _) in VALUES {
            let value = values[name].as_str().map_or_else(|| values[name].to_string(), str::to_owned);
            text = text.replace(&format!("{{{{ .Values.{name} }}}}"), &value);
        }
        assert!(!text.contains("{{"), "an expression is left in {text}");
        text
    }

    fn installed(options: &Options) -> Vec<Value> {
        let objects = objects(options).unwrap().into_iter().filter(|object| kind(object) != "Namespace");
        objects.map(|object| serde_json::to_value(object).unwrap()).collect()
    }

    fn of_the_chart(values: &Value) -> Vec<Value> {
        let files = files("0.1.0").unwrap();
        let is_object = |path: &str| path.starts_with("templates/") && path != "templates/NOTES.txt";
        let templates = files.iter().filter(|(path, _)| is_object(path) && path != "templates/namespace.yaml");
        let mut objects: Vec<Value> =
            templates.map(|(_, text)| serde_yaml::from_str(&rendered(text, values)).unwrap()).collect();
        for object in objects.iter_mut().filter(|object| object["kind"] == "CustomResourceDefinition") {
            let annotations = object["metadata"]["annotations"].as_object_mut().unwrap();
            assert_eq!(annotations.remove("helm.sh/resource-policy"), Some("keep".into()));
            if annotations.is_empty() {
                object["metadata"].as_object_mut().unwrap().remove("annotations");
            }
        }
        objects
    }

    #[test]
    fn a_chart_with_its_own_values_is_what_smidge_installs() {
        let files = files("0.1.0").unwrap();
        let (_, values) = files.iter().find(|(path, _)| path == "values.yaml").unwrap();
        let values: Value = serde_yaml::from_str(values).unwrap();
        assert_eq!(of_the_chart(&values), installed(&Options::default()));
    }

    #[test]
    fn values_are_options() {
        let values = json!({"image": "a/b:1", "proxyImage": "envoy:2", "redirectImage": "nft:3", "replicas": 5});
        let options = Options {
            image: Some("a/b:1".into()),
            proxy_image: Some("envoy:2".into()),
            redirect_image: Some("nft:3".into()),
            replicas: Some(5),
        };
        assert_eq!(of_the_chart(&values), installed(&options));
    }
}
