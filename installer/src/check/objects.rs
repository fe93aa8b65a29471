//! Which objects of users are not what their authors think? Their statuses say so; here they are gathered.

use futures::future::try_join_all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition as Crd;
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::Value;

use super::Finding;
use crate::migrate::resource;

/// How many objects the API server is asked for at once.
const PAGE: u32 = 500;
/// How many lines there are at most, and how long what an object says may be in one.
const LINES: usize = 20;
const LONGEST: usize = 300;

/// What goes before what: the first that is False explains those after it.
const CONDITIONS: [&str; 3] = ["Accepted", "ResolvedRefs", "Programmed"];

/// A line for each object that has a condition False.
pub(super) async fn objects(client: &Client) -> Result<Vec<Finding>, kube::Error> {
    let kinds = smidge_crds::all();
    let looked_at = try_join_all(kinds.iter().map(|crd| of_kind(client, crd))).await?;
    let number: usize = looked_at.iter().map(|(number, _)| number).sum();
    let findings = looked_at.into_iter().flat_map(|(_, findings)| findings).collect();
    Ok(told(number, findings))
}

/// With no control plane: statuses that nobody keeps true.
pub(super) async fn statuses(client: &Client) -> Result<Option<Finding>, kube::Error> {
    let kinds = smidge_crds::all();
    let objects = try_join_all(kinds.iter().map(|crd| listed(client, crd))).await?.concat();
    let number = objects.iter().filter(|object| object.data.pointer("/status/conditions").is_some()).count();
    let why = "no control plane keeps them true: what they say is from before";
    Ok((number > 0).then(|| Finding::doubtful(format!("statuses of SMI objects ({number})"), why)))
}

fn told(number: usize, mut findings: Vec<Finding>) -> Vec<Finding> {
    let wrong = findings.len();
    let what = format!("{} of {number} objects are in force", number - wrong);
    let all = "kubectl get smidge -A shows all";
    let summary = match (number, wrong) {
        (0, _) => return findings,
        (_, 0) => Finding::good(what),
        (_, ..=LINES) => Finding::doubtful(what, format!("the others are told below; {all}")),
        _ => Finding::doubtful(what, format!("{LINES} of the others are told below; {all}")),
    };
    findings.truncate(LINES);
    findings.insert(0, summary);
    findings
}

/// How many there are, and what is to be said of them.
async fn of_kind(client: &Client, crd: &Crd) -> Result<(usize, Vec<Finding>), kube::Error> {
    let objects = listed(client, crd).await?;
    let kind = &crd.spec.names.kind;
    Ok((objects.len(), objects.iter().filter_map(|object| wrong(kind, object)).collect()))
}

/// All objects of a kind. A kind that is not installed is told elsewhere.
async fn listed(client: &Client, crd: &Crd) -> Result<Vec<DynamicObject>, kube::Error> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource(crd));
    let (mut page, mut objects) = (ListParams::default().limit(PAGE), Vec::new());
    loop {
        let list = match api.list(&page).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Vec::new()),
            list => list?,
        };
        objects.extend(list.items);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(objects),
        }
    }
}

fn wrong(kind: &str, object: &DynamicObject) -> Option<Finding> {
    let conditions = object.data["status"]["conditions"].as_array()?;
    let of_type = |type_| conditions.iter().find(|condition| condition["type"] == type_);
    let found = CONDITIONS.into_iter().filter_map(of_type).find(|condition| condition["status"] == "False")?;
    let text = |field: &str| found.get(field).and_then(Value::as_str).unwrap_or_default();
    let name = object.namespace().map_or(object.name_any(), |namespace| format!("{namespace}/{}", object.name_any()));
    let message: String = text("message").chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    Some(Finding::doubtful(format!("{kind} {name} {}=False {}", text("type"), text("reason")), message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(conditions: &Value) -> DynamicObject {
        let object = json!({"metadata": {"name": "web", "namespace": "shop"}, "status": {"conditions": conditions}});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn the_first_condition_that_is_false_is_told() {
        let condition = |type_: &str, status: &str| json!({"type": type_, "status": status, "reason": format!("Of{type_}"), "message": format!("a\nb{}", "x".repeat(999))});
        let all = json!([
            condition("Programmed", "False"),
            condition("ResolvedRefs", "False"),
            condition("Accepted", "True")
        ]);
        let said = wrong("TrafficTarget", &object(&all)).unwrap().to_string();
        assert!(said.starts_with("! TrafficTarget shop/web ResolvedRefs=False OfResolvedRefs: a bxxx"), "{said}");
        assert!(said.chars().count() < 400, "{said}");
        for well in [json!([condition("Accepted", "True"), condition("Programmed", "Unknown")]), json!(null), json!([])]
        {
            assert_eq!(wrong("TrafficTarget", &object(&well)), None);
        }
    }

    #[test]
    fn there_are_so_many_lines_and_no_more() {
        let many: Vec<Finding> = (0..LINES + 5).map(|n| Finding::doubtful(n.to_string(), "")).collect();
        let said = told(100, many.clone());
        assert_eq!(said.len(), LINES + 1);
        assert!(said[0].to_string().starts_with("! 75 of 100 objects are in force: 20 of the others"), "{said:?}");
        let fitting = told(LINES, many[..LINES].to_vec());
        assert!(fitting.len() == LINES + 1 && fitting[0].what.starts_with("0 of 20"), "{fitting:?}");
        assert_eq!(told(3, Vec::new()), [Finding::good("3 of 3 objects are in force")]);
        assert!(told(0, Vec::new()).is_empty());
    }
}
