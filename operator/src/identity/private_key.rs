//! A key that cannot be printed.

use std::fmt;

/// A private key in PEM. It has no `Display`, and its `Debug` says nothing.
pub struct PrivateKey(String);

impl PrivateKey {
    /// Takes a key in.
    pub fn new(pem: String) -> Self {
        Self(pem)
    }

    /// The key itself: for the secret that goes to its owner, and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_never_printed() {
        let key = PrivateKey::new("sesame".to_owned());
        assert!(!format!("{key:?} {key:#?}").contains("sesame"));
    }
}
