//! One document of a file: read into the facts about its object, or about each object of a list.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    known::is_read,
    object::{self, Object},
    places::Places,
};

/// The text of one document, and where it begins in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// The line of its first character, from 1.
    pub line: usize,
    /// The text.
    pub text: &'a str,
}

/// One object of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where it stands, such as `items[2]`; empty: it is all of the document.
    pub field: String,
    /// What was read; `None`: a kind that Smidge does not read.
    pub read: Result<Option<Object>, Unreadable>,
}

/// An object that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// In the file, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// Whether it is no YAML at all, as while somebody is still typing.
    pub is_malformed: bool,
}

/// The documents of a file. In YAML nothing but a document's end begins a line with `---`.
pub fn split(text: &str) -> Vec<Document<'_>> {
    let (mut documents, mut start, mut offset, mut line) = (Vec::new(), (0, 1), 0, 1);
    for row in text.split_inclusive('\n') {
        let next = offset + row.len();
        if row.trim_end() == "---" || row.starts_with("--- ") {
            documents.push(Document { line: start.1, text: &text[start.0..offset] });
            start = (offset + row.find('\n').map_or(row.len(), |end| end + 1), line + 1);
        }
        (offset, line) = (next, line + 1);
    }
    documents.push(Document { line: start.1, text: text.get(start.0..).unwrap_or_default() });
    documents.retain(|document| !is_blank(document.text));
    documents
}

fn is_blank(text: &str) -> bool {
    text.lines().map(str::trim_start).all(|line| line.is_empty() || line.starts_with('#'))
}

/// Which kind of object something says it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    #[serde(default)]
    pub(super) api_version: String,
    #[serde(default)]
    pub(super) kind: String,
}

impl Head {
    fn of(object: &Value) -> Self {
        let text = |field| object.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self { api_version: text("apiVersion"), kind: text("kind") }
    }

    /// Whether it is a `List`, as `kubectl get` writes it, or a `ServiceList` and the like, as the API server does.
    fn is_list(&self) -> bool {
        let item = self.kind.strip_suffix("List");
        item.is_some_and(|item| (item.is_empty() && self.api_version == "v1") || is_read(&self.api_version, item))
    }
}

impl Document<'_> {
    /// The object in it, or those of a list.
    pub fn read(&self) -> Vec<Entry> {
        let whole = |read| vec![Entry { field: String::new(), read }];
        match self.head() {
            Err(unreadable) => whole(Err(unreadable)),
            Ok(head) if head.is_list() => match self.parse() {
                Ok(list) => self.read_list(list),
                Err(unreadable) => whole(Err(unreadable)),
            },
            Ok(head) => whole(object::read(self, &head)),
        }
    }

    fn read_list(&self, list: Value) -> Vec<Entry> {
        let places = Places::of(self.text);
        let line = |field: &str| places.as_ref().map_or(1, |places| places.line_of(field)) - 1;
        let entry = |(field, item): (String, Value)| {
            // JSON is YAML: an item is read like a document of its own.
            let text = item.to_string();
            let document = Document { line: self.line + line(&field), text: &text };
            let head = Head::of(&item);
            let read = match head.is_list() {
                true => Err(document.unfit(0, "items is not a list: write the objects as its elements")),
                false => object::read(&document, &head),
            };
            Entry { field, read }
        };
        flat("", list).into_iter().map(entry).collect()
    }

    fn head(&self) -> Result<Head, Unreadable> {
        // The head asks for next to nothing: what fails there is no YAML.
        self.parse().map_err(|unreadable| Unreadable { is_malformed: true, ..unreadable })
    }

    pub(super) fn parse<K: DeserializeOwned>(&self) -> Result<K, Unreadable> {
        serde_yaml::from_str_with_options(self.text, options()).map_err(|error| {
            let error = error.without_snippet();
            let line = error.location().map_or(0, |location| usize::try_from(location.line()).unwrap_or(1) - 1);
            self.unfit(line, &words(&error.to_string()))
        })
    }

    pub(super) fn unfit(&self, line: usize, message: &str) -> Unreadable {
        Unreadable { line: self.line + line, message: message.to_owned(), is_malformed: false }
    }
}

/// The objects of a list and of the lists in it, each with its place. What is no list of objects stays as it is.
fn flat(field: &str, mut list: Value) -> Vec<(String, Value)> {
    let head = Head::of(&list);
    let items = match list.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if head.is_list() => items,
        None | Some(Value::Null) if head.is_list() => Vec::new(),
        _ => return vec![(field.to_owned(), list)],
    };
    let place = |position| format!("{field}{}items[{position}]", if field.is_empty() { "" } else { "." });
    let items = items.into_iter().enumerate();
    items.flat_map(|(position, item)| flat(&place(position), with_head(item, &head))).collect()
}

/// The API server leaves the kind away from the items of a `ServiceList`.
fn with_head(mut item: Value, list: &Head) -> Value {
    if let (Some(kind), Some(fields)) =
        (list.kind.strip_suffix("List").filter(|kind| !kind.is_empty()), item.as_object_mut())
    {
        fields.entry("kind").or_insert_with(|| kind.into());
        fields.entry("apiVersion").or_insert_with(|| list.api_version.as_str().into());
    }
    item
}

