//! What is known of a proxy from how its stream began: a node in, when and which Envoy out.

use std::time::SystemTime;

use envoy_types::pb::envoy::config::core::v3::{Node, node::UserAgentVersionType};

/// How a proxy's stream began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// When.
    pub since: SystemTime,
    /// The version that its Envoy says it is, such as `1.40.0`; `None`: it says none.
    pub envoy: Option<String>,
}

impl Connected {
    pub(crate) fn now(node: &Node, since: SystemTime) -> Self {
        Self { since, envoy: version(node) }
    }
}

/// Numbers only: other words of a proxy are not passed on to whoever asks.
fn version(node: &Node) -> Option<String> {
    match node.user_agent_version_type.as_ref()? {
        UserAgentVersionType::UserAgentBuildVersion(build) => {
            let version = build.version.as_ref()?;
            Some(format!("{}.{}.{}", version.major_number, version.minor_number, version.patch))
        }
        UserAgentVersionType::UserAgentVersion(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::{config::core::v3::BuildVersion, r#type::v3::SemanticVersion};

    use super::*;

    #[test]
    fn an_envoy_says_its_version_in_numbers() {
        let number = SemanticVersion { major_number: 1, minor_number: 40, patch: 2 };
        let build = BuildVersion { version: Some(number), metadata: None };
        let node = |told| Node { user_agent_version_type: told, ..Node::default() };
        let told = |told| version(&node(told));
        assert_eq!(told(Some(UserAgentVersionType::UserAgentBuildVersion(build))).as_deref(), Some("1.40.2"));
        assert_eq!(told(Some(UserAgentVersionType::UserAgentVersion("\x1b[2J".to_owned()))), None);
        assert_eq!(told(None), None);
    }
}
