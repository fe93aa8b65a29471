//! Is a kind missing from the API server? Then it counts as listed and empty, so that a CRD that is not installed does
//! not hold up the others. Anything between us and the API server can answer 404: so after one the server is asked what
//! it has, and only its own complete answer counts.

use std::time::Duration;

use kube::{Client, api::ApiResource};
use kube_runtime::watcher::Error;
use tokio::time::timeout;

/// How long the API server may take to say what it has.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether it is certain that a watch fails because the API server does not know the kind.
pub(super) async fn is_missing(client: &Client, resource: &ApiResource, error: &Error) -> bool {
    is_not_found(error) && matches!(timeout(PATIENCE, lacks(client, resource)).await, Ok(Ok(true)))
}

fn is_not_found(error: &Error) -> bool {
    let (Error::InitialListFailed(error) | Error::WatchStartFailed(error)) = error else { return false };
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// What discovery says.
pub(super) async fn lacks(client: &Client, resource: &ApiResource) -> kube::Result<bool> {
    let groups = client.list_api_groups().await?.groups;
    let group = groups.iter().find(|group| group.name == resource.group);
    if !group.is_some_and(|group| group.versions.iter().any(|served| served.version == resource.version)) {
        return Ok(true);
    }
    let served = client.list_api_group_resources(&resource.api_version).await?.resources;
    Ok(!served.iter().any(|kind| kind.name == resource.plural))
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answer(code: u16) -> kube::Error {
        kube::Error::Api(Box::new(Status { code, ..Status::default() }))
    }

    #[test]
    fn only_a_404_can_mean_that_a_kind_is_missing() {
        assert!(is_not_found(&Error::InitialListFailed(answer(404))));
        assert!(is_not_found(&Error::WatchStartFailed(answer(404))));
        for code in [401, 403, 410, 429, 500, 503] {
            assert!(!is_not_found(&Error::InitialListFailed(answer(code))), "{code}");
        }
        assert!(!is_not_found(&Error::InitialListFailed(kube::Error::LinesCodecMaxLineLengthExceeded)));
        assert!(!is_not_found(&Error::NoResourceVersion));
    }
}
