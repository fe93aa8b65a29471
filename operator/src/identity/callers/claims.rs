//! What a token says of itself. Nobody has vouched for it: good for refusing early what the API server need not be asked
//! about, and, once it has vouched for the token, for when that expires, which its answer leaves out.

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::Refusal;

/// A real one has about 1,200 bytes.
const LONGEST_TOKEN: usize = 16 << 10;

/// The claims that we look at.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    #[serde(rename = "aud")]
    audiences: Audiences,
    #[serde(rename = "exp")]
    expires: u64,
    #[serde(rename = "iat")]
    issued: u64,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<Kubernetes>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize)]
struct Kubernetes {
    namespace: String,
    pod: Option<Pod>,
}

#[derive(Debug, Deserialize)]
struct Pod {
    name: String,
}

impl Claims {
    /// Reads a JWT's claims.
    pub(super) fn read(token: &str) -> Result<Self, Refusal> {
        if token.len() > LONGEST_TOKEN {
            return Err(Refusal::NotAToken);
        }
        let mut parts = token.split('.');
        let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(Refusal::NotAToken);
        };
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| Refusal::NotAToken)?;
        serde_json::from_slice(&claims).map_err(|_| Refusal::NotAToken)
    }

    /// Refuses what no review could make good.
    pub(super) fn check(&self, audience: &str, node: &str, now: SystemTime) -> Result<(), Refusal> {
        let is_ours = match &self.audiences {
            Audiences::One(one) => one == audience,
            Audiences::Many(many) => many.iter().any(|one| one == audience),
        };
        if !is_ours {
            return Err(Refusal::WrongAudience);
        }
        if self.left(now).is_zero() {
            return Err(Refusal::Expired);
        }
        let bound = self.kubernetes.as_ref().and_then(|of| Some((&of.namespace, of.pod.as_ref()?)));
        let (namespace, pod) = bound.ok_or(Refusal::NotOfAPod)?;
        match node.strip_prefix(&*pod.name).and_then(|rest| rest.strip_prefix('.')) == Some(namespace) {
            true => Ok(()),
            false => Err(Refusal::OtherNode),
        }
    }

    /// How long the token still counts.
    pub(super) fn left(&self, now: SystemTime) -> Duration {
        since_epoch(self.expires).duration_since(now).unwrap_or_default()
    }

    /// How long a stream goes on by it. The kubelet writes a new token after 80 % of the life of the old one, and looks
    /// every minute or so; streams end after 90 to 97 %, so that not all come back at once (`spread`: 0 to 1). A stream that is
    /// opened later than that has the rest.
    pub(super) fn stream_time(&self, now: SystemTime, spread: f64) -> Duration {
        let life = Duration::from_secs(self.expires.saturating_sub(self.issued));
        let planned = since_epoch(self.issued) + life.mul_f64(0.90 + 0.07 * spread);
        planned.duration_since(now).ok().filter(|left| !left.is_zero()).unwrap_or_else(|| self.left(now))
    }
}

/// Saturates, far beyond what any clock says.
fn since_epoch(seconds: u64) -> SystemTime {
    const FAR: u64 = 1 << 36;
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(FAR))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn token(claims: &Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    fn bound() -> Value {
        let pod = json!({"name": "web-0", "uid": "u"});
        json!({"aud": ["smidge-xds"], "iat": 1000, "exp": 4600, "kubernetes.io": {"namespace": "shop", "pod": pod}})
    }

    fn check(claims: &Value, node: &str, now: u64, expected: Result<(), Refusal>) {
        let claims = Claims::read(&token(claims)).unwrap();
        assert_eq!(claims.check("smidge-xds", node, since_epoch(now)), expected, "{claims:?}");
    }

    #[test]
    fn a_token_says_for_whom_by_whom_and_until_when() {
        check(&bound(), "web-0.shop", 2000, Ok(()));
        check(&bound(), "web-0.shop", 4600, Err(Refusal::Expired));
        for other in ["web-1.shop", "web-0.shop2", "web-0", "", "web-0.shop.x", "web-00.shop"] {
            check(&bound(), other, 2000, Err(Refusal::OtherNode));
        }
        let mut claims = bound();
        claims["aud"] = json!("kubernetes");
        check(&claims, "web-0.shop", 2000, Err(Refusal::WrongAudience));
        let mut claims = bound();
        claims["kubernetes.io"] = json!({"namespace": "shop"});
        check(&claims, "web-0.shop", 2000, Err(Refusal::NotOfAPod));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let long = "a".repeat(LONGEST_TOKEN + 1);
        for hostile in ["", "..", "a.b", "a.b.c", "a.b.c.d", "e30.e30.e30", "e30.W10.x", "ä.ö.ü", &long] {
            assert_eq!(Claims::read(hostile).err(), Some(Refusal::NotAToken), "{hostile}");
        }
        let far = json!({"aud": "x", "iat": u64::MAX, "exp": u64::MAX});
        assert!(Claims::read(&token(&far)).unwrap().stream_time(SystemTime::now(), 1.0) > Duration::from_secs(1));
    }

    #[test]
    fn a_stream_ends_after_the_kubelet_has_renewed_the_token_and_before_it_expires() {
        let claims = Claims::read(&token(&bound())).unwrap();
        let ends = |now, spread| (claims.stream_time(since_epoch(now), spread).as_secs_f64()) as u64 + now;
        assert_eq!((ends(1000, 0.0), ends(1000, 1.0)), (4240, 4492));
        assert_eq!(ends(4500, 0.0), 4600, "opened late, with a token that is about to be renewed");
    }
}
