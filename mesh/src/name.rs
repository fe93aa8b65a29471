//! Names of namespaced things.

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer};

macro_rules! namespaced {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            /// Its namespace.
            pub namespace: Arc<str>,
            /// Its name within the namespace.
            pub name: Arc<str>,
        }

        impl $name {
            /// The name of something in a namespace.
            pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
                Self { namespace: namespace.into(), name: name.into() }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}.{}", self.name, self.namespace)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

namespaced! {
    /// A Service, shown as `name.namespace`.
    ServiceName
}
namespaced! {
    /// A service account: what identities stand for.
    ServiceAccountName
}
namespaced! {
    /// A Pod, shown as `name.namespace`, which is also the node id of its Envoy.
    PodName
}

impl PodName {
    /// Reads `<pod>.<namespace>`. A pod's name may hold dots, a namespace's may not.
    pub fn parse(id: &str) -> Option<Self> {
        let (name, namespace) = id.rsplit_once('.')?;
        (!name.is_empty() && !namespace.is_empty()).then(|| Self::new(namespace, name))
    }
}
