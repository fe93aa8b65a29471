//! Who a token is of, by the API server's word: TokenReview
//! (<https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/>).

use std::{collections::BTreeMap, sync::Arc};

use futures::future::{BoxFuture, FutureExt};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::{Api, Client, api::PostParams};

use super::Refusal;

const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// A pod, proven by its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its name.
    pub pod: Arc<str>,
    /// Which pod of that name.
    pub uid: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its service account.
    pub service_account: Arc<str>,
}

/// What a review says.
pub type Verdict = Result<Arc<Caller>, Refusal>;

/// Who reviews tokens.
pub trait Review: Send + Sync + 'static {
    /// Whose token it is.
    ///
    /// # Errors
    /// When nobody answers: no verdict.
    fn review<'a>(&'a self, token: &'a str, audience: &'a str) -> BoxFuture<'a, Result<Verdict, kube::Error>>;
}

/// Reviews by the API server.
pub struct ApiServerReview(Api<TokenReview>);

impl ApiServerReview {
    /// With this client.
    pub fn new(client: Client) -> Self {
        Self(Api::all(client))
    }
}

impl Review for ApiServerReview {
    fn review<'a>(&'a self, token: &'a str, audience: &'a str) -> BoxFuture<'a, Result<Verdict, kube::Error>> {
        async move {
            let spec = TokenReviewSpec { audiences: Some(vec![audience.to_owned()]), token: token.to_owned() };
            let review = TokenReview { spec, ..TokenReview::default() };
            let reviewed = self.0.create(&PostParams::default(), &review).await?;
            Ok(verdict(reviewed.status.unwrap_or_default(), audience).map(Arc::new))
        }
        .boxed()
    }
}

/// An authenticator that knows no audiences answers with none: its word does not count.
fn verdict(status: TokenReviewStatus, audience: &str) -> Result<Caller, Refusal> {
    if status.authenticated != Some(true) {
        return Err(Refusal::NotVouchedFor);
    }
    if !status.audiences.iter().flatten().any(|confirmed| confirmed == audience) {
        return Err(Refusal::WrongAudience);
    }
    let user = status.user.unwrap_or_default();
    let account = user.username.as_deref().and_then(|name| name.strip_prefix("system:serviceaccount:"));
    let (namespace, service_account) = account.and_then(|of| of.split_once(':')).ok_or(Refusal::NotAToken)?;
    let extra = user.extra.unwrap_or_default();
    let (pod, uid) = only(&extra, POD_NAME).zip(only(&extra, POD_UID)).ok_or(Refusal::NotOfAPod)?;
    Ok(Caller { pod, uid, namespace: namespace.into(), service_account: service_account.into() })
}

/// The one value of a key.
fn only(extra: &BTreeMap<String, Vec<String>>, key: &str) -> Option<Arc<str>> {
    match extra.get(key)?.as_slice() {
        [value] if !value.is_empty() => Some(value.as_str().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told() -> Value {
        let extra = json!({(POD_NAME): ["web-0"], (POD_UID): ["u"]});
        let user = json!({"username": "system:serviceaccount:shop:web", "extra": extra});
        json!({"authenticated": true, "audiences": ["smidge-xds"], "user": user})
    }

    fn check(status: Value, expected: Result<(), Refusal>) {
        let status: TokenReviewStatus = serde_json::from_value(status).unwrap();
        assert_eq!(verdict(status, "smidge-xds").map(drop), expected);
    }

    #[test]
    fn only_the_review_says_who_a_caller_is() {
        let caller = verdict(serde_json::from_value(told()).unwrap(), "smidge-xds").unwrap();
        let [pod, uid, namespace, service_account] = ["web-0", "u", "shop", "web"].map(Arc::from);
        assert_eq!(caller, Caller { pod, uid, namespace, service_account });
    }

    #[test]
    fn what_the_api_server_does_not_say_counts_as_denied() {
        let without = |path: &str| {
            let mut status = told();
            *status.pointer_mut(path).unwrap() = Value::Null;
            status
        };
        check(json!({}), Err(Refusal::NotVouchedFor));
        check(without("/authenticated"), Err(Refusal::NotVouchedFor));
        check(without("/audiences"), Err(Refusal::WrongAudience));
        check(without("/user"), Err(Refusal::NotAToken));
        check(without("/user/extra"), Err(Refusal::NotOfAPod));
        let mut admin = told();
        admin["user"]["username"] = json!("admin");
        check(admin, Err(Refusal::NotAToken));
        let mut two = told();
        two["user"]["extra"][POD_UID] = json!(["u", "v"]);
        check(two, Err(Refusal::NotOfAPod));
    }
}
