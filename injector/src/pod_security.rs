//! Pod Security (<https://kubernetes.io/docs/concepts/security/pod-security-standards/>): which of a namespace's levels the
//! redirect's init container does not fit, and what follows.

use std::fmt;

use crate::{REDIRECT, inject::Namespace};

/// What Pod Security does where a pod does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodSecurityMode {
    /// The pod is not created.
    Enforce,
    /// Whoever creates it is warned.
    Warn,
    /// The audit log has a word on it.
    Audit,
}

impl PodSecurityMode {
    const ALL: [Self; 3] = [Self::Enforce, Self::Warn, Self::Audit];

    /// The label of namespaces that says the level.
    pub fn label(self) -> &'static str {
        match self {
            Self::Enforce => "pod-security.kubernetes.io/enforce",
            Self::Warn => "pod-security.kubernetes.io/warn",
            Self::Audit => "pod-security.kubernetes.io/audit",
        }
    }
}

/// A level that injected pods do not fit, and where it says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSecurityConflict {
    /// Whose label.
    pub namespace: String,
    /// Which label.
    pub mode: PodSecurityMode,
    /// Its value.
    pub level: String,
}

/// The gravest conflict of a namespace's labels with what is injected, if there is one.
pub fn pod_security(namespace: Namespace<'_>) -> Option<PodSecurityConflict> {
    PodSecurityMode::ALL.into_iter().find_map(|mode| {
        // What is no level counts as restricted.
        let level = namespace.labels.get(mode.label()).filter(|level| *level != "privileged")?;
        let level = level.chars().take(40).collect();
        Some(PodSecurityConflict { namespace: namespace.name.to_owned(), mode, level })
    })
}

impl fmt::Display for PodSecurityConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, mode, level } = self;
        let label = mode.label();
        let lacks = if level == "baseline" { "NET_ADMIN" } else { "NET_ADMIN and user 0" };
        let remedy = format!("kubectl label --overwrite namespace {namespace} {label}=privileged");
        // An API server may cut a warning after 256 characters.
        match mode {
            PodSecurityMode::Enforce => write!(
                f,
                "{label}={level} refuses {lacks} of {REDIRECT}; only privileged permits it: {remedy} (warn and audit may stay)"
            ),
            PodSecurityMode::Warn | PodSecurityMode::Audit => {
                write!(f, "{label}={level} tells of {lacks} of {REDIRECT}; nothing is refused. To silence it: {remedy}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn told(labels: &[(&str, &str)]) -> Option<String> {
        let labels: BTreeMap<String, String> = labels
            .iter()
            .map(|(mode, level)| (format!("pod-security.kubernetes.io/{mode}"), (*level).to_owned()))
            .collect();
        pod_security(Namespace { name: "shop", labels: &labels }).map(|conflict| conflict.to_string())
    }

    #[test]
    fn enforcing_refuses_and_warning_does_not() {
        let enforced = told(&[("warn", "restricted"), ("enforce", "baseline")]).unwrap();
        assert!(
            enforced.starts_with("pod-security.kubernetes.io/enforce=baseline refuses NET_ADMIN of smidge-redirect"),
            "{enforced}"
        );
        assert!(enforced.len() < 240, "{}", enforced.len());
        assert!(enforced.contains("namespace shop pod-security.kubernetes.io/enforce=privileged"), "{enforced}");
        for mode in ["warn", "audit"] {
            let warned = told(&[("enforce", "privileged"), (mode, "restricted")]).unwrap();
            assert!(warned.contains("NET_ADMIN and user 0") && warned.contains("nothing is refused"), "{warned}");
        }
        assert!(told(&[("enforce", "nonsense")]).is_some(), "it counts as restricted");
        assert_eq!(told(&[("enforce", "privileged"), ("enforce-version", "v1.30")]), None);
        assert_eq!(told(&[]), None);
    }
}
