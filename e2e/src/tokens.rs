//! Tokens with a shorter life than an API server gives, which is ten minutes at least: its own token with another expiry, signed
//! by the same key, so that it vouches for them as for any other.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::KeyPair;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use serde_json::{Value, json};

use crate::ApiServer;

impl ApiServer {
    /// The same token, issued now and good for this long (whole seconds).
    pub fn with_life(&self, token: &str, life: Duration) -> Result<String> {
        let mut parts = token.split('.');
        let (header, claims) = parts.next().zip(parts.next()).context("no JWT")?;
        let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        for (claim, at) in [("iat", now), ("nbf", now), ("exp", now + life)] {
            claims[claim] = json!(at.as_secs());
        }
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>> {
        let key = KeyPair::from_pem(&fs::read_to_string(self.signing_key()?)?)?;
        let random = SystemRandom::new();
        let broken = |what: &dyn std::fmt::Display| anyhow::anyhow!("the key of service accounts: {what}");
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der(), &random)
            .map_err(|error| broken(&error))?;
        let signature = key.sign(&random, text).map_err(|error| broken(&error))?;
        Ok(signature.as_ref().to_vec())
    }
}
