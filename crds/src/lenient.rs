//! Reading as leniently as the official Go clients do.

use serde::{Deserialize, Deserializer};

/// A field that is written but empty (`matches:` with nothing after it) counts as absent.
pub(crate) fn null_is_absent<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
