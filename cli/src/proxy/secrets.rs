//! The table of secrets: who the proxy is and until when, whom it believes. Certificates are public; keys are never here.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::Value;
use smidge_xds::TypeUrl;
use x509_parser::{extensions::GeneralName, pem::Pem, prelude::X509Certificate};

use super::dump::Dump;
use crate::columns::columns;

/// How many identities of those that are believed are named.
const NAMED: usize = 3;

pub(super) fn table(dump: &Dump, now: Timestamp) -> String {
    let rows = dump.entries(TypeUrl::Secret).into_iter().map(|entry| {
        let [what, identities, until] = described(entry.content, now);
        [entry.name.to_owned(), what, identities, until, entry.shown_state()]
    });
    columns(["SECRET", "WHAT", "IDENTITIES", "VALID UNTIL", "STATE"], rows)
}

fn described(secret: &Value, now: Timestamp) -> [String; 3] {
    let (what, pem, identities) = match (secret.get("tls_certificate"), secret.get("validation_context")) {
        (Some(own), _) => ("certificate", pem(&own["certificate_chain"]), None),
        (_, Some(roots)) => ("roots", pem(&roots["trusted_ca"]), Some(believed(roots))),
        _ => ("other", None, None),
    };
    let certificates: Vec<Certificate> = pem.map(|pem| certificates(&pem)).unwrap_or_default();
    let identities = identities.or_else(|| Some(certificates.first()?.identities.clone())).unwrap_or_default();
    // The proxy's own comes first, before those that vouch for it; of roots the last to end is what counts.
    let until = match what {
        "certificate" => certificates.first().map(|it| it.until),
        _ => certificates.iter().map(|it| it.until).max(),
    };
    [what.to_owned(), shortened(&identities), until.map(|until| valid(until, now)).unwrap_or_default()]
}

struct Certificate {
    identities: Vec<String>,
    until: Timestamp,
}

/// What Envoy shows of text, or of bytes.
fn pem(source: &Value) -> Option<Vec<u8>> {
    match (source["inline_string"].as_str(), source["inline_bytes"].as_str()) {
        (Some(text), _) => Some(text.as_bytes().to_vec()),
        (_, Some(bytes)) => BASE64_STANDARD.decode(bytes).ok(),
        _ => None,
    }
}

fn certificates(pem: &[u8]) -> Vec<Certificate> {
    let blocks = Pem::iter_from_buffer(pem).filter_map(Result::ok);
    blocks.filter_map(|block| read(&block.parse_x509().ok()?)).collect()
}

fn read(certificate: &X509Certificate<'_>) -> Option<Certificate> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let uris = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    });
    let until = Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?;
    Some(Certificate { identities: uris.collect(), until })
}

/// Whose certificates are believed.
fn believed(context: &Value) -> Vec<String> {
    let matchers = context["match_typed_subject_alt_names"].as_array().into_iter().flatten();
    let shown = matchers.filter_map(|of| {
        let matcher = &of["matcher"];
        let prefix = matcher["prefix"].as_str().map(|prefix| format!("{prefix}…"));
        matcher["exact"].as_str().map(str::to_owned).or(prefix)
    });
    shown.collect()
}

fn shortened(identities: &[String]) -> String {
    let more = identities.len().saturating_sub(NAMED);
    let named = identities.iter().take(NAMED).cloned();
    named.chain((more > 0).then(|| format!("{more} more"))).collect::<Vec<_>>().join(", ")
}

fn valid(until: Timestamp, now: Timestamp) -> String {
    let left = until.as_second() - now.as_second();
    match left {
        ..=0 => format!("{until} (over)"),
        1..=7200 => format!("{until} ({} min)", left / 60),
        7201..=172_800 => format!("{until} ({} h)", left / 3600),
        _ => format!("{until} ({} d)", left / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType, date_time_ymd};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_certificate_says_whose_it_is_and_until_when() {
        let mut of = CertificateParams::default();
        of.subject_alt_names = vec![SanType::URI("spiffe://cluster.local/ns/shop/sa/web".try_into().unwrap())];
        of.not_after = date_time_ymd(2027, 1, 15);
        let pem = of.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        let bytes = BASE64_STANDARD.encode(&pem);
        let now = "2027-01-14T12:00:00Z".parse().unwrap();
        let own = json!({"tls_certificate": {"certificate_chain": {"inline_bytes": bytes}, "private_key": {}}});
        let expected = ["certificate", "spiffe://cluster.local/ns/shop/sa/web", "2027-01-15T00:00:00Z (12 h)"];
        assert_eq!(described(&own, now), expected);
        let exact = |id: &str| json!({"san_type": "URI", "matcher": {"exact": id}});
        let matchers = ["a", "b", "c", "d", "e"].map(exact);
        let roots = json!({"trusted_ca": {"inline_string": pem}, "match_typed_subject_alt_names": matchers});
        let expected = ["roots", "a, b, c, 2 more", "2027-01-15T00:00:00Z (12 h)"];
        assert_eq!(described(&json!({"validation_context": roots}), now), expected);
    }
}
