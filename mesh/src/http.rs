//! Which HTTP requests a route or a permission is about.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::Serialize;

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a text that the compiler has checked.
            pub fn from_checked(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

text! {
    /// An RE2 expression, bounded in size, that must match the path (without query) from its start; what follows the
    /// match is free (SMI HTTPRouteGroup, `pathRegex`).
    PathPattern
}
text! {
    /// An RE2 expression, bounded in size, that must match a header's whole value.
    ValuePattern
}
text! {
    /// A header's name in lower case; never a pseudo header.
    HeaderName
}
text! {
    /// An HTTP method in upper case.
    Method
}

/// Parts that are AND-ed; an absent part matches anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct HttpMatch {
    /// The path.
    pub path: Option<PathPattern>,
    /// Any of these methods; empty: every method.
    pub methods: BTreeSet<Method>,
    /// All of these headers.
    pub headers: BTreeMap<HeaderName, ValuePattern>,
}