/// What the parser says, without the line in the document: the one in the file is told beside it.
fn words(error: &str) -> String {
    let said = error.rsplit_once(" at line ").map_or(error, |(said, _)| said);
    match said.strip_prefix("duplicate mapping key: ").and_then(|rest| rest.split(',').next()) {
        Some(key) => format!("{key} is there twice: is a line `---` between two objects missing?"),
        None => said.to_owned(),
    }
}

/// As Kubernetes reads YAML: `no` and `010` are what they look like.
fn options() -> serde_yaml::Options {
    serde_yaml::options! { strict_booleans: true, with_snippet: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_split_at_its_document_marks() {
        let text = "# head\na: 1\n---\n# only a comment\n--- # next\nb: |\n  --- not a mark\n---\n";
        let documents: Vec<_> = split(text).iter().map(|document| (document.line, document.text)).collect();
        assert_eq!(documents, [(1, "# head\na: 1\n"), (6, "b: |\n  --- not a mark\n")]);
    }

    fn read(text: &str) -> Vec<Entry> {
        Document { line: 10, text }.read()
    }

    fn problem(text: &str) -> Unreadable {
        read(text).pop().unwrap().read.unwrap_err()
    }

    /// `items[0] Service/shop/web` for each object.
    fn objects(text: &str) -> Vec<String> {
        let said = |entry: Entry| match entry.read {
            Ok(Some(object)) => format!("{} {}", entry.field, object.fact.object()),
            Ok(None) => format!("{} passed over", entry.field),
            Err(unreadable) => format!("{} line {}: {}", entry.field, unreadable.line, unreadable.message),
        };
        read(text).into_iter().map(said).collect()
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let backends = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: 7\n";
        let wrong = problem(backends);
        assert_eq!((wrong.line, wrong.is_malformed), (14, false), "{wrong:?}");
        assert!(problem("apiVersion: v1\nkind: [\n").is_malformed);
        assert!(problem("metadata: {name: a}\n").message.contains("no kind"));
        let twice = problem("kind: Pod\napiVersion: v1\nkind: Service\n");
        assert_eq!((twice.line, twice.is_malformed), (12, true));
        assert_eq!(twice.message, "kind is there twice: is a line `---` between two objects missing?");
    }

    #[test]
    fn a_kind_that_is_none_of_ours_is_passed_over() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
        assert_eq!(objects(text), [" passed over"]);
    }

    #[test]
    fn what_makes_pods_is_read_as_one_of_them() {
        let template = "template: {spec: {serviceAccountName: web}}";
        let of = |kind: &str, metadata: &str, spec: &str| {
            let group = if kind.ends_with("Job") { "batch" } else { "apps" };
            objects(&format!(
                "{{apiVersion: {group}/v1, kind: {kind}, metadata: {{name: a, {metadata}}}, spec: {{{spec}}}}}"
            ))
        };
        for kind in ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"] {
            assert_eq!(of(kind, "namespace: shop", template), [format!(" Pod/shop/{}/a", kind.to_lowercase())]);
        }
        let scheduled = of("CronJob", "", &format!("jobTemplate: {{spec: {{{template}}}}}"));
        assert_eq!(scheduled, [" Pod/default/cronjob/a"]);
        let owner = "ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: a, uid: u, controller: true}]";
        assert_eq!(of("ReplicaSet", owner, template), [" passed over"], "its Deployment speaks for it");
        assert_eq!(of("Deployment", "", "replicas: 3"), [" passed over"], "a patch");
        let list = format!(
            "{{apiVersion: apps/v1, kind: DeploymentList, items: [{{metadata: {{name: a}}, spec: {{{template}}}}}]}}"
        );
        assert_eq!(objects(&list), ["items[0] Pod/default/deployment/a"]);
    }

    #[test]
    fn a_list_holds_objects_of_any_kind_and_version_and_other_lists() {
        let text = "\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ServiceList
  items:
  - metadata: {name: web, namespace: shop}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
- apiVersion: split.smi-spec.io/v1alpha1
  kind: TrafficSplit
  metadata: {name: web, namespace: shop}
  spec: {service: web, backends: [{service: web, weight: 500m}]}
- apiVersion: v1
  kind: Service
  metadata: {name: api}
  spec: {ports: 7}
- {apiVersion: v1, kind: List, items: 7}
";
        let found = objects(text);
        let [service, other, split, wrong, no_list] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!(service, "items[0].items[0] Service/shop/web");
        assert_eq!(other, "items[1] passed over");
        assert_eq!(split, "items[2] TrafficSplit/shop/web");
        assert!(wrong.starts_with("items[3] line 22: "), "{wrong}");
        assert!(no_list.starts_with("items[4] line 26: items is not a list"), "{no_list}");
    }

    #[test]
    fn a_list_may_be_empty_and_another_kind_may_end_alike() {
        assert!(objects("{apiVersion: v1, kind: List, items: []}").is_empty());
        assert!(objects("{apiVersion: v1, kind: PodList}").is_empty());
        assert_eq!(objects("{apiVersion: example.com/v1, kind: AllowList, items: 7}"), [" passed over"]);
    }
}
