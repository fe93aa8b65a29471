//! One resource, encoded once.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use envoy_types::pb::{envoy::service::discovery::v3 as discovery, google::protobuf::Any};
use prost::Message;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use crate::TypeUrl;

/// The name of a resource, unique within its type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for Name {
    fn from(name: T) -> Self {
        Self(name.into())
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The version of a resource: a hash of its content and of nothing else, equal in every process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Version(u64);

impl Version {
    /// The version of some content.
    pub fn of(content: &[u8]) -> Self {
        Self(xxh3_64(content))
    }

    /// The version of a value that is nowhere encoded: equal in every process of one build.
    pub fn of_value(value: &impl Hash) -> Self {
        let mut hasher = Xxh3Default::new();
        value.hash(&mut hasher);
        Self(hasher.finish())
    }

    /// As a number, for others than Envoy.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The version that a client says it has; `None` when it is none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl From<u64> for Version {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One resource as it goes on the wire. It cannot print its bytes: they may hold a private key.
#[derive(Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its type.
    pub type_url: TypeUrl,
    /// Its name.
    pub name: Name,
    /// The hash of its content.
    pub version: Version,
    /// The encoded `envoy.service.discovery.v3.Resource`: name, version and body. Shared, never copied.
    pub encoded: Bytes,
}

impl Resource {
    /// Encodes a resource. `message` must encode to the same bytes for the same content in every process: a prost
    /// map with more than one entry does not (its order is random), so such a message has to be built canonically.
    pub fn new(type_url: TypeUrl, name: impl Into<Name>, message: &impl Message) -> Self {
        let name = name.into();
        let value = message.encode_to_vec();
        let version = Version::of(&value);
        let resource = discovery::Resource {
            name: name.to_string(),
            version: version.to_string(),
            resource: Some(Any { type_url: type_url.as_str().to_owned(), value }),
            ..Default::default()
        };
        Self { type_url, name, version, encoded: resource.encode_to_vec().into() }
    }

    /// The message inside, for tools and tests.
    ///
    /// # Errors
    /// When the bytes are no `Resource`; never for one made by [`Resource::new`].
    pub fn body(&self) -> Result<Any, prost::DecodeError> {
        Ok(discovery::Resource::decode(self.encoded.clone())?.resource.unwrap_or_default())
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ({} bytes)", self.type_url, self.name, self.version, self.encoded.len())
    }
}

/// What a publication does to one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new, or has a new version.
    Set(Arc<Resource>),
    /// It is gone.
    Remove(TypeUrl, Name),
}
